"""Several loaders as one source: each step takes its batch from one of them, drawn by weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drivewm.batch import Batch
from drivewm.training import BatchSource

_DRAW = 7919  # keeps the choice of a loader apart from what the loader draws itself


@dataclass(frozen=True)
class Mixture:
    """Loaders with weights. The batch of a step is a function of (step, seed) alone."""

    loaders: Sequence[BatchSource]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.loaders) != len(self.weights) or not self.loaders or min(self.weights) <= 0:
            raise ValueError(
                f"one positive weight a loader, got {len(self.loaders)} and {list(self.weights)}"
            )

    def batch_at(self, step: int, seed: int) -> Batch:
        share = np.asarray(self.weights, float) / sum(self.weights)
        pick = np.random.default_rng([seed, step, _DRAW]).choice(len(self.loaders), p=share)
        return self.loaders[int(pick)].batch_at(step, seed)

    def in_order(self) -> Iterator[Batch]:
        for loader in self.loaders:
            yield from loader.in_order()
