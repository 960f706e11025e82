"""What pedestrians decide: when to leave the kerb, pause, hurry, turn back (the tactical layer).

A gap is accepted on the *perceived* arrival time of every vehicle at every lane still ahead; vehicles seen
slowing down enough, or standing, do not count. Impatience shortens the critical gap. How bodies then move is
`walking.py`; where people want to go is `spawners.py`.
"""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import GAIT, HALT, PERCEIVE, normal, uniform
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.state import NO_CROSSING, Pedestrians, Vehicles
from drivewm_sim.vehicles import OnRoutes

SIGHT_M = 80.0
DISTRACTED_S = 2.5  # arrival times beyond this escape one who looks at a device
LEAST_GAP_S = 2.2  # no impatience goes below it
HURRY = 1.4
GIVE_UP_S = 4.0  # at the edge of the first lane; then back to the kerb
APPROACH_M = 6.0  # from the kerb point
AT_KERB_M = 0.5
IMPATIENCE = 0.45  # share of the critical gap that waiting wears away
IMPATIENCE_S = 20.0
HALTS_PER_S = 0.004  # stops on the sidewalk: a window, a telephone
BLOCKED_M = 0.4  # a body this close to the line across stands in the way
_WALKING, _APPROACHING, _WAITING = int(Intent.WALKING), int(Intent.APPROACHING), int(Intent.WAITING)
_CROSSING, _PAUSING, _TURNING = int(Intent.CROSSING), int(Intent.PAUSING), int(Intent.TURNING_BACK)


@kernel
def _seems_clear(
    p: int,
    j: int,
    enter_s: float,
    margin: float,
    seed: int,
    people: Pedestrians,
    cars: Vehicles,
    on: OnRoutes,
) -> bool:
    """Whether pedestrian p believes that vehicle j leaves time to enter its lane after `enter_s` seconds."""
    gap = on.s[p, cars.route[j]] - cars.s[j] - 0.5 * cars.length[j]
    if gap < -cars.length[j] - BLOCKED_M or gap > SIGHT_M:
        return True
    if gap < BLOCKED_M:
        return False
    speed = cars.speed[j]
    if speed < 0.3:
        return cars.acceleration[j] < 0.3
    slowing = -cars.acceleration[j]
    if slowing > 0.5 and speed * speed / (2.0 * slowing) < gap - 0.5:
        return True
    # Each misjudges each vehicle in its own way, by about a tenth.
    arrival = gap / speed * math.exp(0.1 * normal(seed, people.uid[p], PERCEIVE, cars.uid[j], 0))
    if people.distracted[p] and arrival > DISTRACTED_S:
        return True
    return arrival > enter_s + margin


@kernel
def _lane_ahead(p: int, r: int, people: Pedestrians, on: OnRoutes, graph: RoadGraph) -> tuple[float, float]:
    """Metres along the way across to where the lane of route r begins and ends; negative when passed."""
    dx, dy = people.far_x[p] - people.kerb_x[p], people.far_y[p] - people.kerb_y[p]
    way = math.hypot(dx, dy)
    rate = (dx * on.left_x[p, r] + dy * on.left_y[p, r]) / max(way, 1e-6)
    if abs(rate) < 0.2:
        return -1.0, -1.0  # runs along the route, does not cross it
    half = 0.5 * graph.route_width[r] - 0.1
    centre = -on.d[p, r] / rate
    return centre - half, centre + half


@kernel
def _may_go(
    p: int, share: float, seed: int, people: Pedestrians, cars: Vehicles, on: OnRoutes, graph: RoadGraph
) -> bool:
    """Gap acceptance for all lanes ahead; `share` scales the critical gap."""
    patience = 1.0 - IMPATIENCE * (1.0 - math.exp(-people.waited[p] / IMPATIENCE_S))
    margin = max(people.critical_gap[p] * patience * share, LEAST_GAP_S)
    for j in range(len(cars.uid)):
        begin, end = _lane_ahead(p, cars.route[j], people, on, graph)
        if end > 0.0 and not _seems_clear(
            p, j, max(begin, 0.0) / people.free_speed[p], margin, seed, people, cars, on
        ):
            return False
    return True


@kernel
def _on_the_way(
    p: int, seed: int, people: Pedestrians, cars: Vehicles, on: OnRoutes, graph: RoadGraph
) -> None:
    """Watches the lanes while crossing: hurry inside one, stop before one, or go back to the kerb."""
    dx, dy = people.far_x[p] - people.kerb_x[p], people.far_y[p] - people.kerb_y[p]
    way = math.hypot(dx, dy)
    done = ((people.x[p] - people.kerb_x[p]) * dx + (people.y[p] - people.kerb_y[p]) * dy) / max(way, 1e-6)
    people.pace[p] = 1.05
    if done > way - 0.3:
        people.intent[p], people.timer[p] = _WALKING, 0.0
        people.walk[p], people.zebra[p] = people.far_walk[p], NO_CROSSING
        people.pace[p], people.turn_back_at[p] = 1.0, 2.0
        return
    if done / way > people.turn_back_at[p]:
        people.intent[p], people.timer[p], people.turn_back_at[p] = _TURNING, 0.0, 2.0
        return
    stop = False
    for j in range(len(cars.uid)):
        begin, end = _lane_ahead(p, cars.route[j], people, on, graph)
        if end <= 0.0:
            continue
        leaves = end / people.free_speed[p]  # when the body of a car in the lane no longer meets this one
        if begin > 0.0 and begin < 0.5:
            stop = stop or not _seems_clear(p, j, leaves / HURRY, 0.0, seed, people, cars, on)
        elif begin <= 0.0 and not _seems_clear(p, j, leaves, 0.5, seed, people, cars, on):
            people.pace[p] = HURRY
    if stop and done < 0.8 and people.timer[p] > GIVE_UP_S:
        people.intent[p], people.timer[p] = _TURNING, 0.0
    elif stop and people.intent[p] == _CROSSING:
        people.intent[p], people.timer[p] = _PAUSING, 0.0
    elif not stop and people.intent[p] == _PAUSING and people.timer[p] > 0.3:
        people.intent[p], people.timer[p] = _CROSSING, 0.0


@kernel
def _leader_row(p: int, people: Pedestrians) -> int:
    """Row of the group's first member; -1 when alone, leading, or left alone."""
    for q in range(p):  # leaders have smaller uids, rows are in uid order
        if people.uid[q] == people.leader[p]:
            return q
    return -1


@kernel
def _at_the_kerb(
    p: int, seed: int, people: Pedestrians, cars: Vehicles, on: OnRoutes, graph: RoadGraph
) -> None:
    """Approaching or waiting: cross, or look on."""
    distance = math.hypot(people.kerb_x[p] - people.x[p], people.kerb_y[p] - people.y[p])
    if people.intent[p] == _APPROACHING and distance > AT_KERB_M:
        if distance > 2.0 * APPROACH_M:
            people.intent[p], people.timer[p] = _WALKING, 0.0
        return
    share, looked = 1.0, people.timer[p] >= people.look_time[p]
    leader = _leader_row(p, people)
    if leader >= 0 and people.zebra[leader] != NO_CROSSING and people.intent[leader] < _CROSSING:
        go = False  # groups wait for each other
    else:
        if leader >= 0:
            share = 0.7  # who is in front encourages
        go = looked and _may_go(p, share, seed, people, cars, on, graph)
    if go:
        people.intent[p], people.timer[p] = _CROSSING, 0.0
    elif people.intent[p] == _WAITING:
        people.waited[p] += DECISION_S
    elif distance <= AT_KERB_M and looked:
        people.intent[p], people.timer[p] = _WAITING, 0.0


@kernel
def decide(people: Pedestrians, cars: Vehicles, on: OnRoutes, graph: RoadGraph, seed: int, tick: int) -> None:
    """One decision of every pedestrian. Reads how vehicles move, not what their drivers have just decided."""
    for p in range(len(people.uid)):
        uid, state = people.uid[p], people.intent[p]
        people.timer[p] += DECISION_S
        people.halt[p] = max(people.halt[p] - DECISION_S, 0.0)
        people.gait_x[p] = 0.8 * people.gait_x[p] + 0.12 * normal(seed, uid, GAIT, tick, 0)
        people.gait_y[p] = 0.8 * people.gait_y[p] + 0.12 * normal(seed, uid, GAIT, tick, 1)
        if state == _WALKING:
            near = math.hypot(people.kerb_x[p] - people.x[p], people.kerb_y[p] - people.y[p]) < APPROACH_M
            if people.zebra[p] != NO_CROSSING and near:
                people.intent[p], people.timer[p], people.halt[p] = _APPROACHING, 0.0, 0.0
            elif uniform(seed, uid, HALT, tick, 0) < HALTS_PER_S * DECISION_S:
                people.halt[p] = 2.0 + 5.0 * uniform(seed, uid, HALT, tick, 1)
        elif state in (_APPROACHING, _WAITING):
            _at_the_kerb(p, seed, people, cars, on, graph)
        elif state == _TURNING:
            if math.hypot(people.kerb_x[p] - people.x[p], people.kerb_y[p] - people.y[p]) < AT_KERB_M:
                people.intent[p], people.timer[p] = _WAITING, 0.0
        else:
            _on_the_way(p, seed, people, cars, on, graph)
