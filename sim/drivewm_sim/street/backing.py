"""Of two vehicles in each other's way for long, one backs out; who is locked all the same is towed away.

Without that two who bar each other's way, and all behind them, would stand for ever.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.street.contacts import boxes_touch, disc_touches_box
from drivewm_sim.street.following import LEVEL_M
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.state import Controller, Pedestrians, Vehicles

BLOCKED_S = 30.0  # of standing, both, after which they are locked
TOWED_S = 60.0  # of standing inside a junction
TOW_TICKS = 200
AHEAD_M = 4.0  # how near what blocks is to the nose
ROOM_M = 1.5  # behind, with which one begins ...
LEFT_M = 0.4  # ... and which is left at the end
PERSON_M = 1.5  # further behind, where nobody must be on foot
_BESIDE_M = 0.3
_REACTIVE = int(Controller.REACTIVE)


@inlined
def _touches_strip(i: int, o: int, begin: float, end: float, cars: Vehicles) -> bool:
    """Whether the body of o stands on the strip, of i's width, from begin to end (m before i's centre)."""
    middle = 0.5 * (begin + end)
    return boxes_touch(
        cars.x[i] + middle * math.cos(cars.yaw[i]), cars.y[i] + middle * math.sin(cars.yaw[i]), cars.yaw[i],
        end - begin, cars.width[i] + 2.0 * _BESIDE_M,
        cars.x[o], cars.y[o], cars.yaw[o], cars.length[o], cars.width[o],
    )  # fmt: skip


@inlined
def _may_back(i: int, room: float, cars: Vehicles, people: Pedestrians) -> bool:
    """Whether nobody, in a vehicle or on foot, is within `room` metres behind i."""
    half = 0.5 * cars.length[i]
    for o in range(len(cars.uid)):
        near = abs(cars.x[o] - cars.x[i]) < 25.0 and abs(cars.y[o] - cars.y[i]) < 25.0
        near = near and o != i and abs(cars.z[o] - cars.z[i]) < LEVEL_M
        if near and _touches_strip(i, o, -half - room, -half, cars):
            return False
    middle = half + 0.5 * (room + PERSON_M)
    x, y = cars.x[i] - middle * math.cos(cars.yaw[i]), cars.y[i] - middle * math.sin(cars.yaw[i])
    for p in range(len(people.uid)):
        if disc_touches_box(people.x[p], people.y[p], 0.5, x, y, cars.yaw[i], room + PERSON_M, cars.width[i]):
            return False
    return True


@kernel
def backs_out(i: int, cars: Vehicles, people: Pedestrians) -> bool:
    """Whether i, which has stood for long, drives back now, so that another one that it locks can move.

    Of two that can, the later uid does.
    """
    half = 0.5 * cars.length[i]
    room = LEFT_M if cars.speed[i] < -0.05 else ROOM_M
    for o in range(len(cars.uid)):
        dx, dy = cars.x[o] - cars.x[i], cars.y[o] - cars.y[i]
        locked = cars.stood[i] > BLOCKED_S and cars.stood[o] > BLOCKED_S and o != i
        if not locked or abs(dx) + abs(dy) > 20.0 or abs(cars.z[o] - cars.z[i]) > LEVEL_M:
            continue
        if cars.speed[o] < -0.05 or dx * math.cos(cars.yaw[i]) + dy * math.sin(cars.yaw[i]) < 0.0:
            continue  # it makes room already; or is behind
        if not _touches_strip(i, o, half, half + AHEAD_M, cars):
            continue
        if not _touches_strip(o, i, 0.5 * cars.length[o], 0.5 * cars.length[o] + AHEAD_M, cars):
            continue  # that one is free to go
        if cars.uid[o] > cars.uid[i] and _may_back(o, ROOM_M, cars, people):
            continue
        if _may_back(i, room, cars, people):
            return True
    return False


@kernel
def towed(cars: Vehicles, junction: Int[ndarray, "L"], tick: int) -> Bool[ndarray, "V"]:
    """Who has stood inside a junction for so long that it will not get out by itself.

    Every 20 s the one in each junction that stands longest, as that may free the others. junction: that of
    each lane, as in LaneGraph.
    """
    out = np.zeros(len(cars), np.bool_)
    if tick % TOW_TICKS != 0:
        return out
    for i in range(len(cars)):
        j = junction[cars.lane[i]]
        if j < 0 or cars.stood[i] < TOWED_S or cars.controller[i] != _REACTIVE:
            continue
        first = True
        for o in range(len(cars)):
            other = o != i and junction[cars.lane[o]] == j and cars.controller[o] == _REACTIVE
            if other and (cars.stood[o] > cars.stood[i] or (cars.stood[o] == cars.stood[i] and o < i)):
                first = False
        out[i] = first
    return out
