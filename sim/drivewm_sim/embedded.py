"""The embedded backend: deterministic, headless, branches exactly. Kernels inside, this at the edge."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import Kind
from drivewm_sim import pedestrians, state, vehicles, walking
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_length
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import (
    DECISION_S,
    PHYSICS_S,
    Agents,
    Capabilities,
    EgoCommand,
    Event,
    Frame,
    Intent,
    Scenario,
)  # fmt: skip
from drivewm_sim.spawners import EGO_UID, arrivals, departures, empty_world, enter_ego
from drivewm_sim.state import Pedestrians, Vehicles, World
from drivewm_sim.town import Town, load_town

PERCEPTION_M = 60.0
"""The car knows every agent this near, exactly: this backend has no sensor model."""
_SUBSTEPS = round(DECISION_S / PHYSICS_S)


@dataclass(frozen=True)
class Snapshot:
    """An instant of one episode."""

    world: World
    scenario: Scenario
    seed: int
    town: Town
    index: int


@kernel
def _advance(cars: Vehicles, people: Pedestrians, graph: RoadGraph, seed: int, tick: int) -> None:
    on = vehicles.locate(people, graph)
    vehicles.decide(cars, people, on, graph, seed)
    pedestrians.decide(people, cars, on, graph, seed, tick)
    for _ in range(_SUBSTEPS):
        vehicles.integrate(cars, graph, PHYSICS_S)
        walking.integrate(people, cars, graph, PHYSICS_S)
    for p in range(len(people.uid)):
        touched = -1
        for j in range(len(cars.uid)):
            if walking.from_box(people.x[p], people.y[p], j, cars)[2] < 0.5 * walking.BODY_M:
                touched = cars.uid[j]
        people.touched[p] = touched


class EmbeddedSimulator:
    """A `Simulator` on NumPy arrays and Numba kernels. Takes the scenario's town, or the one handed in."""

    def __init__(self, town: Town | None = None) -> None:
        self._given_town = town
        self._now: Snapshot | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(branching=True, sensors=False)

    def reset(self, scenario: Scenario, seed: int) -> Frame:
        """The first frame: the street after its warm-up, the ego at its start."""
        town = self._given_town or load_town(scenario.town)
        world = empty_world(town.graph, scenario, seed)
        self._now = Snapshot(world, scenario, seed, town, 0)
        for _ in range(round(scenario.warm_up_s / DECISION_S)):
            world = _step(world, self._now)
        self._now = replace(self._now, world=enter_ego(world, town.graph, scenario))
        return _frame(self._now, ())

    def step(self, ego: EgoCommand) -> Frame:
        """The frame 0.1 s later. Commands beyond what a car can do are limited."""
        if not (math.isfinite(ego.acceleration) and math.isfinite(ego.curvature)):
            raise ValueError(f"the ego command must be finite, got {ego}")
        now = self._running()
        cars, people = now.world.vehicles, now.world.pedestrians
        cars["command"][0] = min(max(ego.acceleration, -vehicles.EMERGENCY), 4.0)
        cars["curvature"][0] = min(max(ego.curvature, -vehicles.MAX_CURVATURE), vehicles.MAX_CURVATURE)
        before = (
            cars["uid"],
            cars["intent"].copy(),
            people["uid"],
            people["intent"].copy(),
            people["touched"].copy(),
        )
        _advance(cars, people, now.town.graph, now.seed, now.world.tick)
        events = _events(*before, cars, people)
        self._now = replace(now, world=_come_and_go(now.world, now), index=now.index + 1)
        return _frame(self._now, events)

    def snapshot(self) -> Snapshot:
        """This instant; stepping on does not change it."""
        now = self._running()
        return replace(now, world=state.copy(now.world))

    def restore(self, snapshot: Snapshot) -> Frame:
        """Back to an instant, which may be used again. The frame has no events."""
        self._now = replace(snapshot, world=state.copy(snapshot.world))
        return _frame(self._now, ())

    def close(self) -> None:
        self._now = None

    def _running(self) -> Snapshot:
        if self._now is None:
            raise RuntimeError("call reset() before step() and snapshot()")
        return self._now


def _step(world: World, now: Snapshot) -> World:
    _advance(world.vehicles, world.pedestrians, now.town.graph, now.seed, world.tick)
    return _come_and_go(world, now)


def _come_and_go(world: World, now: Snapshot) -> World:
    world = departures(world._replace(tick=world.tick + 1), now.town.graph)
    return arrivals(world, now.town.graph, now.scenario, now.seed)


def _events(
    car_uid: ndarray, car_before: ndarray, uid: ndarray, before: ndarray, touched: ndarray,
    cars: ndarray, people: ndarray,
) -> tuple[Event, ...]:  # fmt: skip
    """What changed within one step, before anybody came or went."""
    out = []
    for i in np.flatnonzero(car_before != cars["intent"]):
        if cars["intent"][i] == Intent.BRAKING:
            out.append(Event("emergency_brake", int(car_uid[i])))
        elif cars["intent"][i] == Intent.YIELDING and car_before[i] == Intent.DRIVING:
            out.append(Event("yield", int(car_uid[i])))
    for p in np.flatnonzero(before != people["intent"]):
        was, now = before[p], people["intent"][p]
        if now == Intent.CROSSING and was != Intent.PAUSING:
            out.append(Event("crossing_started", int(uid[p])))
        elif now == Intent.WALKING and was in (Intent.CROSSING, Intent.PAUSING):
            out.append(Event("crossing_finished", int(uid[p])))
        elif now == Intent.TURNING_BACK:
            out.append(Event("turned_back", int(uid[p])))
    for p in np.flatnonzero((people["touched"] >= 0) & (touched < 0)):
        out.append(Event("contact", int(uid[p]), int(people["touched"][p])))
    return tuple(out)


def _frame(now: Snapshot, events: tuple[Event, ...]) -> Frame:
    cars, people = now.world.vehicles, now.world.pedestrians
    truth = _agents(cars, people)
    offset = truth.pose[:, :2] - truth.pose[0, :2]
    return Frame(
        index=now.index,
        time_s=round(now.index * DECISION_S, 6),
        ego_uid=EGO_UID,
        truth=truth,
        perceived=truth.where(np.hypot(offset[:, 0], offset[:, 1]) <= PERCEPTION_M),
        events=events,
        finished=bool(
            cars["s"][0]
            >= line_length(now.town.graph.routes, int(cars["route"][0])) - 0.5 * cars["length"][0]
        ),
    )


def _agents(cars: ndarray, people: ndarray) -> Agents:
    """Everybody: the ego first, then in uid order."""
    count, walkers = len(cars["uid"]), len(people["uid"])
    standing = (people["intent"] == Intent.WALKING) & (people["halt"] > 0.0)
    uid = np.concatenate([cars["uid"], people["uid"]])
    order = np.argsort(uid)
    pose = np.empty((count + walkers, 3))
    pose[:count] = np.column_stack([cars["x"], cars["y"], cars["yaw"]])
    pose[count:] = np.column_stack([people["x"], people["y"], people["yaw"]])
    pose[:, 2] = wrap_angle(pose[:, 2])
    velocity = np.empty((count + walkers, 2))
    velocity[:count] = np.column_stack(
        [cars["speed"] * np.cos(cars["yaw"]), cars["speed"] * np.sin(cars["yaw"])]
    )
    velocity[count:] = np.column_stack([people["vx"], people["vy"]])
    size = np.full((count + walkers, 2), walking.BODY_M)
    size[:count] = np.column_stack([cars["length"], cars["width"]])
    kind = np.repeat([int(Kind.VEHICLE), int(Kind.PEDESTRIAN)], [count, walkers])
    intent = np.concatenate([cars["intent"], np.where(standing, int(Intent.PAUSING), people["intent"])])
    return Agents(
        uid=uid[order],
        kind=kind[order],
        pose=pose[order],
        velocity=velocity[order],
        size=size[order],
        intent=intent[order],
    )


def compile_kernels() -> None:
    """Compiles everything a simulation needs, or loads it from the cache on disk."""
    simulator = EmbeddedSimulator()
    simulator.reset(Scenario(warm_up_s=DECISION_S), seed=0)
    simulator.step(EgoCommand())
