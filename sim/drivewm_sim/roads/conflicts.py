"""Conflict areas: where the bands that vehicles sweep on two lanes of a junction overlap."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.near import LEVEL_M, Near

HALF_BAND_M = {LaneUse.DRIVING: 1.0, LaneUse.BIKING: 0.4}
"""Half the width of what drives."""

_MARGIN_M = 0.15  # room between bodies that do not touch
_STEP_M = 0.5


class Conflicts(NamedTuple):
    """Rows sorted by lane, then by the other lane; each overlap stands twice, once from either side."""

    lane: Int[ndarray, "b"]
    other: Int[ndarray, "b"]
    into: Float[ndarray, "b"]  # s on `lane` between which a body touches the other lane's band
    out: Float[ndarray, "b"]
    other_into: Float[ndarray, "b"]
    other_out: Float[ndarray, "b"]


class _Slices(NamedTuple):
    """Points every half metre along some lanes."""

    lane: Int[ndarray, "n"]
    number: Int[ndarray, "n"]  # along the lane
    step: Float[ndarray, "L"]
    point: Float[ndarray, "n 3"]
    left: Float[ndarray, "n 2"]
    half: Float[ndarray, "n"]


def find_conflicts(lanes: LaneGraph) -> Conflicts:
    """Overlaps of lanes inside junctions, and of lanes anywhere that lead into the same lane.

    Lanes that follow one another, and the place where two lanes part, are no conflict: there one follows.
    """
    merging = _merging(lanes)
    slices = _slices(lanes, np.flatnonzero((lanes.junction >= 0) | merging))
    a, ia, b, ib = _touches(slices)
    keep = ((lanes.junction[a] >= 0) & (lanes.junction[b] >= 0)) | _share(lanes.next_start, lanes.next, a, b)
    keep &= ~_follows(lanes, a, b) & ~_follows(lanes, b, a)
    a, ia, b, ib = (column[keep] for column in (a, ia, b, ib))
    count = len(lanes.length)
    unanswered = ~np.isin(b * count + a, a * count + b)  # touches hardly: the other lane's body found nothing
    a, b, ia = np.r_[a, b[unanswered]], np.r_[b, a[unanswered]], np.r_[ia, ib[unanswered]]
    rows = np.unique(np.stack([a, b, ia], 1), axis=0)
    fork = _share(lanes.prev_start, lanes.prev, rows[:, 0], rows[:, 1])
    rows = rows[~(fork & _at_the_start(rows))]
    if len(rows) == 0:
        return Conflicts(*[np.zeros(0, np.int64)] * 2, *[np.zeros(0)] * 4)
    pairs, first = np.unique(rows[:, :2], axis=0, return_index=True)
    last = np.r_[first[1:], len(rows)] - 1
    step = slices.step[pairs[:, 0]]
    into = np.maximum(rows[first, 2] * step - 0.5 * _STEP_M, 0.0)
    out = np.minimum(rows[last, 2] * step + 0.5 * _STEP_M, lanes.length[pairs[:, 0]])
    merge = _share(lanes.next_start, lanes.next, pairs[:, 0], pairs[:, 1])
    out = np.where(merge, lanes.length[pairs[:, 0]], out)
    return _mirrored(pairs, into, out)


def _mirrored(pairs: Int[ndarray, "p 2"], into: Float[ndarray, "p"], out: Float[ndarray, "p"]) -> Conflicts:
    row = {(int(a), int(b)): i for i, (a, b) in enumerate(pairs)}
    both = [(i, row[b, a]) for (a, b), i in row.items() if (b, a) in row]
    mine = np.array([i for i, _ in both], np.int64)
    theirs = np.array([j for _, j in both], np.int64)
    return Conflicts(pairs[mine, 0], pairs[mine, 1], into[mine], out[mine], into[theirs], out[theirs])


def _merging(lanes: LaneGraph) -> Bool[ndarray, "L"]:
    """Lanes that lead into a lane into which another one leads too."""
    out = np.zeros(len(lanes.length), bool)
    for k in np.flatnonzero(np.diff(lanes.prev_start) > 1):
        out[lanes.prev[lanes.prev_start[k] : lanes.prev_start[k + 1]]] = True
    return out


def _slices(lanes: LaneGraph, rows: Int[ndarray, "n"]) -> _Slices:
    lines = lanes.lines
    count = np.maximum(np.ceil(lanes.length / _STEP_M), 1).astype(np.int64)
    step = lanes.length / count
    lane = np.repeat(rows, count[rows] + 1)
    index = np.concatenate([np.arange(count[k] + 1) for k in rows]) if len(rows) else np.zeros(0, np.int64)
    u = index * step[lane] / lines.step[lane]
    cells = np.diff(lines.start)[lane] - 2
    cell = np.minimum(np.floor(u).astype(np.int64), cells)
    w, i = u - cell, lines.start[lane] + cell
    x, y, z, yaw = (c[i] + w * (c[i + 1] - c[i]) for c in (lines.x, lines.y, lines.z, lines.yaw))
    half = np.where(lanes.use == LaneUse.BIKING, HALF_BAND_M[LaneUse.BIKING], HALF_BAND_M[LaneUse.DRIVING])
    left = np.column_stack([-np.sin(yaw), np.cos(yaw)])
    return _Slices(lane, index, step, np.column_stack([x, y, z]), left, half[lane])


def _touches(slices: _Slices) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Lane and slice of bodies, lane and slice of the bands that they touch."""
    across = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    offset = across[:, None, None] * (slices.half[:, None] * slices.left)
    body = np.tile(slices.point, (len(across), 1))
    body[:, :2] += offset.reshape(-1, 2)
    reach = np.hypot(slices.half + _MARGIN_M, 0.5 * _STEP_M)
    if len(slices.lane) == 0:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    query, at = Near(slices.point, float(reach.max())).pairs(body)
    which = query % len(slices.lane)
    gap = np.hypot(*(body[query, :2] - slices.point[at, :2]).T)
    touch = (gap <= reach[at]) & (slices.lane[which] != slices.lane[at])
    touch &= np.abs(body[query, 2] - slices.point[at, 2]) < LEVEL_M
    which, at = which[touch], at[touch]
    return slices.lane[which], slices.number[which], slices.lane[at], slices.number[at]


def _share(
    start: Int[ndarray, "L+1"], entries: Int[ndarray, "m"], a: Int[ndarray, "n"], b: Int[ndarray, "n"]
) -> Bool[ndarray, "n"]:
    """Whether the lists of two lanes have an entry in common."""
    lists = [set(entries[i:j].tolist()) for i, j in itertools.pairwise(start)]
    pairs, where = np.unique(np.stack([a, b], 1).reshape(-1, 2), axis=0, return_inverse=True)
    shared = np.array([bool(lists[i] & lists[j]) for i, j in pairs], bool)
    return shared[where.reshape(-1)] if len(pairs) else np.zeros(len(a), bool)


def _follows(lanes: LaneGraph, a: Int[ndarray, "n"], b: Int[ndarray, "n"]) -> Bool[ndarray, "n"]:
    """Whether b follows a."""
    count = len(lanes.length)
    source = np.repeat(np.arange(count), np.diff(lanes.next_start))
    return np.isin(a * count + b, source * count + lanes.next)


def _at_the_start(rows: Int[ndarray, "n 3"]) -> Bool[ndarray, "n"]:
    """Which rows (lane, other, slice), sorted, belong to an unbroken run of slices from the lane's start."""
    fresh = np.r_[True, (rows[1:, :2] != rows[:-1, :2]).any(1)] if len(rows) else np.zeros(0, bool)
    group = np.cumsum(fresh) - 1
    position = np.arange(len(rows)) - np.flatnonzero(fresh)[group] if len(rows) else np.zeros(0, np.int64)
    # In such a run the n-th slice of a pair is slice n; a small gap does not end it.
    broken = rows[:, 2] - position > 2
    return ~broken
