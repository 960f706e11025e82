"""How fast a preset learns on this machine: loader, loss, gradients and step, on full made-up scenes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from drivewm.bev import BevSpec
from drivewm.features import LINE_POINTS, LINE_SPACING_M, Lines
from drivewm.model import ModelConfig, WorldModel
from drivewm.training import Trainer, set_anchors
from drivewm.types import Kind, LineKind
from drivewm_datasets.drive import pack
from drivewm_datasets.fitting import RunConfig, Windows, training_source
from drivewm_datasets.plans import PRESETS
from drivewm_datasets.street_windows import NEVER, StreetPart
from drivewm_datasets.windows import TimeLayout, TrainingWindow

WINDOWS = 24
PLANS = 5
OTHERS = 60
WARM_UP = 3  # steps that are not counted
RADIUS_M = 40.0
SPARE = 16  # pieces of map more than there are slots


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """What was measured, and on what."""

    preset: str
    parameters: int
    agents: int  # a scene
    polylines: int
    bev: bool
    device: str
    threads: int
    steps: int
    scenes: int  # a scene under several plans counts once
    seconds: float
    scenes_per_s: float
    loader_share: float  # of the time


def training_speed(
    preset: str, *, agents: int, seconds: float, seed: int, device: torch.device
) -> TrainingSpeed:
    """Trains on scenes of `agents` agents each for about so many seconds."""
    config = PRESETS[preset](preset)
    layout = TimeLayout(config.model.grid, config.model.chunks)
    source = training_source(made_up(config, layout, agents, seed), layout, config)
    torch.manual_seed(seed)
    with TemporaryDirectory() as folder:
        trainer = Trainer(WorldModel(config.model), config.train, Path(folder), device)
        set_anchors(trainer.model, source, seed)
        scenes, loading, step, began = 0, 0.0, 0, time.perf_counter()
        while step < WARM_UP or time.perf_counter() - began < seconds:
            if step == WARM_UP:
                scenes, loading, began = 0, 0.0, time.perf_counter()
            start = time.perf_counter()
            batch = source.batch_at(step, seed)
            loading += time.perf_counter() - start
            trainer.advance(batch)
            scenes += len(batch.inputs.agent_mask)
            step += 1
        spent = time.perf_counter() - began
    return TrainingSpeed(
        preset=preset,
        parameters=sum(p.numel() for p in trainer.model.parameters()),
        agents=agents,
        polylines=config.model.polylines,
        bev=config.model.bev is not None,
        device=str(device),
        threads=torch.get_num_threads(),
        steps=step - WARM_UP,
        scenes=scenes,
        seconds=spent,
        scenes_per_s=scenes / spent,
        loader_share=loading / spent,
    )


def made_up(config: RunConfig, layout: TimeLayout, agents: int, seed: int) -> Windows:
    """Scenes as full as asked for: everybody has a past and a future, the map fills all its slots."""
    rng = np.random.default_rng(seed)
    lines = _lines(config.model, rng)
    plain = [_window(config.model, layout, lines, agents, 1, rng) for _ in range(WINDOWS)]
    branched = [_window(config.model, layout, lines, agents, PLANS, rng) for _ in range(WINDOWS)]
    return Windows(by_set={("made up", True): plain}, branched=branched if config.model.use_plan else [])


def _lines(model: ModelConfig, rng: np.random.Generator) -> Lines:
    count = model.polylines + SPARE
    start = rng.uniform(-RADIUS_M, RADIUS_M, (count, 1, 2))
    yaw = rng.uniform(-np.pi, np.pi, (count, 1))
    along = LINE_SPACING_M * np.arange(LINE_POINTS)
    points = start + np.stack([np.cos(yaw) * along, np.sin(yaw) * along], -1)
    return Lines(points=points, kind=rng.integers(0, len(LineKind), count), of=np.arange(count))


def _window(
    model: ModelConfig, layout: TimeLayout, lines: Lines, agents: int, plans: int, rng: np.random.Generator
) -> TrainingWindow:
    start = rng.uniform(-RADIUS_M, RADIUS_M, (agents, 1, 2))
    velocity = rng.normal(0.0, 2.0, (agents, 1, 2))
    position = (start + velocity * layout.times[:, None]).astype(np.float32)
    everywhere = np.ones(position.shape[:2], bool)
    kind = rng.choice([int(k) for k in Kind], agents, p=[0.6, 0.1, 0.3])
    return TrainingWindow(
        position=position,
        valid=everywhere,
        known=everywhere,
        kind=kind,
        size=np.array([[0.5, 0.5], [1.8, 0.6], [4.5, 1.9]])[kind],
        origin=np.zeros(2),
        lines=lines,
        street=_street(model, layout, position, plans, rng),
    )


def _street(
    model: ModelConfig, layout: TimeLayout, position: np.ndarray, plans: int, rng: np.random.Generator
) -> StreetPart:
    agents, steps = len(position), layout.grid.steps
    future = position[:, layout.future_index][None].repeat(plans, 0).astype(np.float64)
    others = np.zeros((OTHERS, 4, 3))
    others[..., :2] = rng.uniform(-RADIUS_M, RADIUS_M, (OTHERS, 1, 2))
    spec = BevSpec()
    code = (rng.random(spec.shape) < 0.1).astype(np.uint8)
    return StreetPart(
        frame=0,
        track=np.arange(agents),
        history=position[:, layout.past_index[0]].astype(np.float64),
        history_valid=np.ones((agents, len(layout.grid.ages)), bool),
        unseen_s=np.zeros(agents),
        exists=np.ones(agents, bool),
        crossing=np.full(agents, NEVER),
        meeting=rng.random(agents) < 0.1,
        ego=0,
        ego_pose=np.zeros(3),
        line_state=np.full(model.polylines + SPARE, -1),
        plan=rng.normal(0.0, 5.0, (plans, steps, 3)),
        plan_valid=np.ones((plans, steps), bool),
        plan_names=("made up",) * plans,
        future=future,
        future_known=np.ones((plans, agents), bool),
        others=others.astype(np.float32),
        others_valid=np.ones((OTHERS, 4), bool),
        others_kind=rng.integers(0, 3, OTHERS),
        others_size=np.full((OTHERS, 2), 1.0),
        others_tracked=rng.random(OTHERS) < 0.5,
        bev=None if model.bev is None else pack(code),
        bev_spec=None if model.bev is None else spec,
    )
