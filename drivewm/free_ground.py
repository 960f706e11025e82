"""Where the lidar sees that nobody stands: how far inside free ground a place lies."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.bev import CURRENT, BevGrid
from drivewm.frames import to_frame

REACH_M = 3.0
"""No place counts as deeper in free ground than this."""


def depth_in_free_ground(
    place: Float[ndarray, "N 2"], grid: BevGrid, ego_pose: Float[ndarray, "3"]
) -> Float[ndarray, "N"]:
    """Distance (m) of each place of the scene to the nearest ground that is not seen free, at most 3 m.

    Free is a cell that a ray crossed low and from which nothing returned (channel `free`). 0 where the
    place's own cell is occupied, hidden or beyond the grid.
    """
    spec = grid.spec
    reach = round(REACH_M / spec.resolution)
    free = np.pad(grid.features[CURRENT.index("free")] > 0.5, reach)
    corner = np.array([spec.x_range[0], spec.y_range[0]])
    cell = (to_frame(place, ego_pose[None]) - corner) / spec.resolution
    index = np.floor(cell).astype(np.int64)
    shape = np.array(spec.shape[1:])
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    index = np.where(inside[:, None], index, 0)
    around = np.arange(-reach, reach + 1)
    i, j = (index[:, axis, None] + around + reach for axis in (0, 1))
    # From the place to the nearest edge of each cell around.
    apart = [np.abs(index[:, axis, None] + around + 0.5 - cell[:, axis, None]) - 0.5 for axis in (0, 1)]
    dx, dy = (np.maximum(a, 0.0) for a in apart)
    away = np.hypot(dx[:, :, None], dy[:, None, :])
    taken = ~free[i[:, :, None], j[:, None, :]]
    nearest = np.where(taken, away, np.inf).min(axis=(1, 2))
    return np.where(inside, np.minimum(nearest * spec.resolution, REACH_M), 0.0)
