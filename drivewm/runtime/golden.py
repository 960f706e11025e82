"""The golden pair of a bundle: one scene's inputs and what torch answered, to test any runtime by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from drivewm.errors import InputError
from drivewm.features import ModelInputs, stack_inputs

TOLERANCE = 1e-3
"""Metres (and log metres, and logits) by which a runtime may differ from torch."""


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Arrays by name, without slots that are not filled: A present agents."""

    inputs: dict[str, ndarray]  # batch 1
    outputs: dict[str, ndarray]  # batch 1
    hash: str  # of the bundle

    @property
    def agents(self) -> int:
        return self.inputs["agent_mask"].shape[1]

    def padded(self, agents: int) -> ModelInputs:
        return stack_inputs([{name: array[0] for name, array in self.inputs.items()}], agents)

    def errors(self, answer: dict[str, ndarray]) -> dict[str, float]:
        """The largest difference of each output, over the present agents; inf where it is not finite."""
        worst = {}
        for name, expected in self.outputs.items():
            got = answer[name][tuple(slice(0, n) for n in expected.shape)]
            difference = np.abs(got - expected)
            worst[name] = float(difference.max()) if np.isfinite(got).all() else np.inf
        return worst


def save_golden(path: Path, golden: Golden) -> None:
    arrays = {f"input.{k}": np.ascontiguousarray(v) for k, v in golden.inputs.items()}
    arrays |= {f"output.{k}": np.ascontiguousarray(v) for k, v in golden.outputs.items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(save(arrays, metadata={"hash": golden.hash}))
    os.replace(part, path)


def load_golden(path: Path) -> Golden:
    """InputError where the file is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            return Golden(
                inputs={k.removeprefix("input."): v for k, v in arrays.items() if k.startswith("input.")},
                outputs={k.removeprefix("output."): v for k, v in arrays.items() if k.startswith("output.")},
                hash=(file.metadata() or {}).get("hash", ""),
            )
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a golden pair ({error}); export the bundle again") from error
