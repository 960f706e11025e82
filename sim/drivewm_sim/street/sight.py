"""Line of sight past what never moves, and past one body.

One rule for everything that can hide: a segment is blocked by a box that it enters and leaves again. A box
that holds one of the two ends does not count, so an eye inside its own vehicle, somebody under the roof of a
shelter, and a target's own box need no exceptions. Mere contact with a face or an edge does not block.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.boxes import Boxes

CELL_M = 8.0
_PAD_M = 1e-6  # boxes reach this far into neighbouring cells: rounding never loses one on a cell's edge


class StaticGrid(NamedTuple):
    """Boxes by square cell, made once a town. Axes: N boxes, C = columns * rows cells, M entries."""

    x: float  # south-west corner of cell 0
    y: float
    columns: int  # along x; cell (i, j) is entry i * rows + j
    rows: int  # along y
    first: Int[ndarray, "C+1"]  # the boxes that reach into cell c: box[first[c]:first[c + 1]]
    box: Int[ndarray, "M"]  # row in Boxes
    cos: Float[ndarray, "N"]  # of each box's yaw
    sin: Float[ndarray, "N"]
    reach: Float[ndarray, "N"]  # m from the centre to a corner, seen from above


def make_static_grid(boxes: Boxes) -> StaticGrid:
    """The grid of a town's boxes."""
    cos, sin = np.cos(boxes.yaw), np.sin(boxes.yaw)
    reach = np.hypot(boxes.length, boxes.width) / 2
    if len(boxes.x) == 0:
        nothing = np.zeros(0, np.int64)
        return StaticGrid(0.0, 0.0, 0, 0, np.zeros(1, np.int64), nothing, cos, sin, reach)
    half_x = (np.abs(cos) * boxes.length + np.abs(sin) * boxes.width) / 2 + _PAD_M
    half_y = (np.abs(sin) * boxes.length + np.abs(cos) * boxes.width) / 2 + _PAD_M
    x, y = float((boxes.x - half_x).min()), float((boxes.y - half_y).min())
    low = np.stack([boxes.x - half_x - x, boxes.y - half_y - y]) // CELL_M
    high = np.stack([boxes.x + half_x - x, boxes.y + half_y - y]) // CELL_M
    columns, rows = (int(n) + 1 for n in high.max(axis=1))
    inside: list[list[int]] = [[] for _ in range(columns * rows)]
    for k, (i0, j0, i1, j1) in enumerate(zip(*low.astype(int), *high.astype(int), strict=True)):
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                inside[i * rows + j].append(k)
    first = np.concatenate([[0], np.cumsum([len(c) for c in inside])]).astype(np.int64)
    box = np.array([k for cell in inside for k in cell], np.int64)
    return StaticGrid(x, y, columns, rows, first, box, cos, sin, reach)


@kernel
def _passes_through(
    px: float, py: float, pz: float, qx: float, qy: float, qz: float,
    c: float, s: float, half_length: float, half_width: float, height: float,
) -> bool:  # fmt: skip
    """Whether the segment p-q, written from the middle of the box's bottom, goes into the box and out again.

    Clips the segment's parameter slab by slab (Kay and Kajiya 1986); c, s: cosine and sine of the box's yaw.
    """
    enter, leave = -math.inf, math.inf
    for axis in range(3):
        if axis == 0:
            a, b, low, high = c * px + s * py, c * qx + s * qy, -half_length, half_length
        elif axis == 1:
            a, b, low, high = c * py - s * px, c * qy - s * qx, -half_width, half_width
        else:
            a, b, low, high = pz, qz, 0.0, height
        d = b - a
        if d == 0.0:
            if a <= low or a >= high:
                return False
            continue
        u, v = (low - a) / d, (high - a) / d
        enter = max(enter, min(u, v))
        leave = min(leave, max(u, v))
    return 0.0 < enter < leave < 1.0


@kernel
def segment_hits_box(
    x0: float, y0: float, z0: float, x1: float, y1: float, z1: float,
    bx: float, by: float, bz: float, byaw: float, blength: float, bwidth: float, bheight: float,
) -> bool:  # fmt: skip
    """Whether one upright box (bx, by its centre, bz its bottom) blocks the segment (the module's rule)."""
    reach = 0.5 * (blength + bwidth)  # no less than the next one, and needs no root
    if (
        max(x0, x1) < bx - reach or min(x0, x1) > bx + reach
        or max(y0, y1) < by - reach or min(y0, y1) > by + reach
    ):  # fmt: skip
        return False
    reach = 0.5 * math.hypot(blength, bwidth)
    if (
        max(x0, x1) < bx - reach or min(x0, x1) > bx + reach
        or max(y0, y1) < by - reach or min(y0, y1) > by + reach
        or max(z0, z1) < bz or min(z0, z1) > bz + bheight
    ):  # fmt: skip
        return False
    return _passes_through(
        x0 - bx, y0 - by, z0 - bz, x1 - bx, y1 - by, z1 - bz,
        math.cos(byaw), math.sin(byaw), 0.5 * blength, 0.5 * bwidth, bheight,
    )  # fmt: skip


@kernel
def hidden_by_boxes(
    grid: StaticGrid, boxes: Boxes, x0: float, y0: float, z0: float, x1: float, y1: float, z1: float
) -> bool:
    """Whether any box of the town blocks the segment (the module's rule). Walks the cells on its way."""
    if x1 < x0:
        x0, y0, z0, x1, y1, z1 = x1, y1, z1, x0, y0, z0
    low_z, high_z = min(z0, z1), max(z0, z1)
    rise = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    for i in range(
        max(math.floor((x0 - grid.x) / CELL_M), 0),
        min(math.floor((x1 - grid.x) / CELL_M), grid.columns - 1) + 1,
    ):
        # The stretch of y that the segment covers within this column of cells.
        left, right = grid.x + i * CELL_M, grid.x + (i + 1) * CELL_M
        ya = y0 + (left - x0) * rise if left > x0 else y0
        yb = y0 + (right - x0) * rise if right < x1 else y1
        for j in range(
            max(math.floor((min(ya, yb) - grid.y) / CELL_M), 0),
            min(math.floor((max(ya, yb) - grid.y) / CELL_M), grid.rows - 1) + 1,
        ):
            cell = i * grid.rows + j
            for m in range(grid.first[cell], grid.first[cell + 1]):
                k = grid.box[m]
                bx, by, bz = boxes.x[k], boxes.y[k], boxes.z[k]
                if high_z < bz or low_z > bz + boxes.height[k]:
                    continue
                if _passes_through(
                    x0 - bx, y0 - by, z0 - bz, x1 - bx, y1 - by, z1 - bz,
                    grid.cos[k], grid.sin[k], 0.5 * boxes.length[k], 0.5 * boxes.width[k], boxes.height[k],
                ):  # fmt: skip
                    return True
    return False
