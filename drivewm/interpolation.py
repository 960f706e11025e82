"""Positions between the forecast steps: a cubic Hermite curve through all of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def between_steps(
    path: Float[ndarray, "*b F 2"],
    horizon: Float[ndarray, "F"],
    start: Float[ndarray, "*#b 2"],
    start_velocity: Float[ndarray, "*#b 2"],
    at: Float[ndarray, "Q"],
) -> Float[ndarray, "*b Q 2"]:
    """Positions `at` seconds after the stamp, for times from 0 to the last step.

    `start` and `start_velocity` are the present. The curve passes through every step; its tangents there
    are central differences, one-sided at the end. ValueError for a time outside the forecast.
    """
    if len(at) and (at.min() < 0 or at.max() > horizon[-1] + 1e-9):
        raise ValueError(f"times must lie between 0 and {horizon[-1]:g} s, got {at.min():g} to {at.max():g}")
    now = np.broadcast_to(start[..., None, :], (*path.shape[:-2], 1, 2))
    knots = np.concatenate([now, path], axis=-2)
    time = np.concatenate([[0.0], horizon])
    slope = np.gradient(knots, time, axis=-2)
    slope[..., 0, :] = start_velocity
    left = np.clip(np.searchsorted(time, at, side="right") - 1, 0, len(horizon) - 1)
    span = (time[left + 1] - time[left])[:, None]
    u = (at - time[left])[:, None] / span
    return (
        (2 * u**3 - 3 * u**2 + 1) * knots[..., left, :]
        + (u**3 - 2 * u**2 + u) * span * slope[..., left, :]
        + (3 * u**2 - 2 * u**3) * knots[..., left + 1, :]
        + (u**3 - u**2) * span * slope[..., left + 1, :]
    )
