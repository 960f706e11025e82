"""drivewm evaluate: what is scored (windows by scene), by whom (model, baseline, table), and the summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drivewm.baselines import BASELINES, kinematic_forecast
from drivewm.checkpoint import find_bundle, load_bundle
from drivewm.errors import InputError
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm_datasets.protocols import MIN_AGENTS, TEST_SCENES, Window, folds, windows
from drivewm_datasets.recording import Recording
from drivewm_eval.evaluation import Forecaster, recording_windows, score_windows
from drivewm_eval.foreign import ForecastTables, score_tables
from drivewm_eval.paired import blocks, difference, interval, resampled_means
from drivewm_eval.scores import FIGURES, Summary, WindowScore, mean_of, summarize

Scorer = Callable[[Sequence[Window]], list[WindowScore]]
Announce = Callable[[str, int], Callable[[int], None]]  # (scene, windows) -> advance(count)


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Who is scored: for each scene one scorer a seed. `seen` are scenes its training held."""

    name: str
    scorers: Callable[[str], list[tuple[str, Scorer]]]  # scene -> (seed, scorer)
    seen: Callable[[str], frozenset[tuple[str, str]]] = lambda scene: frozenset()
    notes: list[str] = field(default_factory=list)


def scenes_of(
    recordings: Sequence[Recording], protocol: str | None, grid: TimeGrid, every: float
) -> dict[str, list[Window]]:
    """Windows by scene name, in the order of the table. InputError if there is nothing to score."""
    if protocol:
        found = {
            f.name: [w for r in f.test for w in windows(r, MIN_AGENTS[protocol])] for f in folds(recordings)
        }
    else:
        found = {"/".join(r.name): list(recording_windows(r, grid, every)) for r in recordings}
        found = {name: listed for name, listed in found.items() if listed}
    if not any(found.values()):
        raise InputError(
            "nothing to score: no agent has two positions of history and "
            f"{grid.horizons[-1]:g} s of recorded future"
        )
    return found


def _scorer(forecaster: Forecaster, grid: TimeGrid) -> Scorer:
    return lambda listed: score_windows(listed, forecaster, grid)


def baseline_entrant(name: str, grid: TimeGrid) -> Entrant:
    """A kinematic forecaster by name."""
    model = BASELINES[name]
    scorer = _scorer(lambda scenes: [kinematic_forecast(s, grid, model) for s in scenes], grid)
    return Entrant(name=name, scorers=lambda scene: [("", scorer)])


def table_entrant(paths: Sequence[Path], grid: TimeGrid) -> Entrant:
    """Forecast tables written by anybody."""
    tables = ForecastTables(paths, grid)
    scorer: Scorer = lambda listed: score_tables(listed, tables, grid)  # noqa: E731
    notes = [] if "joint" in tables.by_head else ["no joint table: the joint figures are left out"]
    if "marginal" not in tables.by_head:
        notes.append("no marginal table: the figures per agent come from the joint modes")
    return Entrant(name=", ".join(str(p) for p in paths), scorers=lambda scene: [("", scorer)], notes=notes)


def fold_runs(weights: str, scenes: Sequence[str]) -> dict[str, list[Path]] | None:
    """Bundle folders of a protocol run by scene, WEIGHTS/FOLD/seedN; None if it is no such run."""
    root = Path(weights)
    runs = {s: sorted(p.parent for p in root.glob(f"{s}/seed*/config.json")) for s in scenes}
    if not any(runs.values()):
        return None
    missing = [s for s, found in runs.items() if not found]
    if missing:
        raise InputError(
            f"{weights}: no finished run of {', '.join(missing)}; go on with drivewm train --resume"
        )
    counts = {s: len(found) for s, found in runs.items()}
    if len(set(counts.values())) > 1:
        raise InputError(
            f"{weights}: folds have different numbers of seeds ({counts}); go on with drivewm train --resume"
        )
    return runs


def weights_entrant(weights: str, scenes: Sequence[str], protocol: str | None) -> tuple[Entrant, TimeGrid]:
    """A bundle, or with a protocol a run folder that holds a model a fold (and seed)."""
    runs = fold_runs(weights, list(TEST_SCENES)) if protocol else None
    if runs is None:
        bundle = load_bundle(find_bundle(weights))
        grid = bundle.model.config.grid
        scorer = _scorer(TorchForecaster(bundle), grid)
        seen = frozenset(bundle.trained_on)
        return Entrant(name=bundle.name, scorers=lambda s: [("", scorer)], seen=lambda s: seen), grid
    bundles = {scene: [(p.name, load_bundle(p)) for p in paths] for scene, paths in runs.items()}
    grid = next(iter(bundles.values()))[0][1].model.config.grid

    def scorers(scene: str) -> list[tuple[str, Scorer]]:
        return [(seed, _scorer(TorchForecaster(b), grid)) for seed, b in bundles[scene]]

    def seen_by_fold(scene: str) -> frozenset[tuple[str, str]]:
        return frozenset(pair for _, b in bundles[scene] for pair in b.trained_on)

    return Entrant(name=weights, scorers=scorers, seen=seen_by_fold), grid


def evaluate(
    scenes: dict[str, list[Window]],
    entrant: Entrant,
    grid: TimeGrid,
    protocol: str | None,
    announce: Announce = lambda scene, count: lambda done: None,
) -> dict[str, Any]:
    """All figures of an entrant beside constant velocity, and the paired difference of the most likely ADE.

    The average over scenes is unweighted under a protocol and weighted by agents otherwise.
    """
    cv = baseline_entrant("cv", grid).scorers("")[0][1]
    ours: dict[str, list[Summary]] = {}
    theirs: dict[str, Summary] = {}
    gaps: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    notes = list(entrant.notes)
    for scene, listed in scenes.items():
        advance = announce(scene, len(listed))
        seen = {w.recording.name for w in listed} & entrant.seen(scene)
        if seen:
            notes.append(f"{scene}: in the training data of {entrant.name}")
        scores = [scorer(listed) for _, scorer in entrant.scorers(scene)]
        ours[scene] = [summarize(s) for s in scores]
        straight = cv(listed)
        theirs[scene] = summarize(straight)
        parts = [difference(s, straight, "top1_ade") for s in scores]
        gaps[scene] = blocks(np.mean([p[0] for p in parts], axis=0), parts[0][1])
        advance(len(listed))
    by_agents = protocol is None
    seeds = max(len(s) for s in ours.values())
    averages = [mean_of([s[i] for s in ours.values()], by_agents) for i in range(seeds)]
    return {
        "protocol": protocol or "recordings",
        "forecaster": entrant.name,
        "average": _over_seeds(averages),
        "scenes": {scene: _over_seeds(listed) for scene, listed in ours.items()},
        "seeds": seeds,
        "spread": _spread(averages) if seeds > 1 else None,
        "constant_velocity": {"average": mean_of(list(theirs.values()), by_agents), "scenes": theirs},
        "top1_ade_minus_cv": _paired(gaps, by_agents),
        "notes": notes,
    }


def _paired(gaps: dict[str, tuple[np.ndarray, np.ndarray]], by_agents: bool) -> dict[str, Any]:
    """Mean difference and 95 % interval by scene and on average, from each scene's blocks.

    The average over scenes resamples every scene by itself; the average over agents all blocks together.
    """
    rng = np.random.default_rng(0)
    means = {scene: resampled_means(*parts, rng) for scene, parts in gaps.items()}
    exact = {scene: float(total.sum() / agents.sum()) for scene, (total, agents) in gaps.items()}
    scenes: dict[str, dict[str, float | None]] = {}
    for scene, (total, _) in gaps.items():
        low, high = interval(means[scene], len(total))
        scenes[scene] = {"mean": exact[scene], "low": low, "high": high}
    if by_agents:
        total, agents = (np.concatenate([g[i] for g in gaps.values()]) for i in (0, 1))
        mean, draws, independent = (
            float(total.sum() / agents.sum()),
            resampled_means(total, agents, rng),
            len(total),
        )
    else:
        mean, draws = float(np.mean(list(exact.values()))), np.mean(list(means.values()), axis=0)
        independent = min(len(total) for total, _ in gaps.values())
    low, high = interval(draws, independent)
    return {"average": {"mean": mean, "low": low, "high": high}, "scenes": scenes}


def _over_seeds(summaries: Sequence[Summary]) -> Summary:
    out: Summary = {}
    for name in FIGURES:
        values = [s[name] for s in summaries]
        out[name] = None if any(v is None for v in values) else float(np.mean(values))  # type: ignore[arg-type]
    return {**out, "n_windows": summaries[0]["n_windows"], "n_agents": summaries[0]["n_agents"]}


def _spread(averages: Sequence[Summary]) -> dict[str, float | None]:
    """Standard deviation over seeds of the average figures."""
    known = [name for name in FIGURES if averages[0][name] is not None]
    return {name: float(np.std([a[name] for a in averages], ddof=1)) for name in known}  # type: ignore[arg-type]
