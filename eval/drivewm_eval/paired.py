"""Is one forecaster better than another on the same windows? Paired intervals by blocks of windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_eval.scores import WindowScore

BLOCK = 20
"""Windows summed to one observation: a window of 20 frames shares 19 of them with the next."""
DRAWS = 20_000

Blocks = tuple[Float[ndarray, "B"], Float[ndarray, "B"]]  # sums of differences, numbers of agents


def difference(
    ours: Sequence[WindowScore], theirs: Sequence[WindowScore], figure: str
) -> tuple[Float[ndarray, "W"], Float[ndarray, "W"]]:
    """Per window the sum over agents of (ours - theirs), and the number of agents."""
    total = [(a.values[figure] - b.values[figure]).sum() for a, b in zip(ours, theirs, strict=True)]
    return np.array(total), np.array([w.agents for w in ours], float)


def blocks(total: Float[ndarray, "W"], agents: Float[ndarray, "W"]) -> Blocks:
    """Sums of differences and of agents over blocks of 20 neighbouring windows of one scene."""
    starts = np.arange(0, len(total), BLOCK)
    return np.add.reduceat(total, starts), np.add.reduceat(agents, starts)


def pooled_mean(scenes: Sequence[Blocks]) -> float:
    """The mean difference an agent, over all blocks of all scenes."""
    return float(sum(total.sum() for total, _ in scenes) / sum(agents.sum() for _, agents in scenes))


def drawn_means(scenes: Sequence[Blocks], rng: np.random.Generator) -> Float[ndarray, "R"]:
    """What the pooled mean may truly be: 20,000 draws of Student's t about it, as sure as the blocks agree.

    The standard error is that of a ratio, from each block's residual. The last windows of a block overlap
    the first of the next, so the products of neighbours' residuals count too (never to narrow it), and a
    neighbour makes a block a third less of an observation. A scene with few blocks is wide: with four, t
    has two degrees of freedom. All draws are the mean where there is one block; `interval` then says none.
    """
    mean = pooled_mean(scenes)
    count = sum(len(total) for total, _ in scenes)
    residuals = [total - mean * agents for total, agents in scenes]
    square = sum(float((r**2).sum()) for r in residuals)
    overlap = 2 * sum(float((r[1:] * r[:-1]).sum()) for r in residuals)
    agents_a_block = sum(float(agents.sum()) for _, agents in scenes) / count
    error = np.sqrt((square + max(overlap, 0.0)) / (count * max(count - 1, 1))) / agents_a_block
    freedom = count - 1 - sum(len(r) - 1 for r in residuals) / 3
    return mean + error * rng.standard_t(max(freedom, 1.0), size=DRAWS)


def interval(means: Float[ndarray, "R"], independent: int) -> tuple[float | None, float | None]:
    """The central 95 % of the drawn means; none from fewer than two blocks."""
    if independent < 2:
        return None, None
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
