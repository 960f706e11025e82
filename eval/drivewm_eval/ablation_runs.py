"""An ablation done: episodes read once, every run trained and judged, all of it resumable.

A run lies in OUT/ARM/rate_R/seedN: the bundle as `drivewm train` leaves it, and `figures.json`, written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from drivewm.bundle import write_text
from drivewm.errors import DivergedError, InputError
from drivewm_datasets.drive import Drive
from drivewm_datasets.fitting import RESULT, recipe_hash, run_training
from drivewm_datasets.material import fingerprint
from drivewm_datasets.plans import PRESETS
from drivewm_eval.ablation import Outcome, Run, chosen_rate, config_of, table_of
from drivewm_eval.forks import Tell, call_all
from drivewm_eval.rooms import examine, read_drives, subject_of

FIGURES = "figures.json"
REPORT_EVERY = 10  # steps between two reports of how far a run is


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """What an ablation learns from, what chooses rates and checkpoints, what judges."""

    training: list[Drive]
    validation: list[Drive]
    test: list[Drive]

    def __post_init__(self) -> None:
        """InputError where an episode plays two parts."""
        owner: dict[str, str] = {}
        for option, drives in (("data", self.training), ("validation", self.validation), ("test", self.test)):
            for drive in drives:
                key = drive.hash or "/".join(drive.name)
                if owner.setdefault(key, option) != option:
                    raise InputError(
                        f"episode {'/'.join(drive.name)} is in --{owner[key]} and in --{option}; "
                        "an episode may play one part"
                    )


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What is to be done. The first seed sweeps the rates; `arms` have the whole model among them."""

    preset: str
    arms: tuple[str, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    minutes: float  # of the CPU that a run may take
    out: Path
    jobs: int = 1

    @property
    def sweep(self) -> dict[str, list[Run]]:
        return {a: [Run(arm=a, rate=r, seed=self.seeds[0]) for r in self.rates] for a in self.arms}

    @property
    def trained_steps(self) -> int:
        """Of all runs together."""
        return self.steps * len(self.arms) * (len(self.rates) + len(self.seeds) - 1)


def read_episodes(
    data: Sequence[Path],
    validation: Sequence[Path],
    test: Sequence[Path],
    *,
    preset: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Episodes:
    bev = PRESETS[preset](preset).model.bev is not None
    training, held, judges = (
        read_drives(paths, bev=bev, progress=progress) for paths in (data, validation, test)
    )
    return Episodes(training=training, validation=held, test=judges)


def check_parts(arms: Sequence[str], episodes: Episodes) -> None:
    """InputError where the episodes cannot tell what a part is worth."""
    if not any(drive.branches for drive in episodes.test):
        raise InputError("--test: the episodes hold no branches; collect some with --branches")
    if "branches" in arms and not any(drive.branches for drive in episodes.training):
        raise InputError(
            "--data: the episodes hold no branches; collect some with --branches, "
            "or leave out the arm branches"
        )
    if "bev" in arms and not any(drive.bev for drive in episodes.training):
        raise InputError(
            "--data: the episodes hold no bird's-eye grids; collect some with --sensors images, "
            "or leave out the arm bev"
        )


def ablate(plan: Ablation, episodes: Episodes, tell: Tell = lambda label, step: None) -> dict[str, Any]:
    """Trains and judges what is not there yet, and gives back the table (`ablation.table_of`)."""
    test_hash = fingerprint(episodes.test)
    for arm in plan.arms:
        for rate in plan.rates:
            for seed in plan.seeds:
                _check_standing(plan, episodes, Run(arm=arm, rate=rate, seed=seed), test_hash)
    do = partial(_do, plan, episodes, test_hash)
    sweeps = _all(plan, plan.sweep, partial(do, False), tell)
    rates = {arm: chosen_rate(outcomes) for arm, outcomes in sweeps.items()}
    runs = {
        arm: [Run(arm=arm, rate=rate, seed=seed) for seed in plan.seeds] if rate is not None else []
        for arm, rate in rates.items()
    }
    kept = _all(plan, runs, partial(do, True), tell)
    return {
        "preset": plan.preset,
        "steps": plan.steps,
        "rates": list(plan.rates),
        "seeds": list(plan.seeds),
        "minutes": plan.minutes,
        "episodes": {
            "training": len(episodes.training),
            "validation": len(episodes.validation),
            "test": len(episodes.test),
            "test_towns": sorted({drive.town for drive in episodes.test}),
            "test_sha256": test_hash,
        },
        **table_of(sweeps, kept, plan.minutes),
    }


def _all(
    plan: Ablation, runs: Mapping[str, Sequence[Run]], do: Callable[..., Outcome], tell: Tell
) -> dict[str, list[Outcome]]:
    """The outcomes of all runs, by arm."""
    calls = {run.label: partial(do, run) for listed in runs.values() for run in listed}
    found = call_all(calls, plan.jobs, tell)
    return {arm: [found[run.label] for run in listed] for arm, listed in runs.items()}


def _do(
    plan: Ablation, episodes: Episodes, test_hash: str, judge: bool, run: Run, tell: Callable[[int], None]
) -> Outcome:
    """One run, as far as it is not done: trained, and judged where that is asked for."""
    folder = plan.out / run.folder
    known = _outcome_in(folder)
    outcome = known or _trained(plan, episodes, run, tell)
    tell(plan.steps)
    if judge and not outcome.rooms and not outcome.diverged:
        subject = subject_of(str(folder))
        rooms = ["motion", "stability", *(["counterfactuals"] if subject.takes_plans else [])]
        found = examine(episodes.test, subject, rooms)["rooms"]
        outcome = replace(outcome, rooms=found, judged_on=test_hash)
    if outcome != known:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FIGURES, json.dumps(outcome.to_dict(), indent=1))
    return outcome


def _trained(plan: Ablation, episodes: Episodes, run: Run, tell: Callable[[int], None]) -> Outcome:
    """The run trained to its end, or until it diverged; what is half done goes on where it stood."""
    folder, config = plan.out / run.folder, config_of(plan.preset, run, plan.steps)
    recipe = recipe_hash(episodes.training, episodes.validation, config)

    def log(step: int, figures: dict[str, float]) -> None:
        if step % REPORT_EVERY == 0:
            tell(step)

    try:
        run_training(episodes.training, episodes.validation, config, folder, resume=True, log=log)
    except DivergedError as error:
        return Outcome(run=run, recipe=recipe, diverged=str(error))
    result = json.loads((folder / RESULT).read_text())
    return Outcome(
        run=run,
        recipe=recipe,
        cpu_minutes=result["cpu_minutes"],
        validation=result["validation"],
        effective_rank=result["effective_rank"],
    )


def _outcome_in(folder: Path) -> Outcome | None:
    path = folder / FIGURES
    return Outcome.from_dict(_json_in(path)) if path.exists() else None


def _json_in(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it to make it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no table of figures; remove it to make it again")
    return content


def _check_standing(plan: Ablation, episodes: Episodes, run: Run, test_hash: str) -> None:
    """InputError where the folder of a run holds one of another recipe, or judged on other episodes."""
    folder = plan.out / run.folder
    for file, key in ((RESULT, "fingerprint"), (FIGURES, "recipe")):
        if not (folder / file).exists():
            continue
        config = config_of(plan.preset, run, plan.steps)
        found = _json_in(folder / file)
        if found.get(key) != recipe_hash(episodes.training, episodes.validation, config):
            raise InputError(
                f"{folder}: was trained with other settings or data; use the same ones or another --out"
            )
        if found.get("judged_on") not in (None, "", test_hash):
            raise InputError(f"{folder}: was judged on other episodes; use the same --test or another --out")
