"""Who appears, when, and wanting what (the strategic layer): arrivals, traits, groups, destinations.

Traits are drawn per uid, arrivals per spawner and count. Sources: shared calibration figures of walking speed
(adults 1.25-1.37 m/s, over-65s 1.16 m/s, groups slower), critical gaps (3.6-5.3 s) and yielding by speed.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from drivewm_sim import state
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_length, line_point, project
from drivewm_sim.randomness import ARRIVAL, TRAITS, TRIP, normal, uniform
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import DECISION_S, Intent, Scenario
from drivewm_sim.state import MIDBLOCK, NO_CROSSING, Pedestrians, Spawners, Vehicles, World
from drivewm_sim.vehicles import idm

EGO_UID = 0
DOOR_SHARE = 0.6  # of walks that begin, and that end, at a house
DETOUR_M = 15.0  # nobody is too lazy to walk this far to the zebra
NEARBY_M = 40.0  # doors of people who cross lie this near to where they do
OLD_SHARE = 0.15
DISTRACTED_SHARE = 0.08
TURN_BACK_SHARE = 0.03
MAX_GROUP = 3
KERB_INSET_M = 0.4  # how far from the edge of the sidewalk people wait
_WALKING = int(Intent.WALKING)
_WALKS = -1000  # key of the walk spawner's numbers; routes use -1, -2, ...


def empty_world(graph: RoadGraph, scenario: Scenario, seed: int) -> World:
    """A street with people under way and cars spread over the lanes; the ego waits outside."""
    routes = len(graph.routes.step)
    world = World(
        0,
        EGO_UID + 1,
        state.append(state.empty(state.VEHICLE), _ego(scenario)),
        state.empty(state.PEDESTRIAN),
        Spawners(np.zeros(routes + 1), np.zeros(routes + 1, np.int64)),
    )
    for route in range(routes):
        world.spawners.due[route] = _interval(scenario.vehicles_per_hour, seed, -1 - route, 0)
        if scenario.vehicles_per_hour <= 0.0:
            continue
        spacing = 3600.0 / scenario.vehicles_per_hour * scenario.ego_speed_mps
        for s in np.arange(line_length(graph.routes, route) - 5.0, 15.0, -max(spacing, 15.0)):
            world = _add_vehicle(world, graph, seed, route, float(s))
    world.spawners.due[-1] = _interval(scenario.pedestrians_per_hour, seed, _WALKS, 0)
    mean_walk_s = 45.0
    for index in range(int(scenario.pedestrians_per_hour / 3600.0 * mean_walk_s / 1.5)):
        world = _add_group(world, graph, scenario, seed, -1 - index)
    return world


def arrivals(world: World, graph: RoadGraph, scenario: Scenario, seed: int) -> World:
    """The world with everybody whose time to appear has come, if there is room for them."""
    now = world.tick * DECISION_S
    due, arrived = world.spawners
    for route in range(len(due) - 1):
        if now >= due[route] and _has_room(world.vehicles, route):
            world = _add_vehicle(world, graph, seed, route, 2.5)
            arrived[route] += 1
            due[route] = now + _interval(scenario.vehicles_per_hour, seed, -1 - route, arrived[route])
    while now >= due[-1]:
        world = _add_group(world, graph, scenario, seed, int(arrived[-1]))
        arrived[-1] += 1
        # Demand counts people, arrivals are groups of 1.5 on average.
        due[-1] += _interval(scenario.pedestrians_per_hour / 1.5, seed, _WALKS, arrived[-1])
    return world


def departures(world: World, graph: RoadGraph) -> World:
    """The world without those who have arrived: off the end of the route, or at the door."""
    cars, people = world.vehicles, world.pedestrians
    left = _off_the_end(cars, graph)
    if left.any():
        cars = cars[~left]
    gone = _at_the_goal(people, graph)
    if gone.any():
        people = people[~gone]
    return world._replace(vehicles=cars, pedestrians=people)


@kernel
def _off_the_end(cars: Vehicles, graph: RoadGraph) -> Bool[ndarray, "V"]:
    out = np.zeros(len(cars), np.bool_)
    for i in range(len(cars)):
        beyond = cars.s[i] - 0.5 * cars.length[i] - line_length(graph.routes, cars.route[i])
        out[i] = beyond >= 0.0 and not cars.external[i]
    return out


@kernel
def _at_the_goal(people: Pedestrians, graph: RoadGraph) -> Bool[ndarray, "P"]:
    out = np.zeros(len(people), np.bool_)
    for p in range(len(people)):
        if people.zebra[p] == NO_CROSSING and people.intent[p] == _WALKING:
            s, _ = project(graph.walks, people.walk[p], people.x[p], people.y[p])
            out[p] = abs(s - people.goal_s[p]) < 0.8
    return out


def enter_ego(world: World, graph: RoadGraph, scenario: Scenario) -> World:
    """Puts the ego on its route, in place of any car that is in the way."""
    cars = world.vehicles
    start = scenario.ego_start_m
    near = (cars["route"] == 0) & (cars["s"] > start - 15.0) & (cars["s"] < start + 14.0)
    cars = cars[cars["external"] | ~near]
    cars["s"][0] = start
    cars["x"][0], cars["y"][0], cars["yaw"][0] = line_point(graph.routes, 0, start, 0.0)
    ahead = np.flatnonzero((cars["route"] == 0) & (cars["s"] > start))
    leader = ahead[np.argmin(cars["s"][ahead])] if len(ahead) else -1
    speed = scenario.ego_speed_mps
    if leader >= 0:  # no faster than a driver already following would be
        gap = cars["s"][leader] - start - 0.5 * (cars["length"][leader] + cars["length"][0])
        while (
            speed > 0.5
            and idm(speed, scenario.ego_speed_mps + 2.0, gap, speed - cars["speed"][leader], 1.2, 2.0) < -1.0
        ):
            speed -= 0.25
    cars["speed"][0] = speed
    return world._replace(vehicles=cars)


def _interval(per_hour: float, seed: int, spawner: int, index: int) -> float:
    if per_hour <= 0.0:
        return math.inf
    mean = 3600.0 / per_hour
    least = min(1.5, 0.5 * mean)
    return least - (mean - least) * math.log(1.0 - uniform(seed, spawner, ARRIVAL, index, 0))


def _has_room(cars: ndarray, route: int) -> bool:
    on = (cars["route"] == route) & (cars["s"] > -50.0)
    return not on.any() or bool((cars["s"][on] - 0.5 * cars["length"][on]).min() > 14.0)


def _clipped(seed: int, uid: int, draw: int, mean: float, spread: float, low: float, high: float) -> float:
    return min(max(mean + spread * normal(seed, uid, TRAITS, 0, draw), low), high)


def _ego(scenario: Scenario) -> dict[str, float | int | bool]:
    return {
        "uid": EGO_UID,
        "external": True,
        "s": -1000.0,  # outside until the warm-up is over: nobody reacts to it
        "length": 4.6,
        "width": 1.85,
        "x": -1e4,
        "desired_speed": scenario.ego_speed_mps,
    }


def _add_vehicle(world: World, graph: RoadGraph, seed: int, route: int, s: float) -> World:
    uid = world.next_uid
    desired = _clipped(seed, uid, 0, 9.8, 1.4, 6.5, 13.5)
    x, y, yaw = line_point(graph.routes, route, s, 0.0)
    on = world.vehicles["route"] == route
    ahead = world.vehicles["s"][on] > s
    leader = (
        world.vehicles["speed"][on][ahead][np.argmin(world.vehicles["s"][on][ahead])]
        if ahead.any()
        else desired
    )
    # Few give way at high speed: 75 % at 20 mph, 17 % at 37 mph.
    yields = min(max(0.75 - (desired - 8.94) * 0.58 / 7.6, 0.05), 0.95)
    car = {
        "uid": uid, "route": route, "s": s, "x": x, "y": y, "yaw": yaw,
        "speed": min(desired, leader + 1.0), "desired_speed": desired,
        "length": _clipped(seed, uid, 1, 4.5, 0.25, 3.6, 5.2),
        "width": _clipped(seed, uid, 2, 1.85, 0.06, 1.65, 2.0),
        "headway": _clipped(seed, uid, 3, 1.4, 0.3, 0.9, 2.2), "yields": yields,
        "intent": int(Intent.DRIVING),
    }  # fmt: skip
    return world._replace(next_uid=uid + 1, vehicles=state.append(world.vehicles, car))


def _add_group(world: World, graph: RoadGraph, scenario: Scenario, seed: int, index: int) -> World:
    """One to three people with one destination; a negative index starts them under way."""
    trip = _trip(graph, scenario, seed, index)
    # Zero-truncated Poisson with mean 0.9 before truncation.
    u = uniform(seed, _WALKS, TRIP, index, 20)
    size = 1 if u < 0.62 else 2 if u < 0.9 else MAX_GROUP
    leader = world.next_uid
    people = world.pedestrians
    for member in range(size):
        people = state.append(people, _person(graph, seed, leader + member, leader, member, size, trip))
    return world._replace(next_uid=leader + size, pedestrians=people)


def _trip(graph: RoadGraph, scenario: Scenario, seed: int, index: int) -> dict[str, float | int]:
    """Origin, destination and place of crossing of one group, as fields of `Pedestrians` plus `from_s`."""

    def draw(k: int) -> float:
        return uniform(seed, _WALKS, TRIP, index, k)

    walk = int(draw(0) * len(graph.walk_width))
    crosses = draw(1) < scenario.crossing_share and graph.walk_opposite[walk] != walk
    far = int(graph.walk_opposite[walk]) if crosses else walk
    zebra, place = _zebra_for(graph, walk, far, draw(8)) if crosses else (NO_CROSSING, math.nan)
    elsewhere = 8.0 + draw(10) * (line_length(graph.walks, walk) - 16.0)
    if crosses and (zebra < 0 or (draw(9) < scenario.midblock_share and abs(elsewhere - place) > DETOUR_M)):
        zebra, place = MIDBLOCK, elsewhere
    from_s, from_door = _end_of_walk(graph, walk, place, draw(2), draw(3))
    far_place = place
    if crosses:
        far_place, _ = project(graph.walks, far, *line_point(graph.walks, walk, place, 0.0)[:2])
    goal_s, to_door = _end_of_walk(graph, far, far_place, draw(4), draw(5))
    if index < 0:  # under way already
        from_s, from_door = from_s + draw(6) * ((place if crosses else goal_s) - from_s), False
    if not crosses and abs(goal_s - from_s) < 20.0:
        length = line_length(graph.walks, walk)
        goal_s, to_door = (length if from_s < 0.5 * length else 0.0), False
    edge = -graph.walk_road_side  # houses stand on the side away from the road
    return {
        "walk": walk, "far_walk": far, "from_s": from_s, "goal_s": goal_s,
        "zebra": zebra, "cross_s": place if crosses else 0.0,
        "from_side": edge[walk] * (0.5 * graph.walk_width[walk] - 0.3) if from_door else math.nan,
        "goal_side": edge[far] * (0.5 * graph.walk_width[far] - 0.3) if to_door else math.nan,
    }  # fmt: skip


def _zebra_for(graph: RoadGraph, walk: int, far: int, draw: float) -> tuple[int, float]:
    """A zebra between two sidewalks and where it is on the first; MIDBLOCK where there is none."""
    joining = np.flatnonzero((graph.zebra_walk == walk).any(-1) & (graph.zebra_walk == far).any(-1))
    if len(joining) == 0:
        return MIDBLOCK, math.nan
    zebra = int(joining[int(draw * len(joining))])
    return zebra, float(graph.zebra_s[zebra, int(graph.zebra_walk[zebra, 0] != walk)])


def _end_of_walk(graph: RoadGraph, walk: int, place: float, door: float, where: float) -> tuple[float, bool]:
    """Where on a path a walk begins or ends: at a door near the place of crossing, or at an end."""
    length = line_length(graph.walks, walk)
    if door >= DOOR_SHARE:
        return (0.5 if where < 0.5 else length - 0.5), False
    s = length * where if math.isnan(place) else place + 2.0 * NEARBY_M * (where - 0.5)
    return min(max(s, 5.0), length - 5.0), True


def _person(
    graph: RoadGraph, seed: int, uid: int, leader: int, member: int, size: int, trip: dict[str, float | int]
) -> dict[str, float | int | bool]:
    walk, from_s = int(trip["walk"]), float(trip["from_s"])
    old = uniform(seed, leader, TRAITS, 0, 30) < OLD_SHARE  # groups are of one age
    speed = (
        _clipped(seed, uid, 0, 1.14, 0.2, 0.6, 1.7) if old else _clipped(seed, uid, 0, 1.40, 0.24, 0.8, 2.1)
    )
    if member:
        speed = 0.5 * (speed + _clipped(seed, leader, 0, 1.40, 0.24, 0.8, 2.1))
    speed -= 0.05 * (size - 1)
    side = (uniform(seed, leader, TRAITS, 0, 31) - 0.5) * 1.2 + (member - 0.5 * (size - 1)) * 0.65
    goal_side = side if math.isnan(trip["goal_side"]) else trip["goal_side"]
    at_door = not math.isnan(trip["from_side"])
    way = 1.0 if (trip["cross_s"] if trip["zebra"] != NO_CROSSING else trip["goal_s"]) > from_s else -1.0
    # Who shares a door comes out one after the other.
    start_s = from_s - way * 0.7 * member if at_door else from_s
    x, y, yaw = line_point(graph.walks, walk, start_s, float(trip["from_side"]) if at_door else side)
    yaw += 0.0 if way > 0 else math.pi
    draw = uniform(seed, uid, TRAITS, 0, 40)
    return {
        "uid": uid, "leader": leader, "x": x, "y": y, "yaw": yaw, "free_speed": speed, "pace": 1.0,
        "vx": 0.5 * speed * math.cos(yaw), "vy": 0.5 * speed * math.sin(yaw),
        "critical_gap": _clipped(seed, uid, 4, 5.0 if old else 4.0, 0.7, 2.6, 7.0),
        "look_time": 0.2 + 1.2 * uniform(seed, uid, TRAITS, 0, 41), "distracted": draw < DISTRACTED_SHARE,
        "intent": int(Intent.WALKING), "walk": walk, "side": side,
        "goal_s": trip["goal_s"], "goal_side": goal_side,
        "zebra": trip["zebra"], "cross_s": trip["cross_s"], "far_walk": trip["far_walk"], "touched": -1,
        **_way_across(graph, seed, uid, leader, member, trip),
        "turn_back_at": 0.1 + 0.3 * draw if uniform(seed, uid, TRAITS, 0, 42) < TURN_BACK_SHARE else 2.0,
    }  # fmt: skip


def _way_across(
    graph: RoadGraph, seed: int, uid: int, leader: int, member: int, trip: dict[str, float | int]
) -> dict[str, float]:
    """Where this person leaves one kerb and reaches the other."""
    if trip["zebra"] == NO_CROSSING:
        return {}
    walk, far = int(trip["walk"]), int(trip["far_walk"])
    room = graph.zebra_width[int(trip["zebra"])] - 1.0 if trip["zebra"] >= 0 else 1.0
    spread = (uniform(seed, leader, TRAITS, 0, 32) - 0.5) * room + 0.6 * member
    if spread > 0.5 * room + 0.4:
        spread -= room
    s = float(trip["cross_s"]) + spread
    near = graph.walk_road_side[walk] * (0.5 * graph.walk_width[walk] - KERB_INSET_M)
    x, y, _ = line_point(graph.walks, walk, s, near)
    across_s, _ = project(graph.walks, far, x, y)
    beyond = graph.walk_road_side[far] * (0.5 * graph.walk_width[far] - KERB_INSET_M)
    far_x, far_y, _ = line_point(graph.walks, far, across_s, beyond)
    return {"kerb_x": x, "kerb_y": y, "far_x": far_x, "far_y": far_y}
