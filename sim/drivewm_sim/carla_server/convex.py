"""Areas cut into convex polygons that meet edge to edge, each knowing its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely.geometry.base import BaseGeometry

from drivewm_sim.carla_server.walkable import Area, Ground

MOST_CORNERS = 6
"""Of a polygon; Detour's limit."""

_GRID_M = 0.05  # corners lie on this grid, so that arithmetic on them is exact

Corner = tuple[int, int]  # in steps of the grid
Ring = tuple[int, ...]  # rows of corners, counter-clockwise


@dataclass(frozen=True, kw_only=True)
class ConvexPolygon:
    """Counter-clockwise in the scene frame; corners in line with their neighbours are allowed."""

    area: Area
    corners: Ring  # rows in ConvexMesh.points
    triangles: tuple[tuple[int, int, int], ...]  # the polygon again, as places in `corners`
    neighbours: Ring  # polygon beyond the edge from each corner to the next; -1: none


@dataclass(frozen=True, kw_only=True)
class ConvexMesh:
    """Polygons over shared points."""

    points: Float[ndarray, "p 3"]  # scene frame, m
    polygons: tuple[ConvexPolygon, ...]


def convex_mesh(ground: list[Ground]) -> ConvexMesh:
    """All parts of the ground; parts are not linked with each other."""
    points: list[Float[ndarray, "n 3"]] = [np.zeros((0, 3))]
    polygons: list[ConvexPolygon] = []
    for part in ground:
        row: dict[Corner, int] = {}
        first = sum(map(len, points))
        found = [
            (area, [tuple(first + row.setdefault(corner, len(row)) for corner in t) for t in triangles])
            for area, triangles in _faces(part)
        ]
        if not row:
            continue
        xy = _GRID_M * np.array(list(row), np.float64)
        points.append(np.column_stack([xy, part.heights(xy)]))
        grid = {first + k: corner for corner, k in row.items()}
        merged = [(area, ring, own) for area, face in found for ring, own in _merged(face, grid)]
        polygons += _linked(merged, len(polygons))
    return ConvexMesh(points=np.concatenate(points), polygons=tuple(polygons))


def _faces(ground: Ground) -> list[tuple[Area, list[tuple[Corner, ...]]]]:
    """The cells into which outlines and cuts divide the ground, as triangles, in an order of their own."""
    lines = [shapely.boundary(area) for area in ground.areas.values()] + list(ground.cuts)
    noded = shapely.union_all(lines, grid_size=_GRID_M)
    cells = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    out = []
    for cell in cells.tolist():
        share = {area: cell.intersection(region).area for area, region in ground.areas.items()}
        area = max(share, key=lambda a: share[a])
        if share[area] > 0.5 * cell.area:
            triangles = sorted(_triangle(t) for t in shapely.constrained_delaunay_triangles(cell).geoms)
            out.append((area, triangles))
    return sorted(out, key=lambda face: face[1])


def _triangle(geometry: BaseGeometry) -> tuple[Corner, ...]:
    """Its corners on the grid, counter-clockwise from the least."""
    grid = np.rint(shapely.get_coordinates(geometry)[:3] / _GRID_M).astype(np.int64)
    corners: list[Corner] = [(int(x), int(y)) for x, y in grid]
    if _turn(*corners) < 0:
        corners.reverse()
    least = corners.index(min(corners))
    return (*corners[least:], *corners[:least])


def _turn(a: Corner, b: Corner, c: Corner) -> int:
    """Twice the area of a triangle; positive: counter-clockwise."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _merged(triangles: list[Ring], grid: dict[int, Corner]) -> list[tuple[Ring, list[Ring]]]:
    """Triangles joined over their shared edges, longest first, while the polygons stay convex.

    Each polygon with the triangles that it consists of. One pass suffices: what stands against a
    merger, an angle or the number of corners, only grows.
    """
    rings, parts = list(triangles), [[t] for t in triangles]
    home = list(range(len(triangles)))  # the polygon that a triangle has become part of
    owner = {edge: k for k, t in enumerate(triangles) for edge in _edges(t)}
    shared = [edge for edge in owner if edge[0] < edge[1] and edge[::-1] in owner]
    for edge in sorted(shared, key=lambda e: (-_squared(grid[e[0]], grid[e[1]]), e)):
        a, b = home[owner[edge]], home[owner[edge[::-1]]]
        if a == b:
            continue
        ring = _spliced(rings[a], rings[b], edge)
        if len(ring) <= MOST_CORNERS and _convex([grid[corner] for corner in ring]):
            rings[a] = ring
            parts[a] += parts[b]
            home = [a if k == b else k for k in home]
    return [(rings[k], parts[k]) for k in sorted(set(home))]


def _edges(ring: Ring) -> list[tuple[int, int]]:
    return list(zip(ring, (*ring[1:], ring[0]), strict=True))


def _squared(a: Corner, b: Corner) -> int:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def _spliced(one: Ring, other: Ring, edge: tuple[int, int]) -> Ring:
    """The ring around two rings that share an edge, which the first runs along as given."""
    i, j = one.index(edge[1]), other.index(edge[0])
    rest = (*other[j:], *other[:j])[1:-1]
    return (*one[i:], *one[:i], *rest)


def _convex(ring: list[Corner]) -> bool:
    """Whether a ring never turns right, and visits no corner twice."""
    corners = zip(ring, (*ring[1:], ring[0]), (*ring[2:], *ring[:2]), strict=True)
    return len(set(ring)) == len(ring) and all(_turn(a, b, c) >= 0 for a, b, c in corners)


def _linked(merged: list[tuple[Area, Ring, list[Ring]]], first: int) -> list[ConvexPolygon]:
    """Polygons with their neighbours; the number of the first is `first`."""
    owner = {edge: first + k for k, (_, ring, _) in enumerate(merged) for edge in _edges(ring)}
    if len(owner) != sum(len(ring) for _, ring, _ in merged):
        raise RuntimeError("two polygons lie on one side of an edge: the ground was not cut properly")
    return [
        ConvexPolygon(
            area=area,
            corners=ring,
            triangles=tuple(tuple(ring.index(corner) for corner in t) for t in triangles),  # type: ignore[misc]
            neighbours=tuple(owner.get((b, a), -1) for a, b in _edges(ring)),
        )
        for area, ring, triangles in merged
    ]
