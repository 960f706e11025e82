"""A training batch: what the loader makes and the objective learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from drivewm.features import ModelInputs


@dataclass(frozen=True, kw_only=True)
class StreetTruth:
    """What is known of a simulated street beside its futures. Axes as in `Batch` and `ModelOutputs`."""

    exists: Bool[ndarray, "B A"]
    exists_known: Bool[ndarray, "B A"]
    crossing: Int[ndarray, "B A"]  # step in which it steps on the road; -1 never
    crossing_known: Bool[ndarray, "B A"]
    meeting: Bool[ndarray, "B A"]  # pedestrians who have to do with the road now
    unseen_s: Float[ndarray, "B A"]
    # Of the first D scenes only: the head costs as much as all the rest of the model.
    occupied: Bool[ndarray, "D Q T H W"] | None = None
    flow: Float[ndarray, "D Q T H W 2"] | None = None


@dataclass(frozen=True, kw_only=True)
class Successors:
    """Of a batch whose second half are its first half's scenes one step later: who is who.

    P pairs of scenes: scene p is followed by scene P + p.
    """

    row: Int[ndarray, "P A"]  # of each agent of the first half in the scene that follows
    known: Bool[ndarray, "P A"]  # whether it is there
    pose: Float[ndarray, "P A 4"]  # its frame then (x, y, cos, sin) in its frame now


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Model inputs with the truth, written in each agent's own frame at the anchor.

    B scenes under G plans each: N = B G futures, those of a scene beside each other.
    """

    inputs: ModelInputs
    future: Float[ndarray, "N A F 2"]
    target: Bool[ndarray, "N A"]  # agents that can be learned from
    later_inputs: ModelInputs | None  # the same agents, seen from the end of one chunk; None if not asked for
    later: Bool[ndarray, "B A"]  # agents whose later view is known
    later_chunk: int  # which chunk: 0 is the first
    plans: int = 1  # G
    street: StreetTruth | None = None
    successors: Successors | None = None

    @property
    def drawn(self) -> int:
        """Of how many scenes, from the first on, the occupancy is known."""
        return 0 if self.street is None or self.street.occupied is None else len(self.street.occupied)

    def truth(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """`future`, `target` and `later` as float tensors."""
        future, target, later = (
            torch.from_numpy(a).to(device).float() for a in (self.future, self.target, self.later)
        )
        return future, target, later


def tensors(inputs: ModelInputs, device: torch.device) -> dict[str, Tensor]:
    """The model's inputs on a device."""
    return {name: torch.from_numpy(value).to(device) for name, value in inputs.as_dict().items()}
