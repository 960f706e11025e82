"""The loss that keeps forecasts still: what is said at one tick and at the next of the same moment agrees.

Shape suffixes: P pairs of scenes, N scenes (the first P, then those that follow them), K futures, A agents,
F steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF_M = (1.0, 2.0, 3.0)
"""By kind: so far apart two forecasts cost half of the most; further, somebody turned or stopped: let be."""


def unsteadiness(
    position_NKAF2: Tensor, row_PA: Tensor, known_PA: Tensor, pose_PA4: Tensor, kind_PA3: Tensor
) -> Tensor:
    """How far each future moves between two ticks a step apart, per agent and step: 0 still, below 1 always.

    The distance d between the places that a future gives for one moment, before and after, counts
    d / (half + d): small wavering is drawn together, a change of mind hardly (a robust loss, Huber 1964).
    `row`, `known` and `pose` are those of `Successors`, `kind` is one-hot.
    """
    pairs = len(row_PA)
    before, after = position_NKAF2[:pairs], position_NKAF2[pairs:]
    index = row_PA[:, None, :, None, None].expand(-1, after.shape[1], -1, *after.shape[3:])
    x, y = after.gather(2, index).unbind(-1)
    frame = pose_PA4[:, None, :, None]
    cos, sin = frame[..., 2], frame[..., 3]
    then = torch.stack([cos * x - sin * y, sin * x + cos * y], -1) + frame[..., :2]
    apart = torch.sqrt(((then[..., :-1, :] - before[..., 1:, :]) ** 2).sum(-1) + 1e-4) - 1e-2
    half = (kind_PA3 @ torch.tensor(HALF_M, device=kind_PA3.device))[:, None, :, None]
    cost = (apart / (half + apart)).mean((1, 3))
    return (cost * known_PA).sum() / known_PA.sum().clamp(min=1.0)
