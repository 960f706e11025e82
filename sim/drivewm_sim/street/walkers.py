"""What pedestrians decide: when to look, wait, step out, hesitate, pause, run, turn back: tactics.

How bodies then move is `walking.py`; on which side they pass what stands in the way is `passing.py`; where
people want to go is `walks_arrivals.py`.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import GAIT, HALT, bits, uniform
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street.aiming import aim
from drivewm_sim.street.crossings import ANNOUNCED_M, BODY_M, to_kerb, upcoming
from drivewm_sim.street.gaps import UPSTREAM, Outlook, arrival
from drivewm_sim.street.groups import encouragement, keeping_together, note_lags, waits_for_the_group
from drivewm_sim.street.inlining import borrowed, inlined
from drivewm_sim.street.judging import (
    BRISK,
    DARES,
    GREEN,
    HESITATES,
    LOOKS,
    RED,
    critical,
    draw,
    gap_is_enough,
    shows,
    span,
    steps_out_blindly,
)
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.passing import (
    EDGE_M,
    WIDER_M,
    gets_on,
    note_boxes,
    preferred,
    round_boxes,
    round_vehicles,
    strip_yaw,
)
from drivewm_sim.street.routes import reached, turn_round
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import Age, Cause, Controller, Pedestrians, Vehicles

APPROACH_M = 8.0  # from the kerb
LOOKS_FROM_M = 3.0
STEPS_OUT_M = 1.4  # who has decided this far from the kerb does not stop there
AT_KERB_M = 0.9
HURRIED, RUN = 1.35, 1.6
RUNNING_MPS = 2.0
BRINK_M = 0.9  # this far before a lane one last look
STEPS_BACK_M = -0.7  # no deeper into a lane than this one steps back out of it, or lets a vehicle pass
MINDS = 0.55  # share of the critical gap that who has decided before still asks for before each lane
MINDS_SHARED, SHARED_HALF_M = 1.0, 1.1  # without lanes: nobody has decided, and only a vehicle's width counts
GIVE_UP_S = 4.0  # at the edge of the first lane; then back to the kerb
LINGERS = 0.1  # paces below are standing
HURRY = 0.5  # how much faster than usual the most hurried walk
HALTS_PER_S, HALT_TICKS = 0.005, 10  # stops on the sidewalk: a window, a telephone
GAIT_KEPT, GAIT_MPS2 = 0.6, 0.6  # first-order correlated noise, standard deviation 0.31 m/s^2
DRIFT_TICKS, DRIFT_M = 30, 0.3  # nobody keeps a straight line: where they walk wanders by this at most
BURST_TICKS, BURSTS, BURST = 25, 0.15, 1.5  # children run a little, now and then

_WALKING, _APPROACHING, _WAITING = int(Intent.WALKING), int(Intent.APPROACHING), int(Intent.WAITING)
_CROSSING, _PAUSING, _TURNING = int(Intent.CROSSING), int(Intent.PAUSING), int(Intent.TURNING_BACK)
_HESITATING, _RUNNING, _STANDING = int(Intent.HESITATING), int(Intent.RUNNING), int(Intent.STANDING)
_ZEBRA, _MIDBLOCK = int(EdgeKind.ZEBRA), int(EdgeKind.MIDBLOCK)
_SHARED, _PLAZA = int(EdgeKind.SHARED), int(EdgeKind.PLAZA)
_NONE, _OCCLUDED = int(Cause.NONE), int(Cause.OCCLUDED)
_DISTRACTED, _MISJUDGED = int(Cause.DISTRACTED), int(Cause.MISJUDGED)
_CHILD, _SCRIPTED = int(Age.CHILD), int(Controller.SCRIPTED)


@inlined
def _be(p: int, intent: int, people: Pedestrians) -> None:
    if people.intent[p] != intent:
        people.intent[p], people.timer[p] = intent, 0.0


@inlined
def _may_start(
    p: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook, seed: int, tick: int
) -> bool:
    """Whether row p leaves the kerb now; writes the cause of what may come of it."""
    c = people.crossing[p]
    light, left = shows(c, outlook, tick)
    if light != GREEN and (light != RED or draw(p, DARES, people, seed) < people.compliance[p]):
        return False
    if light == GREEN and math.isfinite(left):
        # With most of green gone nobody starts who would be caught half way.
        group = outlook.walks.signal[c]
        width = outlook.walks.kerb_out[c] - outlook.walks.kerb_in[c]
        time = left + outlook.signals.yellow[group] + 2.0
        late = time < 0.8 * width / people.free_speed[p] and left < 0.6 * outlook.signals.green[group]
        if late and people.compliance[p] > 0.3:
            return False
    if waits_for_the_group(p, people, occ):
        return False
    if draw(p, LOOKS, people, seed) >= people.look[p]:
        if people.kerb[p] > 0.6 and people.intent[p] != _WAITING:
            return False
        if not steps_out_blindly(p, people, cars, occ, outlook, seed, tick):
            return False
        people.cause[p] = _DISTRACTED
        return True
    if people.waited[p] < people.look_time[p]:
        return False
    companions, follows = encouragement(p, people, occ)
    wanted = critical(p, companions, people, outlook, light == RED) * (0.7 if follows else 1.0)
    enough, surprise = gap_is_enough(p, wanted, people, cars, occ, outlook, seed, tick)
    if enough:
        risky = light == RED or (wanted < 2.0 and outlook.walks.kind[c] == _MIDBLOCK)
        people.cause[p] = _OCCLUDED if surprise else _MISJUDGED if risky else _NONE
    return enough


@inlined
def _at_the_kerb(p: int, people: Pedestrians, tick: int) -> bool:
    """Approaching or waiting: whether row p is about to decide if it goes."""
    distance = people.kerb[p]
    if distance > APPROACH_M + 2.0:
        _be(p, _WALKING, people)
        return False
    people.pace[p] = 1.0 + HURRY * people.hurry[p] + keeping_together(p, people)
    if distance < LOOKS_FROM_M:
        people.waited[p] += DECISION_S
        people.halt[p] = 0.0
    waits = people.intent[p] == _WAITING
    speed = math.hypot(people.vx[p], people.vy[p])
    if not waits and ((distance < AT_KERB_M and speed < 0.5) or (distance < 4.0 and speed < 0.15)):
        _be(p, _WAITING, people)
    return (waits or distance < STEPS_OUT_M) and (tick + people.uid[p]) % 2 == 0


@inlined
def _watch(
    p: int, done: float, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook,
    seed: int, tick: int,
) -> tuple[bool, bool, bool]:  # fmt: skip
    """On the road: whether to stop before a lane, to run out of one, to step back out of one."""
    walks, c = outlook.walks, people.crossing[p]
    looks = draw(p, LOOKS, people, seed) < people.look[p]
    speed = people.free_speed[p] * BRISK
    light, _ = shows(c, outlook, tick)
    shared = walks.kind[c] == _SHARED
    wanted = (
        (MINDS_SHARED if shared else MINDS)
        * critical(p, 0, people, outlook, light != GREEN)
        * max(1.0 - people.timer[p] / 30.0, 0.5)
    )
    if done < 1.0 and draw(p, HESITATES, people, seed) < people.hesitation[p]:
        wanted /= 0.55
    stop, run, back = False, False, False
    for over in range(walks.over_start[c], walks.over_start[c + 1]):
        begin, end = span(p, over, people, walks)
        if shared:
            narrower = max(0.5 * (end - begin) - SHARED_HALF_M, 0.0)
            begin, end = begin + narrower, end - narrower
        if end < -0.1 or begin > BRINK_M:
            continue
        leave = (end + (0.0 if shared else 0.3)) / speed
        seen, _ = arrival(p, over, looks, leave + 2.0, people, cars, occ, outlook, seed, tick)
        if begin > 0.15:
            # Who has stood there for long counts on drivers.
            stop = stop or seen < max((leave + 0.4) * max(1.0 - people.timer[p] / 40.0, 0.6), wanted)
        elif seen < leave + 0.4:
            if seen < leave / RUN and begin > STEPS_BACK_M:
                back = back or done < 2.0
                stop = True
            else:
                run = True
    return stop, run, back


@inlined
def _way_back_is_clear(
    p: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook, seed: int, tick: int
) -> bool:
    """Whether no vehicle is expected on the lanes behind row p before it is back at the kerb."""
    walks, c = outlook.walks, people.crossing[p]
    needs = 1.0 - people.kerb[p] / people.free_speed[p]
    for over in range(walks.over_start[c], walks.over_start[c + 1]):
        begin, _ = span(p, over, people, walks)
        if begin < 0.0:
            seen, _ = arrival(p, over, True, needs + 1.0, people, cars, occ, outlook, seed, tick)
            if seen < needs:
                return False
    return True


@inlined
def _on_the_way(
    p: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook, seed: int, tick: int
) -> None:
    """Watches the lanes while crossing: hurry inside one, stop before one, or go back to the kerb."""
    walks, c = outlook.walks, people.crossing[p]
    done = -people.kerb[p]
    width = walks.kerb_out[c] - walks.kerb_in[c]
    light, _ = shows(c, outlook, tick)
    if done < -0.3 and light != GREEN and draw(p, DARES, people, seed) < people.compliance[p]:
        _be(p, _WAITING, people)  # the light changed before the kerb
        return
    if done > people.turn_back_at[p] * width:
        people.turn_back_at[p] = 2.0
        if _way_back_is_clear(p, people, cars, occ, outlook, seed, tick):
            _be(p, _TURNING, people)
            return
    if (tick + people.uid[p]) % 2 == 1:
        return
    stop, run, back = _watch(p, done, people, cars, occ, outlook, seed, tick)
    if back or (stop and done < 1.0 and people.timer[p] > GIVE_UP_S and walks.kind[c] != _SHARED):
        _be(p, _TURNING, people)
    elif stop and done < -BODY_M:
        hesitates = draw(p, HESITATES, people, seed) < people.hesitation[p]
        _be(p, _HESITATING if hesitates else _WAITING, people)
    elif stop and not run:
        if people.intent[p] not in (_PAUSING, _HESITATING):
            _be(p, _HESITATING if done < 1.0 else _PAUSING, people)
    elif people.intent[p] not in (_PAUSING, _HESITATING) or people.timer[p] > 0.3:
        pace = BRISK + 0.5 * people.hurry[p]
        if light != GREEN:
            pace = max(pace, HURRIED)
        people.pace[p] = RUN if run else pace
        runs = people.pace[p] * people.free_speed[p] > RUNNING_MPS
        _be(p, _RUNNING if runs else _CROSSING, people)


@inlined
def _along_the_street(p: int, shared: bool, people: Pedestrians, seed: int, tick: int) -> None:
    """On sidewalks: walk, stand about, come to a kerb (shared: to a way over shared space, without one)."""
    uid, distance = people.uid[p], people.kerb[p]
    people.pace[p] = 1.0 + HURRY * people.hurry[p] + keeping_together(p, people)
    playful = people.age[p] == _CHILD and people.leader[p] == uid
    if playful and uniform(seed, uid, GAIT, tick // BURST_TICKS, 1) < BURSTS:
        people.pace[p] *= BURST
    if distance < APPROACH_M and not shared:
        people.waited[p] = 0.0
        _be(p, _APPROACHING, people)
        return
    if distance < STEPS_OUT_M:
        looks = draw(p, LOOKS, people, seed) < people.look[p]
        people.cause[p] = _NONE if looks else _DISTRACTED
        people.waited[p] = 0.0
        _be(p, _CROSSING, people)
        return
    due = (tick + uid) % HALT_TICKS == 0 and people.halt[p] <= 0.0 and people.hurry[p] < 0.3
    due = due and distance >= APPROACH_M
    if due and uniform(seed, uid, HALT, tick, 0) < HALTS_PER_S * HALT_TICKS * DECISION_S:
        people.halt[p] = 2.0 + 18.0 * uniform(seed, uid, HALT, tick, 1) ** 2
    _be(p, _STANDING if people.halt[p] > 0.0 or people.pace[p] < LINGERS else _WALKING, people)


@inlined
def _locate(p: int, people: Pedestrians, walks: WalkGraph) -> None:
    """Writes which crossing row p comes to; one who has left the road behind walks on."""
    edge, forward, along = upcoming(p, people, walks)
    if edge != people.crossing[p]:
        if people.intent[p] in (_CROSSING, _RUNNING, _PAUSING, _HESITATING, _TURNING):
            people.trips[p] += 1
            people.turn_back_at[p] = 2.0
            _be(p, _WALKING, people)
        people.cause[p], people.waited[p] = _NONE, 0.0
        people.crossing[p] = edge
    people.crossing_forward[p], people.along[p] = forward, along
    people.kerb[p] = to_kerb(p, people, walks)


@inlined
def _far_from_roads(p: int, kind: int, length: float, people: Pedestrians) -> bool:
    """Whether no crossing can be within reach of row p: then there is nothing to look up."""
    if kind >= _ZEBRA or people.crossing[p] >= 0:
        return False
    rest = length - people.s[p] if people.forward[p] else people.s[p]
    return people.way[p, 0] < 0 or rest > ANNOUNCED_M


@inlined
def _gait(p: int, people: Pedestrians, seed: int, tick: int) -> None:
    """First-order correlated noise from one random word: two triangular numbers of 16-bit uniforms."""
    word = bits(seed, people.uid[p], GAIT, tick, 0)
    part = np.uint64(0xFFFF)
    a, b = np.float64(word & part), np.float64((word >> np.uint64(16)) & part)
    c, d = np.float64((word >> np.uint64(32)) & part), np.float64(word >> np.uint64(48))
    people.gait_x[p] = GAIT_KEPT * people.gait_x[p] + GAIT_MPS2 * ((a + b) / 65536.0 - 1.0)
    people.gait_y[p] = GAIT_KEPT * people.gait_y[p] + GAIT_MPS2 * ((c + d) / 65536.0 - 1.0)


@inlined
def _drift(p: int, people: Pedestrians, seed: int, tick: int) -> float:
    """Metres by which row p is off the side it prefers: smooth, with a new draw every 3 s."""
    knot, part = tick // DRIFT_TICKS, (tick % DRIFT_TICKS) / DRIFT_TICKS
    now = uniform(seed, people.uid[p], GAIT, knot, 2)
    then = uniform(seed, people.uid[p], GAIT, knot + 1, 2)
    return DRIFT_M * (2.0 * (now + (then - now) * part * part * (3.0 - 2.0 * part)) - 1.0)


@inlined
def _side(
    p: int, drift: float, kind: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, boxes: Boxes,
    width: float, walked: Float[ndarray, "E 2"], yaw: float,
) -> float:  # fmt: skip
    """Where on its strip row p walks now, past whatever stands in the way."""
    aside = preferred(people.side[p] + drift, walked, people.edge[p], people.forward[p])
    most = max(0.5 * width - EDGE_M, 0.1)
    if people.obstacle[p, 0] >= 0:
        aside = round_boxes(p, aside, most, yaw, people, boxes)
    if people.kerb[p] < -BODY_M or kind == _PLAZA:
        aside = round_vehicles(p, aside, most + WIDER_M, yaw, people, cars, occ)
    return aside


@inlined
def _act(
    p: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook, seed: int, tick: int
) -> None:
    """What row p does next: its intent and its pace."""
    state = people.intent[p]
    if reached(p, people):
        people.stay[p] -= DECISION_S
        _be(p, _STANDING, people)
    elif state in (_APPROACHING, _WAITING):
        if _at_the_kerb(p, people, tick) and _may_start(p, people, cars, occ, outlook, seed, tick):
            _be(p, _CROSSING, people)
            people.pace[p] = BRISK
    elif state == _TURNING:
        if people.kerb[p] > 0.4:
            _be(p, _WAITING, people)
    elif state in (_CROSSING, _RUNNING, _PAUSING, _HESITATING):
        _on_the_way(p, people, cars, occ, outlook, seed, tick)
    else:
        shared = people.crossing[p] >= 0 and outlook.walks.kind[people.crossing[p]] == _SHARED
        _along_the_street(p, shared, people, seed, tick)


@kernel
def decide(
    people: Pedestrians, cars: Vehicles, occ: Occupancy, street: Street, grid: StaticGrid,
    seed: int, tick: int,
) -> None:  # fmt: skip
    """One decision (0.1 s) of every pedestrian, one after the other in uid order."""
    people, cars, occ = borrowed(people), borrowed(cars), borrowed(occ)
    walks, lanes, boxes = borrowed(street.walks), borrowed(street.lanes), borrowed(street.boxes)
    outlook = Outlook(
        walks, borrowed(street.signals), boxes, borrowed(grid), lanes.prev_start, lanes.prev, lanes.length,
        np.empty((UPSTREAM, 2), np.int64), np.empty(UPSTREAM),
    )  # fmt: skip
    lines, kinds, length, width = walks.lines, walks.kind, walks.length, walks.width
    note_lags(people, walks, tick)
    for p in range(len(people.uid)):
        if people.controller[p] == _SCRIPTED:
            continue
        people.timer[p] += DECISION_S
        people.halt[p] = max(people.halt[p] - DECISION_S, 0.0)
        _gait(p, people, seed, tick)
        if _far_from_roads(p, kinds[people.edge[p]], length[people.edge[p]], people):
            people.kerb[p] = math.inf
        else:
            _locate(p, people, walks)
        _act(p, people, cars, occ, outlook, seed, tick)
        if (tick + people.uid[p]) % 4 == 0 and len(boxes.x) > 0:
            note_boxes(p, people, boxes, outlook.grid)
        if not gets_on(p, width[people.edge[p]], people, seed):
            turn_round(people, p, walks, seed)
            people.stalled[p] = 0.0
        yaw = strip_yaw(lines, people.edge[p], people.s[p])
        people.ahead_x[p], people.ahead_y[p] = math.cos(yaw), math.sin(yaw)
        drift = _drift(p, people, seed, tick)
        edge = people.edge[p]
        people.aside[p] = _side(
            p, drift, kinds[edge], people, cars, occ, boxes, width[edge], walks.walked, yaw
        )
        aim(p, people, lines, length, width, walks.walked, walks.tail, walks.head)
