"""The lidar's rays against the road and upright boxes, as a depth buffer.

Not every ray is tested against every box: each box is drawn into the azimuths and beams that it covers, and
the nearest stays. As boxes stand upright, all beams of one azimuth share the stretch of ground over which
the ray runs above the box's footprint; between its two ends a beam meets the near wall, the roof or the
underside, or nothing. Depths are metres of ground (not of ray), from the sensor.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import LIDAR, bits
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.sensors.bodies import LEVEL_M, Bodies
from drivewm_sim.street.sight import StaticGrid

GROUND, NOTHING, FIRST_BOX = -1, -2, -3
"""What a ray hit, where it was no agent; box k of the town is FIRST_BOX - k."""

_16 = np.uint64(0xFFFF)
_SHIFT = (np.uint64(16), np.uint64(32), np.uint64(48))


class Rays(NamedTuple):
    """What kernels read of a `lidar.LidarSpec`. Axes: E beams from the highest down, J azimuths.

    Azimuth j points -pi + 2 pi j / J to the left of straight ahead: the middle column looks ahead.
    """

    cos: Float[ndarray, "J"]  # of the azimuth, ego frame
    sin: Float[ndarray, "J"]
    slope: Float[ndarray, "E"]  # metres up a metre of ground
    stretch: Float[ndarray, "E"]  # metres of ray a metre of ground
    limit: Float[ndarray, "E"]  # metres of ground to the road or to the end of the range, ...
    lands: Int[ndarray, "E"]  # ... GROUND if the road comes first, NOTHING if not
    mount: float
    max_range: float
    drop_out: float
    range_noise: float
    resolution: float


class LidarPose(NamedTuple):
    """Where the ego stands, scene frame."""

    x: float
    y: float
    z: float  # of the road under it
    yaw: float
    slope: float = 0.0  # metres that the road rises a metre ahead


@kernel
def _span(
    x: float, y: float, c: float, s: float, half_length: float, half_width: float
) -> tuple[float, float]:
    """The azimuths, not wrapped, between which a rectangle is seen from the origin, which lies outside it."""
    low, high = math.inf, -math.inf
    for k in range(4):
        a = half_length if k & 1 else -half_length
        b = half_width if k & 2 else -half_width
        px, py = x + c * a - s * b, y + s * a + c * b
        turn = math.atan2(x * py - y * px, x * px + y * py)
        low, high = min(low, turn), max(high, turn)
    middle = math.atan2(y, x)
    return middle + low, middle + high


@kernel
def _draw(
    rays: Rays, x: float, y: float, bottom: float, top: float, c: float, s: float,
    half_length: float, half_width: float, code: int, depth: ndarray, mark: ndarray,
) -> int:  # fmt: skip
    """Draws one box; the number of rays that would hit it, were it alone on the road.

    x, y: its centre in the ego frame; bottom, top: above the sensor; c, s: cosine and sine of its yaw there.
    """
    # The sensor as the box sees it.
    ox, oy = -c * x - s * y, s * x - c * y
    if abs(ox) <= half_length and abs(oy) <= half_width:
        return 0
    azimuths, beams = depth.shape
    low, high = _span(x, y, c, s, half_length, half_width)
    per_radian = azimuths / (2.0 * math.pi)
    first, last = (
        0,
        0,
    )  # beams first:last reach the box; neighbouring azimuths differ little, so they only slide
    alone = 0
    for turn in range(
        math.ceil((low + math.pi) * per_radian - 1e-6), math.floor((high + math.pi) * per_radian + 1e-6) + 1
    ):
        j = turn % azimuths
        ux, uy = c * rays.cos[j] + s * rays.sin[j], c * rays.sin[j] - s * rays.cos[j]
        near, far = -math.inf, math.inf
        if ux != 0.0:
            a, b = (-half_length - ox) / ux, (half_length - ox) / ux
            near, far = min(a, b), max(a, b)
        elif abs(ox) >= half_length:
            continue
        if uy != 0.0:
            a, b = (-half_width - oy) / uy, (half_width - oy) / uy
            near, far = max(near, min(a, b)), min(far, max(a, b))
        elif abs(oy) >= half_width:
            continue
        if near >= far or near <= 0.0:
            continue
        steepest = top / (near if top > 0.0 else far)
        flattest = bottom / (near if bottom < 0.0 else far)
        while first > 0 and rays.slope[first - 1] <= steepest:
            first -= 1
        while first < beams and rays.slope[first] > steepest:
            first += 1
        last = max(last, first)
        while last > first and rays.slope[last - 1] < flattest:
            last -= 1
        while last < beams and rays.slope[last] >= flattest:
            last += 1
        for i in range(first, last):
            slope = rays.slope[i]
            rise = slope * near
            d = near
            if rise > top:
                d = top / slope
            elif rise < bottom:
                d = bottom / slope
            if d < rays.limit[i]:
                alone += 1
                if d < depth[j, i]:
                    depth[j, i] = d
                    mark[j, i] = code
    return alone


@kernel
def cast(
    rays: Rays, grid: StaticGrid, boxes: Boxes, bodies: Bodies, pose: LidarPose, ego_uid: int,
    depth: ndarray, mark: ndarray, silhouette: ndarray,
) -> None:  # fmt: skip
    """Fills depth and mark [J, E]: the row of a body, GROUND, NOTHING or FIRST_BOX - k; and silhouette [N].

    Of bodies with equal depth the lower uid stays, after boxes.
    """
    for j in range(depth.shape[0]):
        for i in range(depth.shape[1]):
            depth[j, i] = rays.limit[i]
            mark[j, i] = rays.lands[i]
    c, s = math.cos(pose.yaw), math.sin(pose.yaw)
    for k in range(len(boxes.x)):
        dx, dy = boxes.x[k] - pose.x, boxes.y[k] - pose.y
        if dx * dx + dy * dy >= (rays.max_range + grid.reach[k]) ** 2:
            continue
        ahead = c * dx + s * dy
        bottom = boxes.z[k] - pose.z - pose.slope * ahead - rays.mount
        _draw(
            rays, ahead, c * dy - s * dx, bottom, bottom + boxes.height[k],
            c * grid.cos[k] + s * grid.sin[k], c * grid.sin[k] - s * grid.cos[k],
            0.5 * boxes.length[k], 0.5 * boxes.width[k], FIRST_BOX - k, depth, mark,
        )  # fmt: skip
    for n in range(len(bodies)):
        body = bodies[n]
        silhouette[n] = 0
        dx, dy = body.x - pose.x, body.y - pose.y
        reach = rays.max_range + body.length + body.width
        ahead = c * dx + s * dy
        up = body.z - pose.z - pose.slope * ahead
        if body.uid == ego_uid or dx * dx + dy * dy >= reach * reach or abs(up) > LEVEL_M:
            continue
        turn = body.yaw - pose.yaw
        silhouette[n] = _draw(
            rays, ahead, c * dy - s * dx, up - rays.mount, up - rays.mount + body.height,
            math.cos(turn), math.sin(turn), 0.5 * body.length, 0.5 * body.width, n, depth, mark,
        )  # fmt: skip


@kernel
def measure(
    rays: Rays, bodies: Bodies, depth: ndarray, mark: ndarray, seed: int, ego_uid: int, tick: int,
    range_m: ndarray, identity: ndarray, hits: ndarray,
) -> None:  # fmt: skip
    """From depths to what the sensor reports: range_m and identity [E, J], and the hits of every body.

    Noise is the sum of three uniform numbers, scaled: bounded at three standard deviations, and far cheaper
    than a normal number a ray.
    """
    lost, noise = np.uint64(rays.drop_out * 65536.0), rays.range_noise
    step, per_metre = np.float32(rays.resolution), 1.0 / rays.resolution
    azimuths, beams = depth.shape
    line = np.empty(azimuths)
    hits[:] = 0
    for i in range(beams):
        for j in range(azimuths):
            line[j] = depth[j, i] * rays.stretch[i]
        for j in range(azimuths):  # apart from the rest, so that it compiles to vector instructions
            word = bits(seed, ego_uid, LIDAR, tick, i * azimuths + j)
            total = ((word >> _SHIFT[0]) & _16) + ((word >> _SHIFT[1]) & _16) + (word >> _SHIFT[2])
            distance = line[j] + noise * (np.float64(total) / 32768.0 - 3.0)
            line[j] = max(np.floor(distance * per_metre + 0.5), 1.0) if (word & _16) >= lost else 0.0
        for j in range(azimuths):
            code = mark[j, i]
            if code >= 0:
                hits[code] += 1
            returned = code != NOTHING and line[j] > 0.0
            range_m[i, j] = np.float32(line[j]) * step if returned else np.float32(0.0)
            identity[i, j] = NOTHING
            if returned:
                identity[i, j] = bodies[code].uid if code >= 0 else code
