"""Kinematic forecasts: constant velocity, Kalman filter, constant turn rate and velocity.

They stand beside the model in every table and take its place where it cannot speak. Each returns one
future per agent with its covariance; `kinematic_forecast` wraps that into a `Forecast` of one mode.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

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
    tracks: Tracks, horizon: Float[ndarray, "F"]
) -> tuple[Float[ndarray, "A F 2"], Float[ndarray, "A F 2 2"]]:
    """Constant-velocity Kalman filter, each axis apart.

    Discrete white-noise acceleration of sd 0.3 m/s^2, measurement sd 0.05 m, started from the two
    oldest positions (Bar-Shalom, Li and Kirubarajan 2001, sections 5.5.3 and 6.3.2).
    """
    out = np.zeros((tracks.agents, len(horizon), 2))
    covariance = np.zeros((tracks.agents, len(horizon), 2, 2))
    for agent in range(tracks.agents):
        slots = np.flatnonzero(tracks.valid[agent])[::-1]  # oldest first
        state, p = _filter(tracks.position[agent, slots], tracks.times[slots])
        for f, h in enumerate(horizon):
            step = _transition(h)
            out[agent, f] = (step @ state)[0]
            covariance[agent, f] = (step @ p @ step.T + _process_noise(h))[0, 0] * np.eye(2)
    return out, covariance


def _transition(dt: float) -> Float[ndarray, "2 2"]:
    return np.array([[1.0, dt], [0.0, 1.0]])


def _process_noise(dt: float) -> Float[ndarray, "2 2"]:
    gain = np.array([dt * dt / 2, dt])
    return np.outer(gain, gain) * KALMAN_ACCELERATION_SD**2


def _filter(
    position: Float[ndarray, "N 2"], times: Float[ndarray, "N"]
) -> tuple[Float[ndarray, "2 2"], Float[ndarray, "2 2"]]:
    """Final state (rows position and velocity, columns x and y) and its covariance, equal for both axes."""
    r = MEASUREMENT_SD_M**2
    if len(position) < 2:
        return np.vstack([position[-1], np.zeros(2)]), np.diag([r, 1.0])
    dt = times[1] - times[0]
    state = np.vstack([position[1], (position[1] - position[0]) / dt])
    # The mean velocity between two points differs from the last by half a step of acceleration.
    p = r * np.array([[1, 1 / dt], [1 / dt, 2 / dt**2]])
    p[1, 1] += (KALMAN_ACCELERATION_SD * dt / 2) ** 2
    for measured, dt in zip(position[2:], np.diff(times[1:]), strict=True):
        step = _transition(dt)
        state, p = step @ state, step @ p @ step.T + _process_noise(dt)
        gain = p[:, 0] / (p[0, 0] + r)
        state = state + np.outer(gain, measured - state[0])
        p = p - np.outer(gain, p[0])
    return state, p


BASELINES: dict[str, Kinematic] = {
    "cv": constant_velocity,
    "kalman": kalman,
    "ctrv": constant_turn_rate,
}


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
