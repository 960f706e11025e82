"""How early a step on the road is known, at a fixed rate of false alarms.

An alarm says: this pedestrian will be on the road within the horizon. It is on at the ticks where a score
reaches a threshold. It is a claim that holds for the horizon; while one holds, the pedestrian's next alarm is
no new one. A claim is false where no crossing begins within the horizon after it. The threshold is the lowest
with as many false claims a pedestrian-minute (of pedestrians off the road) as are allowed. Claims and minutes
so near to the recording's end that their truth is not known do not count.

The lead of a crossing is for how long before its first step on the road its alarm had been on without
interruption, at most the horizon; 0 where the alarm was off at the last tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.types import Forecast, Kind
from drivewm_datasets.drive import FRAME_S
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.drivable import DrivableArea

FALSE_PER_MINUTE = 1.0
AWAY_S = 1.0
"""A crossing begins where its pedestrian has been off the road for so long."""
THRESHOLDS = 200
Score = Callable[[Moment, Forecast], Float[ndarray, "A"]]
Figures = dict[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One pedestrian over the ticks of one drive at which the car knew of it. Axes: R rules, T ticks."""

    time: Float[ndarray, "T"]  # seconds, ascending
    score: Float[ndarray, "R T"]
    off_road: Bool[ndarray, "T"]
    starts: Float[ndarray, "S"]  # when it stepped on the road
    end: float  # of the recording, seconds


def forecast_score(moment: Moment, forecast: Forecast) -> Float[ndarray, "A"]:
    """The forecast's own probability of being on the road within the horizon; 0 where it has none."""
    if forecast.crossing_probability is None:
        return np.zeros(len(forecast.ids))
    return forecast.crossing_probability[:, -1]


def straight_score(moment: Moment, forecast: Forecast, area: DrivableArea) -> Float[ndarray, "A"]:
    """1 for who is in a lane now, less the later it enters one at constant velocity, 0 beyond the horizon."""
    times = np.arange(0.0, forecast.horizon[-1], FRAME_S)
    path, _ = constant_velocity(moment.scene.tracks, times)
    inside = area.holds(path)
    return np.where(inside.any(axis=1), 1 - inside.argmax(axis=1) / len(times), 0.0)


def watched(moments: Sequence[Moment], scores: Sequence[Sequence[Float[ndarray, "A"]]]) -> list[Watched]:
    """The pedestrians of the moments of one drive, in order of time; `scores` has an array a rule and moment.

    Of several tracks of one pedestrian the highest score counts.
    """
    if not moments:
        return []
    drive = moments[0].drive
    ticks: dict[int, dict[int, ndarray]] = {}
    for i, moment in enumerate(moments):
        walks = (moment.scene.tracks.kind == Kind.PEDESTRIAN) & (moment.there.who >= 0)
        for row in np.flatnonzero(walks):
            score = np.array([float(rule[i][row]) for rule in scores])
            known = ticks.setdefault(int(moment.there.who[row]), {})
            known[moment.frame] = np.maximum(known.get(moment.frame, score), score)
    out = []
    for agent, known in ticks.items():
        frames = np.array(list(known), np.int64)
        out.append(
            Watched(
                time=frames * FRAME_S,
                score=np.array(list(known.values())).T,
                off_road=~drive.true.on_road[agent, frames] & drive.true.there[agent, frames],
                starts=_starts(drive.true.on_road[agent], drive.true.there[agent], moments[0].frame)
                * FRAME_S,
                end=(drive.frames - 1) * FRAME_S,
            )
        )
    return out


def _starts(on: Bool[ndarray, "T"], there: Bool[ndarray, "T"], first: int) -> Int[ndarray, "S"]:
    """The frames after the first tick at which it steps on the road after a while off it."""
    away = round(AWAY_S / FRAME_S)
    begins = np.flatnonzero(on[1:] & ~on[:-1] & there[:-1]) + 1
    return np.array([f for f in begins if f > max(first, away) and not on[f - away : f].any()], np.int64)


def false_claims(person: Watched, rule: int, threshold: float, horizon: float) -> int:
    """How many claims of a pedestrian's alarm were followed by no crossing."""
    count, claimed = 0, -np.inf
    for t, score, off in zip(person.time, person.score[rule], person.off_road, strict=True):
        on = bool(off) and score >= threshold
        if on and t - claimed >= horizon - 1e-9 and t + horizon <= person.end + 1e-9:
            claimed = float(t)
            count += not ((person.starts > t - 1e-9) & (person.starts <= t + horizon + 1e-9)).any()
    return count


def lead(
    person: Watched, rule: int, threshold: float, start: float, horizon: float, tick: float
) -> float | None:
    """For how long the alarm had been on when the crossing began; None where no tick was near it.

    Ticks more than one and a half `tick` apart interrupt it: the car had lost the pedestrian.
    """
    before = np.flatnonzero((person.time < start) & (person.time >= start - horizon - 1e-9))
    if len(before) == 0 or start - person.time[before[-1]] > 1.5 * tick:
        return None
    begun, last = 0.0, start
    for i in before[::-1]:
        if person.score[rule, i] < threshold or last - person.time[i] > 1.5 * tick or not person.off_road[i]:
            break
        last = float(person.time[i])
        begun = start - last
    return begun


def crossing_lead(
    people: Sequence[Watched],
    rule: int,
    *,
    horizon: float = 4.8,
    tick: float = 0.4,
    false_per_minute: float = FALSE_PER_MINUTE,
) -> Figures:
    """Lead times (s) of one rule, missed crossings with 0, and the alarm's false rate.

    Crossings count whose pedestrian the car knew of when they began; `crossings_unseen` are the others.
    """
    minutes = sum(float((p.off_road & (p.time + horizon <= p.end + 1e-9)).sum()) for p in people) * tick / 60
    scores = np.concatenate([p.score[rule] for p in people]) if people else np.zeros(0)
    scores = scores[scores > 0]
    tried: list[float] = []
    if len(scores):
        tried = np.unique(np.quantile(scores, np.linspace(0, 1, THRESHOLDS), method="nearest")).tolist()
    chosen, rate = np.inf, 0.0
    for threshold in tried[::-1]:
        found = sum(false_claims(p, rule, threshold, horizon) for p in people) / max(minutes, 1e-9)
        if found > false_per_minute:
            break
        chosen, rate = threshold, found
    leads, unseen = [], 0
    for person in people:
        for start in person.starts:
            value = lead(person, rule, chosen, float(start), horizon, tick)
            if value is None:
                unseen += 1
            else:
                leads.append(value)
    late = np.array(leads)
    return {
        "crossings": len(late),
        "mean_s": float(late.mean()) if len(late) else None,
        "median_s": float(np.median(late)) if len(late) else None,
        "at_least_1s": float((late >= 1.0 - 1e-9).mean()) if len(late) else None,
        "missed": float((late == 0).mean()) if len(late) else None,
        "crossings_unseen": unseen,
        "false_per_minute": rate,
        "threshold": chosen if np.isfinite(chosen) else None,
        "pedestrian_minutes": minutes,
    }
