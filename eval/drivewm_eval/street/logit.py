"""Logistic regression by Newton's method."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

LONGEST_STEP = 5.0
"""No coefficient moves further at once: a full step from a flat place would overshoot."""


def fit_logit(
    design: Float[ndarray, "N k"],
    y: Float[ndarray, "N"],
    weight: Float[ndarray, "N"],
    ridge: Float[ndarray, "k"],
) -> Float[ndarray, "k"]:
    """The coefficients that make y (0 or 1) most likely, less half of ridge times their squares."""
    beta = np.zeros(design.shape[1])
    for _ in range(60):
        rate = chance(design, beta)
        gradient = design.T @ (weight * (y - rate)) - ridge * beta
        curvature = (design * (weight * rate * (1 - rate))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        beta = beta + step
        if np.abs(step).max() < 1e-6:
            break
    return beta


def chance(design: Float[ndarray, "N k"], beta: Float[ndarray, "k"]) -> Float[ndarray, "N"]:
    """The probability of a 1."""
    return 0.5 * (1.0 + np.tanh(0.5 * (design @ beta)))
