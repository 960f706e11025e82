"""A bundle's static graph: ONNX files of fixed shapes that ONNX Runtime and TensorRT both read.

No dynamic dimension, no gather by mask, no scatter: every operator is on a list of those known to build.
The weights in the graph are exactly those of weights.safetensors (fp16 values, computed with in fp32).
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drivewm.bev import BevGrid, BevSpec
from drivewm.bundle import GOLDEN, WEIGHTS, graph_name
from drivewm.checkpoint import Bundle
from drivewm.errors import InputError
from drivewm.features import ModelInputs, featurize
from drivewm.model import WorldModel, arrays_of
from drivewm.runtime.golden import TOLERANCE, Golden, save_golden
from drivewm.runtime.onnx_runtime import graph_metadata
from drivewm.timing import TimeGrid
from drivewm.tracks import tracks_from_positions
from drivewm.types import DEFAULT_SIZE, Aspect, EgoPlan, Kind, LineKind, RoadMap, Scene

OPSET = 20
MAX_BUNDLE_BYTES = 16_000_000
_ELEMENTWISE = (
    "Abs Add Cast Clip Cos Div Erf Exp Gelu Log Max Min Mul Neg Pow Relu Sigmoid Sin Softplus Sqrt Sub Tanh"
)
_SHAPES = "Concat Expand Gather Reshape Slice Split Squeeze Transpose Unsqueeze Where"
_LAYERS = (
    "Conv CumSum Einsum Gemm GridSample GroupNormalization InstanceNormalization LayerNormalization MatMul "
    "ReduceMax ReduceMean ReduceSum Resize Softmax"
)
ALLOWED_OPS = frozenset(f"{_ELEMENTWISE} {_SHAPES} {_LAYERS}".split())
"""Operators that TensorRT builds from a graph of fixed shapes; `Gather` with int64 indices."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote, and how well it agrees with torch."""

    files: tuple[Path, ...]
    agents: tuple[int, ...]
    left_out: tuple[int, ...]  # agent counts whose graph would have made the bundle too large
    position_error_m: float  # the largest over all graphs and positions
    other_error: float  # the same for spreads (log metres, correlation) and logits
    bundle_bytes: int  # weights, graphs and golden pair


def export_onnx(
    bundle: Bundle,
    folder: Path,
    agents: Sequence[int] = (32, 64),
    *,
    max_bytes: int = MAX_BUNDLE_BYTES,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Writes model_N.onnx for each agent count and the golden pair, once ONNX Runtime agrees with torch.

    The smallest graph is always written; a larger one only while the bundle stays under `max_bytes`.
    Nothing is written when a check fails (InputError).
    """
    if not bundle.hash:
        raise ValueError("export a saved bundle: the graph carries its hash")
    if not agents or min(agents) < 2:
        raise InputError(f"agents must be 2 or more, got {tuple(agents)}; the golden scene needs two")
    _need_onnx()
    model = _as_saved(bundle.model)
    grid, sizes = model.config.grid, model.config.sizes
    counts = sorted(set(agents))
    scene = golden_scene(grid, min(6, counts[0]), sizes.bev)
    inputs = featurize([scene], sizes=sizes)
    golden = Golden(inputs=inputs.as_dict(), outputs=_answer(model, inputs), hash=bundle.hash)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".export.{os.getpid()}.part"
    part.mkdir()
    try:
        save_golden(part / GOLDEN, golden)
        size = (part / GOLDEN).stat().st_size + _weight_bytes(bundle)
        done: list[int] = []
        left_out: list[int] = []
        errors: list[tuple[float, float]] = []
        for count in counts:
            graph = part / graph_name(count)
            _write_graph(model, golden.padded(count), graph, bundle.hash)
            if done and size + graph.stat().st_size > max_bytes:
                graph.unlink()
                left_out.append(count)
                continue
            size += graph.stat().st_size
            errors.append(_check(graph, model, golden, count, tolerance))
            done.append(count)
        for path in sorted(part.iterdir()):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(
        files=tuple(folder / name for name in (*map(graph_name, done), GOLDEN)),
        agents=tuple(done),
        left_out=tuple(left_out),
        position_error_m=max(position for position, _ in errors),
        other_error=max(other for _, other in errors),
        bundle_bytes=size,
    )


def golden_scene(grid: TimeGrid, agents: int = 6, bev: BevSpec | None = None) -> Scene:
    """A street on which pedestrians, a cyclist and a car move, hand-made: the scene of the golden pair.

    Everybody has walked a gentle curve; the last agent was first seen 0.4 s ago. One lane has a red signal,
    and the ego means to slow down.
    """
    who = np.arange(agents)
    kind = np.array([Kind.PEDESTRIAN, Kind.VEHICLE, Kind.CYCLIST, *[Kind.PEDESTRIAN] * agents])[:agents]
    speed = np.array([1.3, 8.0, 4.0])[kind] * (1 - 0.1 * who / agents)
    times = -np.asarray(grid.ages)
    heading = 0.9 * who[:, None] + 0.15 * times  # radians, turning slowly
    start = np.stack([4.0 * who, 3.0 * np.sin(who)], axis=-1)
    travelled = speed[:, None] * times
    path = start[:, None] + travelled[..., None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    valid = np.ones((agents, len(times)), bool)
    valid[-1, times < -0.45] = False
    tracks = tracks_from_positions(
        position=path,
        valid=valid,
        times=times,
        kind=kind,
        size=DEFAULT_SIZE[kind],
        ids=tuple(str(i) for i in who),
    )
    along = np.linspace(-40.0, 40.0, 9)
    lines = [(LineKind.LANE_CENTER, -1.75), (LineKind.LANE_CENTER, 1.75), (LineKind.SIDEWALK, 5.0)]
    road_map = RoadMap(
        points=np.stack([np.stack([along, np.full(9, y)], axis=-1) for _, y in lines]),
        valid=np.ones((len(lines), 9), bool),
        kind=np.array([int(kind) for kind, _ in lines]),
        signal=np.array([0, -1, -1]),
    )
    ahead = np.cumsum(np.linspace(2.0, 0.5, grid.steps))
    plan = np.stack([ahead, np.full(grid.steps, -1.75), np.zeros(grid.steps)], axis=-1)
    return Scene(
        tracks=tracks,
        t_s=0.0,
        road_map=road_map,
        signals=(int(Aspect.RED),),
        bev=None if bev is None else _golden_grid(bev),
        ego_pose=np.array([0.0, -1.75, 0.0]),
        plan=EgoPlan(pose=plan[None], valid=np.ones((1, grid.steps), bool)),
    )


def _golden_grid(spec: BevSpec) -> BevGrid:
    """A grid with something in every tenth cell, and its last channel missing."""
    features = np.random.default_rng(0).random(spec.shape).astype(np.float32)
    features[features < 0.9] = 0.0
    valid = np.arange(spec.shape[0]) < spec.shape[0] - 1
    features[~valid] = 0.0
    return BevGrid(features=features, valid=valid, spec=spec)


class _Graph(nn.Module):
    """The model as a function from arrays to arrays, both in the order of their names."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        sizes = self.model.config
        out = self.model(dict(zip(sizes.sizes.names, arrays, strict=True)))
        return tuple(getattr(out, name) for name in sizes.outputs)


def _as_saved(model: WorldModel) -> WorldModel:
    """The model a reader of weights.safetensors gets: every weight rounded to fp16."""
    return copy.deepcopy(model).cpu().half().float().eval()


def _answer(model: WorldModel, inputs: ModelInputs) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        out = model({name: torch.from_numpy(array) for name, array in inputs.as_dict().items()})
    return arrays_of(out, model.config.outputs)


def _write_graph(model: WorldModel, inputs: ModelInputs, path: Path, hash_: str) -> None:
    import onnx

    sizes = model.config
    arrays = tuple(torch.from_numpy(inputs.as_dict()[name]) for name in sizes.sizes.names)
    with _quiet():
        torch.onnx.export(
            _Graph(model).eval(),
            arrays,
            path,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(sizes.sizes.names),
            output_names=list(sizes.outputs),
            verbose=False,
        )
    graph = onnx.load(path)
    _strip(graph)
    config = {"hash": hash_, "model": json.loads(json.dumps(sizes.to_dict()))}
    metadata = graph_metadata(config, agents=arrays[0].shape[1], ages=sizes.grid.ages)
    onnx.helper.set_model_props(graph, metadata)
    foreign = operators(graph) - ALLOWED_OPS
    if foreign:
        raise RuntimeError(f"operators that TensorRT may not build: {', '.join(sorted(foreign))}")
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def operators(graph: Any) -> set[str]:
    """The names of a graph's operators, those of functions and foreign domains with their domain."""
    nodes = [*graph.graph.node, *(node for function in graph.functions for node in function.node)]
    return {f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes}


def _strip(graph: Any) -> None:
    """Takes out what the exporter notes of the source: it holds the paths of the machine that exported."""
    parts = [graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    for part in [*parts, *graph.graph.initializer]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _check(
    path: Path, model: WorldModel, golden: Golden, agents: int, tolerance: float
) -> tuple[float, float]:
    """Largest differences between ONNX Runtime and torch, positions and others. InputError if too large."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    names = model.config.outputs
    position, other = 0.0, 0.0
    full = featurize(
        [golden_scene(model.config.grid, agents, model.config.bev)],
        agents=agents,
        sizes=model.config.sizes,
    )
    noisy = {
        k: v if "mask" in k else v + rng.normal(0, 0.1, v.shape).astype(np.float32)
        for k, v in full.as_dict().items()
    }
    for inputs in (golden.padded(agents), full, ModelInputs(**noisy)):
        expected = _answer(model, inputs)
        got = dict(zip(names, session.run(list(names), inputs.as_dict()), strict=True))
        errors = Golden(inputs=inputs.as_dict(), outputs=expected, hash=golden.hash).errors(got)
        position = max(position, *(error for name, error in errors.items() if name.endswith("position")))
        other = max(other, *(error for name, error in errors.items() if not name.endswith("position")))
    if not max(position, other) <= tolerance:
        raise InputError(
            f"{path.name}: ONNX Runtime and torch differ by {position:.2g} m (spread, logit {other:.2g}), "
            f"allowed is {tolerance:g}; nothing was written: check the weights for extreme values"
        )
    return position, other


def _weight_bytes(bundle: Bundle) -> int:
    if bundle.path is not None and (bundle.path / WEIGHTS).is_file():
        return (bundle.path / WEIGHTS).stat().st_size
    return 2 * sum(tensor.numel() for tensor in bundle.model.state_dict().values())


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f'pip install "drivewm[export]" to export ({error.name} is missing)') from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's notes on optional packages and constant folding off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
