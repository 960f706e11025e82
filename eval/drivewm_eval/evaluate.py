"""drivewm evaluate: what is scored (windows by scene), by whom (model, baseline, table), and the summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from drivewm.baselines import FAN_PROBABILITY, baseline_forecast
from drivewm.checkpoint import Bundle, find_bundle, load_bundle
from drivewm.errors import InputError
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_datasets.protocols import (
    MIN_AGENTS,
    OBSERVED,
    PREDICTED,
    SCENES,
    TEST_SCENES,
    Window,
    folds,
    held_out,
    windows,
)
from drivewm_datasets.recording import Recording
from drivewm_eval.evaluation import Forecaster, recording_windows, score_windows
from drivewm_eval.foreign import ForecastTables, score_tables
from drivewm_eval.paired import Blocks, blocks, difference, drawn_means, interval, pooled_mean
from drivewm_eval.scores import FIGURES, Summary, WindowScore, mean_of, summarize

Advance = Callable[[int], None]  # so many more windows are scored
Scorer = Callable[[Sequence[Window], Advance], list[WindowScore]]
SceneNames = frozenset[tuple[str, str]]  # (dataset, scene)

FIELD_K = 20
"""How many candidates the published figures of the protocol are the best of."""


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Who is scored: for each scene one scorer a seed.

    `seen` are the scenes its training held, `chosen_on` those that chose its checkpoint or calibrated it.
    """

    name: str
    scorers: Callable[[str], list[tuple[str, Scorer]]]  # scene -> (seed, scorer)
    candidates: int  # the best of how many is taken, an agent
    joint_modes: int | None  # of the whole scene; None where it has none
    seen: Callable[[str], SceneNames] = lambda scene: frozenset()
    chosen_on: Callable[[str], SceneNames] = lambda scene: frozenset()
    notes: list[str] = field(default_factory=list)


def scenes_of(
    recordings: Sequence[Recording],
    protocol: str | None,
    grid: TimeGrid,
    every: float,
    kind: str | None = None,
) -> dict[str, list[Window]]:
    """Windows by scene name, in the order of the table. InputError if there is nothing to score.

    `kind`: those of its agents alone who are of this kind ("pedestrian", ...).
    """
    if protocol == SCENES:
        names = held_out(r.name for r in recordings)
        recordings = [r for r in recordings if r.name in names]
    if protocol is not None and protocol in MIN_AGENTS:
        found = {
            f.name: [w for r in f.test for w in windows(r, MIN_AGENTS[protocol])] for f in folds(recordings)
        }
        empty = [name for name, listed in found.items() if not listed]
        if empty:
            raise InputError(
                f"protocol {protocol}: nothing to score in {', '.join(empty)}, expected a run of "
                f"{OBSERVED + PREDICTED} frames with {MIN_AGENTS[protocol]} complete agents; give it whole"
            )
    else:
        found = {"/".join(r.name): list(recording_windows(r, grid, every)) for r in recordings}
    if kind is not None:
        wanted = Kind[kind.upper()]
        found = {name: [k for w in listed if (k := _of_kind(w, wanted))] for name, listed in found.items()}
    if protocol not in MIN_AGENTS:
        found = {name: listed for name, listed in found.items() if listed}
    if not any(found.values()):
        raise InputError(
            f"nothing to score: no {kind or 'agent'} has two positions of history and "
            f"{grid.horizons[-1]:g} s of recorded future; give it longer recordings"
        )
    return found


def _of_kind(window: Window, kind: Kind) -> Window | None:
    """The window with its agents of one kind; None where there are none."""
    of_it = window.recording.kind[window.agents] == kind
    return replace(window, agents=window.agents[of_it], future=window.future[of_it]) if of_it.any() else None


def _scorer(forecaster: Forecaster, grid: TimeGrid) -> Scorer:
    return lambda listed, advance: score_windows(listed, forecaster, grid, advance)


def baseline_entrant(name: str, grid: TimeGrid) -> Entrant:
    """A forecaster that needs no training, by name."""
    scorer = _scorer(lambda scenes: [baseline_forecast(name, s, grid) for s in scenes], grid)
    modes = len(FAN_PROBABILITY) if name == "fan" else 1
    return Entrant(name=name, scorers=lambda scene: [("", scorer)], candidates=modes, joint_modes=modes)


def table_entrant(paths: Sequence[Path], grid: TimeGrid) -> Entrant:
    """Forecast tables written by anybody."""
    tables = ForecastTables(paths, grid)
    scorer: Scorer = lambda listed, advance: score_tables(listed, tables, grid, advance)  # noqa: E731
    notes = list(tables.notes)
    if tables.joint_modes is None:
        notes.append("no joint table: the joint figures are left out")
    if "marginal" not in tables.by_head:
        notes.append("no marginal table: the figures per agent come from the joint modes")
    return Entrant(
        name=", ".join(str(p) for p in paths),
        scorers=lambda scene: [("", scorer)],
        candidates=tables.candidates,
        joint_modes=tables.joint_modes,
        notes=notes,
    )


def fold_runs(weights: str, scenes: Sequence[str]) -> dict[str, list[Path]] | None:
    """Bundle folders of a protocol run by scene, WEIGHTS/FOLD/seedN; None if it is no such run.

    Every fold has the same seeds, in the same order: a seed's average is over models of that seed.
    """
    root = Path(weights)
    runs = {s: sorted(p.parent for p in root.glob(f"{s}/seed*/config.json")) for s in scenes}
    if not any(runs.values()):
        return None
    missing = [s for s, found in runs.items() if not found]
    if missing:
        raise InputError(
            f"{weights}: no finished run of {', '.join(missing)}; go on with drivewm train --resume"
        )
    wanted = sorted({p.name for found in runs.values() for p in found})
    for scene, found in runs.items():
        lacking = sorted(set(wanted) - {p.name for p in found})
        if lacking:
            raise InputError(
                f"{weights}: fold {scene} has no finished run of {', '.join(lacking)}, another fold has; "
                "go on with drivewm train --resume or remove it there"
            )
    return runs


def weights_entrant(weights: str, protocol: str | None) -> tuple[Entrant, TimeGrid]:
    """A bundle, or with a protocol a run folder that holds a model a fold (and seed)."""
    runs = fold_runs(weights, list(TEST_SCENES)) if protocol in MIN_AGENTS else None
    if runs is None:
        bundle = load_bundle(find_bundle(weights))
        return _bundles_entrant(bundle.name, lambda scene: [("", bundle)], bundle)
    bundles = {scene: [(p.name, load_bundle(p)) for p in paths] for scene, paths in runs.items()}
    return _bundles_entrant(weights, bundles.__getitem__, next(iter(bundles.values()))[0][1])


def _bundles_entrant(
    name: str, of: Callable[[str], list[tuple[str, Bundle]]], example: Bundle
) -> tuple[Entrant, TimeGrid]:
    """One bundle a seed for each scene; all have the sizes and the clock of the example."""
    sizes = example.model.config
    entrant = Entrant(
        name=name,
        scorers=lambda scene: [(seed, _scorer(TorchForecaster(b), sizes.grid)) for seed, b in of(scene)],
        candidates=sizes.candidates,
        joint_modes=sizes.joint_modes,
        seen=lambda scene: frozenset(pair for _, b in of(scene) for pair in b.trained_on),
        chosen_on=lambda scene: frozenset(pair for _, b in of(scene) for pair in b.validated_on),
    )
    return entrant, sizes.grid


def evaluate(
    scenes: dict[str, list[Window]],
    entrant: Entrant,
    grid: TimeGrid,
    protocol: str | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """All figures of an entrant beside constant velocity, and the paired difference of the most likely ADE.

    The average over scenes is unweighted under a protocol and weighted by agents otherwise. `progress`
    hears how many of all windows are scored, each counted once a seed and once for constant velocity.
    """
    straight = baseline_entrant("cv", grid)
    scorers = {scene: [scorer for _, scorer in entrant.scorers(scene)] for scene in scenes}
    total, done = sum(len(listed) * (len(scorers[s]) + 1) for s, listed in scenes.items()), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    ours: dict[str, list[Summary]] = {}
    theirs: dict[str, Summary] = {}
    gaps: dict[str, Blocks] = {}
    notes = [*entrant.notes, *_notes_on_modes(entrant, protocol)]
    for scene, listed in scenes.items():
        notes += _notes_on_scene(scene, {w.recording.name for w in listed}, entrant)
        scores = [scorer(listed, advance) for scorer in scorers[scene]]
        ours[scene] = [summarize(s) for s in scores]
        cv = straight.scorers(scene)[0][1](listed, advance)
        theirs[scene] = summarize(cv)
        parts = [difference(s, cv, "top1_ade") for s in scores]
        gaps[scene] = blocks(np.mean([p[0] for p in parts], axis=0), parts[0][1])
    by_agents = protocol not in MIN_AGENTS
    seeds = max(len(s) for s in ours.values())
    averages = [mean_of([s[i] for s in ours.values()], by_agents) for i in range(seeds)]
    return {
        "protocol": protocol or "recordings",
        "forecaster": entrant.name,
        "candidates": entrant.candidates,
        "joint_modes": entrant.joint_modes,
        "average": _over_seeds(averages),
        "scenes": {scene: _over_seeds(listed) for scene, listed in ours.items()},
        "seeds": seeds,
        "spread": _spread(averages) if seeds > 1 else None,
        "constant_velocity": {
            "candidates": straight.candidates,
            "joint_modes": straight.joint_modes,
            "average": mean_of(list(theirs.values()), by_agents),
            "scenes": theirs,
        },
        "top1_ade_minus_cv": _paired(gaps, by_agents),
        "notes": notes,
    }


def _notes_on_modes(entrant: Entrant, protocol: str | None) -> list[str]:
    """What keeps the figures of many modes from being compared with the published ones."""
    if protocol not in MIN_AGENTS:
        return []
    counts = {"candidates an agent": entrant.candidates, "joint modes": entrant.joint_modes or 0}
    return [
        f"{count} {what}: more than the {FIELD_K} of the protocol's published figures, not comparable"
        for what, count in counts.items()
        if count > FIELD_K
    ]


def _notes_on_scene(scene: str, names: set[tuple[str, str]], entrant: Entrant) -> list[str]:
    """Whether the entrant has met the scene's recordings before."""
    if names & entrant.seen(scene):
        return [f"{scene}: in the training data of {entrant.name}, by its name"]
    if names & entrant.chosen_on(scene):
        return [f"{scene}: in the data that chose and calibrated {entrant.name}, by its name"]
    return []


def _paired(gaps: dict[str, Blocks], by_agents: bool) -> dict[str, Any]:
    """Mean difference and 95 % interval by scene and on average, from each scene's blocks.

    The average over agents pools all blocks. That over scenes averages the scenes' draws, each as wide as
    its own blocks make it: a scene with few blocks widens the average, one with a single block forbids it.
    """
    rng = np.random.default_rng(0)
    draws = {scene: drawn_means([parts], rng) for scene, parts in gaps.items()}
    scenes = {scene: _gap(pooled_mean([gaps[scene]]), d, len(gaps[scene][0])) for scene, d in draws.items()}
    counts = [len(total) for total, _ in gaps.values()]
    everything = list(gaps.values())
    if by_agents:
        average = _gap(pooled_mean(everything), drawn_means(everything, rng), sum(counts))
    else:
        mean = float(np.mean([s["mean"] for s in scenes.values()]))
        average = _gap(mean, np.mean(list(draws.values()), axis=0), min(counts))
    return {"average": average, "scenes": scenes}


def _gap(mean: float, draws: np.ndarray, independent: int) -> dict[str, Any]:
    low, high = interval(draws, independent)
    return {"mean": mean, "low": low, "high": high, "blocks": independent}


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
