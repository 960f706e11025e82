"""Frames of a simulation laid out as the columns of an episode's tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from drivewm.types import Kind
from drivewm_sim.simulator import Agents, EgoCommand, Frame, Intent

_TYPES = np.empty(len(Kind), object)
_TYPES[[Kind.PEDESTRIAN, Kind.CYCLIST, Kind.VEHICLE]] = "pedestrian", "cyclist", "car"
_INTENTS = np.array([intent.name.lower() for intent in Intent], object)


def tracks_columns(frames: Sequence[Frame], agents: Sequence[Agents]) -> dict[str, ndarray]:
    """The tracks table of the agents of each frame, in the order of frame and uid; `intent` is a label."""
    count = [len(a.uid) for a in agents]
    uid = np.concatenate([a.uid for a in agents])
    kind = np.concatenate([a.kind for a in agents])
    pose = np.concatenate([a.pose for a in agents])
    velocity = np.concatenate([a.velocity for a in agents])
    size = np.concatenate([a.size for a in agents])
    intent = np.concatenate([a.intent for a in agents])
    types = _TYPES[kind]
    types[uid == frames[0].ego_uid] = "ego_vehicle"
    return {
        "frame": np.repeat(np.array([f.index for f in frames], np.int64), count),
        "t_s": np.repeat(np.array([f.time_s for f in frames]), count),
        "agent_id": uid.astype(str).astype(object),
        "agent_type": types,
        "x_m": pose[:, 0],
        "y_m": pose[:, 1],
        "z_m": np.zeros(len(uid)),
        "heading_rad": pose[:, 2],
        "vx_mps": velocity[:, 0],
        "vy_mps": velocity[:, 1],
        "length_m": size[:, 0],
        "width_m": size[:, 1],
        "intent": _INTENTS[intent],
    }


def frame_columns(frames: Sequence[Frame], commands: Sequence[EgoCommand]) -> dict[str, ndarray]:
    """One row a frame: where the ego is, and the command that follows."""
    ego = np.array([f.truth.pose[f.truth.uid == f.ego_uid][0] for f in frames])
    return {
        "frame": np.array([f.index for f in frames], np.int64),
        "t_s": np.array([f.time_s for f in frames]),
        "ego_x_m": ego[:, 0],
        "ego_y_m": ego[:, 1],
        "ego_heading_rad": ego[:, 2],
        "ego_acceleration_mps2": np.array([c.acceleration for c in commands]),
        "ego_curvature": np.array([c.curvature for c in commands]),
    }
