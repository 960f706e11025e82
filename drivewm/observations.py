"""What a stack says of one agent at one tick, and whether it can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from drivewm.types import Kind

FARTHEST_M = 1e8
"""No map projection has coordinates as large."""
LARGEST_SIZE_M = 100.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Where one agent is seen at a stamp, in a frame that stays fixed (map or odometry, not the ego's)."""

    agent_id: str  # the tracker's, the same from tick to tick
    kind: Kind
    x: float  # metres, of the box centre
    y: float
    size: tuple[float, float] | None = None  # length, width in metres; None where not measured
    z: float = 0.0


def doubt(observation: Observation) -> str | None:
    """Why an observation cannot be used, or None."""
    place = (observation.x, observation.y, observation.z)
    if not all(isinstance(value, Real) and math.isfinite(value) for value in place):
        return "not finite"
    if max(map(abs, place)) > FARTHEST_M:
        return "too far"
    if observation.kind not in tuple(Kind):
        return "no kind"
    return None


def size_of(observation: Observation) -> tuple[float, float]:
    """Length and width, zero where not measured."""
    size = observation.size
    return size if size is not None and all(0 < side <= LARGEST_SIZE_M for side in size) else (0.0, 0.0)
