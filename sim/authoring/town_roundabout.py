"""roundabout: four arms, zebras with splitter islands, a cycle lane. Used by make_towns.py."""

from __future__ import annotations

import math
from typing import Any

from geometry import Pose, along, arc
from network import Arm, Lane, Network, Road, lane
from scenery import Scenery

ISLAND, RING, DRIVE, BIKE, WALK = 14.0, 5.5, 3.5, 1.6, 3.0  # m: radius of the island, widths of lanes
SPLIT = 1.25  # m, half the splitter island
OPENING = math.radians(32)  # from an arm's axis to where its part of the ring ends
NEAR, FAR = 24.0, 150.0  # m from the middle: where arms begin and leave the map
SPEED, RING_SPEED = 50.0, 30.0
ZEBRA = 7.0  # m from an arm's beginning: a car's length between zebra and ring
NAMES = ("East Road", "North Road", "West Road", "South Road")
BIKE_FROM, BIKE_TO = 3, 0  # the cycle lane comes in from the south, keeps right, and leaves to the east


def _arm_lanes(length: float, bike: bool) -> list[Lane]:
    split = ((0.0, SPLIT), (16.0, SPLIT), (40.0, 0.0), (length, 0.0))
    cycle = [lane("bike", "biking", BIKE, "curb")] if bike else []
    return [
        lane("split", "median", split, "solid"),
        lane("drive", "driving", DRIVE, "solid" if bike else "curb"),
        *cycle,
        lane("walk", "sidewalk", WALK),
    ]


def _arms(net: Network) -> list[Road]:
    """The roads from the ring outwards: east, north, west, south."""
    roads = []
    for k, name in enumerate(NAMES):
        x, y = round(math.cos(k * math.pi / 2)), round(math.sin(k * math.pi / 2))
        path = along([(x * NEAR, y * NEAR), (x * FAR, y * FAR)])
        coming = _arm_lanes(path.length, k == BIKE_FROM)
        leaving = _arm_lanes(path.length, k == BIKE_TO)
        roads.append(net.road(name, path, left=coming, right=leaving, speed=SPEED, centre_mark="solid"))
    return roads


def _ring(net: Network) -> list[Road]:
    """The parts of the ring between the arms; part k lies between arm k and the next."""
    roads = []
    for k in range(4):
        angle = k * math.pi / 2 + OPENING
        start = Pose(ISLAND * math.cos(angle), ISLAND * math.sin(angle), angle + math.pi / 2)
        bike = [lane("bike", "biking", BIKE, "curb")] if k == BIKE_FROM else []
        drive = lane("drive", "driving", RING, "solid" if bike else "curb")
        lanes = [drive, *bike, lane("walk", "sidewalk", WALK)]
        path = arc(start, math.pi / 2 - 2 * OPENING, 1 / ISLAND)
        roads.append(net.road("Ring", path, left=(), right=lanes, speed=RING_SPEED, centre_mark="solid"))
    return roads


def make() -> tuple[Network, str]:
    net = Network(
        name="roundabout",
        comment="Four arms round an island of 14 m radius, zebras with splitter islands, one cycle lane.",
    )
    arms, ring = _arms(net), _ring(net)
    give_way = []
    for k, road in enumerate(arms):
        arm, before, after = Arm(road, "start"), Arm(ring[k - 1], "end"), Arm(ring[k], "start")
        entry = "drive bike walk" if k == BIKE_FROM else "drive walk"
        leave = "drive bike walk" if k == BIKE_TO else "drive walk"
        moves = [(arm, entry, after, entry), (before, leave, arm, leave), (before, "drive", after, "drive")]
        made = net.junction(road.name, moves, RING_SPEED)
        net.give_way(arm, 1.0, "drive")
        give_way.append({"junction": made.id, "yielding_roads": [road.id]})
        for side in (1, -1):
            inner, outer = road.edges(ZEBRA, side, "drive")[0], road.edges(ZEBRA, side, "walk")[0]
            net.crosswalk(road, ZEBRA, (inner, outer))
    scene = _surroundings(net, arms)
    demand = {
        "vehicles_per_hour": 330.0,
        "cyclist_share": 0.1,
        "large_share": 0.08,
        "pedestrians_per_hour": 700.0,
        "child_share": 0.08,
        "elderly_share": 0.15,
    }
    return net, scene.sidecar(town_type="roundabout", demand=demand, give_way=give_way)


def _surroundings(net: Network, arms: list[Road]) -> Scenery:
    scene = Scenery(network=net, seed=4)
    # A planted mound on the island hides the far side, as in most roundabouts.
    hedge: dict[str, Any] = {"kind": "furniture", "z": 0.0, "height": 1.6}
    for yaw in (0.0, math.pi / 4):
        square = {"x": 0.0, "y": 0.0, "yaw": round(yaw, 4), "length": 11.0, "width": 11.0}
        scene.boxes.append({**hedge, **square})
    for road in arms:
        for side in (1, -1):
            scene.building_row(road, side, 14.0, road.length - 2.0, setback=2.5, doors=2)
            scene.lamps(road, side, 14.0, road.length - 8.0)
    return scene
