"""When a pedestrian believes that vehicles will be where it wants to walk.

Nobody is omniscient: only vehicles that are seen, or were a moment ago, count; each misjudges each vehicle in
its own way; one that is seen slowing down enough, or standing, is taken to yield (arXiv 1904.04202).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import PERCEIVE, normal
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.walk_graph import WalkGraph
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.seeing import line_is_clear, note, seen_for
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import PATH, Age, Pedestrians, Vehicles

SIGHT_M = 90.0  # along the lanes
UPSTREAM = 48  # lanes that lead to one crossing, at most
NOTICED_M = 8.0  # what comes this near is noticed even by somebody who does not look
EYES = 0.93  # of a person's height
VEHICLE_POINT_M = 1.0  # the height at which a vehicle is looked for
FRONT = 0.4  # ... and the share of its length before its middle
CLEARANCE_M = 0.4  # between the line somebody walks on and a bumper
STANDING_MPS, STARTING_MPS2 = 0.3, 0.3
YIELDING_MPS2 = 0.4  # slowing down that people notice
TRUST_S = 3.6  # who slows down is trusted from the kerb this far away at its present speed, or ...
CREEPING_MPS = 0.4  # ... when hardly moving any more
PASSED = 0.35  # share of its length that a vehicle is past the line when people set out behind it ...
BESIDE_M = 0.5  # ... if they are beside its lane, or in it by no more than this
MISJUDGED = 0.10  # spread of the perceived time of arrival, as a share: adults ...
MISJUDGED_OLD, MISJUDGED_CHILD = 0.14, 0.25  # ... elderly people and children
_CHILD, _ELDERLY = int(Age.CHILD), int(Age.ELDERLY)


class Outlook(NamedTuple):
    """What people who mean to cross read of a town, and no more. Axes: L lanes, U = UPSTREAM."""

    walks: WalkGraph
    signals: Signals
    boxes: Boxes
    grid: StaticGrid
    prev_start: Int[ndarray, "L+1"]  # as in LaneGraph
    prev: Int[ndarray, "a"]
    length: Float[ndarray, "L"]
    found: Int[ndarray, "U 2"]  # written by `upstream`: a lane that leads to a place, the entry that follows
    far: Float[ndarray, "U"]  # ... and metres from the lane's start to the place


@kernel
def expected(gap: float, length: float, speed: float, acceleration: float) -> float:
    """Seconds until a front that is `gap` metres away is expected; infinite for one who stops."""
    if gap < -length - CLEARANCE_M:
        return math.inf
    if speed < STANDING_MPS:
        if acceleration < STARTING_MPS2 or gap < 0.0:
            return math.inf  # stands: eye contact, or something to walk round
        return math.sqrt(2.0 * gap / acceleration)
    if gap <= CLEARANCE_M:
        return 0.0
    if acceleration < -YIELDING_MPS2:
        slowing = -acceleration
        if speed * speed / (2.0 * slowing) < gap:
            return math.inf
        half = 0.5 * slowing  # cautious: it may let go of the brake
        return (speed - math.sqrt(max(speed * speed - 2.0 * half * gap, 0.0))) / half
    if acceleration > STARTING_MPS2:
        return (math.sqrt(speed * speed + 2.0 * acceleration * gap) - speed) / acceleration
    return gap / speed


@inlined
def _from_the_kerb(time: float, gap: float, speed: float) -> float:
    """What somebody at the kerb, still free to wait, makes of an arrival expected in `time` s.

    Slowing down is trusted once it leaves time enough, or is nearly done.
    """
    if time == math.inf and gap > CLEARANCE_M and speed > CREEPING_MPS and gap < TRUST_S * speed:
        return gap / speed
    return time


@inlined
def upstream(lane: int, s: float, outlook: Outlook) -> int:
    """Writes the lanes that lead to a place, nearest first, to `found` and `far`; their number."""
    found, far = outlook.found, outlook.far
    found[0, 0], found[0, 1], far[0] = lane, -1, s
    count, at = 1, 0
    while at < count:
        if far[at] < SIGHT_M:
            for m in range(outlook.prev_start[found[at, 0]], outlook.prev_start[found[at, 0] + 1]):
                before = outlook.prev[m]
                if count < UPSTREAM and before != lane:
                    found[count, 0], found[count, 1] = before, at
                    far[count] = far[at] + outlook.length[before]
                    count += 1
        at += 1
    return count


@inlined
def _comes_here(cars: Vehicles, i: int, found: Int[ndarray, "U 2"], entry: int) -> bool:
    """Whether the lanes that driver i has chosen are those that lead to the place."""
    for k in range(PATH):
        following = found[entry, 1]
        if following < 0 or cars.path[i, k] < 0:
            return True
        if cars.path[i, k] != found[following, 0]:
            return False
        entry = following
    return True


@inlined
def sees(
    p: int, i: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, boxes: Boxes, grid: StaticGrid,
    tick: int,
) -> bool:  # fmt: skip
    """Whether pedestrian p knows of vehicle i: looks for it now, and remembers."""
    ahead = FRONT * cars.length[i]
    visible = line_is_clear(
        people.x[p], people.y[p], people.z[p] + EYES * people.height[p],
        cars.x[i] + ahead * math.cos(cars.yaw[i]), cars.y[i] + ahead * math.sin(cars.yaw[i]),
        cars.z[i] + VEHICLE_POINT_M, cars.uid[i], -1, cars, occ.car_first, occ.car_rows, boxes, grid,
    )  # fmt: skip
    note(people, p, cars.uid[i], tick, visible)
    return visible or seen_for(people, p, cars.uid[i], tick) >= 0.0


@inlined
def arrival(
    p: int, over: int, looks: bool, horizon: float, people: Pedestrians, cars: Vehicles, occ: Occupancy,
    outlook: Outlook, seed: int, tick: int,
) -> tuple[float, float]:  # fmt: skip
    """Perceived seconds until the next vehicle on one lane of a crossing; and of the next one that is hidden.

    `over` is a row of the crossing's lanes; vehicles expected later than `horizon` do not matter now.
    """
    walks = outlook.walks
    # Who walks left of the strip's centre meets traffic from the left earlier.
    left = people.d[p] if people.edge[p] == people.crossing[p] else 0.0
    place = walks.over_s[over] - walks.over_left[over] * left
    to_lane = walks.over_at[over] - people.along[p]
    if not people.crossing_forward[p]:
        to_lane = -to_lane
    beside = to_lane - walks.over_half[over] > -BESIDE_M
    count = upstream(walks.over_lane[over], place, outlook)
    return _soonest(
        p, count, beside, looks, horizon, people, cars, occ, outlook.boxes, outlook.grid, outlook.found,
        outlook.far, seed, tick,
    )  # fmt: skip


@kernel
def _soonest(
    p: int, count: int, beside: bool, looks: bool, horizon: float, people: Pedestrians, cars: Vehicles,
    occ: Occupancy, boxes: Boxes, grid: StaticGrid, found: Int[ndarray, "U 2"], far: Float[ndarray, "U"],
    seed: int, tick: int,
) -> tuple[float, float]:  # fmt: skip
    """`arrival` of those on `count` lanes that lead there, with no more of the town than it takes.

    `beside`: person p is not in the way of who drives there yet.
    """
    spread = MISJUDGED
    if people.age[p] == _CHILD:
        spread = MISJUDGED_CHILD
    elif people.age[p] == _ELDERLY:
        spread = MISJUDGED_OLD
    at_the_kerb = people.kerb[p] > 0.0
    soonest, hidden = math.inf, math.inf
    for k in range(count):
        lane = found[k, 0]
        for m in range(occ.lane_first[lane], occ.lane_first[lane + 1]):
            i = occ.lane_rows[m]
            gap = far[k] - cars.s[i] - 0.5 * cars.length[i]
            if gap > SIGHT_M or (not looks and gap > NOTICED_M):
                continue
            time = expected(gap, cars.length[i], cars.speed[i], cars.acceleration[i])
            if beside and gap < -PASSED * cars.length[i] and cars.speed[i] > CREEPING_MPS:
                continue
            if at_the_kerb:
                time = _from_the_kerb(time, gap, cars.speed[i])
            if time > 1.5 * horizon or (time >= soonest and time >= hidden):
                continue
            if not _comes_here(cars, i, found, k):
                continue
            time *= math.exp(spread * normal(seed, people.uid[p], PERCEIVE, cars.uid[i], 0))
            if time > horizon:
                continue
            if sees(p, i, people, cars, occ, boxes, grid, tick):
                soonest = min(soonest, time)
            else:
                hidden = min(hidden, time)
    return soonest, hidden
