"""Vehicles that drive in a lane stay on lanes: joint modes that stray beside it are drawn back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.features import split_lines
from drivewm.lane_direction import IN_LANE_M
from drivewm.segments import Segments
from drivewm.types import Forecast, Kind, LineKind, Scene

HALF_WIDTH_M = (1.25, 2.75)
"""No lane is taken for narrower or wider than twice this; without boundaries it is as wide as usual."""
INSIDE_M = 0.1  # so far inside the lane's edge ends who is drawn back
FARTHEST_M = (4.0, 5.0)
"""Who strays further than this has another destination than the lanes that are known: from the first to the
second it is drawn back less and less, beyond it is left alone."""
AHEAD_SHARE = 0.5
"""Beyond the end of a lane, by more than this share of how far it is aside, the map ends and not the road."""


def keep_to_lanes(forecast: Forecast, scene: Scene) -> Forecast:
    """The forecast with the joint modes of vehicles, but the ego, drawn back to the nearest lane.

    Only of who is in a lane now (within 1.75 m of its middle) and has a forecast of the model. A place in no
    lane is moved straight to the nearest one, to 10 cm inside its edge. A mode in which that would take more
    than 5 m at any step stays whole as it is, one between 4 and 5 m goes part of the way.
    """
    tracks = scene.tracks
    asked = (tracks.kind == Kind.VEHICLE) & (np.asarray(forecast.source) == "model") & tracks.valid[:, 0]
    asked &= np.array([agent != scene.ego_id for agent in tracks.ids], bool)
    if not asked.any():
        return forecast
    lines = split_lines(scene.road_map)
    centers, edges = (Segments.of(lines, kind) for kind in (LineKind.LANE_CENTER, LineKind.LANE_BOUNDARY))
    position = forecast.position.copy()
    for row in np.flatnonzero(asked).tolist():
        now, path = tracks.position[row, :1], position[:, row]
        near = centers.about(np.concatenate([now, path.reshape(-1, 2)]), HALF_WIDTH_M[1] + FARTHEST_M[1])
        if len(near.begin) and np.hypot(*near.nearest(now)[1][0]) <= IN_LANE_M:
            position[:, row] = drawn_back(path, near, edges)
    return replace(forecast, position=position)


def drawn_back(path_KF2: Float[ndarray, "K F 2"], lanes: Segments, edges: Segments) -> ndarray:
    """The paths of one vehicle on the lanes whose centres and boundaries these are: K F 2."""
    best, offset, beyond = lanes.nearest(path_KF2.reshape(-1, 2))
    away = np.hypot(offset[:, 0], offset[:, 1])
    strays = np.where(beyond > AHEAD_SHARE * away, 0.0, away - HALF_WIDTH_M[0] + INSIDE_M)
    out = np.flatnonzero(strays > 0)
    strays[out] -= _half_width(lanes, best[out], edges) - HALF_WIDTH_M[0]
    strays = np.maximum(strays, 0.0).reshape(path_KF2.shape[:2])
    worst = strays.max(axis=1, keepdims=True)
    strays *= np.interp(worst, FARTHEST_M, (1.0, 0.0))
    way = (offset / np.maximum(away, 1e-9)[:, None]).reshape(path_KF2.shape)
    return np.asarray(path_KF2 - strays[..., None] * way)


def _half_width(lanes: Segments, which: ndarray, edges: Segments) -> Float[ndarray, "N"]:
    """Metres from the middle of each of these segments to the nearest lane boundary."""
    middle = lanes.begin[which] + lanes.step[which] / 2
    if not len(which):
        return np.zeros(0)
    near = edges.about(middle, HALF_WIDTH_M[1])
    if not len(near.begin):
        return np.full(len(which), IN_LANE_M)
    return np.asarray(np.clip(np.hypot(*near.nearest(middle)[1].T), *HALF_WIDTH_M))
