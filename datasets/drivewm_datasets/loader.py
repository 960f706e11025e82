"""Batches for training: windows of like size together, augmented, turned into model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.batch import Batch
from drivewm.features import ModelInputs, agent_features, line_features, scene_center, stack_inputs
from drivewm.frames import rotate, to_frame
from drivewm.tracks import tracks_from_positions
from drivewm.types import Kind, Tracks
from drivewm_datasets.windows import TimeLayout, TrainingWindow, learnable

SPARSE_S = 0.4  # younger slots stay empty at 2.5 Hz and below


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is varied between two looks at the same window. The default varies nothing."""

    scale: tuple[float, float] = (1.0, 1.0)  # positions times a log-uniform factor
    mirror: float = 0.0  # probability
    reverse: float = 0.0  # probability of running pedestrians-only windows backwards
    rotate: bool = False
    crop: float = 0.0  # probability that a batch draws a smaller size and crops its windows to it
    shorten: float = 0.0  # probability that an agent loses its oldest history
    sparse: float = 0.0  # probability that a window loses the slots between 0 and 0.4 s, as slow sensors do
    drop_map: float = 0.0  # probability that a window comes without its map
    noise_m: float = 0.0  # standard deviation added to the history


PEDESTRIANS = Augmentation(
    scale=(0.6, 1.7), mirror=0.5, reverse=0.5, rotate=True, crop=0.5, shorten=0.1, noise_m=0.02
)
STREET = Augmentation(mirror=0.5, rotate=True, crop=0.2, shorten=0.3, sparse=0.3, drop_map=0.2, noise_m=0.03)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One variant of a window."""

    position: Float[ndarray, "A T 2"]
    valid: Bool[ndarray, "A T"]
    known: Bool[ndarray, "A T"]
    kind: Int[ndarray, "A"]
    size: Float[ndarray, "A 2"]
    lines: Float[ndarray, "P L 2"]
    line_kind: Int[ndarray, "P"]

    def only(self, rows: Int[ndarray, "B"]) -> _Sample:
        return replace(
            self,
            position=self.position[rows],
            valid=self.valid[rows],
            known=self.known[rows],
            kind=self.kind[rows],
            size=self.size[rows],
        )


def augment(
    window: TrainingWindow,
    layout: TimeLayout,
    how: Augmentation,
    rng: np.random.Generator,
    most: int | None = None,
) -> _Sample:
    """One random variant of a window, of its `most` agents nearest to a random one of them."""
    sample = _Sample(
        position=window.position.astype(np.float64),
        valid=window.valid,
        known=window.known,
        kind=window.kind,
        size=window.size,
        lines=window.lines - window.origin,
        line_kind=window.line_kind,
    )
    if how.drop_map and rng.random() < how.drop_map:
        sample = replace(sample, lines=sample.lines[:0], line_kind=sample.line_kind[:0])
    if rng.random() < how.reverse and (sample.kind == Kind.PEDESTRIAN).all():
        sample = _backwards(sample, layout)
    if most is not None and len(sample.kind) > most:
        now = sample.position[:, layout.now]
        center = now[rng.integers(len(now))]
        sample = sample.only(np.sort(np.argsort(np.hypot(*(now - center).T))[:most]))
    position, lines = sample.position, sample.lines
    factor = np.exp(rng.uniform(*np.log(how.scale)))
    position, lines = position * factor, lines * factor
    if rng.random() < how.mirror:
        position, lines = position * [1.0, -1.0], lines * [1.0, -1.0]
    if how.rotate:
        yaw = np.asarray(rng.uniform(-np.pi, np.pi))
        position, lines = rotate(position, yaw), rotate(lines, yaw)
    return _worse_seen(replace(sample, position=position, lines=lines), layout, how, rng)


def _backwards(sample: _Sample, layout: TimeLayout) -> _Sample:
    """The window run backwards. Who was not there at the mirrored moment is not there at all."""
    index = layout.reversed_index
    sampled = index >= 0
    turned = replace(
        sample,
        position=sample.position[:, index],
        valid=sample.valid[:, index] & sampled,
        known=sample.known[:, index] & sampled,
    )
    return turned.only(np.flatnonzero(turned.valid[:, layout.now]))


def _worse_seen(sample: _Sample, layout: TimeLayout, how: Augmentation, rng: np.random.Generator) -> _Sample:
    """Noise, a slow sensor and young tracks: they touch the past of the anchor only."""
    position, valid = sample.position, sample.valid.copy()
    past, agents = layout.past_index[0], len(sample.kind)
    if how.noise_m:
        noise = rng.normal(0.0, how.noise_m, (agents, len(past), 2))
        noise[:, 0] = 0.0  # the anchor is the frame of the truth
        position = position.copy()
        position[:, past] += noise
    if how.sparse and rng.random() < how.sparse:
        ages = np.asarray(layout.grid.ages)
        valid[:, past[(ages > 0) & (ages < SPARSE_S)]] = False
    if how.shorten:
        shortened = rng.random(agents) < how.shorten
        last = rng.integers(2, len(past), agents)
        valid[:, past] &= ~(shortened[:, None] & (np.arange(len(past)) >= last[:, None]))
    return replace(sample, position=np.where(sample.known[..., None], position, 0.0), valid=valid)


def _tracks(samples: Sequence[_Sample], layout: TimeLayout, chunk: int) -> Tracks:
    past = layout.past_index[chunk]
    kind = np.concatenate([s.kind for s in samples])
    return tracks_from_positions(
        position=np.concatenate([s.position[:, past] for s in samples]),
        valid=np.concatenate([s.valid[:, past] for s in samples]),
        times=-np.asarray(layout.grid.ages),
        kind=kind,
        size=np.concatenate([s.size for s in samples]),
        ids=("",) * len(kind),
    )


def _inputs(
    samples: Sequence[_Sample], layout: TimeLayout, chunk: int, polylines: int
) -> tuple[ModelInputs, Tracks]:
    tracks = _tracks(samples, layout, chunk)
    bounds = np.cumsum([0, *(len(s.kind) for s in samples)])
    now, present = tracks.position[:, 0], tracks.valid[:, 0]
    centers = [scene_center(now[a:b], present[a:b]) for a, b in pairwise(bounds)]
    per_agent = np.repeat(np.stack(centers), np.diff(bounds), axis=0)
    features = agent_features(tracks, per_agent)
    rows = []
    for sample, center, a, b in zip(samples, centers, bounds[:-1], bounds[1:], strict=True):
        row = {name: value[a:b] for name, value in features.items()}
        rows.append(row | line_features(sample.lines, sample.line_kind, center, polylines))
    return stack_inputs(rows, int(np.diff(bounds).max())), tracks


def make_batch(
    samples: Sequence[_Sample], layout: TimeLayout, later_chunk: int, polylines: int, later_view: bool
) -> Batch:
    """Inputs, truth and (if asked for) the later view of some windows, padded to the fullest."""
    inputs, tracks = _inputs(samples, layout, 0, polylines)
    later_inputs = _inputs(samples, layout, later_chunk + 1, polylines)[0] if later_view else None
    scenes, agents = inputs.agent_mask.shape
    future = np.zeros((scenes, agents, layout.grid.steps, 2), np.float32)
    target = np.zeros((scenes, agents), bool)
    later = np.zeros((scenes, agents), bool)
    start = 0
    for i, sample in enumerate(samples):
        count = len(sample.kind)
        frame = tracks.pose[start : start + count, :1]
        path = sample.position[:, layout.future_index]
        known = learnable(sample.valid, sample.known, layout)
        local = to_frame(path, frame)
        future[i, :count] = np.where(known[:, None, None], local, 0.0)
        target[i, :count] = known
        later[i, :count] = sample.valid[:, layout.past_index[later_chunk + 1][0]] & known
        start += count
    return Batch(
        inputs=inputs,
        future=future,
        target=target,
        later_inputs=later_inputs,
        later=later,
        later_chunk=later_chunk,
    )


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Endless or one-pass batches of about `agents` agents (padding included)."""

    windows: Sequence[TrainingWindow]
    layout: TimeLayout
    agents: int = 512
    polylines: int = 0
    augmentation: Augmentation = Augmentation()
    later: bool = True  # whether batches hold the later view, which only the latent objective needs

    def batch_at(self, step: int, seed: int) -> Batch:
        """The batch of one training step: a function of (step, seed) alone, so that a run can resume."""
        rng = np.random.default_rng([seed, step])
        # One window draws the size of all, so that little is padding; larger ones are cropped to it.
        sizes = self._sizes
        size = int(sizes[rng.integers(len(sizes))])
        if size > 2 and rng.random() < self.augmentation.crop:
            size = int(rng.integers(2, size + 1))
        low = int(np.searchsorted(sizes, size))
        high = len(sizes) if self.augmentation.crop else int(np.searchsorted(sizes, size * 1.2, "right"))
        samples = []
        for _ in range(max(1, self.agents // size)):
            pick = self._by_size[rng.integers(low, high)]
            most = size if len(self.windows[pick].kind) > 1.2 * size else None
            samples.append(augment(self.windows[pick], self.layout, self.augmentation, rng, most))
        chunk = int(rng.integers(self.layout.chunks))
        return make_batch(samples, self.layout, chunk, self.polylines, self.later)

    def in_order(self) -> Iterator[Batch]:
        """Every window once, smallest first, as it is: for validation."""
        rng = np.random.default_rng(0)
        samples: list[_Sample] = []
        for index in self._by_size:
            sample = augment(self.windows[index], self.layout, Augmentation(), rng)
            if samples and len(sample.kind) * (len(samples) + 1) > 2 * self.agents:
                yield make_batch(samples, self.layout, 0, self.polylines, later_view=False)
                samples = []
            samples.append(sample)
        if samples:
            yield make_batch(samples, self.layout, 0, self.polylines, later_view=False)

    @cached_property
    def _by_size(self) -> Int[ndarray, "W"]:
        return np.argsort([len(w.kind) for w in self.windows], kind="stable")

    @cached_property
    def _sizes(self) -> Int[ndarray, "W"]:
        """Agents of each window, in the order of `_by_size`."""
        return np.array([len(self.windows[i].kind) for i in self._by_size])
