"""What hides people from the ego: boxes of the town, or a van parked for the purpose."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.boxes import Boxes, BoxKind
from drivewm_sim.roads.near import Carriageway
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.street.contacts import boxes_touch
from drivewm_sim.street.placing import Spot, Stage, kerb, near_side, on_route, quiet_strips, to_lane
from drivewm_sim.street.sight import StaticGrid, hidden_by_boxes

EYES_M, SEAT_M = 1.2, 1.9  # of the ego's driver: above the ground, behind the front
LOOKED_AT = 0.7  # of a person's height
VAN_M = (5.4, 1.9, 2.4)  # length, width, height
PASSABLE_M = 2.7  # a sidewalk this wide leaves room beside a van that stands on it


def hidden(
    scene: Stage, boxes: Boxes, grid: StaticGrid, spot: Spot, xyz: tuple[float, float, float],
    arrivals: Iterable[float],
) -> bool:  # fmt: skip
    """Whether boxes hide a point from the ego while it is so many seconds from the spot."""
    lanes = scene.street.lanes
    for seconds in arrivals:
        lane, s = on_route(scene, max(spot.at_m - seconds * scene.speed_mps - SEAT_M, 0.0))
        x, y, _ = line_point(lanes.lines, lane, s, 0.0)
        z = line_height(lanes.lines, lane, s) + EYES_M
        if not hidden_by_boxes(grid, boxes, x, y, z, *xyz):
            return False
    return True


def van_at_the_kerb(scene: Stage, spot: Spot) -> Boxes | None:
    """A van beside the lane, just before its crossing, on the side from which people come; None: no room."""
    street, (length, width, height) = scene.street, VAN_M
    walks, lines = street.walks, street.lanes.lines
    forward = near_side(walks, spot)
    node = int(walks.tail[spot.edge] if forward else walks.head[spot.edge])
    if kerb(walks, spot.edge, forward) < width + 0.5 and not any(
        walks.width[e] >= PASSABLE_M for e in quiet_strips(walks, node)
    ):
        return None
    beside = to_lane(walks, spot, forward) + float(walks.over_half[spot.over]) + 0.5 * width + 0.1
    s = spot.s - 0.5 * float(walks.width[spot.edge]) - 0.1 - 0.5 * length
    if s < 0.5 * length:
        return None
    x, y, yaw = line_point(lines, spot.lane, s, -beside)
    z = line_height(lines, spot.lane, s)
    van = (x, y, yaw, length + 0.2, width)
    b = street.boxes
    for k in np.flatnonzero(np.hypot(b.x - x, b.y - y) < 30.0):
        if boxes_touch(*van, b.x[k], b.y[k], b.yaw[k], b.length[k], b.width[k]):
            return None
    plan = np.array([(u, v) for u in np.linspace(-0.5, 0.5, 9) for v in np.linspace(-0.5, 0.5, 5)])
    plan = (
        plan * (length, width) @ np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
    )
    ground = np.column_stack([plan + np.array([x, y]), np.full(len(plan), z)])
    if Carriageway(street.lanes).covers(ground).any() or _on_a_way_over(walks, spot.edge, ground):
        return None
    one = [np.array([v]) for v in (x, y, z, yaw, length, width, height)]
    return Boxes(one[0], one[1], one[2], one[3], one[4], one[5], one[6], np.array([int(BoxKind.PARKED)]))


def _on_a_way_over(walks: WalkGraph, edge: int, ground: Float[ndarray, "n 3"]) -> bool:
    """Whether a footprint lies on another crossing."""
    for e in np.flatnonzero(walks.kind >= EdgeKind.ZEBRA):
        a, b = walks.lines.start[e], walks.lines.start[e + 1]
        away = np.hypot(walks.lines.x[a:b, None] - ground[:, 0], walks.lines.y[a:b, None] - ground[:, 1])
        if e != edge and away.min() < 0.5 * walks.width[e] + 0.3:
            return True
    return False
