"""The navigation mesh that a CARLA client asks for, so that its walkers find their ways.

The file format is that of Recast's demo, which CARLA took over: a header, then tiles as
Detour (version 7, 32-bit references) keeps them in memory. Little endian throughout.
"""

from __future__ import annotations

import struct

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.carla_frames import mirrored
from drivewm_sim.carla_server.convex import MOST_CORNERS, ConvexMesh, ConvexPolygon, convex_mesh
from drivewm_sim.carla_server.walkable import BODY_RADIUS, walkable_ground
from drivewm_sim.roads.town import Town

_SET_MAGIC, _SET_VERSION = int.from_bytes(b"MSET", "big"), 1
_SET = struct.Struct(
    "<3i5f2i"
)  # magic, version, tiles; the grid's origin, width, height; most tiles, polygons
_TILE = struct.Struct("<Ii")  # reference, bytes
_TILE_MAGIC, _TILE_VERSION = int.from_bytes(b"DNAV", "big"), 7
_HEADER = struct.Struct("<5iI9i10f")  # dtMeshHeader
_POLYGON = np.dtype(
    [
        ("first_link", "<u4"),
        ("corners", "<u2", MOST_CORNERS),
        ("neighbours", "<u2", MOST_CORNERS),
        ("flags", "<u2"),
        ("count", "u1"),
        ("area", "u1"),
    ]
)
_DETAIL = np.dtype(
    [
        ("first_point", "<u4"),
        ("first_triangle", "<u4"),
        ("points", "u1"),
        ("triangles", "u1"),
        ("padding", "V2"),
    ]
)
_LINK_BYTES = 12  # the client fills links in when it loads a tile
_NO_LINK = 0xFFFFFFFF
_MOST_POINTS = 0xFFFE
_MOST_POLYGONS = 0x7FFE  # a neighbour's number has fifteen bits and zero means none
_HEIGHT_M = 1.8
_CLIMB_M = 0.5
_MARGIN_M = 1.0  # of the tile's bounds
_ON_OUTLINE = 1  # of a triangle's edge, two bits for each


def navmesh(town: Town) -> bytes:
    """The file of a town: sidewalks, marked crossings and, as road, unmarked ones; always the same bytes.

    Where nobody can walk it holds no tile.
    """
    mesh = convex_mesh(walkable_ground(town.street))
    if not mesh.polygons:
        return _SET.pack(_SET_MAGIC, _SET_VERSION, 0, 0.0, 0.0, 0.0, 1.0, 1.0, 1, 1)
    points = mirrored(mesh.points)[:, [0, 2, 1]].astype("<f4")  # Detour's second axis points up
    low, high = points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M
    tile = _tile(mesh, points, low, high)
    polygon_bits = max(len(mesh.polygons) - 1, 1).bit_length()
    width, _, height = (high - low).tolist()
    head = _SET.pack(_SET_MAGIC, _SET_VERSION, 1, *low.tolist(), width, height, 1, 1 << polygon_bits)
    return head + _TILE.pack(1 << polygon_bits, len(tile)) + tile


def _tile(mesh: ConvexMesh, points: Float[ndarray, "p 3"], low: ndarray, high: ndarray) -> bytes:
    """All polygons as one tile. Seen in Detour's x and z they run clockwise, as it expects."""
    polygons = mesh.polygons
    if len(points) > _MOST_POINTS or len(polygons) > _MOST_POLYGONS:
        raise InputError(
            f"a navigation mesh holds up to {_MOST_POINTS} points and {_MOST_POLYGONS} polygons, this map"
            f" needs {len(points)} and {len(polygons)}; cut the map"
        )
    edges = sum(len(polygon.corners) for polygon in polygons)
    triangles = sum(len(polygon.triangles) for polygon in polygons)
    header = _HEADER.pack(
        _TILE_MAGIC, _TILE_VERSION,
        0, 0, 0, 0,  # place in the grid of tiles, layer, user's number
        len(polygons), len(points), edges,
        len(polygons), 0, triangles,  # heights: one piece a polygon, no points of its own
        0, 0, len(polygons),  # no bounding volumes, no jumps
        _HEIGHT_M, BODY_RADIUS, _CLIMB_M,
        *low.tolist(), *high.tolist(),
        1.0,
    )  # fmt: skip
    return b"".join(
        (
            header,
            points.tobytes(),
            _polygon_table(polygons).tobytes(),
            bytes(_LINK_BYTES * edges),
            _detail_table(polygons).tobytes(),
            bytes(number for polygon in polygons for row in _triangles(polygon) for number in row),
        )
    )


def _polygon_table(polygons: tuple[ConvexPolygon, ...]) -> ndarray:
    table = np.zeros(len(polygons), _POLYGON)
    table["first_link"] = _NO_LINK
    for row, polygon in zip(table, polygons, strict=True):
        count = len(polygon.corners)
        row["corners"][:count] = polygon.corners
        row["neighbours"][:count] = np.array(polygon.neighbours) + 1
        row["flags"] = 1 << polygon.area
        row["count"] = count
        row["area"] = polygon.area
    return table


def _detail_table(polygons: tuple[ConvexPolygon, ...]) -> ndarray:
    table = np.zeros(len(polygons), _DETAIL)
    count = np.array([len(polygon.triangles) for polygon in polygons])
    table["triangles"] = count
    table["first_triangle"] = np.cumsum(count) - count
    return table


def _triangles(polygon: ConvexPolygon) -> list[tuple[int, int, int, int]]:
    """Corners of each triangle, and which of its edges lie on the polygon's outline."""
    size = len(polygon.corners)
    out = []
    for a, b, c in polygon.triangles:
        flags = sum(
            _ON_OUTLINE << 2 * k for k, (i, j) in enumerate(((a, b), (b, c), (c, a))) if (i + 1) % size == j
        )
        out.append((a, b, c, flags))
    return out
