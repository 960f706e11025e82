"""Recordings to the model's time grid: histories that never look ahead, futures for training and scoring.

Nothing is interpolated over a hole longer than the slot allows (`TimeGrid.slot_holes`, at most 0.65 s).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.features import split_lines
from drivewm.history import EXACT_S, sample_track
from drivewm.lane_direction import road_yaw
from drivewm.timing import MAX_HOLE_S, TimeGrid
from drivewm.tracks import tracks_from_positions
from drivewm.types import Provenance, Scene
from drivewm_datasets.recording import CONTEXT, Recording

T = TypeVar("T")


def sample_agent(
    recording: Recording, agent: int, times: Float[ndarray, "T"], holes: Float[ndarray, "T"], until: float
) -> tuple[Float[ndarray, "T 3"], Bool[ndarray, "T"]]:
    """Position (x, y, z) of one agent at the given times from rows not later than `until`.

    A time is invalid when it lies outside the track or between two rows further apart than its hole.
    """
    rows = recording.rows_of(agent)
    xyz = np.column_stack([recording.xy[rows], recording.z[rows]])
    return sample_track(recording.t_s[rows], xyz, times, holes, until)


def present(recording: Recording, t_s: float) -> Int[ndarray, "B"]:
    """The agents to be forecast at a recorded moment: those of the three kinds seen at it."""
    agents = recording.agents_at(t_s)
    return agents[recording.kind[agents] != CONTEXT]


def scene_at(
    recording: Recording, t_s: float, grid: TimeGrid, agents: Int[ndarray, "B"] | None = None
) -> Scene:
    """What was known at `t_s`: the history of the agents (default: those present), from the past only."""
    if agents is None:
        agents = present(recording, t_s)
    times = t_s - np.asarray(grid.ages)
    holes = np.asarray(grid.slot_holes)
    samples = [sample_agent(recording, int(a), times, holes, until=t_s) for a in agents]
    xyz = np.stack([s[0] for s in samples]) if samples else np.zeros((0, len(times), 3))
    valid = np.stack([s[1] for s in samples]) if samples else np.zeros((0, len(times)), bool)
    tracks = tracks_from_positions(
        position=xyz[..., :2],
        valid=valid,
        times=-np.asarray(grid.ages),
        kind=recording.kind[agents],
        size=recording.size[agents],
        ids=tuple(recording.agent_ids[a] for a in agents),
        elevation=xyz[..., 2],
        road_yaw=road_yaw(xyz[:, 0, :2], recording.kind[agents], split_lines(recording.road_map)),
    )
    return Scene(
        tracks=tracks,
        t_s=float(t_s),
        road_map=recording.road_map,
        ego_id=recording.ego_id,
        provenance=Provenance(dataset=recording.dataset, scene=recording.scene),
    )


def future_at(
    recording: Recording, t_s: float, grid: TimeGrid, agents: Int[ndarray, "B"]
) -> tuple[Float[ndarray, "B F 2"], Bool[ndarray, "B F"]]:
    """Where the agents went: positions at the forecast steps, and where they are known."""
    times = t_s + np.asarray(grid.horizons)
    holes = np.full(len(times), MAX_HOLE_S + 1e-6)
    samples = [sample_agent(recording, int(a), times, holes, until=np.inf) for a in agents]
    if not samples:
        return np.zeros((0, len(times), 2)), np.zeros((0, len(times)), bool)
    return np.stack([s[0][:, :2] for s in samples]), np.stack([s[1] for s in samples])


def anchor_times(recording: Recording, every: float) -> Float[ndarray, "G"]:
    """Recorded times to forecast at: the first, then the nearest to every `every` seconds, each once."""
    recorded = np.unique(recording.t_s)
    if len(recorded) == 0:
        return recorded
    wanted = np.arange(recorded[0], recorded[-1] + every / 2, every)
    right = np.clip(np.searchsorted(recorded, wanted), 1, max(len(recorded) - 1, 1))
    right = np.minimum(right, len(recorded) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(wanted - recorded[left] <= recorded[right] - wanted, left, right)
    # A hole in the recording has no frame near the wanted time: then there is nothing to anchor at.
    close = np.abs(recorded[nearest] - wanted) <= every / 2 + EXACT_S
    return recorded[np.unique(nearest[close])]


def with_whole_future(
    recording: Recording, t_s: float, grid: TimeGrid
) -> tuple[Int[ndarray, "B"], Float[ndarray, "B F 2"]]:
    """The agents that can be scored at `t_s`, and where they went.

    Scored are those present with at least two positions of history and a future known at every step.
    """
    agents = present(recording, t_s)
    past = scene_at(recording, t_s, grid, agents).tracks.valid.sum(axis=1) >= 2
    future, known = future_at(recording, t_s, grid, agents)
    keep = past & known.all(axis=1)
    return agents[keep], future[keep]


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in runs of `size`, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
