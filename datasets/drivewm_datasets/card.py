"""The card of a bundle, in Markdown: what it learned from, how well, and what it cannot do."""

from __future__ import annotations

import numpy as np

from drivewm.checkpoint import Bundle
from drivewm.model import ModelConfig
from drivewm.postprocess import Calibration
from drivewm.types import Kind


def model_card(bundle: Bundle) -> str:
    """The card from what the bundle itself states; nothing in it is written by hand."""
    p, c = bundle.provenance, bundle.model.config
    data, calibration = p["data"], bundle.calibration
    rows = "\n".join(f"| {name} | {value} |" for name, value in p["validation"].items() if name != "choice")
    lines = [
        f"# {bundle.name}",
        "",
        f"A multi-agent latent world model made by drivewm {p['drivewm']}: {p['parameters']:,} parameters,",
        f"{c.joint_modes} joint modes, {c.candidates} marginal candidates, {c.grid.steps} steps of",
        f"{c.grid.step:g} s. It reads {_reads(c)}.",
        "",
        f"- Data: {', '.join(data['datasets'])}; {data['training_scenes']} training and",
        f"  {data['validation_scenes']} validation scenes, {data['hours']:g} h, {data['agents']:,} agents,",
        f"  {data['windows']:,} windows.",
        f"- Licence of the data: {data['licence']}.",
        f"- SHA-256 of the training scenes: `{data['training_sha256']}`",
        f"- SHA-256 of the validation scenes: `{data['validation_sha256']}`",
        f"- Seed {p['seed']}, {p['steps']} steps, checkpoint of step {p['best_step']} chosen on validation,",
        f"  {p['cpu_minutes']:g} CPU minutes, effective rank of the latents {p['effective_rank']:g}.",
        "- Calibration on validation: standard deviations by kind and horizon, temperature",
        f"  {calibration.joint_temperature:g} (joint), {_by_kind(calibration)} (marginal).",
        "",
        "| validation figure | value |",
        "|---|---|",
        rows,
        "",
        "Limits: it forecasts what it has seen in its data and nothing else; its probabilities hold for the",
        "distribution it was calibrated on.",
        "",
    ]
    return "\n".join(lines)


def _reads(config: ModelConfig) -> str:
    """What the model takes beside tracks."""
    parts = {
        "the map": config.use_map,
        "signals": config.use_signals,
        "the ego's plan": config.use_plan,
        "a bird's-eye grid": config.bev is not None,
    }
    return ", ".join(["tracks", *(name for name, used in parts.items() if used)])


def _by_kind(calibration: Calibration) -> str:
    """The marginal temperature of pedestrians, cyclists and vehicles."""
    return ", ".join(f"{value:g}" for value in calibration.temperature(np.arange(len(Kind))))
