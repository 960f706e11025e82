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


def blocks(
    total: Float[ndarray, "W"], agents: Float[ndarray, "W"]
) -> tuple[Float[ndarray, "B"], Float[ndarray, "B"]]:
    """Sums of differences and of agents over blocks of 20 neighbouring windows."""
    starts = np.arange(0, len(total), BLOCK)
    return np.add.reduceat(total, starts), np.add.reduceat(agents, starts)


def resampled_means(
    total: Float[ndarray, "B"], agents: Float[ndarray, "B"], rng: np.random.Generator
) -> Float[ndarray, "R"]:
    """The agent-weighted mean difference in each of 2,000 resamples of the blocks."""
    pick = rng.integers(len(total), size=(RESAMPLES, len(total)))
    return total[pick].sum(1) / agents[pick].sum(1)


def interval(means: Float[ndarray, "R"], independent: int) -> tuple[float | None, float | None]:
    """The central 95 % of the resampled means; none from fewer than two independent blocks."""
    if independent < 2:
        return None, None
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
