"""A leaderboard plan as the route that ego drivers know.

Plans are kilometres long and may cross themselves, so places are looked for near the car only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.carla_frames import mirrored
from drivewm_sim.ego_route import Crossing, GiveWay, LineRoute, StopLine
from drivewm_sim.lines import make_lines

BEHIND_M, AHEAD_M, STRIDE_M = 30.0, 150.0, 20.0
LATERAL_MPS2 = 2.0  # in bends
SLOWS_MPS2 = 1.5  # before bends
SLOWEST_MPS = 2.0
_SMOOTH = 5  # points of 1 m that are averaged: lane changes of a plan are jumps
_BEND_M = 3


class PlanRoute:
    """An `EgoRoute` along a plan. `advance` tells it where the car is."""

    crossings: tuple[Crossing, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    give_ways: tuple[GiveWay, ...] = ()

    def __init__(self, xy: Float[ndarray, "n 2"], top_speed: float) -> None:
        """xy: the plan in the scene frame; top_speed: m/s where the plan is straight."""
        whole = make_lines([_smooth(_distinct(xy))])
        self._xy, self._step = np.column_stack([whole.x, whole.y]), float(whole.step[0])
        self._cap = speed_caps(self._xy, self._step, top_speed)
        self._near(0)

    def _near(self, first: int) -> None:
        rows = slice(first, first + round((BEHIND_M + AHEAD_M) / self._step) + 2)
        self._first, self._from = first, first * self._step
        points = self._xy[rows]
        self._window = LineRoute(lines=make_lines([points], self._step), line=0, cap=self._cap[rows])

    @property
    def length(self) -> float:
        return self._step * (len(self._xy) - 1)

    @property
    def start(self) -> Float[ndarray, "3"]:
        """x, y, yaw of its first point."""
        way = self._xy[min(3, len(self._xy) - 1)] - self._xy[0]
        return np.array([*self._xy[0], np.arctan2(way[1], way[0])])

    def advance(self, xy: Float[ndarray, "2"]) -> float:
        """The car's s; what lies well behind it is forgotten."""
        (s,), _ = self.locate(xy[None])
        keep = round((s - BEHIND_M) / self._step)
        if (keep - self._first) * self._step > STRIDE_M:
            self._near(min(keep, len(self._xy) - 2))
        return float(s)

    def locate(self, xy: Float[ndarray, "N 2"]) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"]]:
        s, d = self._window.locate(xy)
        return s + self._from, d

    def points(self, s: Float[ndarray, "N"], d: Float[ndarray, "N"]) -> Float[ndarray, "N 3"]:
        return self._window.points(s - self._from, d)

    def speed_cap(self, s: float) -> float:
        return float(self._cap[min(max(round(s / self._step), 0), len(self._cap) - 1)])


def plan_points(plan: Sequence[tuple[Any, Any]]) -> Float[ndarray, "n 2"]:
    """x, y in the scene frame of a plan of (carla.Transform, road option); InputError where it is none."""
    try:
        places = [(p.location.x, p.location.y, p.location.z) for p, _ in plan]
    except (AttributeError, TypeError, ValueError):
        raise InputError("the global plan must be a list of (carla.Transform, road option)") from None
    xyz = np.array(places, np.float64).reshape(-1, 3)
    if len(xyz) < 2 or not np.isfinite(xyz).all() or np.ptp(xyz[:, :2], axis=0).max() < 1.0:
        raise InputError(f"the global plan has {len(xyz)} points, which make no way to drive")
    out: Float[ndarray, "n 2"] = mirrored(xyz)[:, :2]
    return out


def speed_caps(xy: Float[ndarray, "n 2"], step: float, top_speed: float) -> Float[ndarray, "n"]:
    """m/s at points `step` metres apart: slow in bends, and in time before them."""
    padded = np.concatenate([np.repeat(xy[:1], _BEND_M, 0), xy, np.repeat(xy[-1:], _BEND_M, 0)])
    back, on = xy - padded[: -2 * _BEND_M], padded[2 * _BEND_M :] - xy
    turn = np.arctan2(back[:, 0] * on[:, 1] - back[:, 1] * on[:, 0], (back * on).sum(axis=1))
    curvature = np.abs(turn) / (_BEND_M * step)
    cap = np.clip(np.sqrt(LATERAL_MPS2 / np.maximum(curvature, 1e-6)), SLOWEST_MPS, top_speed)
    for i in range(len(cap) - 2, -1, -1):
        cap[i] = min(cap[i], np.sqrt(cap[i + 1] ** 2 + 2.0 * SLOWS_MPS2 * step))
    return cap


def _distinct(xy: Float[ndarray, "n 2"]) -> Float[ndarray, "m 2"]:
    kept = [xy[0]]
    for point in xy[1:]:
        if np.hypot(*(point - kept[-1])) > 0.1:
            kept.append(point)
    return np.array(kept)


def _smooth(xy: Float[ndarray, "n 2"]) -> Float[ndarray, "m 2"]:
    """The line, 1 m apart, averaged over its neighbours; its ends stay."""
    lines = make_lines([xy])
    points = np.column_stack([lines.x, lines.y])
    if len(points) < 2 * _SMOOTH:
        return points
    half = _SMOOTH // 2
    middle = np.mean([points[k : len(points) - 2 * half + k] for k in range(_SMOOTH)], axis=0)
    return np.concatenate([points[:1], middle, points[-1:]])
