"""Latitude and longitude to places on a map, in each of the ways in which CARLA and its leaderboard do it.

Three projections are met in the field; all are on a sphere about the map's origin:
`mercator`: of the leaderboard's plans and of servers up to 0.9.15;
`transverse`: of libcarla 0.9.16, whose y is NORTH there though it is south everywhere else;
`transverse_south`: the same with the sign put right.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from drivewm_sim.carla_server.sensors.inertial import EARTH_RADIUS_M, SCALE

Origin = tuple[float, float]
"""Latitude and longitude of the map's x = y = 0, in degrees."""
Projection = Callable[[Origin, float, float], tuple[float, float]]
"""x and y (m, CARLA's frame) of a latitude and longitude (degrees)."""


def mercator(origin: Origin, lat: float, lon: float) -> tuple[float, float]:
    """Mercator's projection, to scale at the origin."""
    reach = EARTH_RADIUS_M * math.cos(math.radians(origin[0]))
    return reach * math.radians(lon - origin[1]), reach * (_stretched(origin[0]) - _stretched(lat))


def transverse(origin: Origin, lat: float, lon: float) -> tuple[float, float]:
    """The inverse of `carla_server.sensors.inertial.geolocation` (Snyder 1987)."""
    phi, turned = math.radians(lat), math.radians(lon - origin[1])
    x = math.atanh(math.cos(phi) * math.sin(turned))
    y = math.atan2(math.tan(phi), math.cos(turned)) - math.radians(origin[0])
    return SCALE * EARTH_RADIUS_M * x, SCALE * EARTH_RADIUS_M * y


def transverse_south(origin: Origin, lat: float, lon: float) -> tuple[float, float]:
    """`transverse` with y south."""
    x, y = transverse(origin, lat, lon)
    return x, -y


PROJECTIONS: tuple[Projection, ...] = (mercator, transverse, transverse_south)


def origin_of_plan(lat: float, lon: float, x: float, y: float) -> Origin:
    """The map's origin, from one point of a leaderboard plan: its latitude and longitude, its x and y."""
    north = lat
    for _ in range(8):  # the stretch at the origin depends on the origin a little; converges at once
        reach = EARTH_RADIUS_M * math.cos(math.radians(north))
        stretched = _stretched(lat) + y / reach
        north = math.degrees(2.0 * math.atan(math.exp(stretched)) - 0.5 * math.pi)
    reach = EARTH_RADIUS_M * math.cos(math.radians(north))
    return north, lon - math.degrees(x / reach)


def _stretched(lat: float) -> float:
    return math.log(math.tan(0.25 * math.pi + 0.5 * math.radians(lat)))
