"""The world as arrays of records, one row an agent in uid order, and nothing outside it.

Copying a `World` is a snapshot: random numbers are counter-based, so there is no generator state. Columns
are `cars.speed[i]` in kernels and `cars["speed"]` outside. A record array is one kernel argument: passing
fifty separate columns to every small kernel makes compilation and calls nearly twice as slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Vehicles: TypeAlias = np.recarray
"""V rows of VEHICLE, as kernels see them: numba reads the columns of any record array by attribute."""
Pedestrians: TypeAlias = np.recarray
"""P rows of PEDESTRIAN, as kernels see them."""

_I, _F, _B = np.int64, np.float64, np.bool_

VEHICLE = np.dtype(
    [
        ("uid", _I),
        ("external", _B),  # driven from outside: the ego
        ("route", _I),
        ("s", _F),  # of the box centre along the route (m)
        ("offset", _F),  # to the left of the route (m)
        ("x", _F),
        ("y", _F),
        ("yaw", _F),
        ("speed", _F),  # m/s, forward
        ("acceleration", _F),  # m/s^2, what the vehicle does
        ("command", _F),  # m/s^2, what its driver wants
        ("curvature", _F),  # 1/m; used for external vehicles
        ("length", _F),
        ("width", _F),
        ("desired_speed", _F),
        ("headway", _F),  # s
        ("yields", _F),  # probability of giving way to one who waits
        ("stood", _F),  # s of standing since it last drove properly
        ("intent", _I),
    ],
    align=True,
)

PEDESTRIAN = np.dtype(
    [
        ("uid", _I),
        ("leader", _I),  # uid of the group's first member, own uid when alone
        ("x", _F),
        ("y", _F),
        ("vx", _F),
        ("vy", _F),
        ("yaw", _F),
        ("free_speed", _F),  # m/s
        ("critical_gap", _F),  # s
        ("look_time", _F),  # s spent at the kerb at least
        ("distracted", _B),  # sees only what is about to arrive
        ("intent", _I),
        ("timer", _F),  # s in this intent
        ("waited", _F),  # s at the kerb in all
        ("halt", _F),  # s left to stand still on the sidewalk
        ("pace", _F),  # factor on the free speed
        ("gait_x", _F),  # m/s^2, correlated noise
        ("gait_y", _F),
        ("walk", _I),  # the path walked on; the far one once the road is crossed
        ("side", _F),  # lateral preference on the path (m, left positive)
        ("goal_s", _F),  # where the walk ends, on the last path
        ("goal_side", _F),
        ("zebra", _I),  # index; MIDBLOCK or NO_CROSSING
        ("cross_s", _F),  # where to cross, on the first path
        ("far_walk", _I),
        ("kerb_x", _F),  # near end of the way across
        ("kerb_y", _F),
        ("far_x", _F),  # far end
        ("far_y", _F),
        ("turn_back_at", _F),  # fraction of the way across; above 1: never
        ("touched", _I),  # uid of the vehicle in contact, -1: none
    ],
    align=True,
)

NO_CROSSING = -1
MIDBLOCK = -2


class Spawners(NamedTuple):
    """Arrivals. Axis: one entry a route, then one for walks."""

    due: Float[ndarray, "R+1"]  # s, time of the next arrival
    arrived: Int[ndarray, "R+1"]  # arrivals so far: the key of its random numbers


class World(NamedTuple):
    """Everything that changes."""

    tick: int  # decisions since the start of the warm-up
    next_uid: int
    vehicles: ndarray  # V rows of VEHICLE; row 0 is the ego
    pedestrians: ndarray  # P rows of PEDESTRIAN
    spawners: Spawners


def empty(record: np.dtype) -> ndarray:
    """No agents."""
    return np.zeros(0, record)


def append(rows: ndarray, agent: Mapping[str, float | int | bool]) -> ndarray:
    """One agent more, last; fields not named are zero."""
    unknown = agent.keys() - set(rows.dtype.names or ())
    if unknown:
        raise ValueError(f"no such fields: {', '.join(sorted(unknown))}")
    out = np.zeros(len(rows) + 1, rows.dtype)
    out[:-1] = rows
    for name, value in agent.items():
        out[name][-1] = value
    return out


def copy(world: World) -> World:
    """An independent copy, bit by bit."""
    return World(
        world.tick,
        world.next_uid,
        world.vehicles.copy(),
        world.pedestrians.copy(),
        Spawners(world.spawners.due.copy(), world.spawners.arrived.copy()),
    )
