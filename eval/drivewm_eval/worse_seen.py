"""The past of a moment's agents as a worse perception would have given it; what is there now is still seen.

Map, signals, the grid of the lidar and the ego's own past stay as they are: what is made worse is the
tracking of others. What is random is drawn alike at every level: a higher level adds to a lower one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.lane_direction import road_yaw
from drivewm.tracks import tracks_from_positions
from drivewm.types import Kind, Scene, Tracks
from drivewm_datasets.augment import SWAP_M
from drivewm_datasets.drive_scenes import Moment

Past = tuple[Float[ndarray, "A T 2"], Bool[ndarray, "A T"]]
"""Positions in the scene frame, and which slots are filled."""


def noisy(tracks: Tracks, others: Bool[ndarray, "A"], sd_m: float, rng: np.random.Generator) -> Past:
    """Independent Gaussian noise on each filled slot, now included, of this standard deviation an axis.

    It is added to the place of who is carried on, too, and no more of it there than elsewhere.
    """
    noise = sd_m * rng.standard_normal(tracks.position.shape)
    moved = tracks.valid & others[:, None]
    return tracks.position + np.where(moved[..., None], noise, 0.0), tracks.valid


def dropped(tracks: Tracks, others: Bool[ndarray, "A"], chance: float, rng: np.random.Generator) -> Past:
    """Each slot but now is missing with this probability."""
    missing = (rng.random(tracks.valid.shape) < chance) & others[:, None]
    missing[:, 0] = False
    return tracks.position, tracks.valid & ~missing


def switched(tracks: Tracks, others: Bool[ndarray, "A"], share: float, rng: np.random.Generator) -> Past:
    """This share of the agents of each kind that are seen now exchange their older past in pairs.

    An agent exchanges with the nearest of its kind within 2.5 m who has not yet exchanged, from a random slot
    (not now) on, among those that one of the two fills. Where there are too few pairs fewer exchange.
    """
    position, valid = tracks.position.copy(), tracks.valid.copy()
    free = others & tracks.valid[:, 0]
    if tracks.unseen_s is not None:
        free &= tracks.unseen_s == 0
    order, draw = rng.permutation(tracks.agents), rng.random(tracks.agents)
    spare = rng.random(len(Kind))  # rounds half a pair up or down
    now = tracks.position[:, 0]
    age = np.arange(tracks.valid.shape[1])
    oldest = np.where(tracks.valid, age, 0).max(axis=1, initial=0)
    left = [int(share * (free & (tracks.kind == kind)).sum() / 2 + spare[kind]) for kind in Kind]
    for a in order.tolist():
        kind = int(tracks.kind[a])
        apart = np.where(free & (tracks.kind == kind), np.hypot(*(now - now[a]).T), np.inf)
        apart[a] = np.inf
        b = int(apart.argmin())
        last = int(max(oldest[a], oldest[b]))
        if not free[a] or left[kind] == 0 or apart[b] > SWAP_M or last == 0:
            continue
        older = slice(1 + int(draw[a] * last), None)
        position[[a, b], older], valid[[a, b], older] = position[[b, a], older], valid[[b, a], older]
        free[[a, b]] = False
        left[kind] -= 1
    return position, valid


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One way of seeing worse."""

    levels: tuple[float, ...]  # the first, 0, changes nothing
    worsen: Callable[[Tracks, ndarray, float, np.random.Generator], Past]


AXES = {
    "noise": Axis(levels=(0.0, 0.1, 0.2, 0.4), worsen=noisy),
    "drop_out": Axis(levels=(0.0, 0.25, 0.5, 0.75), worsen=dropped),
    "switches": Axis(levels=(0.0, 0.05, 0.1, 0.2), worsen=switched),
}


def worse_seen(moment: Moment, axis: str, level: float) -> Scene:
    """The moment's scene at a level of an axis; velocity and heading are estimated from what is left.

    The draws depend on the drive's name, the frame and the axis alone.
    """
    tracks = moment.scene.tracks
    name = "/".join((*moment.drive.name, str(moment.frame), axis))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    position, valid = AXES[axis].worsen(tracks, ~moment.is_ego, level, rng)
    rebuilt = tracks_from_positions(
        position=position,
        valid=valid,
        times=tracks.times,
        kind=tracks.kind,
        size=tracks.size,
        ids=tracks.ids,
        elevation=tracks.elevation,
        unseen_s=tracks.unseen_s,
        road_yaw=road_yaw(position[:, 0], tracks.kind, moment.drive.lines),
    )
    return replace(moment.scene, tracks=rebuilt)


def changed(clean: Scene, worse: Scene) -> Bool[ndarray, "A"]:
    """Whose past is another one."""
    before, after = clean.tracks, worse.tracks
    moved = (before.position != after.position).any(axis=(1, 2))
    return np.asarray(moved | (before.valid != after.valid).any(axis=1))
