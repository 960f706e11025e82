"""Scenes to forecasts with a bundle's torch model, in batches: the offline path of predict and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from drivewm.batch import tensors
from drivewm.checkpoint import Bundle
from drivewm.features import featurize
from drivewm.postprocess import OUTPUT_NAMES, to_forecast
from drivewm.types import Forecast, Scene


class TorchForecaster:
    """One forecast a scene, all scenes of a call in one batch; any number of agents."""

    def __init__(self, bundle: Bundle, device: torch.device | None = None) -> None:
        self.bundle = bundle
        self.grid = bundle.model.config.grid
        self.device = device or torch.device("cpu")
        self.model = bundle.model.to(self.device).eval()

    def __call__(self, scenes: Sequence[Scene]) -> list[Forecast]:
        if not scenes:
            return []
        inputs = featurize(scenes, polylines=self.model.config.polylines)
        with torch.no_grad():
            out = self.model(tensors(inputs, self.device))
        arrays = {name: getattr(out, name).float().cpu().numpy() for name in OUTPUT_NAMES}
        return [
            replace(
                to_forecast(arrays, i, scene, self.grid, self.bundle.calibration),
                model_hash=self.bundle.hash,
            )
            for i, scene in enumerate(scenes)
        ]
