"""A moment of a drive as the car knew it: the scene that a forecaster gets, and what truly followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.lane_direction import road_yaw
from drivewm.timing import TimeGrid
from drivewm.tracks import tracks_from_positions
from drivewm.types import EgoPlan, Kind, Provenance, Scene
from drivewm_datasets.drive import FRAME_S, Branch, Drive
from drivewm_datasets.street_windows import Present, present_at, seen_past, what_followed


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One frame of a drive. A agents of the scene, G futures (one recorded, or one a branch), F steps."""

    drive: Drive
    frame: int
    scene: Scene
    there: Present
    plans: tuple[str, ...]
    future: Float[ndarray, "G A F 2"]  # scene frame, zero where not known
    known: Bool[ndarray, "G A"]  # whole future known

    @property
    def is_ego(self) -> Bool[ndarray, "A"]:
        return self.there.who == self.drive.ego

    @property
    def meeting(self) -> Bool[ndarray, "A"]:
        """Pedestrians who cross, wait to or come to the kerb for it, now."""
        walks = self.scene.tracks.kind == Kind.PEDESTRIAN
        return walks & (self.there.who >= 0) & self.drive.true.meeting[self.there.who, self.frame]


def moment_at(
    drive: Drive, frame: int, grid: TimeGrid, branches: Sequence[Branch] = (), *, bev: bool = True
) -> Moment:
    """What was known at a frame and what followed: as recorded, or under the plan of each branch.

    The plans of branches are given to the scene; a recorded plan never is: it correlates with how the people
    behaved.
    """
    there = present_at(drive, frame)
    followed = what_followed(drive, frame, grid, there.who, branches)
    plan = EgoPlan(pose=followed.plan, valid=followed.plan_valid) if branches else None
    return Moment(
        drive=drive,
        frame=frame,
        scene=scene_of(drive, frame, grid, there, plan=plan, bev=bev),
        there=there,
        plans=followed.names,
        future=followed.future,
        known=followed.known,
    )


def scene_of(
    drive: Drive, frame: int, grid: TimeGrid, there: Present, *, plan: EgoPlan | None, bev: bool
) -> Scene:
    """The scene at a frame, from the past alone."""
    seen = drive.seen
    position, valid = seen_past(drive, frame, there, grid)
    tracks = tracks_from_positions(
        position=position,
        valid=valid,
        times=-np.asarray(grid.ages),
        kind=seen.kind[there.rows],
        size=seen.size[there.rows],
        ids=tuple(seen.ids[row] for row in there.rows),
        unseen_s=there.unseen * FRAME_S,
        road_yaw=road_yaw(there.place, seen.kind[there.rows], drive.lines),
    )
    return Scene(
        tracks=tracks,
        t_s=float(drive.t_s[frame]),
        road_map=drive.road_map,
        signals=drive.signals[frame],
        bev=drive.grid(frame) if bev else None,
        ego_pose=drive.true.pose[drive.ego, frame],
        plan=plan,
        ego_id=drive.ego_id,
        provenance=Provenance(dataset=drive.dataset, scene=drive.scene),
    )


def branched_frames(drive: Drive) -> Int[ndarray, "M"]:
    """The frames from which a drive was branched, ascending."""
    return np.unique([b.moment for b in drive.branches]).astype(np.int64)
