"""One training run: recordings in, a bundle with its card out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drivewm import __version__
from drivewm.bundle import write_text
from drivewm.calibrate import calibrate
from drivewm.checkpoint import Bundle, load_bundle, save_bundle, scenes_fingerprint
from drivewm.errors import InputError
from drivewm.model import ModelConfig, WorldModel
from drivewm.training import Fit, Log, TrainConfig, autocasts, fit
from drivewm_datasets.card import model_card
from drivewm_datasets.loader import Augmentation, Loader
from drivewm_datasets.recording import Recording
from drivewm_datasets.windows import TimeLayout, TrainingWindow, training_windows

VALIDATION_SHARE = 0.1
RESULT = "result.json"
"""Written last into a run folder: its presence says that the run is finished."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run learns."""

    name: str
    model: ModelConfig
    train: TrainConfig
    augmentation: Augmentation
    batch_agents: int = 384  # padding included
    every: float = 0.4  # seconds between training windows
    validate_every_s: float = 0.4  # seconds between validation windows
    licence: str = "not stated"


def split_by_scene(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """Training and validation recordings: a tenth of the scenes (at least one) validates.

    Which ones is drawn by a hash of their names, so that no cycle in how they were recorded decides it.
    InputError for fewer than two scenes: a checkpoint is never chosen on what it was trained on.
    """
    if len(recordings) < 2:
        raise InputError(
            f"training needs at least 2 scenes (one validates), got {len(recordings)}; "
            "add data or use --protocol"
        )
    drawn = sorted(recordings, key=lambda r: hashlib.sha256("/".join(r.name).encode()).digest())
    held = {r.name for r in drawn[: max(1, round(len(drawn) * VALIDATION_SHARE))]}
    return [r for r in recordings if r.name not in held], [r for r in recordings if r.name in held]


def _windows(recordings: Sequence[Recording], layout: TimeLayout, every: float) -> list[TrainingWindow]:
    return [w for r in recordings for w in training_windows(r, layout, every)]


def run_training(
    training: Sequence[Recording],
    validation: Sequence[Recording],
    config: RunConfig,
    run: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    log: Log = lambda step, figures: None,
) -> Bundle:
    """Trains, calibrates and writes the bundle into `run`."""
    fingerprint = _fingerprint(training, validation, config)
    finished = run / RESULT
    if resume and finished.exists():
        if json.loads(finished.read_text()).get("fingerprint") != fingerprint:
            raise InputError(
                f"{run}: was trained with other settings or data; use the same ones or another --out"
            )
        return load_bundle(run)
    layout = TimeLayout(config.model.grid, config.model.chunks)
    windows = _windows(training, layout, config.every)
    held = _windows(validation, layout, config.validate_every_s)
    if not windows or not held:
        lacking = "training" if not windows else "validation"
        raise InputError(
            f"the {lacking} scenes hold no agent with two positions of history and "
            f"{config.model.grid.horizons[-1]:g} s of future; record longer scenes"
        )
    torch.manual_seed(config.train.seed)
    source = Loader(
        windows=windows,
        layout=layout,
        agents=config.batch_agents,
        polylines=config.model.polylines,
        augmentation=config.augmentation,
        later=config.train.objective.latent > 0,
    )
    check = replace(source, windows=held, augmentation=Augmentation())
    result = fit(
        WorldModel(config.model),
        source,
        check,
        config.train,
        run,
        device=device,
        resume=resume,
        fingerprint=fingerprint,
        log=log,
    )
    bundle = Bundle(
        name=config.name,
        model=result.model.to("cpu"),
        calibration=calibrate(result.model, check),
        trained_on=tuple(r.name for r in training),
        validated_on=tuple(r.name for r in validation),
        provenance=_provenance(training, validation, windows, config, result, device or torch.device("cpu")),
    )
    saved = save_bundle(run, bundle, card=model_card(bundle))
    result_json = {"hash": saved.hash, "fingerprint": fingerprint, **saved.provenance}
    write_text(run / RESULT, json.dumps(result_json, indent=1))
    return saved


def _fingerprint(training: Sequence[Recording], validation: Sequence[Recording], config: RunConfig) -> str:
    """One hash of all that decides what a run learns: its settings and its scenes."""
    scenes = [scenes_fingerprint([(*r.name, r.xy) for r in part]) for part in (training, validation)]
    return hashlib.sha256("\n".join([repr(config), *scenes]).encode()).hexdigest()


def _provenance(
    training: Sequence[Recording],
    validation: Sequence[Recording],
    windows: Sequence[TrainingWindow],
    config: RunConfig,
    result: Fit,
    device: torch.device,
) -> dict[str, Any]:
    hours = sum(float(r.frame_times[-1] - r.frame_times[0]) for r in training if len(r.frames)) / 3600
    return {
        "drivewm": __version__,
        "seed": config.train.seed,
        "steps": config.train.steps,
        "best_step": result.best_step,
        "cpu_minutes": round(result.cpu_minutes, 2),
        "parameters": sum(p.numel() for p in result.model.parameters()),
        "effective_rank": round(result.effective_rank, 2),
        "validation": {k: round(v, 4) for k, v in result.validation.items()},
        "train": asdict(config.train),
        "augmentation": asdict(config.augmentation),
        "batch_agents": config.batch_agents,
        "device": str(device),
        "precision": "bf16 autocast" if autocasts(device) else "float32",
        "data": {
            "licence": config.licence,
            "datasets": sorted({r.dataset for r in training}),
            "training_scenes": len(training),
            "validation_scenes": len(validation),
            "windows": len(windows),
            "agents": sum(len(np.unique(r.agent)) for r in training),
            "hours": round(hours, 3),
            "training_sha256": scenes_fingerprint([(*r.name, r.xy) for r in training]),
            "validation_sha256": scenes_fingerprint([(*r.name, r.xy) for r in validation]),
        },
    }
