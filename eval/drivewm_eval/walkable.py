"""Cells of the ego's grid: where people may walk, and where those without a track will be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.bev import BevSpec
from drivewm.features import split_lines
from drivewm.frames import from_frame, to_frame
from drivewm.types import Kind, LineKind
from drivewm_datasets.drive_scenes import Moment

HALF_WIDTH_M = 2.0
WALKED = (LineKind.SIDEWALK, LineKind.CROSSWALK)


def walkable_cells(moment: Moment, spec: BevSpec) -> Bool[ndarray, "H W"]:
    """Cells whose centre is within 2 m of a sidewalk's centre or a crosswalk's outline."""
    ego = moment.scene.ego_pose
    lines = split_lines(moment.scene.road_map)
    points = lines.points[np.isin(lines.kind, WALKED)].reshape(-1, 2)
    frame = np.zeros((1, 3)) if ego is None else ego[None]
    centers = from_frame(cell_centers(spec).reshape(-1, 2), frame)
    _, h, w = spec.shape
    if len(points) == 0:
        return np.zeros((h, w), bool)
    near = points[np.abs(points - centers.mean(0)).max(1) < 1.5 * max(h, w) * spec.resolution]
    if len(near) == 0:
        return np.zeros((h, w), bool)
    square = (centers**2).sum(1)[:, None] - 2 * centers @ near.T + (near**2).sum(1)
    return (square.min(1) < HALF_WIDTH_M**2).reshape(h, w)


def cell_centers(spec: BevSpec) -> Float[ndarray, "H W 2"]:
    """In the ego frame."""
    _, h, w = spec.shape
    x = spec.x_range[0] + (np.arange(h) + 0.5) * spec.resolution
    y = spec.y_range[0] + (np.arange(w) + 0.5) * spec.resolution
    return np.stack(np.meshgrid(x, y, indexing="ij"), -1)


def hidden_later(moment: Moment, spec: BevSpec, ahead: int) -> Bool[ndarray, "H W"]:
    """Cells in which pedestrians without a track now will be, `ahead` frames later."""
    true, ego = moment.drive.true, moment.scene.ego_pose
    later = moment.frame + ahead
    known = np.zeros(len(true.ids), bool)
    known[moment.there.who[moment.there.who >= 0]] = True
    chosen = (true.kind == Kind.PEDESTRIAN) & ~known & true.there[:, later]
    frame = np.zeros((1, 3)) if ego is None else ego[None]
    local = to_frame(true.pose[chosen, later, :2], frame)
    i = np.floor((local[:, 0] - spec.x_range[0]) / spec.resolution).astype(np.int64)
    j = np.floor((local[:, 1] - spec.y_range[0]) / spec.resolution).astype(np.int64)
    _, h, w = spec.shape
    keep = (i >= 0) & (i < h) & (j >= 0) & (j < w)
    out = np.zeros((h, w), bool)
    out[i[keep], j[keep]] = True
    return out


def map_prior(moments: Iterable[Moment], spec: BevSpec, ahead: int) -> Float[ndarray, "2"]:
    """Share of occupied cells off and on the sidewalks: what the map alone says of people without a track."""
    hits, cells = np.zeros(2), np.zeros(2)
    for moment in moments:
        walkable, occupied = walkable_cells(moment, spec), hidden_later(moment, spec, ahead)
        for side in (0, 1):
            cells[side] += (walkable == side).sum()
            hits[side] += (occupied & (walkable == side)).sum()
    return hits / np.maximum(cells, 1)
