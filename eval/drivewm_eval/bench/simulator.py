"""How fast the embedded simulator is on one core, as a whole and part by part.

CPU time of this process counts, not wall time, in blocks of which the median is given: other work on the
machine spoils single blocks, not the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from drivewm_eval.bench.busy import COUNT_S, SETTLE_S, BusyStreet, busy_street
from drivewm_eval.bench.parts import SUBSTEPS, sensor_costs, sight_cost, tick_costs
from drivewm_eval.bench.scaling import Scaling, measure_scaling
from drivewm_sim.collect import EpisodeJob, run_job
from drivewm_sim.ego import POLICIES
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.roads.towns import load_town
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import DECISION_S, Frame, Scenario
from drivewm_sim.street import state, traffic
from drivewm_sim.street.scripts import no_scripts

VEHICLES, PEDESTRIANS = 45, 100
BLOCK_TICKS, BLOCK_FRAMES = 100, 25
PART_TICKS = 300
WARM_UP_S = SETTLE_S + COUNT_S
"""Of the episodes with sensors: until the street is as busy as without them."""
HOURS_A_YEAR = 8766.0
STAGES = 7
_START = """
import json, time
done = {{"interpreter": time.process_time()}}
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.roads.towns import load_town
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import EgoCommand, Scenario
done["import"] = time.process_time()
load_town({town!r})
done["town"] = time.process_time()
simulator = EmbeddedSimulator(sensors=SensorSuite() if {sensors} else None)
simulator.reset(Scenario(town={town!r}, warm_up_s=0.0), 0)
done["reset"] = time.process_time()
simulator.step(EgoCommand())
done["step"] = time.process_time()
print(json.dumps(done))
"""


@dataclass(frozen=True, kw_only=True)
class SceneSpeed:
    """Without ego and sensors."""

    vehicles: float  # on average over what was measured
    pedestrians: float
    vehicle_speed_mps: float  # their mean: whether traffic flows
    scene_steps_per_s: float  # physics steps of 0.05 s a CPU second, decisions and arrivals included
    scene_steps_per_s_best: float  # of the fastest block


@dataclass(frozen=True, kw_only=True)
class FrameSpeed:
    """With an ego and all sensors at 10 Hz."""

    sensor_vehicles: float  # on average, the ego included
    sensor_pedestrians: float
    frames_per_s: float
    frames_per_s_best: float
    snapshot_restore_world_ms: float
    snapshot_restore_all_ms: float  # with sensors' memory, directors and scripts; makes a frame
    sensor_us: dict[str, float]  # a frame


@dataclass(frozen=True, kw_only=True)
class StartSpeed:
    """A fresh process with compiled kernels on disk: import, load the town, reset, one step."""

    second_start_s: float  # wall time
    second_start_with_sensors_s: float
    second_start_cpu_s: dict[str, float]  # by what it was spent on, with sensors


@dataclass(frozen=True, kw_only=True)
class SimulatorSpeed:
    town: str
    traffic: float  # times the town's usual vehicles ...
    walking: float  # ... and pedestrians
    scene: SceneSpeed
    tick_us: dict[str, float]  # parts of a tick of 0.1 s; together slower than as one kernel
    sight_us: float  # one line of sight
    frames: FrameSpeed
    write_us: dict[str, float]  # a frame of an episode at rest
    start: StartSpeed
    scaling: Scaling

    @property
    def sim_seconds_per_core_second(self) -> float:
        return self.scene.scene_steps_per_s * DECISION_S / SUBSTEPS

    @property
    def whole_tick_us(self) -> float:
        return 1e6 * SUBSTEPS / self.scene.scene_steps_per_s

    @property
    def frame_rest_us(self) -> float:
        """What a frame costs besides the tick and the sensors: events, and the agents as others see them."""
        return 1e6 / self.frames.frames_per_s - self.whole_tick_us - sum(self.frames.sensor_us.values())

    @property
    def hours_per_core_hour(self) -> float:
        """Hours of street in an hour of one core, without sensors: the same ratio."""
        return self.sim_seconds_per_core_second

    @property
    def core_hours_per_year_of_street(self) -> float:
        return HOURS_A_YEAR / self.hours_per_core_hour

    @property
    def core_hours_per_year_with_sensors(self) -> float:
        return HOURS_A_YEAR / (self.frames.frames_per_s * DECISION_S)


def measure_simulator(
    town: str, seed: int, seconds: float, advance: Callable[[str], None] = lambda _: None
) -> SimulatorSpeed:
    """All figures, over so many simulated seconds each; `advance` is told of each of STAGES stages."""
    advance("finding the demand")
    street = busy_street(load_town(town), seed, vehicles=VEHICLES, pedestrians=PEDESTRIANS)
    advance("ticks")
    scene, street = measure_scene(street, round(seconds / DECISION_S))
    advance("parts of a tick")
    parts, world = tick_costs(street.world, street.setting, PART_TICKS)
    sight = sight_cost(world, street.setting)
    advance("frames with sensors")
    scenario = Scenario(town=town, traffic=street.traffic, walking=street.walking, warm_up_s=WARM_UP_S)
    frames = measure_frames(scenario, seed, round(seconds / DECISION_S))
    advance("episodes to disk")
    write = measure_write(scenario, seed)
    advance("a fresh process")
    start = measure_start(town)
    advance("scaling")
    return SimulatorSpeed(
        town=town, traffic=street.traffic, walking=street.walking, scene=scene, tick_us=parts, sight_us=sight,
        frames=frames, write_us=write, start=start, scaling=measure_scaling(town, seed),
    )  # fmt: skip


def measure_scene(street: BusyStreet, ticks: int) -> tuple[SceneSpeed, BusyStreet]:
    """The speed of ticks, and the street after them."""
    world, setting, scripts = street.world, street.setting, no_scripts()
    taken, speeds, vehicles, pedestrians = [], [], 0, 0
    blocks = max(ticks // BLOCK_TICKS, 1)
    for _ in range(blocks):
        before = time.process_time()
        for _ in range(BLOCK_TICKS):
            traffic.step(world, scripts, setting)
            world = traffic.come_and_go(world, setting)
            vehicles += len(world.vehicles)
            pedestrians += len(world.pedestrians)
        taken.append(time.process_time() - before)
        speeds.append(world.vehicles["speed"].mean() if len(world.vehicles) else 0.0)
    steps = BLOCK_TICKS * SUBSTEPS
    speed = SceneSpeed(
        vehicles=vehicles / (blocks * BLOCK_TICKS),
        pedestrians=pedestrians / (blocks * BLOCK_TICKS),
        vehicle_speed_mps=float(np.mean(speeds)),
        scene_steps_per_s=steps / float(np.median(taken)),
        scene_steps_per_s_best=steps / min(taken),
    )
    return speed, BusyStreet(
        setting=setting, world=world, traffic=street.traffic, walking=street.walking,
        vehicles=speed.vehicles, pedestrians=speed.pedestrians,
    )  # fmt: skip


def measure_frames(scenario: Scenario, seed: int, frames: int) -> FrameSpeed:
    """The speed of frames while an ego that keeps the rules drives through; one way after the other."""
    suite = SensorSuite()
    simulator = EmbeddedSimulator(sensors=suite)
    taken: list[float] = []
    costs: list[dict[str, float]] = []
    vehicles = pedestrians = 0
    world_ms: list[float] = []
    all_ms: list[float] = []
    while len(taken) < frames:
        frame = simulator.reset(scenario, seed)
        driver = POLICIES["rule"](simulator.route, scenario, seed)
        seed += 1
        while not frame.finished and len(taken) < frames:
            command = driver.command(frame)
            before = time.process_time()
            frame = simulator.step(command)
            taken.append(time.process_time() - before)
            people = _people(frame)
            vehicles, pedestrians = vehicles + len(frame.truth.uid) - people, pedestrians + people
            if len(taken) % BLOCK_FRAMES == 0:
                costs.append(sensor_costs(simulator.snapshot(), suite))
                world_ms.append(_copied_twice(simulator))
                all_ms.append(_there_and_back(simulator))
    blocks = _blocks(taken)
    return FrameSpeed(
        sensor_vehicles=vehicles / len(taken),
        sensor_pedestrians=pedestrians / len(taken),
        frames_per_s=1.0 / float(np.median(blocks)),
        frames_per_s_best=1.0 / float(blocks.min()),
        snapshot_restore_world_ms=float(np.median(world_ms)),
        snapshot_restore_all_ms=float(np.median(all_ms)),
        sensor_us={name: float(np.median([c[name] for c in costs])) for name in costs[0]},
    )


def _blocks(taken: list[float]) -> ndarray:
    """Mean of each block of frames, without what is left over."""
    whole = max(len(taken) // BLOCK_FRAMES, 1)
    return np.array([np.mean(part) for part in np.array_split(taken, whole)])


def _people(frame: Frame) -> int:
    return int((frame.truth.type == 0).sum())


def _copied_twice(simulator: EmbeddedSimulator) -> float:
    """Milliseconds to take the world aside and to bring it back."""
    world = simulator.snapshot().world
    before = time.process_time()
    state.copy(state.copy(world))
    return 1e3 * (time.process_time() - before)


def _there_and_back(simulator: EmbeddedSimulator) -> float:
    """Milliseconds of a snapshot and a return to it."""
    before = time.process_time()
    simulator.restore(simulator.snapshot())
    return 1e3 * (time.process_time() - before)


def measure_write(scenario: Scenario, seed: int) -> dict[str, float]:
    """Microseconds a frame to lay out and to write an episode of tracks, and one with images."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for sensors in ("tracks", "images"):
            spent = []
            for name in ("first", "second"):  # the first also loads what it needs
                job = EpisodeJob(
                    name=name, out=Path(folder), scenario=scenario, policy="rule", seed=seed, sensors=sensors
                )
                result = run_job(job)
                spent.append(1e6 * (result.cpu_s["tables"] + result.cpu_s["write"]) / result.frames)
            out[f"write, {sensors}"] = min(spent)
    return out


def measure_start(town: str, repeats: int = 3) -> StartSpeed:
    """Seconds of a fresh process, the best of several, with Python's own cache on disk too, as usual."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    walls: dict[bool, list[float]] = {False: [], True: []}
    parts: list[dict[str, float]] = []
    for _ in range(repeats):
        for sensors in (False, True):
            code = _START.format(sensors=sensors, town=town)
            before = time.perf_counter()
            said = subprocess.run(
                [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
            )
            walls[sensors].append(time.perf_counter() - before)
        done = json.loads(said.stdout)
        spent = np.diff([0.0, *done.values()])
        parts.append(dict(zip(done, spent.tolist(), strict=True)))
    return StartSpeed(
        second_start_s=min(walls[False]),
        second_start_with_sensors_s=min(walls[True]),
        second_start_cpu_s=min(parts, key=lambda part: sum(part.values())),
    )
