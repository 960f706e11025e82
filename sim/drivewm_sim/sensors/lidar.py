"""A spinning lidar over the street: a range image with the identity of what every ray hit.

The ego frame has its origin on the road under the centre of the ego's box; x is forward, y left, z up. The
road is taken as the plane through that point that rises by `slope` metres a metre ahead, and z counts from
that plane, so hills neither bury nor lift the agents on them. All rays of a sweep are measured at one
instant: the range image is that of a lidar whose own motion has been compensated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt16
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.kernel import kernel
from drivewm_sim.roads.boxes import Boxes, no_boxes
from drivewm_sim.sensors.raycast import GROUND, NOTHING, LidarPose, Rays, cast, measure
from drivewm_sim.street.sight import StaticGrid, make_static_grid

CENTIMETRE = np.float32(0.01)
"""What one unit of an encoded range stands for."""


@dataclass(frozen=True, kw_only=True)
class LidarSpec:
    """One lidar above the centre of the ego. Defaults resemble a 32-beam sensor on a car's roof."""

    beams: int = 32
    azimuths: int = 720
    upper: float = 10.0  # degrees of elevation of the highest beam ...
    lower: float = -30.0  # ... and of the lowest; the others lie evenly between
    max_range: float = 80.0  # m along the ray
    mount: float = 1.8  # m above the road
    drop_out: float = 0.02  # share of returns that get lost
    range_noise: float = 0.02  # m, standard deviation along the ray
    resolution: float = 0.01  # m; ranges are whole multiples of it

    def __post_init__(self) -> None:
        if self.beams < 1 or self.azimuths < 4 or not -90 < self.lower <= self.upper < 90:
            raise InputError(
                "expected at least 1 beam, 4 azimuths and -90 < lower <= upper < 90 degrees, got "
                f"{self.beams} beams, {self.azimuths} azimuths, {self.lower} to {self.upper}"
            )
        if not 0 < self.max_range <= 600 or self.mount <= 0 or self.resolution <= 0:
            raise InputError(
                f"expected a range in (0, 600] m, mount and resolution above 0, got {self.max_range}, "
                f"{self.mount}, {self.resolution}"
            )
        if not 0 <= self.drop_out <= 1 or self.range_noise < 0:
            raise InputError(
                "expected a drop-out in [0, 1] and a range noise not below 0, got "
                f"{self.drop_out}, {self.range_noise}"
            )


@lru_cache(maxsize=8)
def make_rays(spec: LidarSpec) -> Rays:
    """The rays of a lidar."""
    azimuth = 2 * np.pi * np.arange(spec.azimuths) / spec.azimuths - np.pi
    elevation = np.radians(np.linspace(spec.upper, spec.lower, spec.beams))
    slope, stretch = np.tan(elevation), 1 / np.cos(elevation)
    down = slope < 0
    road = np.where(down, spec.mount / np.where(down, -slope, 1.0), np.inf)
    reach = spec.max_range / stretch
    return Rays(
        cos=np.cos(azimuth), sin=np.sin(azimuth), slope=slope, stretch=stretch,
        limit=np.minimum(road, reach), lands=np.where(road < reach, GROUND, NOTHING),
        mount=spec.mount, max_range=spec.max_range, drop_out=spec.drop_out,
        range_noise=spec.range_noise, resolution=spec.resolution,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One turn of the lidar. Axes: E beams, J azimuths as in `Rays`; N bodies that were scanned."""

    range_m: Float32[ndarray, "E J"]  # along the ray; 0: no return
    id: Int32[ndarray, "E J"]  # uid of an agent, GROUND, NOTHING, or FIRST_BOX - k for box k of the town
    hits: Int32[ndarray, "N"]  # rays that end at each body, before drop-out ...
    silhouette: Int32[ndarray, "N"]  # ... and that would, were it alone on the road

    @property
    def visibility(self) -> Float[ndarray, "N"]:
        """The share in [0, 1] of each body that nothing hides; 0 where it is too far for any ray."""
        return self.hits / np.maximum(self.silhouette, 1)


def scan(
    spec: LidarSpec,
    grid: StaticGrid,
    boxes: Boxes,
    bodies: ndarray,
    pose: LidarPose,
    *,
    ego_uid: int,
    seed: int,
    tick: int,
) -> Sweep:
    """One sweep over rows of BODY.

    The ego's own body is left out, and so is any box in whose footprint the sensor stands. Drop-out and
    noise of a ray depend on (seed, ego_uid, tick, ray) alone.
    """
    rays = make_rays(spec)
    depth = np.empty((spec.azimuths, spec.beams), np.float32)
    mark = np.empty((spec.azimuths, spec.beams), np.int32)
    silhouette = np.empty(len(bodies), np.int32)
    cast(rays, grid, boxes, bodies, pose, ego_uid, depth, mark, silhouette)
    return measured(spec, bodies, depth, mark, silhouette, ego_uid=ego_uid, seed=seed, tick=tick)


def measured(
    spec: LidarSpec,
    bodies: ndarray,
    depth: Float32[ndarray, "J E"],
    mark: Int32[ndarray, "J E"],
    silhouette: Int32[ndarray, "N"],
    *,
    ego_uid: int,
    seed: int,
    tick: int,
) -> Sweep:
    """The sweep of rays that end after `depth` metres of ground at `mark`: a row of bodies, or a code of
    `raycast`. Drop-out and noise of a ray depend on (seed, ego_uid, tick, ray) alone."""
    range_m = np.empty((spec.beams, spec.azimuths), np.float32)
    identity = np.empty((spec.beams, spec.azimuths), np.int32)
    hits = np.empty(len(bodies), np.int32)
    measure(make_rays(spec), bodies, depth, mark, seed, ego_uid, tick, range_m, identity, hits)
    return Sweep(range_m=range_m, id=identity, hits=hits, silhouette=silhouette)


def silhouettes(spec: LidarSpec, bodies: ndarray, pose: LidarPose, *, ego_uid: int) -> Int32[ndarray, "N"]:
    """The rays that would end at each body, were it alone on the road."""
    nothing = no_boxes()
    depth = np.empty((spec.azimuths, spec.beams), np.float32)
    mark = np.empty((spec.azimuths, spec.beams), np.int32)
    out = np.empty(len(bodies), np.int32)
    cast(make_rays(spec), make_static_grid(nothing), nothing, bodies, pose, ego_uid, depth, mark, out)
    return out


def encode(range_m: Float32[ndarray, "*b"]) -> UInt16[ndarray, "*b"]:
    """Ranges as whole centimetres, what an episode keeps; exact for ranges with a resolution of 0.01 m."""
    return np.rint(range_m * np.float32(100)).astype(np.uint16)


def decode(centimetres: UInt16[ndarray, "*b"]) -> Float32[ndarray, "*b"]:
    """The inverse of `encode`."""
    return centimetres * CENTIMETRE


@kernel
def _between(rays: Rays, i: int, low: float, high: float) -> tuple[float, float]:
    """The ranges, a millimetre widened, at which beam i is between two heights; 0 is never among them."""
    nearest, farthest = 1e-3, np.inf
    if rays.slope[i] != 0.0:
        a, b = (low - rays.mount) / rays.slope[i], (high - rays.mount) / rays.slope[i]
        nearest = max(nearest, min(a, b) * rays.stretch[i] - 1e-3)
        farthest = max(a, b) * rays.stretch[i] + 1e-3
    return nearest, farthest


@kernel
def _points(
    rays: Rays, image: ndarray, unit: np.float32, x: float, y: float, yaw: float, low: float, high: float
) -> ndarray:
    out = np.empty((image.size, 3), np.float32)
    c, s = np.cos(yaw), np.sin(yaw)
    count = 0
    for i in range(image.shape[0]):
        nearest, farthest = _between(rays, i, low, high)
        nearest, farthest = nearest / unit, farthest / unit
        shrink, slope = 1.0 / rays.stretch[i], rays.slope[i]
        for j in range(image.shape[1]):
            if not nearest <= image[i, j] <= farthest:
                continue
            along = np.float64(np.float32(image[i, j]) * unit) * shrink
            up = rays.mount + along * slope
            if not low < up < high:
                continue
            ahead, left = along * rays.cos[j], along * rays.sin[j]
            out[count, 0] = c * ahead - s * left + x
            out[count, 1] = s * ahead + c * left + y
            out[count, 2] = up
            count += 1
    return out[:count]


def points(
    image: Float32[ndarray, "E J"] | UInt16[ndarray, "E J"],
    spec: LidarSpec,
    *,
    moved: tuple[float, float, float] = (0.0, 0.0, 0.0),
    heights: tuple[float, float] = (-np.inf, np.inf),
) -> Float32[ndarray, "M 3"]:
    """The returns of a range image (metres, or encoded) as points in the ego frame.

    They come row by row: `id[image > 0]` says whose they are. `moved` is the pose (x, y, yaw) of the ego at
    the sweep, written in the frame that the points shall be in: for a past sweep in today's ego frame. Only
    points between the two heights (m) are given.
    """
    if image.shape != (spec.beams, spec.azimuths):
        raise InputError(
            f"expected a range image of {spec.beams} beams and {spec.azimuths} azimuths, got {image.shape}"
        )
    unit = CENTIMETRE if image.dtype == np.uint16 else np.float32(1)
    return _points(make_rays(spec), image, unit, *map(float, moved), *map(float, heights))  # type: ignore[no-any-return]
