"""Everybody on the street as sensors meet them: one record an agent, whatever kind it is."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from drivewm.types import Kind
from drivewm_sim.kernel import kernel
from drivewm_sim.street.state import Model, Pedestrians, Vehicles

LEVEL_M = 2.5
"""Agents further apart in height than this are on different levels of a bridge: they do not meet."""

BODY = np.dtype(
    [
        ("uid", np.int64),
        ("kind", np.int64),  # drivewm.types.Kind
        ("x", np.float64),  # box centre, scene frame (m)
        ("y", np.float64),
        ("z", np.float64),  # the box's bottom: the ground there
        ("yaw", np.float64),
        ("vx", np.float64),  # m/s
        ("vy", np.float64),
        ("length", np.float64),
        ("width", np.float64),
        ("height", np.float64),
    ],
    align=True,
)
Bodies: TypeAlias = np.recarray
"""N rows of BODY, ordered by uid, as kernels see them."""

_PEDESTRIAN, _CYCLIST, _VEHICLE = int(Kind.PEDESTRIAN), int(Kind.CYCLIST), int(Kind.VEHICLE)
_BICYCLE = int(Model.BICYCLE)


@kernel
def _place(body: Any, agent: Any) -> None:
    body.uid, body.x, body.y, body.z, body.yaw = agent.uid, agent.x, agent.y, agent.z, agent.yaw
    body.length, body.width, body.height = agent.length, agent.width, agent.height


@kernel
def _merge(cars: Vehicles, people: Pedestrians, out: Bodies) -> None:
    i = j = 0
    for n in range(len(out)):
        if j == len(people) or (i < len(cars) and cars[i].uid < people[j].uid):
            car = cars[i]
            _place(out[n], car)
            out[n].kind = _CYCLIST if car.model == _BICYCLE else _VEHICLE
            out[n].vx, out[n].vy = car.speed * math.cos(car.yaw), car.speed * math.sin(car.yaw)
            i += 1
        else:
            _place(out[n], people[j])
            out[n].kind = _PEDESTRIAN
            out[n].vx, out[n].vy = people[j].vx, people[j].vy
            j += 1


def bodies_of(vehicles: ndarray, pedestrians: ndarray) -> ndarray:
    """Rows of BODY from rows of VEHICLE and of PEDESTRIAN, all in uid order."""
    out = np.empty(len(vehicles) + len(pedestrians), BODY)
    _merge(vehicles, pedestrians, out)
    return out
