"""Drivers and people on foot: whom a driver sees, gives way to, and must not hit.

Yielding to those who wait falls with the approach speed, 75 % at 20 mph to 17 % at 37 mph (TRB 14-2349).
"""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_point
from drivewm_sim.randomness import YIELD, uniform
from drivewm_sim.roads.signals import aspect
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street.ahead import STEP_M, Ahead, bounds, place
from drivewm_sim.street.following import EMERGENCY, HARD, LEVEL_M, idm, pull, stop_at, swing
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.seeing import clear, note, seen_for
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import Age, Controller, Model, Pedestrians, Vehicles

LOOK_M = 60.0  # to whom drivers pay attention, from the bumper to the crossing
NEAR_M = 8.0  # what comes this near is seen even by those who look elsewhere
BESIDE_PERSON_M = 0.7  # room left beside the body ...
SLIM_PERSON_M = 0.45  # ... and beside a nose that swings out of a bend
STOP_BEFORE_M = 1.5  # a driver stops about this, and another half metre, before a crossing
PATIENCE_S = 8.0  # of standing for people who only wait
COURTESY = 0.5  # of those who give way at a zebra, the share who do where nothing is marked
AT_KERB_M = 1.5  # those who approach count as waiting from here on
EASES_OFF = 1.0  # m/s^2 of slowing down as soon as a driver means to stop, before braking has to begin ...
EASES_MORE = 1.5  # ... for people on the road already ...
EASED_MPS = 2.5  # ... while faster than this
WALKING_PACE, WALKING_M = 2.4, 4.0  # m/s at which drivers come to people on open ground, from so far
CHILDREN = 1.5  # times as likely as others to be given way
WARY, WARY_M = 0.55, 35.0  # share of the usual speed at which drivers come to people at a kerb
UNMARKED = 0.03  # of those who give way at a zebra, the share who do in shared space, where nobody has to
AT_ONCE_S = 0.35  # ... where drivers only brake for who is about to walk into their way
NOTICE_M = 5.0  # before the kerb, from where on they are watched
_ZEBRA, _SIGNAL, _MIDBLOCK = int(EdgeKind.ZEBRA), int(EdgeKind.SIGNAL), int(EdgeKind.MIDBLOCK)
_SHARED, _PLAZA = int(EdgeKind.SHARED), int(EdgeKind.PLAZA)
_WAITING, _CROSSING, _RUNNING = int(Intent.WAITING), int(Intent.CROSSING), int(Intent.RUNNING)
_PAUSING, _HESITATING = int(Intent.PAUSING), int(Intent.HESITATING)
_TURNING, _APPROACHING = int(Intent.TURNING_BACK), int(Intent.APPROACHING)
_SCRIPTED, _CHILD = int(Controller.SCRIPTED), int(Age.CHILD)
_CAR, _BICYCLE = int(Model.CAR), int(Model.BICYCLE)


@kernel
def eye_height(model: int) -> float:
    """m above the ground."""
    return 1.2 if model == _CAR else (1.6 if model == _BICYCLE else 2.0)


@kernel
def yield_probability(yields: float, speed: float) -> float:
    """Probability of giving way to one who waits at a zebra, for a driver who comes at `speed` (m/s).

    A line through 75 % at 8.9 m/s and 17 % at 16.5 m/s, scaled by the driver's inclination (mean .75).
    """
    return min(max(0.75 - 0.0763 * (speed - 8.94), 0.05), 0.95) * yields / 0.75


@inlined
def _watch(
    i: int, p: int, near: float, looking: bool, cars: Vehicles, people: Pedestrians, occ: Occupancy,
    street: Street, grid: StaticGrid, tick: int,
) -> None:  # fmt: skip
    """Looks at person p, `near` metres away: every second decision, if at all."""
    if (tick + cars.uid[i] + people.uid[p]) % 2 != 0 or (not looking and near > NEAR_M):
        return
    front = 0.15 * cars.length[i]
    visible = clear(
        cars.x[i] + front * math.cos(cars.yaw[i]), cars.y[i] + front * math.sin(cars.yaw[i]),
        cars.z[i] + eye_height(cars.model[i]),
        people.x[p], people.y[p], people.z[p] + 0.7 * people.height[p],
        cars.uid[i], -1, cars, occ, street, grid,
    )  # fmt: skip
    note(cars, i, people.uid[p], tick, visible)


@inlined
def _band(i: int, u: float, half: float, cars: Vehicles, view: Ahead) -> tuple[float, float]:
    """Middle (m to the left of the way) and half the width of what i needs u metres ahead.

    `half` metres to either side, and more where its nose swings out.
    """
    slim, out = 0.5 * cars.width[i] + SLIM_PERSON_M, swing(i, u, cars, view)
    left, right = max(half, slim - out), max(half, slim + out)
    return 0.5 * (left - right), 0.5 * (left + right)


@kernel
def time_inside(d: float, across: float, half: float) -> tuple[float, float]:
    """When somebody at d, moving at `across`, enters and leaves the band |d| < half; (inf, inf) if never."""
    if abs(across) < 0.05:
        return (0.0, math.inf) if abs(d) < half else (math.inf, math.inf)
    enter, leave = (-half - d) / across, (half - d) / across
    if enter > leave:
        enter, leave = leave, enter
    return (math.inf, math.inf) if leave <= 0.0 else (max(enter, 0.0), leave)


@inlined
def _expected_across(p: int, e: int, yaw: float, people: Pedestrians, street: Street) -> float:
    """Speed to the left of the way at which a person on strip e crosses it, as a driver expects it."""
    speed = people.vy[p] * math.cos(yaw) - people.vx[p] * math.sin(yaw)
    intent = people.intent[p]
    if intent in (_PAUSING, _HESITATING):
        return 0.0
    if intent != _CROSSING and intent != _RUNNING:
        return speed
    walk = line_point(street.walks.lines, e, people.along[p], 0.0)[2]
    way = 1.0 if math.sin(walk - yaw) > 0.0 else -1.0
    if not people.crossing_forward[p]:
        way = -way
    return way * max(way * speed, 1.0)  # one who has just set off will soon walk


@inlined
def _on_the_road(p: int, e: int, people: Pedestrians, street: Street) -> bool:
    """Whether a person is on the carriageway, or about to be."""
    intent = people.intent[p]
    if intent in (_CROSSING, _RUNNING, _TURNING, _PAUSING):
        return True
    return street.walks.kerb_in[e] < people.along[p] < street.walks.kerb_out[e]


@inlined
def _before_the_kerb(p: int, e: int, people: Pedestrians, street: Street) -> float:
    """Metres that a person has to go to the edge of the carriageway."""
    if people.crossing_forward[p]:
        return street.walks.kerb_in[e] - people.along[p]
    return people.along[p] - street.walks.kerb_out[e]


@inlined
def _conflicts(
    i: int, p: int, e: int, across: float, u: float, d: float, cars: Vehicles, street: Street, view: Ahead
) -> bool:
    """Whether a person on strip e is in, or comes into, the way of i at the time i is there."""
    marked = street.walks.kind[e] == _ZEBRA or street.walks.kind[e] == _SIGNAL
    patient = cars.waited[i] < 15.0
    pace = max(cars.speed[i], 2.0 if patient else 4.0)
    after = (1.1 if patient else 0.8) if marked else 0.8
    beside = BESIDE_PERSON_M
    if street.walks.kind[e] == _SHARED:
        after, beside = 0.3, 0.6 * BESIDE_PERSON_M  # nobody has to give way, and they pass closely
    middle, half = _band(i, u, 0.5 * cars.width[i] + beside, cars, view)
    enter, leave = time_inside(d - middle, across, half)
    if street.walks.kind[e] == _SHARED and enter > AT_ONCE_S:
        return False
    front = 0.5 * cars.length[i] + 0.5
    return enter < max(u + front, 0.0) / pace + after and leave > max(u - front, 0.0) / pace - 0.3


@inlined
def _gives_way(i: int, p: int, e: int, line: float, cars: Vehicles, people: Pedestrians, street: Street,
               seed: int, tick: int) -> bool:  # fmt: skip
    """Whether i stops for p, who waits (or stops short): by inclination, and only where it is comfortable.

    The number drawn for the pair stays, and slowing down only raises the probability: a decision is kept.
    """
    kind, speed = street.walks.kind[e], cars.speed[i]
    share = 1.0
    if kind == _MIDBLOCK:
        share = COURTESY
    elif kind == _SHARED:
        share = UNMARKED
    elif kind == _SIGNAL:
        group = street.walks.signal[e]
        if group >= 0 and aspect(street.signals, group, 0.1 * tick)[0] != 2:
            return False
    limit = HARD if cars.yields_to[i] == people.uid[p] else 1.6 * cars.comfort[i]
    if line < 0.3 or cars.waited[i] > PATIENCE_S or speed * speed > 2.0 * limit * line:
        return False
    if line > max(4.0 * speed, 12.0):
        return False  # too early to decide
    if people.age[p] == _CHILD:
        share *= CHILDREN
    willing = yield_probability(cars.yields[i], speed) * min(share, 1.0)
    return uniform(seed, cars.uid[i], YIELD, people.uid[p], 0) < willing


@inlined
def at_crossings(
    i: int, looking: bool, desired: float, cars: Vehicles, people: Pedestrians, occ: Occupancy,
    street: Street, grid: StaticGrid, view: Ahead, seed: int, tick: int,
) -> tuple[float, int, int]:  # fmt: skip
    """Acceleration for people at crossings ahead, before which crossing, for whom; 1e6, -1, -1: none."""
    lanes, wanted, edge, who = street.lanes, 1e6, -1, -1
    front, reach = 0.5 * cars.length[i], STEP_M * (view.counts[1] - 1)
    for k in range(view.counts[0]):
        lane = view.lane[k]
        for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
            e = lanes.crossing[c]
            begins, ends = view.at[k] + lanes.crossing_in[c], view.at[k] + lanes.crossing_out[c]
            if ends < -front or begins - front > min(reach, LOOK_M):
                continue
            line, shared = begins - STOP_BEFORE_M - front, street.walks.kind[e] == _SHARED
            for m in range(occ.crossing_first[e], occ.crossing_first[e + 1]):
                p = occ.crossing_rows[m]
                on_road = _on_the_road(p, e, people, street)
                kerb = _before_the_kerb(p, e, people, street)
                if abs(people.z[p] - cars.z[i]) > LEVEL_M or (not on_road and kerb > NOTICE_M):
                    continue
                u, d, yaw = place(people.x[p], people.y[p], view)
                _watch(i, p, u - front, looking, cars, people, occ, street, grid, tick)
                known = seen_for(cars, i, people.uid[p], tick)
                if known < (0.2 if cars.stop_edge[i] == e else cars.reaction[i]):
                    continue
                across = _expected_across(p, e, yaw, people, street)
                if on_road and _conflicts(i, p, e, across, u, d, cars, street, view):
                    # Before the crossing while that is possible, else before the person.
                    if line > -0.3 and not shared:
                        give = stop_at(i, begins - STOP_BEFORE_M, desired, cars)
                        needed = cars.speed[i] ** 2 / (2.0 * max(line, 0.3))
                    else:
                        give, needed = _before_person(i, u, desired, cars)
                    if needed > HARD:
                        give = -min(1.3 * needed, EMERGENCY)
                elif (
                    (people.intent[p] == _WAITING or people.intent[p] == _HESITATING
                     or (people.intent[p] == _APPROACHING and kerb < AT_KERB_M))
                    and _gives_way(i, p, e, line, cars, people, street, seed, tick)
                ):  # fmt: skip
                    give = stop_at(i, begins - STOP_BEFORE_M, desired, cars)
                else:
                    comes = people.intent[p] == _WAITING or people.intent[p] == _APPROACHING
                    unlit = street.walks.signal[e] < 0
                    if comes and unlit and 0.0 < line < WARY_M and cars.speed[i] > WARY * desired:
                        wanted = min(wanted, -EASES_OFF)
                    continue
                if line > 0.0 and cars.speed[i] > EASED_MPS and not shared:
                    give = min(give, -EASES_MORE if on_road else -EASES_OFF)
                if give < wanted:
                    wanted, edge, who = give, e, people.uid[p]
    return wanted, edge, who


@kernel
def _before_person(i: int, u: float, desired: float, cars: Vehicles) -> tuple[float, float]:
    """Acceleration that stops a metre before somebody on the way, and the braking that this takes."""
    gap, speed = u - 0.5 * cars.length[i] - 0.8, cars.speed[i]
    if gap < -1.0 - 0.3 * cars.length[i]:  # well beside the body: driving on does not hit them
        return 1e6, 0.0
    room = max(gap, 0.1)
    if gap < 0.2 and speed < 0.5:
        return -1.0, 0.0
    give = idm(speed, desired, room, speed, 0.2, 0.5, pull(cars.model[i]), cars.comfort[i])
    return give, speed * speed / (2.0 * room)


@inlined
def in_the_way(
    i: int, looking: bool, reach: float, desired: float, cars: Vehicles, people: Pedestrians, occ: Occupancy,
    street: Street, grid: StaticGrid, view: Ahead, tick: int,
) -> tuple[float, int]:  # fmt: skip
    """Acceleration for anybody on foot on the way, wherever they belong, and for whom; 1e6, -1 if nobody.

    Those who keep to a sidewalk do not count; those who left it, and who follow a script, are expected to go
    on as they do.
    """
    low_x, high_x, low_y, high_y = bounds(reach, view)
    walks = street.walks
    pad, front, half = 4.0, 0.5 * cars.length[i], 0.5 * cars.width[i] + 0.35
    wanted, who = 1e6, -1
    for cx in range(math.floor((low_x - pad) / CELL_M), math.floor((high_x + pad) / CELL_M) + 1):
        for cy in range(math.floor((low_y - pad) / CELL_M), math.floor((high_y + pad) / CELL_M) + 1):
            k = bucket_of_cell(cx, cy)
            for m in range(occ.person_first[k], occ.person_first[k + 1]):
                p = occ.person_rows[m]
                x, y = people.x[p], people.y[p]
                if x < low_x - pad or x > high_x + pad or y < low_y - pad or y > high_y + pad:
                    continue
                scripted, e = people.controller[p] == _SCRIPTED, people.edge[p]
                strays = abs(people.d[p]) > 0.5 * walks.width[e] + 0.5
                at_home = not scripted and not strays and walks.kind[e] < _ZEBRA
                if at_home and abs(x - cars.x[i]) + abs(y - cars.y[i]) > 12.0:
                    continue
                u, d, yaw = place(x, y, view)
                if u < 0.0 or u > reach or abs(d) > half + pad or abs(people.z[p] - cars.z[i]) > LEVEL_M:
                    continue
                open_ground = walks.kind[e] == _PLAZA or walks.kind[e] == _SHARED
                if open_ground and u < front + WALKING_M and cars.speed[i] > WALKING_PACE:
                    wanted = min(wanted, -EASES_OFF)
                middle, wide = _band(i, u, half, cars, view)
                if abs(d - middle) > wide and not scripted and not strays:
                    continue
                across = people.vy[p] * math.cos(yaw) - people.vx[p] * math.sin(yaw)
                enter, leave = time_inside(d - middle, across, wide)
                pace = max(cars.speed[i], 2.0)
                if enter > (u + front) / pace + 0.6 or leave < max(u - front, 0.0) / pace - 0.2:
                    continue
                _watch(i, p, u - front, looking, cars, people, occ, street, grid, tick)
                if seen_for(cars, i, people.uid[p], tick) < cars.reaction[i]:
                    continue
                give, needed = _before_person(i, u, desired, cars)
                if needed > HARD:
                    give = -min(1.3 * needed, EMERGENCY)
                if give < wanted:
                    wanted, who = give, people.uid[p]
    return wanted, who


@inlined
def wary_speed(
    i: int, desired: float, cars: Vehicles, occ: Occupancy, street: Street, grid: StaticGrid, view: Ahead
) -> float:
    """m/s at which a driver passes the next crossing when the kerb there cannot be seen; 99 when it can."""
    lanes, front = street.lanes, 0.5 * cars.length[i]
    for k in range(view.counts[0]):
        lane = view.lane[k]
        for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
            e, gap = lanes.crossing[c], view.at[k] + lanes.crossing_in[c] - front
            if gap < 3.0 or gap > 35.0 or street.walks.kind[e] > _MIDBLOCK:
                continue
            for far in range(2):
                at = street.walks.kerb_out[e] + 0.4 if far else street.walks.kerb_in[e] - 0.4
                x, y, _ = line_point(street.walks.lines, e, at, 0.0)
                if not clear(
                    cars.x[i], cars.y[i], cars.z[i] + eye_height(cars.model[i]), x, y, cars.z[i] + 1.0,
                    cars.uid[i], -1, cars, occ, street, grid,
                ):  # fmt: skip
                    return max(0.75 * desired, 6.0)
            return 99.0
    return 99.0
