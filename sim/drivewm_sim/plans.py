"""Named ego plans: what a car may do for the next seconds, as pure functions of a frame and the plan's start.

A plan keeps within what a car and its passengers stand: jerk, curvature and lateral acceleration are limited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.ego_route import EgoRoute, EgoState, ego_state
from drivewm_sim.simulator import DECISION_S, EgoCommand, Frame

PLANS = ("keep", "brake", "creep", "accelerate", "swerve")
"""What a plan does: holds its speed; stops; goes on at 2 m/s; gains 5 m/s; holds its speed and passes 1.5 m
beside its lane's middle, away from the nearest agent ahead, for three of 4.8 s."""

JERK = 8.0  # m/s^3
BRAKE_MPS2 = 4.0
ACCELERATE_MPS2 = 2.0
GAIN_MPS = 5.0
CREEP_MPS = 2.0
TOP_MPS = 16.7
MAX_CURVATURE = 0.2  # 1/m
CURVATURE_RATE = 0.3  # 1/m a second, what a driver turns the wheel by at walking pace
LATERAL_MPS2 = 4.0
LATERAL_JERK = 10.0  # m/s^3
SWERVE_M = 1.5
SWERVE_S = (1.6, 3.2, 4.8)  # aside, back from, back at the lane's middle
LANE_PLAY_M = 0.4  # a plan goes on this far from the lane's middle at most
_SEES_M = 40.0
_LAG_S = 0.4  # by which the car is later aside than the plan aims at


@dataclass(frozen=True, kw_only=True)
class PlanStart:
    """The moment at which a plan begins. With it a plan's command depends on the frame alone."""

    time_s: float
    speed: float  # m/s
    offset: float  # m to the left of the route to which the plan keeps
    side: float  # +1: a swerve goes left, -1: right


def plan_start(frame: Frame, route: EgoRoute) -> PlanStart:
    """A plan that begins at this frame."""
    ego = ego_state(frame, route)
    offset = min(max(ego.d, -LANE_PLAY_M), LANE_PLAY_M)
    side = _free_side(frame, route, ego)
    return PlanStart(time_s=frame.time_s, speed=ego.speed, offset=offset, side=side)


def _free_side(frame: Frame, route: EgoRoute, ego: EgoState) -> float:
    """Away from the agent ahead that is nearest to the ego's path; to the left where there is none."""
    seen = frame.perceived
    s, d = route.locate(seen.pose[:, :2])
    ahead = np.flatnonzero((seen.uid != frame.ego_uid) & (s > ego.s) & (s < ego.s + _SEES_M))
    if len(ahead) == 0:
        return 1.0
    nearest = ahead[np.argmin(np.abs(d[ahead] - ego.d) + 0.1 * (s[ahead] - ego.s))]
    return -1.0 if d[nearest] > ego.d else 1.0


def plan_command(
    plan: str, start: PlanStart, before: EgoCommand, frame: Frame, route: EgoRoute
) -> EgoCommand:
    """What the ego does at this frame under a named plan, given the command it comes from."""
    ego = ego_state(frame, route)
    elapsed = frame.time_s - start.time_s
    # Pure pursuit aims ahead, so the offset wanted is the one of when the car will be there.
    lead = _ahead_m(ego.speed) / max(ego.speed, CREEP_MPS)
    wanted = EgoCommand(
        acceleration=plan_acceleration(plan, start, ego.speed, route.speed_cap(ego.s)),
        curvature=steering(ego, route, plan_offset(plan, start, elapsed + lead)),
    )
    return limited(wanted, before, ego.speed)


def plan_acceleration(plan: str, start: PlanStart, speed: float, cap: float) -> float:
    """m/s^2 that a plan asks for at a speed, where the road allows `cap` m/s."""
    if plan == "brake":
        return max(-BRAKE_MPS2, -2.5 * speed - 0.5)  # eases off as it comes to stand
    if plan == "creep":
        return min(max(0.8 * (CREEP_MPS - speed), -2.5), 1.0)
    if plan == "accelerate":
        return min(max(min(start.speed + GAIN_MPS, cap, TOP_MPS) - speed, -2.0), ACCELERATE_MPS2)
    if plan in ("keep", "swerve"):
        return min(max(min(start.speed, cap) - speed, -2.0), 1.0)
    raise ValueError(f"no plan {plan!r}; there are {', '.join(PLANS)}")


def plan_offset(plan: str, start: PlanStart, elapsed: float) -> float:
    """Metres to the left of the route that a plan aims at, `elapsed` seconds after its start."""
    if plan != "swerve":
        return start.offset
    aside, back, end = SWERVE_S
    if elapsed < aside:
        share = 0.5 - 0.5 * math.cos(math.pi * max(elapsed, 0.0) / aside)
    elif elapsed < back:
        share = 1.0
    else:
        share = 0.5 + 0.5 * math.cos(math.pi * min((elapsed - back) / (end - back), 1.0))
    return start.offset + start.side * SWERVE_M * share


def steering(ego: EgoState, route: EgoRoute, offset: float) -> float:
    """Curvature of pure pursuit towards a point of the route, `offset` metres to its left (Coulter 1992)."""
    ((x, y, _),) = route.points(np.array([ego.s + _ahead_m(ego.speed)]), np.array([offset]))
    dx, dy = float(x) - ego.x, float(y) - ego.y
    left = -math.sin(ego.yaw) * dx + math.cos(ego.yaw) * dy
    return min(max(2.0 * left / (dx * dx + dy * dy), -MAX_CURVATURE), MAX_CURVATURE)


def _ahead_m(speed: float) -> float:
    return 3.0 + 0.5 * speed


def limited(wanted: EgoCommand, before: EgoCommand, speed: float) -> EgoCommand:
    """The command nearest to the wanted one that keeps jerk, curvature and lateral acceleration in bounds."""
    jerk = JERK * DECISION_S
    square = max(speed * speed, 1e-6)
    turn = min(CURVATURE_RATE, LATERAL_JERK / square) * DECISION_S
    most = min(MAX_CURVATURE, LATERAL_MPS2 / square)
    curvature = before.curvature + min(max(wanted.curvature - before.curvature, -turn), turn)
    return EgoCommand(
        acceleration=before.acceleration + min(max(wanted.acceleration - before.acceleration, -jerk), jerk),
        curvature=min(max(curvature, -most), most),
    )


def planned_path(
    plan: str,
    start: PlanStart,
    before: EgoCommand,
    ego: EgoState,
    route: EgoRoute,
    elapsed: float,
    times: Float[ndarray, "F"],
) -> tuple[Float[ndarray, "F 3"], Float[ndarray, "F"]]:
    """Where a plan is expected to take the ego: x, y, yaw and speed at `times` (s, ascending) from now.

    The plan has been going on for `elapsed` seconds; `before` is the last command. Along the route the ego
    moves as a driver under the plan would; across, it follows what the plan aims at with a lag.
    """
    s, speed, acceleration, now = ego.s, ego.speed, before.acceleration, 0.0
    missing = ego.d - plan_offset(plan, start, elapsed - _LAG_S)
    rows = np.empty((len(times), 3))
    for i, time in enumerate(times.tolist()):
        while now < time - 1e-9:
            dt = min(2 * DECISION_S, time - now)
            wanted = plan_acceleration(plan, start, speed, route.speed_cap(s))
            acceleration += min(max(wanted - acceleration, -JERK * dt), JERK * dt)
            after = max(speed + acceleration * dt, 0.0)
            s += 0.5 * (speed + after) * dt
            speed, now = after, now + dt
        offset = plan_offset(plan, start, elapsed + now - _LAG_S) + missing * math.exp(-now / _LAG_S)
        rows[i] = s, offset, speed
    return route.points(rows[:, 0].copy(), rows[:, 1].copy()), rows[:, 2]


Driver = Callable[[Frame], EgoCommand]
"""Decides what the ego does next; called once a frame, in order."""


def plan_driver(plan: str, frame: Frame, before: EgoCommand, route: EgoRoute) -> Driver:
    """Drives a named plan from this frame on; `before` is the command that led here."""
    start, last = plan_start(frame, route), before

    def drive(now: Frame) -> EgoCommand:
        nonlocal last
        last = plan_command(plan, start, last, now, route)
        return last

    return drive


def recorded_driver(commands: Sequence[EgoCommand]) -> Driver:
    """Repeats commands, one a frame."""
    waiting = iter(commands)
    return lambda _: next(waiting)
