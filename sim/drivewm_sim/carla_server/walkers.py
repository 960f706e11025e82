"""Walkers under `carla.WalkerControl` move as told, on the ground. Attached actors follow their parents."""

from __future__ import annotations

import math
from typing import Any

from drivewm_sim.carla_server.actors import Kind
from drivewm_sim.carla_server.ground import Ground, nearest
from drivewm_sim.carla_server.physics import fall
from drivewm_sim.kernel import kernel

JUMP_MPS = 4.2  # upwards, at the start of a jump

_WALKER = int(Kind.WALKER)


@kernel
def advance_walkers(state: Any, g: Ground, dt: float) -> None:
    """All walkers, dt seconds on.

    One that a state command or a teleport has put somewhere since the last tick stays there for this one. As
    with CARLA's own, its velocity is then reported as zero.
    """
    for i in range(len(state)):
        row = state[i]
        if row.kind != _WALKER:
            continue
        vx, vy, vz = row.vx, row.vy, row.vz
        row.vx = row.vy = 0.0
        if row.physics and not row.placed:
            speed = row.walk
            if speed > 0.0 and (row.dx != 0.0 or row.dy != 0.0):
                row.vx, row.vy = speed * row.dx, speed * row.dy
                row.x += row.vx * dt
                row.y += row.vy * dt
                row.yaw = math.degrees(math.atan2(row.dy, row.dx))
            p = nearest(g, row.x, row.y, row.z - row.ez, 0.0, 0.0, False)
            if fall(row, g, p, row.ez, dt) and row.jump:
                row.vz = JUMP_MPS
                row.z += row.vz * dt
            row.jump = 0
        else:
            row.vz = 0.0
        row.placed = 0
        row.ax, row.ay, row.az = (row.vx - vx) / dt, (row.vy - vy) / dt, (row.vz - vz) / dt


@kernel
def follow_parents(state: Any) -> None:
    """Puts attached actors where their parents carry them. Parents come before children: ids grow.

    Angles are added, which is exact for parents that stand upright and for children that only turn.
    """
    for i in range(len(state)):
        row = state[i]
        if row.parent < 0:
            continue
        parent = state[row.parent]
        yaw, pitch, roll = math.radians(parent.yaw), math.radians(parent.pitch), math.radians(parent.roll)
        cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        cr, sr = math.cos(roll), math.sin(roll)
        x, y, z = row.rx, row.ry, row.rz
        row.x = parent.x + x * cp * cy + y * (cy * sp * sr - sy * cr) - z * (cy * sp * cr + sy * sr)
        row.y = parent.y + x * cp * sy + y * (sy * sp * sr + cy * cr) + z * (cy * sr - sy * sp * cr)
        row.z = parent.z + x * sp - y * cp * sr + z * cp * cr
        row.pitch, row.roll = parent.pitch + row.rpitch, parent.roll + row.rroll
        row.yaw = (parent.yaw + row.ryaw + 180.0) % 360.0 - 180.0
        row.vx, row.vy, row.vz = parent.vx, parent.vy, parent.vz
        row.wx, row.wy, row.wz = parent.wx, parent.wy, parent.wz
        row.ax, row.ay, row.az = parent.ax, parent.ay, parent.az
