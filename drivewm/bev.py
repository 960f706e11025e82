"""Points of any lidar to features on a bird's-eye grid: one code for simulated, recorded and live sweeps.

The grid lies in the ego frame at the stamp: origin on the road under the ego, axis H is x forward, axis W is
y left, nothing is flipped, and z counts from the road. The centre of cell (i, j) is at
`minimum + (index + 0.5) * resolution`. Channels:

- `occupancy`: 1 where something between the spec's two heights returned a ray,
- `height`: of the highest such return (m), 0 where there is none,
- `density`: log(1 + number of such returns), the number capped at 255,
- `free`: 1 where a ray crossed lower than `free_height` and nothing returned: nobody taller stands there,
- `past_0.2`, ...: `occupancy` of the sweep of so many seconds ago, moved into today's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from numpy import ndarray

from drivewm.errors import InputError

COUNT_CAP = 255
LOG_COUNT = np.log1p(np.arange(COUNT_CAP + 1)).astype(np.float32)
"""The density channel by number of returns."""
AGE_TOLERANCE_S = 0.05
"""A past sweep belongs to a channel whose age it has to within this."""
CURRENT = ("occupancy", "height", "density", "free")
"""The channels that come from the newest sweep."""
OCCUPANCY_LAYERS = ("pedestrian", "vehicle", "untracked pedestrian")
OCCUPANCY_TIMES_S = (0.0, 0.8, 2.0, 4.0)
"""Whose occupancy of the grid is forecast, and for when."""


@dataclass(frozen=True, kw_only=True)
class BevSpec:
    """The grid and what is written on it."""

    x_range: tuple[float, float] = (-16.0, 48.0)  # m, ego frame
    y_range: tuple[float, float] = (-32.0, 32.0)
    resolution: float = 0.5  # m, the edge of a cell
    obstacle_heights: tuple[float, float] = (0.3, 3.0)  # m; below is road, above one passes under
    free_height: float = 1.0  # m; a child of ten is taller
    free_directions: int = 400  # around the sensor, for `free`; a lidar with fewer azimuths leaves gaps
    max_range: float = 60.0  # m of ground from the sensor
    past_ages: tuple[float, ...] = (0.2, 0.4, 0.8)  # s
    own: tuple[str, ...] = ()  # a stack's own channels, in place of those that are made here from points

    def __post_init__(self) -> None:
        if self.resolution <= 0 or self.max_range <= 0 or self.free_directions < 4:
            raise InputError(
                "resolution and max_range must be positive and free_directions at least 4, got "
                f"{self.resolution}, {self.max_range}, {self.free_directions}"
            )
        for name in ("x_range", "y_range"):
            low, high = getattr(self, name)
            cells = (high - low) / self.resolution
            if cells < 1 or abs(cells - round(cells)) > 1e-6:
                raise InputError(f"{name} must span whole cells of {self.resolution} m, got {low} to {high}")
        if not 0 <= self.obstacle_heights[0] < self.obstacle_heights[1] or self.free_height <= 0:
            raise InputError(
                "obstacle heights must rise from 0 or more and free_height be positive, got "
                f"{self.obstacle_heights}, {self.free_height}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BevSpec:
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)

    @property
    def channels(self) -> tuple[str, ...]:
        return self.own or (*CURRENT, *(f"past_{age:g}" for age in self.past_ages))

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        h, w = (round((high - low) / self.resolution) for low, high in (self.x_range, self.y_range))
        return len(self.channels), h, w

    @property
    def scale(self) -> Float32[ndarray, "C"]:
        """What one unit of a quantised channel stands for: 1 where there is only yes and no."""
        scale = np.ones(len(self.channels), np.float32)
        if self.own:
            return scale
        scale[CURRENT.index("height")] = self.obstacle_heights[1] / 255
        scale[CURRENT.index("density")] = LOG_COUNT[-1] / 255
        return scale


def occupancy_spec(spec: BevSpec) -> BevSpec:
    """The grid of the forecast occupancy: cells twice as large as those of the features."""
    return BevSpec(x_range=spec.x_range, y_range=spec.y_range, resolution=2 * spec.resolution)


@dataclass(frozen=True, kw_only=True)
class BevGrid:
    """Features in the ego frame at the stamp. Axes: C channels, H cells forward, W cells to the left."""

    features: Float32[ndarray, "*b C H W"]  # zero in channels that are not valid
    valid: Bool[ndarray, "*b C"]  # false: that past sweep is missing
    spec: BevSpec


@dataclass(frozen=True, kw_only=True)
class QuantisedBev:
    """A BevGrid in bytes: `code * spec.scale` is the feature."""

    code: UInt8[ndarray, "*b C H W"]
    valid: Bool[ndarray, "*b C"]
    spec: BevSpec


@lru_cache(maxsize=8)
def cell_directions(spec: BevSpec, x: float, y: float) -> Int[ndarray, "H W"]:
    """For each cell, the entry of the polar table [free_directions, range bins + 1] in which its centre lies.

    Cells beyond the range point at entry 0 of the last column, which is never free. The sensor is at x, y.
    """
    _, h, w = spec.shape
    dx = (spec.x_range[0] + (np.arange(h) + 0.5) * spec.resolution - x)[:, None]
    dy = (spec.y_range[0] + (np.arange(w) + 0.5) * spec.resolution - y)[None, :]
    away = np.hypot(dx, dy)
    bins = range_bins(spec)
    step = np.where(away < spec.max_range, away / spec.resolution, bins).astype(np.int64)
    entry = direction(dx, dy, spec.free_directions) * (bins + 1) + step
    entry.setflags(write=False)
    return entry


def range_bins(spec: BevSpec) -> int:
    """Steps of one cell's edge from the sensor to the end of the range."""
    return int(np.ceil(spec.max_range / spec.resolution))


def direction(dx: Float[ndarray, "..."], dy: Float[ndarray, "..."], directions: int) -> Int[ndarray, "..."]:
    """Which of the directions around the sensor a vector points to.

    They are even in y / (|x| + |y|), which grows with the angle, costs one division and gives every
    machine the same bits; their widths in angle differ by a factor of two at most.
    """
    across = np.abs(dx) + np.abs(dy)
    lean = dy / np.where(across > 0, across, 1.0)
    turn = np.where(dx >= 0, 1.0 + lean, 3.0 - lean)  # 0 .. 4
    return np.minimum((turn * (directions / 4)).astype(np.int64), directions - 1)


def bev_features(
    points_ego: Float[ndarray, "N 3"],
    origin: Float[ndarray, "3"],
    spec: BevSpec,
    past: Sequence[tuple[Float[ndarray, "_ 3"], float]] = (),
) -> BevGrid:
    """The features of a sweep.

    points_ego: returns in the ego frame at the stamp (m, z above the road); origin: the sensor in that
    frame; past: earlier sweeps, already in that frame, with their age in seconds. Points that are not
    finite count as absent.
    """
    if spec.own:
        raise ValueError(
            f"the channels {', '.join(spec.own)} are a stack's own; they are not made from points"
        )
    _, h, w = spec.shape
    points = points_ego.astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    features = np.zeros((spec.shape[0], h * w), np.float32)
    cell, height = _obstacles(points, origin, spec)
    count = np.bincount(cell, minlength=h * w)
    features[0] = count > 0
    np.maximum.at(features[1], cell, height.astype(np.float32))
    features[2] = LOG_COUNT[np.minimum(count, COUNT_CAP)]
    free = _crossed(points, origin, spec)[
        cell_directions(spec, float(origin[0]), float(origin[1])).reshape(-1)
    ]
    features[3] = free & (count == 0)
    valid = np.ones(spec.shape[0], bool)
    for channel, age in enumerate(spec.past_ages, start=len(CURRENT)):
        sweep = next((p for p, a in past if abs(a - age) <= AGE_TOLERANCE_S), None)
        valid[channel] = sweep is not None
        if sweep is not None:
            features[channel, _obstacles(sweep.astype(np.float64), origin, spec)[0]] = 1.0
    return BevGrid(features=features.reshape(spec.shape), valid=valid, spec=spec)


def _obstacles(
    points: Float[ndarray, "N 3"], origin: Float[ndarray, "3"], spec: BevSpec
) -> tuple[Int[ndarray, "M"], Float[ndarray, "M"]]:
    """Cell and height of the points that are obstacles and lie on the grid."""
    _, h, w = spec.shape
    low, high = spec.obstacle_heights
    i = (points[:, 0] - spec.x_range[0]) / spec.resolution
    j = (points[:, 1] - spec.y_range[0]) / spec.resolution
    z = points[:, 2]
    away2 = (points[:, 0] - origin[0]) ** 2 + (points[:, 1] - origin[1]) ** 2
    keep = (i >= 0) & (i < h) & (j >= 0) & (j < w) & (z > low) & (z < high) & (away2 < spec.max_range**2)
    return i[keep].astype(np.int64) * w + j[keep].astype(np.int64), z[keep]


def _crossed(points: Float[ndarray, "N 3"], origin: Float[ndarray, "3"], spec: BevSpec) -> Bool[ndarray, "D"]:
    """By direction and distance from the sensor (flat): whether a ray crossed below free_height.

    A ray counts from where it has come down to free_height, up to its return; the road itself is included.
    """
    bins = range_bins(spec)
    points = points[points[:, 2] < min(spec.free_height, origin[2])]
    dx, dy = points[:, 0] - origin[0], points[:, 1] - origin[1]
    away = np.sqrt(dx * dx + dy * dy)
    drop = max(origin[2] - spec.free_height, 0.0)
    begin = np.ceil(away * drop / (origin[2] - points[:, 2]) / spec.resolution)
    end = np.floor(away / spec.resolution) + (points[:, 2] <= spec.obstacle_heights[0])
    begin, end = (np.minimum(b, bins).astype(np.int64) for b in (begin, end))
    row = direction(dx, dy, spec.free_directions) * (bins + 1)
    keep = begin < end
    size = spec.free_directions * (bins + 1)
    # Each ray opens a stretch and closes it: what is open after summing along a direction is crossed.
    steps = np.bincount((row + begin)[keep], minlength=size) - np.bincount((row + end)[keep], minlength=size)
    return (steps.reshape(spec.free_directions, bins + 1).cumsum(axis=1) > 0).reshape(-1)


def quantise(grid: BevGrid) -> QuantisedBev:
    """The grid in bytes; yes-or-no channels survive exactly, the others to half a unit of `spec.scale`."""
    code = grid.features.astype(np.uint8)
    for channel in np.flatnonzero(grid.spec.scale != 1):
        feature = grid.features[..., channel, :, :]
        code[..., channel, :, :] = np.rint(feature / grid.spec.scale[channel])
    return QuantisedBev(code=code, valid=grid.valid, spec=grid.spec)


def dequantise(quantised: QuantisedBev) -> BevGrid:
    """The inverse of `quantise`."""
    features = quantised.code * quantised.spec.scale[:, None, None]
    return BevGrid(features=features, valid=quantised.valid, spec=quantised.spec)
