"""How well a score tells strange agents from ordinary ones that are like them in speed and density."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

SPEED_EDGES = (0.3, 1.0, 2.0, 4.0, 8.0)  # m/s
NEAR_EDGES = (3, 6, 10, 16)  # agents within 20 m
ENOUGH = 10
"""Ordinary agents in a bin; a strange one of a bin with fewer is compared with all of its speed."""


def stratum(
    kind: Int[ndarray, "n"], speed: Float[ndarray, "n"], near: Int[ndarray, "n"]
) -> Int[ndarray, "n 3"]:
    """Bins of kind, speed and density."""
    return np.column_stack([kind, np.digitize(speed, SPEED_EDGES), np.digitize(near, NEAR_EDGES)])


def stratified_auroc(
    strange: Float[ndarray, "P"],
    strange_in: Int[ndarray, "P 3"],
    ordinary: Float[ndarray, "N"],
    ordinary_in: Int[ndarray, "N 3"],
) -> float:
    """Probability that a strange agent scores above an ordinary one of its bin; ties count half.

    The Mann-Whitney form of the area under the ROC curve, averaged over the strange ones. NaN without any.
    """
    shares = []
    for score, bins in zip(strange, strange_in, strict=True):
        like = (ordinary_in == bins).all(axis=1)
        if like.sum() < ENOUGH:
            like = (ordinary_in[:, :2] == bins[:2]).all(axis=1)
        if like.any():
            others = ordinary[like]
            shares.append(float((others < score).mean() + 0.5 * (others == score).mean()))
    return float(np.mean(shares)) if shares else float("nan")
