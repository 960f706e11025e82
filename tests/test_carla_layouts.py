"""What goes over the wire is laid out as the types in the installed wheel's library are."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from carla_wheel import Member, Wheel

from drivewm_sim.carla_server import commands, layouts, records, streams
from drivewm_sim.carla_server.actors import STATE
from drivewm_sim.carla_server.catalogue import Tag
from drivewm_sim.carla_server.lights import LightState
from drivewm_sim.carla_server.physics_sheet import ackermann_sheet, physics_sheet, telemetry
from drivewm_sim.carla_server.sensor_blueprints import SENSOR_TYPE, WORLD_OBSERVER
from drivewm_sim.carla_server.sensors import cameras
from drivewm_sim.carla_server.sensors.points import SEMANTIC_POINT
from drivewm_sim.carla_server.world import MAP_CHANGED


@pytest.fixture(scope="module")
def wheel() -> Wheel:
    library = pytest.importorskip("carla.libcarla", reason="the carla client is not installed")
    if not library.__file__.endswith("linux-gnu.so"):
        pytest.skip("only the Linux wheel carries debug information")
    return Wheel(Path(library.__file__))


PLAIN_POINT = np.dtype([(n, "<f4") for n in ("x", "y", "z", "intensity")])
Spans = list[tuple[int, int]]  # offset and size of each field


def theirs(members: list[Member], begin: int = 0) -> Spans:
    return [(begin + m.offset, m.size) for m in members]


def ours(record: np.dtype, *names: str) -> Spans:
    """Fields of a record; "x y z": those side by side count as one."""
    out = []
    for group in names:
        parts = [record.fields[name] for name in group.split()]
        sizes = [kind.itemsize for kind, *_ in parts]
        offsets = [offset for _, offset, *_ in parts]
        assert offsets == [offsets[0] + sum(sizes[:k]) for k in range(len(parts))]
        out.append((offsets[0], sum(sizes)))
    return out


def packed(fields: str) -> Spans:
    """Of a little-endian `struct` format, one letter a field."""
    sizes = [struct.calcsize("<" + f) for f in re.findall(r"\d*\w", fields)]
    return [(sum(sizes[:k]), size) for k, size in enumerate(sizes)]


def test_the_record_of_an_actor_is_libcarla_s(wheel: Wheel) -> None:
    size, members = wheel.structure("ActorDynamicState")
    base = ("id", "active", "x y z pitch yaw roll", "vx vy vz", "wx wy wz", "ax ay az")
    assert theirs(members)[:-1] == ours(records.ANY_RECORD, *base)
    name, begin, _ = members[-1]
    assert name == "state"
    for record, found in (
        (records.VEHICLE_RECORD, vehicle_fields(wheel)),
        (records.WALKER_RECORD, wheel.structure("PackedWalkerControl")[1]),
        (records.LIGHT_RECORD, wheel.structure("TrafficLightData")[1]),
    ):
        assert record.itemsize == size == 119
        groups = [n for n in record.names if n not in records.ANY_RECORD.names]
        if record is records.WALKER_RECORD:
            groups = ["dx dy dz", "walk", "jump"]
        assert ours(record, *groups) == theirs(found, begin)


def vehicle_fields(wheel: Wheel) -> list[Member]:
    """The control's fields in place of the control."""
    _, *others = wheel.structure("VehicleData")[1]
    return [*wheel.structure("PackedVehicleControl")[1], *others]


def test_fields_mean_what_libcarla_calls_them(wheel: Wheel) -> None:
    called = {
        "manual": "manual_gear_shift", "limit": "speed_limit", "light_state": "traffic_light_state",
        "has_light": "has_traffic_light", "light": "traffic_light_id", "failure": "failure_state",
        "sign": "sign_id", "green": "green_time", "yellow": "yellow_time", "red": "red_time",
        "elapsed": "elapsed_time", "pole": "pole_index", "frozen": "time_is_frozen",
    }  # fmt: skip
    for record, found in (
        (records.VEHICLE_RECORD, vehicle_fields(wheel)),
        (records.LIGHT_RECORD, wheel.structure("TrafficLightData")[1]),
    ):
        own = [n for n in record.names if n not in records.ANY_RECORD.names]
        assert [called.get(n, n) for n in own] == [m.name for m in found]


def test_headers_and_tokens_are_libcarla_s(wheel: Wheel) -> None:
    snapshot = wheel.structure("Header", "episode_id")
    assert snapshot == (records._HEADER.size, snapshot[1])
    assert theirs(snapshot[1]) == packed("Q d f 12s I")
    assert records._HEADER.format == "<QdfiiiI"
    sensor = wheel.structure("Header", "sensor_type")
    assert sensor == (streams._HEADER.size, sensor[1])
    assert theirs(sensor[1]) == packed("Q Q d 24s")
    assert streams._HEADER.format == "<QQd6f"
    token = wheel.structure("token_data")
    assert token == (streams._TOKEN.size, token[1])
    assert theirs(token[1]) == packed("I H B B 16s")
    assert len(streams.token(1, 2, "127.0.0.1")) == token[0]


def test_points_and_pictures_are_libcarla_s(wheel: Wheel) -> None:
    for name, record in (("SemanticLidarDetection", SEMANTIC_POINT), ("LidarDetection", PLAIN_POINT)):
        size, members = wheel.structure(name)
        assert record.itemsize == size
        assert ours(record, "x y z", *record.names[3:]) == theirs(members)
    size, members = wheel.structure("ImageHeader")
    assert (size, theirs(members)) == (cameras._HEADER.size, packed("I I f"))


ARRAYS: list[tuple[type[Any], str, str]] = [
    (layouts.Vector, "Vector3D", "x"),
    (layouts.Rotation, "Rotation", "pitch"),
    (layouts.Transform, "Transform", "location"),
    (layouts.BoundingBox, "BoundingBox", "location"),
    (layouts.Attribute, "ActorAttribute", "id"),
    (layouts.Definition, "ActorDefinition", "uid"),
    (layouts.Description, "ActorDescription", "uid"),
    (layouts.ActorInfo, "Actor", "id"),
    (layouts.EpisodeInfo, "EpisodeInfo", "id"),
    (layouts.MapInfo, "MapInfo", "name"),
    (layouts.Settings, "EpisodeSettings", "synchronous_mode"),
]


@pytest.mark.parametrize(("own", "name", "first"), ARRAYS, ids=[row[1] for row in ARRAYS])
def test_arrays_have_the_fields_of_libcarla_s_structures(
    wheel: Wheel, own: type[Any], name: str, first: str
) -> None:
    """In their order, and under their names, but for three where another says more."""
    ours_called = {
        "spawn_points": "recommended_spawn_points", "recommended": "recommended_values",
        "modifiable": "is_modifiable",
    }  # fmt: skip
    found = [m.name for m in wheel.structure(name, first)[1]]
    assert [ours_called.get(field, field) for field in own._fields] == found


def test_sheets_have_as_many_fields_as_libcarla_reads(wheel: Wheel) -> None:
    row = np.zeros(1, STATE)[0]
    sheet = physics_sheet(row)
    names = [m.name for m in wheel.structure("VehiclePhysicsControl", "torque_curve")[1]]
    assert len(sheet) == len(names)
    assert [names.index(n) for n in ("forward_gears", "mass", "wheels")] == [10, 11, 15]
    assert len(sheet[10][0]) == len(wheel.structure("GearPhysicsControl")[1])
    wheels = [m.name for m in wheel.structure("WheelPhysicsControl")[1]]
    assert {len(one) for one in sheet[15]} == {len(wheels)}
    assert wheels.index("max_steer_angle") == 2
    assert len(telemetry(row)) == len(wheel.structure("VehicleTelemetryData", "speed")[1])
    assert len(ackermann_sheet()) == len(wheel.structure("AckermannControllerSettings", "speed_kp")[1])
    assert len(layouts.WEATHER) == len(wheel.structure("WeatherParameters", "cloudiness")[1])


def test_commands_come_in_libcarla_s_order_with_as_many_fields(wheel: Wheel) -> None:
    symbol = wheel.symbol(b"variantIJN5carla3rpc7Command10SpawnActor")
    listed = symbol[symbol.index("7Command10SpawnActor") + 8 :].split("EEE")[0]
    names = re.findall(r"\d+([A-Z]\w+?)(?=ENS|$)", listed)
    assert len(names) == len(commands.COMMANDS) == 22
    for name, (_, count) in zip(names, commands.COMMANDS, strict=True):
        fields = [
            m.name for m in wheel.structure(name)[1] if m.name != "tm_port"
        ]  # which stays in the client
        assert len(fields) == count, name
    assert (names[0], names[7], names[21]) == ("SpawnActor", "ApplyWalkerState", "SetTrafficLightState")


def test_sensors_have_their_places_in_libcarla_s_registry(wheel: Wheel) -> None:
    symbol = wheel.symbol(b"6sensor19CompositeSerializerIJ")
    names = [m[: int(n)] for n, m in re.findall(r"P(\d+)([AF]\w+)", symbol.replace("P", " P"))]
    places = {
        "sensor.other.collision": "ACollisionSensor", "sensor.camera.depth": "ADepthCamera",
        "sensor.camera.normals": "ANormalsCamera", "sensor.camera.dvs": "ADVSCamera",
        "sensor.other.gnss": "AGnssSensor", "sensor.other.imu": "AInertialMeasurementUnit",
        "sensor.other.lane_invasion": "ALaneInvasionSensor",
        "sensor.other.obstacle": "AObstacleDetectionSensor",
        "sensor.camera.optical_flow": "AOpticalFlowCamera", "sensor.other.radar": "ARadar",
        "sensor.lidar.ray_cast_semantic": "ARayCastSemanticLidar",
        "sensor.lidar.ray_cast": "ARayCastLidar", "sensor.camera.rgb": "ASceneCaptureCamera",
        "sensor.camera.semantic_segmentation": "ASemanticSegmentationCamera",
        "sensor.camera.instance_segmentation": "AInstanceSegmentationCamera",
    }  # fmt: skip
    assert {name: names.index(places[name]) for name in SENSOR_TYPE} == SENSOR_TYPE
    assert names.index("FWorldObserver") == WORLD_OBSERVER


def test_enumerations_have_libcarla_s_values(wheel: Wheel) -> None:
    for own, name, first in (
        (layouts.AttributeType, "ActorAttributeType", "RGBColor"),
        (LightState, "TrafficLightState", "Green"),
        (Tag, "CityObjectLabel", "Car"),
    ):
        found = {key.upper().replace("_", ""): value for key, value in wheel.enumeration(name, first).items()}
        for member in own:
            assert found[member.name.replace("_", "")] == member.value, member
    assert wheel.enumeration("SimulationState", "MapChange")["MapChange"] == MAP_CHANGED
    assert wheel.enumeration("ActorState", "Active")["Active"] == 1
