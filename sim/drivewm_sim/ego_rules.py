"""What the traffic around allows an ego driver to do: follow, stop for people and signals, brake in need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Aspect, Kind
from drivewm_sim.ego_route import EgoRoute, EgoState, ego_state
from drivewm_sim.plans import JERK
from drivewm_sim.simulator import DECISION_S, Agents, Frame, Intent

ACCELERATION = 1.6  # m/s^2, IDM a
COMFORT = 2.0  # m/s^2, IDM b
HARD = 5.0  # m/s^2, the most outside an emergency
EMERGENCY = 8.0  # m/s^2, what the tyres give
URGENT = 3.0  # m/s^2; what takes more is braked for with a margin
STOP_BEFORE_M = 1.5  # from the front bumper to a crossing
FREE = 1e6
"""No limit."""
_ON_THE_ROAD = frozenset(
    map(
        int,
        (Intent.CROSSING, Intent.PAUSING, Intent.TURNING_BACK, Intent.HESITATING, Intent.RUNNING),
    )
)
_WAITING, _PEDESTRIAN = int(Intent.WAITING), int(Kind.PEDESTRIAN)
_LANE_HALF_M = 1.6


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The ego and all whom it perceives, itself left out, on its route. Axis: N agents."""

    frame: Frame
    route: EgoRoute
    ego: EgoState
    agents: Agents
    s: Float[ndarray, "N"]
    d: Float[ndarray, "N"]
    across: Float[ndarray, "N"]  # m/s to the left of the route


def look(frame: Frame, route: EgoRoute) -> Surroundings:
    """The frame as a driver on the route sees it."""
    agents = frame.perceived.where(frame.perceived.uid != frame.ego_uid)
    s, d = route.locate(agents.pose[:, :2])
    yaw = route.points(s, np.zeros(len(s)))[:, 2]
    across = agents.velocity[:, 1] * np.cos(yaw) - agents.velocity[:, 0] * np.sin(yaw)
    return Surroundings(
        frame=frame, route=route, ego=ego_state(frame, route), agents=agents, s=s, d=d, across=across
    )


def idm(speed: float, desired: float, gap: float, closing: float, headway: float, min_gap: float) -> float:
    """m/s^2 that follows a leader `gap` metres ahead, approached at `closing` m/s; terms clamped.

    Intelligent-driver model of Treiber, Hennecke and Helbing (2000).
    """
    free = max(1.0 - (speed / max(desired, 0.1)) ** 4, -1.5)
    wanted = min_gap + max(0.0, speed * headway + speed * closing / (2.0 * math.sqrt(ACCELERATION * COMFORT)))
    return min(max(ACCELERATION * (free - (wanted / max(gap, 0.1)) ** 2), -EMERGENCY), ACCELERATION)


def follow(around: Surroundings, desired: float) -> float:
    """IDM behind the nearest vehicle on the ego's lane, no faster than wished and than the road allows."""
    gap, closing = _leader(around)
    desired = min(desired, around.route.speed_cap(around.ego.s))
    return idm(around.ego.speed, desired, gap, closing, 1.4, 2.0)


def _leader(around: Surroundings) -> tuple[float, float]:
    """Room to the nearest vehicle or cyclist ahead on the lane, and the speed at which it closes."""
    ego, agents = around.ego, around.agents
    on_lane = (agents.kind != Kind.PEDESTRIAN) & (around.s > ego.s) & (np.abs(around.d) < _LANE_HALF_M)
    rows = np.flatnonzero(on_lane)
    if len(rows) == 0:
        return FREE, 0.0
    room = around.s[rows] - ego.s - 0.5 * (ego.length + agents.size[rows, 0])
    nearest = int(np.argmin(room))
    speed = float(np.hypot(*agents.velocity[rows[nearest]]))
    return float(room[nearest]), ego.speed - speed


def for_signals(around: Surroundings) -> float:
    """Stops at a red signal, and at a yellow one where that takes no hard braking."""
    ego, wanted = around.ego, FREE
    for line in around.route.stop_lines:
        room = line.s - ego.s - 0.5 * ego.length
        if not -0.5 < room < 60.0:
            continue
        needed = ego.speed**2 / (2.0 * max(room, 0.3))
        shows = line.aspect(around.frame)
        if shows == Aspect.RED or (shows == Aspect.YELLOW and needed < 1.5 * COMFORT):
            wanted = min(wanted, idm(ego.speed, 15.0, max(room, 0.1), ego.speed, 0.3, 0.5))
    return wanted


def for_pedestrians(around: Surroundings, polite: bool) -> float:
    """The acceleration that people leave: stop before the crossing for them, never run anybody down."""
    wanted = FREE
    for person in _people(around):
        if person.crossing or (polite and person.waiting):
            wanted = min(wanted, _give_way(around, person))
        if person.crossing:
            wanted = min(wanted, _keep_clear(around.ego, person))
    return wanted


class _Person(NamedTuple):
    s: float
    d: float
    across: float
    crossing: bool
    waiting: bool


def _people(around: Surroundings) -> list[_Person]:
    """Who is on the road, or waits to be."""
    agents = around.agents
    columns = (agents.kind.tolist(), agents.intent.tolist(), around.s.tolist(), around.d.tolist())
    return [
        _Person(s, d, across, intent in _ON_THE_ROAD, intent == _WAITING)
        for kind, intent, s, d, across in zip(*columns, around.across.tolist(), strict=True)
        if kind == _PEDESTRIAN and (intent in _ON_THE_ROAD or intent == _WAITING)
    ]


def _give_way(around: Surroundings, person: _Person) -> float:
    """Stops before the crossing that somebody uses, or waits at without being held back by a signal."""
    ego = around.ego
    used = [
        c
        for c in around.route.crossings
        if c.s_in - 1.0 < person.s < c.s_out + 1.0 and (person.crossing or c.open(around.frame))
    ]
    leaves = person.crossing and person.d * person.across > 0 and abs(person.d) > _LANE_HALF_M
    if not used or leaves:
        return FREE
    line = min(crossing.s_in for crossing in used) - STOP_BEFORE_M - ego.s - 0.5 * ego.length
    needed = ego.speed**2 / (2.0 * max(line, 0.3))
    if not -0.5 < line < 45.0 or needed >= (HARD if person.crossing else 1.5 * COMFORT):
        return FREE
    return idm(ego.speed, 15.0, max(line, 0.1), ego.speed, 0.3, 0.5)


def _keep_clear(ego: EgoState, person: _Person) -> float:
    """Brakes for somebody who is, or at this pace will be, where the ego passes."""
    gap = person.s - ego.s - 0.5 * ego.length - 0.3
    if gap < -0.5 * ego.length or gap > 60.0:
        return FREE
    speed = max(ego.speed, 2.0)
    # From when the front arrives to when the rear has passed, with a margin.
    first, last = max(gap, 0.0) / speed - 0.3, (gap + ego.length + 0.6) / speed + 0.6
    times = (first + (last - first) * k / 7 for k in range(8))
    beside = min(abs(person.d - ego.d + person.across * max(time, 0.0)) for time in times)
    if beside > 0.5 * ego.width + 0.6:
        return FREE
    room = max(gap - 0.8, 0.1)
    needed = ego.speed**2 / (2.0 * room)
    if needed > URGENT:
        return -min(1.3 * needed, EMERGENCY)
    return idm(ego.speed, 15.0, room, ego.speed, 0.2, 0.5)


def emergency(around: Surroundings) -> float:
    """The braking without which the ego would run into somebody; FREE where none is needed yet."""
    wanted = FREE
    for person in _people(around):
        if person.crossing:
            wanted = min(wanted, _keep_clear(around.ego, person))
    gap, closing = _leader(around)
    needed = max(closing, 0.0) ** 2 / (2.0 * max(gap - 1.0, 0.1))
    if needed > URGENT:
        wanted = min(wanted, -min(1.3 * needed, EMERGENCY))
    return wanted if wanted < -URGENT else FREE


def smoothed(before: float, wanted: float) -> float:
    """The next acceleration: jerk-limited unless it is an emergency."""
    limit = 6.0 if wanted < -HARD else JERK * DECISION_S
    return before + min(max(wanted - before, -limit), limit)
