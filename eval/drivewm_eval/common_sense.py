"""The common-sense room: does the impossible surprise more than the possible, and do forecasts stay solid?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.evidence import POSITIONS
from drivewm.forecaster import TorchForecaster
from drivewm.surprise import ALL_SIGNALS, Normality, Surprise, fit_normality, surprise
from drivewm_datasets.drive import Drive
from drivewm_eval.forecast_solidity import forecast_solidity
from drivewm_eval.impossible import AFTER, VIOLATIONS, Pair
from drivewm_eval.matched import stratified_auroc, stratum
from drivewm_eval.watching import LOOK_BACK, TICK, Tick, watch

if TYPE_CHECKING:
    from rich.table import Table

RULES = ("solid", "lane")
SCORES: dict[str, tuple[str, ...]] = {
    "surprise": ALL_SIGNALS,
    "without_rules": tuple(name for name in ALL_SIGNALS if name not in RULES),
    "latents": ("latent", "strange"),
    "positions": POSITIONS,
    **{name: (name,) for name in ("latent", "strange", "ghost", "gone", "appeared", *RULES)},
}
"""Scores by the signals they combine; beside them stand the plain `nll` and `cv` (metres)."""
TICKS = AFTER // TICK + 1
EVERY = 24
"""Frames between the windows of ordinary agents."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Agents, each with the most that each score reached in a window. N agents."""

    score: dict[str, Float[ndarray, "N"]]
    bins: Int[ndarray, "N 3"]


def common_sense(
    drives: Sequence[Drive],
    forecaster: TorchForecaster,
    *,
    normality: Normality | None = None,
    violations: Sequence[str] = tuple(VIOLATIONS),
    pairs: int = 60,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures by violation, and of the forecasts' own solidity.

    `pairs` is the most of each violation. Without a given `normality` it is measured on every second drive
    as it is, and the others are judged. The impossible never reaches the fit.
    """
    judged = drives
    if normality is None:
        normality, judged = normality_of(drives[::2], forecaster), drives[1::2]
    ordinary = _ordinary(judged, forecaster, normality)
    figures: dict[str, Any] = {"ordinary_agents": len(ordinary.bins), "violations": {}}
    for violation in violations:
        chosen = pairs_of(judged, violation, pairs, seed)
        figures["violations"][violation] = _judge(chosen, ordinary, forecaster, normality)
    figures["average"] = _average(list(figures["violations"].values()))
    figures["forecasts"] = forecast_solidity(judged, forecaster)
    return figures


def _average(violations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over the violations that have pairs, each counting the same."""
    some = [figure for figure in violations if figure["pairs"]]
    out: dict[str, Any] = {"pairs": sum(figure["pairs"] for figure in some)}
    for score in (*SCORES, "nll", "cv") if some else ():
        means = {k: float(np.mean([f[score][k] for f in some])) for k in ("pairs_right", "auroc")}
        out[score] = {k: round(mean, 4) for k, mean in means.items()}
    return out


def normality_of(drives: Sequence[Drive], forecaster: TorchForecaster) -> Normality:
    """What is normal, from drives as they are, watched throughout."""
    return fit_normality([tick.evidence for drive in drives for tick in _throughout(drive, forecaster)])


def _throughout(drive: Drive, forecaster: TorchForecaster) -> list[Tick]:
    return list(watch(drive, range(0, drive.frames, TICK), forecaster))


def pairs_of(drives: Sequence[Drive], violation: str, limit: int, seed: int) -> list[Pair]:
    """At most `limit` pairs, one after the other from every drive; from none more than twice its part."""
    rank = list(VIOLATIONS).index(violation)
    sources = [
        VIOLATIONS[violation](drive, np.random.default_rng([seed, rank, i])) for i, drive in enumerate(drives)
    ]
    most = 2 * -(-limit // max(len(sources), 1))
    found: list[Pair] = []
    for _ in range(most):
        turn = (pair for pair in (next(source, None) for source in sources) if pair is not None)
        found += islice(turn, limit - len(found))
    return found


def _ordinary(drives: Sequence[Drive], forecaster: TorchForecaster, normality: Normality) -> Scored:
    """All agents of windows as long as those of the pairs, in drives as they are."""
    scores: dict[str, list[float]] = {name: [] for name in (*SCORES, "nll", "cv")}
    bins = []
    for drive in drives:
        ticks = _throughout(drive, forecaster)
        judged = [surprise(t.evidence, normality) for t in ticks]
        for start in range(0, len(ticks) - TICKS + 1, EVERY // TICK):
            window = slice(start, start + TICKS)
            for name in ticks[start].evidence.ids:
                if name == drive.ego_id:
                    continue
                for score, value in _most(ticks[window], judged[window], (name,)).items():
                    scores[score].append(value)
                bins.append(_bins(ticks[start], name))
    return Scored(score={k: np.array(v) for k, v in scores.items()}, bins=np.array(bins).reshape(-1, 3))


def _most(ticks: Sequence[Tick], judged: Sequence[Surprise], names: tuple[str, ...]) -> dict[str, float]:
    """The most that each score reached for these agents over some ticks."""
    out = {name: [-np.inf] for name in (*SCORES, "nll", "cv")}
    for tick, seen in zip(ticks, judged, strict=True):
        rows = [row for row, name in enumerate(seen.ids) if name in names]
        for score, signals in SCORES.items():
            out[score] += seen.of(signals)[rows].tolist()
        out["nll"] += tick.nll[rows].tolist()
        out["cv"] += tick.residual[rows].tolist()
    return {name: max(values) for name, values in out.items()}


def _bins(tick: Tick, name: str) -> Int[ndarray, "3"]:
    seen, row = tick.evidence, tick.evidence.ids.index(name)
    at = slice(row, row + 1)
    return np.asarray(stratum(seen.kind[at], seen.speed[at], tick.near[at])[0])


def _watch_member(
    drive: Drive, frame: int, names: tuple[str, ...], forecaster: TorchForecaster, normality: Normality
) -> tuple[dict[str, float], Int[ndarray, "3"] | None]:
    """What each score reached after the edit, and the bin of who is watched."""
    ticks = list(watch(drive, range(frame - LOOK_BACK, frame + AFTER + 1, TICK), forecaster))
    judged = [surprise(t.evidence, normality) for t in ticks]
    bins = [_bins(tick, name) for tick in ticks for name in names if name in tick.evidence.ids]
    return _most(ticks, judged, names), bins[0] if bins else None


def _judge(
    pairs: Sequence[Pair], ordinary: Scored, forecaster: TorchForecaster, normality: Normality
) -> dict[str, Any]:
    """Share of pairs in which the impossible scores higher, and the unpaired AUROC, by score."""
    possible, impossible, bins = [], [], []
    for pair in pairs:
        calm, _ = _watch_member(pair.possible, pair.frame, pair.watched_possible, forecaster, normality)
        odd, where = _watch_member(
            pair.impossible, pair.frame, pair.watched_impossible, forecaster, normality
        )
        if where is not None:
            possible.append(calm)
            impossible.append(odd)
            bins.append(where)
    figures: dict[str, Any] = {"pairs": len(bins)}
    if not bins:
        return figures
    for score in (*SCORES, "nll", "cv"):
        odd_scores, calm_scores = (np.array([s[score] for s in some]) for some in (impossible, possible))
        wins = (odd_scores > calm_scores) + 0.5 * (odd_scores == calm_scores)
        auroc = stratified_auroc(odd_scores, np.array(bins), ordinary.score[score], ordinary.bins)
        figures[score] = {"pairs_right": round(float(wins.mean()), 4), "auroc": round(auroc, 4)}
    figures["median_nats"] = [
        round(float(np.median([s["surprise"] for s in some])), 2) for some in (possible, impossible)
    ]
    return figures


def table(
    figures: dict[str, Any], scores: Sequence[str] = ("surprise", "without_rules", "nll", "cv")
) -> Table:
    """The figures for a terminal: share of pairs judged rightly and AUROC, by score."""
    from rich.table import Table

    out = Table("violation", "pairs", *scores, title="common sense: pairs right % / AUROC")
    for violation, figure in {**figures["violations"], "average": figures["average"]}.items():
        if figure["pairs"]:
            cells = [f"{100 * figure[s]['pairs_right']:.0f} / {figure[s]['auroc']:.3f}" for s in scores]
            out.add_row(violation, str(figure["pairs"]), *cells)
        else:
            out.add_row(violation, "0", *("" for _ in scores))
    solid = figures["forecasts"]
    out.caption = (
        f"the model's own forecasts: {100 * solid['through_vehicles']:.2f} % of a pedestrian's modes lead "
        f"through a vehicle, {100 * solid['through_obstacles']:.2f} % through an obstacle "
        f"(constant velocity: {100 * solid['cv_through_vehicles']:.2f} and "
        f"{100 * solid['cv_through_obstacles']:.2f} %)"
    )
    return out
