"""What overlaps what: boxes that would meet at a spawn point, and collisions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.carla_frames import pose_to_carla
from drivewm_sim.carla_server.actors import Kind
from drivewm_sim.kernel import kernel
from drivewm_sim.roads.boxes import Boxes

_VEHICLE, _WALKER, _PROP = int(Kind.VEHICLE), int(Kind.WALKER), int(Kind.PROP)
_MOST = 256  # contacts of one tick


class Level(NamedTuple):
    """The town's boxes in CARLA's frame. Axis: N boxes."""

    x: Float[ndarray, "N"]  # centre
    y: Float[ndarray, "N"]
    z: Float[ndarray, "N"]  # bottom
    yaw: Float[ndarray, "N"]  # degrees
    length: Float[ndarray, "N"]
    width: Float[ndarray, "N"]
    height: Float[ndarray, "N"]
    kind: Int[ndarray, "N"]  # roads.boxes.BoxKind


def make_level(boxes: Boxes) -> Level:
    """The boxes of a town."""
    transform = pose_to_carla(np.column_stack([boxes.x, boxes.y, boxes.yaw]), boxes.z)
    x, y, z, _, yaw, _ = np.ascontiguousarray(transform.T)
    return Level(x, y, z, yaw, boxes.length, boxes.width, boxes.height, boxes.kind)


@kernel
def overlap(
    ax: float, ay: float, az: float, ayaw: float, ae: float, af: float, ag: float,
    bx: float, by: float, bz: float, byaw: float, be: float, bf: float, bg: float,
) -> bool:  # fmt: skip
    """Whether two upright boxes overlap: centres, yaw in degrees, half length, width and height."""
    dx, dy = bx - ax, by - ay
    reach = ae + af + be + bf
    if abs(dx) > reach or abs(dy) > reach or abs(bz - az) >= ag + bg:
        return False
    a, b = math.radians(ayaw), math.radians(byaw)
    ca, sa, cb, sb = math.cos(a), math.sin(a), math.cos(b), math.sin(b)
    c, s = abs(ca * cb + sa * sb), abs(ca * sb - sa * cb)
    return (
        abs(dx * ca + dy * sa) < ae + be * c + bf * s
        and abs(dy * ca - dx * sa) < af + be * s + bf * c
        and abs(dx * cb + dy * sb) < be + ae * c + af * s
        and abs(dy * cb - dx * sb) < bf + ae * s + af * c
    )


@kernel
def _centre(row: Any) -> tuple[float, float, float]:
    yaw = math.radians(row.yaw)
    c, s = math.cos(yaw), math.sin(yaw)
    return row.x + c * row.bx - s * row.by, row.y + s * row.bx + c * row.by, row.z + row.bz


@kernel
def _solid(row: Any) -> bool:
    return row.collides and (row.kind == _VEHICLE or row.kind == _WALKER or row.kind == _PROP)


@kernel
def blocked(state: Any, level: Level, news: Any, lift: float) -> bool:
    """Whether something stands where a new actor would; what ends under `lift` m above its foot is no matter.

    news: one row of STATE, not yet in the table.
    """
    new = news[0]
    x, y, z = _centre(new)
    z += 0.5 * lift
    g = max(new.ez - 0.5 * lift, 0.1)
    for i in range(len(state)):
        row = state[i]
        if _solid(row):
            bx, by, bz = _centre(row)
            if overlap(x, y, z, new.yaw, new.ex, new.ey, g, bx, by, bz, row.yaw, row.ex, row.ey, row.ez):
                return True
    for k in range(len(level.x)):
        half = 0.5 * level.height[k]
        if overlap(
            x, y, z, new.yaw, new.ex, new.ey, g, level.x[k], level.y[k], level.z[k] + half, level.yaw[k],
            0.5 * level.length[k], 0.5 * level.width[k], half,
        ):  # fmt: skip
            return True
    return False


@kernel
def _share(row: Any, nx: float, ny: float, change: float) -> None:
    """Changes a vehicle's speed along (nx, ny) by `change` as far as it can move that way."""
    yaw = math.radians(row.yaw)
    along = math.cos(yaw) * nx + math.sin(yaw) * ny
    row.speed += change * along
    row.vx, row.vy = row.speed * math.cos(yaw), row.speed * math.sin(yaw)


@kernel
def _meet(a: Any, b: Any) -> tuple[float, float, float]:
    """The impulse (N s) on a as two bodies meet: inelastic along the line of centres, zero if they part."""
    dx, dy = b.x - a.x, b.y - a.y
    away = max(math.hypot(dx, dy), 1e-6)
    nx, ny = dx / away, dy / away
    closing = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny
    if closing <= 0.0:
        return 0.0, 0.0, 0.0
    movable = b.kind == _VEHICLE and b.physics
    mass = a.mass * b.mass / (a.mass + b.mass) if b.kind != _PROP else a.mass
    impulse = mass * closing
    if a.kind == _VEHICLE and a.physics:
        _share(a, nx, ny, -impulse / a.mass)
    if movable:
        _share(b, nx, ny, impulse / b.mass)
    return -impulse * nx, -impulse * ny, 0.0


@kernel
def _wall(a: Any, x: float, y: float) -> tuple[float, float, float]:
    """The impulse on a vehicle that drives into something that does not move, centred at (x, y)."""
    ahead = a.vx * (x - a.x) + a.vy * (y - a.y)
    if ahead <= 0.0:
        return 0.0, 0.0, 0.0
    ix, iy = -a.mass * a.vx, -a.mass * a.vy
    if a.physics:
        a.speed = a.vx = a.vy = 0.0
    return ix, iy, 0.0


@kernel
def _collide(state: Any, level: Level, pairs: ndarray, impulses: ndarray) -> int:
    count = 0
    for i in range(len(state)):
        a = state[i]
        if not _solid(a) or a.kind == _PROP:
            continue
        ax, ay, az = _centre(a)
        for j in range(len(state)):
            b = state[j]
            if j == i or not _solid(b) or (j < i and b.kind != _PROP):
                continue
            bx, by, bz = _centre(b)
            if not overlap(ax, ay, az, a.yaw, a.ex, a.ey, a.ez, bx, by, bz, b.yaw, b.ex, b.ey, b.ez):
                continue
            x, y, z = _meet(a, b)
            if count < _MOST:
                pairs[count, 0], pairs[count, 1] = i, j
                impulses[count, 0], impulses[count, 1], impulses[count, 2] = x, y, z
                count += 1
        if a.kind != _VEHICLE:
            continue
        for k in range(len(level.x)):
            half = 0.5 * level.height[k]
            if overlap(
                ax, ay, az + 0.1, a.yaw, a.ex, a.ey, a.ez - 0.1, level.x[k], level.y[k], level.z[k] + half,
                level.yaw[k], 0.5 * level.length[k], 0.5 * level.width[k], half,
            ):  # fmt: skip
                x, y, z = _wall(a, level.x[k], level.y[k])
                if count < _MOST:
                    pairs[count, 0], pairs[count, 1] = i, -1 - k
                    impulses[count, 0], impulses[count, 1], impulses[count, 2] = x, y, z
                    count += 1
    return count


def collide(state: Any, level: Level) -> tuple[Int[ndarray, "n 2"], Float[ndarray, "n 3"]]:
    """Every pair of bodies that overlap, and the impulse on the first (N s), which vehicles have then taken.

    The second is a row, or -1 - k for box k of the level.
    """
    pairs, impulses = np.empty((_MOST, 2), np.int64), np.empty((_MOST, 3))
    count = _collide(state, level, pairs, impulses)
    return pairs[:count], impulses[:count]
