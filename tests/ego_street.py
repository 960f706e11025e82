"""A straight road without anybody's will: the ego does as it is told, the others go on as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from drivewm.types import Kind, RoadMap
from drivewm_sim.ego_route import Crossing, LineRoute, StopLine
from drivewm_sim.lines import make_lines
from drivewm_sim.simulator import (
    AGENT_TYPES,
    DECISION_S,
    Agents,
    Capabilities,
    EgoCommand,
    Event,
    Frame,
    Intent,
    Scenario,
)

EGO = 0


def straight_route(
    length: float = 500.0,
    crossings: tuple[Crossing, ...] = (),
    stop_lines: tuple[StopLine, ...] = (),
    cap: float = 20.0,
) -> LineRoute:
    """Along x, at y = 0."""
    lines = make_lines([np.array([[0.0, 0.0], [length, 0.0]])])
    return LineRoute(
        lines=lines, line=0, cap=np.full(len(lines.x), cap), crossings=crossings, stop_lines=stop_lines
    )


@dataclass(frozen=True, kw_only=True)
class Other:
    """Somebody beside the ego."""

    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    kind: Kind = Kind.PEDESTRIAN
    intent: Intent = Intent.WALKING


def make_frame(
    *others: Other,
    index: int = 0,
    x: float = 50.0,
    y: float = 0.0,
    yaw: float = 0.0,
    speed: float = 8.0,
    signals: tuple[int, ...] = (),
    events: tuple[Event, ...] = (),
    finished: bool = False,
) -> Frame:
    """The ego (uid 0, 4.5 m by 1.9 m) and others, uids 1, 2, ... as given."""
    size = {Kind.PEDESTRIAN: (0.5, 0.5), Kind.CYCLIST: (1.8, 0.6), Kind.VEHICLE: (4.5, 1.9)}
    kind = np.array([int(Kind.VEHICLE), *(int(o.kind) for o in others)])
    count = len(kind)
    agents = Agents(
        uid=np.arange(count),
        kind=kind,
        type=np.where(kind == Kind.VEHICLE, AGENT_TYPES.index("car"), kind),
        pose=np.array([[x, y, yaw], *([o.x, o.y, math.atan2(o.vy, o.vx)] for o in others)]),
        elevation=np.zeros(count),
        velocity=np.array([[speed * math.cos(yaw), speed * math.sin(yaw)], *([o.vx, o.vy] for o in others)]),
        size=np.array([(4.5, 1.9), *(size[o.kind] for o in others)]),
        height=np.full(count, 1.7),
        truth_uid=np.arange(count),
        intent=np.array([int(Intent.DRIVING), *(int(o.intent) for o in others)]),
        age=np.zeros(count, np.int64),
    )
    return Frame(
        index=index,
        time_s=round(index * DECISION_S, 6),
        ego_uid=EGO,
        truth=agents,
        perceived=agents,
        signals=signals,
        events=events,
        finished=finished,
    )


@dataclass(frozen=True)
class _Now:
    index: int
    x: float
    y: float
    yaw: float
    speed: float
    others: tuple[Other, ...]


class StraightStreet:
    """A `Simulator` of it. The route ends at `end` metres."""

    def __init__(
        self, *others: Other, speed: float = 8.0, end: float = 500.0, signals: tuple[int, ...] = ()
    ) -> None:
        self._first = _Now(0, 50.0, 0.0, 0.0, speed, others)
        self._now, self._end, self._signals = self._first, end, signals

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(branching=True, sensors=False)

    @property
    def route(self) -> LineRoute:
        return straight_route()

    @property
    def road_map(self) -> RoadMap:
        return RoadMap.empty()

    def reset(self, scenario: Scenario, seed: int) -> Frame:
        self._now = self._first
        return self._frame()

    def step(self, ego: EgoCommand) -> Frame:
        now, dt = self._now, DECISION_S
        speed = max(now.speed + ego.acceleration * dt, 0.0)
        way = 0.5 * (now.speed + speed) * dt
        yaw = now.yaw + ego.curvature * way
        middle = 0.5 * (now.yaw + yaw)
        others = tuple(replace(o, x=o.x + o.vx * dt, y=o.y + o.vy * dt) for o in now.others)
        x, y = now.x + way * math.cos(middle), now.y + way * math.sin(middle)
        self._now = _Now(now.index + 1, x, y, yaw, speed, others)
        return self._frame()

    def snapshot(self) -> _Now:
        return self._now

    def restore(self, snapshot: _Now) -> Frame:
        self._now = snapshot
        return self._frame()

    def close(self) -> None:
        pass

    def _frame(self) -> Frame:
        now = self._now
        return make_frame(
            *now.others, index=now.index, x=now.x, y=now.y, yaw=now.yaw, speed=now.speed,
            signals=self._signals, finished=now.x > self._end,
        )  # fmt: skip
