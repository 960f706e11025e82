"""How the cost of a tick grows with the number of agents, in a town that grows with them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from drivewm_eval.bench.busy import busy_street
from drivewm_eval.bench.tiles import tiled_town
from drivewm_sim.roads.towns import load_town
from drivewm_sim.street import traffic
from drivewm_sim.street.scripts import no_scripts

AGENTS = (10, 30, 100, 300, 1000)
A_TILE = 100
"""Agents in one copy of the town; fewer make it emptier."""
VEHICLE_SHARE = 0.31
BLOCKS, BLOCK_TICKS = 6, 50


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size of town, on average over what was measured."""

    tiles: int
    agents: float
    vehicles: float
    tick_us: float  # everybody decides and moves for 0.1 s
    come_and_go_us: float  # arrivals and departures in it
    agent_us: float  # both, a tick and agent


@dataclass(frozen=True, kw_only=True)
class Scaling:
    sizes: tuple[Size, ...]
    exponent: float  # of agents in the cost of a tick, arrivals included, from the smallest to the largest
    exponent_at_equal_density: float  # the same, among the towns with as many agents a tile


def measure_scaling(town: str, seed: int, agents: tuple[int, ...] = AGENTS) -> Scaling:
    """The cost of towns with about so many agents."""
    sizes = tuple(measure_size(town, seed, count) for count in agents)
    dense = [size for size, count in zip(sizes, agents, strict=True) if count >= A_TILE]
    return Scaling(sizes=sizes, exponent=growth(sizes), exponent_at_equal_density=growth(dense))


def measure_size(town: str, seed: int, agents: int) -> Size:
    """The cost of a tick among about so many agents."""
    tiles = max(round(agents / A_TILE), 1)
    place = tiled_town(town, tiles) if tiles > 1 else load_town(town)
    street = busy_street(
        place, seed, vehicles=VEHICLE_SHARE * agents, pedestrians=(1.0 - VEHICLE_SHARE) * agents
    )
    world, setting, scripts = street.world, street.setting, no_scripts()
    vehicles = pedestrians = 0
    moves, comings = [], []
    for _ in range(BLOCKS):
        move = coming = 0.0
        for _ in range(BLOCK_TICKS):
            begun = time.process_time()
            traffic.step(world, scripts, setting)
            moved = time.process_time()
            world = traffic.come_and_go(world, setting)
            move, coming = move + moved - begun, coming + time.process_time() - moved
            vehicles += len(world.vehicles)
            pedestrians += len(world.pedestrians)
        moves.append(1e6 * move / BLOCK_TICKS)
        comings.append(1e6 * coming / BLOCK_TICKS)
    count = (vehicles + pedestrians) / (BLOCKS * BLOCK_TICKS)
    tick, come_and_go = float(np.median(moves)), float(np.median(comings))
    return Size(
        tiles=tiles,
        agents=count,
        vehicles=vehicles / (BLOCKS * BLOCK_TICKS),
        tick_us=tick,
        come_and_go_us=come_and_go,
        agent_us=(tick + come_and_go) / count,
    )


def growth(sizes: tuple[Size, ...] | list[Size]) -> float:
    """The exponent of agents in the cost of a tick: the slope of a straight line through the logarithms."""
    if len(sizes) < 2:
        return 1.0
    agents = np.log([size.agents for size in sizes])
    cost = np.log([size.tick_us + size.come_and_go_us for size in sizes])
    return float(np.polyfit(agents, cost, 1)[0])
