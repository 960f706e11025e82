"""The candidate where most of an agent's probability lies: the most likely future of a mixture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

REACH = 2.0
"""So many standard deviations wide is the kernel by which candidates support each other."""


def most_central(
    position: Float[ndarray, "M A F 2"],
    covariance: Float[ndarray, "M A F 2 2"],
    probability: Float[ndarray, "M A"],
) -> Int[ndarray, "A"]:
    """Which candidate has most probability around it, for each agent.

    Of many candidates several are nearly the same future and share its probability; the single most probable
    one may stand alone. Each supports each by its probability times a normal kernel of their distance, twice
    as wide as its own spread, averaged over the steps: the mode of a smoothed mixture (compare mean shift,
    Comaniciu and Meer 2002), taken among the candidates.
    """
    variance = np.trace(covariance, axis1=-2, axis2=-1) / 2
    support = np.zeros(probability.shape)
    for j in range(len(probability)):
        square = ((position - position[j]) ** 2).sum(-1) / (REACH**2 * variance[j])
        support += probability[j] * np.exp(-0.5 * square).mean(-1)
    return support.argmax(axis=0)
