"""Frames of a simulation laid out as the columns of an episode's tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from drivewm.bev import quantise
from drivewm.types import Kind
from drivewm_sim.sensors.lidar import encode
from drivewm_sim.simulator import AGENT_TYPES, Agents, EgoCommand, Frame, Intent
from drivewm_sim.street.state import Age

_TYPES = np.array(AGENT_TYPES, object)
_INTENTS = np.array([intent.name.lower() for intent in Intent], object)
_AGES = np.array([age.name.lower() for age in Age], object)


def tracks_columns(frames: Sequence[Frame], agents: Sequence[Agents]) -> dict[str, ndarray]:
    """The tracks table of the agents of each frame, in the order of frame and uid.

    `truth_id` (who a track truly is), `intent` and `age` are labels.
    """
    count = [len(a.uid) for a in agents]

    def joined(name: str) -> ndarray:
        return np.concatenate([getattr(a, name) for a in agents])

    uid, kind, pose, velocity, size = map(joined, ("uid", "kind", "pose", "velocity", "size"))
    types = _TYPES[joined("type")]
    types[uid == frames[0].ego_uid] = "ego_vehicle"
    return {
        "frame": np.repeat(np.array([f.index for f in frames], np.int64), count),
        "t_s": np.repeat(np.array([f.time_s for f in frames]), count),
        "agent_id": uid.astype(str).astype(object),
        "agent_type": types,
        "x_m": pose[:, 0],
        "y_m": pose[:, 1],
        "z_m": joined("elevation"),
        "heading_rad": pose[:, 2],
        "vx_mps": velocity[:, 0],
        "vy_mps": velocity[:, 1],
        "length_m": size[:, 0],
        "width_m": size[:, 1],
        "height_m": joined("height"),
        "truth_id": joined("truth_uid").astype(str).astype(object),
        "intent": _INTENTS[joined("intent")],
        "age": np.where(kind == Kind.PEDESTRIAN, _AGES[joined("age")], ""),
    }


def frame_columns(frames: Sequence[Frame], commands: Sequence[EgoCommand]) -> dict[str, ndarray]:
    """One row a frame: where the ego is, what signals show, and the command that follows."""
    ego = np.array([f.truth.pose[f.truth.uid == f.ego_uid][0] for f in frames])
    return {
        "frame": np.array([f.index for f in frames], np.int64),
        "t_s": np.array([f.time_s for f in frames]),
        "ego_x_m": ego[:, 0],
        "ego_y_m": ego[:, 1],
        "ego_heading_rad": ego[:, 2],
        "ego_acceleration_mps2": np.array([c.acceleration for c in commands]),
        "ego_curvature": np.array([c.curvature for c in commands]),
        "signals": np.array(["".join("RYG"[a] for a in f.signals) for f in frames], object),
    }


def image_columns(frames: Sequence[Frame]) -> dict[str, ndarray]:
    """What the ego's sensors gave, one row a frame: ranges (cm), whom each ray met, the bird's-eye grid.

    ValueError where a frame has no sensors' data.
    """
    seen = [f.sensed for f in frames if f.sensed is not None]
    if len(seen) < len(frames):
        raise ValueError(f"{len(frames) - len(seen)} of {len(frames)} frames carry no sensors' data")
    return {
        "range_cm": np.stack([encode(s.sweep.range_m) for s in seen]),
        "ray_id": np.stack([s.sweep.id for s in seen]),
        "bev": np.stack([quantise(s.bev).code for s in seen]),
    }


def event_columns(frames: Sequence[Frame]) -> dict[str, ndarray]:
    """One row an event, in order of time: what happened, to whom, with whom ("" for nobody), why."""
    listed = [(f, e) for f in frames for e in f.events]
    return {
        "frame": np.array([f.index for f, _ in listed], np.int64),
        "t_s": np.array([f.time_s for f, _ in listed], np.float64),
        "name": np.array([e.name for _, e in listed], object),
        "agent_id": np.array([str(e.uid) for _, e in listed], object),
        "other_id": np.array(["" if e.other < 0 else str(e.other) for _, e in listed], object),
        "cause": np.array([e.cause for _, e in listed], object),
    }
