"""Model outputs to a `Forecast`: from each agent's own frame back into the scene, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.frames import from_frame, rotate_covariance
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Scene

OUTPUT_NAMES = (
    "joint_position",
    "joint_spread",
    "joint_logit",
    "marginal_position",
    "marginal_spread",
    "marginal_logit",
)
"""What every runtime returns, in this order; shapes as in `model.ModelOutputs`."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is measured on validation data after training and applied to every forecast.

    Probabilities are softmax(logit / temperature), standard deviations are multiplied by `spread`.
    """

    joint_temperature: float = 1.0
    marginal_temperature: float = 1.0
    spread: float = 1.0


def softmax(logit: ndarray, axis: int) -> ndarray:
    shifted = np.exp(logit - logit.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def covariance_of(spread: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2 2"]:
    """Covariance from log sd x, log sd y and correlation."""
    sx, sy, rho = np.exp(spread[..., 0]), np.exp(spread[..., 1]), spread[..., 2]
    off = rho * sx * sy
    return np.stack([np.stack([sx * sx, off], -1), np.stack([off, sy * sy], -1)], -2)


def to_forecast(
    outputs: dict[str, ndarray], index: int, scene: Scene, grid: TimeGrid, calibration: Calibration
) -> Forecast:
    """The forecast of scene `index` of a batch.

    An agent with fewer than two known positions has no motion to go by: it gets the constant-velocity
    forecast (it stays) in every mode, with source `kinematic`.
    """
    tracks = scene.tracks
    count = tracks.agents
    frame = tracks.pose[:, 0]

    def place(name: str) -> tuple[ndarray, ndarray]:
        position = outputs[f"{name}_position"][index, :, :count].astype(np.float64)
        spread = outputs[f"{name}_spread"][index, :, :count].astype(np.float64)
        at = frame[None, :, None]
        covariance = covariance_of(spread) * calibration.spread**2
        return from_frame(position, at), rotate_covariance(covariance, at[..., 2])

    position, covariance = place("joint")
    marginal_position, marginal_covariance = place("marginal")
    logit = outputs["joint_logit"][index].astype(np.float64)
    marginal_logit = outputs["marginal_logit"][index, :, :count].astype(np.float64)
    marginal_probability = softmax(marginal_logit / calibration.marginal_temperature, axis=0)
    horizon = np.asarray(grid.horizons)
    lone = tracks.valid.sum(axis=1) < 2
    if lone.any():
        path, spread = constant_velocity(tracks, horizon)
        position[:, lone], covariance[:, lone] = path[lone], spread[lone]
        marginal_position[:, lone], marginal_covariance[:, lone] = path[lone], spread[lone]
        marginal_probability[:, lone] = 0.0
        marginal_probability[0, lone] = 1.0
    return Forecast(
        t_s=scene.t_s,
        ids=tracks.ids,
        kind=tracks.kind,
        valid=tracks.valid[:, 0],
        horizon=horizon,
        position=position,
        covariance=covariance,
        mode_probability=softmax(logit / calibration.joint_temperature, axis=0),
        marginal_position=marginal_position,
        marginal_covariance=marginal_covariance,
        marginal_probability=marginal_probability,
        source=tuple("kinematic" if alone else "model" for alone in lone),
    )


def interpolate(
    forecast_path: Float[ndarray, "*b F 2"],
    times: Float[ndarray, "F"],
    start: ndarray,
    start_velocity: ndarray,
    at: Float[ndarray, "Q"],
) -> Float[ndarray, "*b Q 2"]:
    """Positions between the steps: cubic Hermite through them, tangents by central differences.

    `start` and `start_velocity` are the present. The path passes exactly through every step.
    """
    knots = np.concatenate([np.broadcast_to(start, forecast_path[..., :1, :].shape), forecast_path], axis=-2)
    time = np.concatenate([[0.0], times])
    slope = np.gradient(knots, time, axis=-2)
    slope[..., 0, :] = start_velocity
    out = np.zeros((*forecast_path.shape[:-2], len(at), 2))
    for i, (left, right) in enumerate(pairwise(time)):
        inside = (at >= left) & ((at < right) | ((i == len(times) - 1) & (at <= right)))
        h = right - left
        u = ((at[inside] - left) / h)[:, None]
        p0, p1 = knots[..., i : i + 1, :], knots[..., i + 1 : i + 2, :]
        m0, m1 = slope[..., i : i + 1, :] * h, slope[..., i + 1 : i + 2, :] * h
        out[..., inside, :] = (
            (2 * u**3 - 3 * u**2 + 1) * p0
            + (u**3 - 2 * u**2 + u) * m0
            + (3 * u**2 - 2 * u**3) * p1
            + (u**3 - u**2) * m1
        )
    return out
