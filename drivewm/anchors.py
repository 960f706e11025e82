"""Anchors: typical futures of each kind, found by k-means, from which the candidates start."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.features import KINDS

ITERATIONS = 30


def kmeans(points: Float[ndarray, "N D"], count: int, rng: np.random.Generator) -> Float[ndarray, "K D"]:
    """Cluster centres by Lloyd's algorithm from k-means++ seeds; empty clusters keep their centre."""
    centers = points[rng.integers(len(points))][None]
    nearest = ((points - centers[0]) ** 2).sum(1)
    while len(centers) < count:
        total = nearest.sum()
        pick = rng.choice(len(points), p=nearest / total) if total > 0 else rng.integers(len(points))
        centers = np.concatenate([centers, points[pick][None]])
        nearest = np.minimum(nearest, ((points - centers[-1]) ** 2).sum(1))
    for _ in range(ITERATIONS):
        distance = (points**2).sum(1)[:, None] - 2 * points @ centers.T + (centers**2).sum(1)
        owner = distance.argmin(1)
        weight = np.bincount(owner, minlength=count)
        total_by_center = np.zeros_like(centers)
        np.add.at(total_by_center, owner, points)
        centers = np.where(weight[:, None] > 0, total_by_center / np.maximum(weight, 1)[:, None], centers)
    return centers


def fit_anchors(
    residual: Float[ndarray, "N F 2"], kind: Float[ndarray, "N 3"], count: int, seed: int
) -> Float[ndarray, "3 M F 2"]:
    """Anchors of each kind from residuals to constant velocity (in units of `WorldModel.stride`).

    The first anchor is the mean, for the candidate that learns from everyone. A kind with fewer than
    five examples an anchor takes those of all kinds together.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros((KINDS, count, *residual.shape[1:]))
    flat = residual.reshape(len(residual), -1)
    for k in range(KINDS):
        of_kind = flat[kind[:, k] > 0.5]
        points = of_kind if len(of_kind) >= 5 * count else flat
        if count == 1:
            out[k, 0] = points.mean(0).reshape(out.shape[2:])
            continue
        centers = np.concatenate([points.mean(0)[None], kmeans(points, count - 1, rng)])
        out[k] = centers.reshape(count, *residual.shape[1:])
    return out
