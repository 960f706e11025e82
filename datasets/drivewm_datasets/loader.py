"""Batches for training: windows of like size together, augmented, turned into model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm import context
from drivewm.batch import Batch, StreetTruth
from drivewm.features import (
    InputSizes,
    Lines,
    ModelInputs,
    agent_features,
    line_features,
    scene_center,
    stack_inputs,
)
from drivewm.frames import to_frame
from drivewm.lane_direction import road_yaw
from drivewm.nearby import nearby_pieces
from drivewm.tracks import tracks_from_positions
from drivewm.types import EgoPlan, Tracks
from drivewm_datasets.augment import Augmentation, Sample, augment
from drivewm_datasets.drive import unpack
from drivewm_datasets.occupants import draw_occupants
from drivewm_datasets.street_windows import NEVER, NOT_ASKED
from drivewm_datasets.windows import TimeLayout, TrainingWindow, learnable

DRAWN_SHARE = 0.25
"""So many of a batch's scenes have their occupancy drawn."""


def _tracks(samples: Sequence[Sample], layout: TimeLayout, chunk: int) -> Tracks:
    """The pasts of all samples' agents, seen from the anchor (chunk 0) or from the end of a chunk."""
    slots = layout.past_index[chunk]
    kind = np.concatenate([s.kind for s in samples])
    unseen = None
    if chunk == 0 and all(s.street is not None for s in samples):
        unseen = np.concatenate([s.street.unseen_s for s in samples if s.street is not None])
    position = [s.position[:, slots] if chunk else s.past for s in samples]
    lanes = [
        road_yaw(at[:, 0], s.kind, s.lines if s.map_known else Lines.none())
        for at, s in zip(position, samples, strict=True)
    ]
    return tracks_from_positions(
        position=np.concatenate(position),
        valid=np.concatenate([s.valid[:, slots] if chunk else s.past_valid for s in samples]),
        times=-np.asarray(layout.grid.ages),
        kind=kind,
        size=np.concatenate([s.size for s in samples]),
        ids=("",) * len(kind),
        unseen_s=unseen,
        road_yaw=np.concatenate(lanes),
    )


def _inputs(
    samples: Sequence[Sample], layout: TimeLayout, chunk: int, sizes: InputSizes, plans: Int[ndarray, "B G"]
) -> tuple[ModelInputs, Tracks]:
    tracks = _tracks(samples, layout, chunk)
    bounds = np.cumsum([0, *(len(s.kind) for s in samples)])
    now, present = tracks.position[:, 0], tracks.valid[:, 0]
    centers = [scene_center(now[a:b], present[a:b]) for a, b in pairwise(bounds)]
    per_agent = np.repeat(np.stack(centers), np.diff(bounds), axis=0)
    features = agent_features(tracks, per_agent)
    rows = []
    for i, (sample, center) in enumerate(zip(samples, centers, strict=True)):
        row = {name: value[bounds[i] : bounds[i + 1]] for name, value in features.items()}
        limit = sizes.polylines if sample.map_known else 0
        mine = slice(bounds[i], bounds[i + 1])
        about = now[mine], tracks.velocity[mine, 0], present[mine]
        near = nearby_pieces(sample.lines.points, sample.lines.kind, *about, limit)
        rows.append(row | _around(sample, near, center, sizes, plans[i], later=chunk > 0))
    return stack_inputs(rows, int(np.diff(bounds).max())), tracks


def _around(
    sample: Sample,
    near: Int[ndarray, "N"],
    center: Float[ndarray, "2"],
    sizes: InputSizes,
    plans: Int[ndarray, "G"],
    later: bool,
) -> dict[str, ndarray]:
    """What surrounds the agents of a sample, with these pieces of the map. The later view knows it alone."""
    row = line_features(sample.lines, near, center, sizes.polylines)
    part = sample.street
    if sizes.signals:
        known = part is not None and sample.signals_known and not later
        state = part.line_state[near] if part is not None and known else np.zeros(0, np.int64)
        row["line_signal"] = context.signal_features(state, sizes.polylines)
    if sizes.plan and not later:
        plan = EgoPlan(
            pose=np.zeros((len(plans), sizes.steps, 3)), valid=np.zeros((len(plans), sizes.steps), bool)
        )
        if part is not None and sample.plan_known:
            plan = EgoPlan(pose=part.plan[plans], valid=part.plan_valid[plans])
        row |= context.plan_features(plan, center, sizes.steps)
    if sizes.bev is not None and not later:
        row |= context.bev_features(None, None, center, sizes.bev)
        if part is not None:
            row["bev_pose"] = context.pose_features(part.ego_pose, center)
            if part.bev is not None and part.bev_spec == sizes.bev and sample.bev_known:
                features = unpack(part.bev, sizes.bev).features
                row["bev"] = features[..., ::-1] if part.mirrored else features
                row["bev_mask"] = np.ones(sizes.bev.shape[0])
    return row


def make_batch(
    samples: Sequence[Sample],
    layout: TimeLayout,
    later_chunk: int,
    sizes: InputSizes,
    later_view: bool,
    plans: Int[ndarray, "B G"] | None = None,
    occupancy: bool = False,
) -> Batch:
    """Inputs, truth and (if asked for) the later view of some windows, padded to the fullest.

    `plans` are the rows of each window's plans; by default its first.
    """
    if plans is None:
        plans = np.zeros((len(samples), 1), np.int64)
    inputs, tracks = _inputs(samples, layout, 0, sizes, plans)
    later_inputs = _inputs(samples, layout, later_chunk + 1, sizes, plans)[0] if later_view else None
    scenes, agents = inputs.agent_mask.shape
    count = plans.shape[1]
    future = np.zeros((scenes, count, agents, layout.grid.steps, 2), np.float32)
    target = np.zeros((scenes, count, agents), bool)
    later = np.zeros((scenes, agents), bool)
    start = 0
    for i, sample in enumerate(samples):
        here = len(sample.kind)
        frame = tracks.pose[start : start + here, :1]
        path, known = _futures(sample, layout, plans[i])
        future[i, :, :here] = np.where(known[..., None, None], to_frame(path, frame), 0.0)
        target[i, :, :here] = known
        later[i, :here] = sample.valid[:, layout.past_index[later_chunk + 1][0]] & known[0]
        start += here
    return Batch(
        inputs=inputs,
        future=future.reshape(scenes * count, *future.shape[2:]),
        target=target.reshape(scenes * count, agents),
        later_inputs=later_inputs,
        later=later,
        later_chunk=later_chunk,
        plans=count,
        street=_street_truth(samples, agents, sizes if occupancy else None),
    )


def _futures(
    sample: Sample, layout: TimeLayout, plans: Int[ndarray, "G"]
) -> tuple[Float[ndarray, "G A F 2"], ndarray]:
    """Where the agents went under each plan, and whose way can be learned from.

    The ego is not asked for where its plan is given: then it is known where it goes.
    """
    part = sample.street
    if part is None:
        known = learnable(sample.valid, sample.known, layout) & (sample.past_valid.sum(axis=1) >= 2)
        return sample.position[None][:, :, layout.future_index], known[None]
    known = part.future_known[plans] & (sample.past_valid.sum(axis=1) >= 2)
    if sample.plan_known and part.ego >= 0:
        known[:, part.ego] &= ~part.plan_valid[plans, 0]
    return part.future[plans], known


def _street_truth(samples: Sequence[Sample], agents: int, drawn: InputSizes | None) -> StreetTruth | None:
    parts = [s.street for s in samples if s.street is not None]
    if len(parts) < len(samples):
        return None

    def padded(name: str) -> ndarray:
        rows = [getattr(part, name) for part in parts]
        out = np.zeros((len(rows), agents), rows[0].dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out

    there = np.zeros((len(parts), agents), bool)
    for i, part in enumerate(parts):
        there[i, : len(part.exists)] = True
    crossing = np.where(there, padded("crossing"), NOT_ASKED)
    occupied, flow = None, None
    if drawn is not None and drawn.bev is not None:
        some = parts[: max(1, round(len(parts) * DRAWN_SHARE))]
        pictures = [draw_occupants(part, drawn.bev) for part in some]
        occupied, flow = (np.stack(drawing) for drawing in zip(*pictures, strict=True))
    return StreetTruth(
        exists=padded("exists"),
        exists_known=there,
        crossing=np.where(crossing == NOT_ASKED, NEVER, crossing),
        crossing_known=crossing != NOT_ASKED,
        meeting=padded("meeting"),
        unseen_s=padded("unseen_s"),
        occupied=occupied,
        flow=flow,
    )


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Endless or one-pass batches of about `agents` agents (padding and plans included)."""

    windows: Sequence[TrainingWindow]
    layout: TimeLayout
    agents: int = 512
    sizes: InputSizes = field(default_factory=lambda: InputSizes(polylines=0))
    augmentation: Augmentation = field(default_factory=Augmentation)
    later: bool = True  # whether batches hold the later view, which only the latent objective needs
    occupancy: bool = False  # whether they hold the occupancy, which only its head needs
    plans: int = 0  # how many plans of each (branched) window; 0: its first alone
    weights: Sequence[float] = ()  # how often each window is drawn; none: all alike

    def batch_at(self, step: int, seed: int) -> Batch:
        """The batch of one training step: a function of (step, seed) alone, so that a run can resume."""
        rng = np.random.default_rng([seed, step])
        # One window draws the size of all, so that little is padding; of a cropped batch all are cut to it.
        counts = self._sizes
        size = int(counts[self._draw(rng, 0, len(counts))])
        cropped = size > 2 and rng.random() < self.augmentation.crop
        if cropped:
            size = int(rng.integers(2, size + 1))
        low = int(np.searchsorted(counts, size))
        high = len(counts) if cropped else int(np.searchsorted(counts, size * 1.2, "right"))
        sizes = self.sizes
        if self.augmentation.blind and rng.random() < self.augmentation.blind:
            sizes = replace(sizes, bev=None)
        samples = []
        rows = []
        for _ in range(max(1, self.agents // size // max(self.plans, 1))):
            pick = int(self._by_size[self._draw(rng, low, high)])
            most = size if len(self.windows[pick].kind) > 1.2 * size else None
            samples.append(augment(self.windows[pick], self.layout, self.augmentation, rng, most))
            rows.append(self._plans_of(self.windows[pick], rng))
        chunk = int(rng.integers(self.layout.chunks))
        plans = np.array(rows, np.int64)
        return make_batch(samples, self.layout, chunk, sizes, self.later, plans, self.occupancy)

    def _draw(self, rng: np.random.Generator, low: int, high: int) -> int:
        """A place of `_by_size` from low on and before high, by weight."""
        if not self.weights:
            return int(rng.integers(low, high))
        drawn = rng.uniform(self._upto[low], self._upto[high])
        return int(np.clip(np.searchsorted(self._upto, drawn, "right") - 1, low, high - 1))

    def _plans_of(self, window: TrainingWindow, rng: np.random.Generator) -> list[int]:
        """Which plans of a window are learned from: as many of every window."""
        if not self.plans or window.street is None:
            return [0]
        have = len(window.street.plan_names)
        return [int(row) for row in np.resize(rng.permutation(have), self.plans)]

    def in_order(self) -> Iterator[Batch]:
        """Every window once, smallest first, as it is and under the null plan: for validation.

        In the car the plan may be missing; a recorded one would tell how the people behaved. The ego is not
        asked for: it is better seen than anybody, a quarter of all vehicles, and nobody asks where it goes.
        """
        rng, as_is = np.random.default_rng(0), Augmentation(drop_plan=1.0)
        samples: list[Sample] = []
        for index in self._by_size:
            sample = augment(self.windows[index], self.layout, as_is, rng)
            if samples and len(sample.kind) * (len(samples) + 1) > 2 * self.agents:
                yield self._whole(samples)
                samples = []
            samples.append(sample)
        if samples:
            yield self._whole(samples)

    def _whole(self, samples: Sequence[Sample]) -> Batch:
        batch = make_batch(samples, self.layout, 0, self.sizes, False, occupancy=self.occupancy)
        target = batch.target.copy()
        for row, sample in enumerate(samples):
            if sample.street is not None and sample.street.ego >= 0:
                target[row, sample.street.ego] = False
        return replace(batch, target=target)

    @cached_property
    def _by_size(self) -> Int[ndarray, "W"]:
        return np.argsort([len(w.kind) for w in self.windows], kind="stable")

    @cached_property
    def _upto(self) -> Float[ndarray, "V"]:
        """The weights of all windows before each place of `_by_size`, and of all."""
        return np.concatenate([[0.0], np.cumsum(np.asarray(self.weights)[self._by_size])])

    @cached_property
    def _sizes(self) -> Int[ndarray, "W"]:
        """Agents of each window, in the order of `_by_size`."""
        return np.array([len(self.windows[int(i)].kind) for i in self._by_size])
