"""The processes that train one model together: each learns from its own batches, all take the same step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Crew(Protocol):
    """Who trains. Process 0 validates, writes and speaks for all."""

    rank: int
    size: int

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces every gradient by its mean over the crew."""
        ...

    def agree(self, flag: bool) -> bool:
        """What process 0 says; waits for all."""
        ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        pass

    def agree(self, flag: bool) -> bool:
        return flag


class TorchCrew:
    """The processes of an initialised torch.distributed group."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._device = device

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """All gradients travel as one vector. A part of the model that a batch did not use counts as zero."""
        used = [p for p in parameters if p.requires_grad]
        whole = torch.cat([_gradient(p).reshape(-1) for p in used])
        torch.distributed.all_reduce(whole)
        whole /= self.size
        for p, part in zip(used, whole.split([p.numel() for p in used]), strict=True):
            p.grad = part.view_as(p).clone()

    def agree(self, flag: bool) -> bool:
        said = torch.tensor([float(flag)], device=self._device)
        torch.distributed.broadcast(said, 0)
        return bool(said.item())


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
