"""What an ego policy needs of the road: one way through it, and what lies on that way.

Policies know frames and this protocol only, so they drive on any map and any `Simulator`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Aspect
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines, line_length, line_point, project
from drivewm_sim.simulator import Frame


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A stretch of the route that people cross, m along it."""

    s_in: float
    s_out: float
    signal: int = -1  # of the people: row of `Frame.signals`; -1: none

    def open(self, frame: Frame) -> bool:
        """Whether people may set off: at a crossing without a signal always."""
        return self.signal < 0 or not frame.signals or frame.signals[self.signal] == Aspect.GREEN


@dataclass(frozen=True, kw_only=True)
class StopLine:
    """Where the ego waits while its signal is not green, m along the route."""

    s: float
    signal: int  # row of `Frame.signals`

    def aspect(self, frame: Frame) -> Aspect:
        """What its signal shows; green in a world that tells no signals."""
        return Aspect(int(frame.signals[self.signal])) if frame.signals else Aspect.GREEN


@dataclass(frozen=True, kw_only=True)
class GiveWay:
    """A stretch of the route that vehicles on another way drive over."""

    stop_s: float  # where the ego waits for them (m along the route) ...
    s_in: float  # ... and between which of its bodies touch theirs
    s_out: float
    lines: Lines
    line: int  # the others' way
    enters: float  # m along that way: where it enters the junction ...
    at_in: float  # ... and the same stretch
    at_out: float
    first: bool = True  # they go first; otherwise they only do when they are there already
    signal: int = -1  # that lets them in: row of `Frame.signals`; -1: none

    @property
    def xy(self) -> Float[ndarray, "2"]:
        """Where the stretch begins on the others' way."""
        return np.array(line_point(self.lines, self.line, max(self.at_in, 0.0), 0.0)[:2])

    def locate(
        self, xy: Float[ndarray, "N 2"]
    ) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"], Float[ndarray, "N"]]:
        """s, d and yaw of the others' way at the point of it that is nearest to each position."""
        s, d = _locate(self.lines, self.line, np.ascontiguousarray(xy))
        return s, d, _points(self.lines, self.line, s, np.zeros(len(s)))[:, 2]


class EgoRoute(Protocol):
    """The ego's way: s along it in driving direction, d to its left (metres). Axis: N points."""

    @property
    def length(self) -> float: ...

    @property
    def crossings(self) -> tuple[Crossing, ...]: ...

    @property
    def stop_lines(self) -> tuple[StopLine, ...]: ...

    @property
    def give_ways(self) -> tuple[GiveWay, ...]: ...

    def locate(self, xy: Float[ndarray, "N 2"]) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"]]:
        """s and d of the point of the route that is nearest to each position."""
        ...

    def points(self, s: Float[ndarray, "N"], d: Float[ndarray, "N"]) -> Float[ndarray, "N 3"]:
        """x, y and the route's yaw; beyond its ends the route goes on straight."""
        ...

    def speed_cap(self, s: float) -> float:
        """m/s that the road allows at s, low enough to be slow in time for what follows."""
        ...


@kernel
def _locate(lines: Lines, k: int, xy: Float[ndarray, "N 2"]) -> Float[ndarray, "2 N"]:
    out = np.empty((2, len(xy)))
    for i in range(len(xy)):
        out[0, i], out[1, i] = project(lines, k, xy[i, 0], xy[i, 1])
    return out


@kernel
def _points(lines: Lines, k: int, s: Float[ndarray, "N"], d: Float[ndarray, "N"]) -> Float[ndarray, "N 3"]:
    out = np.empty((len(s), 3))
    for i in range(len(s)):
        out[i, 0], out[i, 1], out[i, 2] = line_point(lines, k, s[i], d[i])
    return out


@dataclass(frozen=True, kw_only=True)
class LineRoute:
    """An `EgoRoute` along one line of a bundle."""

    lines: Lines
    line: int
    cap: Float[ndarray, "n"]  # m/s, at the points of the line
    crossings: tuple[Crossing, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    give_ways: tuple[GiveWay, ...] = ()

    @property
    def length(self) -> float:
        return float(line_length(self.lines, self.line))

    def locate(self, xy: Float[ndarray, "N 2"]) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"]]:
        s, d = _locate(self.lines, self.line, np.ascontiguousarray(xy))
        return s, d

    def points(self, s: Float[ndarray, "N"], d: Float[ndarray, "N"]) -> Float[ndarray, "N 3"]:
        found: Float[ndarray, "N 3"] = _points(self.lines, self.line, s, d)
        return found

    def speed_cap(self, s: float) -> float:
        return float(self.cap[min(max(round(s / self.lines.step[self.line]), 0), len(self.cap) - 1)])


@dataclass(frozen=True, kw_only=True)
class EgoState:
    """The ego on its route at one frame. Its own state a car knows exactly."""

    s: float
    d: float
    x: float
    y: float
    yaw: float
    speed: float  # m/s, forward
    length: float
    width: float


def ego_state(frame: Frame, route: EgoRoute) -> EgoState:
    """Where the ego is and how fast."""
    row = int(np.flatnonzero(frame.truth.uid == frame.ego_uid)[0])
    x, y, yaw = (float(v) for v in frame.truth.pose[row])
    vx, vy = (float(v) for v in frame.truth.velocity[row])
    length, width = (float(v) for v in frame.truth.size[row])
    (s,), (d,) = route.locate(frame.truth.pose[row : row + 1, :2])
    speed = vx * math.cos(yaw) + vy * math.sin(yaw)
    return EgoState(s=float(s), d=float(d), x=x, y=y, yaw=yaw, speed=speed, length=length, width=width)
