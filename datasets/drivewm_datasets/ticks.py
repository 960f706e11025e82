"""Batches of two ticks each: scenes, and the same scenes a step later, for forecasts that hold still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm.batch import Batch, Successors
from drivewm.features import InputSizes, scene_center
from drivewm.frames import to_frame, wrap_angle
from drivewm_datasets.augment import Augmentation, Sample, augment
from drivewm_datasets.loader import make_batch
from drivewm_datasets.windows import TimeLayout, TrainingWindow

Pair = tuple[TrainingWindow, TrainingWindow]


def pairs_of(windows: Sequence[TrainingWindow], frames: int) -> list[Pair]:
    """Those windows of one drive, in order, that follow each other by so many frames."""
    return [
        (one, other)
        for one, other in pairwise(windows)
        if one.street and other.street and other.street.frame - one.street.frame == frames
    ]


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """Batches of about `agents` agents (padding included): as many pairs of one size as that holds.

    Of a pair the same parts of the street are left out and the same plan is known, so that what differs is
    what a tick brings: a little time, and the noise of the tracker.
    """

    pairs: Sequence[Pair]
    layout: TimeLayout
    agents: int = 512
    sizes: InputSizes
    augmentation: Augmentation
    later: bool = True
    occupancy: bool = False

    def batch_at(self, step: int, seed: int) -> Batch:
        """The batch of one training step: a function of (step, seed) alone."""
        rng = np.random.default_rng([seed, step])
        counts = self._sizes
        size = int(counts[rng.integers(len(counts))])
        low, high = np.searchsorted(counts, size), np.searchsorted(counts, size * 1.2, "right")
        sizes = self.sizes
        if self.augmentation.blind and rng.random() < self.augmentation.blind:
            sizes = replace(sizes, bev=None)
        before, after, gaps = [], [], []
        for _ in range(max(1, self.agents // size // 2)):
            one, other = self.pairs[int(self._by_size[rng.integers(low, high)])]
            draw = int(rng.integers(2**63))
            before.append(augment(one, self.layout, self._alike, np.random.default_rng(draw)))
            after.append(augment(other, self.layout, self._alike, np.random.default_rng(draw)))
            gaps.append(other.origin - one.origin)
        chunk = int(rng.integers(self.layout.chunks))
        batch = make_batch([*before, *after], self.layout, chunk, sizes, self.later, occupancy=self.occupancy)
        return replace(batch, successors=_successors(batch, before, after, gaps))

    def in_order(self) -> Iterator[Batch]:
        """Nothing: every window of a pair is validated by itself."""
        return iter(())

    @cached_property
    def _alike(self) -> Augmentation:
        """What the same draws vary alike in both ticks."""
        return replace(
            self.augmentation,
            crop=0.0,
            mirror=0.0,
            rotate=False,
            swap=0.0,
            sparse=0.0,
            shorten=0.0,
            holes=0.0,
            noise_m=0.0,
        )

    @cached_property
    def _by_size(self) -> Int[ndarray, "W"]:
        return np.argsort([len(one.kind) for one, _ in self.pairs], kind="stable")

    @cached_property
    def _sizes(self) -> Int[ndarray, "W"]:
        return np.array([len(self.pairs[i][0].kind) for i in self._by_size])


def _successors(
    batch: Batch, before: Sequence[Sample], after: Sequence[Sample], gaps: Sequence[ndarray]
) -> Successors:
    count, agents = len(before), batch.inputs.agent_mask.shape[1]
    row = np.zeros((count, agents), np.int64)
    known = np.zeros((count, agents), bool)
    pose = np.zeros((count, agents, 4), np.float32)
    placed = batch.inputs.agent_pose
    for p, (one, other, gap) in enumerate(zip(before, after, gaps, strict=True)):
        if one.street is None or other.street is None:
            raise ValueError("ticks are of drives alone")
        _, mine, theirs = np.intersect1d(one.street.track, other.street.track, return_indices=True)
        seen = (one.street.unseen_s[mine] == 0) & (other.street.unseen_s[theirs] == 0)
        seen &= (one.past_valid[mine].sum(axis=1) >= 2) & (other.past_valid[theirs].sum(axis=1) >= 2)
        mine, theirs = mine[seen], theirs[seen]
        now = _placed(placed[p], one, np.zeros(2))[mine]
        then = _placed(placed[count + p], other, gap)[theirs]
        row[p, mine], known[p, mine] = theirs, True
        turn = wrap_angle(then[:, 2] - now[:, 2])
        pose[p, mine, :2] = to_frame(then[:, None, :2], now[:, None])[:, 0]
        pose[p, mine, 2], pose[p, mine, 3] = np.cos(turn), np.sin(turn)
    return Successors(row=row, known=known, pose=pose)


def _placed(pose_A4: ndarray, sample: Sample, gap: ndarray) -> ndarray:
    """x, y, yaw of a sample's agents around the first tick's origin."""
    center = scene_center(sample.past[:, 0], sample.past_valid[:, 0]) + gap
    yaw = np.arctan2(pose_A4[:, 3], pose_A4[:, 2])
    return np.column_stack([pose_A4[:, :2] + center, yaw])[: len(sample.kind)]
