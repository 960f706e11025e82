"""Do forecasts hold still from tick to tick, and do they follow soon when somebody turns or stops?

Smoothing makes forecasts calm and late; neither figure says anything without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.interpolation import between_steps
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.drive_scenes import Moment

STEADY_S = 1.2
"""So long before and after an event its agent keeps its velocity, and so far ahead errors are measured."""
CHANGE_S = (0.6, 1.2, 3.0)
"""By kind, how long a turn or a stop takes at most."""
STEADY_MPS = 0.35
TURN = np.radians(40.0)
STANDS_MPS, GOES_MPS = 0.25, 0.8
SLACK_M = 0.1
LONGEST_S = 3.0
"""A forecast that is not back by then counts as this late."""
Figures = dict[str, dict[str, float | int | None]]


def jitter(scenes: Sequence[Scene], forecasts: Sequence[Forecast]) -> Figures:
    """How far forecasts of successive ticks for the same absolute times lie apart, in metres, by kind.

    Ticks are those scenes that follow each other within the horizon, of one recording; earlier forecasts are
    read at the later ones' times (a cubic through their steps). `joint`: each mode of the later forecast
    against the nearest mode of the earlier one (mean over the agents of both), weighted by its probability.
    `most_likely`: each agent's most likely candidate, changes of mind included. `candidates`: each candidate
    against the nearest earlier one, by its probability.
    """
    parts: dict[str, dict[str, list[ndarray]]] = {}
    for before, after, old, new in zip(scenes, scenes[1:], forecasts, forecasts[1:], strict=False):
        gap = new.t_s - old.t_s
        if before.provenance != after.provenance or not 0 < gap < old.horizon[-1]:
            continue
        row_of = {name: row for row, name in enumerate(old.ids)}
        now = np.array([row for row, name in enumerate(new.ids) if name in row_of], np.int64)
        then = np.array([row_of[new.ids[row]] for row in now], np.int64)
        if len(now) == 0:
            continue
        for name, distance in _apart(before, old, new, then, now, gap).items():
            for kind in Kind:
                some = distance[new.kind[now] == kind]
                parts.setdefault(kind.name.lower(), {}).setdefault(name, []).append(some)
    return {kind: _means(listed) for kind, listed in parts.items()}


def _means(listed: dict[str, list[ndarray]]) -> dict[str, float | int | None]:
    joined = {name: np.concatenate(values) for name, values in listed.items()}
    out: dict[str, float | int | None] = {
        name: float(values.mean()) if len(values) else None for name, values in joined.items()
    }
    return {**out, "pairs": len(next(iter(joined.values())))}


def _apart(
    scene: Scene, old: Forecast, new: Forecast, then: Int[ndarray, "B"], now: Int[ndarray, "B"], gap: float
) -> dict[str, Float[ndarray, "B"]]:
    """Mean distance over the common times of each agent of both ticks."""
    common = new.horizon + gap <= old.horizon[-1] + 1e-9
    at = np.minimum(new.horizon[common] + gap, old.horizon[-1])
    start, velocity = scene.tracks.position[then, 0], scene.tracks.velocity[then, 0]

    def distance(earlier: Float[ndarray, "K B F 2"], later: Float[ndarray, "M B F 2"]) -> ndarray:
        moved = between_steps(earlier, old.horizon, start, velocity, at)
        return np.linalg.norm(later[:, None, :, common] - moved[None], axis=-1).mean(-1)  # M K B

    joint = distance(old.position[:, then], new.position[:, now])
    nearest = joint.mean(axis=-1).argmin(axis=1)
    candidates = distance(old.marginal_position[:, then], new.marginal_position[:, now]).min(axis=1)
    single = distance(old.most_likely[None, then], new.most_likely[None, now])[0, 0]
    return {
        "joint": new.mode_probability @ joint[np.arange(len(joint)), nearest],
        "candidates": (new.marginal_probability[:, now] * candidates).sum(axis=0),
        "most_likely": single,
    }


@dataclass(frozen=True, kw_only=True)
class Event:
    """An agent that truly turned or stopped: steady before `begin`, steady again from `end` on (frames)."""

    agent: int  # row of the true cast
    what: str  # "turn" or "stop"
    begin: int
    end: int


def events(drive: Drive) -> list[Event]:
    """Turns by 40 degrees or more and stops of all agents but the ego, between 1.2 s of steady motion."""
    steady, out = round(STEADY_S / FRAME_S), []
    for agent in range(len(drive.true.ids)):
        kind = int(drive.true.kind[agent])
        if agent == drive.ego or kind not in tuple(Kind):
            continue
        velocity, known = _velocity(drive.true.pose[agent, :, :2], drive.true.there[agent])
        even = _even(velocity, known, steady)
        frame, longest = steady, round(CHANGE_S[kind] / FRAME_S)
        while frame < len(velocity) - steady:
            # The last steady frame of the old motion, then the first steady run of a new one.
            found = None
            if even[frame - steady] and not even[frame - steady + 1]:
                ends = [e for e in range(frame + 1, min(frame + longest, len(even) - 1) + 1) if even[e]]
                if ends and known[frame : ends[0]].all():
                    found = _what(
                        velocity[frame - steady : frame].mean(0), velocity[ends[0] : ends[0] + steady].mean(0)
                    )
                    if found:
                        out.append(Event(agent=agent, what=found, begin=frame, end=ends[0]))
                        frame = ends[0]
            frame += 1
    return out


def _velocity(xy: Float[ndarray, "T 2"], there: Bool[ndarray, "T"]) -> tuple[ndarray, ndarray]:
    """Velocity (m/s) from each frame to the next, over three to be rid of the gait, and where known."""
    velocity = np.zeros((len(xy), 2))
    known = np.zeros(len(xy), bool)
    velocity[1:-2] = (xy[3:] - xy[:-3]) / (3 * FRAME_S)
    known[1:-2] = there[3:] & there[:-3] & there[1:-2]
    return velocity, known


def _even(velocity: Float[ndarray, "T 2"], known: Bool[ndarray, "T"], length: int) -> Bool[ndarray, "T"]:
    """Whether the velocity stays within bounds over the `length` frames from each on."""
    out = np.zeros(len(velocity), bool)
    for frame in range(len(velocity) - length):
        part = velocity[frame : frame + length]
        bound = max(STEADY_MPS, 0.1 * float(np.hypot(*part.mean(0))))
        out[frame] = known[frame : frame + length].all() and np.hypot(*(part - part.mean(0)).T).max() <= bound
    return out


def _what(before: Float[ndarray, "2"], after: Float[ndarray, "2"]) -> str:
    """What the change from one velocity to another is; empty where it is neither."""
    went, goes = float(np.hypot(*before)), float(np.hypot(*after))
    if went >= GOES_MPS and goes <= STANDS_MPS:
        return "stop"
    angle = np.arctan2(before[0] * after[1] - before[1] * after[0], before @ after)
    return "turn" if min(went, goes) >= GOES_MPS and abs(angle) >= TURN else ""


def reactions(
    drive: Drive, moments: Sequence[Moment], forecasts: Sequence[Forecast]
) -> list[dict[str, object]]:
    """For each event of a drive how late the forecast is back, in seconds after the new motion began.

    Back: the mean error of the most likely candidate over the next 1.2 s is within 0.1 m of what it was, on
    average, over the last 1.2 s in which the event lay beyond those 1.2 s; 3 s at most. Moments are ticks of
    the drive in order of time, close to each other (0.1 or 0.2 s); events without ticks before and after are
    left out, and so is who is not tracked then.
    """
    frames = np.array([m.frame for m in moments])
    ahead = round(STEADY_S / FRAME_S)
    out: list[dict[str, object]] = []
    for event in events(drive):
        error = {
            int(frame): _error(drive, event.agent, moments[i], forecasts[i])
            for i, frame in enumerate(frames)
            if event.begin - 2 * ahead <= frame <= event.end + round(LONGEST_S / FRAME_S)
        }
        before = [e for f, e in error.items() if f <= event.begin - ahead and e is not None]
        after = [(f, e) for f, e in error.items() if f >= event.end and e is not None]
        if not before or not after:
            continue
        level = float(np.mean(before)) + SLACK_M
        back = next((f for f, e in after if e <= level), None)
        late = LONGEST_S if back is None else (back - event.end) * FRAME_S
        kind = Kind(int(drive.true.kind[event.agent])).name.lower()
        out.append({"kind": kind, "what": event.what, "delay_s": late, "back": back is not None})
    return out


def _error(drive: Drive, agent: int, moment: Moment, forecast: Forecast) -> float | None:
    """Mean error over the next 1.2 s; None where the agent is not tracked or its future not known."""
    rows = np.flatnonzero(moment.there.who == agent)
    steps = forecast.horizon <= STEADY_S + 1e-9
    at = moment.frame + np.round(forecast.horizon[steps] / FRAME_S).astype(np.int64)
    if len(rows) == 0 or at[-1] >= drive.frames or not drive.true.there[agent, at].all():
        return None
    truth = drive.true.pose[agent, at, :2]
    return float(np.linalg.norm(forecast.most_likely[rows[0], steps] - truth, axis=-1).mean())


def reaction_delay(listed: Sequence[dict[str, object]]) -> Figures:
    """By kind and event: mean and median delay (s), the share back within 3 s, how many events."""
    out: Figures = {}
    for key in sorted({(str(r["kind"]), str(r["what"])) for r in listed}):
        some = [r for r in listed if (r["kind"], r["what"]) == key]
        late = np.array([r["delay_s"] for r in some], float)
        out[" ".join(key)] = {
            "mean_s": float(late.mean()),
            "median_s": float(np.median(late)),
            "back": float(np.mean([bool(r["back"]) for r in some])),
            "events": len(some),
        }
    return out
