"""What to train: presets and protocols to a list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drivewm.model import ModelConfig
from drivewm.training import TrainConfig
from drivewm_datasets.fitting import RunConfig, split_by_scene
from drivewm_datasets.loader import PEDESTRIANS, STREET
from drivewm_datasets.protocols import TEST_SCENES, folds
from drivewm_datasets.recording import Recording
from drivewm_datasets.store import read_recordings


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run: which data, which fold of a protocol (or None), where to, with which settings."""

    label: str
    data: tuple[Path, ...]
    fold: str | None
    run: Path
    config: RunConfig

    def recordings(self) -> tuple[Sequence[Recording], Sequence[Recording]]:
        """Training and validation recordings."""
        every = read_recordings(list(self.data))
        if self.fold is None:
            return split_by_scene(every)
        fold = next(f for f in folds(every) if f.name == self.fold)
        return fold.train, fold.validation


def nano(name: str) -> RunConfig:
    """Tracks and map, any mix of pedestrians, cyclists and vehicles."""
    return RunConfig(
        name=name,
        model=ModelConfig(),
        train=TrainConfig(steps=3000, learning_rate=2e-3, weight_decay=0.05, validate_every=500),
        augmentation=STREET,
        validate_every_s=2.0,  # simulated episodes are many
    )


def eth_ucy(name: str) -> RunConfig:
    """The published pedestrian protocol: no map; 20 joint modes, since the field reports the best of 20."""
    return RunConfig(
        name=name,
        model=ModelConfig(joint_modes=20, use_map=False, polylines=0),
        train=TrainConfig(steps=1500, learning_rate=2e-3, weight_decay=0.1),
        augmentation=PEDESTRIANS,
        batch_agents=512,
    )


def plan_runs(
    *,
    data: Sequence[Path],
    out: Path,
    preset: str,
    protocol: str | None,
    seeds: Sequence[int],
    steps: int | None,
    learning_rate: float | None,
    latent: float | None,
    licence: str,
    name: str | None,
) -> list[RunPlan]:
    """The runs in the order in which they are trained: seed by seed, fold by fold.

    Without a protocol and with one seed the run is `out` itself; otherwise `out/FOLD/seedN` or `out/seedN`.
    """
    plans = []
    for seed in seeds:
        for fold in TEST_SCENES if protocol else (None,):
            base = eth_ucy(name or f"{preset}-eth-ucy-{fold}") if fold else nano(name or preset)
            changes = {"seed": seed, "steps": steps, "learning_rate": learning_rate}
            train = replace(base.train, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
            if latent is not None:
                train = replace(train, objective=replace(train.objective, latent=latent))
            run = out / fold / f"seed{seed}" if fold else (out if len(seeds) == 1 else out / f"seed{seed}")
            plans.append(
                RunPlan(
                    label=f"{fold or base.name} seed {seed}",
                    data=tuple(data),
                    fold=fold,
                    run=run,
                    config=replace(base, train=train, licence=licence),
                )
            )
    return plans
