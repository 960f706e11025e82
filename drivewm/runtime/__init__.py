"""Runtimes: the same model on different engines, behind one protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

from numpy import ndarray

from drivewm.errors import InputError
from drivewm.features import InputSizes, ModelInputs
from drivewm.postprocess import Calibration
from drivewm.timing import TimeGrid

Backend = Literal["onnx", "torch"]


@runtime_checkable
class Runtime(Protocol):
    """A loaded, warmed-up model of fixed shapes."""

    name: str  # of the bundle
    hash: str  # of the bundle
    agents: int  # slots
    sizes: InputSizes  # which inputs it takes
    joint_modes: int
    candidates: int
    grid: TimeGrid
    calibration: Calibration

    def run(self, inputs: ModelInputs) -> dict[str, ndarray]:
        """One scene (batch 1, all slots, one plan) to arrays by name, which the caller may keep."""
        ...


def load_runtime(
    name_or_path: str | Path, *, backend: Backend = "onnx", agents: int = 32, threads: int = 1
) -> Runtime:
    """The bundle's model on one engine. InputError if the bundle is damaged or was not exported for it.

    `threads` is for onnx; torch keeps the process-wide number it has.
    """
    if agents <= 0 or threads <= 0:
        raise InputError(f"agents and threads must be positive, got {agents} and {threads}")
    if backend == "onnx":
        from drivewm.runtime.onnx_runtime import OnnxRuntime

        return OnnxRuntime(name_or_path, agents=agents, threads=threads)
    if backend == "torch":
        from drivewm.runtime.torch_runtime import TorchRuntime

        return TorchRuntime(name_or_path, agents=agents)
    raise InputError(f"no backend {backend!r}; there are {', '.join(get_args(Backend))}")
