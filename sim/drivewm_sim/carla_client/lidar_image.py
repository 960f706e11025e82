"""A turn of CARLA's semantic lidar as our depth image: what the simulator's own ray caster gives."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy import ndarray

from drivewm_sim.carla_client.ego_sensors import Cloud
from drivewm_sim.carla_frames import mirrored
from drivewm_sim.sensors.lidar import LidarSpec, make_rays
from drivewm_sim.sensors.raycast import FIRST_BOX, GROUND, NOTHING

GROUND_TAGS = (1, 2, 10, 24, 25)
"""carla.CityObjectLabel: roads, sidewalks, terrain, road lines, ground."""
STRANGER = FIRST_BOX
"""What belongs to the level, or to nobody we know, is marked as a box of the town."""


def depth_image(
    cloud: Cloud, spec: LidarSpec, row_of: dict[int, int], own: int
) -> tuple[Float32[ndarray, "J E"], Int32[ndarray, "J E"]]:
    """Metres of ground to where each ray ends, and at what: a row of the bodies, or a code of `raycast`.

    row_of: the row of an actor's body; own: the ego's id, whose own roof counts as nothing seen. Of two
    points in one cell the nearer one counts.
    """
    rays = make_rays(spec)
    depth = np.broadcast_to(rays.limit.astype(np.float32), (spec.azimuths, spec.beams)).copy()
    mark = np.full((spec.azimuths, spec.beams), NOTHING, np.int32)
    points = cloud.points
    beam = np.repeat(np.arange(len(cloud.counts)), cloud.counts)
    xyz = mirrored(np.column_stack([points["x"], points["y"], points["z"]]))
    away = np.hypot(xyz[:, 0], xyz[:, 1])
    turn = np.arctan2(xyz[:, 1], xyz[:, 0])
    column = np.rint((turn + np.pi) * spec.azimuths / (2 * np.pi)).astype(np.int64) % spec.azimuths
    use = (points["actor"] != own) & (beam < spec.beams)
    order = np.flatnonzero(use)[np.argsort(-away[use], kind="stable")]  # the nearest is written last
    depth[column[order], beam[order]] = away[order]
    mark[column[order], beam[order]] = _marks(points, row_of)[order]
    return depth, mark


def _marks(points: ndarray, row_of: dict[int, int]) -> Int64[ndarray, "n"]:
    out = np.where(np.isin(points["tag"], GROUND_TAGS), GROUND, STRANGER)
    if row_of:
        ids = np.array(sorted(row_of))
        rows = np.array([row_of[k] for k in ids.tolist()])
        at = np.minimum(np.searchsorted(ids, points["actor"]), len(ids) - 1)
        out = np.where(ids[at] == points["actor"], rows[at], out)
    return out
