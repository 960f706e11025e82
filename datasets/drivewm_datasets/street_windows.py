"""Training windows of drives: the past as the car knew it, the future as it was under each plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.bev import OCCUPANCY_TIMES_S, BevSpec
from drivewm.context import signal_states
from drivewm.frames import rotate, wrap_angle
from drivewm.history import SAME_M, VELOCITY_S
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_datasets.collisions import reactions
from drivewm_datasets.drive import FRAME_S, Branch, Drive, forecast_kinds
from drivewm_datasets.windows import TimeLayout, TrainingWindow

CARRY_S = 3.0
"""So long a track that ended is carried on at its last velocity."""
VELOCITY_FRAMES = round(VELOCITY_S / FRAME_S)
NEVER, NOT_ASKED = -1, -2


@dataclass(frozen=True, kw_only=True)
class StreetPart:
    """What a window of a drive knows beside the positions. Places are relative to the window's origin.

    Axes: A agents, S slots, G plans, F steps, P pieces of map, N agents of the truth, Q times.
    """

    frame: int
    track: Int[ndarray, "A"]  # rows of the seen cast: the same agent in every window of a drive
    history: Float[ndarray, "A S 2"]  # as the car knew it
    history_valid: Bool[ndarray, "A S"]
    unseen_s: Float[ndarray, "A"]
    exists: Bool[ndarray, "A"]
    crossing: Int[
        ndarray, "A"
    ]  # step in which it steps on the road; NEVER; NOT_ASKED of those on it and others
    meeting: Bool[ndarray, "A"]  # pedestrians who have to do with the road now
    ego: int  # its row; -1: not in the window
    ego_pose: Float[ndarray, "3"]
    line_state: Int[ndarray, "P"]  # the aspect of each piece's signal, -1: none
    plan: Float[ndarray, "G F 3"]
    plan_valid: Bool[ndarray, "G F"]
    plan_names: tuple[str, ...]
    future: Float[ndarray, "G A F 2"]
    future_known: Bool[ndarray, "G A"]
    others: Float[ndarray, "N Q 3"]
    others_valid: Bool[ndarray, "N Q"]
    others_kind: Int[ndarray, "N"]
    others_size: Float[ndarray, "N 2"]
    others_tracked: Bool[ndarray, "N"]
    bev: bytes | None
    bev_spec: BevSpec | None
    mirrored: bool = False  # the grid is to be mirrored, left for right

    def only(self, rows: Int[ndarray, "B"]) -> StreetPart:
        """The agents of these rows."""
        kept = np.flatnonzero(rows == self.ego)
        return replace(
            self,
            track=self.track[rows],
            history=self.history[rows],
            history_valid=self.history_valid[rows],
            unseen_s=self.unseen_s[rows],
            exists=self.exists[rows],
            crossing=self.crossing[rows],
            meeting=self.meeting[rows],
            ego=int(kept[0]) if len(kept) else -1,
            future=self.future[:, rows],
            future_known=self.future_known[:, rows],
        )

    def turned(self, yaw: float) -> StreetPart:
        """Everything turned counter-clockwise around the origin."""
        angle = np.asarray(yaw)
        return replace(
            self,
            history=rotate(self.history, angle),
            ego_pose=_turn(self.ego_pose, angle),
            plan=_turn(self.plan, angle),
            future=rotate(self.future, angle),
            others=_turn(self.others, angle),
        )

    def mirror(self) -> StreetPart:
        """Everything mirrored at the x axis."""
        flip, flip3 = np.array([1.0, -1.0]), np.array([1.0, -1.0, -1.0])
        return replace(
            self,
            history=self.history * flip,
            ego_pose=self.ego_pose * flip3,
            plan=self.plan * flip3,
            future=self.future * flip,
            others=self.others * flip3,
            mirrored=not self.mirrored,
        )


def _turn(pose: Float[ndarray, "*b 3"], yaw: ndarray) -> Float[ndarray, "*b 3"]:
    return np.concatenate([rotate(pose[..., :2], yaw), wrap_angle(pose[..., 2:] + yaw)], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Present:
    """Whom the car knows of at a frame: rows of the seen cast, those carried on last."""

    rows: Int[ndarray, "A"]
    unseen: Int[ndarray, "A"]  # frames since each was seen
    place: Float[ndarray, "A 2"]  # now, carried on where unseen
    who: Int[ndarray, "A"]  # rows of the true cast, -1 unknown


def present_at(drive: Drive, frame: int) -> Present:
    """The agents seen at a frame and those carried on from before."""
    seen, kinds = drive.seen, forecast_kinds(drive.seen)
    here = np.flatnonzero(seen.there[:, frame] & kinds)
    begin = max(frame - round(CARRY_S / FRAME_S), 0)
    recently = seen.there[:, begin:frame].any(axis=1) & ~seen.there[:, frame] & kinds
    lost, unseen, carried = [], [], []
    for row in np.flatnonzero(recently).tolist():
        last = begin + int(np.flatnonzero(seen.there[row, begin:frame])[-1])
        place = carried_on(seen.pose[row, :, :2], seen.there[row], last, frame)
        near = np.hypot(*(seen.pose[here, frame, :2] - place).T) < SAME_M
        younger = ~seen.there[here, : last + 1].any(axis=1)
        if not (near & younger & (seen.kind[here] == seen.kind[row])).any():
            lost.append(row)
            unseen.append(frame - last)
            carried.append(place)
    rows = np.concatenate([here, np.array(lost, np.int64)])
    ages = np.concatenate([np.zeros(len(here), np.int64), np.array(unseen, np.int64)])
    place = np.concatenate([seen.pose[here, frame, :2], np.array(carried).reshape(-1, 2)])
    return Present(rows=rows, unseen=ages, place=place, who=seen.truth[rows, frame - ages])


def carried_on(
    xy: Float[ndarray, "T 2"], there: Bool[ndarray, "T"], last: int, frame: int
) -> Float[ndarray, "2"]:
    """Where a track that was last seen at frame `last` is at `frame`, if it went on at its velocity."""
    before = next((k for k in range(VELOCITY_FRAMES, 0, -1) if last >= k and there[last - k]), 0)
    velocity = (xy[last] - xy[last - before]) / before if before else np.zeros(2)
    return xy[last] + velocity * (frame - last)


def seen_past(
    drive: Drive, frame: int, there: Present, grid: TimeGrid
) -> tuple[Float[ndarray, "A S 2"], Bool[ndarray, "A S"]]:
    """The history slots as the car filled them, in the scene frame; a lost one is carried on in slot 0."""
    ages = np.round(np.asarray(grid.ages) / FRAME_S).astype(np.int64)
    past = np.clip(frame - ages, 0, None)
    valid = drive.seen.there[there.rows][:, past] & (frame - ages >= 0)
    place = drive.seen.pose[there.rows][:, past, :2]
    place[:, 0], valid[:, 0] = there.place, True
    return place, valid


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What followed a frame, in the scene frame, as recorded or under each branch's plan; 0 where unknown."""

    plan: Float[ndarray, "G F 3"]  # where the ego went
    plan_valid: Bool[ndarray, "G F"]
    names: tuple[str, ...]
    future: Float[ndarray, "G A F 2"]
    known: Bool[ndarray, "G A"]  # the whole future


def what_followed(
    drive: Drive, frame: int, grid: TimeGrid, who: Int[ndarray, "A"], branches: Sequence[Branch] = ()
) -> Followed:
    """What became of these agents (rows of the true cast, -1 unknown) and of the ego."""
    steps = np.round(np.asarray(grid.horizons) / FRAME_S).astype(np.int64)
    sources = [(b.pose, b.there, steps - 1) for b in branches]
    sources = sources or [(drive.true.pose, drive.true.there, frame + steps)]
    plan, plan_valid, future, known = [], [], [], []
    for pose, there, index in sources:
        inside = index < pose.shape[1]
        at = np.minimum(index, pose.shape[1] - 1)
        ego = np.logical_and.accumulate(there[drive.ego, at] & inside)
        plan.append(np.where(ego[:, None], pose[drive.ego, at], 0.0))
        plan_valid.append(ego)
        whole = (there[who][:, at] & inside).all(axis=1) & (who >= 0)
        known.append(whole)
        future.append(np.where(whole[:, None, None], pose[who][:, at, :2], 0.0))
    return Followed(
        plan=np.stack(plan),
        plan_valid=np.stack(plan_valid),
        names=tuple(b.plan for b in branches) or ("recorded",),
        future=np.stack(future),
        known=np.stack(known),
    )


def street_windows(
    drive: Drive, layout: TimeLayout, every: float, *, branches: bool = False
) -> Iterator[TrainingWindow]:
    """A window every `every` seconds with the recorded plan, or one a branched moment with all its plans."""
    if branches:
        for moment in sorted({b.moment for b in drive.branches}):
            branches_here = reactions(drive, moment)
            window = window_at(drive, layout, moment, branches_here) if len(branches_here) > 1 else None
            if window is not None:
                yield window
        return
    for frame in range(0, drive.frames, round(every / FRAME_S)):
        window = window_at(drive, layout, frame)
        if window is not None:
            yield window


@dataclass(frozen=True)
class AsRecorded(Sequence[TrainingWindow]):
    """Windows of drives as a recording would show them: true paths of those known of, each once, and the map.

    Each is made when it is asked for.
    """

    windows: Sequence[TrainingWindow]
    now: int  # where the anchor is among the times

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> TrainingWindow:  # type: ignore[override]
        window = self.windows[index]
        rows = np.flatnonzero(window.valid[:, self.now])
        # A lost track and a young one may be of the same person: they have the same true place.
        _, first = np.unique(window.position[rows, self.now], axis=0, return_index=True)
        rows = rows[np.sort(first)]
        return replace(
            window,
            position=window.position[rows],
            valid=window.valid[rows],
            known=window.known[rows],
            kind=window.kind[rows],
            size=window.size[rows],
            street=None,
        )


def answers(window: TrainingWindow, least_m: float = 0.3) -> int:
    """How many agents of a branched window are displaced by more between two plans."""
    if window.street is None:
        return 0
    part = window.street
    apart = np.linalg.norm(part.future[:, None] - part.future[None], axis=-1).max(axis=(0, 1, 3))
    others: ndarray = np.arange(len(window.kind)) != part.ego
    return int((part.future_known.all(axis=0) & others & (apart > least_m)).sum())


def window_at(
    drive: Drive, layout: TimeLayout, frame: int, branches: Sequence[Branch] = ()
) -> TrainingWindow | None:
    """The window of a frame; None where nobody can be learned from."""
    there = present_at(drive, frame)
    if len(there.rows) == 0:
        return None
    origin = there.place.mean(axis=0)
    index = frame + np.round(layout.times / FRAME_S).astype(np.int64)
    inside = (index >= 0) & (index < drive.frames)
    at = np.clip(index, 0, drive.frames - 1)
    true, known_who = drive.true, there.who >= 0
    known = true.there[there.who][:, at] & inside & known_who[:, None]
    position = np.where(known[..., None], true.pose[there.who][:, at, :2] - origin, 0.0)
    part = _street_part(drive, layout, frame, there, origin, branches)
    enough = part.history_valid.sum(axis=1) >= 2
    if not (part.future_known & enough).any():
        return None
    return TrainingWindow(
        position=position.astype(np.float32),
        valid=known,
        known=known,
        kind=drive.seen.kind[there.rows],
        size=drive.seen.size[there.rows],
        origin=origin,
        lines=drive.lines,
        street=part,
    )


def _street_part(
    drive: Drive,
    layout: TimeLayout,
    frame: int,
    there: Present,
    origin: Float[ndarray, "2"],
    branches: Sequence[Branch],
) -> StreetPart:
    true, who = drive.true, there.who
    history, valid = seen_past(drive, frame, there, layout.grid)
    steps = frame + np.round(np.asarray(layout.grid.horizons) / FRAME_S).astype(np.int64)
    exists = (who >= 0) & true.there[who, frame]
    followed = what_followed(drive, frame, layout.grid, who, branches)
    others, others_valid = _others(drive, frame, origin)
    tracked = np.zeros(len(true.ids), bool)
    tracked[who[who >= 0]] = True
    near = others_valid.any(axis=1) & forecast_kinds(true)
    near[drive.ego] = False
    state = signal_states(drive.road_map, drive.signals[frame])
    ego = np.flatnonzero((who == drive.ego) & (there.unseen == 0))
    return StreetPart(
        frame=frame,
        track=there.rows,
        history=np.where(valid[..., None], history - origin, 0.0),
        history_valid=valid,
        unseen_s=there.unseen * FRAME_S,
        exists=exists,
        crossing=_crossing(drive, frame, steps, there),
        meeting=_meeting(drive, frame, there),
        ego=int(ego[0]) if len(ego) else -1,
        ego_pose=_from(true.pose[drive.ego, frame], origin),
        line_state=state[drive.lines.of],
        plan=np.where(followed.plan_valid[..., None], _from(followed.plan, origin), 0.0),
        plan_valid=followed.plan_valid,
        plan_names=followed.names,
        future=np.where(followed.known[..., None, None], followed.future - origin, 0.0),
        future_known=followed.known,
        others=others[near].astype(np.float32),
        others_valid=others_valid[near],
        others_kind=true.kind[near],
        others_size=true.size[near],
        others_tracked=tracked[near],
        bev=None if drive.bev is None else drive.bev[frame] or None,
        bev_spec=drive.bev_spec,
    )


def _from(pose: Float[ndarray, "*b 3"], origin: Float[ndarray, "2"]) -> Float[ndarray, "*b 3"]:
    return pose - np.append(origin, 0.0)


def _crossing(drive: Drive, frame: int, steps: Int[ndarray, "F"], there: Present) -> Int[ndarray, "A"]:
    true, who = drive.true, there.who
    asked = (drive.seen.kind[there.rows] == Kind.PEDESTRIAN) & (who >= 0)
    asked &= ~true.on_road[who, frame] & true.there[who, frame] & (steps[-1] < drive.frames)
    at = np.minimum(steps, drive.frames - 1)
    on = true.on_road[who][:, at]
    first = np.where(on.any(axis=1), on.argmax(axis=1), NEVER)
    return np.where(asked, first, NOT_ASKED)


def _meeting(drive: Drive, frame: int, there: Present) -> Bool[ndarray, "A"]:
    asked = (drive.seen.kind[there.rows] == Kind.PEDESTRIAN) & (there.who >= 0)
    return asked & drive.true.meeting[there.who, frame]


def _others(drive: Drive, frame: int, origin: Float[ndarray, "2"]) -> tuple[ndarray, ndarray]:
    index = frame + np.round(np.asarray(OCCUPANCY_TIMES_S) / FRAME_S).astype(np.int64)
    at = np.minimum(index, drive.frames - 1)
    valid = drive.true.there[:, at] & (index < drive.frames)
    return np.where(valid[..., None], _from(drive.true.pose[:, at], origin), 0.0), valid
