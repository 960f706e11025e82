"""A training batch: what the loader makes and the objective learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from drivewm.features import ModelInputs


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Model inputs with the truth, written in each agent's own frame at the anchor."""

    inputs: ModelInputs
    future: Float[ndarray, "B A F 2"]
    target: Bool[ndarray, "B A"]  # agents that can be learned from
    later_inputs: ModelInputs | None  # the same agents, seen from the end of one chunk; None if not asked for
    later: Bool[ndarray, "B A"]  # agents whose later view is known
    later_chunk: int  # which chunk: 0 is the first

    def truth(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """`future`, `target` and `later` as float tensors."""
        future, target, later = (
            torch.from_numpy(a).to(device).float() for a in (self.future, self.target, self.later)
        )
        return future, target, later


def tensors(inputs: ModelInputs, device: torch.device) -> dict[str, Tensor]:
    """The model's inputs on a device."""
    return {name: torch.from_numpy(value).to(device) for name, value in inputs.as_dict().items()}
