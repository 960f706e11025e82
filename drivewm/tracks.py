"""Positions over time to `Tracks`: velocity and heading by one causal estimator, everywhere the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import Tracks

MOVED_M = 0.15
"""Displacement below which a direction is noise: heading is then taken from further back."""
SURE_M = (0.5, 1.5, 1.5)
"""By kind: a direction over this far is sure. The places of a lidar's tracks are some decimetres wrong, and
wheels that wait have no direction of motion at all: those of a lane are then the better guide."""
VELOCITY_WINDOW_S = 0.4
"""Current velocity is the displacement over about this long; shorter where the track is younger."""


def tracks_from_positions(
    *,
    position: Float[ndarray, "A T 2"],
    valid: Bool[ndarray, "A T"],
    times: Float[ndarray, "T"],
    kind: Int[ndarray, "A"],
    size: Float[ndarray, "A 2"],
    ids: tuple[str, ...],
    elevation: Float[ndarray, "A T"] | None = None,
    unseen_s: Float[ndarray, "A"] | None = None,
    road_yaw: Float[ndarray, "A"] | None = None,
) -> Tracks:
    """Tracks with velocity and heading estimated from the past and the road.

    `times` go from newest to oldest. The velocity at a time is the displacement since the filled slot nearest
    to 0.4 s before it (zero where there is none). The heading is the direction in which the agent last moved
    0.5 m (1.5 m on wheels); of who did not, that of the lane (`road_yaw`, NaN or None where there is none);
    otherwise that in which he last moved 0.15 m. Who never did has yaw 0 and `heading_valid` false: the
    forecast is then made along the scene's axes.
    An agent unseen for a while has its place carried on in slot 0, and `unseen_s` says for how long.
    """
    position = np.where(valid[..., None], position, 0.0)
    velocity = _causal_velocity(position, valid, times)
    yaw, heading_valid = _heading(position, valid, np.asarray(kind, np.int64), road_yaw)
    pose = np.concatenate([position, np.where(valid, yaw[:, None], 0.0)[..., None]], axis=-1)
    size_valid = np.asarray((size > 0).all(axis=-1))
    return Tracks(
        pose=pose,
        velocity=velocity,
        valid=valid,
        size=np.where(size_valid[:, None], size, 0.0).astype(np.float64),
        size_valid=size_valid,
        kind=np.asarray(kind, np.int64),
        ids=ids,
        times=np.asarray(times, np.float64),
        heading_valid=heading_valid,
        elevation=None if elevation is None else np.where(valid, elevation, 0.0),
        unseen_s=unseen_s,
    )


def _causal_velocity(
    position: Float[ndarray, "A T 2"], valid: Bool[ndarray, "A T"], times: Float[ndarray, "T"]
) -> Float[ndarray, "A T 2"]:
    elapsed = times[:, None] - times[None, :]  # from slot j back to slot i
    usable = valid[:, :, None] & valid[:, None, :] & (elapsed > 1e-9)
    cost = np.where(usable, np.abs(elapsed - VELOCITY_WINDOW_S), np.inf)
    reference = cost.argmin(axis=-1)  # A T
    known = np.isfinite(cost.min(axis=-1)) if cost.size else np.zeros(valid.shape, bool)
    before = np.take_along_axis(position, reference[..., None], axis=1)
    span = np.take_along_axis(np.broadcast_to(elapsed, usable.shape), reference[..., None], axis=-1)
    return np.where(known[..., None], (position - before) / np.where(known[..., None], span, 1.0), 0.0)


def _heading(
    position: Float[ndarray, "A T 2"],
    valid: Bool[ndarray, "A T"],
    kind: Int[ndarray, "A"],
    road_yaw: Float[ndarray, "A"] | None,
) -> tuple[Float[ndarray, "A"], Bool[ndarray, "A"]]:
    sure, moved = _direction(position, valid, np.asarray(SURE_M)[kind]), _direction(position, valid, MOVED_M)
    yaw = np.where(np.isnan(sure), moved if road_yaw is None else _first(road_yaw, moved), sure)
    return np.where(np.isnan(yaw), 0.0, yaw), ~np.isnan(yaw)


def _first(one: Float[ndarray, "A"], other: Float[ndarray, "A"]) -> Float[ndarray, "A"]:
    return np.where(np.isnan(one), other, one)


def _direction(
    position: Float[ndarray, "A T 2"], valid: Bool[ndarray, "A T"], least_m: Float[ndarray, "A"] | float
) -> Float[ndarray, "A"]:
    """The direction from the newest place at least so far away to that of now; NaN where there is none."""
    offset = position[:, :1] - position
    far = np.hypot(offset[..., 0], offset[..., 1]) >= np.reshape(least_m, (-1, 1))
    moved = valid & valid[:, :1] & far
    first = moved.argmax(axis=1)
    chosen = np.take_along_axis(offset, first[:, None, None], axis=1)[:, 0]
    return np.where(moved.any(axis=1), wrap_angle(np.arctan2(chosen[:, 1], chosen[:, 0])), np.nan)
