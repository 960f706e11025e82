"""The training loop: steps, a weight average, validation, checkpoints that resume exactly."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from drivewm import losses
from drivewm.anchors import fit_anchors
from drivewm.batch import Batch, tensors
from drivewm.crew import Alone, Crew
from drivewm.errors import DivergedError, InputError
from drivewm.features import KINDS
from drivewm.model import WorldModel
from drivewm.objective import ObjectiveConfig, objective

ANCHOR_BATCHES = 12
SAVE_EVERY = 100  # steps between checkpoints, so that a killed run loses less than a minute
RANK_SAMPLES = 4096  # latents, spread over all validation scenes, whose effective rank is reported


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast a model learns."""

    steps: int = 2000
    learning_rate: float = 1e-3
    warm_up: int = 50  # steps
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    average: float = 0.998  # of the weight average that is validated and kept
    validate_every: int = 250
    patience: int = 0  # validations in a row without improvement after which training stops; 0: never
    seed: int = 0
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.learning_rate <= 0:
            raise ValueError(
                f"steps and learning_rate must be positive, got {self.steps}, {self.learning_rate}"
            )

    def rate_at(self, step: int) -> float:
        """Cosine from the full rate to a hundredth of it, after a short warm-up."""
        warm = min(1.0, (step + 1) / self.warm_up)
        return self.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


@runtime_checkable
class BatchSource(Protocol):
    """Training data: the batch of a step is a function of (step, seed) alone."""

    def batch_at(self, step: int, seed: int) -> Batch: ...

    def in_order(self) -> Iterable[Batch]: ...


@dataclass
class Fit:
    """What a finished training gives back: the best weight average by validation, and how it went."""

    model: WorldModel
    best_step: int
    validation: dict[str, float]
    effective_rank: float
    cpu_minutes: float


def autocasts(device: torch.device) -> bool:
    """Whether training uses bf16: on GPUs and on CPUs with bf16 instructions."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cuda" or supported()


def precision(device: torch.device) -> Any:
    """bf16 where it is fast, otherwise full precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if autocasts(device) else nullcontext()


def set_anchors(model: WorldModel, source: BatchSource, seed: int) -> None:
    """Fills the model's anchors from the first batches."""
    residuals, kinds = [], []
    horizon = torch.tensor(model.config.grid.horizons)[:, None]
    for step in range(ANCHOR_BATCHES):
        batch = source.batch_at(step, seed)
        future, target = (torch.from_numpy(a[:: batch.plans]) for a in (batch.future, batch.target))
        velocity = torch.from_numpy(batch.inputs.agent_velocity)
        residual = future - velocity[:, :, None] * horizon
        residual = residual / WorldModel.stride(velocity)[..., None, None]
        residuals.append(residual[target])
        kinds.append(torch.from_numpy(batch.inputs.attributes[..., :KINDS])[target])
    anchors = fit_anchors(
        torch.cat(residuals).double().numpy(), torch.cat(kinds).numpy(), model.config.candidates, seed
    )
    model.anchors.copy_(torch.from_numpy(anchors))


@torch.no_grad()
def validate(model: WorldModel, source: BatchSource) -> dict[str, float]:
    """Best-of-K per agent and jointly, most likely error, and the sum by which a checkpoint is chosen."""
    model.eval()
    total: dict[str, float] = {}
    count = 0.0
    latents: list[Tensor] = []
    device = model.anchors.device
    for batch in source.in_order():
        future, target, _ = batch.truth(device)
        out = model(tensors(batch.inputs, device))
        marginal = losses.displacement(out.marginal_position, future) * target[:, None, :, None]
        joint = losses.displacement(out.joint_position, future) * target[:, None, :, None]
        top = out.marginal_logit.argmax(1, keepdim=True)
        picked = marginal.mean(-1).gather(1, top)
        values = {
            "min_ade": marginal.mean(-1).amin(1).sum(),
            "min_fde": marginal[..., -1].amin(1).sum(),
            "joint_min_ade": joint.mean(-1).sum(-1).amin(1).sum(),
            "joint_min_fde": joint[..., -1].sum(-1).amin(1).sum(),
            "top1_ade": picked.sum(),
        }
        for name, value in values.items():
            total[name] = total.get(name, 0.0) + float(value)
        count += float(target.sum())
        latents.append(out.latent[target > 0])
    mean = {name: value / max(count, 1.0) for name, value in total.items()}
    mean["choice"] = (
        mean["min_ade"]
        + mean["joint_min_ade"]
        + mean["top1_ade"]
        + (mean["min_fde"] + mean["joint_min_fde"]) / 2
    )
    every = torch.cat(latents).float()
    stride = max(1, len(every) // RANK_SAMPLES)
    mean["effective_rank"] = losses.effective_rank(every[::stride])
    return mean


class Trainer:
    """One model in training. All that is needed to go on is in its checkpoint."""

    def __init__(
        self,
        model: WorldModel,
        config: TrainConfig,
        run: Path,
        device: torch.device,
        fingerprint: str = "",
        crew: Crew | None = None,
    ) -> None:
        self.config, self.run, self.device = config, run, device
        self.crew: Crew = crew or Alone()
        self.recipe = f"{config!r} {fingerprint} {self.crew.size}"
        self.model = model.to(device)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.best = copy.deepcopy(self.average.state_dict())
        self.optimizer = torch.optim.AdamW(
            (p for p in self.model.parameters() if p.requires_grad),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.step = 0
        self.best_step = 0
        self.best_validation: dict[str, float] = {}
        self.idle = 0  # validations since the best one
        self.cpu_s = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoint.pt"

    def start_averages(self) -> None:
        """Makes the weight average equal to the model (after the anchors have been set)."""
        self.average.load_state_dict(self.model.state_dict())
        self.best = copy.deepcopy(self.average.state_dict())

    def save(self) -> None:
        part = self.checkpoint.with_suffix(f".{os.getpid()}.part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "best_step": self.best_step,
                "best_validation": self.best_validation,
                "idle": self.idle,
                "cpu_s": self.cpu_s,
                "recipe": self.recipe,
            },
            part,
        )
        os.replace(part, self.checkpoint)

    def resume(self) -> None:
        """Goes on from the checkpoint. InputError if it is damaged or of another configuration."""
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:
            raise InputError(
                f"{self.checkpoint}: cannot be read ({type(error).__name__}); remove it to start again"
            ) from error
        if state["recipe"] != self.recipe:
            raise InputError(
                f"{self.checkpoint}: was made with other settings or data; use the same or another --out"
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best_step = state["step"], state["best_step"]
        self.best_validation, self.cpu_s = state["best_validation"], state["cpu_s"]
        self.idle = state["idle"]

    def advance(self, batch: Batch) -> dict[str, float]:
        """One step of optimisation; gives back the terms of the loss."""
        c = self.config
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = c.rate_at(self.step)
        with precision(self.device):
            loss, terms = objective(self.model, self.average.encoder, batch, c.objective, self.step / c.steps)
        if not torch.isfinite(loss):
            raise DivergedError(f"the loss is not finite at step {self.step}; lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.crew.average(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.gradient_clip)
        self.optimizer.step()
        keep = min(c.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        self.step += 1
        return terms

    def judge(self, validation: BatchSource) -> dict[str, float]:
        """Validates the weight average and keeps it if it is the best so far."""
        figures = validate(self.average, validation)
        self.idle += 1
        if not self.best_validation or figures["choice"] < self.best_validation["choice"]:
            self.best = copy.deepcopy(self.average.state_dict())
            self.best_step, self.best_validation, self.idle = self.step, figures, 0
        return figures

    @property
    def tired(self) -> bool:
        """Whether it has not become better for so long that it should stop."""
        return 0 < self.config.patience <= self.idle


Log = Callable[[int, dict[str, float]], None]


def fit(
    model: WorldModel,
    source: BatchSource,
    validation: BatchSource,
    config: TrainConfig,
    run: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    fingerprint: str = "",
    log: Log = lambda step, figures: None,
    crew: Crew | None = None,
    anchored: bool = False,
) -> Fit:
    """Trains a model to the end of its schedule and gives back the best weight average by validation.

    `fingerprint` stands for everything else that decides the outcome (data, augmentation, ...): a
    checkpoint with another one is not resumed. With `patience` it ends earlier. `anchored` keeps the anchors
    that the model has, as where it starts from trained weights.
    Figures go to `run/metrics.jsonl` and to `log`; a checkpoint is written every 100 steps,
    at every validation and on Ctrl-C. In a `crew` process 0 alone validates, writes and logs, and what it
    gives back is what counts.
    """
    crew = crew or Alone()
    trainer = Trainer(model, config, run, device or torch.device("cpu"), fingerprint, crew)
    run.mkdir(parents=True, exist_ok=True)
    if resume and trainer.checkpoint.exists():
        trainer.resume()
    else:
        if crew.rank == 0:
            (run / "metrics.jsonl").unlink(missing_ok=True)
        if not anchored:
            set_anchors(trainer.model, source, config.seed)
        trainer.start_averages()
    began, spent = time.process_time(), trainer.cpu_s
    wall, scenes = time.perf_counter(), 0
    try:
        while trainer.step < config.steps:
            # Each process of a crew takes batches that no other takes.
            batch = source.batch_at(trainer.step * crew.size + crew.rank, config.seed)
            scenes += batch.inputs.agent_mask.shape[0] * crew.size
            figures = trainer.advance(batch)
            trainer.cpu_s = spent + time.process_time() - began
            due = trainer.step % config.validate_every == 0 or trainer.step == config.steps
            if crew.rank == 0:
                figures["scenes_per_s"] = scenes / (time.perf_counter() - wall)
                _write_down(trainer, validation, figures, due)
                log(trainer.step, figures)
            if due and crew.agree(trainer.tired):
                break
    except KeyboardInterrupt:
        if crew.rank == 0:
            trainer.save()
        raise
    trainer.average.load_state_dict(trainer.best)
    return Fit(
        model=trainer.average.eval(),
        best_step=trainer.best_step,
        validation=trainer.best_validation,
        effective_rank=trainer.best_validation.get("effective_rank", 0.0),
        cpu_minutes=trainer.cpu_s / 60,
    )


def _write_down(trainer: Trainer, validation: BatchSource, figures: dict[str, float], due: bool) -> None:
    """Validates where that is due, and saves then and every 100 steps."""
    if due:
        figures |= {f"val/{k}": v for k, v in trainer.judge(validation).items()}
        line = {"step": trainer.step, "cpu_s": trainer.cpu_s, **figures}
        with (trainer.run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    if due or trainer.step % SAVE_EVERY == 0:
        trainer.save()
