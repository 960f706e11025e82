"""A drive small enough to know by heart, written as an episode and read as training reads it.

Ten seconds at 10 Hz. The ego ("0") drives east at 5 m/s on y = -1.75, from x = -20. A pedestrian ("1") comes
from y = -8 at 1 m/s along x = 10, waits at the kerb (y = -5) from 3 s to 4 s and crosses; at 6 s it is over
(y = -3 ... there is no far kerb). Another pedestrian ("2") stands at (15, 6) and is never seen. A car ("3")
comes towards the ego at 4 m/s on y = 1.75, from x = 40. The car knows all but "2" exactly, "1" as track
"t1" up to 4.9 s and as the new track "t9" from 6 s on. From 3 s there are two branches: in "keep" all is as
recorded; in "brake" the ego stands and "1" waits no longer. The ego is narrow: it passes "1" untouched.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy import ndarray

from drivewm.bev import BevSpec
from drivewm.types import LineKind, RoadMap
from drivewm_datasets.drive import Drive, read_drive
from drivewm_datasets.episode import Branches, Episode, write_episode

FRAMES = 101
MOMENT = 30  # from which the branches depart
BRANCH_FRAMES = 48
LOST, BACK = 50, 60  # frames at which "1" is no longer seen, and again
SPEC = BevSpec()
SIZES = {"0": (4.5, 0.9), "1": (0.5, 0.5), "2": (0.5, 0.5), "3": (4.0, 1.8)}
TYPES = {"0": "ego_vehicle", "1": "pedestrian", "2": "pedestrian", "3": "car"}


def pose_of(who: str, frame: ndarray, waits: bool = True, stops: bool = False) -> ndarray:
    """x, y, yaw at frames. `waits`: "1" stands at the kerb for a second; `stops`: the ego stands from 3 s."""
    t = 0.1 * frame
    still, north = np.zeros(len(t)), np.full(len(t), np.pi / 2)
    if who == "0":
        driven = 5 * (np.minimum(t, 3.0) if stops else t)
        return np.column_stack([-20 + driven, still - 1.75, still])
    if who == "1":
        walked = np.where(t < 3, t, np.where(t < 4, 3.0, t - 1)) if waits else t
        return np.column_stack([still + 10, walked - 8, north])
    if who == "2":
        return np.column_stack([still + 15, still + 6, north])
    return np.column_stack([40 - 4 * t, still + 1.75, still - np.pi])


def intent_of(who: str, frame: ndarray) -> ndarray:
    if who != "1":
        return np.full(len(frame), "standing" if who == "2" else "driving")
    bounds = [frame < 20, frame < 30, frame < 40, frame < 70]
    return np.select(bounds, ["walking", "approaching", "waiting", "crossing"], "walking")


def _rows(parts: list[dict[str, ndarray]]) -> dict[str, ndarray]:
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(table["frame"], kind="stable")
    return {name: column[order] for name, column in table.items()}


def _track(who: str, frame: ndarray, pose: ndarray, name: str) -> dict[str, ndarray]:
    count = len(frame)
    return {
        "frame": frame,
        "t_s": 0.1 * frame,
        "agent_id": np.full(count, name),
        "agent_type": np.full(count, TYPES[who]),
        "x_m": pose[:, 0],
        "y_m": pose[:, 1],
        "heading_rad": pose[:, 2],
        "length_m": np.full(count, SIZES[who][0]),
        "width_m": np.full(count, SIZES[who][1]),
        "truth_id": np.full(count, who),
        "intent": intent_of(who, frame),
    }


def _branches() -> Branches:
    after = np.arange(MOMENT + 1, MOMENT + 1 + BRANCH_FRAMES)
    tracks, frames = [], []
    for number, plan in enumerate(("keep", "brake")):
        changed = {"waits": plan == "keep", "stops": plan == "brake"}
        named = {
            "branch": np.full(len(after), number),
            "moment_frame": np.full(len(after), MOMENT),
            "plan": np.full(len(after), plan),
        }
        everybody = [named | _track(who, after, pose_of(who, after, **changed), who) for who in SIZES]
        tracks.append(_rows(everybody))
        frames.append(named | {"frame": after - 1, "t_s": 0.1 * (after - 1)})
    joined = [
        {name: np.concatenate([table[name] for table in listed]) for name in listed[0]}
        for listed in (tracks, frames)
    ]
    return Branches(tracks=joined[0], frames=joined[1])


def road_map() -> RoadMap:
    """Two lanes along x, the ego's under signal group 1, and a sidewalk without a signal."""
    points = np.array([[[-40, -1.75], [60, -1.75]], [[60, 1.75], [-40, 1.75]], [[-40, -6], [60, -6]]], float)
    return RoadMap(
        points=points,
        valid=np.ones((3, 2), bool),
        kind=np.array([LineKind.LANE_CENTER, LineKind.LANE_CENTER, LineKind.SIDEWALK]),
        signal=np.array([1, 0, -1]),
    )


def bev_codes() -> ndarray:
    """T C H W: in frame n cell (n, 10) of the occupancy is taken, the height above it is code n."""
    codes = np.zeros((FRAMES, *SPEC.shape), np.uint8)
    frame = np.arange(FRAMES)
    codes[frame, 0, frame, 10] = 1
    codes[frame, 1, frame, 10] = frame
    return codes


def make_episode() -> Episode:
    frame = np.arange(FRAMES)
    truth = _rows([_track(who, frame, pose_of(who, frame), who) for who in SIZES])
    first, second = frame[frame < LOST], frame[frame >= BACK]
    seen = [
        _track("0", frame, pose_of("0", frame), "0"),
        _track("1", first, pose_of("1", first), "t1"),
        _track("1", second, pose_of("1", second), "t9"),
        _track("3", frame, pose_of("3", frame), "t3"),
    ]
    return Episode(
        dataset="toy",
        scene="street",
        truth=truth,
        perceived=_rows(seen),
        frames={
            "frame": frame,
            "t_s": 0.1 * frame,
            "signals": np.where(frame < 45, "RG", "GY"),
            "bev": bev_codes(),
        },
        road_map=road_map(),
        ego_id="0",
        provenance={"scenario": {"town": "toytown", "situations": ["jaywalk"]}},
        branches=_branches(),
    )


@cache
def toy_drive(bev_every: int = 4) -> Drive:
    """The drive, read from disk. Shared: change a copy (`dataclasses.replace`)."""
    with TemporaryDirectory() as folder:
        write_episode(Path(folder) / "e", make_episode())
        return read_drive(Path(folder) / "e", bev_every=bev_every)
