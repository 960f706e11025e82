"""Single rays into the world: `project_point`, `ground_projection` and `cast_ray`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drivewm_sim.carla_server.catalogue import Tag
from drivewm_sim.carla_server.ground import height, nearest
from drivewm_sim.carla_server.layouts import Vector
from drivewm_sim.carla_server.level import tag_of
from drivewm_sim.carla_server.maps import Map

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World

Labelled = tuple[Vector, int]
_STEP_M = 0.25


def through_box(
    origin: np.ndarray, way: np.ndarray, centre: np.ndarray, half: np.ndarray, yaw: float
) -> float | None:
    """Where on origin + t way (0 <= t <= 1) an upright box is entered."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    o, d = turn @ (origin - centre), turn @ way
    enter, leave = 0.0, 1.0
    for a, b, h in zip(o, d, half, strict=True):
        if abs(b) < 1e-12:
            if abs(a) > h:
                return None
            continue
        u, v = sorted(((-h - a) / b, (h - a) / b))
        enter, leave = max(enter, u), min(leave, v)
    return enter if enter < leave else None


def _ground_hit(where: Map, origin: np.ndarray, way: np.ndarray) -> tuple[float, int] | None:
    """Where the ray first goes below the ground, and the tag there. Only rays that lead down."""
    length = float(np.linalg.norm(way))
    if way[2] >= 0.0 or length == 0.0:
        return None
    above = False
    for t in np.linspace(0.0, 1.0, min(max(int(length / _STEP_M), 1), 4000) + 1):
        x, y, z = origin + t * way
        p = nearest(where.ground, x, y, z, 0.0, 0.0, False)
        if p < 0:
            continue
        rest = z - height(where.ground, p, x, y)
        if rest <= 0.0:
            if not above and rest < -1.0:
                return None
            back = rest / way[2]  # the ground is level enough over one step
            return float(t - back), int(Tag.ROADS if where.ground.lane[p] >= 0 else Tag.SIDEWALKS)
        above = True
    return None


def _hits(world_map: Map, origin: np.ndarray, way: np.ndarray) -> list[tuple[float, int]]:
    level = world_map.level
    out = []
    for k in range(len(level.x)):
        half = 0.5 * np.array([level.length[k], level.width[k], level.height[k]])
        centre = np.array([level.x[k], level.y[k], level.z[k] + half[2]])
        t = through_box(origin, way, centre, half, float(level.yaw[k]))
        if t is not None:
            out.append((t, int(tag_of(level, k))))
    ground = _ground_hit(world_map, origin, way)
    return [*out, ground] if ground else out


def project_point(where: Map, location: Vector, direction: Vector, distance: float) -> tuple[bool, Labelled]:
    """The first thing that never moves along a direction, within a distance (m)."""
    origin, way = np.array(location), np.array(direction)
    length = float(np.linalg.norm(way))
    if length > 0.0:
        way = way / length * min(distance, 1e4)
        hits = sorted(_hits(where, origin, way))
        if hits:
            t, tag = hits[0]
            return True, (Vector(*(float(v) for v in origin + t * way)), tag)
    return False, (Vector(), int(Tag.NONE))


def cast_ray(world: World, start: Vector, end: Vector) -> list[Labelled]:
    """All that lies between two points, the nearest first, actors too."""
    origin, way = np.array(start), np.array(end) - np.array(start)
    hits = _hits(world.map, origin, way)
    for row in world.actors.state:
        if row["collides"]:
            centre = np.array([row["x"], row["y"], row["z"] + row["bz"]])
            half = np.array([row["ex"], row["ey"], row["ez"]])
            t = through_box(origin, way, centre, half, float(row["yaw"]))
            if t is not None:
                hits.append((t, int(row["tag"])))
    return [(Vector(*(float(v) for v in origin + t * way)), tag) for t, tag in sorted(hits)]
