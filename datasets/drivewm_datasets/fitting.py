"""One training run: recordings and drives in, a bundle with its card out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from drivewm import __version__
from drivewm.bundle import write_text
from drivewm.calibrate import calibrate
from drivewm.checkpoint import Bundle, load_bundle, save_bundle
from drivewm.crew import Crew
from drivewm.errors import InputError
from drivewm.model import ModelConfig, WorldModel
from drivewm.training import Fit, Log, TrainConfig, autocasts, fit
from drivewm_datasets.augment import DRIVE, RECORDED, Augmentation
from drivewm_datasets.card import model_card
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.loader import Loader
from drivewm_datasets.material import Material, agents_of, fingerprint, hours_of
from drivewm_datasets.mixture import Mixture
from drivewm_datasets.recording import Recording
from drivewm_datasets.street_windows import AsRecorded, answers, street_windows
from drivewm_datasets.ticks import Pair, Ticks, pairs_of
from drivewm_datasets.windows import TimeLayout, TrainingWindow, training_windows

M = TypeVar("M", Recording, Drive, Material)
VALIDATION_SHARE = 0.1
ANSWER_WEIGHT = 3.0  # how much more often a branched moment is drawn for each agent who answers the plan
MOST_ANSWERS = 3
RESULT = "result.json"
"""Written last into a run folder: its presence says that the run is finished."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run learns."""

    name: str
    model: ModelConfig
    train: TrainConfig
    augmentation: Augmentation  # of recordings
    drive_augmentation: Augmentation = DRIVE
    batch_agents: int = 384  # padding and plans included
    branch_share: float = 0.4  # of the steps on drives that learn from branched moments
    branch_plans: int = 3  # of a branched moment at a time
    tick_share: float = 0.25  # of the steps on drives that see two ticks of each scene
    recorded_share: float = 0.1  # of the steps on drives that see them as a recording would show them
    weights: dict[str, float] = field(default_factory=dict)  # by data set; default: as it has windows
    every: float = 0.4  # seconds between training windows
    validate_every_s: float = 0.4  # seconds between validation windows
    licence: str = "not stated"
    init: str | None = None  # a bundle whose weights it starts from, where names and shapes agree
    only: tuple[str, ...] = ()  # beginnings of the names of the weights that learn; empty: all


def split_by_scene(recordings: Sequence[M]) -> tuple[list[M], list[M]]:
    """Training and validation scenes: a tenth of the scenes (at least one) validates.

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


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of some scenes, by how they are learned from."""

    by_set: dict[tuple[str, bool], list[TrainingWindow]]  # (data set, whether of drives)
    branched: list[TrainingWindow]
    ticks: list[Pair] = field(default_factory=list)  # of drives

    @property
    def count(self) -> int:
        return sum(map(len, self.by_set.values()))

    @property
    def agents(self) -> int:
        return sum(len(window.kind) for listed in self.by_set.values() for window in listed)


def windows_of(items: Sequence[Material], layout: TimeLayout, every: float, branches: bool) -> Windows:
    by_set: dict[tuple[str, bool], list[TrainingWindow]] = {}
    branched: list[TrainingWindow] = []
    ticks: list[Pair] = []
    for item in items:
        listed = by_set.setdefault((item.dataset, isinstance(item, Drive)), [])
        if isinstance(item, Drive):
            driven = list(street_windows(item, layout, every))
            listed += driven
            ticks += pairs_of(driven, round(layout.grid.step / FRAME_S))
            if branches:
                branched += street_windows(item, layout, every, branches=True)
        else:
            listed += training_windows(item, layout, every)
    return Windows(
        by_set={key: listed for key, listed in by_set.items() if listed}, branched=branched, ticks=ticks
    )


def training_source(windows: Windows, layout: TimeLayout, config: RunConfig) -> Mixture:
    """All windows as one source of batches: data sets by weight, branched moments beside drives."""
    model = config.model
    plain = Loader(
        windows=(),
        layout=layout,
        agents=config.batch_agents,
        sizes=model.sizes,
        later=config.train.objective.latent > 0,
        occupancy=model.occupancy,
    )
    loaders: list[Loader | Ticks] = []
    weights = []
    beside = _beside_plain(windows, layout, config, plain)
    rest = 1 - sum(share for _, share in beside)
    if rest <= 0:
        raise ValueError(f"the shares of steps on drives must leave some for plain windows, got {1 - rest:g}")
    on_drives = 0.0
    for (dataset, driven), listed in windows.by_set.items():
        how = config.drive_augmentation if driven else config.augmentation
        loaders.append(replace(plain, windows=listed, augmentation=how))
        weight = config.weights.get(dataset, float(len(listed)))
        weights.append(weight * rest if driven else weight)
        on_drives += weight if driven else 0.0
    loaders += [loader for loader, _ in beside]
    weights += [on_drives * share for _, share in beside]
    return Mixture(loaders, weights)


def _beside_plain(
    windows: Windows, layout: TimeLayout, config: RunConfig, plain: Loader
) -> list[tuple[Loader | Ticks, float]]:
    """What else is learned from drives, and in which share of the steps on them."""
    out: list[tuple[Loader | Ticks, float]] = []
    if windows.ticks and config.tick_share > 0:
        ticks = Ticks(
            pairs=windows.ticks,
            layout=layout,
            agents=config.batch_agents,
            sizes=plain.sizes,
            augmentation=config.drive_augmentation,
            later=plain.later,
            occupancy=plain.occupancy,
        )
        out.append((ticks, config.tick_share))
    driven = [w for (_, drives), listed in windows.by_set.items() if drives for w in listed]
    shown = [w for w in driven if w.valid[:, layout.now].any()]
    if shown and config.recorded_share > 0:
        bare = AsRecorded(shown, layout.now)
        recorded = replace(plain, windows=bare, augmentation=RECORDED, occupancy=False)
        out.append((recorded, config.recorded_share))
    if windows.branched:
        # Never cropped: of those who react to the ego half would be left, and often the ego itself would not.
        how = replace(config.drive_augmentation, drop_plan=0.0, crop=0.0)
        branch = replace(plain, windows=windows.branched, augmentation=how, later=False, occupancy=False)
        weights = [1 + ANSWER_WEIGHT * min(answers(w), MOST_ANSWERS) for w in windows.branched]
        out.append((replace(branch, plans=config.branch_plans, weights=weights), config.branch_share))
    return out


def validation_source(windows: Windows, layout: TimeLayout, config: RunConfig) -> Mixture:
    """Every window once, as it is, under the null plan."""
    sizes = config.model.sizes
    plain = Loader(windows=(), layout=layout, agents=config.batch_agents, sizes=sizes, later=False)
    loaders = [replace(plain, windows=listed) for listed in windows.by_set.values()]
    return Mixture(loaders, [1.0] * len(loaders))


def run_training(
    training: Sequence[Material],
    validation: Sequence[Material],
    config: RunConfig,
    run: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    log: Log = lambda step, figures: None,
    crew: Crew | None = None,
) -> Bundle | None:
    """Trains, calibrates and writes the bundle into `run`; in a `crew` process 0 does, others give None."""
    recipe = recipe_hash(training, validation, config)
    finished = run / RESULT
    if resume and finished.exists():
        if json.loads(finished.read_text()).get("fingerprint") != recipe:
            raise InputError(
                f"{run}: was trained with other settings or data; use the same ones or another --out"
            )
        return load_bundle(run)
    layout = TimeLayout(config.model.grid, config.model.chunks)
    branches = config.model.use_plan and config.branch_share > 0
    windows = windows_of(training, layout, config.every, branches)
    held = windows_of(validation, layout, config.validate_every_s, False)
    if not windows.count or not held.count:
        lacking = "training" if not windows.count else "validation"
        raise InputError(
            f"the {lacking} scenes hold no agent with two positions of history and "
            f"{config.model.grid.horizons[-1]:g} s of future; record longer scenes"
        )
    torch.manual_seed(config.train.seed)
    source = training_source(windows, layout, config)
    check = validation_source(held, layout, config)
    model, anchored = _start(config)
    result = fit(
        model,
        source,
        check,
        config.train,
        run,
        device=device,
        resume=resume,
        fingerprint=recipe,
        log=log,
        crew=crew,
        anchored=anchored,
    )
    if crew is not None and crew.rank > 0:
        return None
    bundle = Bundle(
        name=config.name,
        model=result.model.to("cpu"),
        calibration=calibrate(result.model, check),
        trained_on=tuple(r.name for r in training),
        validated_on=tuple(r.name for r in validation),
        provenance=_provenance(training, validation, windows, config, result, device or torch.device("cpu")),
    )
    saved = save_bundle(run, bundle, card=model_card(bundle))
    result_json = {"hash": saved.hash, "fingerprint": recipe, **saved.provenance}
    write_text(run / RESULT, json.dumps(result_json, indent=1))
    return saved


def _start(config: RunConfig) -> tuple[WorldModel, bool]:
    """The model to begin with, and whether it has its anchors. InputError where nothing fits or learns."""
    model, anchored = WorldModel(config.model), False
    if config.init is not None:
        have = load_bundle(config.init).model.state_dict()
        mine = model.state_dict()
        fits = {name: w for name, w in have.items() if name in mine and mine[name].shape == w.shape}
        if not fits:
            raise InputError(f"--init {config.init}: none of its weights fits this preset; use another")
        model.load_state_dict(fits, strict=False)
        anchored = "anchors" in fits
    if config.only:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(config.only))
        if not any(p.requires_grad for p in model.parameters()):
            raise InputError(f"--only {' '.join(config.only)}: no weight is named so")
    return model, anchored


def recipe_hash(training: Sequence[Material], validation: Sequence[Material], config: RunConfig) -> str:
    """One hash of all that decides what a run learns: its settings and its scenes."""
    parts = [repr(config), fingerprint(training), fingerprint(validation)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _provenance(
    training: Sequence[Material],
    validation: Sequence[Material],
    windows: Windows,
    config: RunConfig,
    result: Fit,
    device: torch.device,
) -> dict[str, Any]:
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
        "drive_augmentation": asdict(config.drive_augmentation),
        "branch_share": config.branch_share,
        "recorded_share": config.recorded_share,
        "batch_agents": config.batch_agents,
        "device": str(device),
        "precision": "bf16 autocast" if autocasts(device) else "float32",
        "data": {
            "licence": config.licence,
            "datasets": sorted({r.dataset for r in training}),
            "training_scenes": len(training),
            "validation_scenes": len(validation),
            "windows": windows.count,
            "branched_moments": len(windows.branched),
            "agents": sum(map(agents_of, training)),
            "hours": round(sum(map(hours_of, training)), 3),
            "training_sha256": fingerprint(training),
            "validation_sha256": fingerprint(validation),
        },
    }
