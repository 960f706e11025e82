"""The training bench measures the real loop: loader, loss, step, on scenes as full as it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from drivewm.cli import main
from drivewm_datasets.fitting import training_source
from drivewm_datasets.plans import base
from drivewm_datasets.windows import TimeLayout
from drivewm_eval.bench.training import made_up


def test_made_up_scenes_fill_every_slot() -> None:
    config = base("base")
    layout = TimeLayout(config.model.grid, config.model.chunks)
    windows = made_up(config, layout, 32, 0)
    source = training_source(windows, layout, config)
    full = next(b for b in (source.batch_at(i, 0) for i in range(20)) if b.inputs.bev is not None)
    assert full.inputs.agent_mask.shape[1] >= 20, "cropping may leave out some of the 32"
    assert (full.inputs.line_mask.sum(1)[full.inputs.line_mask.any(1)] == 64).all()
    assert np.isin(full.inputs.bev, (0.0, 1.0)).mean() > 0.5
    assert full.target[:, 1:].all(), "everybody but the ego, whose plan is given, is learned from"


def test_the_command_reports_scenes_per_second(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    threads = torch.get_num_threads()
    try:
        command = ["bench", "train", "--preset", "nano", "--seconds", "1", "--threads", "1"]
        assert main([*command, "--json", str(out)]) == 0
    finally:
        torch.set_num_threads(threads)
    figures = json.loads(out.read_text())
    assert figures["scenes_per_s"] > 0
    assert (figures["agents"], figures["polylines"], figures["bev"]) == (32, 64, False)
