"""Strips to walk on, as polylines, before they become a graph: sidewalk lanes joined end to end."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_links import Piece
from drivewm_sim.roads.lanes import lane_points
from drivewm_sim.roads.near import Carriageway, Near
from drivewm_sim.roads.opendrive import OpenDrive
from drivewm_sim.roads.walk_graph import EdgeKind

JOIN_M = 0.75
"""Ends nearer than this are one place."""

SIDEWALK_TYPES = ("sidewalk", "walking")

_PLAZA_M = 4.5  # wider strips of a plaza are open ground
_SAMPLE_M = 0.5
_SAME_M = 0.8  # strips of a junction that run this near to another are the same strip


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A way for people: a polyline."""

    points: Float[ndarray, "n 3"]
    width: float
    kind: EdgeKind
    crosswalk: str = ""  # id of the crosswalk object; empty: none

    @property
    def along(self) -> Float[ndarray, "n"]:
        """Metres from the first point."""
        return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.points[:, :2], axis=0).T))])

    @property
    def length(self) -> float:
        return float(self.along[-1])


class Places:
    """Ends of strips, gathered into places."""

    def __init__(self, ends: Float[ndarray, "n 3"]) -> None:
        parent = list(range(len(ends)))

        def root(i: int) -> int:
            while parent[i] != i:
                i = parent[i]
            return i

        for a, b in zip(*Near(ends, JOIN_M).pairs(ends), strict=True):
            if a < b and abs(ends[a, 2] - ends[b, 2]) < 1.0:
                low, high = sorted((root(int(a)), root(int(b))))
                parent[high] = low
        roots = [root(i) for i in range(len(ends))]
        row = {r: k for k, r in enumerate(dict.fromkeys(roots))}
        self.of: Int[ndarray, "n"] = np.array([row[r] for r in roots], np.int64)
        count = np.bincount(self.of, minlength=len(row)).astype(np.float64)
        self.position: Float[ndarray, "p 3"] = np.column_stack(
            [np.bincount(self.of, ends[:, axis], len(row)) / count for axis in range(3)]
        )


def ends_of(strips: list[Strip]) -> Float[ndarray, "2n 3"]:
    """First and last points: rows 2 k and 2 k + 1 belong to strip k."""
    rows = [point for strip in strips for point in (strip.points[0], strip.points[-1])]
    return np.array(rows, np.float64).reshape(-1, 3)


def sidewalk_strips(document: OpenDrive, carriageway: Carriageway, plaza: bool) -> list[Strip]:
    """The sidewalk lanes of a document, joined end to end; a junction's doubles are left out."""
    free: list[Strip] = []
    inside: list[Strip] = []
    for road in document.roads:
        for index, section in enumerate(road.sections):
            for lane in section.lanes.values():
                if lane.type in SIDEWALK_TYPES and section.end - section.s > 0.1:
                    table = lane_points(document, Piece(road.id, index, lane.id), _SAMPLE_M)
                    width = float(np.median(table[:, 3]))
                    if width < 0.5:
                        continue
                    kind = EdgeKind.PLAZA if plaza and width > _PLAZA_M else EdgeKind.SIDEWALK
                    strip = Strip(points=table[:, :3], width=width, kind=kind)
                    (free if road.junction is None else inside).append(strip)
    kept = list(free)
    for strip in inside:
        if carriageway.covers(strip.points, -0.3).mean() < 0.2 and not _double(strip, kept):
            kept.append(strip)
    return joined(kept)


def _double(strip: Strip, others: list[Strip]) -> bool:
    if not others:
        return False
    query, _ = Near(np.concatenate([o.points for o in others]), _SAME_M).pairs(strip.points)
    return len(np.unique(query)) > 0.6 * len(strip.points)


def joined(strips: list[Strip]) -> list[Strip]:
    """Strips of one kind whose ends meet two by two, made one."""
    if not strips:
        return []
    at = Places(ends_of(strips)).of
    meeting: dict[int, list[int]] = {}
    for end, place in enumerate(at):
        meeting.setdefault(int(place), []).append(end)
    partner = {}
    for ends in meeting.values():
        if len(ends) == 2 and ends[0] // 2 != ends[1] // 2:
            a, b = (strips[end // 2] for end in ends)
            if a.kind == b.kind and abs(a.width - b.width) < 1.0:
                partner[ends[0]], partner[ends[1]] = ends[1], ends[0]
    out, used = [], set()
    for k in range(len(strips)):
        if k in used:
            continue
        start, seen = 2 * k, {k}  # back to the first strip of the chain; round a block, here again
        while start in partner and partner[start] // 2 not in seen:
            start = partner[start] ^ 1
            seen.add(start // 2)
        chain, end = [], start
        while True:
            chain.append(end)
            used.add(end // 2)
            if end ^ 1 not in partner or partner[end ^ 1] // 2 in used:
                break
            end = partner[end ^ 1]
        out.append(_chained(strips, chain))
    return out


def _chained(strips: list[Strip], chain: list[int]) -> Strip:
    parts = [strips[e // 2].points[:: -1 if e % 2 else 1] for e in chain]
    points = np.concatenate([parts[0], *(p[1:] for p in parts[1:])])
    width = min(strips[e // 2].width for e in chain)
    return replace(strips[chain[0] // 2], points=points, width=width)
