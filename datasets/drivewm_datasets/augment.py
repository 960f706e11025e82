"""Random variants of a window: turned, mirrored, worse seen, with parts of what is around left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.features import Lines
from drivewm.frames import rotate
from drivewm.types import Kind
from drivewm_datasets.street_windows import StreetPart
from drivewm_datasets.windows import TimeLayout, TrainingWindow

MOST_HOLES = 0.6  # share of the slots
SPARSE_S = 0.4  # younger slots stay empty at 2.5 Hz and below


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is varied between two looks at the same window. The default varies nothing."""

    scale: tuple[float, float] = (1.0, 1.0)  # places of pedestrians alone times a log-uniform factor
    mirror: float = 0.0  # probability
    reverse: float = 0.0  # probability of running pedestrians-only windows backwards
    rotate: bool = False
    people: float = 0.0  # probability that of a window with pedestrians no other agent is shown
    crop: float = 0.0  # probability that a batch draws a smaller size and crops its windows to it
    shorten: float = 0.0  # probability that an agent loses its oldest history
    sparse: float = 0.0  # probability that a window loses the slots between 0 and 0.4 s, as slow sensors do
    holes: float = 0.0  # probability that a window loses slots here and there, as under a failing tracker
    drop_map: float = 0.0  # probability that a window comes without its map
    drop_signals: float = 0.0  # ... without what the signals show
    drop_bev: float = 0.0  # ... without its bird's-eye grid
    blind: float = 0.0  # probability that a whole batch comes without: then the grid's cost is saved too
    drop_plan: float = 0.0  # ... with the null plan; of branched windows never
    clean: float = 0.0  # probability that a window of a drive shows the true past, not the perceived one
    swap: float = 0.0  # probability that two neighbours of a kind exchange their older history
    noise_m: float = 0.0  # standard deviation added to the history


PEDESTRIANS = Augmentation(
    scale=(0.6, 1.7), mirror=0.5, reverse=0.5, rotate=True, crop=0.5, shorten=0.1, noise_m=0.02
)
STREET = Augmentation(
    mirror=0.5, rotate=True, crop=0.2, shorten=0.3, sparse=0.3, holes=0.15, drop_map=0.2, noise_m=0.03
)
DRIVE = Augmentation(
    mirror=0.5,
    rotate=True,
    crop=0.2,
    shorten=0.1,
    sparse=0.3,
    holes=0.15,
    drop_map=0.2,
    drop_signals=0.1,
    drop_bev=0.15,
    blind=0.4,
    drop_plan=0.5,
    clean=0.3,
    noise_m=0.03,
    swap=0.1,
)
RECORDED = Augmentation(
    scale=(0.6, 1.7),
    mirror=0.5,
    reverse=0.3,
    rotate=True,
    people=0.5,
    crop=0.2,
    shorten=0.2,
    sparse=0.5,
    holes=0.1,
    drop_map=0.7,
    noise_m=0.02,
)
"""Of drives that are shown as a recording would show them (`street_windows.AsRecorded`)."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One variant of a window."""

    position: Float[ndarray, "A T 2"]
    valid: Bool[ndarray, "A T"]
    known: Bool[ndarray, "A T"]
    kind: Int[ndarray, "A"]
    size: Float[ndarray, "A 2"]
    past: Float[ndarray, "A S 2"]
    past_valid: Bool[ndarray, "A S"]
    lines: Lines
    street: StreetPart | None = None
    map_known: bool = True
    signals_known: bool = True
    bev_known: bool = True
    plan_known: bool = True

    def only(self, rows: Int[ndarray, "B"]) -> Sample:
        return replace(
            self,
            position=self.position[rows],
            valid=self.valid[rows],
            known=self.known[rows],
            kind=self.kind[rows],
            size=self.size[rows],
            past=self.past[rows],
            past_valid=self.past_valid[rows],
            street=None if self.street is None else self.street.only(rows),
        )


def augment(
    window: TrainingWindow,
    layout: TimeLayout,
    how: Augmentation,
    rng: np.random.Generator,
    most: int | None = None,
) -> Sample:
    """One random variant of a window, of its `most` agents nearest to a random one of them."""
    sample = sample_of(window, layout)
    pedestrian = sample.kind == Kind.PEDESTRIAN
    if how.people and pedestrian.any() and rng.random() < how.people:
        sample = sample.only(np.flatnonzero(pedestrian))
    if how.reverse and rng.random() < how.reverse and (sample.kind == Kind.PEDESTRIAN).all():
        turned = _backwards(sample, layout)
        sample = turned if len(turned.kind) else sample
    if most is not None and len(sample.kind) > most:
        now = sample.past[:, 0]
        center = now[rng.integers(len(now))]
        sample = sample.only(np.sort(np.argsort(np.hypot(*(now - center).T))[:most]))
    if sample.street is not None and rng.random() < how.clean:
        sample = _clean(sample, layout)
    sample = replace(
        sample,
        map_known=not rng.random() < how.drop_map,
        signals_known=not rng.random() < how.drop_signals,
        bev_known=not rng.random() < how.drop_bev,
        plan_known=not rng.random() < how.drop_plan,
    )
    # Bodies, curves and lanes have their own size: people alone may be faster or slower than they were.
    on_foot = bool((sample.kind == Kind.PEDESTRIAN).all())
    if how.scale != (1.0, 1.0) and sample.street is None and on_foot:
        factor = np.exp(rng.uniform(*np.log(how.scale)))
        sample = _moved(sample, lambda xy: xy * factor)
    if rng.random() < how.mirror:
        sample = _moved(sample, lambda xy: xy * np.array([1.0, -1.0]))
        if sample.street is not None:
            sample = replace(sample, street=sample.street.mirror())
    if how.rotate:
        yaw = rng.uniform(-np.pi, np.pi)
        sample = _moved(sample, lambda xy: rotate(xy, np.asarray(yaw)))
        if sample.street is not None:
            sample = replace(sample, street=sample.street.turned(yaw))
    return _worse_seen(sample, layout, how, rng)


def sample_of(window: TrainingWindow, layout: TimeLayout) -> Sample:
    """The window as it is."""
    position = window.position.astype(np.float64)
    now = layout.past_index[0]
    past, past_valid = position[:, now], window.valid[:, now]
    if window.street is not None:
        past, past_valid = window.street.history, window.street.history_valid
    return Sample(
        position=position,
        valid=window.valid,
        known=window.known,
        kind=window.kind,
        size=window.size,
        past=past,
        past_valid=past_valid,
        lines=replace(window.lines, points=window.lines.points - window.origin),
        street=window.street,
    )


def _moved(sample: Sample, move: Callable[[ndarray], ndarray]) -> Sample:
    """Agents and map moved; the street part is moved apart."""
    return replace(
        sample,
        position=move(sample.position),
        past=move(sample.past),
        lines=replace(sample.lines, points=move(sample.lines.points)),
    )


def _backwards(sample: Sample, layout: TimeLayout) -> Sample:
    """The window run backwards. Who was not there at the mirrored moment is not there at all."""
    index = layout.reversed_index
    sampled = index >= 0
    position = sample.position[:, index]
    valid = sample.valid[:, index] & sampled
    now = layout.past_index[0]
    turned = replace(
        sample,
        position=position,
        valid=valid,
        known=sample.known[:, index] & sampled,
        past=position[:, now],
        past_valid=valid[:, now],
    )
    return turned.only(np.flatnonzero(turned.valid[:, layout.now]))


def _worse_seen(sample: Sample, layout: TimeLayout, how: Augmentation, rng: np.random.Generator) -> Sample:
    """Noise, a slow sensor, holes, young tracks, swapped identities: they touch the past alone."""
    past, valid = sample.past, sample.past_valid.copy()
    agents, slots = valid.shape
    if how.noise_m:
        noise = rng.normal(0.0, how.noise_m, (agents, slots, 2))
        noise[:, 0] = 0.0  # the anchor is the frame of the truth
        past = past + noise
    if how.swap and rng.random() < how.swap:
        past, valid = _swapped(past, valid, sample.kind, rng)
    if how.sparse and rng.random() < how.sparse:
        ages = np.asarray(layout.grid.ages)
        valid[:, (ages > 0) & (ages < SPARSE_S)] = False
    if how.holes and rng.random() < how.holes:
        lost = rng.random((agents, slots)) < rng.uniform(0.0, MOST_HOLES)
        lost[:, 0] = False
        valid &= ~lost
    if how.shorten:
        shortened = rng.random(agents) < how.shorten
        last = rng.integers(2, slots, agents)
        old: ndarray = np.arange(slots) >= np.asarray(last)[:, None]
        valid &= ~(np.asarray(shortened)[:, None] & old)
    return replace(sample, past=np.where(valid[..., None], past, 0.0), past_valid=valid)


def _clean(sample: Sample, layout: TimeLayout) -> Sample:
    """The sample of a drive with the true past of those seen now whose truth is known."""
    now = layout.past_index[0]
    true = sample.valid[:, layout.now]
    if sample.street is not None:
        true = true & (sample.street.unseen_s == 0)
    return replace(
        sample,
        past=np.where(true[:, None, None], sample.position[:, now], sample.past),
        past_valid=np.where(true[:, None], sample.valid[:, now], sample.past_valid),
    )


SWAP_M = 2.5


def _swapped(
    past: Float[ndarray, "A S 2"],
    valid: Bool[ndarray, "A S"],
    kind: Int[ndarray, "A"],
    rng: np.random.Generator,
) -> tuple[ndarray, ndarray]:
    """Two near ones of a kind with each other's history before a random slot."""
    now: ndarray = past[:, 0]
    offset = now[:, None] - now[None]
    apart = np.hypot(offset[..., 0], offset[..., 1])
    pairs = np.argwhere((apart < SWAP_M) & (kind[:, None] == kind) & np.triu(np.ones(apart.shape, bool), 1))
    if len(pairs) == 0:
        return past, valid
    pair = pairs[rng.integers(len(pairs))]
    since = int(rng.integers(2, past.shape[1]))
    past, valid = past.copy(), valid.copy()
    past[pair, since:], valid[pair, since:] = past[pair[::-1], since:], valid[pair[::-1], since:]
    return past, valid
