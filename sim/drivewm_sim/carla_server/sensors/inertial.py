"""IMU and GNSS."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgpack
import numpy as np

from drivewm_sim.carla_server.actors import Actor
from drivewm_sim.randomness import LIDAR, normal

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World

EARTH_RADIUS_M = 6378137.0
SCALE = 0.9996
DEFAULT_ORIGIN = (42.0, 2.0)
"""Latitude and longitude of maps that state none, in degrees, as libcarla has it."""


class Imu:
    """Specific force (m/s^2) and turn rate (rad/s) in the sensor's frame; compass (rad from north)."""

    def __init__(self, actor: Actor) -> None:
        value = actor.description.value
        self._seed = int(value("noise_seed", "0"))
        self._accel = [float(value(f"noise_accel_stddev_{axis}", "0")) for axis in "xyz"]
        self._gyro = [float(value(f"noise_gyro_stddev_{axis}", "0")) for axis in "xyz"]
        self._bias = [float(value(f"noise_gyro_bias_{axis}", "0")) for axis in "xyz"]

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        row = world.actors.state[actor.row]
        turn = _to_sensor(float(row["pitch"]), float(row["yaw"]), float(row["roll"]))
        force = turn @ np.array([row["ax"], row["ay"], row["az"] + world.gravity])
        rate = np.radians([row["wx"], row["wy"], row["wz"]])
        draws = [normal(self._seed, actor.id, LIDAR, world.frame, k) for k in range(6)]
        accel = tuple(float(f + d * s) for f, d, s in zip(force, draws[:3], self._accel, strict=True))
        gyro = tuple(
            float(r + b + d * s) for r, b, d, s in zip(rate, self._bias, draws[3:], self._gyro, strict=True)
        )
        yaw = math.radians(row["yaw"])
        compass = math.atan2(math.cos(yaw), -math.sin(yaw)) % (2 * math.pi)
        return [msgpack.packb((accel, gyro, compass), use_single_float=True)]


def _to_sensor(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Turns a vector of the world (left-handed) into the frame of one with these angles (degrees)."""
    p, y, r = np.radians([pitch, yaw, roll])
    cp, sp, cy, sy, cr, sr = np.cos(p), np.sin(p), np.cos(y), np.sin(y), np.cos(r), np.sin(r)
    return np.array(
        [
            [cp * cy, cp * sy, sp],
            [cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr],
            [-(cy * sp * cr + sy * sr), cy * sr - sy * sp * cr, cp * cr],
        ]
    )


class Gnss:
    """Latitude, longitude (degrees) and altitude (m), as the client's own map converts places."""

    def __init__(self, actor: Actor) -> None:
        value = actor.description.value
        self._seed = int(value("noise_seed", "0"))
        axes = ("lat", "lon", "alt")
        self._bias = [float(value(f"noise_{axis}_bias", "0")) for axis in axes]
        self._deviation = [float(value(f"noise_{axis}_stddev", "0")) for axis in axes]

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        row = world.actors.state[actor.row]
        origin = geo_origin(world.map.document.geo_reference)
        place = (*geolocation(origin, float(row["x"]), float(row["y"])), float(row["z"]))
        draws = [normal(self._seed, actor.id, LIDAR, world.frame, k) for k in range(3)]
        rows = zip(place, self._bias, draws, self._deviation, strict=True)
        return [msgpack.packb(tuple(p + b + d * s for p, b, d, s in rows))]


def geo_origin(reference: str) -> tuple[float, float]:
    """Latitude and longitude of the map's origin, from its PROJ string."""
    found = [re.search(rf"\+{key}=([-+.0-9eE]+)", reference) for key in ("lat_0", "lon_0")]
    if not all(found):
        return DEFAULT_ORIGIN
    lat, lon = (float(match.group(1)) for match in found if match)
    return lat, lon


def geolocation(origin: tuple[float, float], x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude of a place (CARLA's x, y in m): transverse Mercator on a sphere (Snyder 1987).

    As libcarla 0.9.16 has it: it takes its y, which points south everywhere else, as north, and the scale
    SCALE whatever the map says.
    """
    lat, lon = (math.radians(angle) for angle in origin)
    east, north = x / (SCALE * EARTH_RADIUS_M), y / (SCALE * EARTH_RADIUS_M) + lat
    turned = lon + math.atan2(math.sinh(east), math.cos(north))
    return math.degrees(math.asin(math.sin(north) / math.cosh(east))), math.degrees(turned)
