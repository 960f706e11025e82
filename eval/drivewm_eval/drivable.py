"""Where vehicles may be: the lanes of a road map as one area."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.types import LineKind, RoadMap
from drivewm_eval.draw import LANE_WIDTH_M, polylines

HALF_WIDTH_M = (1.25, 2.75)
"""No lane is taken for narrower or wider than twice this."""


class DrivableArea:
    """The lanes of a map, and how far it reaches.

    Each lane centre is widened by its half width: the median distance of its points from the nearest lane
    boundary (half of 3.5 m on a map without boundaries). The map reaches as far as the convex hull of its
    lane centres, so that a road that ends with the map is no end of the road.
    """

    def __init__(self, road_map: RoadMap) -> None:
        import shapely

        edges = [shapely.LineString(line) for line in polylines(road_map, LineKind.LANE_BOUNDARY)]
        tree = shapely.STRtree(edges)
        lanes, points = [], []
        for line in polylines(road_map, LineKind.LANE_CENTER):
            half = LANE_WIDTH_M / 2
            if edges:
                corners = shapely.points(line)
                nearest = tree.geometries[tree.nearest(corners)]
                half = float(np.clip(np.median(shapely.distance(corners, nearest)), *HALF_WIDTH_M))
            lanes.append(shapely.LineString(line).buffer(half))
            points.append(line)
        self.empty = not lanes
        self._lanes: Any = shapely.union_all(lanes)
        hull = np.concatenate(points) if points else np.zeros((0, 2))
        self._reach: Any = shapely.MultiPoint(hull).convex_hull
        shapely.prepare(self._lanes)
        shapely.prepare(self._reach)

    def holds(self, points: Float[ndarray, "*b 2"]) -> Bool[ndarray, "*b"]:
        """Whether each point is in a lane."""
        import shapely

        return np.asarray(shapely.intersects_xy(self._lanes, points[..., 0], points[..., 1]), bool)

    def reaches(self, points: Float[ndarray, "*b 2"]) -> Bool[ndarray, "*b"]:
        """Whether each point is where the map says something of the road."""
        import shapely

        return np.asarray(shapely.intersects_xy(self._reach, points[..., 0], points[..., 1]), bool)
