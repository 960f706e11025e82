"""An ego that plans: it tries the named plans against a forecast of the others and drives the best one.

The forecast is any function of the frames so far; constant velocity unless another is plugged in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.predictor import Observation, Predictor
from drivewm.types import Aspect, Kind, RoadMap, Tracks
from drivewm_sim.ego_route import EgoRoute, EgoState
from drivewm_sim.ego_rules import Surroundings, emergency, for_signals, look, smoothed
from drivewm_sim.plans import PLANS, SWERVE_M, SWERVE_S, PlanStart, plan_command, plan_start, planned_path
from drivewm_sim.simulator import EgoCommand, Frame, Scenario

STEPS_S = 0.4 * np.arange(1, 13)
"""Seconds from now at which the others are forecast and plans are scored: F = 12 steps."""
REPLAN_S = 0.4
MEMORY_FRAMES = 36
"""Frames handed to the forecast: 3.5 s, as far as a model's history reaches."""
NEAR_M = 60.0
CLEARANCE_M = 1.5
"""Passing closer than this costs."""
FADE = 0.9
"""What a step further away counts: forecasts grow less certain."""


@dataclass(frozen=True, kw_only=True)
class Futures:
    """Joint futures of the agents perceived in the last frame, in their order, the ego among them."""

    position: Float[ndarray, "K A F 2"]  # m, at STEPS_S
    probability: Float[ndarray, "K"]


ForecastFunction = Callable[[Sequence[Frame]], Futures]
"""From the frames of the last seconds, oldest first, each frame handed in for as long as it is recent."""


def constant_velocity_futures(frames: Sequence[Frame]) -> Futures:
    """One future: everybody goes on as now."""
    seen = frames[-1].perceived
    count = len(seen.uid)
    tracks = Tracks(
        pose=seen.pose[:, None],
        velocity=seen.velocity[:, None],
        valid=np.ones((count, 1), bool),
        size=seen.size,
        size_valid=np.ones(count, bool),
        kind=seen.kind,
        ids=tuple(map(str, seen.uid.tolist())),
        times=np.zeros(1),
        heading_valid=np.ones(count, bool),
    )
    return Futures(position=constant_velocity(tracks, STEPS_S)[0][None], probability=np.ones(1))


class PredictorFutures:
    """The joint futures of a bundle's `Predictor`, which sees every frame as it would in the car."""

    def __init__(self, predictor: Predictor, road_map: RoadMap) -> None:
        if not np.allclose(predictor.grid.horizons, STEPS_S):
            raise ValueError(
                f"the planner needs steps at {STEPS_S.tolist()} s, got {predictor.grid.horizons}"
            )
        predictor.reset()
        self._predictor, self._road_map, self._next = predictor, road_map, 0

    def __call__(self, frames: Sequence[Frame]) -> Futures:
        futures = constant_velocity_futures(frames)
        for frame in (f for f in frames if f.index >= self._next):
            forecast = self._predictor.step(
                _observations(frame), frame.time_s, _ego_pose(frame), self._road_map
            )
            self._next = frame.index + 1
        row_of = {uid: row for row, uid in enumerate(map(str, frames[-1].perceived.uid.tolist()))}
        modes = len(forecast.mode_probability)
        position = np.repeat(futures.position, modes, axis=0)  # stands for whom the model leaves out
        position[:, [row_of[i] for i in forecast.ids]] = forecast.position
        return Futures(position=position, probability=forecast.mode_probability)


def _observations(frame: Frame) -> list[Observation]:
    seen = frame.perceived
    columns = (seen.uid.tolist(), seen.kind.tolist(), seen.pose.tolist(), seen.size.tolist())
    return [
        Observation(agent_id=str(uid), kind=Kind(kind), x=pose[0], y=pose[1], size=(size[0], size[1]))
        for uid, kind, pose, size in zip(*columns, strict=True)
    ]


def _ego_pose(frame: Frame) -> Float[ndarray, "3"]:
    pose: Float[ndarray, "3"] = frame.truth.pose[frame.truth.uid == frame.ego_uid][0]
    return pose


class PlannerPolicy:
    """Every 0.4 s picks the named plan that costs least; brakes in an emergency and for signals meanwhile."""

    def __init__(
        self,
        route: EgoRoute,
        scenario: Scenario,
        seed: int,
        forecast: ForecastFunction = constant_velocity_futures,
    ) -> None:
        self._route, self._desired, self._forecast = route, scenario.ego_speed_mps, forecast
        self._frames: deque[Frame] = deque(maxlen=MEMORY_FRAMES)
        self._plan, self._start = "keep", PlanStart(time_s=0.0, speed=0.0, offset=0.0, side=1.0)
        self._next_s, self._before = 0.0, EgoCommand()

    def command(self, frame: Frame) -> EgoCommand:
        self._frames.append(frame)
        around = look(frame, self._route)
        if frame.time_s >= self._next_s - 1e-9:
            self._choose(around)
            self._next_s = frame.time_s + REPLAN_S
        planned = plan_command(self._plan, self._start, self._before, frame, self._route)
        needed = min(emergency(around), for_signals(around))
        acceleration = planned.acceleration
        if needed < acceleration:
            acceleration = smoothed(self._before.acceleration, needed)
        self._before = EgoCommand(acceleration=acceleration, curvature=planned.curvature)
        return self._before

    def _choose(self, around: Surroundings) -> None:
        futures = self._forecast(tuple(self._frames))
        fresh = plan_start(around.frame, self._route)
        swerving = self._plan == "swerve" and around.frame.time_s - self._start.time_s < SWERVE_S[-1]
        best = (np.inf, self._plan, self._start)
        for plan in PLANS:
            start = self._start if plan == "swerve" and swerving else fresh
            cost = plan_cost(plan, start, self._before, around, futures, self._desired)
            cost += 0.3 if plan != self._plan else 0.0  # does not change its mind for nothing
            if cost < best[0]:
                best = (cost, plan, start)
        _, self._plan, self._start = best


def plan_cost(
    plan: str,
    start: PlanStart,
    before: EgoCommand,
    around: Surroundings,
    futures: Futures,
    desired: float,
) -> float:
    """What a plan costs: lost progress, speeding, discomfort, nearness to others, a red signal passed."""
    ego, route = around.ego, around.route
    elapsed = around.frame.time_s - start.time_s
    path, speed = planned_path(plan, start, before, ego, route, elapsed, STEPS_S)
    earlier = np.concatenate([[ego.speed], speed[:-1]])
    acceleration = (speed - earlier) / STEPS_S[0]
    progress = float(np.mean(np.minimum(speed, desired))) / desired
    cost = 10.0 * (1.0 - progress)
    cost += 20.0 * float(np.mean(np.maximum(speed / desired - 1.0, 0.0)))
    cost += 0.3 * float(np.mean(acceleration**2))
    cost += SWERVE_M if plan == "swerve" else 0.0
    front = ego.s + 0.5 * ego.length + float(np.sum(0.5 * (speed + earlier)) * STEPS_S[0])
    for line in route.stop_lines:
        if ego.s + 0.5 * ego.length <= line.s < front and line.aspect(around.frame) != Aspect.GREEN:
            cost += 50.0
    return cost + _risk(path, ego, around.frame, futures)


def _risk(path: Float[ndarray, "F 3"], ego: EgoState, frame: Frame, futures: Futures) -> float:
    """Expected cost of coming near others: bodies are rows of circles, headings stay as they are."""
    seen = frame.perceived
    near = (seen.uid != frame.ego_uid) & (np.hypot(seen.pose[:, 0] - ego.x, seen.pose[:, 1] - ego.y) < NEAR_M)
    rows = np.flatnonzero(near)
    if len(rows) == 0:
        return 0.0
    own = _circles(path[:, 2], np.full(len(path), ego.length), np.full(len(path), ego.width))
    own = path[:, None, :2] + own  # F C 2
    other = _circles(seen.pose[rows, 2], seen.size[rows, 0], seen.size[rows, 1])  # A C 2
    place = futures.position[:, rows, None] + other[None, :, :, None]  # K A C F 2
    offset = place[:, :, :, None] - np.swapaxes(own, 0, 1)  # K A C C' F 2
    apart = np.sqrt(np.square(offset).sum(-1)).min(axis=(2, 3))  # K A F
    gap = apart - 0.5 * ego.width - 0.5 * seen.size[rows, 1][None, :, None]
    cost = 10.0 * np.clip(1.0 - gap / CLEARANCE_M, 0.0, 1.0) ** 2 + 100.0 * (gap < 0.2)
    fade = FADE ** np.arange(len(STEPS_S))
    return float(futures.probability @ (cost * fade).max(axis=(1, 2)))


def _circles(
    yaw: Float[ndarray, "N"], length: Float[ndarray, "N"], width: Float[ndarray, "N"]
) -> Float[ndarray, "N 3 2"]:
    """Centres of three circles as wide as each body, from its rear to its front, about its centre."""
    reach = np.maximum(length - width, 0.0)[:, None] * np.array([-0.5, 0.0, 0.5])
    return np.stack([reach * np.cos(yaw)[:, None], reach * np.sin(yaw)[:, None]], axis=-1)
