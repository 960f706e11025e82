"""The map that forecasts see: polylines of lanes, crosswalks, sidewalks, stop lines and obstacles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import LineKind, RoadMap
from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.lane_links import Piece
from drivewm_sim.roads.lanes import lane_points
from drivewm_sim.roads.opendrive import OpenDrive
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

SPACING_M = 2.0


def compile_road_map(
    document: OpenDrive,
    lanes: LaneGraph,
    walks: WalkGraph,
    boxes: Boxes,
    crosswalks: Sequence[str],
) -> RoadMap:
    """Lane centres and edges, crosswalk and obstacle outlines (closed), sidewalk centres, stop lines.

    Points of lanes and sidewalks lie about `SPACING_M` apart. `crosswalks` is the crosswalk object of each
    edge of `walks`. A signal governs the lanes that it lets into a junction and the crosswalk of its people.
    """
    lines: list[tuple[LineKind, int, Float[ndarray, "n 3"]]] = []
    for k in range(len(lanes.length)):
        piece = Piece(document.roads[lanes.road[k]].id, int(lanes.section[k]), int(lanes.lane[k]))
        edge = partial(lane_points, document, piece, SPACING_M)
        lines.append((LineKind.LANE_CENTER, int(lanes.signal[k]), edge()[:, :3]))
        lines.append((LineKind.LANE_BOUNDARY, -1, edge(across=1.0)[:, :3]))
        if abs(piece.lane) == 1:
            lines.append((LineKind.LANE_BOUNDARY, -1, edge(across=0.0)[:, :3]))
    strips = np.flatnonzero(walks.kind < EdgeKind.ZEBRA)
    lines += [(LineKind.SIDEWALK, -1, _walk(walks, int(k))) for k in strips]
    lines += [
        (LineKind.CROSSWALK, _governing(walks, crosswalks, c.id), np.vstack([c.outline, c.outline[:1]]))
        for c in document.crosswalks
    ]
    stopping = np.flatnonzero(lanes.stop_s < lanes.length)
    lines += [(LineKind.STOP_LINE, _ahead(lanes, int(k)), _stop_line(lanes, int(k))) for k in stopping]
    lines += [(LineKind.OBSTACLE, -1, _outline(boxes, k)) for k in range(len(boxes.x))]
    longest = max(len(points) for *_, points in lines)
    table = np.zeros((len(lines), longest, 3))
    valid = np.zeros((len(lines), longest), bool)
    for row, (*_, line) in enumerate(lines):
        table[row, : len(line)] = line
        valid[row, : len(line)] = True
    return RoadMap(
        points=np.ascontiguousarray(table[:, :, :2]),
        valid=valid,
        kind=np.array([int(kind) for kind, *_ in lines], np.int64),
        elevation=np.ascontiguousarray(table[:, :, 2]),
        signal=np.array([signal for _, signal, _ in lines], np.int64),
    )


def _governing(walks: WalkGraph, crosswalks: Sequence[str], crosswalk: str) -> int:
    """The signal group for the people on a crosswalk object; -1: none."""
    groups = {int(walks.signal[k]) for k, name in enumerate(crosswalks) if name == crosswalk}
    return max(groups, default=-1)


def _ahead(lanes: LaneGraph, lane: int) -> int:
    """The signal group for which vehicles stop at the end of a lane; -1 where there is none or several."""
    groups = {int(lanes.signal[j]) for j in lanes.next[lanes.next_start[lane] : lanes.next_start[lane + 1]]}
    return groups.pop() if len(groups) == 1 else -1


def _walk(walks: WalkGraph, edge: int) -> Float[ndarray, "n 3"]:
    """The centre of a strip; its points lie about a metre apart, so every second one is taken."""
    a, b = int(walks.lines.start[edge]), int(walks.lines.start[edge + 1])
    rows = np.unique(np.linspace(a, b - 1, max(round((b - a) / 2), 2)).round().astype(np.int64))
    return np.column_stack([walks.lines.x[rows], walks.lines.y[rows], walks.lines.z[rows]])


def _stop_line(lanes: LaneGraph, lane: int) -> Float[ndarray, "2 3"]:
    s = float(lanes.stop_s[lane])
    at = lanes.lines.start[lane] + round(s / lanes.lines.step[lane])
    half = 0.5 * float(lanes.width[at])
    z = line_height(lanes.lines, lane, s)
    return np.array([[*line_point(lanes.lines, lane, s, d)[:2], z] for d in (-half, half)])


def _outline(boxes: Boxes, k: int) -> Float[ndarray, "5 3"]:
    along, across = 0.5 * boxes.length[k], 0.5 * boxes.width[k]
    corners = [(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)]
    cos, sin = math.cos(boxes.yaw[k]), math.sin(boxes.yaw[k])
    return np.array(
        [
            (
                boxes.x[k] + u * along * cos - v * across * sin,
                boxes.y[k] + u * along * sin + v * across * cos,
                boxes.z[k],
            )
            for u, v in corners
        ]
    )
