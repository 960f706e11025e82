"""Is the forecast as sure as it may be? Coverage, likelihood and mode probabilities, by kind of agent.

Who counts: agents with a known future that have been seen at two times, but the ego. Density regions and
likelihood are those of the candidates' mixture at each step, with 5 cm of annotation noise added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.baselines import Kinematic, constant_velocity, kalman
from drivewm.density import floored, mass_denser
from drivewm.types import Forecast, Kind, Tracks
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.likelihood import COVERAGE_HORIZONS_S, nll

LEVELS = (0.5, 0.9)
BINS = 10
DRAWS = 200
KALMAN_ACCELERATIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.8)
KALMAN_MEASUREMENTS_M = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
Curve = list[tuple[float, float, int]]
"""Of each bin of probabilities that is not empty: mean probability, how often it came true, how many."""


def scored(moment: Moment) -> Int[ndarray, "N"]:
    """Rows of the agents of a moment whose forecasts are judged."""
    enough = moment.scene.tracks.valid.sum(axis=1) >= 2
    return np.flatnonzero(moment.known[0] & enough & ~moment.is_ego)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Forecasts beside what happened, of N agents of all moments."""

    kind: Int[ndarray, "N"]
    truth: Float[ndarray, "N F 2"]
    position: Float[ndarray, "M N F 2"]
    covariance: Float[ndarray, "M N F 2 2"]
    probability: Float[ndarray, "M N"]
    horizon: Float[ndarray, "F"]

    @classmethod
    def of(cls, moments: Sequence[Moment], forecasts: Sequence[Forecast]) -> Outcomes:
        rows = [scored(m) for m in moments]
        parts = list(zip(moments, forecasts, rows, strict=True))
        return cls(
            kind=np.concatenate([m.scene.tracks.kind[r] for m, _, r in parts]),
            truth=np.concatenate([m.future[0, r] for m, _, r in parts]),
            position=np.concatenate([f.marginal_position[:, r] for _, f, r in parts], axis=1),
            covariance=np.concatenate([f.marginal_covariance[:, r] for _, f, r in parts], axis=1),
            probability=np.concatenate([f.marginal_probability[:, r] for _, f, r in parts], axis=1),
            horizon=forecasts[0].horizon,
        )

    @property
    def nearest(self) -> Int[ndarray, "N"]:
        """The candidate nearest to the truth, on average over the steps, among those of any probability."""
        error = np.linalg.norm(self.position - self.truth, axis=-1).mean(-1)
        return np.where(self.probability > 0, error, np.inf).argmin(0)


def coverage(outcomes: Outcomes, draws: int = DRAWS) -> dict[str, dict[str, dict[str, float]]]:
    """Kind -> horizon -> level: how often the truth is in the highest-density region of that level."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    rng = np.random.default_rng(0)
    for kind in Kind:
        rows = np.flatnonzero(outcomes.kind == kind)
        if len(rows) == 0:
            continue
        for seconds in COVERAGE_HORIZONS_S:
            step = int(np.abs(outcomes.horizon - seconds).argmin())
            mass = mass_denser(
                outcomes.truth[rows, step],
                outcomes.position[:, rows, step],
                floored(outcomes.covariance[:, rows, step]),
                outcomes.probability[:, rows],
                rng,
                draws,
            )
            shares = {f"{level:.0%}": float((mass < level).mean()) for level in LEVELS}
            out.setdefault(kind.name.lower(), {})[f"{outcomes.horizon[step]:g} s"] = shares
    return out


def reliability(probability: Float[ndarray, "P"], came_true: Bool[ndarray, "P"]) -> Curve:
    """How often events of a probability come true, in ten bins of equal width."""
    where = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    some = [np.flatnonzero(where == b) for b in range(BINS)]
    return [(float(probability[r].mean()), float(came_true[r].mean()), len(r)) for r in some if len(r)]


def expected_error(curve: Curve) -> float | None:
    """Mean distance between probability and frequency over the bins by their weight (Guo et al. 2017)."""
    total = sum(n for *_, n in curve)
    return sum(abs(p - f) * n for p, f, n in curve) / total if total else None


def mode_curves(probability: Float[ndarray, "M N"], nearest: Int[ndarray, "N"]) -> dict[str, Curve]:
    """`all`: every mode with its probability, right where it is the nearest; `top`: the most probable alone.

    Most modes of many are improbable and rarely right, so the error over all of them is small easily.
    """
    hit = np.arange(len(probability))[:, None] == nearest
    top = probability.argmax(axis=0), np.arange(len(nearest))
    return {
        "all": reliability(probability.ravel(), hit.ravel()),
        "top": reliability(probability[top], hit[top]),
    }


def joint_modes(moments: Sequence[Moment], forecasts: Sequence[Forecast]) -> tuple[ndarray, ndarray]:
    """Mode probabilities [K, S] and the nearest mode of each scene (mean over agents and steps)."""
    probability, nearest = [], []
    for moment, forecast in zip(moments, forecasts, strict=True):
        rows = scored(moment)
        if len(rows):
            error = np.linalg.norm(forecast.position[:, rows] - moment.future[0, rows], axis=-1)
            probability.append(forecast.mode_probability)
            nearest.append(int(error.mean(axis=(1, 2)).argmin()))
    return np.array(probability).T, np.array(nearest, np.int64)


def _by_kind(value: Float[ndarray, "N"], kind: Int[ndarray, "N"]) -> dict[str, float]:
    return {k.name.lower(): float(value[kind == k].mean()) for k in Kind if (kind == k).any()}


def kinematic_nll(moments: Sequence[Moment], model: Kinematic, horizon: Float[ndarray, "F"]) -> ndarray:
    """Negative log-likelihood (nats a step) of each judged agent under a kinematic forecast."""
    tracks, truth = _stacked(moments)
    path, covariance = model(tracks, horizon)
    return nll(path[None], covariance[None], np.ones((1, len(path))), truth)


def _stacked(moments: Sequence[Moment]) -> tuple[Tracks, ndarray]:
    """The judged agents of all moments as tracks of one scene, and their futures."""
    rows = [scored(m) for m in moments]
    listed = [m.scene.tracks for m in moments]

    def joined(name: str) -> ndarray:
        return np.concatenate([getattr(t, name)[r] for t, r in zip(listed, rows, strict=True)])

    names = ("pose", "velocity", "valid", "size", "size_valid", "kind", "heading_valid")
    arrays = {name: joined(name) for name in names}
    tracks = Tracks(ids=("",) * len(arrays["kind"]), times=listed[0].times, **arrays)
    return tracks, np.concatenate([m.future[0, r] for m, r in zip(moments, rows, strict=True)])


def tuned_kalman(moments: Sequence[Moment], horizon: Float[ndarray, "F"]) -> dict[Kind, Kinematic]:
    """For each kind the Kalman filter of least negative log-likelihood on these moments.

    They must not be those that it is then judged on.
    """
    kind = np.concatenate([m.scene.tracks.kind[scored(m)] for m in moments])
    best: dict[Kind, tuple[float, Kinematic]] = {}
    for acceleration in KALMAN_ACCELERATIONS:
        for measurement in KALMAN_MEASUREMENTS_M:
            model = partial(kalman, acceleration_sd=acceleration, measurement_sd=measurement)
            for name, value in _by_kind(kinematic_nll(moments, model, horizon), kind).items():
                this = Kind[name.upper()]
                if this not in best or value < best[this][0]:
                    best[this] = value, model
    return {k: model for k, (_, model) in best.items()}


def calibration(
    moments: Sequence[Moment], forecasts: Sequence[Forecast], tuned: dict[Kind, Kinematic] | None = None
) -> dict[str, Any]:
    """All figures. `tuned` are Kalman filters by kind (`tuned_kalman` of other moments; default: untuned)."""
    outcomes = Outcomes.of(moments, forecasts)
    horizon, kind = outcomes.horizon, outcomes.kind
    ours = nll(outcomes.position, outcomes.covariance, outcomes.probability, outcomes.truth)
    filtered = np.zeros(len(kind))
    for k in Kind:
        model = kalman if tuned is None else tuned.get(k, kalman)
        filtered[kind == k] = kinematic_nll(moments, model, horizon)[kind == k]
    curves = {f"joint {name}": c for name, c in mode_curves(*joint_modes(moments, forecasts)).items()}
    for name, curve in mode_curves(outcomes.probability, outcomes.nearest).items():
        curves[f"candidates {name}"] = curve
    by_kind = {
        k.name.lower(): mode_curves(outcomes.probability[:, kind == k], outcomes.nearest[kind == k])["all"]
        for k in Kind
        if (kind == k).any()
    }
    return {
        "agents": {k.name.lower(): int((kind == k).sum()) for k in Kind},
        "coverage": coverage(outcomes),
        "nll": {
            "model": _by_kind(ours, kind),
            "kalman": _by_kind(filtered, kind),
            "constant velocity": _by_kind(kinematic_nll(moments, constant_velocity, horizon), kind),
        },
        "ece": {name: expected_error(curve) for name, curve in curves.items()},
        "ece_candidates_by_kind": {name: expected_error(curve) for name, curve in by_kind.items()},
        "reliability": curves,
    }
