"""A recording and its forecasts, moment by moment, as the report and the animation show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Scene, Tracks
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import future_at
from drivewm_eval.draw import ReportFrame


@dataclass(frozen=True)
class Label:
    """What a simulator knows of an agent at one moment, beyond its track."""

    note: str  # its intent, say
    yaw: float  # radians; a track alone does not tell which way somebody who stands is facing


Labels = Mapping[tuple[float, str], Label]
"""By time (seconds, rounded to milliseconds) and agent id."""


def replay(
    recording: Recording,
    scenes: Sequence[Scene],
    forecasts: Sequence[Forecast],
    grid: TimeGrid,
    labels: Labels | None = None,
) -> list[ReportFrame]:
    """A frame for each scene of the recording, with its forecast, constant velocity and the true future."""
    place = {agent_id: i for i, agent_id in enumerate(recording.agent_ids)}
    frames = []
    for scene, forecast in zip(scenes, forecasts, strict=True):
        tracks = scene.tracks
        agents = np.array([place[agent_id] for agent_id in tracks.ids], np.int64)
        future, known = future_at(recording, scene.t_s, grid, agents)
        known_labels = [(labels or {}).get((round(scene.t_s, 3), agent_id)) for agent_id in tracks.ids]
        frames.append(
            ReportFrame(
                t_s=scene.t_s,
                tracks=_facing(tracks, known_labels),
                ego_id=scene.ego_id,
                forecast=forecast,
                constant_velocity=constant_velocity(tracks, np.asarray(grid.horizons))[0],
                future=future,
                future_valid=known,
                notes=tuple(label.note if label else "" for label in known_labels) if labels else (),
            )
        )
    return frames


def _facing(tracks: Tracks, labels: Sequence[Label | None]) -> Tracks:
    """The tracks with the present yaw of the labels, for the picture only: forecasts never see it."""
    pose: Float[ndarray, "A T 3"] = tracks.pose.copy()
    for row, label in enumerate(labels):
        if label:
            pose[row, 0, 2] = label.yaw
    return replace(tracks, pose=pose)
