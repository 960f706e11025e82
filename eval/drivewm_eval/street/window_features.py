"""What a classifier sees of somebody's walk: features of windows of 4.8 s, sampled every 0.4 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_eval.street.motion import WALKING_MPS, Motion, on_clock

WINDOW_STEP_S = 0.4
MOVES = 12
FARTHEST_M = 10.0
"""A neighbour further away counts as this far."""
NEAR_M = 3.0

_MOTION = (
    "speed mean", "speed sd", "speed least", "speed most",
    "forward acceleration rms", "forward acceleration most", "forward acceleration, memory",
    "sideways acceleration rms", "sideways acceleration most", "sideways acceleration, memory",
    "straightness", "turn in all", "turn a step, mean", "turn a step, most",
    "turning slow", "turning middling", "turning fast",
    "speed change slow", "speed change middling", "speed change fast",
)  # fmt: skip
_NEIGHBOURS = ("neighbour's distance", "neighbour's least distance", "neighbours within 3 m",
               "neighbour's velocity difference", "neighbour ahead")  # fmt: skip
NAMES: tuple[str, ...] = (*_MOTION, *_NEIGHBOURS)
MOTION_FEATURES = len(_MOTION)
"""The first so many features are about one's own motion, the others about the nearest person on foot."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of people who walk. Axes: W windows, D features (`NAMES`)."""

    feature: Float[ndarray, "W D"]
    scene: tuple[str, ...]  # name of the scene of each
    agent: tuple[str, ...]  # scene and id of the agent of each

    def where(self, keep: Int[ndarray, "_"]) -> Windows:
        """The windows of these indices."""
        return Windows(
            feature=self.feature[keep],
            scene=tuple(self.scene[i] for i in keep.tolist()),
            agent=tuple(self.agent[i] for i in keep.tolist()),
        )


def windows_of(recordings: Sequence[Recording], *, noise_m: float = 0.0, seed: int = 0) -> Windows:
    """The windows of 4.8 s, one after the other, of everybody on foot whose mean speed is at least 0.3 m/s.

    `noise_m` is the standard deviation of a Gaussian error added to every coordinate: given to both sides
    of a comparison, it hides how exactly each was measured. InputError for a recording slower than 2.5 Hz.
    """
    rng = np.random.default_rng(seed)
    features = [np.zeros((0, len(NAMES)))]
    scenes: list[str] = []
    agents: list[str] = []
    for recording in recordings:
        motion = on_clock(recording, WINDOW_STEP_S)
        if motion.period_s > WINDOW_STEP_S + 0.01:
            raise InputError(
                f"{motion.scene}: recorded every {motion.period_s:.2g} s, expected at most {WINDOW_STEP_S} s "
                "to compare walks; interpolated positions would give themselves away: leave it out"
            )
        rows = _window_rows(motion)
        position = motion.xy[rows] + noise_m * rng.standard_normal((*rows.shape, 2))
        neighbours = _nearest(motion)[rows[:, 1:]]
        features.append(np.concatenate([_of_motion(position), _of_neighbours(neighbours)], axis=1))
        scenes += [motion.scene] * len(rows)
        agents += [f"{motion.scene}/{motion.ids[agent]}" for agent in motion.agent[rows[:, 0]].tolist()]
    return Windows(feature=np.concatenate(features), scene=tuple(scenes), agent=tuple(agents))


def joined(windows: Sequence[Windows]) -> Windows:
    """All of them, in this order."""
    return Windows(
        feature=np.concatenate([np.zeros((0, len(NAMES))), *(part.feature for part in windows)]),
        scene=tuple(name for part in windows for name in part.scene),
        agent=tuple(name for part in windows for name in part.agent),
    )


def _window_rows(motion: Motion) -> Int[ndarray, "W _"]:
    """Rows of 13 ticks in a row of one agent on foot, none used twice, that lead at least 0.3 m/s * 4.8 s."""
    walks = motion.is_kind(Kind.PEDESTRIAN)
    # A run is a stretch of rows that follow each other; windows are cut from its beginning.
    begins = np.flatnonzero(~motion.follows)
    ends = np.append(begins[1:], len(motion.tick))
    starts = [
        np.arange(begin, end - MOVES, MOVES + 1)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        if walks[begin]
    ]
    first = np.concatenate([np.zeros(0, np.int64), *starts])
    rows = first[:, None] + np.arange(MOVES + 1)
    return rows[motion.speed[rows[:, 1:]].mean(axis=1) >= WALKING_MPS] if len(rows) else rows


def _of_motion(position: Float[ndarray, "W 13 2"]) -> Float[ndarray, "W _"]:
    velocity = np.diff(position, axis=1) / WINDOW_STEP_S
    speed = np.hypot(velocity[..., 0], velocity[..., 1])
    unit = velocity / np.maximum(speed, 1e-6)[..., None]
    change = np.diff(velocity, axis=1) / WINDOW_STEP_S
    forward = (change * unit[:, :-1]).sum(axis=-1)
    sideways = change[..., 1] * unit[:, :-1, 0] - change[..., 0] * unit[:, :-1, 1]
    # The angle from one move to the next; a move shorter than 4 cm has no direction.
    turn = np.arctan2(
        unit[:, :-1, 0] * unit[:, 1:, 1] - unit[:, :-1, 1] * unit[:, 1:, 0],
        (unit[:, :-1] * unit[:, 1:]).sum(-1),
    )
    turn = np.where(np.minimum(speed[:, :-1], speed[:, 1:]) * WINDOW_STEP_S >= 0.04, turn, 0.0)
    net = np.hypot(*(position[:, -1] - position[:, 0]).T)
    return np.column_stack(
        [
            speed.mean(axis=1),
            speed.std(axis=1),
            speed.min(axis=1),
            speed.max(axis=1),
            *_course(forward),
            *_course(sideways),
            net / np.maximum(speed.sum(axis=1) * WINDOW_STEP_S, 1e-6),
            np.abs(turn.sum(axis=1)),
            np.abs(turn).mean(axis=1),
            np.abs(turn).max(axis=1),
            *_bands(turn),
            *_bands(np.diff(speed, axis=1)),
        ]
    )


def _course(acceleration: Float[ndarray, "W 11"]) -> list[Float[ndarray, "W"]]:
    """Root mean square, largest size, and correlation with itself one step later."""
    square = (acceleration**2).sum(axis=1)
    later = (acceleration[:, 1:] * acceleration[:, :-1]).sum(axis=1)
    return [
        np.sqrt(square / acceleration.shape[1]),
        np.abs(acceleration).max(axis=1),
        later / np.maximum(square, 1e-9),
    ]


def _bands(series: Float[ndarray, "W 11"]) -> list[Float[ndarray, "W"]]:
    """Logarithm of the power at periods over 1.8 s (without the mean), down to 1.1 s, and below."""
    power = np.abs(np.fft.rfft(series, axis=1)) ** 2
    return [np.log(power[:, band].mean(axis=1) + 1e-6) for band in (slice(1, 3), slice(3, 5), slice(5, 6))]


def _nearest(motion: Motion) -> Float[ndarray, "N 4"]:
    """Of every row: distance of the nearest other on foot, how many are within 3 m, the size of the velocity
    difference to the nearest, and the cosine of the angle at which it is seen."""
    out = np.tile([FARTHEST_M, 0.0, 0.0, 0.0], (len(motion.tick), 1))
    order, edges = motion.by_tick
    on_foot = motion.is_kind(Kind.PEDESTRIAN)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = order[begin:end]
        rows = rows[on_foot[rows]]
        if len(rows) < 2:
            continue
        offset = motion.xy[rows] - motion.xy[rows, None]
        apart = np.hypot(offset[..., 0], offset[..., 1])
        np.fill_diagonal(apart, np.inf)
        nearest = apart.argmin(axis=1)
        distance = apart.min(axis=1)
        velocity = motion.velocity[rows]
        unlike = np.hypot(*(velocity[nearest] - velocity).T)
        ahead = (offset[np.arange(len(rows)), nearest] * velocity).sum(axis=1)
        ahead /= np.maximum(distance * np.hypot(*velocity.T), 1e-6)
        seen = distance < FARTHEST_M
        out[rows, 0] = np.minimum(distance, FARTHEST_M)
        out[rows, 1] = (apart <= NEAR_M).sum(axis=1)
        out[rows, 2] = np.where(seen, unlike, 0.0)
        out[rows, 3] = np.where(seen, ahead, 0.0)
    return out


def _of_neighbours(nearest: Float[ndarray, "W 12 4"]) -> Float[ndarray, "W _"]:
    mean = nearest.mean(axis=1)
    return np.column_stack([mean[:, 0], nearest[:, :, 0].min(axis=1), mean[:, 1:]])
