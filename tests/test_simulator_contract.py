"""What every `Simulator` must do, on the embedded backend and on a CARLA server.

The server is a stand-in started here, or that of DRIVEWM_CARLA=host:port. DRIVEWM_LONG_TESTS=1 compares
statistics over 30 minutes instead of two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from carla_stand_in import stand_in

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm_datasets.store import read_recordings
from drivewm_eval.street.estimate import difference
from drivewm_eval.street.table import statistics
from drivewm_sim.carla_client.carla_simulator import CarlaSimulator
from drivewm_sim.carla_client.connection import Server, connect
from drivewm_sim.ego import POLICIES
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import DECISION_S, PHYSICS_S, Agents, EgoCommand, Frame, Scenario
from drivewm_sim.street.scripts import add_script
from drivewm_sim.street.state import Controller
from drivewm_sim.street_simulator import StreetSimulator

pytest.importorskip("carla", reason="the carla client is not installed")

BUSY = Scenario(town="grid", warm_up_s=20.0)
SEED = 3
EPISODES = 60 if os.environ.get("DRIVEWM_LONG_TESTS") else 4
SIZES = {"size", "height"}
"""What a server decides: its blueprints come in some sizes only."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    given = os.environ.get("DRIVEWM_CARLA")
    if given:
        host, _, port = given.rpartition(":")
        yield Server(host=host, port=int(port))
        return
    with stand_in(tmp_path_factory.mktemp("server"), "grid") as running:
        yield Server(port=running.port)


@pytest.fixture
def carla_simulator(server: Server) -> Iterator[CarlaSimulator]:
    simulator = CarlaSimulator(server)
    yield simulator
    simulator.close()


@pytest.fixture(params=["embedded", "carla"])
def simulator(request: pytest.FixtureRequest) -> Iterator[StreetSimulator]:
    """Either backend, with sensors."""
    if request.param == "embedded":
        yield EmbeddedSimulator(sensors=SensorSuite())
        return
    made = CarlaSimulator(request.getfixturevalue("server"), sensors=SensorSuite())
    yield made
    made.close()


def drive(simulator: StreetSimulator, scenario: Scenario, seconds: float) -> list[Frame]:
    frames = [simulator.reset(scenario, SEED)]
    driver = POLICIES["rule"](simulator.route, scenario, SEED)
    for _ in range(round(seconds / DECISION_S)):
        frames.append(simulator.step(driver.command(frames[-1])))
    return frames


def test_frames_keep_the_protocol(simulator: StreetSimulator) -> None:
    frames = drive(simulator, BUSY, 2.0)
    assert [f.index for f in frames] == list(range(21))
    assert [f.time_s for f in frames] == pytest.approx(DECISION_S * np.arange(21))
    for before, after in pairwise(frames):
        assert np.all(np.diff(after.truth.uid) > 0)
        _, i, j = np.intersect1d(before.truth.uid, after.truth.uid, return_indices=True)
        moved = after.truth.pose[j, :2] - before.truth.pose[i, :2]
        mean = 0.5 * (before.truth.velocity[i] + after.truth.velocity[j]) * DECISION_S
        assert np.abs(moved - mean).max() < 0.1  # velocities are those of the positions
        assert after.sensed is not None
        assert after.sensed.bev.features.any()
        assert 0.0 <= after.sensed.visibility.min() <= after.sensed.visibility.max() <= 1.0
    assert len(frames[-1].perceived.uid) > 1


def test_a_command_that_is_not_finite_is_refused(simulator: StreetSimulator) -> None:
    simulator.reset(BUSY, SEED)
    with pytest.raises(ValueError, match="finite"):
        simulator.step(EgoCommand(acceleration=float("nan")))


def test_both_begin_with_the_same_agents_and_latents(carla_simulator: CarlaSimulator) -> None:
    embedded = EmbeddedSimulator()
    a, b = embedded.reset(BUSY, SEED), carla_simulator.reset(BUSY, SEED)
    for name in {f.name for f in fields(Agents)} - SIZES:
        assert np.array_equal(getattr(a.truth, name), getattr(b.truth, name)), name
    assert np.abs(a.truth.size - b.truth.size).max() < 3.5  # a bus of 12 m is one of 10 m there
    ours, theirs = world_of(embedded), world_of(carla_simulator)
    for rows, others in (
        (ours.vehicles, theirs.vehicles),
        (ours.pedestrians, theirs.pedestrians),
    ):
        for name in set(rows.dtype.names) - {"length", "width", "height"}:
            assert np.array_equal(rows[name], others[name], equal_nan=True), name
    assert a.signals == b.signals


def test_both_decide_the_same_at_the_start(carla_simulator: CarlaSimulator) -> None:
    embedded = EmbeddedSimulator()
    embedded.reset(BUSY, SEED)
    carla_simulator.reset(BUSY, SEED)
    alike(embedded, carla_simulator)
    a, b = embedded.step(EgoCommand()), carla_simulator.step(EgoCommand())
    assert np.array_equal(a.truth.uid, b.truth.uid)
    assert np.array_equal(a.truth.intent, b.truth.intent)
    for name in ("command", "steer", "yields_to", "leader"):
        assert np.array_equal(world_of(embedded).vehicles[name], world_of(carla_simulator).vehicles[name])


def test_poses_agree_as_long_as_inputs_do(carla_simulator: CarlaSimulator) -> None:
    """Vehicles and the ego follow scripts for 5 s; people decide, and walk."""
    embedded = EmbeddedSimulator()
    embedded.reset(BUSY, SEED)
    carla_simulator.reset(BUSY, SEED)
    alike(embedded, carla_simulator)
    for one in (embedded, carla_simulator):
        script_vehicles(one)
    present = set(world_of(embedded).pedestrians["uid"]) | set(world_of(embedded).vehicles["uid"])
    for _ in range(50):
        a, b = embedded.step(EgoCommand()), carla_simulator.step(EgoCommand())
        _, i, j = np.intersect1d(a.truth.uid, b.truth.uid, return_indices=True)
        assert len(present & set(a.truth.uid.tolist())) == len(present & set(b.truth.uid.tolist()))
        assert np.abs(a.truth.pose[i, :2] - b.truth.pose[j, :2]).max() < 0.05
    assert carla_simulator.bodies.replaced == 0
    assert carla_simulator.bodies.refused == 0


def test_vehicles_on_a_server_follow_their_drivers_wishes(carla_simulator: CarlaSimulator) -> None:
    frame = carla_simulator.reset(BUSY, SEED)
    driver = POLICIES["rule"](carla_simulator.route, BUSY, SEED)
    off = []
    for _ in range(100):
        frame = carla_simulator.step(driver.command(frame))
        off.append(carla_simulator.bodies.off_m)
    assert np.percentile(np.concatenate(off), 99) < 0.05  # m, after each step


def test_streets_are_alike_in_their_statistics(server: Server, tmp_path: Path) -> None:
    """Speeds, gaps, crossings, yielding, each within the confidence interval of the difference."""
    made = [
        "--town",
        "grid",
        "--episodes",
        str(EPISODES),
        "--seconds",
        "30",
        "--sensors",
        "none",
        "--seed",
        "11",
    ]
    carla = ["--backend", "carla", "--host", server.host, "--port", str(server.port)]
    assert main(["collect", *made, "--out", str(tmp_path / "embedded")]) == 0
    assert main(["collect", *made, *carla, "--out", str(tmp_path / "carla")]) == 0
    ours, theirs = (statistics(read_recordings([tmp_path / one])) for one in ("embedded", "carla"))
    assert ours.keys() == theirs.keys()
    compared, unlike = 0, {}
    for name in ours:
        assert (ours[name].value is None) == (theirs[name].value is None), name
        apart = difference(ours[name], theirs[name])
        if apart.low is not None and apart.high is not None:
            compared += 1
            if not apart.low <= 0.0 <= apart.high:
                unlike[name] = (ours[name], theirs[name])
    assert compared >= 25
    assert not unlike


def test_nobody_is_left_on_a_server_and_its_settings_come_back(server: Server) -> None:
    world = connect(server).get_world()
    was = world.get_settings()
    simulator = CarlaSimulator(server, sensors=SensorSuite())
    simulator.reset(BUSY, SEED)
    with pytest.raises(ValueError, match="finite"):
        simulator.step(EgoCommand(curvature=float("inf")))
    simulator.close()
    world = connect(server).get_world()
    world.wait_for_tick()
    now = world.get_settings()
    assert now.synchronous_mode == was.synchronous_mode
    assert now.fixed_delta_seconds == was.fixed_delta_seconds
    left = [a for a in world.get_actors() if a.type_id.startswith(("vehicle.", "walker.", "sensor."))]
    assert left == []


def test_a_situation_is_staged_on_a_server(carla_simulator: CarlaSimulator) -> None:
    scenario = Scenario(town="school", situations=("dart_out",), warm_up_s=5.0)
    frames = drive(carla_simulator, scenario, 20.0)
    assert "situation" in {e.name for f in frames for e in f.events}


def test_no_server_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match=r"no CARLA server answers at 127\.0\.0\.1:1 .*start one"):
        connect(Server(port=1))


def test_an_unknown_town_is_told_with_those_there_are(carla_simulator: CarlaSimulator) -> None:
    with pytest.raises(InputError, match=r"no town 'Atlantis' on the server .*grid"):
        carla_simulator.reset(Scenario(town="Atlantis"), SEED)


def test_an_episode_of_a_server_is_read_as_any_other(server: Server, tmp_path: Path) -> None:
    from drivewm import cli
    from drivewm_datasets.episode import read_about, read_episode

    where = ["--host", server.host, "--port", str(server.port)]
    about = ["--episodes", "1", "--seconds", "3", "--sensors", "images", "--town", "crossing"]
    assert cli.main(["collect", "--backend", "carla", *where, *about, "--out", str(tmp_path / "carla")]) == 0
    assert cli.main(["collect", *about, "--out", str(tmp_path / "embedded")]) == 0
    one, other = (read_episode(tmp_path / name / "seed0_000000") for name in ("carla", "embedded"))
    for table in ("truth", "perceived", "frames", "events"):
        assert list(getattr(one, table)) == list(getattr(other, table))
    assert read_about(tmp_path / "carla" / "seed0_000000")["provenance"]["source"] == "carla"
    out = tmp_path / "forecasts.parquet"
    assert cli.main(["predict", "--data", str(tmp_path / "carla"), "--out", str(out)]) == 0


def world_of(simulator: StreetSimulator) -> Any:
    assert simulator._now is not None
    return simulator._now.world


def alike(embedded: StreetSimulator, carla: StreetSimulator) -> None:
    """Gives the embedded agents the sizes that their bodies on the server have."""
    ours, theirs = world_of(embedded), world_of(carla)
    for rows, others in ((ours.vehicles, theirs.vehicles), (ours.pedestrians, theirs.pedestrians)):
        for name in ("length", "width", "height"):
            rows[name] = others[name]


def script_vehicles(simulator: StreetSimulator) -> None:
    """All vehicles go on straight at half their speed, and nobody else comes."""
    now = simulator._now
    assert now is not None
    now.world.spawners.due[:] = np.inf
    scripts, cars = now.scripts, now.world.vehicles
    for i in range(len(cars)):
        s = 0.5 * cars["speed"][i] * PHYSICS_S * np.arange(101)
        x, y = cars["x"][i] + s * np.cos(cars["yaw"][i]), cars["y"][i] + s * np.sin(cars["yaw"][i])
        pose = np.column_stack([x, y, np.full(101, cars["z"][i]), np.full(101, cars["yaw"][i])])
        scripts, cars["script"][i] = add_script(scripts, pose, now.world.tick * DECISION_S)
        cars["controller"][i] = Controller.SCRIPTED
    simulator._now = replace(now, scripts=scripts)
