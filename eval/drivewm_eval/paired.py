"""Is one forecaster better than another on the same windows? Paired block bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_eval.scores import WindowScore

BLOCK = 20
"""Windows resampled together: neighbours share most of their frames and are not independent."""
RESAMPLES = 2000


def difference(
    ours: Sequence[WindowScore], theirs: Sequence[WindowScore], figure: str
) -> tuple[Float[ndarray, "W"], Float[ndarray, "W"]]:
    """Per window the sum over agents of (ours - theirs), and the number of agents."""
    total = [(a.values[figure] - b.values[figure]).sum() for a, b in zip(ours, theirs, strict=True)]
    return np.array(total), np.array([w.agents for w in ours], float)


def resampled_means(
    total: Float[ndarray, "W"], agents: Float[ndarray, "W"], rng: np.random.Generator
) -> Float[ndarray, "R"]:
    """The agent-weighted mean difference in each of 2,000 resamples of blocks of windows."""
    starts = np.arange(0, len(total), BLOCK)
    sums, counts = np.add.reduceat(total, starts), np.add.reduceat(agents, starts)
    pick = rng.integers(len(starts), size=(RESAMPLES, len(starts)))
    return sums[pick].sum(1) / counts[pick].sum(1)


def interval(means: Float[ndarray, "R"]) -> tuple[float, float]:
    """The central 95 % of the resampled means."""
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
