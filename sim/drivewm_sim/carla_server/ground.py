"""The ground of a town in CARLA's frame: how high it is, which lane lies there.

Lanes and sidewalks are sampled about every metre; between samples the ground rises as its nearest line does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from drivewm_sim.carla_frames import mirrored
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.opendrive import OpenDrive
from drivewm_sim.roads.town import Street

CELL_M = 4.0
SURFACE_M = 0.5
_SPEED_SIGN = "274"
_ROADS, _SIDEWALKS, _TERRAIN = 1, 2, 10  # catalogue.Tag
_AROUND = 2  # cells searched on each side


class Ground(NamedTuple):
    """Axes: P points of lanes (first) and sidewalks, C = columns * rows cells, L lanes."""

    left: float  # least x and y of the grid
    low: float
    columns: int
    rows: int
    first: Int[ndarray, "C+1"]  # points of cell c = i * rows + j: point[first[c]:first[c + 1]]
    point: Int[ndarray, "P"]
    x: Float[ndarray, "P"]  # m
    y: Float[ndarray, "P"]
    z: Float[ndarray, "P"]
    tx: Float[ndarray, "P"]  # unit vector along the line
    ty: Float[ndarray, "P"]
    slope: Float[ndarray, "P"]  # metres up a metre along it
    lane: Int[ndarray, "P"]  # row in LaneGraph; -1: a sidewalk
    s: Float[ndarray, "P"]  # metres along the lane
    half: Float[ndarray, "P"]  # half the width there
    surface: UInt8[ndarray, "W H"]  # tag of each square of SURFACE_M from (left, low) on
    limit: Float[ndarray, "L"]  # km/h that a sign beside the lane states; 0: none, what held before goes on
    stop_s: Float[ndarray, "L"]
    length: Float[ndarray, "L"]


def make_ground(street: Street, document: OpenDrive) -> Ground:
    """The ground of a street."""
    lanes, walks = street.lanes, street.walks
    parts = [_samples(lanes.lines), _samples(walks.lines)]
    x, y, z, tx, ty, slope = (np.concatenate(pair) for pair in zip(*(p[:6] for p in parts), strict=True))
    lane = np.concatenate([parts[0][6], np.full(len(parts[1][6]), -1)])
    s = np.concatenate([parts[0][7], parts[1][7]])
    half = np.concatenate([0.5 * lanes.width, 0.5 * walks.width[parts[1][6]]])
    left, low = float(x.min()), float(y.min())
    columns, rows = int((x.max() - left) // CELL_M) + 1, int((y.max() - low) // CELL_M) + 1
    cell = ((x - left) // CELL_M).astype(np.int64) * rows + ((y - low) // CELL_M).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(columns * rows + 1)).astype(np.int64)
    size = int(columns * CELL_M / SURFACE_M), int(rows * CELL_M / SURFACE_M)
    surface = np.full(size, _TERRAIN, np.uint8)
    _paint(surface, left, low, x, y, half, lane >= 0)
    return Ground(
        left, low, columns, rows, first, order.astype(np.int64), x, y, z, tx, ty, slope,
        lane.astype(np.int64), s, half, surface, _posted(document, lanes), lanes.stop_s, lanes.length,
    )  # fmt: skip


def _posted(document: OpenDrive, lanes: LaneGraph) -> Float[ndarray, "L"]:
    """Signs count as from the beginning of their road."""
    out = np.zeros(len(lanes.length))
    for signal in document.signals.values():
        if signal.type == _SPEED_SIGN and signal.value:
            there = lanes.road == document.road_row[signal.road]
            way = {"+": lanes.lane < 0, "-": lanes.lane > 0}.get(signal.orientation, there)
            out[there & way] = signal.value
    return out


@kernel
def _paint(
    surface: ndarray, left: float, low: float, x: ndarray, y: ndarray, half: ndarray, driven: ndarray
) -> None:
    """Sidewalks first, roads over them."""
    for roads in (False, True):
        tag = _ROADS if roads else _SIDEWALKS
        for p in range(len(x)):
            if driven[p] != roads:
                continue
            r = half[p]
            for i in range(
                max(int((x[p] - r - left) / SURFACE_M), 0),
                min(int((x[p] + r - left) / SURFACE_M) + 1, surface.shape[0]),
            ):
                for j in range(
                    max(int((y[p] - r - low) / SURFACE_M), 0),
                    min(int((y[p] + r - low) / SURFACE_M) + 1, surface.shape[1]),
                ):
                    dx = left + (i + 0.5) * SURFACE_M - x[p]
                    dy = low + (j + 0.5) * SURFACE_M - y[p]
                    if dx * dx + dy * dy <= r * r + 0.3:  # samples lie a metre apart
                        surface[i, j] = tag


@kernel
def surface_at(g: Ground, x: float, y: float) -> int:
    """The semantic tag of the ground at a place."""
    u, v = (x - g.left) / SURFACE_M, (y - g.low) / SURFACE_M
    if 0.0 <= u < g.surface.shape[0] and 0.0 <= v < g.surface.shape[1]:
        return int(g.surface[int(u), int(v)])
    return _TERRAIN


def _samples(lines: Lines) -> tuple[ndarray, ...]:
    """x, y, z, tangent x and y, slope, line and s of every point."""
    count = np.diff(lines.start)
    line = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(lines.x)) - lines.start[line]
    last = count[line] - 1
    after, before = np.minimum(place + 1, last), np.maximum(place - 1, 0)
    base = lines.start[line]
    rise = lines.z[base + after] - lines.z[base + before]
    run = np.maximum((after - before) * lines.step[line], 1e-6)
    xyz = mirrored(np.column_stack([lines.x, lines.y, lines.z]))
    ahead = mirrored(np.column_stack([np.cos(lines.yaw), np.sin(lines.yaw), np.zeros_like(lines.yaw)]))
    return (
        xyz[:, 0].copy(), xyz[:, 1].copy(), xyz[:, 2].copy(), ahead[:, 0].copy(), ahead[:, 1].copy(),
        rise / run, line.astype(np.int64), place * lines.step[line],
    )  # fmt: skip


@kernel
def nearest(g: Ground, x: float, y: float, z: float, hx: float, hy: float, driven: bool) -> int:
    """The nearest point of the ground about (x, y, z); -1: none within some 8 m.

    driven: only lanes that lead roughly along (hx, hy).
    """
    u, v = (x - g.left) / CELL_M, (y - g.low) / CELL_M
    if not (-_AROUND <= u <= g.columns + _AROUND and -_AROUND <= v <= g.rows + _AROUND):
        return -1
    ci, cj = math.floor(u), math.floor(v)
    found, least = -1, math.inf
    for i in range(max(ci - _AROUND, 0), min(ci + _AROUND, g.columns - 1) + 1):
        for j in range(max(cj - _AROUND, 0), min(cj + _AROUND, g.rows - 1) + 1):
            cell = i * g.rows + j
            for k in range(g.first[cell], g.first[cell + 1]):
                p = g.point[k]
                if driven and (g.lane[p] < 0 or hx * g.tx[p] + hy * g.ty[p] < 0.5):
                    continue
                away = (g.x[p] - x) ** 2 + (g.y[p] - y) ** 2 + (g.z[p] - z) ** 2
                if away < least:
                    found, least = p, away
    return found


@kernel
def height(g: Ground, p: int, x: float, y: float) -> float:
    """The height at (x, y), beside point p."""
    return g.z[p] + g.slope[p] * ((x - g.x[p]) * g.tx[p] + (y - g.y[p]) * g.ty[p])
