"""Small bundles with random weights: enough to test every path that weights travel."""

from __future__ import annotations

from pathlib import Path

import torch

from drivewm.checkpoint import Bundle, save_bundle
from drivewm.model import ModelConfig, WorldModel
from drivewm.postprocess import Calibration

torch.set_num_threads(1)  # matrices this small are no work to share: threads only wait for each other


def make_bundle(folder: Path, *, seed: int = 0, use_map: bool = True, polylines: int = 8) -> Bundle:
    """A saved bundle of a tiny model: 3 joint modes, 5 candidates, anchors of about a metre."""
    torch.manual_seed(seed)
    config = ModelConfig(
        dim=16, heads=2, joint_modes=3, candidates=5, polylines=polylines, use_map=use_map, layers=1
    )
    model = WorldModel(config).eval()
    model.anchors.normal_()
    calibration = Calibration(
        joint_temperature=1.3, marginal_temperature=0.8, joint_spread=0.9, marginal_spread=1.2
    )
    return save_bundle(
        folder, Bundle(name=f"tiny{seed}", model=model, calibration=calibration), card="A test."
    )
