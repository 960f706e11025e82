"""What no body does: every agent of every tick against its limits.

The kernels read the records as they are, before and after a tick. Numba's own cache would not notice when
a number that they take from the simulator changes, so they are compiled each time, which takes a moment.
"""

from __future__ import annotations

import math
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Int
from numba import njit
from numpy import ndarray

from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street.state import Model

LIMITS = (
    ("vehicle_braking_mps2", 8.0),
    ("vehicle_speeding_up_mps2", 3.0),
    ("vehicle_curvature_per_m", 0.2),
    ("bicycle_curvature_per_m", 0.5),
    ("vehicle_lateral_mps2", 4.0),
    ("vehicle_jerk_outside_braking_mps3", 10.0),
    ("vehicle_jump_m", 0.01),
    ("pedestrian_speed_mps", 3.5),
    ("pedestrian_acceleration_mps2", 4.0),
    ("pedestrian_turn_radps", 4.0),
    ("pedestrian_jump_m", 0.01),
)
"""Names and limits. A jump is by how much a body moved further than its speed explains."""
(
    _BRAKING, _SPEEDING_UP, _CURVATURE, _BICYCLE_CURVATURE, _LATERAL, _JERK, _VEHICLE_JUMP,
    _SPEED, _ACCELERATION, _TURN, _JUMP,
) = range(len(LIMITS))  # fmt: skip
_MOST = np.array([most for _, most in LIMITS])
_ROUNDING = 1e-6
_JERK_BIN, _JERK_BINS = 0.1, 400  # m/s^3, from 0; the last bin is open
_MOVING_MPS = 0.3  # whoever stands may turn on the spot
_EMERGENCY, _RIDES = int(Intent.BRAKING), int(Model.BICYCLE)
_DT = DECISION_S


class Extremes(NamedTuple):
    """What came nearest to each limit, or went beyond. Axes: K limits, B bins."""

    over: Int[ndarray, "K"]  # agents times ticks above it
    worst: ndarray  # K: the largest value
    uid: Int[ndarray, "K"]  # whose it was
    tick: Int[ndarray, "K"]
    jerk: Int[ndarray, "B"]  # how often which jerk outside emergencies


def no_extremes() -> Extremes:
    """Nothing watched yet."""
    count = len(LIMITS)
    return Extremes(
        np.zeros(count, np.int64), np.zeros(count), np.full(count, -1), np.full(count, -1),
        np.zeros(_JERK_BINS, np.int64),
    )  # fmt: skip


def jerk_percentile(extremes: Extremes, share: float) -> float:
    """The jerk (m/s^3) below which so large a share lies, to a tenth."""
    total = np.cumsum(extremes.jerk)
    return float(_JERK_BIN * np.searchsorted(total, share * total[-1])) if total[-1] else 0.0


@njit
@no_type_check
def _note(k, value, uid, tick, extremes):
    if value > extremes.worst[k]:
        extremes.worst[k], extremes.uid[k], extremes.tick[k] = value, uid, tick
    if value > _MOST[k] + _ROUNDING:
        extremes.over[k] += 1


@njit
@no_type_check
def watch_vehicles(was, cars, tick, extremes):
    """Notes what vehicles did between two instants 0.1 s apart; the rows are the same vehicles."""
    for i in range(len(cars)):
        a, b = was[i], cars[i]
        uid, gained = b.uid, (b.speed - a.speed) / _DT
        _note(_BRAKING, max(-gained, -b.acceleration), uid, tick, extremes)
        _note(_SPEEDING_UP, max(gained, b.acceleration), uid, tick, extremes)
        _note(_BICYCLE_CURVATURE if b.model == _RIDES else _CURVATURE, abs(b.curvature), uid, tick, extremes)
        _note(_LATERAL, b.speed * b.speed * abs(b.curvature), uid, tick, extremes)
        if a.intent != _EMERGENCY and b.intent != _EMERGENCY:
            jerk = abs(b.acceleration - a.acceleration) / _DT
            _note(_JERK, jerk, uid, tick, extremes)
            extremes.jerk[min(int(jerk / _JERK_BIN), _JERK_BINS - 1)] += 1
        moved = math.hypot(b.x - a.x, b.y - a.y)
        _note(_VEHICLE_JUMP, moved - max(abs(a.speed), abs(b.speed)) * _DT, uid, tick, extremes)


@njit
@no_type_check
def watch_pedestrians(was, people, tick, extremes):
    """Notes what pedestrians did between two instants 0.1 s apart; the rows are the same people."""
    for p in range(len(people)):
        a, b = was[p], people[p]
        uid, before, speed = b.uid, math.hypot(a.vx, a.vy), math.hypot(b.vx, b.vy)
        _note(_SPEED, speed, uid, tick, extremes)
        _note(_ACCELERATION, math.hypot(b.vx - a.vx, b.vy - a.vy) / _DT, uid, tick, extremes)
        if speed > _MOVING_MPS:
            turn = (b.yaw - a.yaw + math.pi) % (2.0 * math.pi) - math.pi
            _note(_TURN, abs(turn) / _DT, uid, tick, extremes)
        moved = math.hypot(b.x - a.x, b.y - a.y)
        _note(_JUMP, moved - max(before, speed) * _DT, uid, tick, extremes)


@njit
@no_type_check
def too_near(people, nearest, level):
    """Pairs of rows [n, 2] whose centres are nearer than `nearest` m, on one level (m of height)."""
    x = people["x"].copy()
    order = np.argsort(x, kind="mergesort")
    pairs = np.empty((0, 2), np.int64)
    for k in range(2):
        count = 0
        for a in range(len(order)):
            p = order[a]
            for b in range(a + 1, len(order)):
                q = order[b]
                if x[q] - x[p] >= nearest:
                    break
                dx, dy = x[q] - x[p], people[q].y - people[p].y
                if dx * dx + dy * dy < nearest * nearest and abs(people[q].z - people[p].z) < level:
                    if k == 1:
                        pairs[count, 0], pairs[count, 1] = p, q
                    count += 1
        if k == 0:
            if count == 0:
                break
            pairs = np.empty((count, 2), np.int64)
    return pairs
