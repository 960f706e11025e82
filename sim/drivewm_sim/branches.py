"""Counterfactuals: what would have happened had the ego done something else at chosen moments of an episode.

Every plan of a moment runs from the same snapshot under the same random numbers, so what differs between two
branches follows from what the ego did. The recording itself is finished before any branch is run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy import ndarray

from drivewm.types import Kind
from drivewm_datasets.episode import Branches
from drivewm_sim.ego_route import EgoRoute
from drivewm_sim.episode_tables import frame_columns, tracks_columns
from drivewm_sim.plans import PLANS, Driver, plan_driver, recorded_driver
from drivewm_sim.randomness import EGO, uniform
from drivewm_sim.simulator import DECISION_S, Agents, EgoCommand, Frame, Simulator, Snapshot

MOMENT_EVERY = 4
"""Frames between two moments that may be chosen: the model's step of 0.4 s."""
FIRST_MOMENT = 8
"""By then, 0.8 s, agents have a past."""
APART = 8
"""Frames between two chosen moments at least."""
_NEAR_M, _BESIDE_M, _EVENT_FRAMES = 25.0, 8.0, 20
_EGO_UID = -1  # key of the draws, beside those that policies use


@dataclass(frozen=True, kw_only=True)
class Branching:
    """How an episode is branched."""

    moments: int  # 0: not at all
    horizon_s: float = 4.8
    plans: tuple[str, ...] = PLANS
    verify: bool = False  # repeat the recording from every moment and compare

    @property
    def horizon(self) -> int:
        """In frames."""
        return round(self.horizon_s / DECISION_S)


@dataclass(frozen=True, kw_only=True)
class Drive:
    """A finished episode: frames, each with the command that follows, and snapshots of some."""

    frames: list[Frame] = field(default_factory=list)
    commands: list[EgoCommand] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)  # by row of `frames`


def may_branch(row: int) -> bool:
    """Whether a frame's snapshot is worth keeping."""
    return row >= FIRST_MOMENT and row % MOMENT_EVERY == 0


def choose_moments(drive: Drive, count: int, horizon: int, seed: int) -> list[int]:
    """Rows of at most `count` frames with a snapshot and a recorded future of `horizon` frames, ascending.

    Drawn with weights: moments with a pedestrian up to 25 m ahead and moments within 2 s of an event count
    more. Sampling without replacement after Efraimidis and Spirakis (2006).
    """
    last = len(drive.frames) - 1 - horizon
    rows = [row for row in sorted(drive.snapshots) if row <= last]
    eventful = [i for i, frame in enumerate(drive.frames) if frame.events]
    keys = {}
    for row in rows:
        weight = 1.0 + 8.0 * _pedestrian_ahead(drive.frames[row])
        weight += 4.0 * any(abs(row - i) <= _EVENT_FRAMES for i in eventful)
        draw = 1.0 - uniform(seed, _EGO_UID, EGO, drive.frames[row].index, 0)
        keys[row] = math.log(draw) / weight
    chosen: list[int] = []
    for row in sorted(rows, key=lambda r: (-keys[r], r)):
        if len(chosen) < count and all(abs(row - other) >= APART for other in chosen):
            chosen.append(row)
    return sorted(chosen)


def _pedestrian_ahead(frame: Frame) -> bool:
    seen = frame.perceived
    x, y, yaw = frame.truth.pose[frame.truth.uid == frame.ego_uid][0]
    offset = seen.pose[seen.kind == Kind.PEDESTRIAN, :2] - [x, y]
    ahead = offset @ [np.cos(yaw), np.sin(yaw)]
    beside = offset @ [-np.sin(yaw), np.cos(yaw)]
    return bool(np.any((ahead > 0.0) & (ahead < _NEAR_M) & (np.abs(beside) < _BESIDE_M)))


def branch_out(
    simulator: Simulator, drive: Drive, route: EgoRoute, branching: Branching, seed: int
) -> Branches | None:
    """The branches of an episode; None where it has no moment to branch from.

    RuntimeError if `verify` is asked for and the recorded commands do not give the recording again.
    """
    rows = choose_moments(drive, branching.moments, branching.horizon, seed)
    made: list[tuple[str, list[Frame], list[EgoCommand]]] = []
    for row in rows:
        snapshot, start = drive.snapshots[row], drive.frames[row]
        if branching.verify:
            verify_moment(simulator, drive, row, branching.horizon)
        for plan in branching.plans:
            driver = plan_driver(plan, start, drive.commands[row - 1], route)
            made.append((plan, *_run(simulator, snapshot, start, driver, branching.horizon)))
    made = [branch for branch in made if len(branch[1]) > 1]
    return _tables(made) if made else None


def _run(
    simulator: Simulator, snapshot: Snapshot, start: Frame, driver: Driver, horizon: int
) -> tuple[list[Frame], list[EgoCommand]]:
    """Frames from the moment on, and the commands between them; shorter where the ego's route ends."""
    simulator.restore(snapshot)
    frames: list[Frame] = [start]
    commands: list[EgoCommand] = []
    while len(commands) < horizon and not frames[-1].finished:
        commands.append(driver(frames[-1]))
        frames.append(simulator.step(commands[-1]))
    return frames, commands


def verify_moment(simulator: Simulator, drive: Drive, row: int, horizon: int) -> None:
    """RuntimeError unless the recorded commands, from a snapshot, give the recorded frames bit by bit."""
    driver = recorded_driver(drive.commands[row : row + horizon])
    again, _ = _run(simulator, drive.snapshots[row], drive.frames[row], driver, horizon)
    for was, now in zip(drive.frames[row : row + len(again)], again, strict=True):
        if not (
            _same(was.truth, now.truth) and _same(was.perceived, now.perceived) and was.events == now.events
        ):
            raise RuntimeError(
                f"frame {now.index}, repeated from frame {drive.frames[row].index}, is not the recorded one; "
                "this backend does not branch exactly: report it"
            )


def _same(a: Agents, b: Agents) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Agents))


def _tables(made: Sequence[tuple[str, list[Frame], list[EgoCommand]]]) -> Branches:
    tracks: list[dict[str, ndarray]] = []
    frames: list[dict[str, ndarray]] = []
    for index, (plan, seen, commands) in enumerate(made):
        after = seen[1:]
        for parts, columns in (
            (tracks, tracks_columns(after, [f.truth for f in after])),
            (frames, frame_columns(seen[:-1], commands)),
        ):
            rows = len(columns["frame"])
            named: dict[str, ndarray] = {
                "branch": np.full(rows, index),
                "moment_frame": np.full(rows, seen[0].index),
                "plan": np.full(rows, plan, object),
            }
            parts.append(named | columns)
    return Branches(tracks=_stacked(tracks), frames=_stacked(frames))


def _stacked(parts: Sequence[dict[str, ndarray]]) -> dict[str, ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
