"""What each part of a tick and of the sensors costs, in CPU microseconds.

The parts of a tick are compiled into one kernel. Here they are called one by one, which hands the whole town
over each time; what a call that does nothing costs is taken off again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import no_type_check

import numpy as np
from jaxtyping import Int
from numba import njit
from numpy import ndarray

from drivewm_sim.collect import Stopwatch
from drivewm_sim.ego_way import EGO_UID
from drivewm_sim.sensors import sweeps, tracker
from drivewm_sim.sensors.bev_fast import bev_features_fast
from drivewm_sim.sensors.bodies import bodies_of
from drivewm_sim.sensors.lidar import Sweep, points, scan
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import DECISION_S, PHYSICS_S
from drivewm_sim.street import drivers, driving, seeing, traffic, walkers, walking
from drivewm_sim.street.contacts import touch
from drivewm_sim.street.inlining import borrowed
from drivewm_sim.street.occupancy import Occupancy, occupy
from drivewm_sim.street.scripts import no_scripts, play
from drivewm_sim.street.state import World
from drivewm_sim.street.traffic import Setting
from drivewm_sim.street_simulator import Snapshot

SUBSTEPS = round(DECISION_S / PHYSICS_S)
LOOKS_M = 60.0
REPEATS = 20


@njit(cache=True)
@no_type_check
def _nothing(*arguments):
    return 0


# Not cached: numba would not notice a change in the files that it calls into.
@njit
@no_type_check
def _look(pairs, repeats, cars, people, occ, street, grid):
    """How many of the pairs of a driver and a pedestrian see each other; `repeats` times."""
    c, o, s, g, clear = borrowed(cars), borrowed(occ), borrowed(street), borrowed(grid), 0
    for _ in range(repeats):
        for k in range(len(pairs)):
            i, p = pairs[k, 0], pairs[k, 1]
            clear += seeing.clear(
                c.x[i], c.y[i], c.z[i] + 1.2,
                people.x[p], people.y[p], people.z[p] + 0.7 * people.height[p],
                c.uid[i], people.uid[p], c, o, s, g,
            )  # fmt: skip
    return clear


def tick_apart(world: World, setting: Setting, lap: Callable[[str], None]) -> int:
    """What `traffic.step` does without scripts, each part followed by a lap; gives the pairs in contact."""
    cars, people = world.vehicles.view(np.recarray), world.pedestrians.view(np.recarray)
    street, grid, held, seed, tick = setting.street, setting.grid, world.held, setting.seed, world.tick
    scripts = no_scripts()
    lap("")
    occ = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
    lap("occupy")
    drivers.decide(cars, people, occ, street, grid, held, seed, tick)
    lap("decide, drivers")
    walkers.decide(people, cars, occ, street, grid, seed, tick)
    lap("decide, pedestrians")
    for k in range(SUBSTEPS):
        driving.integrate(cars, street, PHYSICS_S)
        lap("integrate, vehicles")
        walking.integrate(people, cars, occ, street, seed, tick, PHYSICS_S)
        lap("integrate, pedestrians")
        play(cars, people, scripts, tick * DECISION_S + (k + 1) * PHYSICS_S)
        lap("")
    pairs = touch(cars, people, occ, tick)
    lap("contacts")
    return int(pairs)


def _calls(world: World, setting: Setting) -> dict[str, Callable[[], object]]:
    """By part of a tick: a call with its arguments that does nothing."""
    cars, people = world.vehicles.view(np.recarray), world.pedestrians.view(np.recarray)
    street, grid, held, seed, tick = setting.street, setting.grid, world.held, setting.seed, world.tick
    occ = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
    return {
        "occupy": lambda: _nothing(cars, people, len(street.lanes.length), len(street.walks.length)),
        "decide, drivers": lambda: _nothing(cars, people, occ, street, grid, held, seed, tick),
        "decide, pedestrians": lambda: _nothing(people, cars, occ, street, grid, seed, tick),
        "integrate, vehicles": lambda: _nothing(cars, street, PHYSICS_S),
        "integrate, pedestrians": lambda: _nothing(people, cars, occ, street, seed, tick, PHYSICS_S),
        "contacts": lambda: _nothing(cars, people, occ, tick),
        "one call": lambda: _nothing(cars, people, street, grid, no_scripts(), held, seed, tick),
    }


def tick_costs(world: World, setting: Setting, ticks: int) -> tuple[dict[str, float], World]:
    """Microseconds a tick of each part, medians over `ticks` ticks; the world after them.

    `one call` is what it costs to hand the world to the kernel that does a whole tick.
    """
    calls = _calls(world, setting)
    tick_apart(world, setting, lambda _: None)
    world = traffic.come_and_go(world, setting)
    spent: dict[str, list[float]] = {}
    for _ in range(ticks):
        watch = Stopwatch()
        tick_apart(world, setting, watch.lap)
        watch.lap("")
        world = traffic.come_and_go(world, setting)
        watch.lap("come and go")
        for name, seconds in watch.cpu_s.items():
            if name:
                spent.setdefault(name, []).append(1e6 * seconds)
    costs = {name: float(np.mean(_middle(values))) for name, values in spent.items()}
    for name, call in calls.items():
        wasted = _repeated(call)
        if name == "one call":
            costs[name] = wasted
        else:
            costs[name] = max(costs[name] - (SUBSTEPS if "integrate" in name else 1) * wasted, 0.0)
    return costs, world


def _middle(values: list[float]) -> ndarray:
    """Without the dearest and cheapest twentieth: rare waits of a busy machine do not count."""
    return np.sort(values)[len(values) // 20 : len(values) - len(values) // 20]


def _repeated(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Microseconds of one call, the median of several."""
    call()
    taken = []
    for _ in range(repeats):
        before = time.process_time()
        call()
        taken.append(1e6 * (time.process_time() - before))
    return float(np.median(taken))


def sight_cost(world: World, setting: Setting) -> float:
    """Microseconds of one line of sight between a driver and a pedestrian within 60 m."""
    cars, people = world.vehicles.view(np.recarray), world.pedestrians.view(np.recarray)
    pairs = _pairs(world)
    if len(pairs) == 0:
        return 0.0
    street, repeats = setting.street, 1 + 20_000 // len(pairs)
    occ: Occupancy = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
    taken = _repeated(lambda: _look(pairs, repeats, cars, people, occ, street, setting.grid), 5)
    return taken / (repeats * len(pairs))


def _pairs(world: World) -> Int[ndarray, "n 2"]:
    cars, people = world.vehicles, world.pedestrians
    away = np.hypot(cars["x"][:, None] - people["x"], cars["y"][:, None] - people["y"])
    return np.argwhere(away < LOOKS_M)


def sensor_costs(now: Snapshot, suite: SensorSuite) -> dict[str, float]:
    """Microseconds of the rays, the bird's-eye grid (past sweeps included) and the tracker at one instant."""
    assert now.sensors is not None
    memory, tick, street = now.sensors, now.world.tick + 1, now.setting.street
    ego = now.world.vehicles[0]
    pose = LidarPose(float(ego["x"]), float(ego["y"]), float(ego["z"]), float(ego["yaw"]), 0.0)
    bodies = bodies_of(now.world.vehicles, now.world.pedestrians)
    origin = np.array([0.0, 0.0, suite.lidar.mount])

    def rays() -> Sweep:
        grid = now.setting.grid
        return scan(suite.lidar, grid, street.boxes, bodies, pose, ego_uid=EGO_UID, seed=0, tick=tick)

    sweep = rays()

    def grid() -> object:
        past = sweeps.past_points(
            memory.sweeps, suite.lidar, pose, tick, suite.bev.past_ages, heights=suite.bev.obstacle_heights
        )
        return bev_features_fast(points(sweep.range_m, suite.lidar), origin, suite.bev, past)

    def tracks() -> object:
        return tracker.track(
            suite.tracker, memory.tracks, bodies, sweep.visibility, pose.x, pose.y,
            ego_uid=EGO_UID, seed=0, tick=tick,
        )  # fmt: skip

    return {"rays": _repeated(rays), "bird's-eye grid": _repeated(grid), "tracker": _repeated(tracks)}
