"""How sure the forecast is, and whether rightly: likelihood and coverage of the mixture of candidates."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.density import VARIANCE_FLOOR, floored, log_density

__all__ = ["COVERAGE_HORIZONS_S", "VARIANCE_FLOOR", "covered", "nll"]

COVERAGE_HORIZONS_S = (1.2, 2.4, 4.8)
DRAWS = 100


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
    return -log_density(truth, position, floored(covariance), weight).mean(-1)


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
    covariance = floored(covariance)
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
