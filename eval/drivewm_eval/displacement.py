"""Displacement errors: best of K per agent and for the whole scene, most likely, miss rate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

MISS_M = 2.0
"""A miss: no candidate ends within two metres of the truth."""


def errors(position: Float[ndarray, "K A F 2"], truth: Float[ndarray, "A F 2"]) -> Float[ndarray, "K A F"]:
    """Distance in metres of every mode from the truth at every step."""
    return np.linalg.norm(position - truth, axis=-1)


def best_per_agent(error: Float[ndarray, "K A F"]) -> tuple[Float[ndarray, "A"], Float[ndarray, "A"]]:
    """minADE and minFDE of each agent: the best of its K, each figure with its own winner."""
    return error.mean(-1).min(0), error[..., -1].min(0)


def best_joint(error: Float[ndarray, "K A F"]) -> tuple[Float[ndarray, "A"], Float[ndarray, "A"]]:
    """ADE and FDE of each agent in the one mode that is best for all of them together."""
    average, final = error.mean(-1), error[..., -1]
    return average[average.sum(1).argmin()], final[final.sum(1).argmin()]


def most_likely(
    error: Float[ndarray, "K A F"], probability: Float[ndarray, "K A"]
) -> tuple[Float[ndarray, "A"], Float[ndarray, "A"]]:
    """ADE and FDE of each agent's most probable candidate."""
    top = error[probability.argmax(0), np.arange(error.shape[1])]
    return top.mean(-1), top[:, -1]


def missed(error: Float[ndarray, "K A F"]) -> Float[ndarray, "A"]:
    """1 for an agent whose best final error is above two metres, else 0."""
    return (error[..., -1].min(0) > MISS_M).astype(np.float64)
