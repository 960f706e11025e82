"""Scenes to forecasts with a bundle's torch model, in batches: the offline path of predict and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from numpy import ndarray

from drivewm.batch import tensors
from drivewm.checkpoint import Bundle
from drivewm.context import missing
from drivewm.features import featurize
from drivewm.model import ModelOutputs, arrays_of
from drivewm.plausibility import plausible
from drivewm.postprocess import to_forecast
from drivewm.types import Forecast, Scene


class TorchForecaster:
    """One forecast a scene, all scenes of a call in one batch; any number of agents."""

    def __init__(self, bundle: Bundle, device: torch.device | None = None) -> None:
        self.bundle = bundle
        self.grid = bundle.model.config.grid
        self.device = device or torch.device("cpu")
        self.model = bundle.model.to(self.device).eval()

    def __call__(self, scenes: Sequence[Scene]) -> list[Forecast]:
        """The forecast of each scene under its first plan."""
        return [forecasts[0] for forecasts in self.imagine(scenes)]

    def imagine(self, scenes: Sequence[Scene]) -> list[list[Forecast]]:
        """For each scene a forecast a plan. All scenes must have as many plans (none counts as one)."""
        return self.forecasts(self.run(scenes), scenes) if scenes else []

    def forecasts(self, out: ModelOutputs, scenes: Sequence[Scene]) -> list[list[Forecast]]:
        """The outputs of `run` as forecasts: for each scene one a plan."""
        plans = len(out.joint_logit) // len(scenes)
        arrays = arrays_of(out, self.model.config.outputs)
        return [
            [self._forecast(arrays, i * plans + g, i, scene) for g in range(plans)]
            for i, scene in enumerate(scenes)
        ]

    def run(self, scenes: Sequence[Scene]) -> ModelOutputs:
        """The model's own outputs."""
        if len({1 if s.plan is None else len(s.plan.valid) for s in scenes}) > 1:
            raise ValueError("all scenes of a call must have the same number of plans")
        inputs = featurize(scenes, sizes=self.model.config.sizes)
        with torch.no_grad():
            out: ModelOutputs = self.model(tensors(inputs, self.device))
        return out

    def _forecast(self, arrays: dict[str, ndarray], row: int, index: int, scene: Scene) -> Forecast:
        sizes = self.model.config.sizes
        forecast = to_forecast(arrays, row, scene, self.grid, self.bundle.calibration, index, sizes.bev)
        plan = row - index * (1 if scene.plan is None else len(scene.plan.valid))
        return replace(
            plausible(forecast, scene, plan),
            model_hash=self.bundle.hash,
            without=missing(scene, signals=sizes.signals, bev=sizes.bev is not None, plan=sizes.plan),
        )
