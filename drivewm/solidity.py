"""Bodies do not pass through each other: how deep a point lies inside vehicles and obstacles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.frames import to_frame
from drivewm.types import LineKind, RoadMap


def depth_in_boxes(
    point: Float[ndarray, "*b 2"],
    pose: Float[ndarray, "*#b 3"],
    size: Float[ndarray, "*#b 2"],
    heading_known: Bool[ndarray, "*#b"],
) -> Float[ndarray, "*b"]:
    """How deep (m) each point lies inside its box, 0 outside: the distance to the nearest edge.

    A box whose heading is not known counts as the largest disc that fits inside whatever its heading is.
    """
    half = 0.5 * size
    at = pose if pose.ndim > 1 else pose[None]
    inside = (half - np.abs(to_frame(point, at))).min(axis=-1)
    disc = half.min(axis=-1) - np.linalg.norm(point - pose[..., :2], axis=-1)
    return np.maximum(np.where(heading_known, inside, disc), 0.0)


def obstacle_edges(road_map: RoadMap) -> Float[ndarray, "O E 2 2"]:
    """The edges (begin, end) of the map's closed obstacle outlines; short ones repeat their last point."""
    rows = np.flatnonzero(road_map.kind == LineKind.OBSTACLE)
    longest = max([2, *road_map.valid[rows].sum(axis=1).tolist()])
    outline = np.zeros((len(rows), longest, 2))
    for k, row in enumerate(rows):
        points = road_map.points[row][road_map.valid[row]]
        outline[k, : len(points)] = points
        outline[k, len(points) :] = points[-1:]
    return np.stack([outline[:, :-1], outline[:, 1:]], axis=2)


def depth_in_outlines(point: Float[ndarray, "N 2"], edges: Float[ndarray, "O E 2 2"]) -> Float[ndarray, "N"]:
    """How deep (m) each point lies inside the outlines, 0 outside of all: the distance to the nearest edge.

    Inside by the parity of the edges that a ray to the right crosses.
    """
    depth = np.zeros(len(point))
    if not len(edges):
        return depth
    low, high = edges.min(axis=(1, 2)), edges.max(axis=(1, 2))
    near = (point[:, None] >= low) & (point[:, None] <= high)
    for n, o in zip(*np.nonzero(near.all(axis=-1)), strict=True):
        begin, end = edges[o, :, 0], edges[o, :, 1]
        x, y = point[n]
        rises = (begin[:, 1] > y) != (end[:, 1] > y)
        step = end - begin
        across = begin[:, 0] + (y - begin[:, 1]) * step[:, 0] / np.where(rises, step[:, 1], 1.0)
        if np.count_nonzero(rises & (across > x)) % 2:
            depth[n] = max(depth[n], float(_to_edges(point[n], begin, step).min()))
    return depth


def _to_edges(
    point: Float[ndarray, "2"], begin: Float[ndarray, "E 2"], step: Float[ndarray, "E 2"]
) -> Float[ndarray, "E"]:
    length2 = (step**2).sum(-1)
    along = ((point - begin) * step).sum(-1) / np.where(length2 > 0, length2, 1.0)
    return np.linalg.norm(point - begin - np.clip(along, 0.0, 1.0)[:, None] * step, axis=-1)
