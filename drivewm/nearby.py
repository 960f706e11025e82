"""Which pieces of the map matter: those where somebody is, or soon will be.

The nearest pieces to the middle of the scene would leave most of those at its edge without the lane they are
in: of vehicles on a street grid with 64 pieces only two in five saw their own.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import LineKind

AHEAD_S = (0.0, 2.0, 4.0)
"""Places that count: where everybody is now, and where he would be later at his velocity."""
BOUNDARY_FACTOR = 5.0
"""A lane's boundaries say little beside its centre: they count as so many times further away."""
RADIUS_M = 60.0


def nearby_pieces(
    points: Float[ndarray, "P L 2"],
    kind: Int[ndarray, "P"],
    position: Float[ndarray, "A 2"],
    velocity: Float[ndarray, "A 2"],
    present: Bool[ndarray, "A"],
    limit: int,
) -> Int[ndarray, "N"]:
    """The `limit` pieces nearest to any of the present agents' places, nearest first; metres and m/s.

    A piece is where its ends and its middle are. None further than 60 m.
    """
    if limit == 0 or len(kind) == 0 or not present.any():
        return np.zeros(0, np.int64)
    position, velocity = position[present], velocity[present]
    place = np.concatenate([position + velocity * seconds for seconds in AHEAD_S])
    middle = position.mean(axis=0)  # small numbers keep the differences of squares exact
    piece = (points[:, [0, points.shape[1] // 2, -1]] - middle).reshape(-1, 2)
    place = place - middle
    square = (piece**2).sum(-1)[:, None] + (place**2).sum(-1) - 2 * piece @ place.T
    distance = np.sqrt(np.maximum(square.min(axis=1).reshape(-1, 3).min(axis=1), 0.0))
    counted = np.where(kind == LineKind.LANE_BOUNDARY, BOUNDARY_FACTOR, 1.0) * distance
    near = np.argsort(counted, kind="stable")
    return near[distance[near] < RADIUS_M][:limit]
