"""A bundle's folder, and the part of it that every runtime reads: `config.json`. No torch here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from drivewm.bev import BevSpec
from drivewm.errors import InputError
from drivewm.features import InputSizes
from drivewm.postprocess import Calibration, output_names
from drivewm.timing import TimeGrid

FORMAT = 1
BUNDLES = Path(__file__).parent / "bundles"
WEIGHTS, CONFIG, CARD, GOLDEN = "weights.safetensors", "config.json", "card.md", "golden.safetensors"
_KEYS = ("name", "hash", "model", "calibration", "trained_on", "validated_on", "provenance")


def graph_name(agents: int) -> str:
    """The file of the ONNX graph with this many agent slots."""
    return f"model_{agents}.onnx"


def exported_agents(folder: Path) -> tuple[int, ...]:
    """The agent slots of the graphs in a bundle, ascending."""
    counts = (path.stem.removeprefix("model_") for path in folder.glob("model_*.onnx"))
    return tuple(sorted(int(count) for count in counts if count.isdecimal()))


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of a shipped bundle by name, or of any bundle by path. InputError if there is none."""
    for folder in (Path(name_or_path), BUNDLES / str(name_or_path)):
        if (folder / CONFIG).is_file():
            return folder
    shipped = ", ".join(sorted(p.parent.name for p in BUNDLES.glob(f"*/{CONFIG}"))) or "none"
    raise InputError(
        f"no bundle at {name_or_path}: expected a folder with config.json and weights.safetensors, "
        f"or the name of a shipped bundle ({shipped})"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The bundle's config.json, checked. InputError if it is damaged or of another format."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable bundle configuration ({error})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise InputError(
            f"{path}: bundle format {found}, this version reads {FORMAT}; train or export it again"
        )
    missing = [key for key in _KEYS if key not in config]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} missing; the bundle is damaged, copy it again")
    return config


def grid_of(config: dict[str, Any]) -> TimeGrid:
    """The clock of a bundle's model."""
    grid = config["model"]["grid"]
    return TimeGrid(ages=tuple(grid["ages"]), step=grid["step"], steps=grid["steps"])


def sizes_of(config: dict[str, Any]) -> InputSizes:
    """Which inputs a bundle's model takes."""
    model = config["model"]
    bev = model.get("bev")
    return InputSizes(
        polylines=model["polylines"],
        steps=model["grid"]["steps"],
        signals=model.get("use_signals", False),
        plan=model.get("use_plan", False),
        bev=None if bev is None else BevSpec.from_dict(bev),
    )


def outputs_of(config: dict[str, Any]) -> tuple[str, ...]:
    """What a bundle's model answers, in the order of the graph's outputs."""
    model = config["model"]
    return output_names(heads=model.get("street_heads", False), occupancy=model.get("occupancy", False))


def calibration_of(config: dict[str, Any]) -> Calibration:
    return Calibration.from_dict(config["calibration"])


def write_text(path: Path, text: str) -> None:
    """The file appears whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, path)
