"""A track's past: which positions the history slots see, the same from a recording and in the car."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.timing import TimeGrid
from drivewm.types import Kind

EXACT_S = 1e-6
"""Two times closer than this are the same recorded instant."""
MAX_SPEED_MPS = {Kind.PEDESTRIAN: 15.0, Kind.CYCLIST: 25.0, Kind.VEHICLE: 70.0}
"""No agent of the kind moves faster between two stamps."""
JUMP_SLACK_M = 0.5
"""What a detector may err between two stamps, whatever their distance in time."""
VELOCITY_S = 0.4
"""A lost track is carried on at its velocity over the last so many seconds."""
SAME_M = 2.0
"""A younger track of its kind, this near to where a lost one should be, is taken for it."""


def sample_track(
    t: Float[ndarray, "N"],
    xyz: Float[ndarray, "N 3"],
    times: Float[ndarray, "T"],
    holes: Float[ndarray, "T"],
    until: float,
) -> tuple[Float[ndarray, "T 3"], Bool[ndarray, "T"]]:
    """Position of one track at the given times, from its rows (`t` ascending) not later than `until`.

    A time is invalid when it lies outside the track or between two rows further apart than its hole.
    """
    count = int(np.searchsorted(t, until + EXACT_S, side="right"))
    if count == 0:
        return np.zeros((len(times), 3)), np.zeros(len(times), bool)
    t, xyz = t[:count], xyz[:count]
    right = np.clip(np.searchsorted(t, times - EXACT_S), 0, count - 1)
    left = np.maximum(right - 1, 0)
    exact = np.abs(t[right] - times) <= EXACT_S
    inside = (times >= t[0] - EXACT_S) & (times <= t[-1] + EXACT_S)
    gap = t[right] - t[left]
    valid = exact | (inside & (gap <= holes))
    weight = np.where(exact, 1.0, (times - t[left]) / np.where(gap > 0, gap, 1.0))[:, None]
    out = np.where(valid[:, None], xyz[left] * (1 - weight) + xyz[right] * weight, 0.0)
    return out, valid


def memory_s(grid: TimeGrid) -> float:
    """Seconds of the past that can reach a history slot: the oldest slot and the hole before it."""
    return grid.ages[-1] + grid.slot_holes[-1]


class TrackHistory:
    """The recent rows of one track: time in seconds, position x, y, z in metres, float64."""

    def __init__(self) -> None:
        self._rows: deque[tuple[float, float, float, float]] = deque()
        self._jumped: tuple[float, float, float, float] | None = None

    @property
    def last_s(self) -> float:
        """When it was last seen; minus infinity where never."""
        seen = self._rows[-1][0] if self._rows else -np.inf
        return max(seen, self._jumped[0]) if self._jumped else seen

    @property
    def first_s(self) -> float:
        """Since when it is known without a break in identity; infinity where never seen."""
        return self._rows[0][0] if self._rows else np.inf

    def carried_on(self, t_s: float) -> Float[ndarray, "3"]:
        """Where it is at a later time if it goes on at its last velocity."""
        rows = np.asarray(self._rows, np.float64)
        last = rows[-1]
        before = rows[rows[:, 0] >= last[0] - VELOCITY_S - EXACT_S][0]
        elapsed = last[0] - before[0]
        velocity = (last[1:] - before[1:]) / elapsed if elapsed > EXACT_S else np.zeros(3)
        return np.asarray(last[1:] + velocity * (t_s - last[0]))

    def add(self, t_s: float, xyz: tuple[float, float, float], kind: Kind) -> bool:
        """Appends a row later than all others. False where it is an impossible jump: then it is left out.

        A second row that fits the one left out, and again not the rest, says that the track is truly
        there (its id has gone to somebody else): its history begins anew with these two.
        """
        row = (t_s, *xyz)
        if not self._rows or _reachable(self._rows[-1], row, kind):
            self._rows.append(row)
        elif self._jumped and _reachable(self._jumped, row, kind):
            self._rows = deque([self._jumped, row])
        else:
            self._jumped = row
            return False
        self._jumped = None
        return True

    def drop_from(self, t_s: float) -> None:
        """Forgets the rows at or after a time."""
        while self._rows and self._rows[-1][0] >= t_s - EXACT_S:
            self._rows.pop()
        if self._jumped and self._jumped[0] >= t_s - EXACT_S:
            self._jumped = None

    def forget_before(self, t_s: float) -> None:
        """Forgets the rows before a time."""
        while self._rows and self._rows[0][0] < t_s - EXACT_S:
            self._rows.popleft()

    def sample(
        self, times: Float[ndarray, "T"], holes: Float[ndarray, "T"], until: float
    ) -> tuple[Float[ndarray, "T 3"], Bool[ndarray, "T"]]:
        rows = np.asarray(self._rows, np.float64).reshape(-1, 4)
        return sample_track(rows[:, 0], rows[:, 1:], times, holes, until)


def _reachable(
    before: tuple[float, float, float, float], after: tuple[float, float, float, float], kind: Kind
) -> bool:
    travelled = float(np.hypot(after[1] - before[1], after[2] - before[2]))
    return travelled <= MAX_SPEED_MPS[kind] * (after[0] - before[0]) + JUMP_SLACK_M
