"""The walk graph of a town: sidewalks, crossings and what joins them, cut where they meet."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.lines import Lines, make_lines
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.near import LEVEL_M, Carriageway, Near
from drivewm_sim.roads.ragged import ragged, starts
from drivewm_sim.roads.strips import JOIN_M, Places, Strip, ends_of
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

_ON_M = 0.5  # a way that ends this near to a strip begins on it
_LEAST_ISLAND_M = 40.0  # of strips in all; less is not worth a walk
_LEAST_SINE = 0.35  # lanes met at a flatter angle count as met at this one
_WALL_M, _KERB_M = 0.4, 1.6  # people keep off a strip's edge, and off one with traffic beyond it ...
_LEAST_WALKED_M = 0.5  # ... if that leaves this much
_BESIDE_M = 0.3  # a lane this far beyond a strip's edge runs along it


def compile_walks(strips: list[Strip], ways: list[Strip], lanes: LaneGraph) -> tuple[WalkGraph, list[str]]:
    """The graph of strips and of ways that end on them, and the crosswalk object of each edge (empty: none).

    Signals are not set.
    """
    pieces = [piece for piece in [*_cut(strips, ends_of(ways)), *ways] if piece.length > 1e-6]
    places = Places(ends_of(pieces))
    tail, head = places.of[0::2], places.of[1::2]
    kept = [k for k in range(len(pieces)) if tail[k] != head[k] or pieces[k].length > 4 * JOIN_M]
    kept = _reachable(kept, tail, head, [piece.length for piece in pieces])
    used = np.unique(np.concatenate([tail[kept], head[kept]])) if kept else np.zeros(0, np.int64)
    lines = make_lines([_pinned(pieces[k], places.position[tail[k]], places.position[head[k]]) for k in kept])
    nodes = places.position[used].reshape(-1, 3)
    tail, head = np.searchsorted(used, tail[kept]), np.searchsorted(used, head[kept])
    kind = np.array([int(pieces[k].kind) for k in kept], np.int64)
    incident: list[list[int]] = [[] for _ in used]
    for edge in range(len(kept)):
        for node in dict.fromkeys((int(tail[edge]), int(head[edge]))):
            incident[node].append(edge)
    incident_start, incident_flat = ragged(incident)
    over = _over(lines, kind, lanes)
    length = (np.diff(lines.start) - 1) * lines.step
    kerb_in, kerb_out = _kerbs(over, length)
    kind[(kerb_out == 0.0) & (kind >= EdgeKind.ZEBRA)] = EdgeKind.CORNER  # leads over no lane's centre
    width = np.array([pieces[k].width for k in kept], np.float64)
    walks = WalkGraph(
        lines=lines,
        length=length,
        width=width,
        walked=_walked(lines, kind, width, lanes),
        kind=kind,
        tail=tail.astype(np.int64),
        head=head.astype(np.int64),
        kerb_in=kerb_in,
        kerb_out=kerb_out,
        signal=np.full(len(kept), -1, np.int64),
        node_x=nodes[:, 0].copy(),
        node_y=nodes[:, 1].copy(),
        node_z=nodes[:, 2].copy(),
        incident_start=incident_start,
        incident=incident_flat,
        over_start=starts(over[0].astype(np.int64), len(kept)),
        over_lane=over[1].astype(np.int64),
        over_s=over[2],
        over_at=over[3],
        over_half=over[4],
        over_left=over[5].astype(np.int64),
    )
    return walks, [pieces[k].crosswalk for k in kept]


def _reachable(
    kept: list[int], tail: Int[ndarray, "n"], head: Int[ndarray, "n"], length: list[float]
) -> list[int]:
    """Without the islands of a few strips that lead nowhere."""
    island = np.arange(int(max(tail.max(initial=-1), head.max(initial=-1))) + 1)
    for _ in range(len(island)):  # the least number of a place spreads over its island
        before = island.copy()
        for k in kept:
            island[tail[k]] = island[head[k]] = min(island[tail[k]], island[head[k]])
        if (island == before).all():
            break
    size: dict[int, float] = {}
    for k in kept:
        size[int(island[tail[k]])] = size.get(int(island[tail[k]]), 0.0) + length[k]
    greatest = max(size.values(), default=0.0)
    return [k for k in kept if size[int(island[tail[k]])] >= min(_LEAST_ISLAND_M, greatest)]


def _cut(strips: list[Strip], ends: Float[ndarray, "n 3"]) -> list[Strip]:
    """Strips cut where ways end on them."""
    if not strips:
        return []
    points = np.concatenate([strip.points for strip in strips])
    owner = np.repeat(np.arange(len(strips)), [len(strip.points) for strip in strips])
    cuts: list[list[float]] = [[] for _ in strips]
    query, at = Near(points, 3.0).pairs(ends)
    for k, end in dict.fromkeys(zip(owner[at].tolist(), query.tolist(), strict=True)):
        s, distance = _nearest(strips[k], ends[end])
        if distance < _ON_M:
            cuts[k].append(s)
    out = []
    for strip, at_s in zip(strips, cuts, strict=True):
        along = strip.along
        where = [0.0]
        for s in [*sorted(at_s), along[-1]]:
            if s - where[-1] > JOIN_M and (s == along[-1] or along[-1] - s > JOIN_M):
                where.append(float(s))
        where[-1] = float(along[-1]) if len(where) > 1 else where[-1]
        for a, b in itertools.pairwise(where):
            out.append(Strip(points=_between(strip.points, along, a, b), width=strip.width, kind=strip.kind))
        if len(where) == 1:
            out.append(strip)
    return out


def _between(
    points: Float[ndarray, "n 3"], along: Float[ndarray, "n"], a: float, b: float
) -> Float[ndarray, "m 3"]:
    s = np.concatenate([[a], along[(along > a + 1e-6) & (along < b - 1e-6)], [b]])
    return np.column_stack([np.interp(s, along, points[:, axis]) for axis in range(3)])


def _nearest(strip: Strip, point: Float[ndarray, "3"]) -> tuple[float, float]:
    """Metres along a strip of the place nearest to a point, and the distance."""
    a, b = strip.points[:-1, :2], strip.points[1:, :2]
    step = b - a
    w = ((point[:2] - a) * step).sum(1) / np.maximum((step * step).sum(1), 1e-12)
    w = np.clip(w, 0.0, 1.0)
    distance = np.hypot(*(a + w[:, None] * step - point[:2]).T)
    i = int(np.argmin(distance))
    z = strip.points[i, 2] + w[i] * (strip.points[i + 1, 2] - strip.points[i, 2])
    far = math.inf if abs(z - point[2]) > LEVEL_M else float(distance[i])
    return float(strip.along[i] + w[i] * np.hypot(*step[i])), far


def _pinned(strip: Strip, tail: Float[ndarray, "3"], head: Float[ndarray, "3"]) -> Float[ndarray, "n 3"]:
    """A strip's points, moved by little so that its ends lie on nodes and bends stay smooth."""
    points = strip.points
    w = (strip.along / strip.length)[:, None]
    return points + (1 - w) * (tail - points[0]) + w * (head - points[-1])


def _walked(
    lines: Lines, kind: Int[ndarray, "E"], width: Float[ndarray, "E"], lanes: LaneGraph
) -> Float[ndarray, "E 2"]:
    """From where to where, to the left of each strip's centre, people walk who have it to themselves.

    Beside a carriageway they leave the kerb to poles, trees and the wind of passing vehicles.
    """
    count = np.diff(lines.start)
    off = np.repeat(0.5 * width + _BESIDE_M, count)
    left = np.column_stack([-np.sin(lines.yaw), np.cos(lines.yaw)]) * off[:, None]
    xy, road, starts = np.column_stack([lines.x, lines.y]), Carriageway(lanes), lines.start[:-1]
    half = np.maximum(0.5 * width - _WALL_M, 0.0)
    shy = np.clip(2.0 * half - _LEAST_WALKED_M, 0.0, _KERB_M - _WALL_M)
    along = kind < EdgeKind.PLAZA
    beside = [
        along & (np.add.reduceat(road.covers(np.column_stack([at, lines.z])), starts) > 0.5 * count)
        for at in (xy - left, xy + left)
    ]
    right_side, left_side = beside[0] & ~beside[1], beside[1] & ~beside[0]
    return np.column_stack([-half + shy * right_side, half - shy * left_side])


def _over(lines: Lines, kind: Int[ndarray, "E"], lanes: LaneGraph) -> list[Float[ndarray, "c"]]:
    """All lanes led over: edge, lane, s on it, metres along the edge, half width along the edge, side."""
    road = lanes.lines
    first = np.delete(np.arange(len(road.x) - 1), road.start[1:-1] - 1)  # first points of the lanes' segments
    owner = np.searchsorted(road.start, first, side="right") - 1
    a = np.column_stack([road.x[first], road.y[first]])
    b = np.column_stack([road.x[first + 1], road.y[first + 1]])
    rows: list[tuple[float, ...]] = []
    for edge in np.flatnonzero(kind >= EdgeKind.ZEBRA):
        i, j = lines.start[edge], lines.start[edge + 1] - 1
        p = np.array([lines.x[i], lines.y[i]])
        span = np.array([lines.x[j], lines.y[j]]) - p
        size = float(np.hypot(*span))
        ahead = span / size
        left = np.array([-ahead[1], ahead[0]])
        da, db = (a - p) @ left, (b - p) @ left
        hit = np.flatnonzero(
            (np.minimum(da, db) <= 1e-6) & (np.maximum(da, db) >= -1e-6) & (np.abs(db - da) > 1e-9)
        )
        w = np.clip(da[hit] / (da[hit] - db[hit]), 0.0, 1.0)
        at = (a[hit] + w[:, None] * (b[hit] - a[hit]) - p) @ ahead
        z = road.z[first[hit]]
        near = (at > 0) & (at < size) & (np.abs(z - lines.z[i]) < LEVEL_M)
        found: dict[int, tuple[float, ...]] = {}
        for h, u, t in zip(hit[near], w[near], at[near], strict=True):
            k = int(owner[h])
            s = (first[h] - road.start[k] + u) * road.step[k]
            step = (b[h] - a[h]) / max(float(np.hypot(*(b[h] - a[h]))), 1e-9)
            sine = float(step @ left)
            width = lanes.width[first[h]] + u * (lanes.width[first[h] + 1] - lanes.width[first[h]])
            half = 0.5 * width / max(abs(sine), _LEAST_SINE)
            # Traffic that leads to the right (sine < 0) comes from the left.
            found.setdefault(k, (float(edge), float(k), s, t, half, 1.0 if sine < 0 else -1.0))
        rows += sorted(found.values(), key=lambda row: (row[3], row[1]))
    return [np.ascontiguousarray(c) for c in np.array(rows, np.float64).reshape(-1, 6).T]


def _kerbs(
    over: list[Float[ndarray, "c"]], length: Float[ndarray, "E"]
) -> tuple[Float[ndarray, "E"], Float[ndarray, "E"]]:
    """Where the carriageway begins and ends along each crossing: the outer edges of its lanes."""
    kerb_in, kerb_out = np.zeros(len(length)), np.zeros(len(length))
    edge = over[0].astype(np.int64)
    for k in np.unique(edge):
        mine = edge == k
        kerb_in[k] = max(float((over[3] - over[4])[mine].min()), 0.05)
        kerb_out[k] = min(float((over[3] + over[4])[mine].max()), float(length[k]) - 0.05)
    return kerb_in, kerb_out
