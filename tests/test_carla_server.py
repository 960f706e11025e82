"""The stand-in gives the unmodified CARLA client right values (CARLA's frame: y south, degrees clockwise)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from carla_stand_in import CAR, LANE_Y, OTHER, WALKER, StandIn, connect, place, spawn, stand_in, xyz

from drivewm_sim.carla_server.physics import braking_distance
from drivewm_sim.roads.towns import load_town, town_names

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


def test_an_actor_stands_where_it_was_spawned(street: tuple[Any, Any]) -> None:
    _, world = street
    car = spawn(world, CAR, place(-50, LANE_Y, 0.0, 12.0), color="1,2,3", role_name="hero")
    world.tick()
    assert xyz(car.get_location()) == pytest.approx([-50, LANE_Y, 0], abs=1e-4)
    assert car.get_transform().rotation.yaw == pytest.approx(12.0, abs=1e-4)
    assert car.attributes["color"] == "1,2,3"
    assert car.attributes["role_name"] == "hero"
    assert car.semantic_tags == [14]
    assert xyz(car.bounding_box.extent) == pytest.approx([2.395, 1.08, 0.745])
    assert {actor.id for actor in world.get_actors()} >= {car.id}
    assert world.get_actor(car.id).type_id == CAR


def test_spawning_into_another_fails_with_carla_s_words(street: tuple[Any, Any]) -> None:
    _, world = street
    spawn(world, CAR, place(-50, LANE_Y))
    with pytest.raises(RuntimeError, match="Spawn failed because of collision at spawn position"):
        spawn(world, OTHER, place(-48, LANE_Y))
    library = world.get_blueprint_library()
    assert world.try_spawn_actor(library.find(WALKER), place(-50, LANE_Y, 0.9)) is None
    assert world.try_spawn_actor(library.find(WALKER), place(-50, LANE_Y + 4, 0.9)) is not None


def test_destroying_takes_the_attached_along(street: tuple[Any, Any]) -> None:
    _, world = street
    car = spawn(world, CAR, place(-50, LANE_Y))
    sensor = spawn(world, "sensor.other.imu", place(1, 0, 1), car)
    world.tick()
    assert xyz(sensor.get_location()) == pytest.approx([-49, LANE_Y, 1], abs=1e-4)
    assert car.destroy()
    world.tick()
    assert not {car.id, sensor.id} & {actor.id for actor in world.get_actors()}


def test_settings_and_time_are_as_set(street: tuple[Any, Any]) -> None:
    _, world = street
    before = world.get_snapshot()
    assert world.tick() == before.frame + 1
    after = world.get_snapshot()
    assert after.elapsed_seconds - before.elapsed_seconds == pytest.approx(0.05)
    assert after.delta_seconds == pytest.approx(0.05)
    settings = world.get_settings()
    assert settings.synchronous_mode
    assert settings.fixed_delta_seconds == pytest.approx(0.05)
    settings.synchronous_mode, settings.max_substeps = False, 5
    world.apply_settings(settings)
    assert world.get_settings().max_substeps == 5
    assert world.wait_for_tick().frame > after.frame  # it now runs by itself


def test_every_town_is_served_with_spawn_points_on_its_lanes(server: StandIn) -> None:
    client = carla.Client("127.0.0.1", server.port)
    client.set_timeout(60.0)
    assert [name.rpartition("/")[2] for name in client.get_available_maps()] == list(town_names())
    for town in town_names():
        world = client.load_world(town)
        town_map = world.get_map()
        assert town_map.name == f"Carla/Maps/{town}"
        points = town_map.get_spawn_points()
        assert len(points) > 10
        for point in points:
            lane = town_map.get_waypoint(point.location)
            assert lane.transform.location.distance(point.location) < 0.6  # they hover half a metre
            turn = (lane.transform.rotation.yaw - point.rotation.yaw + 180) % 360 - 180
            assert abs(turn) < 2.0


def test_a_map_can_be_uploaded(server: StandIn) -> None:
    client, world = connect(server, "plaza")
    text = world.get_map().to_opendrive()
    uploaded = client.generate_opendrive_world(text, reset_settings=False)
    assert uploaded.get_map().name == "Carla/Maps/OpenDriveMap"
    assert uploaded.get_map().to_opendrive() == text
    with pytest.raises(RuntimeError, match="map not found"):
        client.load_world("Town99")


def test_the_catalogue_has_what_streets_need(street: tuple[Any, Any]) -> None:
    _, world = street
    library = world.get_blueprint_library()
    kinds = {b.get_attribute("base_type").as_str() for b in library.filter("vehicle.*")}
    assert kinds == {"car", "van", "truck", "bus", "motorcycle", "bicycle"}
    ages = [b.get_attribute("age").as_str() for b in library.filter("walker.*")]
    assert {"adult", "child", "elderly"} == set(ages)
    assert ages.count("child") >= 4
    walker = library.find(WALKER)
    assert float(walker.get_attribute("speed").recommended_values[1]) == pytest.approx(1.4)
    assert library.find("vehicle.bh.crossbike").get_attribute("number_of_wheels").as_int() == 2
    assert len(library.filter("sensor.*")) >= 12


def test_full_braking_takes_the_closed_form_s_distance(street: tuple[Any, Any]) -> None:
    """dv/dt = -(b + c v^2) with b = 8.12 m/s^2 (brakes and rolling) and c = 3e-4 /m (air) stops in

    ln(1 + c v^2 / b) / (2 c) metres: 13.8 from 15 m/s.
    """
    _, world = street
    car = spawn(world, CAR, place(-110, LANE_Y))
    world.tick()
    car.set_target_velocity(carla.Vector3D(15.0, 0.0, 0.0))
    world.tick()
    speed, begin = car.get_velocity().length(), car.get_location().x
    car.apply_control(carla.VehicleControl(brake=1.0))
    for _ in range(60):
        world.tick()
    assert car.get_velocity().length() == 0.0
    closed_form = math.log(1.0 + 3e-4 * speed**2 / 8.12) / (2.0 * 3e-4)
    assert braking_distance(speed) == pytest.approx(closed_form)
    assert car.get_location().x - begin == pytest.approx(closed_form, rel=0.03)


def test_pedals_wheel_and_gears(street: tuple[Any, Any]) -> None:
    """From a stand at full throttle speed is thrust * t; turned wheels turn it by v cos(b) tan(d) / L.

    The inner wheel has the whole steering angle; the axle's middle, between wheels 1.62 m apart, less.
    """
    _, world = street
    car = spawn(world, CAR, place(-100, LANE_Y))
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(21):
        world.tick()
    assert car.get_velocity().x == pytest.approx(21 * 0.05 * (4.5 - 0.12), rel=0.01)
    assert car.get_acceleration().x == pytest.approx(4.38, rel=0.01)
    car.apply_control(carla.VehicleControl(hand_brake=True))
    for _ in range(60):
        world.tick()
    assert car.get_velocity().length() == 0.0
    car.apply_control(carla.VehicleControl(throttle=0.3, reverse=True))
    for _ in range(20):
        world.tick()
    assert car.get_velocity().x < -1.0
    assert car.get_control().gear == -1
    car.apply_control(carla.VehicleControl(steer=0.5))
    car.set_target_velocity(carla.Vector3D(2.0, 0.0, 0.0))
    for _ in range(10):
        world.tick()
    speed = car.get_velocity().length()
    inner = math.tan(math.radians(0.5 * 70.0 * (1 - 0.005 * 3.6 * speed)))
    middle, outer = inner / (1 + 0.5 * 1.62 * inner / 2.88), inner / (1 + 1.62 * inner / 2.88)
    rate = math.degrees(speed * math.cos(math.atan(0.5 * middle)) * middle / 2.88)
    assert car.get_angular_velocity().z == pytest.approx(rate, rel=0.02)  # clockwise: to the right
    sides = carla.VehicleWheelLocation
    for side, turned in ((sides.FL_Wheel, outer), (sides.FR_Wheel, inner), (sides.BL_Wheel, 0.0)):
        assert math.tan(math.radians(car.get_wheel_steer_angle(side))) == pytest.approx(turned, rel=0.02)


def test_in_a_bend_the_nose_points_inwards_by_what_the_tyres_slip(street: tuple[Any, Any]) -> None:
    """At 10 m/s on 80 m radius, 1.25 m/s^2 across: by 0.49 of the 1.03 degrees that it pointed outwards."""
    _, world = street
    car = spawn(world, CAR, place(-100, LANE_Y))
    car.set_target_velocity(carla.Vector3D(10.0, 0.0, 0.0))
    wheels = math.atan(2.88 / 80.0)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=10.0, steer=wheels))
    for _ in range(10):
        world.tick()
    velocity, turn = car.get_velocity(), math.radians(car.get_angular_velocity().z)
    assert velocity.length() / turn == pytest.approx(80.0, abs=1.5)
    slip = math.degrees(math.atan2(velocity.y, velocity.x)) - car.get_transform().rotation.yaw
    assert slip == pytest.approx(math.degrees(0.5 * 2.88 / 80.0) - 0.49, abs=0.03)


def test_an_ackermann_wish_is_met(street: tuple[Any, Any]) -> None:
    _, world = street
    car = spawn(world, CAR, place(-100, LANE_Y))
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, acceleration=2.0, steer=0.1))
    for _ in range(30):
        world.tick()
    assert car.get_velocity().length() == pytest.approx(30 * 0.05 * 2.0, rel=0.02)
    for _ in range(40):
        world.tick()
    assert car.get_velocity().length() == pytest.approx(5.0, rel=0.01)


def test_a_walker_at_1_4_m_per_s_moves_1_4_m_in_a_second(street: tuple[Any, Any]) -> None:
    _, world = street
    walker = spawn(world, WALKER, place(-50, 4.5, 0.84))
    world.tick()
    before = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0, -1, 0), 1.4))
    for _ in range(20):
        world.tick()
    assert np.subtract(xyz(walker.get_location()), xyz(before)) == pytest.approx([0, -1.4, 0], abs=1e-3)
    assert walker.get_velocity().y == pytest.approx(-1.4)
    assert walker.get_control().speed == pytest.approx(1.4)
    assert walker.get_transform().rotation.yaw == pytest.approx(-90.0)


def test_a_walker_s_state_sets_its_feet_and_shows_no_velocity(street: tuple[Any, Any]) -> None:
    client, world = street
    walker = spawn(world, WALKER, place(-50, 4.5, 0.84))
    world.tick()
    for i in range(3):
        state = carla.command.ApplyWalkerState(walker.id, place(-49 + i, 3.0, 0.0, 90.0), 1.4)
        (response,) = client.apply_batch_sync([state], True)
        assert response.error == ""
    assert xyz(walker.get_location()) == pytest.approx([-47, 3.0, walker.bounding_box.extent.z], abs=1e-4)
    assert walker.get_velocity().length() == 0.0


def test_a_batch_answers_for_every_command(street: tuple[Any, Any]) -> None:
    client, world = street
    command, library = carla.command, world.get_blueprint_library()
    drive = command.ApplyTargetVelocity(command.FutureActor, carla.Vector3D(3, 0, 0))
    responses = client.apply_batch_sync(
        [
            command.SpawnActor(library.find(CAR), place(-50, LANE_Y)).then(drive),
            command.SpawnActor(library.find(CAR), place(-50, LANE_Y)),
            command.DestroyActor(9999),
        ],
        True,
    )
    assert [bool(r.error) for r in responses] == [False, True, True]
    assert "collision" in responses[1].error
    assert world.get_actor(responses[0].actor_id).get_velocity().x == pytest.approx(3.0, abs=0.1)


def test_a_batch_of_places_does_what_single_commands_do(street: tuple[Any, Any]) -> None:
    """The quick way for such batches must equal the slow one, which a command of another kind forces."""
    client, world = street
    command = carla.command
    found = []
    for extra in ([], [0]):
        car, walker = spawn(world, CAR, place(-50, LANE_Y)), spawn(world, WALKER, place(-40, 4.5, 0.84))
        batch = [
            command.ApplyTransform(car.id, place(-20, 1, 0, 33)),
            command.ApplyTransform(walker.id, place(-20, 9, 1, 3)),
            command.ApplyWalkerState(walker.id, place(-30, 5, 0, 60), 1.2),
            *(command.SetSimulatePhysics(car.id, True) for _ in extra),
        ]
        assert not any(r.error for r in client.apply_batch_sync(batch, True))
        control = walker.get_control()
        found.append(
            [*xyz(car.get_location()), *xyz(walker.get_location()), *xyz(control.direction), control.speed]
        )
        car.destroy()
        walker.destroy()
        world.tick()
    assert found[0] == found[1]


def test_level_boxes_are_the_town_s(server: StandIn) -> None:
    _, world = connect(server, "grid")
    boxes = load_town("grid").street.boxes
    labels = carla.CityObjectLabel
    buildings = world.get_level_bbs(labels.Buildings)
    assert len(buildings) == (boxes.kind == 1).sum()
    first = int(np.flatnonzero(boxes.kind == 1)[0])
    assert [buildings[0].location.x, buildings[0].location.y] == pytest.approx(
        [boxes.x[first], -boxes.y[first]], abs=1e-3
    )
    parked = world.get_environment_objects(labels.Car)
    assert len(parked) == (boxes.kind == 0).sum()
    assert {thing.type for thing in parked} == {labels.Car}


def test_sync_mode_repeats_itself(server: StandIn) -> None:
    def run() -> list[float]:
        _, world = connect(server, "grid")
        points = world.get_map().get_spawn_points()
        cars = [spawn(world, CAR, point) for point in points[:40:4]]
        out = []
        for i in range(40):
            for k, car in enumerate(cars):
                car.apply_control(carla.VehicleControl(throttle=0.5 + 0.05 * k, steer=0.1 * math.sin(i + k)))
            world.tick()
            out += [v for car in cars for v in (*xyz(car.get_location()), car.get_transform().rotation.yaw)]
        return out

    assert run() == run()


def test_every_field_of_a_vehicle_s_record_reaches_the_client(street: tuple[Any, Any]) -> None:
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    control = carla.VehicleControl(
        throttle=0.25, steer=-0.5, brake=0.125, hand_brake=True, reverse=True, manual_gear_shift=True, gear=3
    )
    car.apply_control(control)
    world.tick()
    assert car.get_control() == control
    assert car.get_speed_limit() == 30.0
    assert car.get_physics_control().mass == pytest.approx(1845.0)
    assert car.get_physics_control().wheels[0].max_steer_angle == pytest.approx(70.0)
    car.set_light_state(carla.VehicleLightState(carla.VehicleLightState.Brake))
    world.tick()
    assert world.get_vehicles_light_states()[car.id] == carla.VehicleLightState.Brake


def test_a_walker_has_a_bone_and_a_component(street: tuple[Any, Any]) -> None:
    _, world = street
    walker = spawn(world, WALKER, place(-50, 4.5, 0.9))
    world.tick()
    (bone,) = walker.get_bones().bone_transforms
    assert bone.world.location.x == pytest.approx(-50)
