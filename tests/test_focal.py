"""Occupancy is learned by a focal cross-entropy, and a forecast undoes what that does to probabilities."""

from __future__ import annotations

import pytest
import torch

from drivewm.losses import occupancy
from drivewm.postprocess import FOCAL_SLOPE


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_what_the_loss_leads_to_is_the_true_share_after_the_slope(share: float) -> None:
    """50 cells of one kind, occupied this often: where the gradient vanishes the forecast says the share."""
    occupied = torch.zeros(1, 1, 1, 50, 1)
    occupied[..., : round(50 * share), :] = 1.0
    logit = torch.logit(torch.tensor(share)) / FOCAL_SLOPE
    raw = torch.zeros(1, 1, 1, 50, 1, 3)
    raw[..., 0] = logit
    raw.requires_grad_(True)
    occupancy(raw, occupied, torch.zeros(1, 1, 1, 50, 1, 2)).backward()
    assert raw.grad is not None
    assert float(raw.grad[..., 0].sum()) == pytest.approx(0.0, abs=1e-7)
    assert float(raw.grad[..., 0].abs().sum()) > 1e-5
