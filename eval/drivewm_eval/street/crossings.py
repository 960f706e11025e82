"""Where the path of somebody on foot crosses that of a vehicle: found from tracks alone, without a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import Kind
from drivewm_eval.street.motion import LEVEL_M, Motion

LONGEST_LAG_S = 20.0
"""Passing one point further apart in time than this is no encounter."""
LEAST_SINE = 0.34
"""Sine of 20 degrees: paths that meet at a smaller angle run beside each other, they do not cross."""
AT_SIGNAL_M = 4.0
"""Who crosses this near to a way with a signal crosses by that signal."""
STILL_M = 0.02
"""Shorter moves between two ticks are the noise of somebody standing."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One pedestrian and one vehicle whose paths cross. Times in seconds on the clock of the motion."""

    pedestrian: int  # agents of the motion
    vehicle: int
    point: Float[ndarray, "2"]  # where the two polylines of box centres intersect
    pedestrian_s: float  # when each is there
    vehicle_s: float
    angle: float  # between the two directions, radians in (0, pi/2]
    vehicle_direction: Float[ndarray, "2"]  # unit

    @property
    def lag(self) -> float:
        """Seconds by which the vehicle passes the point after the pedestrian; negative if before."""
        return self.vehicle_s - self.pedestrian_s


def crossings(motion: Motion) -> list[Crossing]:
    """Every pair of somebody on foot and a moving vehicle whose paths cross within 20 s of each other.

    A pair counts once. Where its paths meet several times it is the meeting that was closest in time.
    """
    return [found for pair in _near_pairs(motion) if (found := _crossing(motion, *pair))]


def without_signals(found: Sequence[Crossing], signalled: Float[ndarray, "k 2 2"]) -> list[Crossing]:
    """The crossings that are not at a signal for people: there the light decides, nobody chooses a gap.

    `signalled` holds the two ends of each way over a road that has such a signal.
    """
    begin, span = signalled[:, 0], signalled[:, 1] - signalled[:, 0]

    def at_one(point: Float[ndarray, "2"]) -> bool:
        w = ((point - begin) * span).sum(1) / (span * span).sum(1)
        off = point - (begin + np.clip(w, 0.0, 1.0)[:, None] * span)
        return bool((np.hypot(off[:, 0], off[:, 1]) <= AT_SIGNAL_M).any())

    return [crossing for crossing in found if not at_one(crossing.point)]


def _near_pairs(motion: Motion) -> Iterator[tuple[int, int]]:
    """Pairs whose tracks overlap in space (bounding boxes) and nearly in time."""
    seen = np.diff(motion.starts) >= 2
    people = np.flatnonzero(seen & (motion.kind == Kind.PEDESTRIAN))
    vehicles = np.flatnonzero(seen & (motion.kind == Kind.VEHICLE) & ~motion.parked)
    if not len(people) or not len(vehicles):
        return
    # One row an agent: x, y, time; rows of agents that were never seen are not looked at.
    place = np.column_stack([motion.xy, motion.tick * motion.step])
    begin = np.minimum(motion.starts[:-1], len(place) - 1)
    low, high = np.minimum.reduceat(place, begin), np.maximum.reduceat(place, begin)
    slack = np.array([0.0, 0.0, LONGEST_LAG_S])
    for person in people.tolist():
        near = (low[vehicles] <= high[person] + slack).all(axis=1)
        near &= (high[vehicles] >= low[person] - slack).all(axis=1)
        for vehicle in vehicles[near].tolist():
            yield person, vehicle


def _segments(motion: Motion, agent: int) -> tuple[Int[ndarray, "n"], Float[ndarray, "n 2"]]:
    """Rows at which a move of the agent ends, and the moves."""
    rows = np.arange(motion.starts[agent], motion.starts[agent + 1])
    rows = rows[motion.follows[rows]]
    step = motion.xy[rows] - motion.xy[rows - 1]
    moved = np.hypot(step[:, 0], step[:, 1]) >= STILL_M
    return rows[moved], step[moved]


def _near(motion: Motion, rows: Int[ndarray, "n"], others: Int[ndarray, "m"]) -> Bool[ndarray, "n"]:
    """The moves that may meet one of the others' moves, by the bounds of all of these in space and time."""
    if not len(others):
        return np.zeros(len(rows), bool)
    low, high = (
        np.minimum(motion.xy[rows - 1], motion.xy[rows]),
        np.maximum(motion.xy[rows - 1], motion.xy[rows]),
    )
    ends = np.concatenate([motion.xy[others - 1], motion.xy[others]])
    near = (low <= ends.max(axis=0)).all(axis=1) & (high >= ends.min(axis=0)).all(axis=1)
    slack = LONGEST_LAG_S / motion.step + 1
    tick = motion.tick[rows]
    return near & (tick <= motion.tick[others[-1]] + slack) & (tick >= motion.tick[others[0]] - slack)


def _crossing(motion: Motion, person: int, vehicle: int) -> Crossing | None:
    rows_p, step_p = _segments(motion, person)
    rows_v, step_v = _segments(motion, vehicle)
    near_p, near_v = _near(motion, rows_p, rows_v), _near(motion, rows_v, rows_p)
    rows_p, step_p, rows_v, step_v = rows_p[near_p], step_p[near_p], rows_v[near_v], step_v[near_v]
    if not len(rows_p) or not len(rows_v):
        return None
    from_p, from_v = motion.xy[rows_p - 1], motion.xy[rows_v - 1]
    p, v = step_p[:, None], step_v[None]
    between = from_v[None] - from_p[:, None]
    cross = p[..., 0] * v[..., 1] - p[..., 1] * v[..., 0]
    lengths = np.hypot(p[..., 0], p[..., 1]) * np.hypot(v[..., 0], v[..., 1])
    steep = np.abs(cross) >= LEAST_SINE * lengths
    safe = np.where(steep, cross, 1.0)
    share_p = (between[..., 0] * v[..., 1] - between[..., 1] * v[..., 0]) / safe
    share_v = (between[..., 0] * p[..., 1] - between[..., 1] * p[..., 0]) / safe
    # Half open, so that a path through a corner of the other meets it once.
    meet = steep & (share_p >= 0) & (share_p < 1) & (share_v >= 0) & (share_v < 1)
    meet &= np.abs(motion.z[rows_p][:, None] - motion.z[rows_v][None]) <= LEVEL_M
    time_p = (motion.tick[rows_p][:, None] - 1 + share_p) * motion.step
    time_v = (motion.tick[rows_v][None] - 1 + share_v) * motion.step
    lag = np.where(meet, np.abs(time_v - time_p), np.inf)
    i, j = np.unravel_index(int(lag.argmin()), lag.shape)
    if lag[i, j] > LONGEST_LAG_S:
        return None
    return Crossing(
        pedestrian=person,
        vehicle=vehicle,
        point=from_p[i] + share_p[i, j] * step_p[i],
        pedestrian_s=float(time_p[i, j]),
        vehicle_s=float(time_v[i, j]),
        angle=float(np.arcsin(min(abs(cross[i, j]) / lengths[i, j], 1.0))),
        vehicle_direction=step_v[j] / np.hypot(*step_v[j]),
    )
