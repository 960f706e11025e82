"""What every driver wants: `decide` writes commands and intents, and reads nobody's new command.

One driver after the other looks along its path, takes the most careful of all that it knows to be there, and
steers. What is settled between drivers at once, in uid order, is who has decided to pass a junction.
"""

from __future__ import annotations

from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import ATTEND, uniform
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.signals import aspect
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street.ahead import Ahead, horizon, keep_path, look_ahead, no_view, speed_allowed
from drivewm_sim.street.backing import BLOCKED_S, backs_out
from drivewm_sim.street.driving import steer
from drivewm_sim.street.following import (
    EMERGENCY,
    HARD,
    body_in_the_way,
    cutting_in,
    follow,
    free_road,
    leader,
    stale_speed,
    stop_at,
)
from drivewm_sim.street.giving_way import STOP_BEFORE_M, at_crossings, in_the_way, wary_speed
from drivewm_sim.street.inlining import borrowed, inlined
from drivewm_sim.street.junctions import (
    NO_ROOM,
    PATIENCE_S,
    STUCK_S,
    Meeting,
    beyond_crossing,
    blocked_at,
    first_of_stuck,
    has_conflicts,
    junction_ends,
    meet,
    room_beyond,
    room_for_all,
    stop_line,
)
from drivewm_sim.street.lane_change import consider, neighbours, steer_to
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.seeing import seen_for
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import PAST, Cause, Controller, Model, Pedestrians, Vehicles

CYCLIST_MPS = 5.0  # what a cyclist likes, times its `desired`
WINDOW_TICKS = 20  # a driver looks away at most once in so many decisions
WARY_TICKS = 8  # between looks for kerbs that cannot be seen
COURTEOUS = 2.5  # m/s^2, the most a driver brakes to let somebody into its lane
EASED = 1.0  # m/s^2 of braking at which an emergency is over
FULL_ROOM_S = 25.0  # of waiting, not for a signal, before a full junction or crossing; then one squeezes in
_DRIVING, _YIELDING, _BRAKING = int(Intent.DRIVING), int(Intent.YIELDING), int(Intent.BRAKING)
_QUEUING, _CHANGING = int(Intent.QUEUING), int(Intent.CHANGING_LANE)
_REVERSING = int(Intent.REVERSING)
_REACTIVE, _SCRIPTED = int(Controller.REACTIVE), int(Controller.SCRIPTED)
_OCCLUDED, _DELAY, _DISTRACTED = int(Cause.OCCLUDED), int(Cause.DELAY), int(Cause.DISTRACTED)
_BY_SCRIPT, _MISJUDGED, _NO_CAUSE = int(Cause.SCRIPTED), int(Cause.MISJUDGED), int(Cause.NONE)
_BICYCLE = int(Model.BICYCLE)
_ZEBRA, _SIGNAL = int(EdgeKind.ZEBRA), int(EdgeKind.SIGNAL)
_RED, _YELLOW, _GREEN = 0, 1, 2


@kernel
def looks_away(seed: int, uid: int, share: float, tick: int) -> int:
    """Decisions for which a driver has been looking elsewhere; 0: it looks.

    For 0.5 to 2 s at a time, `share` of the time on average.
    """
    if share <= 0.0:
        return 0
    window, since = (tick + 7 * uid) // WINDOW_TICKS, (tick + 7 * uid) % WINDOW_TICKS
    if uniform(seed, uid, ATTEND, window, 0) >= 1.6 * share:  # 2 s windows, 1.25 s away on average
        return 0
    return since + 1 if since < 5.0 + 15.0 * uniform(seed, uid, ATTEND, window, 1) else 0


@kernel
def _obeys(colour: int, to_line: float, speed: float, comfort: float) -> bool:
    """Whether a driver stops for yellow (when comfortable) or red (when possible)."""
    needed = speed * speed / (2.0 * max(to_line - 0.3, 0.1))
    return needed <= (HARD if colour == _RED else 1.2 * comfort + 0.5) or speed < 1.0


@inlined
def _kept_out(
    i: int, e: int, o: int, gap: float, line: float, end: float, met: Meeting, cars: Vehicles,
    occ: Occupancy, street: Street, tick: int,
) -> bool:  # fmt: skip
    """Whether i stops before a junction for a signal, or for want of room beyond."""
    to_line, speed = line - 0.5 * cars.length[i], cars.speed[i]
    group = street.lanes.signal[cars.path[i, met.nth[e] - 1]]
    if group >= 0:
        colour, _ = aspect(street.signals, group, 0.1 * tick - cars.reaction[i])
        if colour != _GREEN and _obeys(colour, to_line, speed, cars.comfort[i]):
            cars.waited[i] = 0.0
            return True
    clear = beyond_crossing(e, i, end, met, cars, street)
    if room_beyond(i, line, clear, o, gap, cars) and room_for_all(i, e, clear, met, cars, occ, street.lanes):
        return False
    if group < 0 and cars.waited[i] >= FULL_ROOM_S:
        return False
    if speed * speed >= 7.0 * max(to_line, 0.3):
        return False
    cars.reserved[i] = NO_ROOM
    return True


@inlined
def _one_junction(
    i: int, e: int, o: int, gap: float, line: float, end: float, passing: int, met: Meeting, cars: Vehicles,
    occ: Occupancy, street: Street, grid: StaticGrid, held: ndarray, tick: int,
) -> tuple[float, float, float]:  # fmt: skip
    """Where the front must stop for one junction, and gap and speed of one to fall in behind (1e6: none).

    Metres from the box centre. Settles whether i passes, which it did before if `passing`.
    """
    j, speed, to_line = met.junction[e], cars.speed[i], line - 0.5 * cars.length[i]
    inside = to_line < -0.5
    cars.reserved[i] = -1
    if not inside and _kept_out(i, e, o, gap, line, end, met, cars, occ, street, tick):
        return line, 1e6, 0.0
    if not has_conflicts(e, i, met, cars, street.lanes):
        return 1e6, 1e6, 0.0
    cars.reserved[i] = passing  # as it was, while this is decided
    blocked, fall_gap, fall_speed = 1e9, 1e6, 0.0
    if not (inside and cars.stood[i] > STUCK_S and first_of_stuck(i, e, met, cars)):
        ahead_mps = 1e3 if o < 0 else max(cars.speed[o] + 0.4 * gap, 1.5)
        blocked, fall_gap, fall_speed = blocked_at(i, e, ahead_mps, met, cars, street, grid, held, tick)
    decided = passing == j
    cars.reserved[i] = -1
    if blocked > 1e8:
        # The last place to stop at leisure: from here on the others keep clear. But nobody keeps clear for
        # one who stands behind another that waits.
        queues = o >= 0 and not inside and gap < to_line and cars.reserved[o] != j
        if not queues and (inside or to_line < 0.2 * speed * speed + 0.7 * speed + 4.0):
            cars.reserved[i] = j
            if not decided:
                cars.decided[i] = tick
        return 1e6, fall_gap, fall_speed
    if not decided and not inside and to_line < 4.0 and cars.waited[i] >= PATIENCE_S and held[j] < 0:
        held[j] = cars.uid[i]
    where = blocked - 0.8
    if not inside and not (decided and speed > 0.3):
        if speed * speed < 2.0 * HARD * max(to_line, 0.3):
            where = line
    elif decided and not (inside and speed < 0.3 and cars.stood[i] > 1.0):
        cars.reserved[i] = j
    return where, fall_gap, fall_speed


@inlined
def _junctions_ahead(
    i: int, o: int, gap: float, reach: float, met: Meeting, cars: Vehicles, occ: Occupancy, street: Street,
    grid: StaticGrid, held: ndarray, tick: int,
) -> tuple[float, float, float]:  # fmt: skip
    """Where the front must stop for junctions, and gap and speed of one to fall in behind (1e6: none).

    Metres from the box centre. Settles whether i passes (`reserved`, `held`). o is the vehicle in front,
    `gap` metres away.
    """
    lanes, front = street.lanes, 0.5 * cars.length[i]
    follow_gap, follow_speed = 1e6, 0.0
    passing, settled = cars.reserved[i], -1
    cars.reserved[i] = -1
    for slot in range(2):
        e = 2 * i + slot
        if met.junction[e] < 0:
            break
        line, end = stop_line(i, e, met, cars, lanes), junction_ends(e, i, met, cars, lanes)
        if end < -front:
            continue
        if line - front > reach:
            break
        where, fall_gap, fall_speed = _one_junction(
            i, e, o, gap, line, end, passing, met, cars, occ, street, grid, held, tick
        )
        if fall_gap < follow_gap:
            follow_gap, follow_speed = fall_gap, fall_speed
        if settled >= 0:
            cars.reserved[i] = settled  # one junction after the other
        settled = cars.reserved[i]
        if where < 1e5:
            return where, follow_gap, follow_speed
    return 1e6, follow_gap, follow_speed


@inlined
def _keep_clear(i: int, o: int, gap: float, cars: Vehicles, street: Street, view: Ahead) -> float:
    """Where the front must stop so as not to stand on a crossing (m from the box centre); 1e6: nowhere."""
    lanes, front = street.lanes, 0.5 * cars.length[i]
    if o < 0 or cars.waited[i] > FULL_ROOM_S:
        return 1e6
    for k in range(view.counts[0]):
        lane = view.lane[k]
        for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
            kind = street.walks.kind[lanes.crossing[c]]
            begins, ends = view.at[k] + lanes.crossing_in[c], view.at[k] + lanes.crossing_out[c]
            line = begins - STOP_BEFORE_M
            if (kind != _ZEBRA and kind != _SIGNAL) or line - front < -0.3 or begins > front + gap + 1.0:
                continue
            if not room_beyond(i, line, ends, o, gap, cars) and cars.speed[i] ** 2 < 7.0 * (
                line - front + 0.3
            ):
                return line
    return 1e6


@inlined
def _traffic(
    i: int, lag: int, reach: float, desired: float, o: int, gap: float, cars: Vehicles, occ: Occupancy,
    lanes: LaneGraph, view: Ahead, tick: int,
) -> tuple[float, bool]:  # fmt: skip
    """Acceleration for the vehicles ahead, and whether that is an emergency."""
    wanted, emergency = free_road(i, desired, cars), False
    cars.leader[i] = -1
    if o >= 0:
        seen = stale_speed(o, lag, cars, tick)
        wanted = min(wanted, follow(i, gap, seen, desired, cars))
        cars.leader[i] = cars.uid[o]
        closing = cars.speed[i] - seen
        if closing > 0.0 and closing * closing > 2.0 * HARD * max(gap - 0.5, 0.1):
            emergency = True
    if cars.change_to[i] >= 0:
        d = cars.s[i]  # lanes side by side are of about the same length
        other, _, _ = neighbours(i, cars.change_to[i], d, cars, occ, lanes)
        if other >= 0:
            room = cars.s[other] - d - 0.5 * (cars.length[i] + cars.length[other])
            wanted = min(
                wanted, max(follow(i, room, stale_speed(other, lag, cars, tick), desired, cars), -HARD)
            )
    other, gap = cutting_in(i, cars, occ, lanes)
    if other >= 0:
        seen = stale_speed(other, lag, cars, tick)
        wanted = min(wanted, max(follow(i, gap, seen, desired, cars), -COURTEOUS))
    body, hard = body_in_the_way(i, min(reach, 10.0 + 2.0 * cars.speed[i]), desired, cars, occ, view)
    return min(wanted, body), emergency or hard


@kernel
def _why(i: int, who: int, away: int, people: Pedestrians, cars: Vehicles, seed: int, tick: int) -> int:
    """The cause of hard braking for a person `who` (-1: a vehicle)."""
    if away > 0 or looks_away(seed, cars.uid[i], cars.distracted[i], tick - 8) > 0:
        return _DISTRACTED
    if who < 0:
        return _DELAY
    for p in range(len(people.uid)):
        if people.uid[p] == who and people.controller[p] == _SCRIPTED:
            return _BY_SCRIPT
    if seen_for(cars, i, who, tick) < cars.reaction[i] + 0.5:
        return _OCCLUDED
    return _MISJUDGED


@inlined
def _decide_one(
    i: int, cars: Vehicles, people: Pedestrians, occ: Occupancy, street: Street, grid: StaticGrid,
    held: ndarray, met: Meeting, view: Ahead, seed: int, tick: int,
) -> None:  # fmt: skip
    speed, lanes = cars.speed[i], street.lanes
    reach = horizon(speed)
    steer_to(i, cars, occ, lanes)
    look_ahead(i, reach, cars, lanes, view)
    away = looks_away(seed, cars.uid[i], cars.distracted[i], tick)
    lag = min(int(10.0 * cars.reaction[i]) + away, PAST - 1)
    desired = speed_allowed(i, cars, lanes, view)
    if cars.model[i] == _BICYCLE:
        desired = min(desired, CYCLIST_MPS * cars.desired[i])
    if (tick + cars.uid[i]) % WARY_TICKS == 0 and cars.yields[i] > 0.5:
        cars.wary[i] = wary_speed(i, desired, cars, occ, street, grid, view)
    if cars.wary[i] > 0.0:
        desired = min(desired, cars.wary[i])

    o, gap = leader(i, cars, occ, lanes, view)
    wanted, emergency = _traffic(i, lag, reach, desired, o, gap, cars, occ, lanes, view, tick)
    consider(i, wanted, desired, cars, occ, lanes, tick)
    hold, fall_gap, fall_speed = _junctions_ahead(i, o, gap, reach, met, cars, occ, street, grid, held, tick)
    hold = min(hold, _keep_clear(i, o, gap, cars, street, view))
    if fall_gap < 1e5:
        wanted = min(wanted, follow(i, fall_gap, fall_speed, desired, cars))
    if hold < 1e5:
        wanted = min(wanted, stop_at(i, hold, desired, cars))
        needed = speed * speed / (2.0 * max(hold - 0.5 * cars.length[i], 0.3))
        if needed > HARD + 0.5 and speed > 2.0:
            wanted, emergency = min(wanted, -min(1.2 * needed, EMERGENCY)), True
    if not emergency:
        wanted = max(wanted, -HARD)

    give, edge, who = at_crossings(i, away == 0, desired, cars, people, occ, street, grid, view, seed, tick)
    near, person = in_the_way(
        i, away == 0, min(reach, 8.0 + 2.2 * speed), desired, cars, people, occ, street, grid, view, tick
    )
    if near < give:
        give, edge, who = near, -1, person
    cars.stop_edge[i], cars.yields_to[i] = edge, who
    intent = _DRIVING
    if emergency:
        intent = _BRAKING
    elif give < wanted and give < 0.5:
        intent = _BRAKING if give < -HARD else _YIELDING
    elif speed < 1.0 and wanted < 0.3:
        intent = _QUEUING
    elif cars.change_to[i] >= 0:
        intent = _CHANGING
    if cars.intent[i] == _BRAKING and cars.acceleration[i] < -EASED:
        intent = _BRAKING  # until it eases
    if intent != _BRAKING:
        cars.cause[i] = _NO_CAUSE
    elif cars.intent[i] != _BRAKING:
        cars.cause[i] = _why(i, who if give < wanted else -1, away, people, cars, seed, tick)
    wanted = min(wanted, give)
    if speed < 0.1 and wanted < 0.15:
        wanted = min(wanted, -0.5)  # nobody creeps
    if cars.stood[i] > BLOCKED_S and intent == _QUEUING and backs_out(i, cars, people):
        intent = _REVERSING
    cars.intent[i] = intent
    cars.command[i] = max(wanted, -EMERGENCY)
    cars.steer[i] = steer(i, cars, lanes, view) if speed >= 0.0 else cars.curvature[i]


@kernel
def _all_decide(
    cars: Vehicles, people: Pedestrians, occ: Occupancy, street: Street, grid: StaticGrid, held: ndarray,
    met: Meeting, view: Ahead, seed: int, tick: int,
) -> None:  # fmt: skip
    """One driver after the other, in uid order."""
    o, s, g, m, v = borrowed(occ), borrowed(street), borrowed(grid), borrowed(met), borrowed(view)
    c, p, h = borrowed(cars), borrowed(people), borrowed(held)
    for i in range(len(c.uid)):
        if c.controller[i] == _REACTIVE:
            _decide_one(i, c, p, o, s, g, h, m, v, seed, tick)


@kernel
def _free_turns(held: ndarray, met: Meeting, cars: Vehicles) -> None:
    """Takes the turn from who has left the junction, or the town."""
    for j in range(len(met.first)):
        if held[j] >= 0:
            e, there = met.first[j], False
            while e >= 0:
                there = there or cars.uid[e // 2] == held[j]
                e = met.following[e]
            if not there:
                held[j] = -1


@kernel
def decide(
    cars: Vehicles, people: Pedestrians, occ: Occupancy, street: Street, grid: StaticGrid, held: ndarray,
    seed: int, tick: int,
) -> None:  # fmt: skip
    """Writes what every reactive driver wants: command, steer, intent, path, and what it keeps in mind.

    held: [J] uid of the vehicle that has the next turn at a junction, -1 (changed here). Others' paths are
    kept, too, so that they can be foreseen.
    """
    slot = tick % PAST
    for i in range(len(cars.uid)):
        cars.past_speed[i, slot], cars.past_acceleration[i, slot] = cars.speed[i], cars.acceleration[i]
        if cars.controller[i] != _SCRIPTED:
            keep_path(i, cars, street.lanes, seed)
    met = meet(cars, street.lanes, len(held))
    _free_turns(held, met, cars)
    _all_decide(cars, people, occ, street, grid, held, met, no_view(), seed, tick)
