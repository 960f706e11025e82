"""Does the forecast change with the ego's plan as the street does? Judged on branches, where both are known.

Every branch of a moment has the same past, the same people and the same random numbers: what differs between
two of them follows from what the ego did. Plans under which the ego runs into somebody are left out: who is
hit does not react.

The plan cannot take away what is uncertain without it: of an error of 3 m, of which plans change 0.6 m,
little can be gained. So beside the gain stands that of the true change: the error if the forecast without the
plan were moved by exactly what each plan truly changes, the difference from the mean over the plans; no bound
but a measure. And apart from how far off the forecast is, `change_explained` asks for its change alone, from
plan to plan, of the joint modes and of the most likely candidate: 1 as it truly is, 0 as good as none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.collisions import reactions
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import Moment, branched_frames, moment_at
from drivewm_eval.flips import Flip, flips_of

AFFECTED_M = 0.5
UNAFFECTED_M = 0.01
ERRORS = ("given", "hidden", "exact", "given_min", "hidden_min", "exact_min")
Imagine = Callable[[Sequence[Scene]], list[list[Forecast]]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A branched moment with the forecasts of each plan, and of the null plan."""

    moment: Moment
    given: list[Forecast]
    hidden: Forecast


def answers(drives: Iterable[Drive], imagine: Imagine, grid: TimeGrid) -> Iterable[Answer]:
    """Every branched moment with the forecasts under its plans, but those under which the ego crashes."""
    for drive in drives:
        for frame in branched_frames(drive).tolist():
            branches = reactions(drive, frame)
            if len(branches) < 2:
                continue
            moment = moment_at(drive, frame, grid, branches)
            blind = replace(moment.scene, plan=None)
            yield Answer(moment=moment, given=imagine([moment.scene])[0], hidden=imagine([blind])[0][0])


def true_change(moment: Moment) -> Float[ndarray, "G G A"]:
    """The largest displacement of each agent over the steps between two plans (m)."""
    apart = np.linalg.norm(moment.future[:, None] - moment.future[None], axis=-1)
    return apart.max(-1)


def judged(moment: Moment) -> Bool[ndarray, "A"]:
    """Whom it is about: everybody but the ego whose future is known under every plan."""
    return moment.known.all(axis=0) & ~moment.is_ego & (moment.scene.tracks.valid.sum(axis=1) >= 2)


def counterfactuals(found: Iterable[Answer]) -> dict[str, Any]:
    """All figures of the room; metres, shares of 1, counts."""
    errors: dict[str, list[float]] = {name: [] for name in ERRORS}
    kinds: list[int] = []
    strays: list[float] = []
    changes: list[tuple[float, float, float]] = []
    flips: list[Flip] = []
    seen = {"moments": 0, "agents": 0, "pairs_unaffected": 0}
    for answer in found:
        moment = answer.moment
        who = judged(moment)
        seen["moments"] += 1
        seen["agents"] += int(who.sum())
        change = true_change(moment)
        for a in np.flatnonzero(who).tolist():
            if change[:, :, a].max() > AFFECTED_M:
                kinds.append(int(moment.scene.tracks.kind[a]))
                _compare(answer, a, errors)
                changes.append(_change(answer, a))
        stray, pairs = _strays(answer, who, change)
        strays += stray
        seen["pairs_unaffected"] += pairs
        moved = np.flatnonzero(who & (change.max((0, 1)) > AFFECTED_M)).tolist()
        flips += flips_of(moment, answer.given, answer.hidden, moved)
    return {**seen, **_summary(errors, kinds, strays), **_ordered(flips), **_explained(changes)}


def _compare(answer: Answer, a: int, errors: dict[str, list[float]]) -> None:
    """The error of one affected agent with and without the plan, averaged over the plans."""
    moment = answer.moment
    by_plan: dict[str, list[float]] = {name: [] for name in errors}
    middle = moment.future[:, a].mean(axis=0)
    for g, forecast in enumerate(answer.given):
        truth = moment.future[g, a]
        for name, one, aim in (
            ("given", forecast, truth), ("hidden", answer.hidden, truth), ("exact", answer.hidden, middle)
        ):  # fmt: skip
            by_plan[name].append(_ade(one.most_likely[a], aim))
            by_plan[f"{name}_min"].append(
                min(_ade(one.position[k, a], aim) for k in range(len(one.position)))
            )
    for name, values in by_plan.items():
        errors[name].append(float(np.mean(values)))


def _change(answer: Answer, a: int) -> tuple[float, float, float]:
    """Mean distance (m) over steps and pairs of plans: of the joint modes' change from the true one (by their
    probability), of the most likely candidate's, and how large the true change is."""
    true = answer.moment.future[:, a]
    joint = np.stack([f.position[:, a] for f in answer.given])  # G K F 2
    likely = np.stack([f.most_likely[a] for f in answer.given])
    weight = answer.hidden.mode_probability
    found = []
    for g, other in combinations(range(len(true)), 2):
        change = true[g] - true[other]
        modes = np.linalg.norm(joint[g] - joint[other] - change, axis=-1).mean(-1)
        single = np.linalg.norm(likely[g] - likely[other] - change, axis=-1).mean()
        found.append((float(weight @ modes), float(single), float(np.linalg.norm(change, axis=-1).mean())))
    joint_m, likely_m, true_m = np.mean(found, axis=0).tolist()
    return joint_m, likely_m, true_m


def _explained(changes: Sequence[tuple[float, float, float]]) -> dict[str, float | None]:
    if not changes:
        return {"change_m": None, "change_explained_joint": None, "change_explained_most_likely": None}
    joint, likely, true = np.mean(changes, axis=0).tolist()
    return {
        "change_m": true,
        "change_explained_joint": 1 - joint / true,
        "change_explained_most_likely": 1 - likely / true,
    }


def _ade(path: Float[ndarray, "F 2"], truth: Float[ndarray, "F 2"]) -> float:
    return float(np.linalg.norm(path - truth, axis=-1).mean())


def _strays(
    answer: Answer, who: Bool[ndarray, "A"], change: Float[ndarray, "G G A"]
) -> tuple[list[float], int]:
    """How far the forecast of those who are truly unaffected moves between two plans, in any mode."""
    out: list[float] = []
    plans = len(answer.given)
    pairs = 0
    for g in range(plans):
        for other in range(g + 1, plans):
            still = who & (change[g, other] < UNAFFECTED_M)
            moved = np.linalg.norm(answer.given[g].position - answer.given[other].position, axis=-1).max(-1)
            out += moved[:, still].max(0).tolist()
            pairs += int(still.sum())
    return out, pairs


def _summary(errors: dict[str, list[float]], kinds: list[int], strays: list[float]) -> dict[str, Any]:
    def mean(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if len(values) else None

    def gain(better: Sequence[float], worse: Sequence[float]) -> float | None:
        return 1 - float(np.mean(better)) / float(np.mean(worse)) if len(better) else None

    kind = np.array(kinds, np.int64)
    by_kind = {}
    for k in Kind:
        rows = np.flatnonzero(kind == k)
        given, hidden, exact = ([errors[e][r] for r in rows] for e in ("given", "hidden", "exact"))
        by_kind[k.name.lower()] = {
            "affected": len(rows),
            "gain": gain(given, hidden),
            "gain_of_true_change": gain(exact, hidden),
        }
    return {
        "affected": len(kinds),
        "ade_plan_given": mean(errors["given"]),
        "ade_plan_hidden": mean(errors["hidden"]),
        "gain": gain(errors["given"], errors["hidden"]),
        "gain_of_true_change": gain(errors["exact"], errors["hidden"]),
        "min_ade_plan_given": mean(errors["given_min"]),
        "min_ade_plan_hidden": mean(errors["hidden_min"]),
        "gain_min": gain(errors["given_min"], errors["hidden_min"]),
        "gain_min_of_true_change": gain(errors["exact_min"], errors["hidden_min"]),
        "by_kind": by_kind,
        "unaffected_p95_m": float(np.quantile(strays, 0.95)) if strays else None,
        "unaffected_median_m": float(np.median(strays)) if strays else None,
    }


def _ordered(flips: Sequence[Flip]) -> dict[str, Any]:
    def share(right: Sequence[bool]) -> float | None:
        return float(np.mean(right)) if right else None

    return {
        "flips": len(flips),
        "flips_right": share([flip.right for flip in flips]),
        "flips_right_plan_hidden": share([flip.right_hidden for flip in flips]),
        "flips_that_need_an_answer": sum(flip.needs_answer for flip in flips),
        "flips_right_of_these": share([flip.right for flip in flips if flip.needs_answer]),
    }
