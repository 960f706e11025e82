"""Do the agents of one joint mode get out of each other's way?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

BODY_RADIUS_M = np.array([0.2, 0.3, 0.9])
"""By kind: discs that overlap only where bodies do (a shoulder, a handlebar, half the width of a car)."""


def overlap_rate(
    position: Float[ndarray, "K A F 2"], kind: Int[ndarray, "A"], probability: Float[ndarray, "K"]
) -> float:
    """The expected share of agents that overlap another one at some step of a mode."""
    modes, agents = position.shape[:2]
    if agents < 2:
        return 0.0
    reach = BODY_RADIUS_M[kind][:, None] + BODY_RADIUS_M[kind][None]
    apart = np.eye(agents, dtype=bool)
    rate = 0.0
    for mode in range(modes):
        path = position[mode]
        distance = np.linalg.norm(path[:, None] - path[None], axis=-1).min(-1)
        rate += probability[mode] * ((distance < reach) & ~apart).any(1).mean()
    return float(rate)
