"""All 22 commands of `apply_batch`, each sent by the unmodified client, and what it does to the world."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from carla_recorder import Recorder, recorder
from carla_stand_in import connect, place, spawn, stand_in
from test_carla_wire import ask

carla = pytest.importorskip("carla", reason="the carla client is not installed")

CAR, WALKER = "vehicle.tesla.model3", "walker.pedestrian.0001"
LANE_Y = 1.625  # of the eastbound lane of `crossing`
MASS, DT = 1845.0, 0.05

COMMANDS = [
    "SpawnActor", "DestroyActor", "ApplyVehicleControl", "ApplyVehicleAckermannControl", "ApplyWalkerControl",
    "ApplyVehiclePhysicsControl", "ApplyTransform", "ApplyWalkerState", "ApplyTargetVelocity",
    "ApplyTargetAngularVelocity", "ApplyImpulse", "ApplyForce", "ApplyAngularImpulse", "ApplyTorque",
    "SetSimulatePhysics", "SetEnableGravity", "SetAutopilot", "ShowDebugTelemetry", "SetVehicleLightState",
    "ApplyLocation", "ConsoleCommand", "SetTrafficLightState",
]  # fmt: skip


class Batch:
    """A world through a recorder, with a car that stands in its lane and a walker beside the road."""

    def __init__(self, heard: Recorder) -> None:
        self.client, self.world = connect(SimpleNamespace(port=heard.port), "crossing", dt=DT)
        self.car = spawn(self.world, CAR, place(-60, LANE_Y))
        self.walker = spawn(self.world, WALKER, place(-50, 4.5, 0.84))
        self.world.tick()
        self.world.tick()
        self._heard = heard

    def send(self, *commands: Any, ticks: int = 1) -> Any:
        """The response to the last of some commands, which must arrive as what they are. Then it ticks."""
        before = self._heard.commands()
        responses = self.client.apply_batch_sync(list(commands), True)
        arrived = self._heard.commands() - before
        sent = [COMMANDS.index(type(command).__name__) for command in commands]
        assert sorted(arrived.elements()) == sorted(sent)
        for _ in range(ticks - 1):
            self.world.tick()
        return responses[-1]

    def done(self, *commands: Any, ticks: int = 1) -> None:
        response = self.send(*commands, ticks=ticks)
        assert response.error == ""
        assert response.actor_id == commands[-1].actor_id

    def bare(self, name: str, *payload: Any) -> Any:
        """Sends a command that Python's `carla.command` lacks, though libcarla knows it, and ticks."""
        error, (response,) = ask(self._heard.port, "apply_batch", [[[COMMANDS.index(name), payload]]], True)
        assert error is None
        return response

    def speed(self) -> float:
        return float(self.car.get_velocity().x)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    folder = tmp_path_factory.mktemp("server")
    with stand_in(folder, "crossing") as server, recorder(server.port, folder) as running:
        yield running
        assert server.lives()


@pytest.fixture
def batch(heard: Recorder) -> Batch:
    return Batch(heard)


def test_actors_are_spawned_with_parents_and_destroyed(batch: Batch) -> None:
    library, command = batch.world.get_blueprint_library(), carla.command
    made = batch.send(command.SpawnActor(library.find("sensor.other.imu"), place(1, 0, 1), batch.car))
    assert made.error == ""
    sensor = batch.world.get_actor(made.actor_id)
    assert sensor.parent.id == batch.car.id
    assert sensor.get_location().x == pytest.approx(-59.0, abs=1e-3)
    batch.done(command.DestroyActor(made.actor_id))
    assert made.actor_id not in {actor.id for actor in batch.world.get_snapshot()}


def test_controls_of_vehicles_reach_every_pedal(batch: Batch) -> None:
    """The text of a control lists all of its fields."""
    control = carla.VehicleControl(0.25, -0.5, 0.125, True, True, True, 3)
    batch.done(carla.command.ApplyVehicleControl(batch.car.id, control))
    assert batch.car.get_control() == control


def test_ackermann_controls_give_speed_and_curvature(batch: Batch) -> None:
    control = carla.VehicleAckermannControl(steer=0.1, speed=3.0, acceleration=2.0)
    batch.done(carla.command.ApplyVehicleAckermannControl(batch.car.id, control), ticks=10)
    assert batch.car.get_velocity().length() == pytest.approx(10 * DT * 2.0, rel=0.02)
    slip = math.atan(0.5 * math.tan(0.1))
    rate = math.degrees(batch.car.get_velocity().length() * math.cos(slip) * math.tan(0.1) / 2.88)
    assert batch.car.get_angular_velocity().z == pytest.approx(rate, rel=0.1)


def test_controls_of_walkers_make_them_walk(batch: Batch) -> None:
    before = batch.walker.get_location()
    control = carla.WalkerControl(carla.Vector3D(0, 1, 0), 1.4, False)
    batch.done(carla.command.ApplyWalkerControl(batch.walker.id, control), ticks=20)
    assert batch.walker.get_location().y - before.y == pytest.approx(1.4, abs=1e-3)
    assert batch.walker.get_control().speed == pytest.approx(1.4)


def test_a_vehicle_s_physics_can_be_changed(batch: Batch) -> None:
    sheet = batch.car.get_physics_control()
    sheet.mass = 2000.0
    sheet.wheels = [w for w in sheet.wheels if not setattr(w, "max_steer_angle", 40.0)]
    batch.done(carla.command.ApplyVehiclePhysicsControl(batch.car.id, sheet))
    assert batch.car.get_physics_control().mass == 2000.0
    assert batch.car.get_physics_control().wheels[0].max_steer_angle == pytest.approx(40.0)


def test_places_are_taken(batch: Batch) -> None:
    """Transform, location alone, and a walker's state: its feet, and the speed that it shows."""
    command = carla.command
    batch.done(command.ApplyTransform(batch.car.id, place(-30, LANE_Y, 0.0, 10.0)))
    assert batch.car.get_transform().location.distance(carla.Location(-30, LANE_Y, 0)) < 1e-3
    assert batch.car.get_transform().rotation.yaw == pytest.approx(10.0, abs=1e-3)
    batch.bare("ApplyLocation", batch.car.id, (-20.0, LANE_Y, 0.0))
    assert batch.car.get_transform().location.distance(carla.Location(-20, LANE_Y, 0)) < 1e-3
    assert batch.car.get_transform().rotation.yaw == pytest.approx(10.0, abs=1e-3)
    batch.done(command.ApplyWalkerState(batch.walker.id, place(-40, 5, 0, 90), 1.25))
    height = batch.walker.bounding_box.extent.z
    assert batch.walker.get_location().distance(carla.Location(-40, 5, height)) < 1e-3
    assert batch.walker.get_control().speed == pytest.approx(1.25)


def test_velocity_impulse_and_force_push_by_mass(batch: Batch) -> None:
    """Less rolling drag of 0.52 m/s^2 in each tick: 0.026 m/s."""
    command, lost = carla.command, 0.026
    batch.done(command.ApplyTargetVelocity(batch.car.id, carla.Vector3D(5, 0, 0)))
    assert batch.speed() == pytest.approx(5.0 - lost, abs=2e-3)
    before = batch.speed()
    batch.done(command.ApplyImpulse(batch.car.id, carla.Vector3D(MASS, 0, 0)))
    assert batch.speed() == pytest.approx(before + 1.0 - lost, abs=2e-3)
    before = batch.speed()
    batch.done(command.ApplyForce(batch.car.id, carla.Vector3D(10 * MASS, 0, 0)))
    assert batch.speed() == pytest.approx(before + 10 * DT - lost, abs=2e-3)


def test_tyres_take_what_would_spin_a_vehicle(batch: Batch) -> None:
    """Angular velocity, impulse and torque are accepted; the wheels decide how a vehicle turns."""
    command, push = carla.command, carla.Vector3D(0, 0, 90)
    for name in ("ApplyTargetAngularVelocity", "ApplyAngularImpulse", "ApplyTorque"):
        batch.done(getattr(command, name)(batch.car.id, push), ticks=2)
        assert batch.car.get_transform().rotation.yaw == pytest.approx(0.0, abs=1e-3)
        assert batch.car.get_angular_velocity().z == pytest.approx(0.0, abs=1e-3)


def test_physics_and_gravity_can_be_switched(batch: Batch) -> None:
    command = carla.command
    fast = command.ApplyTargetVelocity(batch.car.id, carla.Vector3D(5, 0, 0))
    batch.done(fast, command.SetSimulatePhysics(batch.car.id, False), ticks=5)
    assert batch.car.get_location().x == pytest.approx(-60.0, abs=1e-3)
    batch.done(command.SetSimulatePhysics(batch.car.id, True), fast)
    assert batch.car.get_location().x == pytest.approx(-60.0 + 5 * DT, abs=0.01)
    lifted = command.ApplyTransform(batch.car.id, place(-60, LANE_Y, 3.0))
    batch.done(lifted, command.SetEnableGravity(batch.car.id, False), ticks=5)
    assert batch.car.get_location().z == pytest.approx(3.0, abs=1e-3)
    batch.done(command.SetEnableGravity(batch.car.id, True), ticks=10)
    assert batch.car.get_location().z == pytest.approx(3.0 - 9.81 * 0.5**2 / 2, abs=1e-2)


def test_lamps_shine_as_told(batch: Batch) -> None:
    command, lamps = carla.command, carla.VehicleLightState
    both = lamps(lamps.Brake | lamps.LeftBlinker)
    batch.done(command.SetVehicleLightState(batch.car.id, both))
    assert batch.car.get_light_state() == both


def test_what_is_only_seen_is_accepted_and_a_console_is_refused(batch: Batch) -> None:
    assert batch.bare("ShowDebugTelemetry", batch.car.id, True) == [[1, batch.car.id]]
    ((failed, (message,)),) = batch.bare("ConsoleCommand", "stat fps")
    assert (failed, "no console" in message) == (0, True)


def test_lights_shine_as_told(batch: Batch) -> None:
    world = batch.client.load_world("grid")
    light = world.get_actors().filter("traffic.traffic_light")[0]
    assert batch.bare("SetTrafficLightState", light.id, int(carla.TrafficLightState.Off)) == [[1, light.id]]
    world.wait_for_tick()
    assert light.state == carla.TrafficLightState.Off


def test_commands_for_nobody_say_so(batch: Batch) -> None:
    command, nobody = carla.command, 4711
    for sent in (
        command.DestroyActor(nobody),
        command.ApplyVehicleControl(nobody, carla.VehicleControl()),
        command.ApplyWalkerState(nobody, place(0, 0), 1.0),
        command.ApplyTorque(nobody, carla.Vector3D()),
    ):
        assert "not found" in batch.send(sent).error
    assert (
        "is a vehicle." in batch.send(command.ApplyWalkerControl(batch.car.id, carla.WalkerControl())).error
    )


def test_those_were_all_commands(heard: Recorder, request: pytest.FixtureRequest) -> None:
    """But for SetAutopilot, which starts a Traffic Manager in the client: see test_carla_conformance."""
    tests = [name for name in vars(request.module) if name.startswith("test_")]
    ran = {item.originalname for item in request.session.items if item.module is request.module}
    if ran != set(tests):
        pytest.skip("only after all the tests above")
    assert set(heard.commands()) == set(range(22)) - {COMMANDS.index("SetAutopilot")}
