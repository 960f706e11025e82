"""Bundles of evenly sampled polylines, and the two questions kernels ask: where is s, and what is my s."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel

_STRIDE = 8  # coarse search; safe while lines bend less than half a turn within it


class Lines(NamedTuple):
    """K polylines, one after the other; line k owns points start[k]:start[k+1], step[k] metres apart."""

    start: Int[ndarray, "K+1"]
    step: Float[ndarray, "K"]
    x: Float[ndarray, "M"]
    y: Float[ndarray, "M"]
    z: Float[ndarray, "M"]
    yaw: Float[ndarray, "M"]  # continuous along a line: interpolates without wrapping


def make_lines(polylines: list[Float[ndarray, "n d"]], spacing: float = 1.0) -> Lines:
    """Polylines of x, y (and z, else zero) resampled evenly, about `spacing` metres apart along x, y."""
    start, step, parts = [0], [], []
    for points in polylines:
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
        count = max(round(along[-1] / spacing), 1)
        s = np.linspace(0.0, along[-1], count + 1)
        xy = np.stack([np.interp(s, along, points[:, 0]), np.interp(s, along, points[:, 1])], -1)
        z = np.interp(s, along, points[:, 2]) if points.shape[1] > 2 else np.zeros(count + 1)
        tangent = np.gradient(xy, axis=0, edge_order=2 if count > 1 else 1)
        parts.append(np.column_stack([xy, z, np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))]))
        start.append(start[-1] + count + 1)
        step.append(along[-1] / count)
    table = np.concatenate(parts) if parts else np.zeros((0, 4))
    x, y, z, yaw = np.ascontiguousarray(table.T)
    return Lines(np.array(start, np.int64), np.array(step, np.float64), x, y, z, yaw)


@kernel
def line_length(lines: Lines, k: int) -> float:
    """Metres from the first to the last point."""
    return (lines.start[k + 1] - lines.start[k] - 1) * lines.step[k]


@kernel
def line_point(lines: Lines, k: int, s: float, d: float) -> tuple[float, float, float]:
    """x, y, yaw at s along line k, d metres to its left; beyond the ends the line goes on straight."""
    last = lines.start[k + 1] - lines.start[k] - 1
    u = s / lines.step[k]
    cell = min(max(math.floor(u), 0), last - 1)
    w = u - cell
    i = lines.start[k] + cell
    yaw = lines.yaw[i] + min(max(w, 0.0), 1.0) * (lines.yaw[i + 1] - lines.yaw[i])
    x = lines.x[i] + w * (lines.x[i + 1] - lines.x[i]) - d * math.sin(yaw)
    y = lines.y[i] + w * (lines.y[i + 1] - lines.y[i]) + d * math.cos(yaw)
    return x, y, yaw


@kernel
def line_height(lines: Lines, k: int, s: float) -> float:
    """z at s along line k; level beyond the ends."""
    last = lines.start[k + 1] - lines.start[k] - 1
    u = min(max(s / lines.step[k], 0.0), float(last))
    cell = min(math.floor(u), last - 1)
    i = lines.start[k] + cell
    return lines.z[i] + (u - cell) * (lines.z[i + 1] - lines.z[i])


@kernel
def project(lines: Lines, k: int, x: float, y: float) -> tuple[float, float]:
    """s and d (left positive) of the nearest point of line k; the inverse of `line_point` near the line."""
    a, b = lines.start[k], lines.start[k + 1]
    best, nearest = a, math.inf
    for i in range(a, b, _STRIDE):
        distance = (lines.x[i] - x) ** 2 + (lines.y[i] - y) ** 2
        if distance < nearest:
            best, nearest = i, distance
    for i in range(max(best - _STRIDE, a), min(best + _STRIDE + 1, b)):
        distance = (lines.x[i] - x) ** 2 + (lines.y[i] - y) ** 2
        if distance < nearest:
            best, nearest = i, distance
    found_s, found_d, nearest = 0.0, 0.0, math.inf
    for i in range(max(best - 1, a), min(best + 1, b - 1)):
        tx, ty = lines.x[i + 1] - lines.x[i], lines.y[i + 1] - lines.y[i]
        rx, ry = x - lines.x[i], y - lines.y[i]
        length2 = tx * tx + ty * ty
        w = min(max((rx * tx + ry * ty) / length2, 0.0), 1.0)
        ex, ey = rx - w * tx, ry - w * ty
        distance = ex * ex + ey * ey
        if distance < nearest:
            nearest = distance
            side = 1.0 if tx * ry - ty * rx >= 0.0 else -1.0
            found_s = (i - a + w) * lines.step[k]
            found_d = side * math.sqrt(distance)
    return found_s, found_d
