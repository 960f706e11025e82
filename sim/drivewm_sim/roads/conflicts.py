"""Conflict areas: where the bands that vehicles sweep on two lanes of a junction overlap."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.near import LEVEL_M, Near
from drivewm_sim.roads.swept import way_along

_MARGIN_M = 0.15  # room between bodies that do not touch
_STEP_M = 0.5
_ACROSS = 7  # points across a body


class Conflicts(NamedTuple):
    """Rows sorted by lane, then by the other lane; each overlap stands twice, once from either side."""

    lane: Int[ndarray, "b"]
    other: Int[ndarray, "b"]
    into: Float[ndarray, "b"]  # s on `lane` between which a body touches the other lane's band; may lie
    out: Float[ndarray, "b"]  # a little before the lane's begin, or beyond its end
    other_into: Float[ndarray, "b"]
    other_out: Float[ndarray, "b"]


class _Slices(NamedTuple):
    """Points every half metre along some lanes, and before and beyond those of junctions."""

    lane: Int[ndarray, "n"]
    number: Int[ndarray, "n"]  # along the lane; negative before it
    inside: Bool[ndarray, "n"]  # neither before nor beyond it
    step: Float[ndarray, "L"]
    first: Int[ndarray, "L"]  # number of the first slice
    point: Float[ndarray, "n 3"]
    yaw: Float[ndarray, "n"]
    left: Float[ndarray, "n"]
    right: Float[ndarray, "n"]


def find_conflicts(lanes: LaneGraph) -> Conflicts:
    """Overlaps of lanes inside junctions, and of lanes anywhere that lead into the same lane.

    Lanes that follow one another, and the place where two lanes part, are no conflict: there one follows.
    """
    merging = _merging(lanes)
    slices = _slices(lanes, np.flatnonzero((lanes.junction >= 0) | merging))
    which, at = _touches(slices)
    a, ia, b, ib = slices.lane[which], slices.number[which], slices.lane[at], slices.number[at]
    keep = ((lanes.junction[a] >= 0) & (lanes.junction[b] >= 0)) | _share(lanes.next_start, lanes.next, a, b)
    # Before and beyond its lanes a junction only matters to those who use it.
    keep &= (slices.inside[which] & slices.inside[at]) | (lanes.junction[a] == lanes.junction[b])
    keep &= ~_follows(lanes, a, b) & ~_follows(lanes, b, a)
    a, ia, b, ib = (column[keep] for column in (a, ia, b, ib))
    count = len(lanes.length)
    unanswered = ~np.isin(b * count + a, a * count + b)  # touches hardly: the other lane's body found nothing
    a, b, ia = np.r_[a, b[unanswered]], np.r_[b, a[unanswered]], np.r_[ia, ib[unanswered]]
    rows = np.unique(np.stack([a, b, ia], 1), axis=0)
    fork = _share(lanes.prev_start, lanes.prev, rows[:, 0], rows[:, 1])
    rows = rows[~(fork & _at_the_start(rows, slices.first[rows[:, 0]]))]
    if len(rows) == 0:
        return Conflicts(*[np.zeros(0, np.int64)] * 2, *[np.zeros(0)] * 4)
    pairs, first = np.unique(rows[:, :2], axis=0, return_index=True)
    last = np.r_[first[1:], len(rows)] - 1
    step = slices.step[pairs[:, 0]]
    into, out = (rows[first, 2] - 0.5) * step, (rows[last, 2] + 0.5) * step
    outside = lanes.junction[pairs[:, 0]] < 0
    into = np.where(outside, np.maximum(into, 0.0), into)
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
    step, first = np.ones(len(lanes.length)), np.zeros(len(lanes.length), np.int64)
    ways = [way_along(lanes, int(k), bool(lanes.junction[k] >= 0)) for k in rows]
    for k, way in zip(rows, ways, strict=True):
        step[k], first[k] = way.step, way.number[0]
    lane = np.repeat(rows, [len(way.number) for way in ways])
    number, point, yaw, left, right = (
        np.concatenate([getattr(way, name) for way in ways] or [nothing])
        for name, nothing in (
            ("number", np.zeros(0, np.int64)), ("point", np.zeros((0, 3))),
            ("yaw", np.zeros(0)), ("left", np.zeros(0)), ("right", np.zeros(0)),
        )
    )  # fmt: skip
    inside = (number >= 0) & (number * step[lane] <= lanes.length[lane] + 1e-6)
    return _Slices(lane, number, inside, step, first, point, yaw, left, right)


def _touches(slices: _Slices) -> tuple[Int[ndarray, "t"], Int[ndarray, "t"]]:
    """Slices of bodies, and the slices of other lanes' bands that they touch."""
    if len(slices.lane) == 0:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing
    x, y, z = slices.point.T
    widest = np.maximum(slices.left, slices.right)
    room = 0.5 * _STEP_M + 2.0 * _MARGIN_M  # beyond both widths no point of a body touches
    which, at = Near(slices.point, 2.0 * float(widest.max()) + room).pairs(slices.point)
    may = slices.lane[which] != slices.lane[at]
    which, at = which[may], at[may]
    may = np.hypot(x[which] - x[at], y[which] - y[at]) <= widest[which] + widest[at] + room
    may &= np.abs(z[which] - z[at]) < LEVEL_M
    which, at = which[may], at[may]
    sin, cos = np.sin(slices.yaw), np.cos(slices.yaw)
    s, c, x_at, y_at = sin[at], cos[at], x[at], y[at]
    left, right = slices.left[at] + _MARGIN_M, -slices.right[at] - _MARGIN_M
    touch = np.zeros(len(which), bool)
    for across in np.linspace(-1.0, 1.0, _ACROSS):
        d = across * (slices.left if across > 0.0 else slices.right)
        dx, dy = (x - d * sin)[which] - x_at, (y + d * cos)[which] - y_at
        along, beside = dx * c + dy * s, dy * c - dx * s
        touch |= (np.abs(along) <= 0.5 * _STEP_M + _MARGIN_M) & (beside <= left) & (beside >= right)
    return which[touch], at[touch]


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


def _at_the_start(rows: Int[ndarray, "n 3"], begin: Int[ndarray, "n"]) -> Bool[ndarray, "n"]:
    """Which rows (lane, other, slice), sorted, belong to an unbroken run of slices from the first one."""
    fresh = np.r_[True, (rows[1:, :2] != rows[:-1, :2]).any(1)] if len(rows) else np.zeros(0, bool)
    group = np.cumsum(fresh) - 1
    position = np.arange(len(rows)) - np.flatnonzero(fresh)[group] if len(rows) else np.zeros(0, np.int64)
    # In such a run the n-th slice of a pair is slice n; a small gap does not end it.
    broken = rows[:, 2] - begin - position > 2
    return ~broken
