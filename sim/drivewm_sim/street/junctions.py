"""Junctions: who goes first where ways cross or join.

A driver *decides to pass* a junction (`reserved`) when the last place to stop at leisure comes. From then on
the others keep out of its way. Those who give way decide only when their time in each conflict area
lies clear of everybody's who goes first. Who has stood for 20 s at a line gets the next turn (`held`), so
nobody waits for ever. Ties are broken by uid.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.signals import aspect
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.following import LEVEL_M
from drivewm_sim.street.giving_way import eye_height
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.seeing import note, seen_for
from drivewm_sim.street.sight import StaticGrid, hidden_by_boxes
from drivewm_sim.street.state import PATH, Vehicles

WATCH_M = 80.0  # up the road, for those who come
PATIENCE_S = 20.0  # of standing at the line, then one has the next turn
STUCK_S = 30.0  # of standing inside a junction, then only bodies count
TURN_S = 10.0  # ... and one of them after the other: so long
AT_THE_LINE_M = 8.0  # who stands further away than this stands in a queue
SET_OFF = 1.2  # m/s^2, with which drivers reckon
QUEUE_M, QUEUE_MPS = 50.0, 2.5  # so far beyond a junction drivers look for a queue: what is slower than this
STANDING_GAP_M = 2.5
NO_ROOM = -2  # in `reserved`: does not pass, as there is no room beyond
_GREEN = 2
_ZEBRA, _SIGNAL = int(EdgeKind.ZEBRA), int(EdgeKind.SIGNAL)


class Meeting(NamedTuple):
    """Who is at which junction, made once a decision. Axes: J junctions, 2 V entries (two a vehicle).

    Entry e belongs to vehicle e // 2: the even one to the junction that its body is on, else the next on its
    path; the odd one to the one after it.
    """

    first: Int[ndarray, "J"]  # first entry of the junction, -1
    following: Int[ndarray, "2V"]  # the next entry of the same junction, -1
    junction: Int[ndarray, "2V"]  # -1: none
    nth: Int[
        ndarray, "2V"
    ]  # its first lane there: -1 the lane it came from, 0 the present one, k path[k - 1]
    at: Float[ndarray, "2V"]  # m from the box centre to where that lane begins


@kernel
def _lane(o: int, k: int, cars: Vehicles) -> int:
    """Lane k of a vehicle: -1 the one it came from, 0 the present one, then its path; -1: none."""
    if k < 0:
        return cars.came_from[o]
    if k == 0:
        return cars.lane[o]
    return cars.path[o, k - 1] if k <= PATH else -1


@kernel
def meet(cars: Vehicles, lanes: LaneGraph, junctions: int) -> Meeting:
    """Who is, or soon will be, at each junction; each junction's entries in uid order."""
    n = len(cars.uid)
    out = Meeting(
        np.full(junctions, -1, np.int64), np.full(2 * n, -1, np.int64), np.full(2 * n, -1, np.int64),
        np.zeros(2 * n, np.int64), np.zeros(2 * n),
    )  # fmt: skip
    for o in range(n - 1, -1, -1):
        slot, previous = 0, -1
        start, at = 0, -cars.s[o]
        if cars.came_from[o] >= 0 and cars.s[o] < 0.5 * cars.length[o]:
            start, at = -1, -cars.s[o] - lanes.length[cars.came_from[o]]
        for k in range(start, PATH + 1):
            lane = _lane(o, k, cars)
            if lane < 0 or at > WATCH_M or slot == 2:
                break
            j = lanes.junction[lane]
            if j >= 0 and j != previous:
                e = 2 * o + slot
                out.junction[e], out.nth[e], out.at[e] = j, k, at
                slot += 1
            previous = j
            at += lanes.length[lane]
    for e in range(2 * n - 1, -1, -1):
        j = out.junction[e]
        if j >= 0:
            out.following[e] = out.first[j]
            out.first[j] = e
    return out


@kernel
def time_to(distance: float, speed: float, acceleration: float, top: float) -> float:
    """Seconds for a distance, speeding up to `top`."""
    if distance <= 0.0:
        return 0.0
    if speed >= top:
        return distance / max(speed, 0.1)
    until = (top - speed) / acceleration
    way = (speed + 0.5 * acceleration * until) * until
    if distance < way:
        return (math.sqrt(speed * speed + 2.0 * acceleration * distance) - speed) / acceleration
    return until + (distance - way) / top


@inlined
def _pace(o: int, lane: int, cars: Vehicles, lanes: LaneGraph) -> float:
    """m/s that o will hardly exceed on a lane."""
    a, b = lanes.lines.start[lane], lanes.lines.start[lane + 1] - 1
    cap = min(lanes.cap[a], lanes.cap[(a + b) // 2], lanes.cap[b])
    return max(min(cap, lanes.limit[lane] * cars.desired[o]), 2.0)


@inlined
def _time_away(o: int, begins: float, distance: float, lane: int, cars: Vehicles, lanes: LaneGraph) -> float:
    """Seconds, rather late, until o has moved `distance`; beyond `begins` that is on a junction's lane."""
    speed = cars.speed[o]
    before = min(max(begins, 0.0), distance)
    slow = min(max(speed, 3.0), _pace(o, lane, cars, lanes))
    seconds = before / max(speed, 3.0) + time_to(distance - before, min(speed, slow), 0.7, slow) + 0.3
    return seconds + (1.5 if speed < 1.5 else 0.0)  # who crawls may have to wait itself


@inlined
def _held_back(o: int, e: int, met: Meeting, cars: Vehicles, street: Street, time_s: float) -> bool:
    """Whether o, not decided to pass, will not come now: red, no room beyond, people, a queue."""
    lanes, k = street.lanes, met.nth[e]
    if k <= 0:
        return False
    group = lanes.signal[_lane(o, k, cars)]
    room = met.at[e] - 0.5 * cars.length[o]
    if group >= 0 and aspect(street.signals, group, time_s)[0] != _GREEN:
        return cars.speed[o] ** 2 < 8.0 * max(room, 0.5)
    if cars.speed[o] > 0.5:
        return False
    return cars.reserved[o] == NO_ROOM or cars.stop_edge[o] >= 0 or room > AT_THE_LINE_M


@inlined
def _turn_of(o: int, e: int, met: Meeting, cars: Vehicles, lanes: LaneGraph) -> float:
    """First come, first served: seconds until o is at the junction, minus those it has stood there."""
    room = met.at[e] - 0.5 * cars.length[o]
    seconds = time_to(room, cars.speed[o], SET_OFF, _pace(o, cars.lane[o], cars, lanes))
    return seconds - (cars.waited[o] if room < 10.0 else 0.0)


@inlined
def _goes_first(
    o: int, i: int, eo: int, ei: int, priority: int, o_in: float, i_in: float, to: float, ti: float,
    j: int, met: Meeting, cars: Vehicles, street: Street, held: ndarray, time_s: float,
) -> bool:  # fmt: skip
    """Whether o goes before i at one conflict, and not the other way round; o_in, i_in: metres to it."""
    if (o_in <= 0.0) != (i_in <= 0.0):
        return o_in <= 0.0
    o_passes, i_passes = cars.reserved[o] == j, cars.reserved[i] == j
    if o_passes != i_passes:
        return o_passes
    if o_passes:
        a, b = cars.decided[o], cars.decided[i]
        return a < b or (a == b and cars.uid[o] < cars.uid[i])
    if held[j] == cars.uid[o] or held[j] == cars.uid[i]:
        return held[j] == cars.uid[o]
    if _held_back(o, eo, met, cars, street, time_s):
        return False
    if priority != 0:
        return priority < 0
    a, b = _turn_of(o, eo, met, cars, street.lanes), _turn_of(i, ei, met, cars, street.lanes)
    return a < b or (a == b and cars.uid[o] < cars.uid[i])


@inlined
def _reckons_with(o: int, i: int, cars: Vehicles, street: Street, grid: StaticGrid) -> bool:
    """Whether i sees o, or would but for other vehicles: behind one that passes there may be another."""
    return not hidden_by_boxes(
        grid, street.boxes, cars.x[i], cars.y[i], cars.z[i] + eye_height(cars.model[i]),
        cars.x[o], cars.y[o], cars.z[o] + 1.0,
    )  # fmt: skip


@inlined
def _conflict(
    i: int, o: int, ei: int, eo: int, c: int, mine: int, theirs: int, at: float, o_at: float, inside: bool,
    ahead_mps: float, met: Meeting, cars: Vehicles, street: Street, grid: StaticGrid, held: ndarray,
    tick: int,
) -> tuple[int, float]:  # fmt: skip
    """One conflict area of i and o: nothing to do (0), fall in behind o (1, gap in m), leave it to o (2).

    at, o_at: metres from their box centres to where their lanes begin; `inside`: o is in the junction.
    """
    lanes, j, front, half = street.lanes, met.junction[ei], 0.5 * cars.length[i], 0.5 * cars.length[o]
    u_in, u_out = at + lanes.conflict_in[c], at + lanes.conflict_out[c]
    w_in, w_out = o_at + lanes.conflict_other_in[c], o_at + lanes.conflict_other_out[c]
    if u_out < -front or w_out < -half:
        return 0, 0.0
    i_in, o_in = u_in - front, w_in - half
    top = _pace(i, mine, cars, lanes)
    ti = time_to(i_in, cars.speed[i], SET_OFF, top)
    to = time_to(o_in, cars.speed[o], SET_OFF, _pace(o, theirs, cars, lanes))
    joins = (
        u_out > at + lanes.length[mine] - 0.6
        and w_out > o_at + lanes.length[theirs] - 0.6
        and _same_exit(mine, theirs, lanes)
    )
    both, priority = i_in <= 0.0 and o_in <= 0.0, lanes.conflict_priority[c]
    if not both and not _goes_first(
        o, i, eo, ei, priority, o_in, i_in, to, ti, j, met, cars, street, held, 0.1 * tick
    ):
        return 0, 0.0
    if joins:
        # Metres by which o is ahead, counted back from where the ways have become one.
        lead = (at + lanes.length[mine]) - (o_at + lanes.length[theirs])
        gap = lead - front - half
        if gap > 0.0 or (both and lead > 0.0):
            # Side by side where the ways have met, who is behind lets the other go.
            return 1, max(gap, 0.1)
    if both:
        return 0, 0.0  # bodies decide
    if joins:
        # What matters is where bodies first touch: from there on one follows the other.
        u_out, w_out = min(u_out, u_in + 6.0), min(w_out, w_in + 6.0)
    away = _time_away(o, o_at, w_out + half, theirs, cars, lanes)
    gone = time_to(u_out + front, cars.speed[i], SET_OFF, min(top, ahead_mps))
    margin = 1.5 - min(max(cars.waited[i] - 8.0, 0.0) / 12.0, 1.0)
    if joins:
        margin += max(cars.speed[o] - top, 0.0) / 2.5
    if held[j] == cars.uid[o] and cars.reserved[i] != j:
        margin = 30.0
    if gone + margin < to or ti > away + (0.3 if o_in <= 0.0 else 1.0):
        return 0, 0.0
    # Who is in the junction already shows by those who stand for it.
    uid, seen = cars.uid[o], inside or _reckons_with(o, i, cars, street, grid)
    note(cars, i, uid, tick, seen)
    if not seen and seen_for(cars, i, uid, tick) < 0.0:
        return 0, 0.0
    return 2, 0.0


@inlined
def blocked_at(
    i: int, ei: int, ahead_mps: float, met: Meeting, cars: Vehicles, street: Street, grid: StaticGrid,
    held: ndarray, tick: int,
) -> tuple[float, float, float]:  # fmt: skip
    """Where i must leave a conflict area to others, and whom it falls in behind where ways join.

    Metres from the box centre to the area (inf: none); gap to and speed of that vehicle (1e6, 0: none).

    `ahead_mps`: no faster than this, for the vehicle in front.
    """
    lanes, j, k, at = street.lanes, met.junction[ei], met.nth[ei], met.at[ei]
    blocked, follow_gap, follow_speed = math.inf, 1e6, 0.0
    while k <= PATH:
        mine = _lane(i, k, cars)
        if mine < 0 or lanes.junction[mine] != j:
            break
        first, end = lanes.conflict_start[mine], lanes.conflict_start[mine + 1]
        e = met.first[j] if end > first else -1
        while e >= 0:
            o, o_at, ko = e // 2, met.at[e], met.nth[e]
            met_here = o != i and abs(cars.z[o] - cars.z[i]) < LEVEL_M
            while met_here and ko <= PATH:
                theirs = _lane(o, ko, cars)
                if theirs < 0 or lanes.junction[theirs] != j:
                    break
                for c in range(first, end):
                    if lanes.conflict_lane[c] != theirs or at + lanes.conflict_in[c] >= blocked:
                        continue
                    what, gap = _conflict(
                        i, o, ei, e, c, mine, theirs, at, o_at, ko <= 0, ahead_mps, met, cars, street, grid,
                        held, tick,
                    )  # fmt: skip
                    if what == 2:
                        blocked = at + lanes.conflict_in[c]
                    elif what == 1 and gap < follow_gap:
                        follow_gap, follow_speed = gap, cars.speed[o]
                o_at += lanes.length[theirs]
                ko += 1
            e = met.following[e]
        at += lanes.length[mine]
        k += 1
    return blocked, follow_gap, follow_speed


@inlined
def first_of_stuck(i: int, ei: int, met: Meeting, cars: Vehicles) -> bool:
    """Whether no other who is stuck in the junction moves before i; each has some time for it."""
    e, before = met.first[met.junction[ei]], 0
    while e >= 0:
        o = e // 2
        if met.nth[e] <= 0 and cars.stood[o] > STUCK_S and cars.uid[o] < cars.uid[i]:
            before += 1
        e = met.following[e]
    return cars.stood[i] > STUCK_S + before * TURN_S


@inlined
def _same_exit(a: int, b: int, lanes: LaneGraph) -> bool:
    """Whether two lanes lead into the same one."""
    for m in range(lanes.next_start[a], lanes.next_start[a + 1]):
        for n in range(lanes.next_start[b], lanes.next_start[b + 1]):
            if lanes.next[m] == lanes.next[n]:
                return True
    return False


@inlined
def junction_ends(ei: int, i: int, met: Meeting, cars: Vehicles, lanes: LaneGraph) -> float:
    """Metres from the box centre to where the lanes of the junction end on the path."""
    k, at, j = met.nth[ei], met.at[ei], met.junction[ei]
    while k <= PATH:
        lane = _lane(i, k, cars)
        if lane < 0 or lanes.junction[lane] != j:
            break
        at += lanes.length[lane]
        k += 1
    return at


@inlined
def beyond_crossing(ei: int, i: int, end: float, met: Meeting, cars: Vehicles, street: Street) -> float:
    """`end` of a junction (m from the box centre), or of a marked crossing too near to stop in between."""
    lanes, k, at, j = street.lanes, met.nth[ei], met.at[ei], met.junction[ei]
    while k <= PATH:
        lane = _lane(i, k, cars)
        if lane < 0:
            break
        if lanes.junction[lane] != j:
            for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
                kind = street.walks.kind[lanes.crossing[c]]
                if kind != _ZEBRA and kind != _SIGNAL:
                    continue
                if at + lanes.crossing_in[c] < end + cars.length[i] + 1.5:
                    return at + lanes.crossing_out[c]
            break
        at += lanes.length[lane]
        k += 1
    return end


@inlined
def has_conflicts(ei: int, i: int, met: Meeting, cars: Vehicles, lanes: LaneGraph) -> bool:
    """Whether anybody's way crosses or joins that of i in the junction."""
    k, j = met.nth[ei], met.junction[ei]
    while k <= PATH:
        lane = _lane(i, k, cars)
        if lane < 0 or lanes.junction[lane] != j:
            return False
        if lanes.conflict_start[lane + 1] > lanes.conflict_start[lane]:
            return True
        k += 1
    return False


@inlined
def stop_line(i: int, ei: int, met: Meeting, cars: Vehicles, lanes: LaneGraph) -> float:
    """Metres from the box centre to the line before the junction; negative when it is behind."""
    k = met.nth[ei]
    if k <= 0:
        return -1e3
    before = _lane(i, k - 1, cars)
    return met.at[ei] - lanes.length[before] + min(lanes.stop_s[before], lanes.length[before])


@inlined
def room_for_all(
    i: int, ei: int, end: float, met: Meeting, cars: Vehicles, occ: Occupancy, lanes: LaneGraph
) -> bool:
    """Whether i, and all who are before it on its way through a junction, find room beyond `end` (m from i).

    Those who move now may have to stop behind the first one that stands: a place behind it is theirs.
    """
    need, k, at = cars.length[i] + STANDING_GAP_M, met.nth[ei], met.at[ei]
    while k <= PATH and at < end + QUEUE_M:
        lane = _lane(i, k, cars)
        if lane < 0:
            break
        for m in range(occ.lane_first[lane], occ.lane_first[lane + 1]):
            o = occ.lane_rows[m]
            rear = at + cars.s[o] - 0.5 * cars.length[o]
            if o == i or rear < 0.0:
                continue
            if rear > end and cars.speed[o] < QUEUE_MPS:
                return rear - end > need
            need += cars.length[o] + STANDING_GAP_M
        at += lanes.length[lane]
        k += 1
    return True


@kernel
def room_beyond(i: int, begin: float, end: float, o: int, gap: float, cars: Vehicles) -> bool:
    """Whether i will not have to stand on the stretch begin..end (m from its centre), `gap` m behind o."""
    if o < 0:
        return True
    speed, front = cars.speed[o], 0.5 * cars.length[i]
    if speed > 4.0 or (cars.acceleration[o] > 0.3 and speed > 0.5):
        return True
    stand = front + gap - 2.0 + 1.5 * speed  # where the front will be
    return stand <= begin + 0.5 or stand > end + cars.length[i] + 0.3
