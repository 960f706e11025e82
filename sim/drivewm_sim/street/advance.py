"""One decision of everybody and the motion until the next: the heart of the embedded simulator."""

from __future__ import annotations

from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.town import Street
from drivewm_sim.simulator import DECISION_S, PHYSICS_S
from drivewm_sim.street import drivers, driving, walkers, walking
from drivewm_sim.street.contacts import touch
from drivewm_sim.street.inlining import borrowed
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.scripts import Scripts, play
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import Pedestrians, Vehicles

_SUBSTEPS = round(DECISION_S / PHYSICS_S)


@kernel
def advance(
    cars: Vehicles,
    people: Pedestrians,
    street: Street,
    grid: StaticGrid,
    scripts: Scripts,
    held: Int[ndarray, "J"],
    seed: int,
    tick: int,
) -> int:
    """The street 0.1 s later, in place; gives the number of pairs in contact."""
    cars, people, street, grid = borrowed(cars), borrowed(people), borrowed(street), borrowed(grid)
    occ = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
    drivers.decide(cars, people, occ, street, grid, held, seed, tick)
    walkers.decide(people, cars, occ, street, grid, seed, tick)
    for k in range(_SUBSTEPS):
        driving.integrate(cars, street, PHYSICS_S)
        walking.integrate(people, cars, occ, street, seed, tick, PHYSICS_S)
        play(cars, people, scripts, tick * DECISION_S + (k + 1) * PHYSICS_S)
    return int(touch(cars, people, occ, tick))
