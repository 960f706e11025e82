"""The model in torch: the runtime every other one is measured against."""

from __future__ import annotations

from pathlib import Path

import torch
from numpy import ndarray

from drivewm.checkpoint import load_bundle
from drivewm.features import ModelInputs
from drivewm.model import arrays_of
from drivewm.runtime.warm_up import empty_inputs


class TorchRuntime:
    """Reads config.json and weights.safetensors. Any number of slots."""

    def __init__(self, name_or_path: str | Path, *, agents: int = 32) -> None:
        bundle = load_bundle(name_or_path)
        sizes = bundle.model.config
        self._model, self._outputs = bundle.model, sizes.outputs
        self.name, self.hash = bundle.name, bundle.hash
        self.agents, self.sizes = agents, sizes.sizes
        self.joint_modes, self.candidates = sizes.joint_modes, sizes.candidates
        self.grid, self.calibration = sizes.grid, bundle.calibration
        self.run(empty_inputs(self.grid, agents, self.sizes))  # warm-up

    def run(self, inputs: ModelInputs) -> dict[str, ndarray]:
        with torch.inference_mode():
            out = self._model({name: torch.from_numpy(array) for name, array in inputs.as_dict().items()})
        return arrays_of(out, self._outputs)
