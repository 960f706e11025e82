"""Does the bird's-eye grid earn its place? It is asked for pedestrians who have no track."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.bev import OCCUPANCY_LAYERS, OCCUPANCY_TIMES_S, BevSpec, occupancy_spec
from drivewm.frames import from_frame, to_frame
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.drive_scenes import Moment, moment_at
from drivewm_eval.walkable import hidden_later, map_prior, walkable_cells

MATCH_M = 1.0
WITHIN_M = 40.0
HELD = 3  # frames of 0.1 s in a row
FALSE_A_MINUTE = 1.0
LATER = OCCUPANCY_TIMES_S.index(2.0)
LATER_FRAMES = round(2.0 / FRAME_S)
UNTRACKED = OCCUPANCY_LAYERS.index("untracked pedestrian")
MIN_SCORE = 1e-5
Forecaster = Callable[[Sequence[Scene]], list[Forecast]]


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A place at which a person without a track may be."""

    frame: int
    place: Float[ndarray, "2"]  # scene frame
    score: float


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """What was claimed and what was true in one drive."""

    claims: list[Peak]  # held long enough, matched to nobody
    found: dict[int, float]  # highest score by which each untracked person was found, by row of the true cast
    missed: set[int]
    minutes: float
    every: int = 1  # frames from tick to tick


def peaks(probability: Float[ndarray, "H W"], spec: BevSpec) -> list[tuple[Float[ndarray, "2"], float]]:
    """Local maxima of the occupancy with their place in the ego frame."""
    padded = np.pad(probability, 1, constant_values=-1.0)
    h, w = probability.shape
    around = [padded[1 + i : 1 + i + h, 1 + j : 1 + j + w] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    top = (probability >= np.max(around, axis=0)) & (probability > MIN_SCORE)
    rows, columns = np.nonzero(top)
    x = spec.x_range[0] + (rows + 0.5) * spec.resolution
    y = spec.y_range[0] + (columns + 0.5) * spec.resolution
    return [(np.array([a, b]), float(p)) for a, b, p in zip(x, y, probability[rows, columns], strict=True)]


def held(ticks: Sequence[list[Peak]], every: int = 1) -> list[list[Peak]]:
    """Of each tick the peaks that have stood for HELD frames, with the least score of theirs.

    With ticks `every` frames apart these are as many as last no less: 3, or 2 where they are further apart.
    """
    least = 1 + math.ceil((HELD - 1) / every)
    out: list[list[Peak]] = []
    for i, now in enumerate(ticks):
        kept = []
        for peak in now:
            score, place = peak.score, peak.place
            for before in ticks[max(i - least + 1, 0) : i][::-1]:
                near = [p for p in before if np.hypot(*(p.place - place)) <= MATCH_M]
                if not near:
                    score = 0.0
                    break
                best = max(near, key=lambda p: p.score)
                score, place = min(score, best.score), best.place
            if score > 0 and i >= least - 1:
                kept.append(replace(peak, score=score))
        out.append(kept)
    return out


def sightings(drive: Drive, forecaster: Forecaster, grid: TimeGrid, frames: range, bev: bool) -> Sightings:
    """Claims and finds over frames of a drive, evenly apart."""
    ticks: list[list[Peak]] = []
    moments = [moment_at(drive, frame, grid, bev=bev) for frame in frames]
    for moment, forecast in zip(moments, forecaster([m.scene for m in moments]), strict=True):
        occupancy, ego = forecast.occupancy, moment.scene.ego_pose
        if occupancy is None or ego is None:
            raise ValueError("the model forecasts no occupancy")
        found = peaks(occupancy.probability[UNTRACKED, 0], occupancy.spec)
        inside = [(p, s) for p, s in found if np.hypot(*p) <= WITHIN_M]
        ticks.append(
            [Peak(frame=moment.frame, place=from_frame(p[None], ego[None])[0], score=s) for p, s in inside]
        )
    claims: list[Peak] = []
    best: dict[int, float] = {}
    asked: set[int] = set()
    for moment, kept in zip(moments, held(ticks, frames.step), strict=True):
        people = untracked(moment)
        places = drive.true.pose[people, moment.frame, :2]
        asked |= set(people.tolist())
        for peak in kept:
            apart = np.hypot(*(places - peak.place).T) if len(people) else np.zeros(0)
            if len(people) and apart.min() <= MATCH_M:
                row = int(people[apart.argmin()])
                best[row] = max(best.get(row, 0.0), peak.score)
            elif not _is_somebody(moment, peak.place):
                claims.append(peak)
    return Sightings(
        claims=claims,
        found=best,
        missed=asked - best.keys(),
        minutes=len(frames) * frames.step * FRAME_S / 60,
        every=frames.step,
    )


def untracked(moment: Moment) -> ndarray:
    """Rows of the true cast: pedestrians on the grid, within 40 m of the ego, without a track."""
    true, ego = moment.drive.true, moment.scene.ego_pose
    if ego is None:
        return np.zeros(0, np.int64)
    walks = (true.kind == Kind.PEDESTRIAN) & true.there[:, moment.frame]
    local = to_frame(true.pose[:, moment.frame, :2], ego[None])
    spec = BevSpec()
    inside = (local[:, 0] > spec.x_range[0]) & (local[:, 0] < spec.x_range[1])
    inside &= (np.abs(local[:, 1]) < spec.y_range[1]) & (np.hypot(*local.T) <= WITHIN_M)
    known = np.zeros(len(walks), bool)
    known[moment.there.who[moment.there.who >= 0]] = True
    return np.flatnonzero(walks & inside & ~known)


def _is_somebody(moment: Moment, place: Float[ndarray, "2"]) -> bool:
    """Whether any pedestrian, tracked or not, truly is there: such a claim is no false alarm."""
    true = moment.drive.true
    people = (true.kind == Kind.PEDESTRIAN) & true.there[:, moment.frame]
    apart = np.hypot(*(true.pose[people, moment.frame, :2] - place).T)
    return bool((apart <= MATCH_M).any())


def recall_at(found: Sequence[Sightings], a_minute: float = FALSE_A_MINUTE) -> dict[str, Any]:
    """Share of the people without a track that are found at so many false alarms a minute.

    Claims of one place in a row are one alarm.
    """
    minutes = sum(s.minutes for s in found)
    alarms = sorted((a for s in found for a in _alarms(s.claims, max(HELD, s.every))), reverse=True)
    allowed = int(a_minute * minutes)
    threshold = alarms[allowed] if allowed < len(alarms) else 0.0
    people = sum(len(s.found) + len(s.missed) for s in found)
    hits = sum(score > threshold for s in found for score in s.found.values())
    return {
        "people": people,
        "recall": hits / people if people else None,
        "threshold": threshold,
        "false_alarms_a_minute": sum(a > threshold for a in alarms) / minutes if minutes else None,
        "minutes": minutes,
    }


def _alarms(claims: Sequence[Peak], gap: int) -> list[float]:
    """The highest score of each run of claims in one place, no more than `gap` frames apart."""
    runs: list[tuple[Peak, float]] = []
    for claim in claims:
        for i, (last, score) in enumerate(runs):
            if claim.frame - last.frame <= gap and np.hypot(*(claim.place - last.place)) <= 2 * MATCH_M:
                runs[i] = (claim, max(score, claim.score))
                break
        else:
            runs.append((claim, claim.score))
    return [score for _, score in runs]


def hidden_people(drives: Sequence[Drive], forecaster: Forecaster, grid: TimeGrid) -> dict[str, Any]:
    """Figures of the room: recall of untracked pedestrians at one false alarm a minute with and without the
    grid, and the cross-entropy (nats a cell) of where they are in 2 s, beside a prior of the map fitted on
    the first half of the drives. The second half is judged.
    """
    half = max(1, len(drives) // 2)
    fitted, judged = drives[:half], drives[half:] or drives
    prior = map_prior(
        (m for d in fitted for m in _later_moments(d, grid)), occupancy_spec(BevSpec()), LATER_FRAMES
    )
    every = next((i for i in range(1, 5) if all(d.bev and d.bev[i] for d in judged if d.bev)), 4)
    out: dict[str, Any] = {"ticks_apart_s": every * FRAME_S, "prior": prior.tolist()}
    for name, bev in (("with_bev", True), ("without_bev", False)):
        frames = [range(8, d.frames, every) for d in judged]
        found = [sightings(d, forecaster, grid, f, bev) for d, f in zip(judged, frames, strict=True)]
        out[name] = recall_at(found) | later_likelihood(judged, forecaster, grid, prior, bev)
    return out


def later_likelihood(
    drives: Iterable[Drive], forecaster: Forecaster, grid: TimeGrid, prior: Float[ndarray, "2"], bev: bool
) -> dict[str, Any]:
    """Cross-entropy (nats a cell) of where those without a track are in 2 s, beside a prior of the map.

    `prior` is the share of occupied cells off and on the sidewalks and crosswalks.
    """
    ours, theirs, cells = 0.0, 0.0, 0
    for drive in drives:
        moments = _later_moments(drive, grid, bev)
        for moment, forecast in zip(moments, forecaster([m.scene for m in moments]), strict=True):
            if forecast.occupancy is None:
                raise ValueError("the model forecasts no occupancy")
            spec = forecast.occupancy.spec
            occupied, walkable = hidden_later(moment, spec, LATER_FRAMES), walkable_cells(moment, spec)
            guess = np.clip(np.where(walkable, prior[1], prior[0]), 1e-6, 1 - 1e-6)
            said = np.clip(forecast.occupancy.probability[UNTRACKED, LATER], 1e-6, 1 - 1e-6)
            ours -= float(np.where(occupied, np.log(said), np.log(1 - said)).sum())
            theirs -= float(np.where(occupied, np.log(guess), np.log(1 - guess)).sum())
            cells += occupied.size
    return {"nll_in_2_s": ours / max(cells, 1), "nll_in_2_s_prior": theirs / max(cells, 1)}


def _later_moments(drive: Drive, grid: TimeGrid, bev: bool = True) -> list[Moment]:
    return [moment_at(drive, f, grid, bev=bev) for f in range(8, drive.frames - LATER_FRAMES, 20)]
