"""A figure of a street with its uncertainty: agents and scenes are drawn again, never single rows.

Positions of one agent half a second apart say nearly the same. So the rows of one block, an agent or a
whole scene, stay together, and an interval is as wide as the blocks disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

DRAWS = 500
MANY_SCENES = 10
"""From this many scenes on a block is a scene; below, an agent."""
Z = 1.96


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value with the 95 % interval it may truly lie in. All three are None where nothing was observed."""

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0  # observations it rests on
    blocks: int = 0  # independent ones among them


NOTHING = Figure(value=None)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Observations of one quantity, pooled over scenes. Axis: N observations."""

    value: Float[ndarray, "N"]
    block: Int[ndarray, "N"]  # 0..B-1

    def where(self, keep: Bool[ndarray, "N"]) -> Sample:
        return Sample(value=self.value[keep], block=self.block[keep])

    @property
    def blocks(self) -> int:
        return len(np.unique(self.block))


def pool(values: Sequence[Float[ndarray, "_"]], agents: Sequence[Int[ndarray, "_"]]) -> Sample:
    """One sample from the values of every scene and the agents they are about.

    A block is a scene where there are at least ten scenes with values, and an agent of a scene otherwise.
    """
    filled = [len(v) > 0 for v in values]
    by_scene = sum(filled) >= MANY_SCENES
    scene = np.concatenate([np.zeros(0, np.int64), *[np.full(len(v), i) for i, v in enumerate(values)]])
    agent = np.concatenate([np.zeros(0, np.int64), *agents])
    key = scene if by_scene else scene * (int(agent.max(initial=0)) + 1) + agent
    return Sample(
        value=np.concatenate([np.zeros(0), *values]),
        block=np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64),
    )


def mean(sample: Sample) -> Figure:
    """The mean of all observations."""
    return _of_sums(
        sample, np.column_stack([np.ones(len(sample.value)), sample.value]), lambda s: s[1] / s[0]
    )


def spread(sample: Sample) -> Figure:
    """The standard deviation of all observations."""
    centred = sample.value - (sample.value.mean() if len(sample.value) else 0.0)
    terms = np.column_stack([np.ones(len(centred)), centred, centred**2])
    return _of_sums(sample, terms, lambda s: np.sqrt(np.maximum(s[2] / s[0] - (s[1] / s[0]) ** 2, 0.0)))


def share(sample: Sample) -> Figure:
    """The share of observations that are true (1) and not false (0).

    Where all blocks agree, drawing them again says nothing: then the interval is Wilson's for as many
    independent observations as there are blocks.
    """
    if not len(sample.value):
        return NOTHING
    figure = mean(sample)
    if 0.0 < sample.value.mean() < 1.0 and figure.blocks > 1:
        return figure
    low, high = wilson(float(sample.value.mean()), figure.blocks)
    return Figure(value=figure.value, low=low, high=high, count=figure.count, blocks=figure.blocks)


def quantile(sample: Sample, p: float) -> Figure:
    """The p-quantile of all observations.

    Its interval is that of Woodruff (JASA 47, 1952): the quantiles at the ends of the interval of the
    share of observations that lie below it.
    """
    if not len(sample.value):
        return NOTHING
    value = float(np.quantile(sample.value, p))
    below = mean(Sample(value=(sample.value <= value).astype(float), block=sample.block))
    if below.low is None or below.high is None:
        return Figure(value=value, count=below.count, blocks=below.blocks)
    # Where the largest or smallest value is the quantile, all draws agree.
    low, high = (below.low, below.high) if below.high > below.low else wilson(p, below.blocks)
    ends = np.quantile(sample.value, np.clip([low, high], 0.0, 1.0))
    return Figure(
        value=value,
        low=min(float(ends[0]), value),
        high=max(float(ends[1]), value),
        count=below.count,
        blocks=below.blocks,
    )


def difference(one: Figure, other: Figure) -> Figure:
    """One figure less another that rests on other agents; the errors add in squares."""
    if one.value is None or other.value is None:
        return NOTHING
    value = one.value - other.value
    count, blocks = one.count + other.count, one.blocks + other.blocks
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Figure(value=value, count=count, blocks=blocks)
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Figure(
        value=value, low=value - float(below), high=value + float(above), count=count, blocks=blocks
    )


def wilson(rate: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate seen in `count` independent trials."""
    middle = (rate + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(rate * (1 - rate) / count + Z**2 / (4 * count**2))
    low, high = float(middle - half), float(middle + half)
    return (0.0 if rate == 0 else low), (1.0 if rate == 1 else high)  # rounding would leave 1e-18


def drawn_weights(blocks: int) -> Float[ndarray, "R B"]:
    """How often each block is in each of 500 samples drawn with replacement; always the same ones."""
    rng = np.random.default_rng(blocks)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(float)


def _of_sums(
    sample: Sample, terms: Float[ndarray, "N k"], function: Callable[[Float[ndarray, "k *r"]], ndarray]
) -> Figure:
    """A function of the sums of terms over all observations, with the bootstrap interval over blocks."""
    if not len(sample.value):
        return NOTHING
    blocks = sample.blocks
    sums = np.zeros((int(sample.block.max()) + 1, terms.shape[1]))
    np.add.at(sums, sample.block, terms)
    sums = sums[sums[:, 0] > 0]
    value = float(function(sums.sum(axis=0)))
    if blocks < 2:
        return Figure(value=value, count=len(sample.value), blocks=blocks)
    low, high = np.quantile(function((drawn_weights(blocks) @ sums).T), [0.025, 0.975])
    return Figure(value=value, low=float(low), high=float(high), count=len(sample.value), blocks=blocks)
