"""A random roundabout for training: how many arms, how wide, zebras or not. Used by make_random_towns.py.

All chance comes from one seed. The shipped town `roundabout`, which is for testing, is none of them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from geometry import Pose, along, arc
from network import Arm, Lane, Network, Road, lane
from scenery import Scenery

MOUTH = 10.5  # m along the ring's outer edge from an arm's axis to where its part of the ring ends
BEYOND = 4.5  # m from the ring to where an arm begins
FEWEST_RING = 4.0  # m of ring between two mouths at least


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What all arms have in common; metres, radians, km/h."""

    angles: tuple[float, ...]  # of the arms, counter-clockwise
    island: float  # radius
    ring: float  # width
    drive: float
    walk: float
    split: float  # half the splitter islands; 0: none
    far: float
    speed: float
    ring_speed: float
    zebras: tuple[bool, ...]
    zebra_at: float  # from an arm's beginning

    @property
    def opening(self) -> float:
        return MOUTH / (self.island + self.ring)


def make(seed: int) -> tuple[Network, str]:
    """The network and the sidecar of one town. Raises ValueError where the draw does not fit together."""
    chance = random.Random(seed)
    shape = _shape(chance)
    net = Network(name=f"random_roundabout_{seed}", comment=f"A random roundabout, seed {seed}.")
    arms, ring = _arms(net, shape), _ring(net, shape)
    give_way = []
    for k, road in enumerate(arms):
        arm, before, after = Arm(road, "start"), Arm(ring[k - 1], "end"), Arm(ring[k], "start")
        moves = [
            (arm, "drive walk", after, "drive walk"),
            (before, "drive walk", arm, "drive walk"),
            (before, "drive", after, "drive"),
        ]
        made = net.junction(road.name, moves, shape.ring_speed)
        net.give_way(arm, 1.0, "drive")
        give_way.append({"junction": made.id, "yielding_roads": [road.id]})
        if shape.zebras[k]:
            _zebra(net, road, shape)
    scene = _surroundings(net, arms, shape, chance)
    return net, scene.sidecar(town_type="roundabout", demand=_demand(chance, len(arms)), give_way=give_way)


def _shape(chance: random.Random) -> Shape:
    count = chance.choice((3, 4, 4, 5))
    turn, even = chance.uniform(-math.pi, math.pi), 2 * math.pi / count
    angles = tuple(turn + k * even + chance.uniform(-0.12, 0.12) for k in range(count))
    wide = chance.random() < 0.7
    shape = Shape(
        angles=angles,
        island=chance.uniform(10.0, 18.0) + (0.0, 3.0, 8.0)[count - 3],
        ring=chance.uniform(4.8, 6.2),
        drive=chance.uniform(3.0, 3.6),
        walk=chance.uniform(2.0, 3.4),
        split=chance.uniform(0.9, 1.6) if wide else 0.0,
        far=chance.uniform(110.0, 150.0),
        speed=chance.choice((30.0, 40.0, 50.0)),
        ring_speed=chance.choice((25.0, 30.0)),
        zebras=tuple(chance.random() < 0.65 for _ in range(count)),
        zebra_at=chance.uniform(6.0, 9.0),
    )
    between = min(b - a for a, b in zip(angles, (*angles[1:], angles[0] + 2 * math.pi), strict=True))
    if (between - 2 * shape.opening) * shape.island < FEWEST_RING:
        raise ValueError(f"{count} arms leave no ring between them round an island of {shape.island:.1f} m")
    return shape


def _arm_lanes(length: float, shape: Shape) -> list[Lane]:
    lanes = [lane("drive", "driving", shape.drive, "curb"), lane("walk", "sidewalk", shape.walk)]
    if shape.split == 0.0:
        return lanes
    taper = ((0.0, shape.split), (16.0, shape.split), (40.0, 0.0), (length, 0.0))
    return [lane("split", "median", taper, "solid"), *lanes]


def _arms(net: Network, shape: Shape) -> list[Road]:
    """The roads from the ring outwards."""
    near = shape.island + shape.ring + BEYOND
    roads = []
    for k, angle in enumerate(shape.angles):
        x, y = math.cos(angle), math.sin(angle)
        path = along([(x * near, y * near), (x * shape.far, y * shape.far)])
        coming, leaving = (_arm_lanes(path.length, shape) for _ in range(2))
        roads.append(
            net.road(
                f"Road {k + 1}", path, left=coming, right=leaving, speed=shape.speed, centre_mark="solid"
            )
        )
    return roads


def _ring(net: Network, shape: Shape) -> list[Road]:
    """The parts of the ring between the arms; part k lies between arm k and the next."""
    roads = []
    ends = (*shape.angles[1:], shape.angles[0] + 2 * math.pi)
    for begin, end in zip(shape.angles, ends, strict=True):
        angle = begin + shape.opening
        start = Pose(shape.island * math.cos(angle), shape.island * math.sin(angle), angle + math.pi / 2)
        lanes = [lane("drive", "driving", shape.ring, "curb"), lane("walk", "sidewalk", shape.walk)]
        path = arc(start, end - begin - 2 * shape.opening, 1 / shape.island)
        roads.append(
            net.road("Ring", path, left=(), right=lanes, speed=shape.ring_speed, centre_mark="solid")
        )
    return roads


def _zebra(net: Network, road: Road, shape: Shape) -> None:
    """Across an arm; in two parts where there is a splitter island."""
    s = shape.zebra_at
    walks = {side: road.edges(s, side, "walk")[0] for side in (1, -1)}
    if shape.split == 0.0:
        net.crosswalk(road, s, (walks[1], walks[-1]))
        return
    for side in (1, -1):
        net.crosswalk(road, s, (road.edges(s, side, "drive")[0], walks[side]))


def _demand(chance: random.Random, arms: int) -> dict[str, float]:
    children = chance.uniform(0.25, 0.5) if chance.random() < 0.2 else chance.uniform(0.04, 0.2)
    return {
        "vehicles_per_hour": round(chance.uniform(500.0, 1300.0) / arms),
        "cyclist_share": round(chance.uniform(0.03, 0.25), 2),
        "large_share": round(chance.uniform(0.04, 0.14), 2),
        "pedestrians_per_hour": round(chance.uniform(400.0, 1200.0)),
        "child_share": round(children, 2),
        "elderly_share": round(chance.uniform(0.08, 0.25), 2),
    }


def _surroundings(net: Network, arms: list[Road], shape: Shape, chance: random.Random) -> Scenery:
    scene = Scenery(network=net, seed=chance.randrange(2**31))
    if chance.random() < 0.6:  # planted
        size = round(shape.island * chance.uniform(0.6, 0.9), 2)
        hedge: dict[str, Any] = {"kind": "furniture", "z": 0.0, "height": round(chance.uniform(0.8, 2.0), 2)}
        yaw = round(chance.uniform(0.0, math.pi / 2), 4)
        scene.boxes.append({**hedge, "x": 0.0, "y": 0.0, "yaw": yaw, "length": size, "width": size})
    for road in arms:
        setback, doors = chance.uniform(0.8, 6.0), chance.choice((1, 2, 3))
        for side in (1, -1):
            if chance.random() < 0.85:
                scene.building_row(road, side, 16.0, road.length - 2.0, setback=setback, doors=doors)
            if chance.random() < 0.5:
                scene.lamps(road, side, 14.0, road.length - 8.0)
    return scene
