"""What to train: presets and protocols to a list of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from drivewm.bev import BevSpec
from drivewm.model import ModelConfig
from drivewm.training import TrainConfig
from drivewm_datasets.augment import PEDESTRIANS, STREET
from drivewm_datasets.fitting import RunConfig, split_by_scene
from drivewm_datasets.material import Material, read_material
from drivewm_datasets.protocols import SCENES, TEST_SCENES, folds, held_out, without_copies
from drivewm_datasets.store import read_recordings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run: which data, which fold of a protocol (or None), where to, with which settings."""

    label: str
    data: tuple[Path, ...]
    fold: str | None
    run: Path
    config: RunConfig
    validation: tuple[Path, ...] = ()  # empty: a tenth of the scenes of `data`
    hold_out: bool = False  # whether the scenes that the protocol `scenes` tests on are left out

    def material(
        self, progress: Progress = lambda done, total: None
    ) -> tuple[list[Material], list[Material]]:
        """Training and validation scenes."""
        if self.fold is not None:
            fold = next(f for f in folds(read_recordings(list(self.data))) if f.name == self.fold)
            return list(fold.train), list(fold.validation)
        bev = self.config.model.bev is not None
        every = read_material(self.data, bev=bev, progress=progress)
        if self.hold_out:
            names = [item.name for item in every]
            kept = without_copies(names) - held_out(names)
            every = [item for item in every if item.name in kept]
        if not self.validation:
            return split_by_scene(every)
        return every, read_material(self.validation, bev=bev, progress=progress)


def nano(name: str) -> RunConfig:
    """Tracks, map, signals and the ego's plan; any mix of pedestrians, cyclists and vehicles."""
    return RunConfig(
        name=name,
        model=ModelConfig(
            use_signals=True,
            use_plan=True,
            plan_awareness=True,
            reaction_layers=1,
            start=True,
            street_heads=True,
        ),
        train=TrainConfig(steps=6500, learning_rate=2e-3, weight_decay=0.05, validate_every=500),
        augmentation=STREET,
        validate_every_s=2.0,  # simulated episodes are many
    )


def base(name: str) -> RunConfig:
    """`nano`, wider, with the bird's-eye grid and what it says of those who have no track; wheels start where
    the tracker has them, and a plan is seen from each mode's own path."""
    small = nano(name)
    model = replace(small.model, dim=96, start=False, plan_by_mode=True, bev=BevSpec(), occupancy=True)
    train = replace(small.train, steps=6200, learning_rate=1.5e-3, validate_every=1240)
    return replace(small, model=model, train=train)


PRESETS = {"nano": nano, "base": base}
Part = Literal["map", "bev", "plan", "branches", "latent", "collapse", "steady"]


def without(config: RunConfig, parts: Sequence[Part]) -> RunConfig:
    """The same run without these parts: what each of them is worth is what is lost without it."""
    model, goal = config.model, config.train.objective
    for part in parts:
        if part == "map":
            model = replace(model, use_map=False, use_signals=False, polylines=0)
        elif part == "bev":
            model = replace(model, bev=None, occupancy=False)
        elif part == "plan":
            model = replace(model, use_plan=False)
        elif part == "branches":
            config = replace(config, branch_share=0.0)
        elif part == "latent":
            goal = replace(goal, latent=0.0)
        elif part == "collapse":
            goal = replace(goal, collapse=0.0)
        elif part == "steady":
            goal = replace(goal, steady=0.0)
        else:
            raise ValueError(f"no part {part!r}; there are {', '.join(get_args(Part))}")
    return replace(config, model=model, train=replace(config.train, objective=goal))


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
    validation: Sequence[Path] = (),
    parts_left_out: Sequence[Part] = (),
    weights: Mapping[str, float] | None = None,
    init: str | None = None,
    only: Sequence[str] = (),
) -> list[RunPlan]:
    """The runs in the order in which they are trained: seed by seed, fold by fold.

    Without folds and with one seed the run is `out` itself; otherwise `out/FOLD/seedN` or `out/seedN`.
    """
    plans = []
    for seed in seeds:
        for fold in (None,) if protocol in (None, SCENES) else TEST_SCENES:
            recipe = eth_ucy(name or f"{preset}-eth-ucy-{fold}") if fold else PRESETS[preset](name or preset)
            recipe = replace(without(recipe, parts_left_out), weights=dict(weights or {}))
            recipe = replace(recipe, init=init, only=tuple(only))
            changes = {"seed": seed, "steps": steps, "learning_rate": learning_rate}
            train = replace(recipe.train, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
            if latent is not None:
                train = replace(train, objective=replace(train.objective, latent=latent))
            run = out / fold / f"seed{seed}" if fold else (out if len(seeds) == 1 else out / f"seed{seed}")
            plans.append(
                RunPlan(
                    label=f"{fold or recipe.name} seed {seed}",
                    data=tuple(data),
                    fold=fold,
                    run=run,
                    validation=tuple(validation),
                    hold_out=protocol == SCENES,
                    config=replace(recipe, train=train, licence=licence),
                )
            )
    return plans
