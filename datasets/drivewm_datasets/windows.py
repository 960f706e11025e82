"""Training windows: each anchor's agents on one time layout that holds past, future and future pasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.features import Lines, split_lines
from drivewm.timing import MAX_HOLE_S, TimeGrid
from drivewm_datasets.recording import CONTEXT, Recording
from drivewm_datasets.sampling import anchor_times, sample_agent

if TYPE_CHECKING:
    from drivewm_datasets.street_windows import StreetPart


@dataclass(frozen=True)
class TimeLayout:
    """All times a training window needs, relative to its anchor, each once, ascending.

    Besides the history slots and the forecast steps these are the history slots of later anchors, one at
    the end of every chunk: from them the encoder's own view of the future is taken as target.
    """

    grid: TimeGrid
    chunks: int

    @cached_property
    def _pasts(self) -> Float[ndarray, "J S"]:
        ends = np.arange(self.chunks + 1) * self.grid.step * self.grid.steps / self.chunks
        return np.round(ends[:, None] - np.asarray(self.grid.ages), 6)

    @cached_property
    def times(self) -> Float[ndarray, "T"]:
        return np.unique(np.concatenate([self._pasts.ravel(), self.grid.horizons]))

    @cached_property
    def holes(self) -> Float[ndarray, "T"]:
        """The longest hole each time may be interpolated over: the strictest of the slots that use it."""
        out = np.full(len(self.times), MAX_HOLE_S + 1e-6)
        for past in self.past_index:
            np.minimum.at(out, past, np.asarray(self.grid.slot_holes))
        return out

    @cached_property
    def past_index(self) -> Int[ndarray, "J S"]:
        """Row j: where the history slots of the anchor at the end of chunk j are (row 0: the present)."""
        return np.searchsorted(self.times, self._pasts)

    @cached_property
    def now(self) -> int:
        """Where the anchor itself is."""
        return int(np.searchsorted(self.times, 0.0))

    @cached_property
    def future_index(self) -> Int[ndarray, "F"]:
        return np.searchsorted(self.times, np.asarray(self.grid.horizons))

    @cached_property
    def reversed_index(self) -> Int[ndarray, "T"]:
        """Where each time is found when the window runs backwards; -1 where nothing was sampled."""
        mirrored = np.round(self.times[0] + self.times[-1] - self.times, 6)
        found = np.clip(np.searchsorted(self.times, mirrored), 0, len(self.times) - 1)
        return np.where(np.isclose(self.times[found], mirrored, atol=1e-6), found, -1)


@dataclass(frozen=True, kw_only=True)
class TrainingWindow:
    """One anchor. A agents present at it, T times of the layout; positions relative to `origin`."""

    position: Float[ndarray, "A T 2"]
    valid: Bool[ndarray, "A T"]  # known well enough for a history slot
    known: Bool[ndarray, "A T"]  # known well enough for the truth: no hole longer than 0.65 s
    kind: Int[ndarray, "A"]
    size: Float[ndarray, "A 2"]
    origin: Float[ndarray, "2"]
    lines: Lines  # the recording's map in its own frame, shared by its windows
    street: StreetPart | None = None  # of simulated drives: what the car knew, signals, sensors, plans


def training_windows(recording: Recording, layout: TimeLayout, every: float) -> list[TrainingWindow]:
    """A window at the recorded frame nearest to every `every` seconds, where somebody can be learned from."""
    anchors = anchor_times(recording, every)
    parts: list[tuple[ndarray, ...]] = []  # windows, positions, valid, known of one agent
    who: list[int] = []
    for agent in np.flatnonzero(recording.kind != CONTEXT):
        t = recording.t_s[recording.rows_of(int(agent))]
        if len(t) < 2:
            continue
        at = np.flatnonzero(np.isin(np.round(anchors, 6), np.round(t, 6)))
        if len(at) == 0:
            continue
        times = (anchors[at, None] + layout.times).ravel()
        wide = np.full(len(times), MAX_HOLE_S + 1e-6)
        xyz, known = sample_agent(recording, int(agent), times, wide, until=np.inf)
        _, valid = sample_agent(recording, int(agent), times, np.tile(layout.holes, len(at)), until=np.inf)
        shape = (len(at), len(layout.times))
        masks = [m.reshape(shape) & valid.reshape(shape)[:, [layout.now]] for m in (valid, known)]
        parts.append((at, xyz[:, :2].reshape(*shape, 2), *masks))
        who.append(int(agent))
    return _by_anchor(recording, parts, who, len(anchors), layout)


def _by_anchor(
    recording: Recording,
    parts: Sequence[tuple[ndarray, ...]],
    who: Sequence[int],
    anchors: int,
    layout: TimeLayout,
) -> list[TrainingWindow]:
    if not parts:
        return []
    at = np.concatenate([p[0] for p in parts])
    agent = np.concatenate([np.full(len(p[0]), a) for p, a in zip(parts, who, strict=True)])
    position = np.concatenate([p[1] for p in parts])
    valid, known = (np.concatenate([p[i] for p in parts]) for i in (2, 3))
    lines = split_lines(recording.road_map)
    order = np.argsort(at, kind="stable")
    bounds = np.searchsorted(at[order], np.arange(anchors + 1))
    out = []
    for first, last in pairwise(bounds):
        rows = order[first:last]
        if not learnable(valid[rows], known[rows], layout).any():
            continue
        origin = position[rows, layout.now].mean(axis=0)
        moved = np.where(known[rows][..., None], position[rows] - origin, 0.0)
        out.append(
            TrainingWindow(
                position=moved.astype(np.float32),
                valid=valid[rows],
                known=known[rows],
                kind=recording.kind[agent[rows]],
                size=recording.size[agent[rows]],
                origin=origin,
                lines=lines,
            )
        )
    return out


def learnable(
    valid: Bool[ndarray, "A T"], known: Bool[ndarray, "A T"], layout: TimeLayout
) -> Bool[ndarray, "A"]:
    """Agents with a whole future and at least two positions of history."""
    return known[:, layout.future_index].all(1) & (valid[:, layout.past_index[0]].sum(1) >= 2)
