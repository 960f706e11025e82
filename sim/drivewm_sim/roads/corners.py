"""Short ways that join ends of sidewalks round the corners of junctions, and crossings to sidewalks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.lines import Lines
from drivewm_sim.roads.crossings import Ground
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.near import LEVEL_M, Near
from drivewm_sim.roads.strips import JOIN_M, Places, Strip, ends_of
from drivewm_sim.roads.walk_graph import EdgeKind

_REACH_M = 16.0
_FAR_M = 40.0  # along a junction's straight side
_AT_PATH_M = 6.0  # from the end of a sidewalk to the path beside a connecting road
_BESIDE_M = 1.2  # from the lane's edge to the middle of that path
_WIDTH = 2.0
_END_BONUS_M = 3.0  # an end is taken rather than a place on the way that is nearer by less


def corner_ways(ground: Ground, ways: list[Strip]) -> list[Strip]:
    """Ways from ends that lead nowhere: to what is near, else beside a connecting road, else straight on.

    None leads over a lane or through a box.
    """
    strips = [*ground.strips, *ways]
    if not strips:
        return []
    out = _short(ground, strips, _dead_ends(strips, []))
    out += _beside_lanes(ground, strips, _dead_ends(strips, out))
    return out + _straight_on(ground, strips, _dead_ends(strips, out))


def _dead_ends(strips: list[Strip], joins: list[Strip]) -> list[int]:
    """Ends (2 k: first, 2 k + 1: last point of strip k) at which nothing else begins, ends or passes."""
    everything = [*strips, *joins]
    ends = ends_of(everything)
    at = Places(ends).of
    count = np.bincount(at)
    points = np.concatenate([strip.points for strip in strips])
    owner = np.repeat(np.arange(len(strips)), [len(strip.points) for strip in strips])
    query, near = Near(points, JOIN_M).pairs(ends[: 2 * len(strips)])
    passed = {int(q) for q, p in zip(query, near, strict=True) if owner[p] != q // 2}
    return [e for e in range(2 * len(strips)) if count[at[e]] == 1 and e not in passed]


def _short(ground: Ground, strips: list[Strip], dead: list[int]) -> list[Strip]:
    points = np.concatenate([strip.points for strip in strips])
    owner = np.repeat(np.arange(len(strips)), [len(strip.points) for strip in strips])
    place = np.concatenate([strip.along for strip in strips])
    length = np.array([strip.length for strip in strips])
    ends = ends_of(strips)
    end_row = np.where(place < 1e-6, 2 * owner, np.where(place > length[owner] - 1e-6, 2 * owner + 1, -1))
    is_end = np.isin(end_row, dead)
    open_ground = np.array([strip.kind < EdgeKind.ZEBRA for strip in strips])[owner]
    out: list[Strip] = []
    joined: set[tuple[int, int]] = set()
    query, near = Near(points, _REACH_M).pairs(ends[dead]) if dead else (np.zeros(0), np.zeros(0))
    for row, e in enumerate(dead):
        mine, here = e // 2, ends[e]
        from_end = np.where(e % 2 == 0, place, length[mine] - place)
        rows = near[query == row]
        rows = rows[(owner[rows] != mine) | (from_end[rows] > 2 * _REACH_M)]
        rows = rows[np.abs(points[rows, 2] - here[2]) < LEVEL_M]
        rows = rows[is_end[rows] | open_ground[rows]]
        cost = np.hypot(*(points[rows] - here)[:, :2].T) - _END_BONUS_M * is_end[rows]
        tried: dict[int, int] = {}
        for p in rows[np.argsort(cost, kind="stable")]:
            k = int(owner[p])
            tried[k] = tried.get(k, 0) + 1
            if tried[k] > 6:
                continue
            other = int(end_row[p]) if is_end[p] else -1
            if (other, e) in joined:
                break
            if not ground.carriageway.crossed(here, points[p]) and ground.clear(here, points[p]):
                out.append(_way(np.array([here, points[p]])))
                joined.add((e, other))
                break
    return out


def _beside_lanes(ground: Ground, strips: list[Strip], dead: list[int]) -> list[Strip]:
    """Paths at the right edge of connecting roads between two ends."""
    lanes, ends, left = ground.lanes, ends_of(strips), list(dead)
    out = []
    for k in np.flatnonzero(lanes.junction >= 0):
        if len(left) < 2:
            break
        path = _right_edge(lanes, int(k), lanes.lines)
        a, b = (_closest(ends, left, path[i]) for i in (0, -1))
        if a is None or b is None or a == b or a // 2 == b // 2:
            continue
        if ground.carriageway.covers(path, -0.2).any():
            continue
        inner = path[1:-1] if len(path) > 2 else path[:0]
        way = np.vstack([ends[a], inner, ends[b]])
        if ground.clear(way[0], way[min(1, len(way) - 1)]) and ground.clear(way[-2], way[-1]):
            out.append(_way(way))
            left = [e for e in left if e not in (a, b)]
    return out


def _right_edge(lanes: LaneGraph, k: int, lines: Lines) -> Float[ndarray, "n 3"]:
    rows = slice(lines.start[k], lines.start[k + 1])
    d = 0.5 * lanes.width[rows] + _BESIDE_M
    yaw = lines.yaw[rows]
    return np.column_stack([lines.x[rows] + d * np.sin(yaw), lines.y[rows] - d * np.cos(yaw), lines.z[rows]])


def _closest(ends: Float[ndarray, "n 3"], candidates: list[int], point: Float[ndarray, "3"]) -> int | None:
    distance = np.hypot(*(ends[candidates] - point)[:, :2].T)
    distance[np.abs(ends[candidates, 2] - point[2]) > LEVEL_M] = np.inf
    i = int(np.argmin(distance))
    return candidates[i] if distance[i] < _AT_PATH_M else None


def _straight_on(ground: Ground, strips: list[Strip], dead: list[int]) -> list[Strip]:
    """Between ends at one junction that no lane separates, nearest pairs first."""
    ends, lines = ends_of(strips), ground.lanes.lines
    inside = np.flatnonzero(np.repeat(ground.lanes.junction, np.diff(lines.start)) >= 0)
    if len(dead) < 2 or len(inside) == 0:
        return []
    by_lane = Near(np.column_stack([lines.x, lines.y])[inside], 12.0)
    at_junction = {dead[int(q)] for q in by_lane.pairs(ends[dead])[0]}
    left = [e for e in dead if e in at_junction]
    pairs = sorted(
        (float(np.hypot(*(ends[a] - ends[b])[:2])), a, b)
        for i, a in enumerate(left)
        for b in left[i + 1 :]
        if a // 2 != b // 2 and abs(ends[a, 2] - ends[b, 2]) < LEVEL_M
    )
    out: list[Strip] = []
    used: set[int] = set()
    for distance, a, b in pairs:
        if distance > _FAR_M:
            break
        if (
            {a, b} & used
            or ground.carriageway.crossed(ends[a], ends[b])
            or not ground.clear(ends[a], ends[b])
        ):
            continue
        out.append(_way(np.array([ends[a], ends[b]])))
        used |= {a, b}
    return out


def _way(points: Float[ndarray, "n 3"]) -> Strip:
    return Strip(points=points, width=_WIDTH, kind=EdgeKind.CORNER)
