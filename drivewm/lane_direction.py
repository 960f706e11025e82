"""Which way a lane runs: whose heading fits it, and how those face who hardly move."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.features import LINE_POINTS, LINE_SPACING_M, Lines
from drivewm.frames import wrap_angle
from drivewm.segments import Segments
from drivewm.types import Kind, LineKind, RoadMap

IN_LANE_M = 1.75
"""Half the width of a lane: whose centre is farther away, the vehicle is not in that lane."""
PIECE_M = LINE_POINTS * LINE_SPACING_M
"""A piece of a lane is nowhere further from its middle than this."""


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


def road_yaw(place: Float[ndarray, "A 2"], kind: Int[ndarray, "A"], lines: Lines) -> Float[ndarray, "A"]:
    """The direction (rad) of the lane that each cyclist or vehicle is in; NaN for others.

    In a lane is who is within 1.75 m of its middle; of several the nearest counts.
    """
    out = np.full(len(place), np.nan)
    rows = np.flatnonzero(kind != Kind.PEDESTRIAN)
    center = lines.kind == LineKind.LANE_CENTER
    if not len(rows) or not center.any():
        return out
    middle = lines.points[center][:, lines.points.shape[1] // 2]
    near = np.linalg.norm(middle[:, None] - place[rows], axis=-1).min(axis=1) < PIECE_M + IN_LANE_M
    lanes = Segments.of(lines.only(np.flatnonzero(center)[near]), LineKind.LANE_CENTER)
    if not len(lanes.begin):
        return out
    best, offset, _ = lanes.nearest(place[rows])
    step = lanes.step[best]
    inside = np.hypot(offset[:, 0], offset[:, 1]) <= IN_LANE_M
    out[rows] = np.where(inside, np.arctan2(step[:, 1], step[:, 0]), np.nan)
    return out
