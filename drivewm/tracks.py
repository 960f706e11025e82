"""Positions over time to `Tracks`: velocity and heading by one causal estimator, everywhere the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import Tracks

MOVED_M = 0.15
"""Displacement below which a direction is noise: heading is then taken from further back."""
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
) -> Tracks:
    """Tracks with velocity and heading estimated from the past alone. `times` go from newest to oldest.

    The velocity at a time is the displacement since the filled slot nearest to 0.4 s before it (zero
    where there is none). The heading is the direction in which the agent last moved 0.15 m; an agent
    that never did has yaw 0 and `heading_valid` false: its forecast is then made along the scene's axes.
    An agent unseen for a while has its place carried on in slot 0, and `unseen_s` says for how long.
    """
    position = np.where(valid[..., None], position, 0.0)
    velocity = _causal_velocity(position, valid, times)
    yaw, heading_valid = _heading(position, valid)
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
    position: Float[ndarray, "A T 2"], valid: Bool[ndarray, "A T"]
) -> tuple[Float[ndarray, "A"], Bool[ndarray, "A"]]:
    offset = position[:, :1] - position
    moved = valid & valid[:, :1] & (np.hypot(offset[..., 0], offset[..., 1]) >= MOVED_M)
    first = moved.argmax(axis=1)  # newest slot far enough away
    chosen = np.take_along_axis(offset, first[:, None, None], axis=1)[:, 0]
    known = moved.any(axis=1)
    return np.where(known, wrap_angle(np.arctan2(chosen[:, 1], chosen[:, 0])), 0.0), known
