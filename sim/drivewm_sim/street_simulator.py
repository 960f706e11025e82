"""What all backends share: the street's state, its decisions, its people who come and go, the frames.

Who moves the bodies is a `Bodies`: our own kernels, or a CARLA server. The street is the same on both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm.frames import rotate
from drivewm.types import RoadMap
from drivewm_sim.agents import agents_of, tracked
from drivewm_sim.ego_route import EgoRoute
from drivewm_sim.ego_way import EGO_UID, EgoWay
from drivewm_sim.episode_plan import plan_episode
from drivewm_sim.events import Before, changes
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_height
from drivewm_sim.roads.signals import Signals, aspect
from drivewm_sim.roads.town import Town
from drivewm_sim.sensors import suite
from drivewm_sim.sensors.bodies import bodies_of
from drivewm_sim.sensors.lidar import LidarSpec, Sweep
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.sensors.suite import Sensed, SensorState, SensorSuite
from drivewm_sim.sensors.tracker import reported
from drivewm_sim.simulator import DECISION_S, Capabilities, EgoCommand, Event, Frame, Scenario
from drivewm_sim.street import directors, state, traffic, vehicle_arrivals
from drivewm_sim.street.scripts import Scripts, no_scripts
from drivewm_sim.street.state import Controller, Model, World
from drivewm_sim.street.traffic import Setting

PERCEPTION_M = 60.0
"""Without sensors the car knows every agent this near, exactly."""
MAX_ACCELERATION, EMERGENCY, MAX_CURVATURE = 4.0, 8.0, 0.2
CLEAR_M = 6.0
"""From the ego, at its start, to the nearest other vehicle."""
STEP_ASIDE_M = 1.0
"""Nobody on foot is nearer than this to the ego's start; who is as near to its way makes it start slower."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An instant of one episode."""

    setting: Setting
    scenario: Scenario
    way: EgoWay
    world: World
    scripts: Scripts
    directors: ndarray  # rows of street.directors.DIRECTOR
    sensors: SensorState | None
    index: int


class Bodies(Protocol):
    """Moves everybody. Records say where they are; decisions have been made by the kernels of `street`."""

    def town(self, name: str) -> Town:
        """The town that a scenario names."""
        ...

    def enter(self, setting: Setting, world: World) -> World:
        """A new episode begins with these agents. Gives the world as it really is there: who has found no
        place is left out, sizes are those of the bodies found."""
        ...

    def step(self, world: World, scripts: Scripts, setting: Setting) -> tuple[Event, ...]:
        """Everybody decides and moves for 0.1 s, in place; gives what happened beyond the records."""
        ...

    def renew(self, world: World) -> World:
        """After some have arrived and others left: the world as it really is, as `enter` gives it."""
        ...

    def sweep(self, lidar: LidarSpec, world: World, setting: Setting, pose: LidarPose) -> Sweep:
        """What the ego's lidar measures now."""
        ...

    def close(self) -> None:
        """Nobody is left behind."""
        ...


class StreetSimulator:
    """A `Simulator` without snapshots.

    With a `SensorSuite` the ego perceives what its sensors give; without one, everybody within 60 m.
    """

    def __init__(self, bodies: Bodies, sensors: SensorSuite | None = None) -> None:
        self._bodies = bodies
        self._suite = sensors
        self._now: Snapshot | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(branching=False, sensors=self._suite is not None)

    def reset(self, scenario: Scenario, seed: int) -> Frame:
        """The first frame: the street after its warm-up, the ego at its start."""
        plan = plan_episode(self._bodies.town(scenario.town), scenario, seed)
        setting = plan.setting
        world, scripts = traffic.first_world(setting), no_scripts()
        for _ in range(round(scenario.warm_up_s / DECISION_S)):
            traffic.step(world, scripts, setting)
            world = traffic.come_and_go(world, setting)
        world = _enter(world, setting, plan.way, scenario)
        played = directors.no_directors()
        for staged in plan.situations:
            played, cars, people, scripts = directors.enter(
                staged, played, world.vehicles, world.pedestrians, scripts
            )
            world = world._replace(vehicles=cars, pedestrians=people)
        world = self._bodies.enter(setting, world)
        self._now = Snapshot(
            setting=setting,
            scenario=scenario,
            way=plan.way,
            world=world,
            scripts=scripts,
            directors=played,
            sensors=suite.no_memory(self._suite) if self._suite else None,
            index=0,
        )
        return self._frame(())

    def step(self, ego: EgoCommand) -> Frame:
        """The frame 0.1 s later. Commands beyond what a car can do are limited."""
        if not (math.isfinite(ego.acceleration) and math.isfinite(ego.curvature)):
            raise ValueError(f"the ego command must be finite, got {ego}")
        now = self._running()
        cars = now.world.vehicles
        cars["command"][0] = min(max(ego.acceleration, -EMERGENCY), MAX_ACCELERATION)
        cars["steer"][0] = min(max(ego.curvature, -MAX_CURVATURE), MAX_CURVATURE)
        before = Before.of(now.world, now.directors)
        street = now.setting.street
        directors.direct(
            now.directors, cars, now.world.pedestrians, street.walks, street.signals, now.world.tick
        )  # fmt: skip
        more = self._bodies.step(now.world, now.scripts, now.setting)
        events = changes(before, now.world, now.directors) + more
        world = self._bodies.renew(traffic.come_and_go(now.world, now.setting))
        self._now = replace(now, world=world, index=now.index + 1)
        return self._frame(events)

    def snapshot(self) -> Snapshot:
        raise NotImplementedError("this backend has no snapshots; see capabilities.branching")

    def restore(self, snapshot: Snapshot) -> Frame:
        raise NotImplementedError("this backend has no snapshots; see capabilities.branching")

    def close(self) -> None:
        """Ends the episode; nobody is left behind."""
        self._now = None
        self._bodies.close()

    @property
    def route(self) -> EgoRoute:
        """Where the ego is meant to drive in this episode."""
        return self._running().way.route

    @property
    def road_map(self) -> RoadMap:
        """The town's map."""
        return self._running().setting.town.road_map

    def _running(self) -> Snapshot:
        if self._now is None:
            raise RuntimeError("call reset() before step() and snapshot()")
        return self._now

    def _frame(self, events: tuple[Event, ...], sense: bool = True) -> Frame:
        now = self._running()
        truth = agents_of(now.world)
        sensed: Sensed | None = None
        if self._suite is not None and now.sensors is not None:
            memory = now.sensors
            if sense:
                sensed, memory = self._sense(now, self._suite, memory)
                self._now = now = replace(now, sensors=memory)
            perceived = tracked(truth, reported(memory.tracks), EGO_UID)
        else:
            offset = truth.pose[:, :2] - truth.pose[0, :2]
            perceived = truth.where(np.hypot(offset[:, 0], offset[:, 1]) <= PERCEPTION_M)
        signals = now.setting.street.signals
        time_s = now.world.tick * DECISION_S
        return Frame(
            index=now.index,
            time_s=round(now.index * DECISION_S, 6),
            ego_uid=EGO_UID,
            truth=truth,
            perceived=perceived,
            signals=tuple(shown(signals, time_s).tolist()),
            events=events,
            finished=_finished(now),
            sensed=sensed,
        )

    def _sense(self, now: Snapshot, sensors: SensorSuite, memory: SensorState) -> tuple[Sensed, SensorState]:
        cars, street = now.world.vehicles, now.setting.street
        x, y, z, yaw = (float(cars[name][0]) for name in ("x", "y", "z", "yaw"))
        lane, s = int(cars["lane"][0]), float(cars["s"][0])
        rise = line_height(street.lanes.lines, lane, s + 2.0) - line_height(street.lanes.lines, lane, s - 2.0)
        pose = LidarPose(x, y, z, yaw, rise / 4.0)
        sweep = self._bodies.sweep(sensors.lidar, now.world, now.setting, pose)
        return suite.sense(
            sensors, memory, sweep, bodies_of(cars, now.world.pedestrians), pose,
            ego_uid=EGO_UID, seed=now.setting.seed, tick=now.world.tick,
        )  # fmt: skip


@kernel
def shown(signals: Signals, time_s: float) -> Int[ndarray, "G"]:
    """What each signal group shows (drivewm.types.Aspect)."""
    out = np.empty(len(signals.cycle), np.int64)
    for g in range(len(out)):
        out[g], _ = aspect(signals, g, time_s)
    return out


def _enter(world: World, setting: Setting, way: EgoWay, scenario: Scenario) -> World:
    """The world with the ego at its start, no other vehicle within 6 m of it, nobody on foot under it."""
    street = setting.street
    agent = vehicle_arrivals.vehicle(street, way.lanes[0], way.start_s, Model.CAR, setting.seed, EGO_UID)
    length, width, height = vehicle_arrivals.SIZE[Model.CAR]
    agent |= {"controller": int(Controller.EXTERNAL), "length": length, "width": width, "height": height}
    fields = vehicle_arrivals.placed(agent, street, 0.0)
    cars = world.vehicles
    away = np.hypot(cars["x"] - fields["x"], cars["y"] - fields["y"]) - 0.5 * cars["length"]
    cars = cars[away > 0.5 * length + CLEAR_M]
    people = world.pedestrians
    away = np.column_stack([people["x"] - fields["x"], people["y"] - fields["y"]])
    away = np.abs(rotate(away, np.full(len(away), -fields["yaw"])))
    people = people[(away > 0.5 * np.array([length, width]) + STEP_ASIDE_M).any(axis=1)]
    fields["speed"] = _start_speed(cars, people, fields, way, scenario)
    fields["past_speed"][:] = fields["speed"]
    return world._replace(vehicles=state.insert(cars, fields), pedestrians=people)


def _start_speed(
    cars: ndarray, people: ndarray, ego: dict[str, float], way: EgoWay, scenario: Scenario
) -> float:
    """m/s: what the ego likes, the road allows, and whoever is ahead leaves."""
    speed = min(scenario.ego_speed_mps, way.route.speed_cap(ego["s"]))
    ahead = cars[(cars["lane"] == ego["lane"]) & (cars["s"] > ego["s"])]
    if len(ahead):
        gap = float((ahead["s"] - 0.5 * ahead["length"]).min()) - ego["s"] - 0.5 * ego["length"]
        slowest = float(ahead["speed"][np.argmin(ahead["s"])])
        speed = min(speed, math.sqrt(slowest**2 + 2.0 * 2.0 * max(gap - 2.0, 0.0)))
    at, beside = way.route.locate(np.column_stack([people["x"], people["y"]]))
    in_the_way = (at > ego["s"]) & (np.abs(beside) < 0.5 * ego["width"] + STEP_ASIDE_M)
    if in_the_way.any():
        gap = float(at[in_the_way].min()) - ego["s"] - 0.5 * ego["length"]
        speed = min(speed, math.sqrt(2.0 * 2.0 * max(gap - 2.0, 0.0)))
    return speed


def _finished(now: Snapshot) -> bool:
    ego = now.world.vehicles[0]
    (s,), (d,) = now.way.route.locate(np.array([[ego["x"], ego["y"]]]))
    end = now.way.route.length - 0.5 * float(ego["length"])
    return bool(s >= end and abs(d) < 10.0)
