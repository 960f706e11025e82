"""`drivewm.bev.bev_features`, which it must equal bit by bit, in one compiled pass over the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.bev import (
    AGE_TOLERANCE_S,
    CURRENT,
    LOG_COUNT,
    BevGrid,
    BevSpec,
    cell_directions,
    range_bins,
)
from drivewm_sim.kernel import kernel


class _Grid(NamedTuple):
    """What the kernels read of a BevSpec and the sensor's place."""

    x: float  # least corner of the grid
    y: float
    h: int
    w: int
    resolution: float
    low: float
    high: float
    free_height: float
    directions: int
    bins: int
    max_range: float
    sensor_x: float
    sensor_y: float
    sensor_z: float


def _grid(spec: BevSpec, origin: Float[ndarray, "3"]) -> _Grid:
    _, h, w = spec.shape
    low, high = spec.obstacle_heights
    x, y, z = (float(value) for value in origin)
    return _Grid(
        x=float(spec.x_range[0]), y=float(spec.y_range[0]), h=h, w=w, resolution=float(spec.resolution),
        low=float(low), high=float(high), free_height=float(spec.free_height),
        directions=spec.free_directions, bins=range_bins(spec), max_range=float(spec.max_range),
        sensor_x=x, sensor_y=y, sensor_z=z,
    )  # fmt: skip


@kernel
def _cell(g: _Grid, x: float, y: float, z: float) -> int:
    """The cell of an obstacle's point; -1 for any other."""
    if not (g.low < z < g.high):
        return -1
    i, j = (x - g.x) / g.resolution, (y - g.y) / g.resolution
    if not (0 <= i < g.h and 0 <= j < g.w):
        return -1
    if (x - g.sensor_x) ** 2 + (y - g.sensor_y) ** 2 >= g.max_range * g.max_range:
        return -1
    return int(i) * g.w + int(j)


@kernel
def _open_stretch(g: _Grid, x: float, y: float, z: float, steps: ndarray) -> None:
    """Marks where along its direction a ray has come below free_height, and where it ends."""
    dx, dy = x - g.sensor_x, y - g.sensor_y
    away = math.sqrt(dx * dx + dy * dy)
    drop = max(g.sensor_z - g.free_height, 0.0)
    end = min(math.floor(away / g.resolution) + (1 if z <= g.low else 0), g.bins)
    begin = math.ceil(away * drop / (g.sensor_z - z) / g.resolution)
    if begin >= end:
        return
    across = abs(dx) + abs(dy)
    lean = dy / (across if across > 0.0 else 1.0)
    turn = 1.0 + lean if dx >= 0.0 else 3.0 - lean
    row = min(int(turn * (g.directions / 4)), g.directions - 1)
    steps[row, begin] += 1
    steps[row, end] -= 1


@kernel
def _current(g: _Grid, points: ndarray, entry: ndarray, log_count: ndarray, out: ndarray) -> None:
    """The channels of the newest sweep. out: [4, H W], zero before."""
    count = np.zeros(out.shape[1], np.int32)
    steps = np.zeros((g.directions, g.bins + 1), np.int32)
    highest_free = min(g.free_height, g.sensor_z)
    for n in range(len(points)):
        x, y, z = np.float64(points[n, 0]), np.float64(points[n, 1]), np.float64(points[n, 2])
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
            continue
        cell = _cell(g, x, y, z)
        if cell >= 0:
            count[cell] += 1
            out[1, cell] = max(out[1, cell], np.float32(z))
        if z < highest_free:
            _open_stretch(g, x, y, z, steps)
    for row in range(g.directions):
        rays = 0
        for k in range(g.bins + 1):
            rays += steps[row, k]
            steps[row, k] = rays
    crossed = steps.reshape(-1)
    for cell in range(out.shape[1]):
        if count[cell] > 0:
            out[0, cell] = 1.0
            out[2, cell] = log_count[min(count[cell], len(log_count) - 1)]
        elif crossed[entry[cell]] > 0:
            out[3, cell] = 1.0


@kernel
def _past(g: _Grid, points: ndarray, out: ndarray) -> None:
    for n in range(len(points)):
        cell = _cell(g, np.float64(points[n, 0]), np.float64(points[n, 1]), np.float64(points[n, 2]))
        if cell >= 0:
            out[cell] = 1.0


def bev_features_fast(
    points_ego: Float[ndarray, "N 3"],
    origin: Float[ndarray, "3"],
    spec: BevSpec,
    past: Sequence[tuple[Float[ndarray, "_ 3"], float]] = (),
) -> BevGrid:
    """The features of a sweep; see `drivewm.bev.bev_features`."""
    channels, h, w = spec.shape
    grid = _grid(spec, origin)
    features = np.zeros((channels, h * w), np.float32)
    entry = cell_directions(spec, grid.sensor_x, grid.sensor_y).reshape(-1)
    _current(grid, points_ego, entry, LOG_COUNT, features[: len(CURRENT)])
    valid = np.ones(channels, bool)
    for channel, age in enumerate(spec.past_ages, start=len(CURRENT)):
        sweep = next((p for p, a in past if abs(a - age) <= AGE_TOLERANCE_S), None)
        valid[channel] = sweep is not None
        if sweep is not None:
            _past(grid, sweep, features[channel])
    return BevGrid(features=features.reshape(spec.shape), valid=valid, spec=spec)
