"""Where in the road a driver steers to: its place in the lane, past others, into the next lane.

Lanes are changed after Kesting, Treiber and Helbing (2007, MOBIL): when one gains more than others lose.
"""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import project
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.street.following import BESIDE_CYCLIST_M, follow, free_road
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.state import PATH, Model, Vehicles

EVERY_TICKS = 10  # between thoughts of changing
GAIN = 0.4  # m/s^2 that a change must bring
POLITENESS = 0.3  # weight of what the one behind loses
SAFE = 2.0  # m/s^2, the most that the one behind may have to brake, and oneself
CLOSING_S = 2.5  # of closing in that the one behind must have room for
NO_CHANGE_M = 20.0  # before a stop line or the end of the lane, and ...
CHANGE_S = 4.0  # ... as far as one drives during a change
BACK_M = 50.0  # along short lanes, to look for who comes from behind
FROM_KERB_M = 0.8  # where cyclists ride in a lane of cars
CHANGE_MPS = 1.2  # sideways while changing: 3.5 m in 3 s
SHIFT_MPS = 0.6  # sideways within the lane
PASS_M = 35.0  # before somebody at the side, a driver begins to move over
LEAVING_M = 0.4  # from the centre of the lane: then the others have to reckon with one who changes
_UNSAFE = 1e3
_BIKING = int(LaneUse.BIKING)
_BICYCLE = int(Model.BICYCLE)


@kernel
def neighbours(
    i: int, lane: int, s: float, cars: Vehicles, occ: Occupancy, lanes: LaneGraph
) -> tuple[int, int, float]:
    """Rows of the vehicles ahead of s on a lane and behind it, there or on lanes that lead to it; -1: none.

    The last value is the metres from the one behind to s, centre to centre.
    """
    ahead, behind, back = -1, -1, math.inf
    for m in range(occ.lane_first[lane], occ.lane_first[lane + 1]):
        o = occ.lane_rows[m]
        if o == i:
            continue
        if cars.s[o] > s:
            ahead = o
            break
        behind, back = o, s - cars.s[o]
    if behind >= 0:
        return ahead, behind, back
    for m in range(lanes.prev_start[lane], lanes.prev_start[lane + 1]):
        before = lanes.prev[m]
        o, away = _last_on(i, before, s, cars, occ, lanes)
        if away < back:
            behind, back = o, away
        way = s + lanes.length[before]
        if o >= 0 or way > BACK_M:
            continue
        for n in range(lanes.prev_start[before], lanes.prev_start[before + 1]):
            o, away = _last_on(i, lanes.prev[n], way, cars, occ, lanes)
            if away < back:
                behind, back = o, away
    return ahead, behind, back


@inlined
def _last_on(
    i: int, lane: int, beyond: float, cars: Vehicles, occ: Occupancy, lanes: LaneGraph
) -> tuple[int, float]:
    """The vehicle nearest to the end of a lane, and its metres to a place `beyond` it; -1, inf: none."""
    for m in range(occ.lane_first[lane + 1] - 1, occ.lane_first[lane] - 1, -1):
        o = occ.lane_rows[m]
        if o != i:
            return o, beyond + lanes.length[lane] - cars.s[o]
    return -1, math.inf


@inlined
def _safe_gain(
    i: int, lane: int, now: float, desired: float, cars: Vehicles, occ: Occupancy, lanes: LaneGraph
) -> float:
    """m/s^2 that a change brings i, less what the one behind loses; -_UNSAFE when it is not safe."""
    s, _ = project(lanes.lines, lane, cars.x[i], cars.y[i])
    ahead, behind, back = neighbours(i, lane, s, cars, occ, lanes)
    mine = free_road(i, desired, cars)
    if ahead >= 0:
        gap = cars.s[ahead] - s - 0.5 * (cars.length[i] + cars.length[ahead])
        if gap < 2.0 + 1.5 * max(cars.speed[i] - cars.speed[ahead], 0.0):
            return -_UNSAFE
        mine = min(mine, follow(i, gap, cars.speed[ahead], desired, cars))
    loss = 0.0
    if behind >= 0:
        gap = back - 0.5 * (cars.length[i] + cars.length[behind])
        closing = max(cars.speed[behind] - cars.speed[i], 0.0)
        if gap < 2.0 + 0.3 * cars.speed[behind] + CLOSING_S * closing:
            return -_UNSAFE
        speed = max(lanes.limit[lane] * cars.desired[behind], 1.0)
        theirs = follow(behind, gap, cars.speed[i], speed, cars)
        if theirs < -SAFE:
            return -_UNSAFE
        loss = max(min(cars.acceleration[behind], 1.0) - theirs, 0.0)
    for m in range(2):  # somebody may be on the way there from the other side
        beyond = lanes.left[lane] if m == 0 else lanes.right[lane]
        if beyond >= 0 and beyond != cars.lane[i]:
            for n in range(occ.lane_first[beyond], occ.lane_first[beyond + 1]):
                o = occ.lane_rows[n]
                if cars.change_to[o] == lane and abs(cars.s[o] - s) < 20.0:
                    return -_UNSAFE
    if mine < -SAFE:
        return -_UNSAFE
    return mine - now - POLITENESS * loss


@kernel
def _leads_on(lane: int, lanes: LaneGraph) -> bool:
    """Whether any lane follows."""
    return lane >= 0 and lanes.next_start[lane + 1] > lanes.next_start[lane]


@inlined
def consider(
    i: int, now: float, desired: float, cars: Vehicles, occ: Occupancy, lanes: LaneGraph, tick: int
) -> None:
    """Begins a worthwhile change of lanes, or gives it up; `now` is the acceleration in this lane."""
    lane = cars.lane[i]
    left, right = lanes.left[lane], lanes.right[lane]
    if cars.change_to[i] >= 0:
        # Who has not left its lane yet can think better of it.
        if (
            abs(cars.offset[i]) < LEAVING_M
            and _safe_gain(i, cars.change_to[i], now, desired, cars, occ, lanes) < -0.5 * _UNSAFE
        ):
            cars.change_to[i] = -1
        return
    if (left < 0 and right < 0) or (tick + cars.uid[i]) % EVERY_TICKS != 0:
        return
    if cars.model[i] == _BICYCLE or lanes.junction[lane] >= 0 or abs(cars.offset[i]) > 0.5:
        return
    ends = cars.path[i, 0] < 0 and (_leads_on(left, lanes) or _leads_on(right, lanes))
    left_over = lanes.stop_s[lane] - cars.s[i]
    leads_on, least = lanes.length[lane] - cars.s[i], NO_CHANGE_M + CHANGE_S * cars.speed[i]
    for k in range(2):
        following = cars.path[i, k]
        if following < 0 or lanes.junction[following] >= 0 or leads_on >= least:
            break
        leads_on += lanes.length[following]
    if leads_on < least and not ends:
        return
    if lanes.stop_s[lane] < lanes.length[lane] and left_over < least:
        return
    best, target = GAIN, -1
    if ends:
        best = -50.0
    for m in range(2):
        lane_beside = left if m == 0 else right
        if lane_beside < 0 or (ends and not _leads_on(lane_beside, lanes)):
            continue
        gain = _safe_gain(i, lane_beside, now, desired, cars, occ, lanes)
        if gain > best:
            best, target = gain, lane_beside
    cars.change_to[i] = target


@inlined
def usual_place(i: int, cars: Vehicles, lanes: LaneGraph) -> float:
    """m to the left of the centre: cyclists keep to the right in a lane of cars."""
    lane = cars.lane[i]
    if cars.model[i] != _BICYCLE or lanes.use[lane] == _BIKING:
        return 0.0
    point = min(
        int(cars.s[i] / lanes.lines.step[lane]), lanes.lines.start[lane + 1] - lanes.lines.start[lane] - 1
    )
    return min(FROM_KERB_M - 0.5 * lanes.width[lanes.lines.start[lane] + max(point, 0)], 0.0)


@inlined
def _past(i: int, o: int, usual: float, cars: Vehicles, lanes: LaneGraph) -> float:
    """Where in its own lane i passes o, who rides or stands at the side; `usual` where there is no room."""
    lane = cars.lane[o]
    point = min(
        int(cars.s[o] / lanes.lines.step[lane]), lanes.lines.start[lane + 1] - lanes.lines.start[lane] - 1
    )
    half_lane = 0.5 * lanes.width[lanes.lines.start[lane] + max(point, 0)]
    room = BESIDE_CYCLIST_M + 0.15 if cars.model[o] == _BICYCLE else 0.6
    left = cars.offset[o] + 0.5 * (cars.width[o] + cars.width[i]) + room
    if left + 0.5 * cars.width[i] <= half_lane + 0.15:
        return max(left, usual)
    right = cars.offset[o] - 0.5 * (cars.width[o] + cars.width[i]) - room
    if cars.speed[o] < 0.3 and right - 0.5 * cars.width[i] >= -half_lane - 0.15:
        return min(right, usual)
    return usual


@inlined
def steer_to(i: int, cars: Vehicles, occ: Occupancy, lanes: LaneGraph) -> None:
    """Moves `aim` towards where the driver wants to be."""
    target, lane = cars.change_to[i], cars.lane[i]
    rate = CHANGE_MPS
    if target >= 0:
        _, d = project(lanes.lines, target, cars.x[i], cars.y[i])
        wish = cars.offset[i] - d
    else:
        wish = usual_place(i, cars, lanes)
        if abs(cars.offset[i] - wish) < 1.0:
            rate = SHIFT_MPS  # else it is the second half of a change
        if cars.model[i] != _BICYCLE and lanes.junction[lane] < 0:
            for m in range(occ.lane_first[lane], occ.lane_first[lane + 1]):
                o = occ.lane_rows[m]
                ahead = cars.s[o] - cars.s[i]
                slow = cars.model[o] == _BICYCLE or (cars.speed[o] < 0.3 and abs(cars.offset[o]) > 0.6)
                if o != i and slow and -0.5 * (cars.length[i] + cars.length[o]) - 1.0 < ahead < PASS_M:
                    wish = _past(i, o, wish, cars, lanes)
                    break
    step = rate * 0.1 * min(cars.speed[i] / 3.0, 1.0)
    cars.aim[i] += min(max(wish - cars.aim[i], -step), step)


@kernel
def forget_path(i: int, cars: Vehicles) -> None:
    """Empties the path: another lane leads elsewhere."""
    for k in range(PATH):
        cars.path[i, k] = -1
