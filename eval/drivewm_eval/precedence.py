"""Who goes first where two ways meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

STEP_S = 0.4
FINE = 8  # points a step


def fine(path: Float[ndarray, "F 2"]) -> Float[ndarray, "N 2"]:
    """The path with eight points a step, straight between the steps."""
    at = np.linspace(0, len(path) - 1, (len(path) - 1) * FINE + 1)
    rows = np.arange(len(path))
    return np.column_stack([np.interp(at, rows, path[:, i]) for i in (0, 1)])


def arrival(path: Float[ndarray, "N 2"], place: Float[ndarray, "2"], radius: float) -> float:
    """The row at which a path first comes within `radius` (m) of a place; infinite where it never does."""
    near = np.flatnonzero(np.hypot(*(path - place).T) <= radius)
    return float(near[0]) if len(near) else np.inf


def meeting_place(
    ego_ways: Sequence[Float[ndarray, "F 2"]], ways: Sequence[Float[ndarray, "F 2"]], reach: float
) -> Float[ndarray, "2"] | None:
    """Where an agent's ways come nearest to those that the ego takes; None if further than `reach`."""
    ego = np.concatenate([fine(way) for way in ego_ways])
    best, place = np.inf, None
    for way in ways:
        points = fine(way)
        apart = np.linalg.norm(points[:, None] - ego[None], axis=-1)
        row, column = np.unravel_index(apart.argmin(), apart.shape)
        if apart[row, column] < best:
            best, place = float(apart[row, column]), ego[column]
    return place if best <= reach else None


def first_there(
    ego: Float[ndarray, "F 2"], agent: Float[ndarray, "F 2"], place: Float[ndarray, "2"], radius: float
) -> bool | None:
    """Whether the agent is within `radius` (m) of the place before the ego; None where neither comes."""
    mine, theirs = arrival(fine(ego), place, radius), arrival(fine(agent), place, radius)
    if np.isinf(mine) and np.isinf(theirs):
        return None
    return theirs < mine
