"""Ways over the carriageway: crosswalk objects, junction arms and places between them, as straight strips."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.lanes import USES
from drivewm_sim.roads.near import LEVEL_M, Carriageway
from drivewm_sim.roads.objects import Crosswalk
from drivewm_sim.roads.opendrive import LaneSection, OpenDrive, Road
from drivewm_sim.roads.strips import Strip
from drivewm_sim.roads.walk_graph import EdgeKind

WALKING_LIMIT = 16.7
"""m/s; beside faster lanes nobody walks where no sidewalk is drawn."""

FASTEST_CROSSED = 18.0
"""m/s; faster roads (over 40 mph) are crossed only where that is marked."""

_STEP_M = 0.2
_ISLAND_M = 1.8  # a gap between lanes this wide is a refuge
_ISLAND_REACH_M = 6.0  # between the ends of two crosswalks on one island
_SEEK_M = 10.0  # sidewalks are sought this far beyond the kerb
_WIDEST_M = 23.0  # from sidewalk to sidewalk or island: nobody crosses more at once where nothing is marked
_APART_M = 12.0  # from the next marked crossing
_SPACING_M = 17.0
_SHARED_SPACING_M = 8.0
_MOUTH_M = 3.0  # from the junction to an unmarked crossing of its arm
_CLEAR_M = 0.5  # on both sides of an unmarked way, to boxes
_UNMARKED_WIDTH = {EdgeKind.MIDBLOCK: 2.0, EdgeKind.SHARED: 3.0}
_SHIFTS = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.5, -4.5, 6.0, -6.0)  # along the road, to find a gap


class Ground:
    """What crossings are laid on: lanes, the strips that they may join, boxes."""

    def __init__(self, lanes: LaneGraph, strips: list[Strip], carriageway: Carriageway, boxes: Boxes) -> None:
        self.lanes, self.strips, self.carriageway, self.boxes = lanes, strips, carriageway, boxes
        rows = [(strip.points[:-1], strip.points[1:]) for strip in strips]
        self._a = np.concatenate([a for a, _ in rows]) if rows else np.zeros((0, 3))
        self._b = np.concatenate([b for _, b in rows]) if rows else np.zeros((0, 3))

    def strips_met(
        self, centre: Float[ndarray, "3"], ahead: Float[ndarray, "2"]
    ) -> tuple[Float[ndarray, "k"], Float[ndarray, "k"]]:
        """Where a straight line meets strips: metres from `centre` along it, and the height there."""
        a, b = self._a[:, :2] - centre[:2], self._b[:, :2] - centre[:2]
        left = np.array([-ahead[1], ahead[0]])
        da, db = a @ left, b @ left
        hit = (np.minimum(da, db) <= 1e-9) & (np.maximum(da, db) >= -1e-9) & (np.abs(db - da) > 1e-9)
        w = np.clip(da[hit] / (da[hit] - db[hit]), 0.0, 1.0)
        t = (a[hit] + w[:, None] * (b[hit] - a[hit])) @ ahead
        z = self._a[hit, 2] + w * (self._b[hit, 2] - self._a[hit, 2])
        near = np.abs(z - centre[2]) < LEVEL_M
        order = np.argsort(t[near], kind="stable")
        return t[near][order], z[near][order]

    def clear(self, a: Float[ndarray, "3"], b: Float[ndarray, "3"]) -> bool:
        """Whether a straight way keeps `_CLEAR_M` from every box."""
        box = self.boxes
        count = max(int(np.hypot(*(b - a)[:2]) / 0.25), 1)
        points = np.linspace(a, b, count + 1)
        dx, dy = points[:, :1] - box.x, points[:, 1:2] - box.y
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        along = np.maximum(np.abs(dx * cos + dy * sin) - 0.5 * box.length, 0.0)
        across = np.maximum(np.abs(dy * cos - dx * sin) - 0.5 * box.width, 0.0)
        level = np.abs(points[:, 2:] - box.z) < LEVEL_M
        return not bool((level & (np.hypot(along, across) < _CLEAR_M)).any())


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A straight way from kerb to kerb or to an island; `joined`: which ends lie on strips or islands."""

    a: Float[ndarray, "3"]
    b: Float[ndarray, "3"]
    joined: tuple[bool, bool]

    def strip(self, kind: EdgeKind, width: float, crosswalk: str = "") -> Strip:
        return Strip(points=np.array([self.a, self.b]), width=width, kind=kind, crosswalk=crosswalk)

    @property
    def length(self) -> float:
        return float(np.hypot(*(self.b - self.a)[:2]))


def stages(
    ground: Ground, centre: Float[ndarray, "3"], ahead: Float[ndarray, "2"], low: float, high: float
) -> list[Stage]:
    """The stages of a straight crossing through `centre` of the lanes `low` to `high` metres along it."""
    t = np.arange(low - _SEEK_M - 6.0, high + _SEEK_M + 6.0, _STEP_M)
    line = np.column_stack([centre[:2] + t[:, None] * ahead, np.full(len(t), centre[2])])
    runs = [
        (float(t[i]) - 0.5 * _STEP_M, float(t[j]) + 0.5 * _STEP_M)
        for i, j in _runs(ground.carriageway.covers(line))
    ]
    own = [(a, b) for a, b in runs if min(b, high) - max(a, low) > 0.5]
    if not own:
        return []
    foreign = [run for run in runs if run not in own]
    met, heights = ground.strips_met(centre, ahead)
    stops = [_end(met, own[0][0], -1, foreign)]
    for (_, before), (after, _) in itertools.pairwise(own):
        if after - before >= _ISLAND_M:
            inside = met[(met > before) & (met < after)]
            stops.append((float(inside[0]) if len(inside) else 0.5 * (before + after), True))
    stops.append(_end(met, own[-1][1], 1, foreign))

    def place(at: float) -> Float[ndarray, "3"]:
        hit = np.flatnonzero(np.abs(met - at) < 1e-9)
        return np.append(centre[:2] + at * ahead, heights[hit[0]] if len(hit) else centre[2])

    return [
        Stage(a=place(a), b=place(b), joined=(at_a, at_b))
        for (a, at_a), (b, at_b) in itertools.pairwise(stops)
    ]


def _runs(inside: Bool[ndarray, "n"]) -> list[tuple[int, int]]:
    """First and last index of each unbroken stretch."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int64), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def _end(
    met: Float[ndarray, "k"], kerb: float, side: int, foreign: list[tuple[float, float]]
) -> tuple[float, bool]:
    """Where a crossing ends: on the nearest strip that no other lane separates, else 1 m beyond the kerb."""
    beyond = side * (met - kerb)
    found = met[(beyond > -0.3) & (beyond < _SEEK_M)]
    if len(found):
        at = float(found[np.argmin(side * (found - kerb))])
        between = [f for f in foreign if side * (0.5 * (f[0] + f[1]) - kerb) > 0 and side * (at - f[0]) > 0]
        if not between:
            return at, True
    return kerb + side * 1.0, False


def marked_crossings(ground: Ground, crosswalks: tuple[Crosswalk, ...]) -> list[Strip]:
    """Zebras: the stages of every crosswalk object. Where two of them end at one island, they meet there.

    Other ends without a sidewalk lie a metre beyond the kerb.
    """
    found: list[tuple[Stage, str, float]] = []
    for crosswalk in crosswalks:
        centre = crosswalk.outline.mean(axis=0)
        ahead, half, width = _axis(ground.lanes, crosswalk.outline)
        found += [(stage, crosswalk.id, width) for stage in stages(ground, centre, ahead, -half, half)]
    met = _on_islands([stage for stage, _, _ in found], ground.carriageway)
    return [
        stage.strip(EdgeKind.ZEBRA, width, name) for stage, (_, name, width) in zip(met, found, strict=True)
    ]


def _on_islands(found: list[Stage], carriageway: Carriageway) -> list[Stage]:
    """Stages whose loose ends face each other over an island, nearest first, made to meet in its middle."""
    ends = np.array([end for stage in found for end in (stage.a, stage.b)]).reshape(-1, 3)
    loose = [e for e in range(len(ends)) if not found[e // 2].joined[e % 2]]
    pairs = sorted(
        (float(np.hypot(*(ends[i] - ends[j])[:2])), i, j)
        for n, i in enumerate(loose)
        for j in loose[n + 1 :]
        if i // 2 != j // 2 and _in_line(found[i // 2], found[j // 2])
    )
    used: set[int] = set()
    for distance, i, j in pairs:
        if distance < _ISLAND_REACH_M and not {i, j} & used and not carriageway.crossed(ends[i], ends[j]):
            ends[[i, j]] = 0.5 * (ends[i] + ends[j])
            used |= {i, j}
    return [replace(stage, a=ends[2 * k], b=ends[2 * k + 1]) for k, stage in enumerate(found)]


def _in_line(one: Stage, other: Stage) -> bool:
    """Whether two stages lead the same way, on one level."""
    a, b = one.b - one.a, other.b - other.a
    turned = abs(a[0] * b[1] - a[1] * b[0]) / (one.length * other.length)
    return turned < 0.5 and abs(one.a[2] - other.a[2]) < LEVEL_M


def _axis(lanes: LaneGraph, outline: Float[ndarray, "n 3"]) -> tuple[Float[ndarray, "2"], float, float]:
    """The way over the lanes: direction, half its extent, and the crosswalk's width across it."""
    corners = outline[:, :2]
    if len(corners) == 4:
        first = corners[[0, 1]].mean(0) - corners[[2, 3]].mean(0)
        second = corners[[1, 2]].mean(0) - corners[[3, 0]].mean(0)
        axes = [v / max(float(np.hypot(*v)), 1e-9) for v in (first, second)]
    else:
        axes = list(np.linalg.svd(corners - corners.mean(0), full_matrices=False)[2])
    rows = _within(lanes, outline)
    yaw = lanes.lines.yaw[rows]
    direction = np.column_stack([np.cos(yaw), np.sin(yaw)])
    extent = [float(np.ptp(corners @ axis)) for axis in axes]
    across = [
        float(np.abs(direction @ axis).mean()) if len(rows) else -e
        for axis, e in zip(axes, extent, strict=True)
    ]
    best = int(np.argmin(across))
    ahead = axes[best]
    if ahead[1] < -1e-9 or (abs(ahead[1]) <= 1e-9 and ahead[0] < 0):
        ahead = -ahead  # always north, so that the same place gives the same strip
    return ahead, 0.5 * extent[best], _breadth(corners, ahead)


def _breadth(corners: Float[ndarray, "n 2"], ahead: Float[ndarray, "2"]) -> float:
    """Of a slanting band the breadth, not the extent: area over length."""
    x, y = corners.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    return min(max(area / max(float(np.ptp(corners @ ahead)), 1e-6), 1.5), 12.0)


def _within(lanes: LaneGraph, outline: Float[ndarray, "n 3"]) -> ndarray:
    """Points of lanes inside an outline (even-odd rule), at its height."""
    x, y, z = lanes.lines.x, lanes.lines.y, lanes.lines.z
    inside = np.zeros(len(x), bool)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        spans = (a[1] > y) != (b[1] > y)
        rise = b[1] - a[1] if b[1] != a[1] else 1.0
        inside ^= spans & (x < a[0] + (y - a[1]) * (b[0] - a[0]) / rise)
    return np.flatnonzero(inside & (np.abs(z - outline[:, 2].mean()) < LEVEL_M))


def arm_crossings(document: OpenDrive, ground: Ground, taken: list[Strip], kind: EdgeKind) -> list[Strip]:
    """Over the arms of junctions where nothing is marked near."""
    out: list[Strip] = []
    for road in document.roads:
        if road.junction is not None or road.length < 2 * _MOUTH_M:
            continue
        for link, s in ((road.predecessor, _MOUTH_M), (road.successor, road.length - _MOUTH_M)):
            if link is not None and link.kind == "junction":
                found = _from_side_to_side(road, s, ground)
                if _free(found, ground, [*taken, *out]):
                    out += [stage.strip(kind, _UNMARKED_WIDTH[kind]) for stage in found]
    return out


def midblock_crossings(
    document: OpenDrive, ground: Ground, taken: list[Strip], kind: EdgeKind
) -> list[Strip]:
    """Between facing sidewalks, away from junctions and from marked crossings, in gaps between boxes."""
    spacing = _SHARED_SPACING_M if kind == EdgeKind.SHARED else _SPACING_M
    out: list[Strip] = []
    for road in document.roads:
        count = int((road.length - 10.0) // spacing) if road.junction is None else 0
        for i in range(count):
            middle = 0.5 * road.length + (i - 0.5 * (count - 1)) * spacing
            for shift in _SHIFTS:
                if abs(shift) > 0.4 * spacing or not 4.0 <= middle + shift <= road.length - 4.0:
                    continue
                found = _from_side_to_side(road, middle + shift, ground)
                free = _free(found, ground, taken)
                if free:
                    out += [stage.strip(kind, _UNMARKED_WIDTH[kind]) for stage in found]
                if free or not found:
                    break
    return out


def _from_side_to_side(road: Road, s: float, ground: Ground) -> list[Stage]:
    """A straight way over a road at s, sidewalk to sidewalk, where people would dare to go; else nothing."""
    section = section_at(road, s)
    span = driven(road, section, s)
    if span is None:
        return []
    limits = [
        road.speed_limit(section, lane.id, s) or 0.0 for lane in section.lanes.values() if lane.type in USES
    ]
    if max(limits) > FASTEST_CROSSED:
        return []
    at = np.array([s])
    xy, heading = road.point(at)
    centre = np.array([xy[0, 0], xy[0, 1], road.elevation(at)[0]])
    ahead = np.array([-math.sin(heading[0]), math.cos(heading[0])])
    found = stages(ground, centre, ahead, *span)
    if not found or not (found[0].joined[0] and found[-1].joined[1]):
        return []
    return found if max(stage.length for stage in found) <= _WIDEST_M else []


def _free(found: list[Stage], ground: Ground, taken: list[Strip]) -> bool:
    """Whether a way runs clear of boxes and far enough from other crossings."""
    return bool(found) and all(
        _apart(stage, taken) >= _APART_M and ground.clear(stage.a, stage.b) for stage in found
    )


def _apart(stage: Stage, others: list[Strip]) -> float:
    """Metres between a stage and the nearest other crossing of its level, roughly; inf: there is none."""
    if not others:
        return math.inf
    first, last = (np.array([other.points[end] for other in others]) for end in (0, -1))
    a, b = np.linspace(stage.a, stage.b, 7), np.linspace(first, last, 7, axis=1)
    b = b[np.abs(a[3, 2] - b[:, 3, 2]) <= LEVEL_M].reshape(-1, 3)
    return float(np.hypot(*(a[:, None, :2] - b[:, :2]).transpose(2, 0, 1)).min(initial=math.inf))


def section_at(road: Road, s: float) -> LaneSection:
    """The lane section at s."""
    return next((section for section in road.sections if s < section.end), road.sections[-1])


def driven(road: Road, section: LaneSection, s: float) -> tuple[float, float] | None:
    """t of the outermost edges of the lanes that vehicles use, right and left; None: there are none."""
    edges = [
        float(edge[0])
        for lane in section.lanes.values()
        if lane.type in USES and lane.id != 0
        for edge in road.lane_edges(section, lane.id, np.array([s]))
    ]
    return (min(edges), max(edges)) if edges else None
