"""Where the car is, from noisy fixes, compass and speedometer.

Dead reckoning corrected by every fix. Which projection the server's GNSS uses is not known beforehand: one
estimate runs for each, and the one whose fixes surprise it least is believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.carla_client.geodesy import PROJECTIONS, Origin, Projection
from drivewm_sim.carla_frames import mirrored, yaw_from_compass

GAIN = 0.05
"""Share of a surprise that is believed: fixes of 0.55 m deviation leave less than 0.1 m at 20 Hz."""
_MOST_M = 5.0  # that one surprise may count
_OTHER_START_M = 2.0  # a first fix nearer to the plan's start than this tells nothing


@dataclass(frozen=True, kw_only=True)
class Located:
    """The car in the scene frame."""

    pose: Float[ndarray, "3"]  # x, y (m), yaw (rad)
    speed: float  # m/s, forward


@dataclass
class _Estimate:
    projection: Projection
    x: float = 0.0
    y: float = 0.0
    fixes: int = 0
    surprise: float = 0.0  # m, summed up


class Localiser:
    """One drive. start: where the plan begins (scene frame: x, y, yaw); wheelbase: m between the axles."""

    def __init__(self, origin: Origin, start: Float[ndarray, "3"], wheelbase: float) -> None:
        self._origin, self._start, self._lever = origin, start, 0.5 * wheelbase
        self._estimates = [_Estimate(projection) for projection in PROJECTIONS]
        self._yaw, self._time_s = float(start[2]), math.nan

    def update(self, time_s: float, lat: float, lon: float, compass: float, speed: float) -> Located:
        """Takes in one tick: degrees, the compass in radians (not a number in some first ticks), m/s."""
        before = self._yaw
        if math.isfinite(compass):
            self._yaw = float(yaw_from_compass(compass))
        elapsed = 0.0 if math.isnan(self._time_s) else time_s - self._time_s
        self._time_s = time_s
        # The rear axle goes where the car points to; its middle swings round that axle.
        moved, c, s = speed * elapsed, math.cos(self._yaw), math.sin(self._yaw)
        for estimate in self._estimates:
            estimate.x += moved * c + self._lever * (c - math.cos(before))
            estimate.y += moved * s + self._lever * (s - math.sin(before))
            self._correct(estimate, lat, lon)
        best = min(self._estimates, key=lambda e: e.surprise)
        return Located(pose=np.array([best.x, best.y, self._yaw]), speed=speed)

    def _correct(self, estimate: _Estimate, lat: float, lon: float) -> None:
        place = np.array([*estimate.projection(self._origin, lat, lon), 0.0])
        x, y, _ = mirrored(place).tolist()
        if estimate.fixes == 0:
            estimate.x, estimate.y = x, y
            wrong = math.hypot(x - self._start[0], y - self._start[1])
            estimate.surprise = 20.0 * max(wrong - _OTHER_START_M, 0.0)
        estimate.fixes += 1
        gain = max(1.0 / estimate.fixes, GAIN)
        dx, dy = x - estimate.x, y - estimate.y
        estimate.surprise += min(math.hypot(dx, dy), _MOST_M)
        estimate.x += gain * dx
        estimate.y += gain * dy
