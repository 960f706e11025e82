"""A bundle: everything a trained model needs to be used, in one folder.

`weights.safetensors` (fp16), `config.json` (sizes, clock, calibration, provenance, hash), `card.md`, and,
once exported, `model_32.onnx` and others with a golden input and output.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from drivewm.bundle import FORMAT, calibration_of, find_bundle, read_config, write_text
from drivewm.errors import InputError
from drivewm.model import ModelConfig, WorldModel
from drivewm.postprocess import Calibration

__all__ = ["Bundle", "find_bundle", "load_bundle", "read_config", "save_bundle"]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A model and what is known of it."""

    name: str
    model: WorldModel
    calibration: Calibration = field(default_factory=Calibration)
    trained_on: tuple[tuple[str, str], ...] = ()  # (dataset, scene)
    validated_on: tuple[tuple[str, str], ...] = ()  # scenes that chose the checkpoint and calibrated it
    provenance: dict[str, Any] = field(default_factory=dict)  # seed, steps, minutes, data hashes, licence
    path: Path | None = None
    hash: str = ""


def save_bundle(folder: Path, bundle: Bundle, card: str = "") -> Bundle:
    """Writes a bundle folder (file by file, `config.json` last) and gives it back with its hash."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.detach().to("cpu", torch.float16).contiguous() for k, v in bundle.model.state_dict().items()
    }
    part = folder / f".weights.{os.getpid()}.part"
    save_file(state, part)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    part.chmod(0o644)
    os.replace(part, folder / "weights.safetensors")
    if card:
        write_text(folder / "card.md", card)
    config = {
        "format": FORMAT,
        "name": bundle.name,
        "hash": digest,
        "model": bundle.model.config.to_dict(),
        "calibration": asdict(bundle.calibration),
        "trained_on": [list(pair) for pair in bundle.trained_on],
        "validated_on": [list(pair) for pair in bundle.validated_on],
        "provenance": bundle.provenance,
    }
    write_text(folder / "config.json", json.dumps(config, indent=1))
    return replace(bundle, path=folder, hash=digest)


def load_bundle(name_or_path: str | Path) -> Bundle:
    """The bundle with its torch model in evaluation mode. InputError if weights and hash do not agree."""
    from safetensors.torch import load

    folder = find_bundle(name_or_path)
    config = read_config(folder)
    weights = folder / "weights.safetensors"
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise InputError(f"{weights}: missing; the bundle is incomplete") from error
    if hashlib.sha256(data).hexdigest() != config["hash"]:
        raise InputError(
            f"{weights}: does not match the hash in config.json; the bundle is damaged, copy it again"
        )
    try:
        model = WorldModel(ModelConfig.from_dict(config["model"]))
        model.load_state_dict({k: v.float() for k, v in load(data).items()})
        calibration = calibration_of(config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{folder}: config.json and weights do not fit this version ({reason}); "
            "train or copy the bundle again"
        ) from error
    return Bundle(
        name=config["name"],
        model=model.eval(),
        calibration=calibration,
        trained_on=tuple((d, s) for d, s in config["trained_on"]),
        validated_on=tuple((d, s) for d, s in config["validated_on"]),
        provenance=config["provenance"],
        path=folder,
        hash=config["hash"],
    )
