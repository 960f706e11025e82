"""Lengths and angles without roots and remainders where the answer is plain; to the bit what those would say.

Most vectors are far from the limit that they are held against. `math.hypot` and `%` are asked only about the
rest.
"""

from __future__ import annotations

import math

from drivewm_sim.street.inlining import inlined

NEARLY = 1e-9  # squares this close, as a share, are left to `math.hypot`


@inlined
def longer(x: float, y: float, than: float) -> bool:
    """Whether `math.hypot(x, y) > than`, for a positive length."""
    square, limit = x * x + y * y, than * than
    if abs(square - limit) > NEARLY * limit:
        return square > limit
    return math.hypot(x, y) > than


@inlined
def shortened(x: float, y: float, most: float) -> tuple[float, float]:
    """A vector, no longer than `most`."""
    if not longer(x, y, most):
        return x, y
    size = math.hypot(x, y)
    return x * most / size, y * most / size


@inlined
def beyond(x: float, y: float, length: float, width: float, away: float) -> bool:
    """Whether a point (x, y) from the centre of a box is certainly more than `away` metres from the box.

    The half diagonal is less than half of length and width together, so that the box's yaw does not matter.
    """
    most = 0.5 * (length + width) + away
    return x * x + y * y > most * most * (1.0 + NEARLY)


@inlined
def wrapped(angle: float) -> float:
    """An angle (rad) in [-pi, pi)."""
    turn = angle + math.pi
    return (turn if 0.0 <= turn < 2.0 * math.pi else turn % (2.0 * math.pi)) - math.pi
