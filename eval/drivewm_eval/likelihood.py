"""How sure the forecast is, and whether rightly: likelihood and coverage of the mixture of candidates."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

VARIANCE_FLOOR = 0.05**2
"""m^2, added to every covariance: no recording is annotated better than to 5 cm."""
COVERAGE_HORIZONS_S = (1.2, 2.4, 4.8)
DRAWS = 100


def _floored(covariance: Float[ndarray, "*b 2 2"]) -> Float[ndarray, "*b 2 2"]:
    return covariance + VARIANCE_FLOOR * np.eye(2)


def log_density(
    point: Float[ndarray, "*p 2"],
    mean: Float[ndarray, "K *p 2"],
    covariance: Float[ndarray, "K *p 2 2"],
    probability: Float[ndarray, "K *p"],
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


def nll(
    position: Float[ndarray, "K A F 2"],
    covariance: Float[ndarray, "K A F 2 2"],
    probability: Float[ndarray, "K A"],
    truth: Float[ndarray, "A F 2"],
) -> Float[ndarray, "A"]:
    """Negative log-likelihood of each agent's truth: mean over steps of the per-step mixture, in nats.

    5 cm of annotation noise is added to every covariance, so that no forecast gains by false certainty.
    """
    weight = np.broadcast_to(probability[..., None], position.shape[:-1])
    return -log_density(truth, position, _floored(covariance), weight).mean(-1)


def covered(
    position: Float[ndarray, "K A F 2"],
    covariance: Float[ndarray, "K A F 2 2"],
    probability: Float[ndarray, "K A"],
    truth: Float[ndarray, "A F 2"],
    levels: tuple[float, ...],
    rng: np.random.Generator,
) -> Float[ndarray, "L A"]:
    """For each level, the share of steps at which the truth lies in the highest-density region.

    The region's density threshold is the quantile of the mixture's own density over 100 draws from it.
    Modes are taken in falling probability, so that their order in a file changes no draw.
    """
    modes, agents, steps, _ = position.shape
    order = np.argsort(-probability, axis=0, kind="stable"), np.arange(agents)
    position, covariance, probability = position[order], covariance[order], probability[order]
    covariance = _floored(covariance)
    weight = np.broadcast_to(probability[..., None], (modes, agents, steps))
    pick = (rng.random((DRAWS, agents, 1)) > np.cumsum(probability, 0)[:, None, :, None]).sum(0)
    pick = np.broadcast_to(np.minimum(pick, modes - 1), (DRAWS, agents, steps))
    who, when = np.arange(agents)[None, :, None], np.arange(steps)[None, None]
    root = np.linalg.cholesky(covariance)[pick, who, when]
    draw = position[pick, who, when] + (root @ rng.normal(size=(*pick.shape, 2, 1)))[..., 0]
    shape = (modes, DRAWS, agents, steps)
    density = log_density(
        draw,
        np.broadcast_to(position[:, None], (*shape, 2)),
        np.broadcast_to(covariance[:, None], (*shape, 2, 2)),
        np.broadcast_to(weight[:, None], shape),
    )
    at_truth = log_density(truth, position, covariance, weight)
    threshold = np.quantile(density, [1 - level for level in levels], axis=0)
    return (at_truth >= threshold).mean(-1)
