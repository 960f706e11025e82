"""Who drives the ego while episodes are collected: a rule follower, and a random but plausible driver.

Policies see frames and the road only, never a backend's inside, so they drive on any `Simulator`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivewm.types import Kind
from drivewm_sim.lines import line_point, project
from drivewm_sim.randomness import EGO, uniform
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import DECISION_S, EgoCommand, Frame, Intent, Scenario
from drivewm_sim.vehicles import COMFORT, EMERGENCY, HARD, JERK, MAX_CURVATURE, STOP_BEFORE_M, idm

_ON_THE_ROAD = (Intent.CROSSING, Intent.PAUSING, Intent.TURNING_BACK)
_LANE_HALF_M = 1.6


class EgoPolicy(Protocol):
    """Decides what the ego does next. One instance drives one episode."""

    def command(self, frame: Frame) -> EgoCommand: ...


@dataclass(frozen=True)
class _Ego:
    """The ego on its route at this frame."""

    s: float
    d: float
    x: float
    y: float
    yaw: float
    speed: float
    length: float
    width: float


def _ego_of(frame: Frame, graph: RoadGraph, route: int) -> _Ego:
    row = int(np.flatnonzero(frame.perceived.uid == frame.ego_uid)[0])
    agents = frame.perceived
    x, y, yaw = (float(v) for v in agents.pose[row])
    speed = float(agents.velocity[row] @ [math.cos(yaw), math.sin(yaw)])
    s, d = project(graph.routes, route, x, y)
    length, width = (float(v) for v in agents.size[row])
    return _Ego(s, d, x, y, yaw, speed, length, width)


def _steering(ego: _Ego, graph: RoadGraph, route: int, offset: float) -> float:
    """Curvature of pure pursuit towards a point on the lane, `offset` metres to its left."""
    ahead = 4.0 + 0.8 * ego.speed
    x, y, _ = line_point(graph.routes, route, ego.s + ahead, offset)
    dx, dy = x - ego.x, y - ego.y
    left = -math.sin(ego.yaw) * dx + math.cos(ego.yaw) * dy
    return min(max(2.0 * left / (dx * dx + dy * dy), -MAX_CURVATURE), MAX_CURVATURE)


def _follow(frame: Frame, ego: _Ego, graph: RoadGraph, route: int, desired: float) -> float:
    """IDM behind the nearest vehicle on the ego's lane."""
    agents = frame.perceived
    gap, closing = 1e6, 0.0
    for i in np.flatnonzero((agents.kind == Kind.VEHICLE) & (agents.uid != frame.ego_uid)):
        s, d = project(graph.routes, route, agents.pose[i, 0], agents.pose[i, 1])
        room = s - ego.s - 0.5 * (ego.length + agents.size[i, 0])
        if s > ego.s and abs(d) < _LANE_HALF_M and room < gap:
            gap, closing = room, ego.speed - float(np.hypot(*agents.velocity[i]))
    return idm(ego.speed, desired, gap, closing, 1.4, 2.0)


def _for_pedestrians(frame: Frame, ego: _Ego, graph: RoadGraph, route: int, polite: bool) -> float:
    """The acceleration that pedestrians leave: stop before the zebra for them, never run anybody down."""
    agents, wanted = frame.perceived, 1e6
    zebras = np.flatnonzero(np.isfinite(graph.zebra_in[:, route]))
    for i in np.flatnonzero(agents.kind == Kind.PEDESTRIAN):
        s, d = project(graph.routes, route, agents.pose[i, 0], agents.pose[i, 1])
        _, _, yaw = line_point(graph.routes, route, s, 0.0)
        across = float(agents.velocity[i] @ [-math.sin(yaw), math.cos(yaw)])
        crossing = agents.intent[i] in _ON_THE_ROAD
        near_zebra = any(graph.zebra_in[z, route] - 1 < s < graph.zebra_out[z, route] + 1 for z in zebras)
        if near_zebra and (crossing or (polite and agents.intent[i] == Intent.WAITING)):
            clearing = crossing and d * across > 0 and abs(d) > _LANE_HALF_M
            line = min(
                (graph.zebra_in[z, route] - STOP_BEFORE_M - ego.s - 0.5 * ego.length for z in zebras),
                default=1e6,
            )
            needed = ego.speed**2 / (2.0 * max(line, 0.3))
            if not clearing and -0.5 < line < 45.0 and needed < (HARD if crossing else 1.5 * COMFORT):
                wanted = min(wanted, idm(ego.speed, 15.0, max(line, 0.1), ego.speed, 0.3, 0.5))
        if crossing:
            wanted = min(wanted, _keep_clear(ego, s, d, across))
    return wanted


def _keep_clear(ego: _Ego, s: float, d: float, across: float) -> float:
    """Brakes for somebody who is, or at this pace will be, where the ego passes."""
    gap = s - ego.s - 0.5 * ego.length - 0.3
    if gap < -0.5 * ego.length or gap > 60.0:
        return 1e6
    speed = max(ego.speed, 2.0)
    times = np.linspace(max(gap, 0.0) / speed - 0.3, (gap + ego.length + 0.6) / speed + 0.6, 8)
    if np.abs(d - ego.d + across * np.maximum(times, 0.0)).min() > 0.5 * ego.width + 0.6:
        return 1e6
    room = max(gap - 0.8, 0.1)
    needed = ego.speed**2 / (2.0 * room)
    return -min(1.3 * needed, EMERGENCY) if needed > 3.0 else idm(ego.speed, 15.0, room, ego.speed, 0.2, 0.5)


class RulePolicy:
    """Keeps its lane, its distance and the law: stops for whoever waits at a zebra."""

    def __init__(self, graph: RoadGraph, scenario: Scenario, seed: int) -> None:
        self._graph, self._desired, self._acceleration = graph, scenario.ego_speed_mps, 0.0

    def command(self, frame: Frame) -> EgoCommand:
        ego = _ego_of(frame, self._graph, 0)
        wanted = min(
            _follow(frame, ego, self._graph, 0, self._desired),
            _for_pedestrians(frame, ego, self._graph, 0, True),
        )
        self._acceleration = _smoothed(self._acceleration, wanted)
        return EgoCommand(acceleration=self._acceleration, curvature=_steering(ego, self._graph, 0, 0.0))


class RandomPolicy:
    """Changes its mind every few seconds: hurries, creeps, stops, wanders in its lane, is polite or not.

    It still follows the car ahead and brakes for people in its path, so that what it does could be a person.
    """

    def __init__(self, graph: RoadGraph, scenario: Scenario, seed: int) -> None:
        self._graph, self._seed, self._usual = graph, seed, scenario.ego_speed_mps
        self._acceleration, self._offset = 0.0, 0.0
        self._decision, self._until = -1, 0.0

    def _draw(self, k: int) -> float:
        return uniform(self._seed, 0, EGO, self._decision, k)

    def command(self, frame: Frame) -> EgoCommand:
        if frame.time_s >= self._until:
            self._decision += 1
            self._until = frame.time_s + 1.5 + 3.5 * self._draw(0)
        ego = _ego_of(frame, self._graph, 0)
        mood = self._draw(1)
        # One in twelve stops, one in six creeps, the others drive at half to one and a half times the usual.
        factor = 0.0 if mood < 0.08 else 0.2 if mood < 0.25 else 0.5 + self._draw(2)
        desired = factor * self._usual
        wish = min(max((desired - ego.speed) * (0.4 + 0.8 * self._draw(3)), -3.0), 2.0)
        wanted = min(
            wish,
            _follow(frame, ego, self._graph, 0, max(desired, 15.0)),
            _for_pedestrians(frame, ego, self._graph, 0, self._draw(4) < 0.5),
        )
        self._acceleration = _smoothed(self._acceleration, wanted)
        target = 0.8 * (self._draw(5) - 0.5)
        self._offset += min(max(target - self._offset, -0.25 * DECISION_S), 0.25 * DECISION_S)
        return EgoCommand(
            acceleration=self._acceleration, curvature=_steering(ego, self._graph, 0, self._offset)
        )


def _smoothed(before: float, wanted: float) -> float:
    """The next acceleration: jerk-limited unless it is an emergency."""
    limit = 6.0 if wanted < -HARD else JERK * DECISION_S
    return before + min(max(wanted - before, -limit), limit)


POLICIES: dict[str, Callable[[RoadGraph, Scenario, int], EgoPolicy]] = {
    "rule": RulePolicy,
    "random": RandomPolicy,
}
