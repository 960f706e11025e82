"""Model outputs to a `Forecast`: from each agent's own frame back into the scene, in float64."""

from __future__ import annotations

from dataclasses import dataclass

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

    Probabilities are softmax(logit / temperature), standard deviations are multiplied by the spread.
    """

    joint_temperature: float = 1.0
    marginal_temperature: float = 1.0
    joint_spread: float = 1.0
    marginal_spread: float = 1.0


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

    def place(name: str, widen: float) -> tuple[ndarray, ndarray]:
        position = outputs[f"{name}_position"][index, :, :count].astype(np.float64)
        spread = outputs[f"{name}_spread"][index, :, :count].astype(np.float64)
        at = frame[None, :, None]
        covariance = covariance_of(spread) * widen**2
        return from_frame(position, at), rotate_covariance(covariance, at[..., 2])

    position, covariance = place("joint", calibration.joint_spread)
    marginal_position, marginal_covariance = place("marginal", calibration.marginal_spread)
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
