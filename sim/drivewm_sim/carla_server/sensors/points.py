"""From depths of rays to the points that CARLA's lidars send: sensor frame, left-handed, beam by beam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.carla_server.ground import Ground, surface_at
from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import LIDAR, normal, uniform
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.sensors.raycast import FIRST_BOX, GROUND, NOTHING, LidarPose, Rays

SEMANTIC_POINT = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "cos")] + [("object", "<u4"), ("tag", "<u4")]
)


@kernel
def _face(
    dx: float, dy: float, dz: float, yaw: float, half_length: float, half_width: float, half_height: float,
    ux: float, uy: float, uz: float,
) -> float:  # fmt: skip
    """Cosine of incidence of a ray along unit vector u that ends at d from the middle of a box."""
    c, s = math.cos(yaw), math.sin(yaw)
    a, b = abs(c * dx + s * dy) - half_length, abs(c * dy - s * dx) - half_width
    h = abs(dz) - half_height
    if a >= b and a >= h:
        return abs(c * ux + s * uy)
    if b >= h:
        return abs(c * uy - s * ux)
    return abs(uz)


@kernel
def _semantic(
    rays: Rays, depth: ndarray, mark: ndarray, columns: int, begin: float, step: float, pose: LidarPose,
    bodies: Any, body_tags: ndarray, boxes: Boxes, box_tags: ndarray, ground: Ground,
    counts: ndarray, out: Any,
) -> int:  # fmt: skip
    n = 0
    turn = depth.shape[0]
    ahead_c, ahead_s = math.cos(pose.yaw), math.sin(pose.yaw)
    cos, sin = np.empty(columns), np.empty(columns)
    for m in range(columns):
        cos[m], sin[m] = math.cos(begin + m * step), math.sin(begin + m * step)
    top = pose.z + rays.mount
    for i in range(depth.shape[1]):
        before = n
        shrink, slope = 1.0 / rays.stretch[i], rays.slope[i]
        for m in range(columns):
            j = (turn - m) % turn  # azimuths count the other way
            code = mark[j, i]
            if code == NOTHING:
                continue
            d = np.float64(depth[j, i])
            point = out[n]
            point.x, point.y, point.z = d * cos[m], d * sin[m], d * slope
            ux = ahead_c * rays.cos[j] - ahead_s * rays.sin[j]
            uy = ahead_s * rays.cos[j] + ahead_c * rays.sin[j]
            x, y, z = pose.x + d * ux, pose.y + d * uy, top + d * (slope + pose.slope * rays.cos[j])
            if code == GROUND:
                point.cos, point.object = abs(slope) * shrink, 0
                point.tag = surface_at(ground, x, -y)
            elif code >= 0:
                body = bodies[code]
                half = 0.5 * body.height
                point.object, point.tag = body.uid, body_tags[code]
                point.cos = _face(
                    x - body.x, y - body.y, z - body.z - half, body.yaw, 0.5 * body.length,
                    0.5 * body.width, half, ux * shrink, uy * shrink, slope * shrink,
                )  # fmt: skip
            else:
                k = FIRST_BOX - code
                half = 0.5 * boxes.height[k]
                point.object, point.tag = 0, box_tags[k]
                point.cos = _face(
                    x - boxes.x[k], y - boxes.y[k], z - boxes.z[k] - half, boxes.yaw[k],
                    0.5 * boxes.length[k], 0.5 * boxes.width[k], half, ux * shrink, uy * shrink,
                    slope * shrink,
                )  # fmt: skip
            n += 1
        counts[i] = n - before
    return n


def semantic_points(
    *, rays: Rays, depth: ndarray, mark: ndarray, columns: int, begin: float, step: float, pose: LidarPose,
    bodies: Any, body_tags: ndarray, boxes: Boxes, box_tags: ndarray, ground: Ground,
) -> tuple[ndarray, ndarray]:  # fmt: skip
    """Points of every beam, and the points themselves (SEMANTIC_POINT), beam after beam.

    begin: angle of the first column and step: between columns, rad clockwise from straight ahead. depth and
    mark [J, E] are `raycast.cast`'s for a lidar whose first column, straight behind it, is at `begin`.
    """
    counts = np.zeros(depth.shape[1], np.int64)
    out = np.empty(columns * depth.shape[1], SEMANTIC_POINT)
    n = _semantic(
        rays, depth, mark, columns, begin, step, pose, bodies, body_tags, boxes, box_tags, ground, counts,
        out.view(np.recarray),
    )  # fmt: skip
    return counts, out[:n]


@kernel
def _plain(
    rays: Rays, depth: ndarray, mark: ndarray, columns: int, begin: float, step: float, attenuation: float,
    lost: float, limit: float, lost_at_zero: float, deviation: float, seed: int, uid: int, frame: int,
    counts: ndarray, out: ndarray,
) -> int:  # fmt: skip
    n = 0
    turn = depth.shape[0]
    for i in range(depth.shape[1]):
        before = n
        for m in range(columns):
            j = (turn - m) % turn
            if mark[j, i] == NOTHING:
                continue
            ray = i * columns + m
            if lost > 0.0 and uniform(seed, uid, LIDAR, frame, 8 * ray) < lost:
                continue
            distance = depth[j, i] * rays.stretch[i]
            intensity = math.exp(-attenuation * distance)
            if intensity <= limit:
                kept = 1.0 - lost_at_zero + lost_at_zero / limit * intensity
                if uniform(seed, uid, LIDAR, frame, 8 * ray + 1) >= kept:
                    continue
            if deviation > 0.0:
                distance += deviation * normal(seed, uid, LIDAR, frame, 4 * ray + 1)
            d = distance / rays.stretch[i]
            angle = begin + m * step
            out[n, 0], out[n, 1] = d * math.cos(angle), d * math.sin(angle)
            out[n, 2], out[n, 3] = d * rays.slope[i], intensity
            n += 1
        counts[i] = n - before
    return n


def plain_points(
    rays: Rays, depth: ndarray, mark: ndarray, columns: int, begin: float, step: float, attenuation: float,
    lost: float, limit: float, lost_at_zero: float, deviation: float, seed: int, uid: int, frame: int,
) -> tuple[ndarray, ndarray]:  # fmt: skip
    """Points of every beam, and x, y, z, intensity [n, 4] of each."""
    counts = np.zeros(depth.shape[1], np.int64)
    out = np.empty((columns * depth.shape[1], 4), np.float32)
    n = _plain(
        rays, depth, mark, columns, begin, step, attenuation, lost, limit, lost_at_zero, deviation, seed, uid,
        frame, counts, out,
    )  # fmt: skip
    return counts, out[:n]
