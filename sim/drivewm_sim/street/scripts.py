"""The scripted controller: an exact path at exact speeds, for test dummies and directors' props.

A script is a list of poses 0.05 s apart, counted from when it begins; before that the agent stands at the
first pose, after the last it stands there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.simulator import PHYSICS_S
from drivewm_sim.street.state import Controller, Pedestrians, Vehicles

_SCRIPTED = int(Controller.SCRIPTED)


class Scripts(NamedTuple):
    """Axes: N scripts, M poses of all. `begin` changes (a trigger sets it); the rest does not."""

    start: Int[ndarray, "N+1"]  # script n owns poses start[n]:start[n + 1]
    pose: Float[ndarray, "M 4"]  # x, y, z, yaw
    begin: Float[ndarray, "N"]  # s; infinite until triggered


def no_scripts() -> Scripts:
    """No scripts."""
    return Scripts(np.zeros(1, np.int64), np.zeros((0, 4)), np.zeros(0))


def add_script(scripts: Scripts, pose: Float[ndarray, "m 4"], begin: float) -> tuple[Scripts, int]:
    """One script more, and its row."""
    if len(pose) == 0:
        raise ValueError("a script needs at least one pose")
    row = len(scripts.begin)
    start = np.append(scripts.start, scripts.start[-1] + len(pose))
    return Scripts(start, np.concatenate([scripts.pose, pose]), np.append(scripts.begin, begin)), row


def along_path(
    points: Float[ndarray, "n 3"], speed_at: Callable[[float], float], longest_s: float = 120.0
) -> Float[ndarray, "m 4"]:
    """Poses along a polyline (x, y, z) at `speed_at(seconds since the start)` m/s, exact in both."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    s = [0.0]
    while s[-1] < along[-1] and len(s) * PHYSICS_S < longest_s:
        # The midpoint's speed: exact where the speed changes linearly within a step.
        s.append(min(s[-1] + speed_at((len(s) - 0.5) * PHYSICS_S) * PHYSICS_S, along[-1]))
    xyz = np.column_stack([np.interp(s, along, points[:, k]) for k in range(3)])
    piece = np.clip(np.searchsorted(along, s, side="right") - 1, 0, len(points) - 2)
    step = np.diff(points[:, :2], axis=0)[piece]
    return np.column_stack([xyz, np.arctan2(step[:, 1], step[:, 0])])


@kernel
def play(cars: Vehicles, people: Pedestrians, scripts: Scripts, time_s: float) -> None:
    """Puts scripted agents where their scripts want them at a time."""
    for i in range(len(cars.uid)):
        if cars.controller[i] == _SCRIPTED:
            a, b, w = _frame(scripts, cars.script[i], time_s)
            vx, vy = _velocity(scripts, a, b)
            cars.speed[i] = math.hypot(vx, vy)
            cars.x[i], cars.y[i], cars.z[i], cars.yaw[i] = _between(scripts, a, b, w)
    for p in range(len(people.uid)):
        if people.controller[p] == _SCRIPTED:
            a, b, w = _frame(scripts, people.script[p], time_s)
            people.vx[p], people.vy[p] = _velocity(scripts, a, b)
            people.x[p], people.y[p], people.z[p], people.yaw[p] = _between(scripts, a, b, w)


@kernel
def _frame(scripts: Scripts, row: int, time_s: float) -> tuple[int, int, float]:
    """The poses before and after a time, and the share of the second."""
    first, last = scripts.start[row], scripts.start[row + 1] - 1
    u = (time_s - scripts.begin[row]) / PHYSICS_S
    if not u > 0.0:  # also for an infinite beginning
        return first, first, 0.0
    cell = math.floor(u + 1e-9)
    if first + cell >= last:
        return last, last, 0.0
    return first + cell, first + cell + 1, u - cell


@kernel
def _velocity(scripts: Scripts, a: int, b: int) -> tuple[float, float]:
    return (
        (scripts.pose[b, 0] - scripts.pose[a, 0]) / PHYSICS_S,
        (scripts.pose[b, 1] - scripts.pose[a, 1]) / PHYSICS_S,
    )


@kernel
def _between(scripts: Scripts, a: int, b: int, w: float) -> tuple[float, float, float, float]:
    p, q = scripts.pose[a], scripts.pose[b]
    turn = (q[3] - p[3] + math.pi) % (2.0 * math.pi) - math.pi
    w = max(w, 0.0)
    return p[0] + w * (q[0] - p[0]), p[1] + w * (q[1] - p[1]), p[2] + w * (q[2] - p[2]), p[3] + w * turn
