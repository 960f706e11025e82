"""Kinematic forecasts: constant velocity, Kalman filter, constant turn rate and velocity.

They stand beside the model in every table and take its place where it cannot speak. Each returns one
future per agent with its covariance; `kinematic_forecast` wraps that into a `Forecast` of one mode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.frames import rotate
from drivewm.timing import TimeGrid
from drivewm.tracks import VELOCITY_WINDOW_S
from drivewm.types import Forecast, Scene, Source, Tracks

Kinematic = Callable[[Tracks, Float[ndarray, "F"]], tuple[Float[ndarray, "A F 2"], Float[ndarray, "A F 2 2"]]]

# How fast a straight-line forecast goes wrong, by kind: standard deviation of the unmodelled
# acceleration in m/s^2 (pedestrian, cyclist, vehicle). It sets the covariance only.
ACCELERATION_SD = np.array([0.45, 0.8, 1.2])
MEASUREMENT_SD_M = 0.05
KALMAN_ACCELERATION_SD = 0.3
MAX_TURN_RATE = 1.0  # rad/s; a faster turn measured over a fraction of a second is noise
MIN_TURNING_SPEED = 0.3  # m/s; slower agents have no measurable turn rate


def _spread(kind: ndarray, horizon: Float[ndarray, "F"]) -> Float[ndarray, "A F 2 2"]:
    sd = ACCELERATION_SD[kind][:, None] * horizon**2 / 2 + MEASUREMENT_SD_M
    return (sd**2)[..., None, None] * np.eye(2)


def constant_velocity(
    tracks: Tracks, horizon: Float[ndarray, "F"]
) -> tuple[Float[ndarray, "A F 2"], Float[ndarray, "A F 2 2"]]:
    """Each agent goes on at its current velocity."""
    now, velocity = tracks.position[:, 0], tracks.velocity[:, 0]
    return now[:, None] + velocity[:, None] * horizon[:, None], _spread(tracks.kind, horizon)


def constant_turn_rate(
    tracks: Tracks, horizon: Float[ndarray, "F"]
) -> tuple[Float[ndarray, "A F 2"], Float[ndarray, "A F 2 2"]]:
    """Each agent keeps its speed and the rate at which its velocity turned over the last 0.4 s (CTRV)."""
    now, velocity = tracks.position[:, 0], tracks.velocity[:, 0]
    before = int(np.abs(tracks.times + VELOCITY_WINDOW_S).argmin())
    earlier = tracks.velocity[:, before]
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    cross = earlier[:, 0] * velocity[:, 1] - earlier[:, 1] * velocity[:, 0]
    angle = np.arctan2(cross, (earlier * velocity).sum(-1))
    moving = (speed > MIN_TURNING_SPEED) & (np.hypot(*earlier.T) > MIN_TURNING_SPEED)
    rate = np.where(moving, np.clip(angle / -tracks.times[before], -MAX_TURN_RATE, MAX_TURN_RATE), 0.0)
    turned = rate[:, None] * horizon
    # The integral of a turning velocity; sinc keeps the limit of no turn exact.
    along = np.sinc(turned / np.pi) * horizon
    across = (1 - np.cos(turned)) / np.where(np.abs(turned) > 1e-9, turned, 1.0) * horizon
    across = np.where(np.abs(turned) > 1e-9, across, 0.0)
    forward, left = velocity, np.stack([-velocity[:, 1], velocity[:, 0]], -1)
    path = now[:, None] + forward[:, None] * along[..., None] + left[:, None] * across[..., None]
    return path, _spread(tracks.kind, horizon)


def kalman(
    tracks: Tracks,
    horizon: Float[ndarray, "F"],
    *,
    acceleration_sd: float = KALMAN_ACCELERATION_SD,
    measurement_sd: float = MEASUREMENT_SD_M,
) -> tuple[Float[ndarray, "A F 2"], Float[ndarray, "A F 2 2"]]:
    """Constant-velocity Kalman filter, each axis apart.

    Discrete white-noise acceleration of sd 0.3 m/s^2, measurement sd 0.05 m, started from the two
    oldest positions (Bar-Shalom, Li and Kirubarajan 2001, sections 5.5.3 and 6.3.2).
    """
    state, p = _filter(tracks, acceleration_sd, measurement_sd**2)
    step = np.stack([_transition(h) for h in horizon])
    path = np.einsum("fj,ajx->afx", step[:, 0], state)
    noise = np.stack([_process_noise(h, acceleration_sd) for h in horizon])
    spread = np.einsum("fij,ajk,flk->afil", step, p, step) + noise
    return path, spread[..., 0, 0, None, None] * np.eye(2)


def _transition(dt: float) -> Float[ndarray, "2 2"]:
    return np.array([[1.0, dt], [0.0, 1.0]])


def _process_noise(dt: float, acceleration_sd: float) -> Float[ndarray, "2 2"]:
    gain = np.array([dt * dt / 2, dt])
    return np.outer(gain, gain) * acceleration_sd**2


def _filter(
    tracks: Tracks, acceleration_sd: float, r: float
) -> tuple[Float[ndarray, "A 2 2"], Float[ndarray, "A 2 2"]]:
    """Final states (rows position and velocity, columns x and y) and their covariance, one for both axes.

    `r` is the variance of a measurement, m^2.
    """
    agents = tracks.agents
    state, p = np.zeros((agents, 2, 2)), np.tile(np.diag([r, 1.0]), (agents, 1, 1))
    seen, last = np.zeros(agents, np.int64), np.zeros(agents)
    for slot in np.argsort(tracks.times):
        here = tracks.valid[:, slot]
        measured, time = tracks.position[:, slot], tracks.times[slot]
        first, second, later = (np.flatnonzero(here & known) for known in (seen == 0, seen == 1, seen > 1))
        state[first, 0] = measured[first]
        for a in second:
            state[a], p[a] = _start(state[a, 0], measured[a], time - last[a], acceleration_sd, r)
        for dt in np.unique(time - last[later]):
            rows = later[np.isclose(time - last[later], dt, rtol=0, atol=1e-12)]
            step = _transition(dt)
            ahead, wide = step @ state[rows], step @ p[rows] @ step.T + _process_noise(dt, acceleration_sd)
            gain = wide[:, :, 0] / (wide[:, 0, 0] + r)[:, None]
            state[rows] = ahead + gain[:, :, None] * (measured[rows] - ahead[:, 0])[:, None]
            p[rows] = wide - gain[:, :, None] * wide[:, :1]
        seen[here] += 1
        last[here] = time
    return state, p


def _start(
    before: Float[ndarray, "2"], now: Float[ndarray, "2"], dt: float, acceleration_sd: float, r: float
) -> tuple[Float[ndarray, "2 2"], Float[ndarray, "2 2"]]:
    """State and covariance from two measured points."""
    p = r * np.array([[1, 1 / dt], [1 / dt, 2 / dt**2]])
    # The mean velocity between two points differs from the last by half a step of acceleration.
    p[1, 1] += (acceleration_sd * dt / 2) ** 2
    return np.vstack([now, (now - before) / dt]), p


FAN_SPEEDS = (1.0, 0.0, 0.5, 1.5, 1.0, 1.0)
FAN_ANGLES = np.radians([0.0, 0.0, 0.0, 0.0, 25.0, -25.0])
"""The fan's modes: factors on the speed and turns of the direction, the straight one first."""
FAN_PROBABILITY = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])


def fan(tracks: Tracks, horizon: Float[ndarray, "F"]) -> Float[ndarray, "K A F 2"]:
    """Six straight ways from the current velocity: as it is, stopping, slower, faster, to the left, right.

    Everybody takes the same one in a mode.
    """
    now = tracks.velocity[:, 0]
    ways = zip(FAN_SPEEDS, FAN_ANGLES, strict=True)
    velocity = np.stack([speed * rotate(now, np.asarray(angle)) for speed, angle in ways])
    return tracks.position[:, 0][:, None] + velocity[:, :, None] * horizon[:, None]


def fan_forecast(scene: Scene, grid: TimeGrid) -> Forecast:
    """The six ways of `fan` as joint modes and as candidates of each agent."""
    straight = kinematic_forecast(scene, grid)
    path = fan(scene.tracks, straight.horizon)
    agents = scene.tracks.agents
    covariance = np.repeat(straight.covariance, len(path), axis=0)
    return replace(
        straight,
        position=path,
        covariance=covariance,
        mode_probability=FAN_PROBABILITY,
        marginal_position=path,
        marginal_covariance=covariance,
        marginal_probability=np.repeat(FAN_PROBABILITY[:, None], agents, axis=1),
    )


BASELINES: dict[str, Kinematic] = {
    "cv": constant_velocity,
    "kalman": kalman,
    "ctrv": constant_turn_rate,
}


FORECASTERS = (*BASELINES, "fan")
"""All forecasts that need no training, by name."""


def baseline_forecast(name: str, scene: Scene, grid: TimeGrid) -> Forecast:
    """The forecast of one of `FORECASTERS`."""
    return fan_forecast(scene, grid) if name == "fan" else kinematic_forecast(scene, grid, BASELINES[name])


def kinematic_forecast(scene: Scene, grid: TimeGrid, model: Kinematic = constant_velocity) -> Forecast:
    """A forecast of one mode with probability 1, flagged `kinematic`."""
    horizon = np.asarray(grid.horizons)
    path, covariance = model(scene.tracks, horizon)
    agents = scene.tracks.agents
    kinematic: Source = "kinematic"
    return Forecast(
        t_s=scene.t_s,
        ids=scene.tracks.ids,
        kind=scene.tracks.kind,
        valid=scene.tracks.valid[:, 0],
        horizon=horizon,
        position=path[None],
        covariance=covariance[None],
        mode_probability=np.ones(1),
        marginal_position=path[None],
        marginal_covariance=covariance[None],
        marginal_probability=np.ones((1, agents)),
        source=(kinematic,) * agents,
    )
