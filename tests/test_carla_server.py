"""The stand-in gives the unmodified CARLA client right values (CARLA's frame: y south, degrees clockwise)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from carla_stand_in import StandIn, connect, measured, place, spawn, stand_in
from killable import run_killable

from drivewm_sim.carla_server import records
from drivewm_sim.carla_server.physics import braking_distance
from drivewm_sim.roads.towns import load_town, town_names

carla = pytest.importorskip("carla", reason="the carla client is not installed")

CAR, OTHER, WALKER = "vehicle.tesla.model3", "vehicle.mini.cooper_s", "walker.pedestrian.0001"
LANE_Y = 1.625  # of the eastbound lane of `crossing`


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "crossing") as running:
        yield running
        assert running.lives()


@pytest.fixture
def street(server: StandIn) -> tuple[Any, Any]:
    """Client and world of a fresh, empty street along x."""
    return connect(server, "crossing")


def xyz(vector: Any) -> list[float]:
    return [vector.x, vector.y, vector.z]


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
    assert car.get_location().x - begin == pytest.approx(braking_distance(speed), rel=0.03)


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
    """Two cars in a row, inelastic: the impulse is the reduced mass times the closing speed."""
    _, world = street
    car, other = spawn(world, CAR, place(-60, LANE_Y)), spawn(world, OTHER, place(-54, LANE_Y))
    sensor = spawn(world, "sensor.other.collision", place(0, 0), car)
    car.set_target_velocity(carla.Vector3D(10, 0, 0))
    events = measured(world, sensor, ticks=20)
    assert events
    first = events[0]
    assert (first.actor.id, first.other_actor.id) == (car.id, other.id)
    mass = 1 / (1 / 1845 + 1 / 1250)
    assert first.normal_impulse.x == pytest.approx(-10 * mass, rel=0.05)
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


def test_lane_invasion_is_noticed(street: tuple[Any, Any]) -> None:
    """The client finds it by itself, from the map, the bounding box and where the car is."""
    _, world = street
    car = spawn(world, CAR, place(-60, LANE_Y))
    sensor, got = spawn(world, "sensor.other.lane_invasion", place(0, 0), car), []
    sensor.listen(got.append)
    for i in range(20):
        car.set_transform(place(-60 + i * 0.3, LANE_Y - 0.15 * i))
        world.tick()
    sensor.stop()
    assert any(m.type == carla.LaneMarkingType.Broken for event in got for m in event.crossed_lane_markings)


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


def test_traffic_lights_cycle_freeze_and_obey(server: StandIn) -> None:
    _, world = connect(server, "grid", dt=0.5)
    world.tick()
    states = carla.TrafficLightState
    lights = list(world.get_actors().filter("traffic.traffic_light"))
    assert len(lights) == 20
    assert all(light.get_stop_waypoints() for light in lights)
    light = next(light for light in lights if light.state == states.Green)
    group = light.get_group_traffic_lights()
    assert light.id in [one.id for one in group]
    assert {one.state for one in group} == {states.Green, states.Red}
    seen = []
    cycle = sum(light.get_green_time() + light.get_yellow_time() + light.get_red_time() for _ in range(2))
    for _ in range(int(cycle / 0.5) + 2):
        if not seen or seen[-1] != light.state:
            seen.append(light.state)
        world.tick()
        green = [one for one in group if one.state != states.Red]
        assert len({one.state for one in green}) <= 1  # what shows green together turns yellow together
    assert seen[:4] == [states.Green, states.Yellow, states.Red, states.Green]
    world.freeze_all_traffic_lights(True)
    light.set_state(states.Red)
    for _ in range(200):
        world.tick()
    assert light.state == states.Red
    assert light.is_frozen()


def test_a_vehicle_knows_the_light_before_which_it_stands(server: StandIn) -> None:
    _, world = connect(server, "grid")
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    stop = light.get_stop_waypoints()[0].transform
    behind = stop.location - 3.0 * stop.get_forward_vector()
    car = spawn(world, CAR, carla.Transform(behind, stop.rotation))
    world.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id == light.id
    assert car.get_traffic_light_state() == light.state
    far = stop.location - 30.0 * stop.get_forward_vector()
    car.set_transform(carla.Transform(far, stop.rotation))
    world.tick()
    assert not car.is_at_traffic_light()


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


def test_records_have_the_size_that_libcarla_reads() -> None:
    for record in (
        records.ANY_RECORD, records.VEHICLE_RECORD, records.WALKER_RECORD, records.LIGHT_RECORD,
    ):  # fmt: skip
        assert record.itemsize == 119
    assert records.VEHICLE_RECORD.fields["failure"][1] == 65 + 29
    assert records.LIGHT_RECORD.fields["state"][1] == 65 + 53


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


@pytest.mark.slow
def test_traffic_manager_cars_drive_and_wait_at_red(
    server: StandIn, record_property: pytest.RecordProperty
) -> None:
    ended = run_killable("carla_traffic.py", server.port, limit_s=90.0)
    record_property("tries", ended.tries)
    assert ended.status == 0, ended.output + ended.errors


def test_a_walker_has_a_bone_and_a_component(street: tuple[Any, Any]) -> None:
    _, world = street
    walker = spawn(world, WALKER, place(-50, 4.5, 0.9))
    world.tick()
    (bone,) = walker.get_bones().bone_transforms
    assert bone.world.location.x == pytest.approx(-50)
