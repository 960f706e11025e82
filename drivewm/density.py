"""The density of a mixture of 2-D normals, and how much of its mass is denser than a point."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

VARIANCE_FLOOR = 0.05**2
"""m^2, added to every covariance: no recording is annotated better than to 5 cm."""


def floored(covariance: Float[ndarray, "*b 2 2"]) -> Float[ndarray, "*b 2 2"]:
    return covariance + VARIANCE_FLOOR * np.eye(2)


def log_density(
    point: Float[ndarray, "*p 2"],
    mean: Float[ndarray, "K *#p 2"],
    covariance: Float[ndarray, "K *#p 2 2"],
    probability: Float[ndarray, "K *#p"],
) -> Float[ndarray, "*p"]:
    """Log density (per m^2) of a mixture of 2-D normals at one point each."""
    a, b, d = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = a * d - b * b
    x, y = np.moveaxis(point - mean, -1, 0)
    square = (d * x * x - 2 * b * x * y + a * y * y) / determinant
    with np.errstate(divide="ignore"):
        log_part = np.log(probability) - 0.5 * (square + np.log(determinant)) - np.log(2 * np.pi)
    top = log_part.max(0)
    return top + np.log(np.exp(log_part - top).sum(0))


def mass_denser(
    point: Float[ndarray, "N 2"],
    mean: Float[ndarray, "K N 2"],
    covariance: Float[ndarray, "K N 2 2"],
    probability: Float[ndarray, "K N"],
    rng: np.random.Generator,
    draws: int = 100,
) -> Float[ndarray, "N"]:
    """The mass of each mixture where it is denser than at the point, from so many draws.

    The point lies in the highest-density region of level q if this is below q (Hyndman 1996); it is uniform
    where forecasts are calibrated. Components are drawn in strata, so that few draws do.
    """
    modes, points = probability.shape
    order = np.argsort(-probability, axis=0, kind="stable"), np.arange(points)
    mean, covariance, probability = mean[order], covariance[order], probability[order]
    share = (np.arange(draws)[:, None] + rng.random((draws, points))) / draws
    pick = (share[:, None] > np.cumsum(probability, 0)[None]).sum(1)
    pick = np.minimum(pick, modes - 1), np.arange(points)
    normal = rng.normal(size=(2, draws, points))
    sx = np.sqrt(covariance[..., 0, 0])
    along = covariance[..., 0, 1] / sx
    across = np.sqrt(np.maximum(covariance[..., 1, 1] - along**2, 1e-12))
    drawn = mean[pick]
    drawn = drawn + np.stack(
        [sx[pick] * normal[0], along[pick] * normal[0] + across[pick] * normal[1]], axis=-1
    )
    at_draws = log_density(drawn, mean[:, None], covariance[:, None], probability[:, None])
    return (at_draws > log_density(point, mean, covariance, probability)).mean(0)
