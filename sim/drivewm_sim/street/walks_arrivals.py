"""Who walks, with whom, from where to where: the strategic layer.

Walks lead from door to door and to the ends of the map. Traits are drawn per uid, walks per uid of the
group's first member, arrivals per source and count. Figures: free speed 1.34 +- 0.25 m/s, over-65s 1.16 m/s
(Weidmann; Gates, Noyce), groups of zero-truncated Poisson size, slower by 0.04 m/s a head (Moussaid 2010),
critical gaps from 3.6-4.3 s, more for the elderly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_height, line_point
from drivewm_sim.randomness import ARRIVAL, TRAITS, TRIP, normal, uniform
from drivewm_sim.roads.town import BusStop, Demand, Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street import state
from drivewm_sim.street.passing import room
from drivewm_sim.street.routes import Reach, follow, reach, reached
from drivewm_sim.street.state import WAY, Age, Pedestrians, Spawners, uid_of

DOOR_SHARE = 0.6  # of walks that begin, and that end, at a house where there are any
BUS_SHARE = 0.08  # ... that end at a bus stop where there is one
CROSSING_SHARE = 0.65  # of walks that lead over a road where that is possible
GROUP_SHARE = 0.45  # of people who walk in groups
LARGEST_GROUP = 6
LEAST_WALK_S, FAR_S = 15.0, 150.0  # destinations become rarer with the time to them, by a factor e each FAR_S
DISTRACTED_SHARE, DISTRACTED_GROUP_SHARE = 0.13, 0.06
TURN_BACK_SHARE = 0.02
HURRY_SHARE = 0.05
INSET_M = 0.6  # from the end of the map
PLACE_M = 25.0  # between places where a town has neither doors nor ends
WARM_S = 500.0  # walks that began this long ago may still be under way
BUS_WAIT_S = 90.0  # nobody waits longer
STOP_M = 6.0  # along which people wait for a bus
SPREAD_M, ROW_M = 0.65, 0.9  # between those who walk abreast, one behind the other
ABREAST = 3
ROOM_M = 0.6  # kept free around somebody new
_ZEBRA = int(EdgeKind.ZEBRA)
_WALKING = int(Intent.WALKING)


class Places(NamedTuple):
    """Where walks begin and end. Axis: K places."""

    edge: Int[ndarray, "K"]
    s: Float[ndarray, "K"]
    d: Float[ndarray, "K"]
    kind: Int[ndarray, "K"]  # 0 a door, 1 an end of the map, 2 a bus stop (only an end of walks)


class Trip(NamedTuple):
    """One walk: between which places, and the way."""

    origin: int
    goal: int
    found: Reach
    duration: float  # s


def places(street: Street, bus_stops: tuple[BusStop, ...] = ()) -> Places:
    """Doors, the open ends of sidewalks, bus stops; places along the strips of a town with hardly any."""
    walks = street.walks
    doors = zip(street.door_edge, street.door_s, street.door_d, strict=True)
    rows = [(int(e), float(s), float(d), 0) for e, s, d in doors]
    degree = np.diff(walks.incident_start)
    quiet = np.flatnonzero(walks.kind < _ZEBRA)
    for e in quiet:
        if degree[walks.tail[e]] == 1:
            rows.append((int(e), min(INSET_M, 0.5 * walks.length[e]), 0.0, 1))
        if degree[walks.head[e]] == 1:
            rows.append((int(e), max(walks.length[e] - INSET_M, 0.5 * walks.length[e]), 0.0, 1))
    if len(rows) < 4:
        for e in quiet:
            count = max(int(walks.length[e] // PLACE_M), 1)
            rows += [(int(e), (k + 0.5) * walks.length[e] / count, 0.0, 0) for k in range(count)]
    rows += [(stop.edge, stop.edge_s, 0.0, 2) for stop in bus_stops]
    edge, s, d, kind = (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 4
    most = np.array([room(walks, int(e)) for e in edge])
    return Places(
        edge.astype(np.int64), s.astype(float), np.clip(d, -most, most).astype(float), kind.astype(np.int64)
    )


def group_rate(demand: Demand) -> float:
    """Groups per second."""
    inside = -math.log(1.0 - GROUP_SHARE)  # of the Poisson distribution: its mean
    return demand.pedestrians_per_hour / 3600.0 * GROUP_SHARE / inside


def group_size(draw: float) -> int:
    """Zero-truncated Poisson; the share of people alone is exp(-mean)."""
    mean = -math.log(1.0 - GROUP_SHARE)
    share = mean * math.exp(-mean) / (1.0 - math.exp(-mean))
    size = 1
    while draw >= share and size < LARGEST_GROUP:
        draw -= share
        size += 1
        share *= mean / size
    return size


def interval(rate: float, seed: int, source: int, index: int) -> float:
    """Seconds until the next arrival of a Poisson process."""
    return -math.log(1.0 - uniform(seed, -1 - source, ARRIVAL, index, 0)) / rate if rate > 0.0 else math.inf


def choose_trip(
    street: Street, where: Places, seed: int, uid: int, speed: float, compliance: float
) -> Trip | None:
    """Origin and destination of one group, the nearer the likelier; None where nothing is in reach."""

    def pick(weight: ndarray, draw: float) -> int:
        total = np.cumsum(weight)
        return int(min(np.searchsorted(total, draw * total[-1], side="right"), len(total) - 1))

    if len(where.edge) < 2 or not (where.kind < 2).any():
        return None
    draws = [uniform(seed, uid, TRIP, 0, k) for k in range(6)]
    doors, ends = where.kind == 0, where.kind == 1
    from_door = doors.any() and (draws[0] < DOOR_SHARE or not ends.any())
    origin = pick((doors if from_door else ends).astype(float), draws[1])
    at, s = int(where.edge[origin]), float(where.s[origin])
    found = reach(street.walks, at, s, speed, compliance, -1, seed, uid)
    cost, crossings = _cost_to(street, where, found, at, s, speed)
    weight = np.where(np.isfinite(cost) & (cost > LEAST_WALK_S), np.exp(-np.minimum(cost, 1e4) / FAR_S), 0.0)
    over = crossings > 0
    kinds = where.kind == (2 if draws[3] < BUS_SHARE else 0 if draws[4] < DOOR_SHARE else 1)
    for wish in (over if draws[2] < CROSSING_SHARE else ~over, kinds):
        weight = weight * wish if (weight * wish).sum() > 0.0 else weight
    if weight.sum() <= 0.0:
        return None
    goal = pick(weight, draws[5])
    return Trip(origin, goal, found, float(cost[goal]))


def _cost_to(
    street: Street, where: Places, found: Reach, edge: int, s: float, speed: float
) -> tuple[Float[ndarray, "K"], Int[ndarray, "K"]]:
    """Seconds to every place, and crossings on the way."""
    walks = street.walks
    tail, head = walks.tail[where.edge], walks.head[where.edge]
    by_tail = found.cost[tail] + where.s / speed
    by_head = found.cost[head] + (walks.length[where.edge] - where.s) / speed
    crossings = np.where(by_tail <= by_head, found.crossings[tail], found.crossings[head])
    here = where.edge == edge
    cost = np.where(here, np.abs(where.s - s) / speed, np.minimum(by_tail, by_head))
    return cost, np.where(here, 0, crossings)


def _clipped(seed: int, uid: int, draw: int, mean: float, spread: float, low: float, high: float) -> float:
    return min(max(mean + spread * normal(seed, uid, TRAITS, 0, draw), low), high)


def traits(seed: int, uid: int, age: Age, size: int = 1) -> dict[str, Any]:
    """The latents of one person in a group of `size`."""

    def draw(k: int) -> float:
        return uniform(seed, uid, TRAITS, 0, 100 + k)

    mean, spread = {Age.ADULT: (1.37, 0.225), Age.CHILD: (1.3, 0.2), Age.ELDERLY: (1.16, 0.18)}[age]
    gap, gap_low = {Age.ADULT: (3.7, 2.6), Age.CHILD: (3.0, 1.8), Age.ELDERLY: (4.7, 3.2)}[age]
    height = {Age.ADULT: 1.72, Age.CHILD: 1.25, Age.ELDERLY: 1.67}[age]
    phones = DISTRACTED_SHARE if size == 1 else DISTRACTED_GROUP_SHARE
    distracted = age != Age.CHILD and draw(0) < phones * (0.3 if age == Age.ELDERLY else 1.0)
    hurries = size == 1 and age != Age.ELDERLY and draw(1) < HURRY_SHARE
    speed = (
        _clipped(seed, uid, 0, mean, spread, 0.65, 2.1) - 0.04 * (size - 1) - (0.08 if distracted else 0.0)
    )
    look = 0.5 if distracted else {Age.ADULT: 0.985, Age.CHILD: 0.85, Age.ELDERLY: 0.99}[age]
    short = 0.4 if age == Age.CHILD else 1.3 if age == Age.ELDERLY or distracted else 0.8
    return {
        "age": int(age), "free_speed": max(speed, 0.55), "distracted": distracted, "look": look,
        "critical_gap": _clipped(seed, uid, 1, gap, 0.5, gap_low, 7.0),
        "look_time": short * (0.25 + 1.2 * draw(2)),
        "compliance": min(0.5 + 0.7 * draw(3), 1.0) - (0.15 if age == Age.CHILD else 0.0),
        "hurry": 0.4 + 0.6 * draw(4) if hurries else 0.0, "hesitation": 0.1 + 0.35 * draw(5),
        "turn_back_at": 0.1 + 0.35 * draw(6) if draw(7) < TURN_BACK_SHARE else 2.0,
        "height": _clipped(seed, uid, 2, height, 0.08, 1.0, 2.0),
        "length": 0.3 if age == Age.CHILD else 0.4, "width": 0.4 if age == Age.CHILD else 0.5,
    }  # fmt: skip


def walker(
    street: Street,
    uid: int,
    edge: int,
    s: float,
    d: float,
    forward: bool,
    traits: dict[str, Any],
    **more: Any,
) -> dict[str, Any]:
    """The fields of one person at a place on a strip, for `state.insert`; `more` overrides them."""
    x, y, yaw = line_point(street.walks.lines, edge, s, d)
    yaw = yaw if forward else yaw + math.pi
    speed = 0.7 * traits["free_speed"]
    nobody = {"way": np.full(WAY, -1), "crossing": -1, "obstacle": np.full(2, -1)}
    return {
        **nobody, "uid": uid, "leader": uid, "x": x, "y": y, "z": line_height(street.walks.lines, edge, s),
        "yaw": (yaw + math.pi) % (2.0 * math.pi) - math.pi,
        "vx": speed * math.cos(yaw), "vy": speed * math.sin(yaw), "edge": edge, "s": s, "d": d, "aside": d,
        "forward": forward, "goal_s": s, "goal_d": d, "pace": 1.0, "intent": _WALKING,
        **traits, **more,
    }  # fmt: skip


def _ages(size: int, demand: Demand, seed: int, leader: int) -> list[Age]:
    """Groups are of one age, or children with an adult, who comes first."""
    draw = uniform(seed, leader, TRAITS, 0, 90)
    if draw < demand.elderly_share:
        return [Age.ELDERLY] * size
    if draw >= demand.elderly_share + demand.child_share:
        return [Age.ADULT] * size
    alone = uniform(seed, leader, TRAITS, 0, 91) < 0.4
    return [Age.CHILD if alone or k > 0 or size == 1 else Age.ADULT for k in range(size)]


def _group(
    street: Street, where: Places, demand: Demand, seed: int, uids: list[int], elapsed: float | None
) -> list[dict[str, Any]]:
    """Everybody of a new group, under way for `elapsed` s; nobody where no walk is possible."""
    ages = _ages(len(uids), demand, seed, uids[0])
    persons = [traits(seed, uid, age, len(uids)) for uid, age in zip(uids, ages, strict=True)]
    first = persons[0]
    trip = choose_trip(street, where, seed, uids[0], first["free_speed"], first["compliance"])
    if trip is None or (elapsed is not None and elapsed > trip.duration):
        return []
    pattern = state.insert(
        state.empty(state.PEDESTRIAN),
        walker(
            street, uids[0], int(where.edge[trip.origin]), float(where.s[trip.origin]),
            float(where.d[trip.origin]), True, first,
        ),
    ).view(np.recarray)  # fmt: skip
    goal = int(where.edge[trip.goal])
    follow(pattern, 0, street.walks, trip.found, goal, float(where.s[trip.goal]), first["free_speed"])
    if elapsed is not None:
        walked = elapsed * first["free_speed"]
        if not _advance(pattern, street, walked, float(where.s[trip.goal])):
            return []
    waits = where.kind[trip.goal] == 2
    out = []
    for k, (uid, person) in enumerate(zip(uids, persons, strict=True)):
        if k and person["age"] != Age.CHILD:
            person["free_speed"] = 0.4 * person["free_speed"] + 0.6 * first["free_speed"]
        stay = 10.0 + (BUS_WAIT_S - 10.0) * uniform(seed, uids[0], TRIP, 0, 8) if waits else 0.0
        out.append(
            _member(street, where, trip, pattern, person, uid, k, len(uids), stay, seed, elapsed is None)
        )
    return out


def _member(
    street: Street, where: Places, trip: Trip, pattern: Pedestrians, person: dict[str, Any], uid: int,
    k: int, size: int, stay: float, seed: int, fresh: bool,
) -> dict[str, Any]:  # fmt: skip
    """Member k of a group whose first starts as `pattern` does: abreast, in rows of three."""
    walks, edge, forward = street.walks, int(pattern.edge[0]), bool(pattern.forward[0])
    leader, most = int(pattern.uid[0]), room(street.walks, edge)
    from_door = fresh and where.kind[trip.origin] == 0
    across = 1 if from_door else min(size, ABREAST, 1 + int(2.0 * most / SPREAD_M))
    # Most keep to the right.
    side = -0.3 + 0.45 * normal(seed, leader, TRAITS, 0, 40)
    slot = (k % across - 0.5 * (min(size, across) - 1)) * SPREAD_M
    spare = max(most - 0.5 * (min(size, across) - 1) * SPREAD_M, 0.0)
    if from_door:  # one after the other, as far as the strip goes
        d, back = float(where.d[trip.origin]), ROW_M * k
        beyond = back > (pattern.s[0] if forward else walks.length[edge] - pattern.s[0])
        back = -back if beyond else back
    else:
        d, back = min(max(side, -spare), spare) + slot, ROW_M * (k // across)
        d = d if forward else -d
    side += slot
    s = float(pattern.s[0]) - (back if forward else -back)
    goal_edge, goal_s, goal_d = (
        int(where.edge[trip.goal]),
        float(where.s[trip.goal]),
        float(where.d[trip.goal]),
    )
    if where.kind[trip.goal] != 0:
        there = room(walks, goal_edge)
        goal_d = min(max(side, -there), there)
    if stay > 0.0:  # people stand along the bus stop
        goal_s += STOP_M * (uniform(seed, uid, TRIP, 0, 9) - 0.5)
        goal_s = min(max(goal_s, 0.0), float(walks.length[goal_edge]))
    return walker(
        street, uid, edge, s, d, forward, person,
        leader=leader, side=side, way=pattern.way[0].copy(), goal_s=goal_s, goal_d=goal_d, stay=stay,
    )  # fmt: skip


def _advance(pattern: Pedestrians, street: Street, metres: float, goal_s: float) -> bool:
    """Moves the pattern along its way, but not onto a road; false when that is beyond its goal."""
    walks = street.walks
    while True:
        edge, s, forward = int(pattern.edge[0]), float(pattern.s[0]), bool(pattern.forward[0])
        following = int(pattern.way[0, 0])
        end = (walks.length[edge] if forward else 0.0) if following >= 0 else goal_s
        rest = abs(end - s)
        if metres < rest and walks.kind[edge] < _ZEBRA:
            pattern.s[0] = s + (metres if forward else -metres)
            return True
        if following < 0:
            return False
        metres = max(metres - rest, 0.0)
        node = walks.head[edge] if forward else walks.tail[edge]
        onward = bool(walks.tail[following] == node)
        pattern.edge[0], pattern.forward[0] = following, onward
        pattern.s[0] = 0.0 if onward else walks.length[following]
        pattern.way[0, :-1] = pattern.way[0, 1:].copy()
        pattern.way[0, -1] = -1


def _has_room(people: ndarray, group: list[dict[str, Any]]) -> bool:
    return all(
        np.hypot(people["x"] - person["x"], people["y"] - person["y"]).min(initial=math.inf) > ROOM_M
        for person in group
    )


def _enter(people: ndarray, group: list[dict[str, Any]]) -> ndarray:
    for person in group:
        people = state.insert(people, person)
    return people


def arrive(
    people: ndarray, spawners: Spawners, street: Street, where: Places, demand: Demand, seed: int, tick: int,
    source: int,
) -> ndarray:  # fmt: skip
    """The people with those whose time to set out has come, if there is room (else a little later)."""
    now, rate, sources = tick * DECISION_S, group_rate(demand), len(spawners.due)
    while now >= spawners.due[source]:
        begun = int(spawners.arrived[source])
        leader = uid_of(source, begun, sources)
        size = group_size(uniform(seed, leader, TRAITS, 0, 92))
        uids = [uid_of(source, begun + k, sources) for k in range(size)]
        group = _group(street, where, demand, seed, uids, None)
        if not _has_room(people, group):
            spawners.due[source] = now + 0.5
            break
        people = _enter(people, group)
        spawners.arrived[source] += size
        spawners.due[source] += interval(rate, seed, source, begun + size)
    return people


def under_way(
    people: ndarray, spawners: Spawners, street: Street, where: Places, demand: Demand, seed: int, source: int
) -> ndarray:
    """The people with those whose walks began before time 0 and have not ended; sets the next arrival."""
    rate, sources, time = group_rate(demand), len(spawners.due), -WARM_S
    while True:
        begun = int(spawners.arrived[source])
        time += interval(rate, seed, source, begun)
        if time >= 0.0:
            spawners.due[source] = time
            return people
        leader = uid_of(source, begun, sources)
        size = group_size(uniform(seed, leader, TRAITS, 0, 92))
        uids = [uid_of(source, begun + k, sources) for k in range(size)]
        group = _group(street, where, demand, seed, uids, -time)
        if group and _has_room(people, group):
            people = _enter(people, group)
        spawners.arrived[source] += size


def depart(people: ndarray, street: Street) -> ndarray:
    """The people without those who have reached their goal."""
    gone = at_goal(people)
    return people[~gone] if gone.any() else people


@kernel
def at_goal(people: Pedestrians) -> Bool[ndarray, "P"]:
    """Who has come to the end of the walk and has stood there long enough."""
    out = np.zeros(len(people.uid), np.bool_)
    for p in range(len(people.uid)):
        out[p] = people.stay[p] <= 0.0 and reached(p, people)
    return out
