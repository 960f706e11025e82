"""A random town for training: its character, its streets, what stands in them, who comes.

All chance comes from one seed. Used by make_random_towns.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from network import Network
from random_layout import layout
from random_streets import Built, Character, Streets, build, straights
from scenery import VANS, VEHICLES, Scenery

VEHICLES_TOGETHER = 1800.0  # an hour at most over all lanes that enter; more than a small town lets through


@dataclass(frozen=True, kw_only=True)
class Fronts:
    """How houses stand along one side of a street, in metres."""

    setback: float
    depth: tuple[float, float]
    front: tuple[float, float]
    gap: tuple[float, float]
    height: tuple[float, float]
    doors: int


def make(seed: int) -> tuple[Network, str]:
    """The network and the sidecar of one town. Raises ValueError where the draw does not fit together."""
    chance = random.Random(seed)
    character = _character(chance)
    net = Network(name=f"random_{seed}", comment=f"A random town, seed {seed}.")
    town = build(net, layout(chance), character, chance)
    scene = Scenery(network=net, seed=chance.randrange(2**31))
    kinds, filled = (VANS if chance.random() < 0.4 else VEHICLES), chance.uniform(0.3, 0.95)
    for built in town.built:
        for side in (1, -1):
            for start, end in built.rows[side]:
                scene.parked_row(built.road, side, start, end, filled=filled, kinds=kinds)
    stops = _bus_stop(scene, town, chance) if chance.random() < 0.4 else []
    _houses(scene, town, chance)
    demand = _demand(town, chance)
    return net, scene.sidecar(
        town_type=_type(town, demand),
        demand=demand,
        signals=town.signals,
        bus_stops=stops,
        give_way=town.give_way,
    )


def _character(chance: random.Random) -> Character:
    """Narrow or wide lanes and sidewalks, few or many parked vehicles, zebras, lights; flat or hilly."""
    drive = chance.uniform(2.75, 3.4)
    walk = chance.uniform(2.0, 3.4)
    return Character(
        drive=(drive, min(drive + 0.25, 3.5)),
        walk=(walk, walk + 0.8),
        speeds=chance.choice([(30.0,), (30.0, 40.0), (40.0, 50.0), (30.0, 50.0), (50.0,)]),
        parking=chance.choice([0.0, 0.3, 0.6, 0.9]),
        park=round(chance.uniform(2.1, 2.4), 2),
        zebras=chance.choice([0.0, 0.25, 0.5, 1.0]),
        midblock=chance.choice([0.0, 0.2, 0.5]),
        lights=chance.choice([0.0, 0.0, 0.5, 1.0]),
        signed=chance.choice([0.0, 0.7, 1.0]),
        corner=chance.uniform(2.0, 4.5),
        height=chance.choice([0.0, 0.0, 1.0, 2.0]),
    )


def _houses(scene: Scenery, town: Streets, chance: random.Random) -> None:
    """Every street has its own fronts; a few sides are open ground."""
    lamps = chance.uniform(24.0, 40.0) if chance.random() < 0.8 else None
    usual = _fronts(chance)
    for built in town.built:
        if lamps is not None:
            scene.lamps(built.road, chance.choice((1, -1)), 12.0, built.road.length - 8.0, lamps)
        for side in (1, -1):
            if chance.random() < 0.08:
                continue
            fronts = usual if chance.random() < 0.6 else _fronts(chance)
            scene.building_row(built.road, side, 4.0, built.road.length - 3.0, **vars(fronts))


def _fronts(chance: random.Random) -> Fronts:
    """Garden houses far apart to closed rows of tall ones."""
    front, depth, height = chance.uniform(8, 16), chance.uniform(7, 11), chance.uniform(4, 14)
    return Fronts(
        setback=chance.uniform(0.4, 6.0) if chance.random() < 0.6 else chance.uniform(0.4, 1.2),
        depth=(depth, depth + 4.0),
        front=(front, front + chance.uniform(4.0, 12.0)),
        gap=(0.5, chance.uniform(1.0, 12.0)),
        height=(height, height + 6.0),
        doors=chance.choice((1, 1, 2, 3)),
    )


def _bus_stop(scene: Scenery, town: Streets, chance: random.Random) -> list[dict[str, object]]:
    """A shelter and a stop where a straight street has no parking on its right; none where there is none."""
    fit = [b for b in town.built if not b.rows[-1] and len(straights(b.road.path)) == 1 and _room(b) > 50.0]
    if not fit:
        return []
    built = chance.choice(fit)
    s = round(built.road.length / 2 + 4.0, 1)
    outer = built.street.kerb + built.street.walk
    scene.box("shelter", built.road, s - 8.0, -(outer + 0.9), (4.0, 1.4, 2.6))
    return [{"road": built.road.id, "lane": -len(built.street.lanes), "s": s}]


def _room(built: Built) -> float:
    return built.road.length


def _demand(town: Streets, chance: random.Random) -> dict[str, float]:
    entering = sum(len(built.street.lanes) for built in town.built if built.chain.end is None)
    children = chance.uniform(0.25, 0.5) if chance.random() < 0.25 else chance.uniform(0.04, 0.2)
    return {
        "vehicles_per_hour": round(min(chance.uniform(100.0, 400.0), VEHICLES_TOGETHER / entering)),
        "cyclist_share": round(chance.uniform(0.03, 0.25), 2),
        "large_share": round(chance.uniform(0.04, 0.14), 2),
        "pedestrians_per_hour": round(chance.uniform(500.0, 1800.0)),
        "child_share": round(children, 2),
        "elderly_share": round(chance.uniform(0.08, 0.25), 2),
    }


def _type(town: Streets, demand: dict[str, float]) -> str:
    if any(len(built.street.lanes) > 1 for built in town.built):
        return "arterial"
    if demand["child_share"] > 0.3:
        return "school"
    return "grid" if town.signals else "street"
