"""The street as arrays of records, one row an agent in uid order, and nothing outside it.

Copying a `World` is a snapshot: random numbers are counter-based, so there is no generator state. Columns
are `cars.speed[i]` in kernels and `cars["speed"]` outside; small memories are nested (`cars.seen_uid[i, k]`).
A record array is one kernel argument: passing fifty separate columns to every small kernel makes compilation
and calls nearly twice as slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Vehicles: TypeAlias = np.recarray
"""V rows of VEHICLE, as kernels see them."""
Pedestrians: TypeAlias = np.recarray
"""P rows of PEDESTRIAN, as kernels see them."""

PATH = 8
"""Lanes that a driver has chosen ahead of the present one."""
WAY = 32
"""Strips that a pedestrian's way holds at most."""
MEMORY = 8
"""Others that one agent keeps an eye on at a time."""
PAST = 16
"""Decisions (0.1 s) for which an agent's speed and acceleration are remembered: reactions come late."""
NOBODY = -1


class Model(IntEnum):
    """What drives."""

    CAR = 0
    VAN = 1
    TRUCK = 2
    BUS = 3
    BICYCLE = 4


class Controller(IntEnum):
    """Who moves an agent."""

    REACTIVE = 0  # looks, decides
    SCRIPTED = 1  # exact path and speed: a test dummy or a director's prop
    EXTERNAL = 2  # commands from outside: the ego


class Age(IntEnum):
    ADULT = 0
    CHILD = 1
    ELDERLY = 2


class Cause(IntEnum):
    """Why a contact, or a hard brake, came about."""

    NONE = 0
    OCCLUDED = 1  # the other was hidden until too late
    DELAY = 2  # seen, but the reaction came too late
    DISTRACTED = 3  # did not look
    SCRIPTED = 4  # one of the two was moved by a script
    MISJUDGED = 5  # saw the other and took the risk (a gap too small, a red light)


_I, _F, _B = np.int64, np.float64, np.bool_

_BODY: list[tuple[Any, ...]] = [
    ("uid", _I),  # unique within an episode, never reused
    ("controller", _I),  # Controller
    ("script", _I),  # row of the script that moves it; -1
    ("x", _F),  # box centre, scene frame (m)
    ("y", _F),
    ("z", _F),  # of the ground there
    ("yaw", _F),
    ("length", _F),
    ("width", _F),
    ("height", _F),
    ("intent", _I),  # simulator.Intent
    ("seen_uid", _I, (MEMORY,)),  # whom of the others in conflict it keeps an eye on; -1: free
    ("seen_first", _I, (MEMORY,)),  # tick at which it began to see them without a break ...
    ("seen_last", _I, (MEMORY,)),  # ... and at which it last saw them
    ("touched", _I),  # uid in contact, -1: nobody
    ("director", _I),  # row of the director that plays with it, -1
]

VEHICLE = np.dtype(
    [
        *_BODY,
        ("model", _I),  # Model
        ("lane", _I),  # row in LaneGraph
        ("s", _F),  # of the box centre along the lane (m)
        ("offset", _F),  # to the left of the lane's centre (m)
        ("path", _I, (PATH,)),  # lanes that follow, nearest first; -1: not chosen or the end of the map
        ("turns", _I),  # lanes chosen so far: the key of the next choice's random numbers
        ("change_to", _I),  # lane next to it that it moves into; -1
        ("speed", _F),  # m/s, forward, of the box centre
        ("acceleration", _F),  # m/s^2, what the vehicle does
        ("curvature", _F),  # 1/m of the path of the box centre, what the steering gives
        ("command", _F),  # m/s^2, what its driver wants
        ("steer", _F),  # 1/m, what its driver wants
        ("desired", _F),  # factor on the legal speed
        ("headway", _F),  # s
        ("reaction", _F),  # s from seeing to acting
        ("yields", _F),  # probability of giving way to one who waits at a zebra
        ("comfort", _F),  # m/s^2 of braking that this driver likes
        ("distracted", _F),  # share of the time in which this driver does not look
        ("waited", _F),  # s of standing for others at the present place
        ("stood", _F),  # s since it last moved properly
        ("past_speed", _F, (PAST,)),  # ring over ticks, [tick % PAST]
        ("past_acceleration", _F, (PAST,)),
        ("leader", _I),  # uid of the vehicle it follows, -1
        ("reserved", _I),  # junction that it has decided to pass; -1: none; -2: could not leave the next one
        ("yields_to", _I),  # uid of whom it gives way to, -1
        ("cause", _I),  # Cause of its present hard braking
        ("stop_edge", _I),  # crossing that it stands before, -1
        ("decided", _I),  # tick at which it decided to pass the junction in `reserved`
        ("came_from", _I),  # lane before the present one: the tail may still be there; -1
        ("aim", _F),  # m to the left of the lane's centre, where its driver steers to
        ("wary", _F),  # m/s at which its driver dares pass kerbs that cannot be seen
    ],
    align=True,
)

PEDESTRIAN = np.dtype(
    [
        *_BODY,
        ("leader", _I),  # uid of the group's first member, own uid when alone
        ("age", _I),  # Age
        ("vx", _F),
        ("vy", _F),
        ("edge", _I),  # strip of WalkGraph that it is on
        ("s", _F),  # along the strip, from its tail (m)
        ("d", _F),  # to the left of the strip
        ("forward", _B),  # walks from tail to head
        ("way", _I, (WAY,)),  # strips that follow, nearest first; -1: none
        ("goal_s", _F),  # where the walk ends, on the last strip ...
        ("goal_d", _F),
        ("crossing", _I),  # strip over lanes that it approaches, waits at or walks on; -1
        (
            "along",
            _F,
        ),  # metres along that strip from its tail (below kerb_in or above kerb_out: not yet on the road)
        ("crossing_forward", _B),  # over it from tail to head
        ("side", _F),  # lateral preference on strips (m, right of the walking direction negative)
        ("free_speed", _F),  # m/s
        ("pace", _F),  # present factor on the free speed
        ("critical_gap", _F),  # s that it wants between itself and an arriving vehicle
        ("look_time", _F),  # s spent looking before it steps out
        ("look", _F),  # probability of looking at all at one crossing
        ("compliance", _F),  # 0 crosses anywhere and on red, 1 never
        ("hurry", _F),  # 0 strolling, 1 running for the bus
        ("hesitation", _F),  # probability of stopping short when a vehicle comes close
        ("distracted", _B),  # looks at a device
        ("timer", _F),  # s in this intent
        ("waited", _F),  # s at this kerb in all
        ("halt", _F),  # s left to stand still
        ("trips", _I),  # decisions at crossings so far: key of random numbers
        ("turn_back_at", _F),  # fraction of the way across; above 1: never
        ("gait_x", _F),  # m/s^2, correlated noise
        ("gait_y", _F),
        ("aside", _F),  # where on the present strip it wants to walk (m, left of the strip)
        ("obstacle", _I, (2,)),  # rows of the nearest boxes in the way; -1
        ("lag", _F),  # m by which it is behind its leader; a leader: by which the last of its group is
        ("stalled", _F),  # s without getting on, though it wants to
        ("kerb", _F),  # m to the near kerb of `crossing`; negative on the road, infinite without one
        ("want_x", _F),  # m/s, the velocity that it would have if it were alone
        ("want_y", _F),
        ("ahead_x", _F),  # unit vector along the present strip, tail to head
        ("ahead_y", _F),
        ("room", _F),  # m from the centre of the present strip that it may be; infinite where that is open
        ("stop_s", _F),  # s on the present strip that it does not pass, waiting; infinite: none
        ("stay", _F),  # s that it stands at its goal before it leaves the street
        ("cause", _I),  # Cause, should it come to a contact
    ],
    align=True,
)


class Spawners(NamedTuple):
    """Arrivals. Axis: S sources: the entries of the town, then the walks, then what directors add."""

    due: Float[ndarray, "S"]  # s, time of the next arrival
    arrived: Int[ndarray, "S"]  # arrivals so far: the key of its random numbers


class World(NamedTuple):
    """Everything on the street that changes."""

    tick: int  # decisions since the start of the warm-up
    vehicles: ndarray  # V rows of VEHICLE in uid order
    pedestrians: ndarray  # P rows of PEDESTRIAN in uid order
    spawners: Spawners
    held: Int[ndarray, "J"]  # uid of the vehicle that holds a junction's conflict area, -1 (see drivers)


def uid_of(source: int, arrival: int, sources: int) -> int:
    """The uid of a source's n-th arrival: unique, and independent of what other sources do."""
    return 1 + source + arrival * sources


def empty(record: np.dtype) -> ndarray:
    """No agents."""
    return np.zeros(0, record)


def insert(rows: ndarray, agent: Mapping[str, Any]) -> ndarray:
    """One agent more, at its place in uid order; memories are free, other fields not named are zero."""
    unknown = agent.keys() - set(rows.dtype.names or ())
    if unknown:
        raise ValueError(f"no such fields: {', '.join(sorted(unknown))}")
    at = int(np.searchsorted(rows["uid"], agent["uid"]))
    if at < len(rows) and rows["uid"][at] == agent["uid"]:
        raise ValueError(f"uid {agent['uid']} is there already")
    out = np.zeros(len(rows) + 1, rows.dtype)
    out[:at], out[at + 1 :] = rows[:at], rows[at:]
    for name in {"seen_uid", "touched", "script", "director", "way", "obstacle"} & set(
        rows.dtype.names or ()
    ):
        out[name][at] = NOBODY
    for name, value in agent.items():
        out[name][at] = value
    return out


def copy(world: World) -> World:
    """An independent copy, bit by bit."""
    return World(
        world.tick,
        world.vehicles.copy(),
        world.pedestrians.copy(),
        Spawners(*(column.copy() for column in world.spawners)),
        world.held.copy(),
    )
