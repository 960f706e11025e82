"""The pieces of a map as segments: which is nearest, and how far from it one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.features import Lines
from drivewm.types import LineKind


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Pieces of straight line."""

    begin: Float[ndarray, "S 2"]
    step: Float[ndarray, "S 2"]

    @classmethod
    def of(cls, lines: Lines, kind: LineKind) -> Segments:
        points = lines.points[lines.kind == kind]
        begin, step = points[:, :-1].reshape(-1, 2), np.diff(points, axis=1).reshape(-1, 2)
        return cls(begin=begin, step=step)._only((step**2).sum(axis=-1) > 0)

    def about(self, points: Float[ndarray, "N 2"], reach_m: float) -> Segments:
        """Those that come as near to the points' bounding box."""
        end = self.begin + self.step
        low, high = points.min(axis=0) - reach_m, points.max(axis=0) + reach_m
        return self._only(
            ((np.maximum(self.begin, end) > low) & (np.minimum(self.begin, end) < high)).all(axis=-1)
        )

    def nearest(self, points: Float[ndarray, "N 2"]) -> tuple[ndarray, ndarray, ndarray]:
        """Of each point: the nearest segment, the offset from it (N 2), and how far the point lies beyond
        its end (m)."""
        length = np.hypot(self.step[:, 0], self.step[:, 1])
        along_x, along_y = self.step[:, 0] / length, self.step[:, 1] / length
        # x and y apart: sums over a last axis of two are several times slower.
        x, y = points[:, :1] - self.begin[:, 0], points[:, 1:] - self.begin[:, 1]  # N S
        along = x * along_x + y * along_y
        within = np.clip(along, 0.0, length)
        x -= within * along_x
        y -= within * along_y
        best = (x * x + y * y).argmin(axis=1)
        at = np.arange(len(points)), best
        return best, np.column_stack([x[at], y[at]]), np.abs(along[at] - within[at])

    def _only(self, keep: Bool[ndarray, "S"]) -> Segments:
        return Segments(begin=self.begin[keep], step=self.step[keep])
