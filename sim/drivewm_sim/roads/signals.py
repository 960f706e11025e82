"""Fixed-time signal programmes: what a signal shows is a function of time alone, so it needs no state."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel


class Signals(NamedTuple):
    """One green window a cycle. Axis: G signal groups (lanes or crossings that show the same)."""

    cycle: Float[ndarray, "G"]  # s
    green_from: Float[ndarray, "G"]  # s into the cycle, may be negative or beyond it
    green: Float[ndarray, "G"]  # s of green
    yellow: Float[ndarray, "G"]  # s of yellow after green


@kernel
def aspect(signals: Signals, group: int, time_s: float) -> tuple[int, float]:
    """What a group shows at a time, and for how many seconds more."""
    cycle = signals.cycle[group]
    t = (time_s - signals.green_from[group]) % cycle
    if t < signals.green[group]:
        return 2, signals.green[group] - t
    t -= signals.green[group]
    if t < signals.yellow[group]:
        return 1, signals.yellow[group] - t
    return 0, cycle - signals.green[group] - t
