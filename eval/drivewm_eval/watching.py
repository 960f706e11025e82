"""A drive watched tick by tick: what each tick is surprised by, beside the residual of constant velocity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.belief import Belief, believe
from drivewm.evidence import LOOK_BACK_S, POSITIONS, SIGNALS, Evidence, evidence, seen_now
from drivewm.forecaster import TorchForecaster
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.drive_scenes import scene_of
from drivewm_datasets.street_windows import present_at

TICK = 4
"""Frames between the bird's-eye grids of a drive, and between ticks."""
LOOK_BACK = round(LOOK_BACK_S[-1] / FRAME_S)
BATCH = 12
NEAR_M = 20.0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The evidence of a frame. A agents, in the order of the evidence."""

    frame: int
    evidence: Evidence
    residual: Float[ndarray, "A"]  # m from constant velocity, the most over the look-backs; -inf unknown
    nll: Float[ndarray, "A"]  # nats, likewise
    near: Int[ndarray, "A"]  # other agents within 20 m


def watch(drive: Drive, frames: Iterable[int], forecaster: TorchForecaster) -> Iterator[Tick]:
    """The ticks of frames 0.4 s apart, but for the first three, which are only looked back to."""
    held: list[Belief] = []
    for beliefs in _batches(drive, list(frames), forecaster):
        for frame, belief in beliefs:
            if len(held) == len(LOOK_BACK_S):
                yield tick_of(frame, belief, held)
            held = [*held, belief][-len(LOOK_BACK_S) :]


def _batches(
    drive: Drive, frames: Sequence[int], forecaster: TorchForecaster
) -> Iterator[list[tuple[int, Belief]]]:
    for start in range(0, len(frames), BATCH):
        some = frames[start : start + BATCH]
        scenes = [
            scene_of(drive, f, forecaster.grid, present_at(drive, f), plan=None, bev=True) for f in some
        ]
        yield list(zip(some, believe(forecaster, scenes), strict=True))


def tick_of(frame: int, now: Belief, before: Sequence[Belief]) -> Tick:
    """The evidence now, and by what the simplest scores would be surprised."""
    seen = evidence(now, before)
    columns = [SIGNALS.index(name) for name in POSITIONS]
    nll = np.where(seen.known[:, columns], seen.value[:, columns], -np.inf).max(axis=1)
    residual = np.full(len(seen.ids), -np.inf)
    row_of = {name: a for a, name in enumerate(now.scene.tracks.ids) if seen_now(now.scene)[a]}
    for belief in before:
        tracks = belief.scene.tracks
        back = np.array([now.scene.t_s - belief.scene.t_s])
        path, _ = constant_velocity(tracks, back)
        for old, name in enumerate(tracks.ids):
            if (a := row_of.get(name)) is not None:
                away = np.linalg.norm(now.scene.tracks.position[a, 0] - path[old, 0])
                residual[a] = max(residual[a], away)
    place = now.scene.tracks.position[:, 0]
    close = np.linalg.norm(place[:, None] - place, axis=-1) < NEAR_M
    near = np.zeros(len(seen.ids), np.int64)
    near[: len(place)] = close.sum(axis=1) - 1
    return Tick(frame=frame, evidence=seen, residual=residual, nll=nll, near=near)
