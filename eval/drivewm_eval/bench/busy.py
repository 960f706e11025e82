"""A street with as many agents on it as a benchmark asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from drivewm_sim.roads.town import Demand, Town
from drivewm_sim.simulator import DECISION_S
from drivewm_sim.street import traffic
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.state import World
from drivewm_sim.street.traffic import Setting

SETTLE_S, COUNT_S = 150.0, 60.0  # until queues have formed; then counted
TRIES = 5
AIM, TOO_MANY = 1.08, 1.2  # times the numbers asked for
STEEPEST = 3.0  # the most by which one try changes the demand


@dataclass(frozen=True, kw_only=True)
class BusyStreet:
    """Traffic under way. The averages are those of its last minute."""

    setting: Setting
    world: World
    traffic: float  # times the town's usual vehicles ...
    walking: float  # ... and pedestrians
    vehicles: float
    pedestrians: float


def busy_street(town: Town, seed: int, *, vehicles: float, pedestrians: float) -> BusyStreet:
    """Traffic with at least so many vehicles and pedestrians on average, and hardly more.

    The demand is found by trying; where the town cannot hold so many, it is the nearest found.
    """
    found: list[tuple[float, BusyStreet]] = []
    cars, people = 1.0, 1.0
    for _ in range(TRIES):
        street = _settled(town, seed, cars, people)
        shares = (street.vehicles / vehicles, street.pedestrians / pedestrians)
        found.append((max(abs(share - AIM) for share in shares), street))
        if all(1.0 <= share <= TOO_MANY for share in shares):
            break
        cars, people = (
            factor * min(max(AIM / max(share, 0.01), 1.0 / STEEPEST), STEEPEST)
            for factor, share in zip((cars, people), shares, strict=True)
        )
    return min(found, key=lambda one: one[0])[1]


def _settled(town: Town, seed: int, cars: float, people: float) -> BusyStreet:
    setting = traffic.make_setting(town, seed, times(town.demand, cars, people))
    world = traffic.first_world(setting)
    vehicles = pedestrians = 0
    settle, count = round(SETTLE_S / DECISION_S), round(COUNT_S / DECISION_S)
    for tick in range(settle + count):
        traffic.step(world, no_scripts(), setting)
        world = traffic.come_and_go(world, setting)
        if tick >= settle:
            vehicles += len(world.vehicles)
            pedestrians += len(world.pedestrians)
    return BusyStreet(
        setting=setting,
        world=world,
        traffic=cars,
        walking=people,
        vehicles=vehicles / count,
        pedestrians=pedestrians / count,
    )


def times(demand: Demand, cars: float, people: float) -> Demand:
    """A demand with so many times the vehicles and the pedestrians."""
    return replace(
        demand,
        vehicles_per_hour=cars * demand.vehicles_per_hour,
        pedestrians_per_hour=people * demand.pedestrians_per_hour,
    )
