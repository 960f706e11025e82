"""Can simulated walks be told from real ones? A classifier that tries to, and what it goes by.

An area under the ROC curve (AUC) of 0.5 means that they cannot be told apart, 1 that they always are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_eval.street.estimate import MANY_SCENES, Figure
from drivewm_eval.street.logit import chance, fit_logit
from drivewm_eval.street.window_features import NAMES, Windows

FOLDS = 5
WAVES = 200
"""Random cosines beside the features themselves (Rahimi and Recht, NIPS 2007): they bend the boundary."""
RIDGE = 3.0
MOST_WINDOWS = 5000
"""Of each side; more are thinned by chance."""
OUTLIER_SD = 5.0
DRAWS = 200

Predict = Callable[[Float[ndarray, "n D"]], Float[ndarray, "n"]]


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What one feature tells."""

    name: str
    loss: float  # of AUC, when the feature's values are shuffled among the windows judged
    shift: float  # mean of the first side less that of the second, in standard deviations of both together


@dataclass(frozen=True, kw_only=True)
class Verdict:
    auc: Figure
    importance: tuple[Importance, ...]  # most telling first


def tell_apart(
    one: Windows, other: Windows, *, features: int = len(NAMES), folds: int = FOLDS, seed: int = 0
) -> Verdict:
    """How well windows of `one` are told from those of `other` by their first `features` features.

    A logistic regression on standardised features and random cosines of them, judged on windows of scenes
    it has not seen: of agents it has not seen for a side with fewer scenes than folds, and where both
    sides share a scene (otherwise it would learn that whoever is of that scene is of the side it saw). The
    interval draws scenes again (agents, where a side has fewer than ten scenes).
    """
    rng = np.random.default_rng(seed)
    sides = [_thinned(side, rng) for side in (one, other)]
    apart = set(one.scene).isdisjoint(other.scene)
    parts = [_parts(side, folds, apart, rng) for side in sides]
    x = np.concatenate([side.feature[:, :features] for side in sides])
    y = np.concatenate([np.ones(len(sides[0].scene)), np.zeros(len(sides[1].scene))])
    part = np.concatenate(parts)
    score = np.zeros(len(y))
    loss = np.zeros(features)
    for fold in range(folds):
        held = part == fold
        predict = _trained(x[~held], y[~held], rng)
        score[held] = predict(x[held])
        loss += _losses(predict, x[held], y[held], rng) / folds
    spread = np.maximum(x.std(axis=0), 1e-9)
    shift = (x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0)) / spread
    told = [
        Importance(name=NAMES[i], loss=float(loss[i]), shift=float(shift[i]))
        for i in np.argsort(-loss).tolist()
    ]
    return Verdict(auc=_with_interval(score, y, _blocks(sides), rng), importance=tuple(told))


def area_under_roc(
    score: Float[ndarray, "N"], y: Float[ndarray, "N"], weight: Float[ndarray, "N"] | None = None
) -> float:
    """The chance that a 1 scores above a 0, ties counting half; rows count `weight` times."""
    weight = np.ones(len(y)) if weight is None else weight
    _, place = np.unique(score, return_inverse=True)
    place = place.reshape(-1)
    ones, zeros = np.bincount(place, weights=weight * y), np.bincount(place, weights=weight * (1 - y))
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum() / (ones.sum() * zeros.sum()))


def _thinned(side: Windows, rng: np.random.Generator) -> Windows:
    if len(side.scene) <= MOST_WINDOWS:
        return side
    return side.where(np.sort(rng.choice(len(side.scene), MOST_WINDOWS, replace=False)))


def _parts(side: Windows, folds: int, by_scene: bool, rng: np.random.Generator) -> Int[ndarray, "W"]:
    """The fold of every window: whole scenes if asked for and if there are enough, whole agents otherwise."""
    by_scene = by_scene and len(set(side.scene)) >= folds
    groups, place = np.unique(np.array(side.scene if by_scene else side.agent, str), return_inverse=True)
    if len(groups) < folds:
        raise InputError(
            f"two samples need {folds} people who walk for 4.8 s each, came {len(groups)}; give more data"
        )
    # The largest first, each to the fold with the fewest windows so far; equal ones in random order.
    size = np.bincount(place.reshape(-1))
    order = rng.permutation(len(groups))
    fold_of, filled = np.zeros(len(groups), np.int64), np.zeros(folds)
    for group in order[np.argsort(-size[order], kind="stable")].tolist():
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += size[group]
    return fold_of[place.reshape(-1)]


def _trained(x: Float[ndarray, "n D"], y: Float[ndarray, "n"], rng: np.random.Generator) -> Predict:
    """The classifier; both sides weigh the same, however many windows they have."""
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    direction = rng.standard_normal((x.shape[1], WAVES)) / np.sqrt(x.shape[1])
    phase = rng.uniform(0, 2 * np.pi, WAVES)

    def design(raw: Float[ndarray, "m D"]) -> Float[ndarray, "m _"]:
        flat = np.clip((raw - mean) / spread, -OUTLIER_SD, OUTLIER_SD)
        waves = np.sqrt(2 / WAVES) * np.cos(flat @ direction + phase)
        return np.concatenate([np.ones((len(raw), 1)), flat, waves], axis=1)

    weight = np.where(y == 1, 0.5 / max(y.sum(), 1), 0.5 / max((1 - y).sum(), 1)) * len(y)
    ridge = np.concatenate([[1e-3], np.full(x.shape[1] + WAVES, RIDGE)])
    beta = fit_logit(design(x), y, weight, ridge)
    return lambda raw: chance(design(raw), beta)


def _losses(
    predict: Predict, x: Float[ndarray, "n D"], y: Float[ndarray, "n"], rng: np.random.Generator
) -> Float[ndarray, "D"]:
    """How much of the AUC is lost when one feature is shuffled."""
    if not 0 < y.sum() < len(y):
        return np.zeros(x.shape[1])
    whole = area_under_roc(predict(x), y)
    out = np.zeros(x.shape[1])
    for column in range(x.shape[1]):
        shuffled = x.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        out[column] = whole - area_under_roc(predict(shuffled), y)
    return out


def _blocks(sides: list[Windows]) -> Int[ndarray, "N"]:
    """The block of every window, the first side's numbers below the second's."""
    by_scene = all(len(set(side.scene)) >= MANY_SCENES for side in sides)
    names = [np.array(side.scene if by_scene else side.agent, str) for side in sides]
    places = [np.unique(name, return_inverse=True)[1].reshape(-1) for name in names]
    return np.concatenate([places[0], places[1] + places[0].max() + 1])


def _with_interval(
    score: Float[ndarray, "N"], y: Float[ndarray, "N"], block: Int[ndarray, "N"], rng: np.random.Generator
) -> Figure:
    first = int(block[y == 1].max()) + 1
    second = int(block.max()) + 1 - first
    drawn = []
    for _ in range(DRAWS):
        counts = [rng.multinomial(n, np.full(n, 1 / n)) for n in (first, second)]
        drawn.append(area_under_roc(score, y, np.concatenate(counts)[block].astype(float)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(
        value=area_under_roc(score, y), low=float(low), high=float(high), count=len(y), blocks=first + second
    )
