"""The ground that vehicles cover in bends: the nose swings out, the rear cuts in.

The box centre follows the lane; the rear axle rolls without slipping behind it (Rajamani 2011, 2.2). What is
wider than the lane's straight band decides where others must wait.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse

HALF_BAND_M = {LaneUse.DRIVING: 1.0, LaneUse.BIKING: 0.4}
"""Half the width of what drives."""
LENGTH_M = 6.1
"""Of the vehicle that room is made for: the longest van. Longer ones keep to wide bends."""
ASTRAY_M = 0.2
"""How far drivers are from where they should be in a bend."""
EXTENSION_M = 8.0
"""Way before and beyond a lane of a junction on which the body may still stand out of its lane."""
WIDE_BEND_M = 35.0
"""Radius of the bends that buses and trucks take."""
BUS_M, BUS_WIDTH_M = 12.0, 2.55
REAR_AXLE = 0.3  # behind the box centre, of the length

_STEP_M = 0.5
_TURN = 0.1  # rad; straighter lanes are straight
_BEND = 0.3  # rad; lesser turns are no bends
_CHORD_M = 6.0  # along which a bend counts
_OVER_M = 0.1  # out of its lane that a bus may stand


class Way(NamedTuple):
    """A lane with what comes before and after it, every half metre or so. Axes: n slices."""

    number: Int[ndarray, "n"]  # 0 where the lane begins; negative before it
    step: float  # m between slices
    point: Float[ndarray, "n 3"]
    yaw: Float[ndarray, "n"]
    left: Float[ndarray, "n"]  # m that bodies cover to the left of the centre ...
    right: Float[ndarray, "n"]  # ... and to the right


def swing(length: float, curvature: Float[ndarray, "*n"]) -> Float[ndarray, "*n"]:
    """Metres that the nose of a body is outside of the circle that its centre follows."""
    return (0.125 + 0.5 * REAR_AXLE) * length * length * curvature


def way_along(lanes: LaneGraph, lane: int, extended: bool) -> Way:
    """The band that vehicles sweep along a lane; `extended`: with up to 8 m before and after it."""
    count = max(int(np.ceil(lanes.length[lane] / _STEP_M)), 1)
    step = float(lanes.length[lane]) / count
    number = np.arange(count + 1)
    rows = [_points(lanes, lane, number * step)]
    if extended:
        before = _outside(lanes, lanes.prev_start, lanes.prev, lane)
        after = _outside(lanes, lanes.next_start, lanes.next, lane)
        if before >= 0:
            more = int(min(EXTENSION_M, lanes.length[before]) / step)
            rows.insert(0, _points(lanes, before, lanes.length[before] + np.arange(-more, 0) * step))
            number = np.r_[np.arange(-more, 0), number]
        if after >= 0:
            more = int(min(EXTENSION_M, lanes.length[after]) / step)
            rows.append(_points(lanes, after, np.arange(1, more + 1) * step))
            number = np.r_[number, count + np.arange(1, more + 1)]
    table = np.concatenate(rows)
    yaw = np.unwrap(table[:, 3])
    half = HALF_BAND_M[LaneUse(int(lanes.use[lane]))]
    left, right = np.full(len(yaw), half), np.full(len(yaw), half)
    if lanes.use[lane] == LaneUse.DRIVING and np.ptp(yaw) > _TURN:
        left, right = _swept(table[:, :2], yaw, step, half)
    return Way(number, step, table[:, :3], yaw, left, right)


def lanes_for_heavy(lanes: LaneGraph) -> Bool[ndarray, "L"]:
    """From which lanes buses and trucks find a way through the town, or off it, without a tight bend.

    In a junction others keep off the ground that they sweep; between junctions it must be their own lane.
    """
    lines = lanes.lines
    turn = np.abs(lines.yaw[lines.start[1:] - 1] - lines.yaw[lines.start[:-1]])
    out = (turn < _BEND) | (lanes.length >= WIDE_BEND_M * turn)
    out &= (lanes.junction >= 0) | _holds_a_bus(lanes)
    out &= lanes.use == LaneUse.DRIVING
    source = np.repeat(np.arange(len(lanes.length)), np.diff(lanes.next_start))
    ends = np.diff(lanes.next_start) == 0
    while True:
        onward = ends | (np.bincount(source, out[lanes.next], len(out)) > 0)
        if (out <= onward).all():
            return out
        out &= onward


def _holds_a_bus(lanes: LaneGraph) -> Bool[ndarray, "L"]:
    """Whether the nose of a bus stays, but for a little, in its own lane."""
    lines = lanes.lines
    size = np.diff(lines.start)
    lane = np.repeat(np.arange(len(size)), size)
    point = np.arange(len(lane))
    after = np.minimum(
        point + np.ceil(_CHORD_M / lines.step[lane]).astype(np.int64), lines.start[lane + 1] - 1
    )
    bend = np.abs(lines.yaw[after] - lines.yaw[point]) / np.maximum(
        (after - point) * lines.step[lane], _CHORD_M
    )
    over = swing(BUS_M, bend) - 0.5 * (lanes.width - BUS_WIDTH_M)
    return np.maximum.reduceat(over, lines.start[:-1]) <= _OVER_M


def _outside(lanes: LaneGraph, start: Int[ndarray, "L+1"], entries: Int[ndarray, "m"], lane: int) -> int:
    """The first lane of a list if it is outside junctions; else -1."""
    k = int(entries[start[lane]]) if start[lane + 1] > start[lane] else -1
    return k if k >= 0 and lanes.junction[k] < 0 else -1


def _points(lanes: LaneGraph, lane: int, s: Float[ndarray, "n"]) -> Float[ndarray, "n 4"]:
    """x, y, z and direction at places of a lane."""
    lines = lanes.lines
    u = s / lines.step[lane]
    cells = lines.start[lane + 1] - lines.start[lane] - 2
    cell = np.clip(np.floor(u).astype(np.int64), 0, cells)
    w, i = u - cell, lines.start[lane] + cell
    return np.column_stack(
        [column[i] + w * (column[i + 1] - column[i]) for column in (lines.x, lines.y, lines.z, lines.yaw)]
    )


def _swept(
    centre: Float[ndarray, "n 2"], yaw: Float[ndarray, "n"], step: float, half: float
) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
    """Metres to the left and right of each point that the van covers as it passes."""
    axle = REAR_AXLE * LENGTH_M
    heading = np.empty_like(yaw)
    heading[0] = yaw[0]
    for k in range(len(yaw) - 1):
        heading[k + 1] = heading[k] + step * np.sin(yaw[k] - heading[k]) / axle
    along = np.linspace(-0.5, 0.5, 12) * LENGTH_M
    outline = np.array([(u, side * half) for u in along for side in (-1.0, 1.0)])
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x = centre[:, :1] + c * outline[:, 0] - s * outline[:, 1]
    y = centre[:, 1:] + s * outline[:, 0] + c * outline[:, 1]
    left, right = np.full(len(yaw), half), np.full(len(yaw), half)
    reach = round(LENGTH_M / step)
    for k in range(len(yaw)):
        # Only what passes here, not what comes by again after a long bend.
        passing = slice(max(k - reach, 0), k + reach + 1)
        dx, dy = x[passing] - centre[k, 0], y[passing] - centre[k, 1]
        c, s = np.cos(yaw[k]), np.sin(yaw[k])
        d = (dy * c - dx * s)[np.abs(dx * c + dy * s) <= 0.75 * step]
        if len(d):
            left[k], right[k] = max(half, d.max() + ASTRAY_M), max(half, ASTRAY_M - d.min())
    return left, right
