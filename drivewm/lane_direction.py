"""Which way a lane runs, and how far from it a vehicle drives."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import LineKind, RoadMap

IN_LANE_M = 1.75
"""Half the width of a lane: whose centre is farther away, the vehicle is not in that lane."""


def angle_to_lane(pose: Float[ndarray, "N 3"], road_map: RoadMap) -> Float[ndarray, "N"]:
    """Angle (rad, 0 to pi) between each heading and the best fitting lane within 1.75 m; NaN without one."""
    rows = road_map.kind == LineKind.LANE_CENTER
    points, valid = road_map.points[rows], road_map.valid[rows]
    whole = valid[:, :-1] & valid[:, 1:]
    begin = points[:, :-1][whole]
    step = points[:, 1:][whole] - begin
    length2 = (step**2).sum(-1)
    begin, step, length2 = (x[length2 > 0] for x in (begin, step, length2))
    if not len(begin) or not len(pose):
        return np.full(len(pose), np.nan)
    offset = pose[:, None, :2] - begin
    along = np.clip((offset * step).sum(-1) / length2, 0.0, 1.0)
    away = np.linalg.norm(offset - along[..., None] * step, axis=-1)
    angle = np.abs(wrap_angle(pose[:, 2, None] - np.arctan2(step[:, 1], step[:, 0])))
    best = np.where(away <= IN_LANE_M, angle, np.inf).min(axis=-1)
    return np.where(np.isfinite(best), best, np.nan)
