"""Neighbour search in the plane by a sorted grid: which of many points lie near which queries."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph

LEVEL_M = 2.5
"""Things further apart in height do not meet."""


class Near:
    """An index over points; `radius` is the furthest that a query finds."""

    def __init__(self, points: Float[ndarray, "n d"], radius: float) -> None:
        self._radius = radius
        self._points = points
        key = self._key(*np.floor(points[:, :2] / radius).astype(np.int64).T)
        self._order = np.argsort(key, kind="stable")
        self._sorted = key[self._order]

    @staticmethod
    def _key(i: Int[ndarray, "n"], j: Int[ndarray, "n"]) -> Int[ndarray, "n"]:
        return i * 4_000_037 + j  # no two cells of a map less than 4,000 km high share one

    def pairs(self, queries: Float[ndarray, "m d"]) -> tuple[Int[ndarray, "p"], Int[ndarray, "p"]]:
        """Rows of queries and points that are at most `radius` apart, ordered by query, then by point."""
        i, j = np.floor(queries[:, :2] / self._radius).astype(np.int64).T
        columns = i[:, None] + np.array([-1, 0, 1])  # the three cells of one lie together in the index
        first = np.searchsorted(self._sorted, self._key(columns, j[:, None] - 1), side="left")
        last = np.searchsorted(self._sorted, self._key(columns, j[:, None] + 1), side="right")
        count = (last - first).reshape(-1)
        run = np.repeat(np.arange(len(count)), count)
        within = np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
        query, point = run // 3, self._order[first.reshape(-1)[run] + within]
        offset = queries[query, :2] - self._points[point, :2]
        keep = np.hypot(offset[:, 0], offset[:, 1]) <= self._radius
        query, point = query[keep], point[keep]
        order = np.argsort(query * len(self._points) + point, kind="stable")
        return query[order], point[order]


class Carriageway:
    """The ground that lanes cover."""

    _MARGIN_M = 0.5  # lanes are widened by this at most

    def __init__(self, lanes: LaneGraph) -> None:
        lines = lanes.lines
        count = np.diff(lines.start)
        self._points = np.column_stack([lines.x, lines.y, lines.z])
        self._yaw = lines.yaw
        self._half_step = 0.5 * np.repeat(lines.step, count) + 0.02
        self._half_width = 0.5 * lanes.width
        reach = float(np.hypot(self._half_step, self._half_width + self._MARGIN_M).max(initial=1.0))
        self._near = Near(self._points, reach)

    def covers(self, points: Float[ndarray, "n 3"], margin: float = 0.0) -> Bool[ndarray, "n"]:
        """Whether points lie on a lane, widened by `margin` on both sides (negative: narrowed)."""
        assert margin <= self._MARGIN_M
        query, at = self._near.pairs(points)
        offset = points[query] - self._points[at]
        cos, sin = np.cos(self._yaw[at]), np.sin(self._yaw[at])
        along = np.abs(offset[:, 0] * cos + offset[:, 1] * sin)
        across = np.abs(offset[:, 1] * cos - offset[:, 0] * sin)
        inside = (
            (along <= self._half_step[at])
            & (across <= self._half_width[at] + margin)
            & (np.abs(offset[:, 2]) <= LEVEL_M)
        )
        out = np.zeros(len(points), bool)
        out[query[inside]] = True
        return out

    def crossed(self, a: Float[ndarray, "3"], b: Float[ndarray, "3"], margin: float = -0.3) -> bool:
        """Whether a straight way leads over a lane."""
        count = max(int(np.hypot(*(b - a)[:2]) / 0.4), 2)
        return bool(self.covers(np.linspace(a, b, count + 1), margin).any())
