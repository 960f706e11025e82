"""The ground that people walk on, as areas in the plane: strips of the walk graph, less what bars the way."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import shapely
from jaxtyping import Float, Int
from numpy import ndarray
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from drivewm_sim.lines import Lines
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.near import LEVEL_M
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

BODY_RADIUS = 0.3
"""m; of CARLA's walkers. Their centres keep this far from the edges of sidewalks and from boxes."""

_LEAST_HALF_M = 0.4  # at least this much is left on both sides of a strip's middle, whatever lies there
_TOLERANCE_M = 0.1  # outlines and heights may be off by this
_END_M = 3.0
_LONGEST_M = 30.0  # strips are cut into pieces no longer


class Area(IntEnum):
    """CARLA's kinds of ground. An earlier one wins where two overlap."""

    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3  # only the share of walkers that `set_pedestrians_cross_factor` allows goes there


_CROSSED = {
    EdgeKind.ZEBRA: Area.CROSSWALK,
    EdgeKind.SIGNAL: Area.CROSSWALK,
    EdgeKind.SHARED: Area.CROSSWALK,
    EdgeKind.MIDBLOCK: Area.ROAD,
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Ground that hangs together; nothing of it lies above another place of it. Scene frame, m."""

    areas: dict[Area, BaseGeometry]  # disjoint
    cuts: tuple[BaseGeometry, ...]  # lines across sidewalks where they bend or their slope changes
    middles: tuple[Float[ndarray, "n 3"], ...]  # of the strips that it is made of

    def heights(self, xy: Float[ndarray, "n 2"]) -> Float[ndarray, "n"]:
        """Heights of places: those of the nearest places in the middle of strips."""
        a = np.concatenate([line[:-1] for line in self.middles])
        b = np.concatenate([line[1:] for line in self.middles])
        tree = shapely.STRtree(shapely.linestrings(np.stack([a, b], axis=1)[..., :2]))
        owner, row = tree.query_nearest(shapely.points(xy))
        order = np.lexsort((row, owner))  # of several at one distance always the same
        row = row[order][np.searchsorted(owner[order], np.arange(len(xy)))]
        step = (b - a)[row]
        share = ((xy - a[row, :2]) * step[:, :2]).sum(1) / np.maximum((step[:, :2] ** 2).sum(1), 1e-12)
        return a[row, 2] + np.clip(share, 0.0, 1.0) * step[:, 2]


@dataclass(frozen=True, kw_only=True)
class _Shapes:
    """Outlines in the plane, each with points that tell its height."""

    outlines: list[BaseGeometry]
    points: list[Float[ndarray, "n 3"]]

    def overlaps(self, other: _Shapes) -> list[tuple[int, int]]:
        """Rows here and there of shapes that overlap at one height."""
        if not self.outlines or not other.outlines:
            return []
        rows = shapely.STRtree(other.outlines).query(self.outlines, predicate="intersects").T
        pairs = sorted((int(i), int(j)) for i, j in rows)
        return [(i, j) for i, j in pairs if abs(_height_gap(self.points[i], other.points[j])) < LEVEL_M]


def _height_gap(a: Float[ndarray, "n 3"], b: Float[ndarray, "m 3"]) -> float:
    """How far one lies above the other where they are nearest to each other."""
    distance = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    i, j = np.unravel_index(np.argmin(distance), distance.shape)
    return float(a[i, 2] - b[j, 2])


def walkable_ground(street: Street) -> list[Ground]:
    """The ground of a street, in parts that do not touch or lie above each other."""
    strips, barred = _strips(street.walks), _barred(street.lanes, street.boxes)
    part = np.arange(len(strips.points))
    touching = strips.overlaps(strips)
    before = part - 1
    while (part != before).any():  # the lowest row of a part spreads over it
        before = part.copy()
        for i, j in touching:
            part[i] = part[j] = min(part[i], part[j])
    bars: dict[int, set[int]] = {int(k): set() for k in part}
    for bar, strip in barred.overlaps(strips):
        bars[int(part[strip])].add(bar)
    return [
        _ground(
            street.walks, np.flatnonzero(part == k), strips, [barred.outlines[row] for row in sorted(rows)]
        )
        for k, rows in bars.items()
    ]


def _strips(walks: WalkGraph) -> _Shapes:
    points = [_points(walks.lines, edge) for edge in range(len(walks.length))]
    outlines = [
        shapely.LineString(line[:, :2]).buffer(0.5 * width, cap_style="square", join_style="mitre")
        for line, width in zip(points, walks.width, strict=True)
    ]
    return _Shapes(outlines=outlines, points=points)


def _barred(lanes: LaneGraph, boxes: Boxes) -> _Shapes:
    """Where nobody stands: lanes, and boxes with a body's radius around them."""
    points = [_points(lanes.lines, lane) for lane in range(len(lanes.length))]
    outlines: list[BaseGeometry] = []
    for lane, line in enumerate(points):
        rows = slice(lanes.lines.start[lane], lanes.lines.start[lane + 1])
        yaw, half = lanes.lines.yaw[rows], 0.5 * lanes.width[rows]
        left = half[:, None] * np.column_stack([-np.sin(yaw), np.cos(yaw)])
        outline = np.concatenate([line[:, :2] + left, (line[:, :2] - left)[::-1]])
        outlines.append(shapely.Polygon(outline).buffer(0.0))
    along, across = 0.5 * boxes.length + BODY_RADIUS, 0.5 * boxes.width + BODY_RADIUS
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    corners = np.array(
        [
            (boxes.x + u * along * cos - v * across * sin, boxes.y + u * along * sin + v * across * cos)
            for u, v in ((1, 1), (-1, 1), (-1, -1), (1, -1))
        ]
    )
    outlines += [shapely.Polygon(outline) for outline in corners.transpose(2, 0, 1)]
    points += list(np.column_stack([boxes.x, boxes.y, boxes.z])[:, None])
    return _Shapes(outlines=outlines, points=points)


def _points(lines: Lines, k: int) -> Float[ndarray, "n 3"]:
    rows = slice(lines.start[k], lines.start[k + 1])
    return np.column_stack([lines.x[rows], lines.y[rows], lines.z[rows]])


def _ground(
    walks: WalkGraph, edges: Int[ndarray, "e"], strips: _Shapes, barred: list[BaseGeometry]
) -> Ground:
    """One part of the ground."""
    side, core, cuts = [], [], []
    over: dict[Area, list[BaseGeometry]] = {Area.CROSSWALK: [], Area.ROAD: []}
    least: dict[int, float] = {}  # half the width of the narrowest sidewalk at a node
    for edge in edges.tolist():
        half = max(0.5 * float(walks.width[edge]) - BODY_RADIUS, _LEAST_HALF_M)
        if walks.kind[edge] >= EdgeKind.ZEBRA:
            before, crossed, behind = _over_road(walks, edge, strips.points[edge], half)
            core += [before, behind]
            over[_CROSSED[EdgeKind(int(walks.kind[edge]))]].append(crossed)
            continue
        middle = _thinned(strips.points[edge])
        line = shapely.LineString(middle[:, :2])
        side.append(line.buffer(half, cap_style="flat", join_style="mitre"))
        core.append(line.buffer(_LEAST_HALF_M, cap_style="square", join_style="mitre"))
        cuts += _cuts(middle, half)
        for node in (int(walks.tail[edge]), int(walks.head[edge])):
            least[node] = min(least.get(node, math.inf), half)
    side += [shapely.Point(walks.node_x[n], walks.node_y[n]).buffer(r, quad_segs=2) for n, r in least.items()]
    free = shapely.union_all(side).difference(shapely.union_all(barred))
    sidewalk = _smooth(free.union(shapely.union_all(core)))
    crosswalk = shapely.union_all(over[Area.CROSSWALK]).difference(sidewalk)
    road = shapely.union_all(over[Area.ROAD]).difference(sidewalk.union(crosswalk))
    return Ground(
        areas={Area.SIDEWALK: sidewalk, Area.CROSSWALK: crosswalk, Area.ROAD: road},
        cuts=tuple(cut.intersection(sidewalk) for cut in cuts),
        middles=tuple(strips.points[edge] for edge in edges.tolist()),
    )


def _over_road(
    walks: WalkGraph, edge: int, line: Float[ndarray, "n 3"], half: float
) -> tuple[BaseGeometry, BaseGeometry, BaseGeometry]:
    """A crossing: the ground before the kerb, what leads over lanes, the ground behind."""
    way = shapely.LineString(line[[0, -1], :2])
    at = (0.0, float(walks.kerb_in[edge]), float(walks.kerb_out[edge]), way.length)
    before, crossed, behind = (
        substring(way, a, b).buffer(half, cap_style="flat") for a, b in itertools.pairwise(at)
    )
    return before, crossed, behind


def _thinned(line: Float[ndarray, "n 3"]) -> Float[ndarray, "m 3"]:
    """The points that a line needs to stay within the tolerance, in the plane and in height.

    Where it climbs, also some near its ends: beyond them other strips begin, perhaps of another slope.
    """
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    kept, spans = {0, len(line) - 1}, [(0, len(line) - 1)]
    if np.ptp(line[:, 2]) > 0.5 * _TOLERANCE_M and along[-1] > 3 * _END_M:
        kept |= {int(np.searchsorted(along, s)) for s in (_END_M, along[-1] - _END_M)}
    while spans:
        a, b = spans.pop()
        if b - a < 2:
            continue
        share = ((along[a : b + 1] - along[a]) / (along[b] - along[a]))[:, None]
        off = np.abs(line[a : b + 1] - line[a] - share * (line[b] - line[a])).max(axis=1)
        if along[b] - along[a] > _LONGEST_M:
            off = 1.0 - np.abs(share[:, 0] - 0.5)  # in the middle
        worst = int(np.argmax(off))
        if off[worst] > _TOLERANCE_M:
            kept.add(a + worst)
            spans += [(a, a + worst), (a + worst, b)]
    return line[sorted(kept)]


def _cuts(middle: Float[ndarray, "n 3"], half: float) -> list[shapely.LineString]:
    """Lines across a strip at its inner points, a little longer than it is wide."""
    step = np.diff(middle[:, :2], axis=0)
    step /= np.hypot(*step.T)[:, None]
    out = []
    for point, before, after in zip(middle[1:-1, :2], step[:-1], step[1:], strict=True):
        ahead = (before + after) / math.hypot(*(before + after))
        left = np.array([-ahead[1], ahead[0]])
        reach = half / max(float(ahead @ before), 0.5) + _TOLERANCE_M
        out.append(shapely.LineString([point - reach * left, point + reach * left]))
    return out


def _smooth(area: BaseGeometry) -> BaseGeometry:
    """Without notches and spikes where strips meet."""
    grown = area.buffer(_TOLERANCE_M, join_style="mitre")
    shrunk = grown.buffer(-2 * _TOLERANCE_M, join_style="mitre")
    return shrunk.buffer(_TOLERANCE_M, join_style="mitre").simplify(_TOLERANCE_M)
