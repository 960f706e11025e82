"""A town with its traffic: what stays for an episode, how it begins, and one tick of it.

This is the embedded simulator without an ego, frames or sensors: what long runs and benchmarks step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivewm_sim.roads.town import Demand, Street, Town
from drivewm_sim.street import state, vehicle_arrivals, walks_arrivals
from drivewm_sim.street.advance import advance
from drivewm_sim.street.scripts import Scripts
from drivewm_sim.street.sight import StaticGrid, make_static_grid
from drivewm_sim.street.state import Spawners, World, uid_of
from drivewm_sim.street.walks_arrivals import Places, places


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stays the same while traffic flows."""

    town: Town
    street: Street
    grid: StaticGrid
    places: Places
    demand: Demand
    seed: int

    @property
    def walk_source(self) -> int:
        """The spawner of walks; that of directors' people is the next."""
        return vehicle_arrivals.sources(self.street)

    @property
    def sources(self) -> int:
        return self.walk_source + 2

    def reserved_uid(self, number: int) -> int:
        """The uid of a director's n-th agent."""
        return uid_of(self.walk_source + 1, number, self.sources)


def make_setting(town: Town, seed: int, demand: Demand | None = None) -> Setting:
    """The town at its usual demand, or another."""
    return Setting(
        town=town,
        street=town.street,
        grid=make_static_grid(town.street.boxes),
        places=places(town.street, town.bus_stops),
        demand=demand or town.demand,
        seed=seed,
    )


def first_world(setting: Setting) -> World:
    """The street at time 0: vehicles spread over the lanes, people on their way."""
    street, demand, seed = setting.street, setting.demand, setting.seed
    due = np.full(setting.sources, np.inf)
    due[: setting.walk_source] = vehicle_arrivals.first_due(street, demand, seed)
    junctions = int(street.lanes.junction.max(initial=-1)) + 1
    world = World(
        0,
        state.empty(state.VEHICLE),
        state.empty(state.PEDESTRIAN),
        Spawners(due, np.zeros(setting.sources, np.int64)),
        np.full(junctions, -1, np.int64),
    )
    world = vehicle_arrivals.fill(world, street, demand, seed)
    if len(setting.places.edge) > 1 and demand.pedestrians_per_hour > 0.0:
        people = walks_arrivals.under_way(
            world.pedestrians, world.spawners, street, setting.places, demand, seed, setting.walk_source
        )
        world = world._replace(pedestrians=people)
    return world


def step(world: World, scripts: Scripts, setting: Setting) -> int:
    """Everybody decides and moves for 0.1 s, in place. Gives the pairs in contact."""
    # Not as `np.recarray`: each such view has a dtype of its own, which Numba compares field by field.
    return int(
        advance(
            world.vehicles,
            world.pedestrians,
            setting.street,
            setting.grid,
            scripts,
            world.held,
            setting.seed,
            world.tick,
        )
    )


def come_and_go(world: World, setting: Setting) -> World:
    """The next tick's world: without those who have arrived, with those who set out."""
    street, demand, seed = setting.street, setting.demand, setting.seed
    world = vehicle_arrivals.depart(world._replace(tick=world.tick + 1), street)
    world = vehicle_arrivals.arrive(world, street, demand, seed)
    people = walks_arrivals.depart(world.pedestrians, street)
    people = walks_arrivals.arrive(
        people, world.spawners, street, setting.places, demand, seed, world.tick, setting.walk_source
    )
    return world._replace(pedestrians=people)
