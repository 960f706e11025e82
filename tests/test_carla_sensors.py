"""What sensors on the stand-in measure, as the unmodified CARLA client hands it out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from carla_stand_in import (
    CAR,
    LANE_Y,
    OTHER,
    WALKER,
    StandIn,
    connect,
    measured,
    place,
    spawn,
    stand_in,
    xyz,
)  # fmt: skip

pytestmark = pytest.mark.alone

carla = pytest.importorskip("carla", reason="the carla client is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "crossing") as running:
        yield running
        assert running.lives()


@pytest.fixture
def street(server: StandIn) -> tuple[Any, Any]:
    """Client and world of a fresh, empty street along x."""
    return connect(server, "crossing")


def lidar(world: Any, car: Any, **attributes: object) -> Any:
    given = {
        "channels": 32, "range": 80, "points_per_second": 32 * 720 * 20, "rotation_frequency": 20,
        "upper_fov": 10, "lower_fov": -30,
    }  # fmt: skip
    return spawn(world, "sensor.lidar.ray_cast_semantic", place(0, 0, 1.8), car, **(given | attributes))


def test_lidar_points_lie_on_a_known_box_and_say_whose_it_is(street: tuple[Any, Any]) -> None:
    """The other car stands 20 m ahead; its rear is at 20 m less half its length."""
    _, world = street
    car, other = spawn(world, CAR, place(-60, LANE_Y)), spawn(world, OTHER, place(-40, LANE_Y))
    (sweep,) = measured(world, lidar(world, car))
    point = np.dtype([(n, "<f4") for n in ("x", "y", "z", "cos")] + [("object", "<u4"), ("tag", "<u4")])
    points = np.frombuffer(sweep.raw_data, point)
    assert len(points) > 10_000
    assert sum(sweep.get_point_count(i) for i in range(sweep.channels)) == len(points)
    assert sweep.get_point_count(31) == 720  # the lowest beam meets the road all round: a whole turn
    hits = points[points["object"] == other.id]
    box = other.bounding_box
    rear = 20.0 + box.location.x - box.extent.x
    assert len(hits) > 20
    assert hits["x"] == pytest.approx(rear, abs=0.02)
    assert np.abs(hits["y"]).max() < box.extent.y + 0.02
    assert set(hits["tag"]) == {14}
    assert hits["cos"].min() > 0.99
    road = points[points["tag"] == 1]
    assert road["z"] == pytest.approx(-1.8, abs=0.02)
    assert set(road["object"]) == {0}
    assert not (points["object"] == car.id).any()


def test_a_lidar_s_right_is_carla_s_right(street: tuple[Any, Any]) -> None:
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    walker = spawn(world, WALKER, place(-55, LANE_Y + 3, 0.84))
    (sweep,) = measured(world, lidar(world, car))
    hits = np.array([(d.point.x, d.point.y) for d in sweep if d.object_idx == walker.id])
    assert hits.mean(0) == pytest.approx([5, 3], abs=0.3)


def test_half_turns_make_a_whole_one(street: tuple[Any, Any]) -> None:
    """10 turns a second in steps of 0.05 s: the left half (angles from -180) first, then the right."""
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    sweeps = measured(world, lidar(world, car, rotation_frequency=10), ticks=2)
    left, right = (np.array([d.point.y for d in sweep]) for sweep in sweeps)
    assert left.max() < 0.05
    assert right.min() > -0.05


def test_boxes_that_meet_make_a_collision_event(street: tuple[Any, Any]) -> None:
    """Two cars in a row, inelastic: the impulse is the reduced mass times the closing speed, backwards on

    the one behind and forwards on the one before it.
    """
    _, world = street
    car, other = spawn(world, CAR, place(-60, LANE_Y)), spawn(world, OTHER, place(-54, LANE_Y))
    sensors = [spawn(world, "sensor.other.collision", place(0, 0), one) for one in (car, other)]
    heard: list[Any] = []
    sensors[1].listen(heard.append)
    car.set_target_velocity(carla.Vector3D(10, 0, 0))
    events = measured(world, sensors[0], ticks=20)
    sensors[1].stop()
    first = events[0]
    assert (first.actor.id, first.other_actor.id) == (car.id, other.id)
    mass = 1 / (1 / 1845 + 1 / 1250)
    assert first.normal_impulse.x == pytest.approx(-10 * mass, rel=0.05)
    assert [first.normal_impulse.y, first.normal_impulse.z] == pytest.approx([0.0, 0.0], abs=1e-3)
    assert (heard[0].actor.id, heard[0].other_actor.id) == (other.id, car.id)
    assert heard[0].frame == first.frame
    assert xyz(heard[0].normal_impulse) == pytest.approx([-v for v in xyz(first.normal_impulse)])
    gap = other.get_location().x - car.get_location().x
    touching = car.bounding_box.extent.x + other.bounding_box.extent.x
    assert gap == pytest.approx(touching, abs=0.6)


def test_obstacle_imu_and_gnss_measure_what_is_there(street: tuple[Any, Any]) -> None:
    _, world = street
    car, other = spawn(world, CAR, place(-60, LANE_Y)), spawn(world, OTHER, place(-45, LANE_Y))
    radar = spawn(world, "sensor.other.obstacle", place(2.5, 0, 0.8), car, distance=30, hit_radius=0.5)
    (seen,) = measured(world, radar)
    assert seen.other_actor.id == other.id
    assert seen.distance == pytest.approx(15 - 2.5 - other.bounding_box.extent.x + 0.02 - 0.5, abs=0.02)
    (at_rest,) = measured(world, spawn(world, "sensor.other.imu", place(0, 0), car))
    assert xyz(at_rest.accelerometer) == pytest.approx([0, 0, 9.81], abs=1e-3)
    assert at_rest.compass == pytest.approx(math.pi / 2)  # it looks east
    (place_on_earth,) = measured(world, spawn(world, "sensor.other.gnss", place(0, 0), car))
    expected = world.get_map().transform_to_geolocation(car.get_location())
    assert place_on_earth.latitude == pytest.approx(expected.latitude, abs=1e-9)
    assert place_on_earth.longitude == pytest.approx(expected.longitude, abs=1e-9)


def test_an_imu_feels_a_turn(street: tuple[Any, Any]) -> None:
    """To the right, steadily: v^2 / r inwards, and v / r about the upward axis (CARLA is left-handed)."""
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, steer=0.1))
    for _ in range(60):
        world.tick()
    (felt,) = measured(world, spawn(world, "sensor.other.imu", place(0, 0), car))
    slip = math.atan(0.5 * math.tan(0.1))
    rate = 5.0 * math.cos(slip) * math.tan(0.1) / 2.88
    assert xyz(felt.gyroscope) == pytest.approx([0.0, 0.0, rate], abs=0.01)
    # Across the way of the middle of the axles, which runs off the heading by the slip angle.
    inwards = 5.0 * rate
    expected = [-inwards * math.sin(slip), inwards * math.cos(slip), 9.81]
    assert xyz(felt.accelerometer) == pytest.approx(expected, abs=0.05)
    yaw = math.radians(car.get_transform().rotation.yaw)
    assert felt.compass == pytest.approx((yaw + math.pi / 2) % (2 * math.pi), abs=1e-3)


def test_lidar_intensity_fades_with_distance(street: tuple[Any, Any]) -> None:
    """Without drop-off and noise every point of the plain lidar is one of the semantic lidar's."""
    _, world = street
    car, other = spawn(world, CAR, place(-60, LANE_Y)), spawn(world, OTHER, place(-40, LANE_Y))
    given = {
        "channels": 32, "range": 80, "points_per_second": 32 * 720 * 20, "rotation_frequency": 20,
        "upper_fov": 10, "lower_fov": -30, "dropoff_general_rate": 0, "dropoff_intensity_limit": 1,
        "dropoff_zero_intensity": 0, "atmosphere_attenuation_rate": 0.01,
    }  # fmt: skip
    (plain,) = measured(world, spawn(world, "sensor.lidar.ray_cast", place(0, 0, 1.8), car, **given))
    points = np.frombuffer(plain.raw_data, "<f4").reshape(-1, 4)
    np.testing.assert_allclose(points[:, 3], np.exp(-0.01 * np.linalg.norm(points[:, :3], axis=1)), rtol=1e-3)
    rear = 20.0 + other.bounding_box.location.x - other.bounding_box.extent.x
    ahead = points[(np.abs(points[:, 1]) < 0.5) & (points[:, 0] > 15) & (points[:, 2] > -1.5)]
    assert len(ahead) > 10
    assert ahead[:, 0].min() == pytest.approx(rear, abs=0.02)


def test_lane_invasion_is_noticed(street: tuple[Any, Any]) -> None:
    """The client finds it by itself, from the map, the bounding box and where the car is."""
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    sensor, got = spawn(world, "sensor.other.lane_invasion", place(0, 0), car), []
    sensor.listen(got.append)
    beside = {}  # by frame
    for i in range(20):
        car.set_transform(place(-60 + i * 0.3, LANE_Y - 0.15 * i))
        beside[world.tick()] = LANE_Y - 0.15 * i
    for _ in range(100):
        if not got:
            time.sleep(0.01)  # the client looks in a thread of its own
    sensor.stop()
    # The middle line lies at y = 0, the left wheels 1.08 m from the car's middle.
    assert beside[got[0].frame] - 1.08 == pytest.approx(0.0, abs=0.15)
    assert {m.type for m in got[0].crossed_lane_markings} == {carla.LaneMarkingType.Broken}
