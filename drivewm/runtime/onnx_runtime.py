"""The model in ONNX Runtime, the default in the car: needs config.json and model_N.onnx, never torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy import ndarray

from drivewm.bundle import (
    FORMAT,
    GOLDEN,
    calibration_of,
    exported_agents,
    find_bundle,
    graph_name,
    grid_of,
    outputs_of,
    read_config,
    sizes_of,
)
from drivewm.errors import InputError
from drivewm.features import ModelInputs
from drivewm.runtime.golden import TOLERANCE, load_golden
from drivewm.runtime.warm_up import empty_inputs


class OnnxRuntime:
    """One graph of fixed shapes with input and output buffers that are made once.

    Loading checks the graph's metadata against config.json and, where the bundle has its golden pair,
    the answers against it.
    """

    def __init__(self, name_or_path: str | Path, *, agents: int = 32, threads: int = 1) -> None:
        folder = find_bundle(name_or_path)
        config = read_config(folder)
        self._path = folder / graph_name(agents)
        if not self._path.is_file():
            have = ", ".join(map(str, exported_agents(folder))) or "none"
            raise InputError(
                f"{self._path}: missing; the bundle has graphs for {have} agents: ask for one of them, "
                f"or run `drivewm export --weights {folder} --out {folder} --agents {agents}`"
            )
        self._session = _session(self._path, threads)
        self._check_metadata(config, agents)
        self.name, self.hash, self.agents = config["name"], config["hash"], agents
        self.sizes = sizes_of(config)
        self.joint_modes, self.candidates = config["model"]["joint_modes"], config["model"]["candidates"]
        self.grid, self.calibration = grid_of(config), calibration_of(config)
        self._inputs = {i.name: np.zeros(i.shape, np.float32) for i in self._session.get_inputs()}
        self._outputs = {o.name: np.zeros(o.shape, np.float32) for o in self._session.get_outputs()}
        self._binding = self._bind()
        self._warm_up(folder)

    def run(self, inputs: ModelInputs) -> dict[str, ndarray]:
        for name, array in inputs.as_dict().items():
            if array.shape != self._inputs[name].shape:
                raise ValueError(f"{name} must have shape {self._inputs[name].shape}, got {array.shape}")
            self._inputs[name][...] = array
        self._session.run_with_iobinding(self._binding)
        return {name: array.copy() for name, array in self._outputs.items()}

    def _check_metadata(self, config: dict[str, Any], agents: int) -> None:
        again = "the graph belongs to other weights, run `drivewm export` again"
        stored = self._session.get_modelmeta().custom_metadata_map
        grid = grid_of(config)
        expected = graph_metadata(config, agents=agents, ages=grid.ages)
        for key, value in expected.items():
            if stored.get(key) != value:
                got = stored.get(key, "nothing")
                raise InputError(f"{self._path}: {key} is {got}, config.json says {value}; {again}")
        names = [i.name for i in self._session.get_inputs()], [o.name for o in self._session.get_outputs()]
        if names != (list(sizes_of(config).names), list(outputs_of(config))):
            raise InputError(f"{self._path}: inputs or outputs are not those of this version; {again}")

    def _bind(self) -> Any:
        """Inputs and outputs tied to our arrays, which ONNX Runtime then reads and writes in place."""
        binding = self._session.io_binding()
        for name, array in self._inputs.items():
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in self._outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def _warm_up(self, folder: Path) -> None:
        path = folder / GOLDEN
        if not path.is_file():
            self.run(empty_inputs(self.grid, self.agents, self.sizes))
            return
        golden = load_golden(path)
        if golden.hash != self.hash:
            raise InputError(
                f"{path}: belongs to other weights (hash {golden.hash[:12]}); export the bundle again"
            )
        if golden.agents > self.agents:
            self.run(empty_inputs(self.grid, self.agents, self.sizes))
            return
        name, worst = max(
            golden.errors(self.run(golden.padded(self.agents))).items(), key=lambda item: item[1]
        )
        if worst > TOLERANCE:
            raise InputError(
                f"{self._path}: {name} differs from the golden answer by {worst:.2g}, allowed {TOLERANCE:g}; "
                "the graph is damaged or this processor computes differently: export the bundle again"
            )


def graph_metadata(config: dict[str, Any], *, agents: int, ages: tuple[float, ...]) -> dict[str, str]:
    """What a graph says of itself, as ONNX metadata: strings, all but the hash in JSON.

    `config` has the bundle's `hash` and `model`, as in config.json.
    """
    model = config["model"]
    values = {
        "format": FORMAT,
        "ages": list(ages),
        "step": model["grid"]["step"],
        "steps": model["grid"]["steps"],
        "agents": agents,
        "polylines": model["polylines"],
        "joint_modes": model["joint_modes"],
        "candidates": model["candidates"],
        "inputs": list(sizes_of(config).names),
        "outputs": list(outputs_of(config)),
    }
    return {"hash": config["hash"], **{key: json.dumps(value) for key, value in values.items()}}


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class of its errors
        line = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable ONNX graph ({line}); export the bundle again") from error
