"""The unmodified client makes every call of the protocol that a CARLA program makes, and gets right values.

A proxy writes down what the client asks for. Every test names the calls of one operation exactly; the last
claim is that together they are all the calls that have been seen of such programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from carla_recorder import Recorder, recorder
from carla_stand_in import StandIn, connect, place, spawn, stand_in
from killable import run_killable

from drivewm_sim.roads.towns import town_text

pytestmark = pytest.mark.alone

carla = pytest.importorskip("carla", reason="the carla client is not installed")

CAR, WALKER = "vehicle.tesla.model3", "walker.pedestrian.0001"

ALL_CALLS = {
    # a world and its map
    "version", "get_episode_info", "get_sensor_token", "get_episode_settings", "set_episode_settings",
    "tick_cue", "get_required_files", "request_file", "query_lights_state", "get_map_info", "get_map_data",
    "load_new_episode", "copy_opendrive_to_file", "get_actor_definitions", "get_spectator",
    # actors
    "spawn_actor", "spawn_actor_with_parent", "destroy_actor", "get_actors_by_id", "get_actor_bounding_box",
    "apply_control_to_vehicle", "apply_control_to_walker", "set_actor_transform",
    "set_actor_target_velocity", "set_traffic_light_state", "apply_batch",
    # walkers' minds
    "set_actor_simulate_physics", "set_actor_collisions", "set_actor_dead",
    # the Traffic Manager
    "is_traffic_manager_running", "get_traffic_manager_running", "add_traffic_manager_running",
    "destroy_traffic_manager", "get_physics_control", "get_vehicle_light_states", "reset_all_traffic_lights",
}  # fmt: skip

LOADING = {
    "version", "load_new_episode", "get_episode_info", "get_sensor_token", "get_episode_settings",
    "query_lights_state", "tick_cue",
}  # fmt: skip
Exactly = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "grid") as running:
        yield running
        assert running.lives()


@pytest.fixture(scope="module")
def proxy(server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with recorder(server.port, tmp_path_factory.mktemp("calls")) as running:
        yield running


@pytest.fixture(scope="module")
def scene(proxy: Recorder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """One client and its world, ticked by us. Files that it fetches go to a folder of their own."""
    client, world = connect(SimpleNamespace(port=proxy.port), "grid")
    client.set_files_base_folder(str(tmp_path_factory.mktemp("files")))
    return client, world


@pytest.fixture
def exactly(proxy: Recorder, scene: tuple[Any, Any]) -> Exactly:
    """A block in which the client makes these calls and no others."""

    @contextmanager
    def block(*names: str, may: set[str] | None = None) -> Iterator[None]:
        before = len(proxy.calls())
        yield
        scene[0].get_server_version()  # comes after all that is sent without waiting for an answer
        made = proxy.calls()[before:]
        assert made.pop() == "version"
        assert set(names) <= set(made) <= set(names) | (may or set())

    return block


@pytest.fixture
def car(scene: tuple[Any, Any]) -> Iterator[Any]:
    _, world = scene
    made = world.spawn_actor(world.get_blueprint_library().find(CAR), world.get_map().get_spawn_points()[0])
    world.tick()
    yield made
    made.destroy()


def test_a_client_meets_the_server(scene: tuple[Any, Any], proxy: Recorder, exactly: Exactly) -> None:
    client, _ = scene
    with exactly("version"):
        assert client.get_server_version() == client.get_client_version() == "0.9.16"
    second = carla.Client("127.0.0.1", proxy.port)
    second.set_timeout(20.0)
    with exactly(
        "version", "get_episode_info", "get_sensor_token", "get_episode_settings", "query_lights_state",
        may={"get_required_files", "request_file"},
    ):  # fmt: skip
        other = second.get_world()
    assert other.id == scene[1].id


def test_the_map_comes_as_opendrive(scene: tuple[Any, Any], exactly: Exactly) -> None:
    _, world = scene
    with exactly("get_map_info", "get_required_files", "get_map_data"):
        town_map = world.get_map()
    assert town_map.name == "Carla/Maps/grid"
    assert town_map.to_opendrive() == town_text("grid")
    assert len(town_map.get_spawn_points()) > 10


def test_settings_go_there_and_come_back(scene: tuple[Any, Any], exactly: Exactly) -> None:
    """Every field, so that none can have taken another's place."""
    _, world = scene
    with exactly("get_episode_settings"):
        kept = world.get_settings()
    given = carla.WorldSettings(
        synchronous_mode=True, no_rendering_mode=True, fixed_delta_seconds=0.04, substepping=False,
        max_substep_delta_time=0.02, max_substeps=7, max_culling_distance=123.0,
        deterministic_ragdolls=False, tile_stream_distance=2500.0, actor_active_distance=1500.0,
        spectator_as_ego=False,
    )  # fmt: skip
    with exactly("set_episode_settings", "tick_cue"):
        world.apply_settings(given)
    assert world.get_settings() == given
    world.tick()
    assert world.get_snapshot().delta_seconds == pytest.approx(0.04)
    world.apply_settings(kept)
    assert world.get_settings() == kept


def test_ticks_are_one_call(scene: tuple[Any, Any], exactly: Exactly) -> None:
    _, world = scene
    before = world.get_snapshot().frame
    with exactly("tick_cue"):
        assert [world.tick() - before for _ in range(3)] == [1, 2, 3]
    assert world.get_snapshot().frame == before + 3


def test_the_catalogue_and_the_spectator(scene: tuple[Any, Any], exactly: Exactly) -> None:
    _, world = scene
    with exactly("get_actor_definitions"):
        library = world.get_blueprint_library()
    assert library.find(CAR).get_attribute("number_of_wheels").as_int() == 4
    with exactly("get_spectator"):
        spectator = world.get_spectator()
    spectator.set_transform(place(1, 2, 3, 4))
    world.tick()
    assert spectator.get_transform() == place(1, 2, 3, 4)


def test_actors_come_and_go(scene: tuple[Any, Any], exactly: Exactly) -> None:
    _, world = scene
    library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[3]
    with exactly("spawn_actor"):
        car = world.spawn_actor(library.find(CAR), point)
    with exactly("spawn_actor_with_parent"):
        sensor = world.spawn_actor(library.find("sensor.other.imu"), place(1, 0, 2), attach_to=car)
    with exactly("get_sensor_token"):
        sensor.listen(lambda _: None)
    sensor.stop()
    world.tick()
    assert sensor.parent.id == car.id
    assert sensor.get_location().distance(car.get_location()) == pytest.approx(5**0.5, abs=1e-3)
    with exactly("destroy_actor"):
        assert car.destroy()
    world.tick()
    assert not {car.id, sensor.id} & {actor.id for actor in world.get_snapshot()}


def test_actors_of_others_are_asked_for_once(
    scene: tuple[Any, Any], proxy: Recorder, exactly: Exactly
) -> None:
    _, world = scene
    second = carla.Client("127.0.0.1", proxy.port).get_world()
    theirs = second.spawn_actor(
        second.get_blueprint_library().find(CAR), second.get_map().get_spawn_points()[5]
    )
    world.tick()
    with exactly("get_actors_by_id"):
        found = world.get_actor(theirs.id)
    assert (found.type_id, found.id) == (CAR, theirs.id)
    with exactly(may={"get_actors_by_id"}):
        everybody = world.get_actors()
    with exactly():
        assert [a.id for a in world.get_actors()] == [a.id for a in everybody]
    theirs.destroy()


def test_state_costs_no_call_but_the_box_does(car: Any, exactly: Exactly) -> None:
    with exactly():
        assert car.get_transform().location.distance(car.get_location()) == 0.0
        assert car.get_velocity().length() == pytest.approx(9.81 * 0.05)  # it falls half a metre
        assert car.get_acceleration().z == pytest.approx(-9.81)
        assert car.get_angular_velocity().length() == 0.0
        assert car.get_control() == carla.VehicleControl()
        assert car.get_speed_limit() > 0.0
        assert not car.is_at_traffic_light()
    with exactly("get_actor_bounding_box"):
        box = car.bounding_box
    assert (box.extent.x, box.extent.y, box.extent.z) == pytest.approx((2.395, 1.08, 0.745))


def test_vehicles_obey(scene: tuple[Any, Any], car: Any, exactly: Exactly) -> None:
    _, world = scene
    point = world.get_map().get_spawn_points()[9]
    with exactly("set_actor_transform"):
        car.set_transform(point)
    for _ in range(20):
        world.tick()
    fallen = point.location - car.get_location()
    assert (fallen.x, fallen.y, fallen.z) == pytest.approx((0.0, 0.0, 0.5), abs=0.01)
    with exactly("set_actor_target_velocity"):
        car.set_target_velocity(4.0 * point.get_forward_vector())
    with exactly("apply_control_to_vehicle"):
        car.apply_control(carla.VehicleControl(brake=0.25))
    world.tick()
    assert car.get_velocity().length() == pytest.approx(4.0 - 0.05 * (0.25 * 8.0 + 0.12), abs=0.01)
    assert car.get_control().brake == 0.25
    with exactly("get_physics_control"):
        sheet = car.get_physics_control()
    assert (sheet.mass, sheet.wheels[0].max_steer_angle) == pytest.approx((1845.0, 70.0))


def test_lights_obey(scene: tuple[Any, Any], exactly: Exactly) -> None:
    _, world = scene
    light = world.get_actors().filter("traffic.traffic_light")[0]
    for state in (carla.TrafficLightState.Yellow, carla.TrafficLightState.Off, carla.TrafficLightState.Red):
        with exactly("set_traffic_light_state"):
            light.set_state(state)
        world.tick()
        assert light.get_state() == state


def test_walkers_have_minds_and_die_under_cars(scene: tuple[Any, Any], exactly: Exactly) -> None:
    """The client moves them by batches and says so when a vehicle has run one over."""
    _, world = scene
    library = world.get_blueprint_library()
    start = world.get_random_location_from_navigation()
    walker = spawn(world, WALKER, place(start.x, start.y, start.z + 1.0))
    world.tick()
    with exactly("apply_control_to_walker"):
        walker.apply_control(carla.WalkerControl(carla.Vector3D(1, 0, 0), 1.0))
    mind = world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker)
    world.tick()
    with exactly("set_actor_simulate_physics", "set_actor_collisions"):
        mind.start()
    mind.set_max_speed(1.4)
    before = walker.get_location()
    with exactly("apply_batch", "tick_cue"):
        mind.go_to_location(world.get_random_location_from_navigation())
        for _ in range(40):
            world.tick()
    assert 0.5 < walker.get_location().distance(before) < 1.4 * 40 * 0.05 + 0.1
    killer = world.spawn_actor(library.find(CAR), world.get_map().get_spawn_points()[5])
    world.tick()
    with exactly(
        "set_actor_dead", "set_actor_collisions", "destroy_actor", "set_actor_transform", "tick_cue",
        may={"apply_batch", "set_actor_simulate_physics"},
    ):  # fmt: skip
        for i in range(40):
            at = walker.get_location()
            killer.set_transform(place(at.x - 4.0 + 0.2 * i, at.y, 0.0))
            world.tick()
    assert mind.id not in {actor.id for actor in world.get_snapshot()}
    lies = walker.get_location()
    for _ in range(5):
        world.tick()
    assert walker.get_location().distance(lies) < 1e-3
    killer.destroy()
    walker.destroy()


@pytest.mark.slow
def test_traffic_manager_cars_drive_and_wait_at_red(
    proxy: Recorder, scene: tuple[Any, Any], record_property: pytest.RecordProperty
) -> None:
    before = len(proxy.calls())
    ended = run_killable("carla_traffic.py", proxy.port, limit_s=90.0)
    record_property("tries", ended.tries)
    assert ended.status == 0, ended.output + ended.errors
    assert {name for name in proxy.calls()[before:] if "traffic" in name or "vehicle" in name} == {
        "is_traffic_manager_running", "get_traffic_manager_running", "add_traffic_manager_running",
        "destroy_traffic_manager", "get_vehicle_light_states", "reset_all_traffic_lights",
        "freeze_all_traffic_lights", "set_traffic_light_state",
    }  # fmt: skip
    assert {2, 16} <= set(proxy.commands())  # controls of vehicles, and who is on autopilot


def test_episodes_begin_anew(scene: tuple[Any, Any], exactly: Exactly) -> None:
    """In a town of its own, in the same again, or on a map of the client's. The last of these tests."""
    client, _ = scene
    nav = {"get_required_files", "request_file"}
    with exactly(*LOADING - {"tick_cue"}, may=LOADING | nav):
        world = client.load_world("crossing")
    spawn(world, CAR, place(-50, 1.625))
    with exactly(*LOADING - {"tick_cue"}, may=LOADING | nav):
        again = client.reload_world()
    assert again.id != world.id
    assert again.get_map().name == "Carla/Maps/crossing"
    assert not again.get_actors().filter("vehicle.*")
    with exactly("copy_opendrive_to_file", *LOADING - {"tick_cue"}, may=LOADING | nav):
        uploaded = client.generate_opendrive_world(town_text("plaza"))
    assert uploaded.get_map().to_opendrive() == town_text("plaza")


def test_that_was_every_call(proxy: Recorder, request: pytest.FixtureRequest) -> None:
    tests = [name for name in vars(request.module) if name.startswith("test_")]
    ran = {item.originalname for item in request.session.items if item.module is request.module}
    if ran != set(tests):
        pytest.skip("only after all the tests above")
    assert set(proxy.calls()) >= ALL_CALLS
