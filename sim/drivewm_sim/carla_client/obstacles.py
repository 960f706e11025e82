"""What bars the way, from the points of a lidar alone: no tracks, no kinds, everything stands still."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.bev import BevSpec, bev_features
from drivewm_sim.carla_frames import mirrored
from drivewm_sim.ego_route import EgoRoute

SPEC = BevSpec(
    x_range=(0.0, 48.0), y_range=(-16.0, 16.0), resolution=0.4, obstacle_heights=(0.35, 2.2), past_ages=()
)
SWEEPS = 2
"""The leaderboard's lidar turns at 10 Hz and the world ticks at 20: two messages are one turn."""
MARGIN_M = 0.3  # beside the car
GROUND_CELL_M = 4.0
STEEPEST = 0.1  # the ground may rise or fall by this much a metre
_ROUGH_M = 0.15


class LidarWatch:
    """The last turn of the lidar, moved with the car."""

    def __init__(self, mount: tuple[float, float, float], size: tuple[float, float]) -> None:
        """mount: the sensor in the car's frame (m, CARLA's: y right); size: length and width of the car."""
        self._mount = mirrored(np.array(mount))
        self._half = 0.5 * np.array(size)
        self._sweeps: deque[tuple[Float[ndarray, "n 3"], Float[ndarray, "3"]]] = deque(maxlen=SWEEPS)

    def add(self, points: Float[ndarray, "n 4"], pose: Float[ndarray, "3"]) -> None:
        """points: x, y, z, intensity as the sensor gives them; pose: the car's when it did."""
        xyz = mirrored(points[:, :3]) + self._mount
        own = (np.abs(xyz[:, :2]) < self._half + 0.3).all(axis=1)
        self._sweeps.append((xyz[np.isfinite(xyz).all(axis=1) & ~own], pose))

    def first_ahead(self, route: EgoRoute, pose: Float[ndarray, "3"]) -> float | None:
        """The s at which something bars the way of a car at `pose`, None where nothing in sight does."""
        if not self._sweeps:
            return None
        points = np.concatenate([_moved(xyz, then, pose) for xyz, then in self._sweeps])
        grid = bev_features(_above_ground(points), self._mount, SPEC).features[0]
        i, j = np.nonzero(grid)
        ahead = SPEC.x_range[0] + (i + 0.5) * SPEC.resolution
        left = SPEC.y_range[0] + (j + 0.5) * SPEC.resolution
        c, s = np.cos(pose[2]), np.sin(pose[2])
        xy = np.column_stack([pose[0] + c * ahead - s * left, pose[1] + s * ahead + c * left])
        (own,), _ = route.locate(pose[None, :2])
        along, across = route.locate(xy)
        barred = (np.abs(across) < self._half[1] + MARGIN_M) & (along > own + self._half[0])
        return float(along[barred].min() - 0.5 * SPEC.resolution) if barred.any() else None


def _moved(
    xyz: Float[ndarray, "n 3"], then: Float[ndarray, "3"], now: Float[ndarray, "3"]
) -> Float[ndarray, "n 3"]:
    """Points in the car's frame of one pose in that of another."""
    turn = then[2] - now[2]
    c, s = np.cos(now[2]), np.sin(now[2])
    dx, dy = then[:2] - now[:2]
    x = np.cos(turn) * xyz[:, 0] - np.sin(turn) * xyz[:, 1] + c * dx + s * dy
    y = np.sin(turn) * xyz[:, 0] + np.cos(turn) * xyz[:, 1] - s * dx + c * dy
    return np.column_stack([x, y, xyz[:, 2]])


def _above_ground(points: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Heights above the lowest point near each, which is ground unless the ground would be too steep."""
    near = (np.abs(points[:, 0]) < 60.0) & (np.abs(points[:, 1]) < 60.0)
    points = points[near]
    i, j = np.floor((points[:, :2] + 60.0) / GROUND_CELL_M).astype(np.int64).T
    lowest = np.full((30, 30), np.inf)
    np.minimum.at(lowest, (i, j), points[:, 2])
    most = STEEPEST * np.hypot(points[:, 0], points[:, 1]) + _ROUGH_M
    ground = np.clip(lowest[i, j], -most, most)
    return np.column_stack([points[:, :2], points[:, 2] - ground])
