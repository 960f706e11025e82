"""Contacts between bodies: who touches whom, and why it came to that.

People are discs, vehicles are oriented boxes. A contact is an event of the street like any other: people make
mistakes here. Its cause is judged from what both had seen, not from what was true.
"""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.simulator import Intent
from drivewm_sim.street.inlining import borrowed, inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.state import NOBODY, PAST, Cause, Controller, Pedestrians, Vehicles
from drivewm_sim.street.vectors import beyond

BODY_RADIUS_M = 0.2  # of the torso: arms and bags give way
LEVEL_M = 2.5  # bodies further apart in height do not meet
LONGEST_M = 13.0  # no vehicle is longer
BRAKING_MPS2 = 6.0  # what a driver in need gets out of the brakes
WARNING_S = 1.5  # a pedestrian who has seen a vehicle for this long could have stepped aside

_SCRIPTED, _EXTERNAL = int(Controller.SCRIPTED), int(Controller.EXTERNAL)
_BRAKING = int(Intent.BRAKING)
_NONE, _OCCLUDED, _DELAY = int(Cause.NONE), int(Cause.OCCLUDED), int(Cause.DELAY)
_DISTRACTED, _BY_SCRIPT, _MISJUDGED = int(Cause.DISTRACTED), int(Cause.SCRIPTED), int(Cause.MISJUDGED)


@kernel
def disc_touches_box(
    x: float, y: float, radius: float, bx: float, by: float, yaw: float, length: float, width: float
) -> bool:
    """Whether a disc and an oriented box overlap."""
    dx, dy = x - bx, y - by
    along = abs(dx * math.cos(yaw) + dy * math.sin(yaw)) - 0.5 * length
    across = abs(-dx * math.sin(yaw) + dy * math.cos(yaw)) - 0.5 * width
    along, across = max(along, 0.0), max(across, 0.0)
    return along * along + across * across < radius * radius


@kernel
def boxes_touch(
    ax: float, ay: float, ayaw: float, al: float, aw: float,
    bx: float, by: float, byaw: float, bl: float, bw: float,
) -> bool:  # fmt: skip
    """Whether two oriented boxes overlap (separating axes)."""
    dx, dy = bx - ax, by - ay
    turn = byaw - ayaw
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    ca, sa, cb, sb = math.cos(ayaw), math.sin(ayaw), math.cos(byaw), math.sin(byaw)
    return (
        abs(dx * ca + dy * sa) < 0.5 * (al + bl * c + bw * s)
        and abs(-dx * sa + dy * ca) < 0.5 * (aw + bl * s + bw * c)
        and abs(dx * cb + dy * sb) < 0.5 * (bl + al * c + aw * s)
        and abs(-dx * sb + dy * cb) < 0.5 * (bw + al * s + aw * c)
    )


@inlined
def _memory(seen_uid, seen_first, row: int, uid: int, tick: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds for which a row has kept an eye on somebody; -1 when it does not know of them."""
    for k in range(seen_uid.shape[1]):
        if seen_uid[row, k] == uid:
            return 0.1 * (tick - seen_first[row, k])
    return -1.0


@inlined
def _to_stop(i: int, seen: float, cars: Vehicles, tick: int) -> float:
    """Seconds that driver i, who saw the other `seen` seconds ago, needed to stop from its speed of then.

    Whoever brakes in vain is slow in the end. Speeds further back than `PAST` decisions are not known.
    """
    fastest = cars.speed[i]
    for k in range(min(round(10.0 * seen) + 1, PAST)):
        fastest = max(fastest, cars.past_speed[i, (tick - k) % PAST])
    return cars.reaction[i] + fastest / BRAKING_MPS2


@inlined
def cause_of(i: int, p: int, cars: Vehicles, people: Pedestrians, tick: int) -> int:
    """Why vehicle i and pedestrian p met; MISJUDGED: both saw the other in time."""
    if cars.controller[i] == _SCRIPTED or people.controller[p] == _SCRIPTED:
        return _BY_SCRIPT
    noticed = _memory(people.seen_uid, people.seen_first, p, cars.uid[i], tick)
    if cars.controller[i] == _EXTERNAL:
        return _MISJUDGED if noticed >= WARNING_S else _DISTRACTED if people.distracted[p] else _OCCLUDED
    seen = _memory(cars.seen_uid, cars.seen_first, i, people.uid[p], tick)
    if seen < 0.0:
        return _DISTRACTED if cars.distracted[i] > 0.3 else _OCCLUDED
    if seen < _to_stop(i, seen, cars, tick):
        return _DISTRACTED if people.distracted[p] and noticed < WARNING_S else _DELAY
    return _MISJUDGED if noticed >= WARNING_S else _DISTRACTED


@kernel
def touch(cars: Vehicles, people: Pedestrians, occ: Occupancy, tick: int) -> int:
    """Writes `touched` and `cause` of everybody (uid of one in contact, or -1); gives the number of pairs.

    `occ` may be a tenth of a second old: cells are searched with that much to spare.
    """
    cars, people, occ = borrowed(cars), borrowed(people), borrowed(occ)
    pairs = 0
    cars.touched[:] = NOBODY
    people.touched[:] = NOBODY
    for i in range(len(cars.uid)):
        reach = 0.5 * cars.length[i] + 0.5 * LONGEST_M + 3.0
        first_x, last_x = math.floor((cars.x[i] - reach) / CELL_M), math.floor((cars.x[i] + reach) / CELL_M)
        first_y, last_y = math.floor((cars.y[i] - reach) / CELL_M), math.floor((cars.y[i] + reach) / CELL_M)
        for cx in range(first_x, last_x + 1):
            for cy in range(first_y, last_y + 1):
                cell = bucket_of_cell(cx, cy)
                for k in range(occ.person_first[cell], occ.person_first[cell + 1]):
                    p = occ.person_rows[k]
                    if abs(people.x[p] - cars.x[i]) < reach and abs(people.z[p] - cars.z[i]) < LEVEL_M:
                        pairs += _meet(i, p, cars, people, tick)
                for k in range(occ.car_first[cell], occ.car_first[cell + 1]):
                    j = occ.car_rows[k]
                    if j > i and abs(cars.x[j] - cars.x[i]) < reach and abs(cars.z[j] - cars.z[i]) < LEVEL_M:
                        pairs += _crash(i, j, cars, tick)
    return pairs


@inlined
def _meet(i: int, p: int, cars: Vehicles, people: Pedestrians, tick: int) -> int:
    dx, dy = people.x[p] - cars.x[i], people.y[p] - cars.y[i]
    if beyond(dx, dy, cars.length[i], cars.width[i], BODY_RADIUS_M):
        return 0
    if not disc_touches_box(
        people.x[p], people.y[p], BODY_RADIUS_M,
        cars.x[i], cars.y[i], cars.yaw[i], cars.length[i], cars.width[i],
    ):  # fmt: skip
        return 0
    cause = cause_of(i, p, cars, people, tick)
    people.touched[p], people.cause[p] = cars.uid[i], cause
    cars.touched[i], cars.cause[i] = people.uid[p], cause
    return 1


@inlined
def cause_between(i: int, j: int, cars: Vehicles, tick: int) -> int:
    """Why two vehicles met; MISJUDGED: both knew enough in time.

    Drivers keep no memory of everybody on the road, but note what they brake hard for, and why so late.
    """
    if cars.controller[i] == _SCRIPTED or cars.controller[j] == _SCRIPTED:
        return _BY_SCRIPT
    if cars.speed[j] > cars.speed[i]:
        i, j = j, i  # the faster one could have done most
    for k in (i, j):
        if cars.intent[k] == _BRAKING and cars.cause[k] != _NONE:
            return int(cars.cause[k])
    seen = _memory(cars.seen_uid, cars.seen_first, i, cars.uid[j], tick)
    if seen >= 0.0 and seen < _to_stop(i, seen, cars, tick):
        return _DELAY
    return _MISJUDGED


@inlined
def _crash(i: int, j: int, cars: Vehicles, tick: int) -> int:
    theirs = 0.5 * (cars.length[j] + cars.width[j])
    if beyond(cars.x[j] - cars.x[i], cars.y[j] - cars.y[i], cars.length[i], cars.width[i], theirs):
        return 0
    if not boxes_touch(
        cars.x[i], cars.y[i], cars.yaw[i], cars.length[i], cars.width[i],
        cars.x[j], cars.y[j], cars.yaw[j], cars.length[j], cars.width[j],
    ):  # fmt: skip
        return 0
    cause = cause_between(i, j, cars, tick)
    cars.touched[i], cars.cause[i] = cars.uid[j], cause
    cars.touched[j], cars.cause[j] = cars.uid[i], cause
    return 1
