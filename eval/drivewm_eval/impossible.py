"""Matched pairs of drives: one in which something impossible happens to somebody, one in which it does not.

Both are the same real drive up to an edit of what the car sees; map, signals and everybody else are equal.
After Riochet et al. 2022 (IntPhys), which tests intuitive physics by such pairs.

- teleport: from one frame on somebody is 2 to 6 m from where they were. Possible: as it was.
- through_vehicle, through_obstacle: somebody walks straight through what stands there. Possible: it stands
  beside the same way.
- never_out: somebody who came out from hiding does not, and the ground there is seen free.
  Possible: as it was.
- ghost: somebody is seen where the lidar looked, and still looks, right through. Possible: the place was
  hidden until then, and returns rays.
- reversal: a vehicle's velocity turns round within a frame. Possible: as it was.
- reversal_or_brake: the same; possible: it brakes at 5 m/s^2.
- wrong_way: a vehicle drives its lane backwards in time, nose first. Possible: as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.features import split_lines
from drivewm.frames import from_frame, to_frame
from drivewm.free_ground import depth_in_free_ground
from drivewm.lane_direction import angle_to_lane
from drivewm.solidity import depth_in_boxes, depth_in_outlines, obstacle_edges
from drivewm.types import Kind, LineKind, RoadMap
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_eval.repaint import Brush, repaint
from drivewm_eval.watching import LOOK_BACK, TICK

AFTER, PAST = 20, 40
"""Frames: of judgement after the edit, and of all that the scenes before it know."""
MARGIN_M = 2.0
CLEAR_M = 0.6
CAR = np.array([4.5, 1.9])
BODY = np.array([0.5, 0.5])
HIDDEN = np.array([6.0, 6.0])
BRAKE_MPS2 = 5.0
TURNED = np.array([0.0, 0.0, np.pi])


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two drives that differ by one edit from about `frame` on, and whom to watch in each."""

    violation: str
    frame: int
    kind: int  # of who is watched
    possible: Drive
    impossible: Drive
    watched_possible: tuple[str, ...]
    watched_impossible: tuple[str, ...]


def edit_frames(drive: Drive) -> Int[ndarray, "N"]:
    """The frames from which a drive may be edited: with enough before and after."""
    return np.arange(PAST, drive.frames - AFTER, TICK)


def touched(frame: int) -> range:
    """The frames whose grids an edit from a frame on may have to change."""
    return range(frame - PAST, frame + AFTER + 1)


def watchable(drive: Drive, frame: int, kind: Kind, begin: int = -LOOK_BACK) -> Int[ndarray, "N"]:
    """Rows of a kind in the seen cast, seen throughout, on the grid when the edit begins; never the ego."""
    seen = drive.seen
    throughout = seen.there[:, frame + begin : frame + AFTER + 1].all(axis=1)
    rows = np.flatnonzero(throughout & (seen.kind == kind))
    rows = np.array([row for row in rows if seen.ids[row] != drive.ego_id], np.int64)
    return rows[on_grid(drive, frame, seen.pose[rows, frame, :2])]


def on_grid(drive: Drive, frame: int, place: Float[ndarray, "N 2"]) -> Bool[ndarray, "N"]:
    """Whether places lie on the bird's-eye grid, 2 m from its edge."""
    if drive.bev_spec is None:
        return np.zeros(len(place), bool)
    at = to_frame(place, drive.true.pose[drive.ego, frame, None])
    spec = drive.bev_spec
    low = np.array([spec.x_range[0], spec.y_range[0]]) + MARGIN_M
    high = np.array([spec.x_range[1], spec.y_range[1]]) - MARGIN_M
    return np.asarray(((at > low) & (at < high)).all(axis=-1))


def with_track(
    drive: Drive, row: int, pose: Float[ndarray, "T 3"], there: Bool[ndarray, "T"], frame: int
) -> Drive:
    """The drive with another track of one agent; the grids around an edit from `frame` on follow it."""
    seen = drive.seen
    poses, present = seen.pose.copy(), seen.there.copy()
    poses[row], present[row] = np.where(there[:, None], pose, 0.0), there
    edited = replace(drive, seen=replace(seen, pose=poses, there=present))
    same = (seen.pose[row] == pose).all(axis=-1) & (seen.there[row] == there)
    out = Brush(pose=seen.pose[row], there=seen.there[row] & ~same, size=seen.size[row], look="free")
    put = Brush(pose=pose, there=there & ~same, size=seen.size[row], look="taken")
    return repaint(edited, [out, put], touched(frame))


def with_newcomer(
    drive: Drive, name: str, kind: Kind, size: Float[ndarray, "2"], pose: ndarray, there: ndarray
) -> Drive:
    """The drive in which one more is seen; the grids stay."""
    seen = drive.seen
    nobody = np.zeros((1, drive.frames), bool)
    cast = replace(
        seen,
        ids=(*seen.ids, name),
        kind=np.append(seen.kind, int(kind)),
        size=np.vstack([seen.size, size]),
        pose=np.concatenate([seen.pose, np.where(there[None, :, None], pose[None], 0.0)]),
        there=np.concatenate([seen.there, there[None]]),
        on_road=np.concatenate([seen.on_road, nobody]),
        meeting=np.concatenate([seen.meeting, nobody]),
        truth=np.concatenate([seen.truth, np.full((1, drive.frames), -1)]),
    )
    return replace(drive, seen=cast)


def with_obstacle(drive: Drive, outline: Float[ndarray, "5 2"]) -> Drive:
    """The drive on a map with one more closed outline; the grids stay."""
    old = drive.road_map
    length = max(old.points.shape[1], len(outline))
    points = np.zeros((len(old.kind) + 1, length, 2))
    valid = np.zeros(points.shape[:2], bool)
    points[:-1, : old.points.shape[1]], valid[:-1, : old.valid.shape[1]] = old.points, old.valid
    points[-1, : len(outline)], valid[-1, : len(outline)] = outline, True
    road_map = RoadMap(
        points=points,
        valid=valid,
        kind=np.append(old.kind, int(LineKind.OBSTACLE)),
        signal=None if old.signal is None else np.append(old.signal, -1),
    )
    return replace(drive, road_map=road_map, lines=split_lines(road_map))


APART_M = np.array([[1.0, 2.5], [2.5, 5.5]])
"""Centres of people and of vehicles this far apart do not touch."""


def _alone(drive: Drive, kind: int, row: int, pose: ndarray, frames: range) -> bool:
    """Whether a way of a body of a kind keeps away from all seen but `row`, and out of obstacles."""
    at = np.arange(frames.start, frames.stop)
    away = np.linalg.norm(drive.seen.pose[:, at, :2] - pose[at, :2], axis=-1)
    apart = APART_M[int(kind == Kind.VEHICLE), (drive.seen.kind == Kind.VEHICLE).astype(int)]
    near = (away < apart[:, None]) & drive.seen.there[:, at]
    if row >= 0:
        near[row] = False
    outside = depth_in_outlines(pose[at, :2], obstacle_edges(drive.road_map)).max() == 0
    return bool(outside and not near.any())


def teleport(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Walkers and vehicles in turn."""
    for i, frame in enumerate(rng.permutation(edit_frames(drive)).tolist()):
        kind = Kind.PEDESTRIAN if i % 2 else Kind.VEHICLE
        rows = watchable(drive, frame, kind)
        if not len(rows):
            continue
        row = int(rng.choice(rows))
        angle, far = rng.uniform(-np.pi, np.pi), rng.uniform(2.0, 6.0)
        pose = drive.seen.pose[row].copy()
        pose[frame:, :2] += far * np.array([np.cos(angle), np.sin(angle)])
        after = range(frame, frame + AFTER + 1)
        if _alone(drive, kind, row, pose, after) and on_grid(drive, frame, pose[frame : frame + 1, :2])[0]:
            edited = with_track(drive, row, pose, drive.seen.there[row], frame)
            yield _same(drive, edited, "teleport", frame, row)


def _same(possible: Drive, impossible: Drive, violation: str, frame: int, row: int) -> Pair:
    name = possible.seen.ids[row]
    return Pair(
        violation=violation,
        frame=frame,
        kind=int(possible.seen.kind[row]),
        possible=possible,
        impossible=impossible,
        watched_possible=(name,),
        watched_impossible=(name,),
    )


def _through(drive: Drive, rng: np.random.Generator, obstacle: bool) -> Iterator[Pair]:
    for frame in rng.permutation(edit_frames(drive)).tolist():
        rows = watchable(drive, frame, Kind.PEDESTRIAN)
        middle = frame + AFTER // 2
        stride = drive.seen.pose[rows, frame + AFTER, :2] - drive.seen.pose[rows, frame, :2]
        rows = rows[np.hypot(*stride.T) > 0.7 * AFTER * FRAME_S]
        if not len(rows):
            continue
        row = int(rng.choice(rows))
        way = drive.seen.pose[row]
        step = way[frame + AFTER, :2] - way[frame, :2]
        heading = np.arctan2(step[1], step[0]) + np.pi / 2
        body = np.append(way[middle, :2], heading)
        side = rng.choice([-1.0, 1.0])
        beside = body.copy()
        beside[:2] += side * (0.5 * CAR[0] + CLEAR_M) * np.array([np.cos(heading), np.sin(heading)])
        if _stands_free(drive, row, body, frame, True) and _stands_free(drive, row, beside, frame, False):
            name = "through_obstacle" if obstacle else "through_vehicle"
            members = [_with_body(drive, pose, frame, obstacle) for pose in (beside, body)]
            yield _same(members[0], members[1], name, frame, row)


def _stands_free(drive: Drive, walker: int, body: Float[ndarray, "3"], frame: int, through: bool) -> bool:
    """Whether nobody comes within 0.4 m of a car at the pose while it stands there.

    If the walker is to go through it, they may be nearer before the edit and inside after it.
    """
    at = np.arange(frame - PAST, frame + AFTER + 1)
    place, there = drive.seen.pose[:, at, :2], drive.seen.there[:, at]
    near = (depth_in_boxes(place, body, CAR + 0.8, np.array(True)) > 0) & there
    if through:
        near[walker] = (depth_in_boxes(place[walker], body, CAR, np.array(True)) > 0) & there[walker]
        near[walker, PAST:] = False
    return not near.any()


def _with_body(drive: Drive, pose: Float[ndarray, "3"], frame: int, obstacle: bool) -> Drive:
    """A car, or an obstacle of its size, that stands somewhere for the whole time that is looked at."""
    standing = np.tile(pose, (drive.frames, 1))
    there = np.zeros(drive.frames, bool)
    there[max(frame - PAST, 0) : frame + AFTER + 1] = True
    if obstacle:
        corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]]) * 0.5 * CAR
        edited = with_obstacle(drive, from_frame(corners, np.tile(pose, (5, 1))))
    else:
        edited = with_newcomer(drive, "standing", Kind.VEHICLE, CAR, standing, there)
    return repaint(edited, [Brush(pose=standing, there=there, size=CAR, look="taken")], touched(frame))


def through_vehicle(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    return _through(drive, rng, obstacle=False)


def through_obstacle(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    return _through(drive, rng, obstacle=True)


def never_out(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Everybody on foot who was out of sight for 0.5 to 2.5 s and came out on the grid."""
    seen, true = drive.seen, drive.true
    for who in rng.permutation(np.flatnonzero(true.kind == Kind.PEDESTRIAN)).tolist():
        mine = seen.there & (seen.truth == who)
        frames = np.flatnonzero(mine.any(axis=0))
        for last, again in zip(frames[:-1].tolist(), frames[1:].tolist(), strict=True):
            frame = -(-again // TICK) * TICK
            if not 5 < again - last <= 25 or not PAST <= frame < drive.frames - AFTER:
                continue
            old, new = int(mine[:, last].argmax()), int(mine[:, again].argmax())
            out = true.there[who, frame : frame + 9].all() and mine[:, frame : frame + 9].any(axis=0).all()
            if not out or not on_grid(drive, frame, true.pose[who, frame : frame + 1, :2])[0]:
                continue
            there = seen.there.copy()
            there[:, last + 1 :] &= ~mine[:, last + 1 :]
            pose = np.where(there[..., None], seen.pose, 0.0)
            gone = replace(drive, seen=replace(seen, there=there, pose=pose))
            away = true.there[who] & (np.arange(drive.frames) >= again)
            brush = Brush(pose=true.pose[who], there=away, size=BODY, look="free")
            pair = _same(drive, repaint(gone, [brush], touched(frame)), "never_out", frame, old)
            yield replace(pair, watched_possible=tuple(sorted({seen.ids[old], seen.ids[new]})))


def ghost(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Somebody on foot, standing or walking, 8 to 30 m before the car."""
    for frame in rng.permutation(edit_frames(drive)).tolist():
        grid, ego = drive.grid(frame), drive.true.pose[drive.ego, frame]
        walk = rng.uniform(0.0, 1.5) * np.array([np.cos(a := rng.uniform(-np.pi, np.pi)), np.sin(a)])
        start = from_frame(np.array([[rng.uniform(8.0, 30.0), rng.uniform(-12.0, 12.0)]]), ego[None])[0]
        since = (np.arange(drive.frames) - frame) * FRAME_S
        pose = np.zeros((drive.frames, 3))
        pose[:, :2] = start + since[:, None] * walk
        there = (since >= 0) & (since <= (AFTER + 1) * FRAME_S)
        window = range(frame, frame + AFTER + 1)
        if grid is None or not _alone(drive, Kind.PEDESTRIAN, -1, pose, window):
            continue
        grids = [(t, g) for t in range(frame, window.stop, TICK) if (g := drive.grid(t)) is not None]
        depth = [
            depth_in_free_ground(pose[t : t + 1, :2], g, drive.true.pose[drive.ego, t])[0] for t, g in grids
        ]
        if min(depth) < 1.0:
            continue
        impossible = with_newcomer(drive, "newcomer", Kind.PEDESTRIAN, BODY, pose, there)
        before = (since < 0) & (since >= -PAST * FRAME_S)
        hidden = Brush(pose=np.tile(pose[frame], (drive.frames, 1)), there=before, size=HIDDEN, look="hidden")
        body = Brush(pose=pose, there=there, size=BODY, look="taken")
        possible = repaint(impossible, [hidden, body], touched(frame))
        yield _same(possible, impossible, "ghost", frame, len(drive.seen.ids))


def _fast(drive: Drive, rng: np.random.Generator, mps: float) -> Iterator[tuple[int, int]]:
    """Frames and rows of vehicles that move so fast there, and have been seen for as long as is needed."""
    for frame in rng.permutation(edit_frames(drive)).tolist():
        rows = watchable(drive, frame, Kind.VEHICLE, -AFTER - TICK)
        step = drive.seen.pose[rows, frame, :2] - drive.seen.pose[rows, frame - TICK, :2]
        rows = rows[np.hypot(*step.T) > mps * TICK * FRAME_S]
        if len(rows):
            yield frame, int(rng.choice(rows))


def _reversed(drive: Drive, frame: int, row: int) -> Drive | None:
    """The vehicle goes back the way it came; None where it would meet somebody."""
    pose = drive.seen.pose[row].copy()
    there = drive.seen.there[row].copy()
    after = np.arange(1, AFTER + 1)
    pose[frame + after, :2] = drive.seen.pose[row, frame - after, :2]
    there[frame + AFTER + 1 :] = False
    if not _alone(drive, Kind.VEHICLE, row, pose, range(frame, frame + AFTER + 1)):
        return None
    return with_track(drive, row, pose, there, frame)


def reversal(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Vehicles at 3 m/s and more."""
    for frame, row in _fast(drive, rng, 3.0):
        edited = _reversed(drive, frame, row)
        if edited is not None:
            yield _same(drive, edited, "reversal", frame, row)


def reversal_or_brake(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Vehicles at 5 m/s and more."""
    for frame, row in _fast(drive, rng, 5.0):
        edited = _reversed(drive, frame, row)
        if edited is not None:
            yield _same(_braked(drive, frame, row), edited, "reversal_or_brake", frame, row)


def _braked(drive: Drive, frame: int, row: int) -> Drive:
    """The vehicle stays on its way, but brakes at 5 m/s^2 until it stands."""
    way = drive.seen.pose[row, frame : frame + AFTER + 1]
    gone = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way[:, :2], axis=0).T))])
    t = np.arange(AFTER + 1) * FRAME_S
    before = drive.seen.pose[row, frame, :2] - drive.seen.pose[row, frame - TICK, :2]
    speed = np.hypot(*before) / (TICK * FRAME_S)
    braking = np.minimum(t, speed / BRAKE_MPS2)
    at = np.minimum(speed * braking - 0.5 * BRAKE_MPS2 * braking**2, gone)
    pose, there = drive.seen.pose[row].copy(), drive.seen.there[row].copy()
    for axis in (0, 1):
        pose[frame : frame + AFTER + 1, axis] = np.interp(at, gone, way[:, axis])
    there[frame + AFTER + 1 :] = False
    return with_track(drive, row, pose, there, frame)


def wrong_way(drive: Drive, rng: np.random.Generator) -> Iterator[Pair]:
    """Vehicles on a lane, 2 m/s and more; both members show the same stretch, from 2.8 s before on."""
    early = PAST - LOOK_BACK
    for frame in rng.permutation(edit_frames(drive)).tolist():
        rows = watchable(drive, frame, Kind.VEHICLE, -early)
        window = np.arange(frame - early, frame + AFTER + 1)
        step = np.linalg.norm(np.diff(drive.seen.pose[rows][:, window, :2], axis=1), axis=-1).sum(axis=1)
        rows = rows[step > 2.0 * len(window) * FRAME_S]
        if not len(rows):
            continue
        row = int(rng.choice(rows))
        pose = drive.seen.pose[row].copy()
        there = np.zeros(drive.frames, bool)
        there[window] = True
        moved = pose[window[8:], :2] - pose[window[:-8], :2]
        nose = np.column_stack([pose[window[4:-4], :2], np.arctan2(moved[:, 1], moved[:, 0])])
        along, against = (angle_to_lane(nose + turn, drive.road_map) for turn in (np.zeros(3), TURNED))
        if not (np.nan_to_num(along, nan=9.0).max() < 0.5 and np.nan_to_num(against).min() > 2.6):
            continue
        pose[window] = drive.seen.pose[row, window[::-1]]
        if _alone(drive, Kind.VEHICLE, row, pose, range(int(window[0]), int(window[-1]) + 1)):
            possible = with_track(drive, row, drive.seen.pose[row], there, frame)
            impossible = with_track(drive, row, pose, there, frame)
            yield _same(possible, impossible, "wrong_way", frame, row)


VIOLATIONS: dict[str, Callable[[Drive, np.random.Generator], Iterator[Pair]]] = {
    f.__name__: f
    for f in (
        teleport,
        through_vehicle,
        through_obstacle,
        never_out,
        ghost,
        reversal,
        reversal_or_brake,
        wrong_way,
    )
}
