"""Vehicles and cyclists come and go: arrivals at the map's edge, traits, departures.

Arrivals are a Poisson stream for each entry. Who finds no room waits outside, so demand is served late, not
lost. Sources 0, 1, ... of the world's spawners are the town's entries (one stands for a town without any).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines, line_height, line_point, project
from drivewm_sim.randomness import ARRIVAL, TRAITS, normal, uniform
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.town import Demand, Street
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street import state
from drivewm_sim.street.backing import towed
from drivewm_sim.street.following import LEVEL_M, MIN_GAP, idm, pull
from drivewm_sim.street.state import NOBODY, PAST, PATH, Controller, Model, Pedestrians, Vehicles, World

SIZE = {
    Model.CAR: (4.5, 1.85, 1.5),
    Model.VAN: (5.4, 2.0, 2.3),
    Model.TRUCK: (8.0, 2.5, 3.2),
    Model.BUS: (12.0, 2.55, 3.1),
    Model.BICYCLE: (1.8, 0.6, 1.7),
}
"""Length, width, height (m); the cyclist included. Cars, vans and trucks vary."""
OF_LARGE = ((0.6, Model.VAN), (0.85, Model.TRUCK), (1.0, Model.BUS))
"""Cumulative shares of the large vehicles. Where bends are tight, all are vans."""
INATTENTIVE_SHARE = 0.1  # of drivers; the others look away for 2 % of the time
ENTRY_GAP_M = 4.0
_SHORTEST_M = min(length for length, _, _ in SIZE.values())
_LONGEST_M = max(length for length, _, _ in SIZE.values())
_CROSSING, _RUNNING, _PAUSING = int(Intent.CROSSING), int(Intent.RUNNING), int(Intent.PAUSING)
_HESITATING, _TURNING = int(Intent.HESITATING), int(Intent.TURNING_BACK)
_REACTIVE = int(Controller.REACTIVE)
SIDE_M = 0.8  # beside a body that is on its way into or out of the lane
SIGHT_M = 70.0  # of road that a driver sees before coming onto the map
SPACING_M = 16.0  # at the start, at least
THIN = 0.7  # of the vehicles at the start; with fewer, others pull out ...
PULL_OUT_M = 25.0  # ... where nobody is this near
_FILL = 1_000_000  # keys of arrivals at the start are beyond those of later ones


def sources(street: Street) -> int:
    """How many of the world's spawners are vehicles'."""
    return max(len(street.entries), 1)


def first_due(street: Street, demand: Demand, seed: int) -> Float[ndarray, "n"]:
    """Time (s) of the first arrival of each source."""
    out = np.full(sources(street), math.inf)
    for k in range(len(street.entries)):
        out[k] = _interval(street, demand, seed, k, 0)
    return out


def arrive(world: World, street: Street, demand: Demand, seed: int) -> World:
    """The world with all vehicles that are due, at entries where there is room. Changes `world.spawners`.

    In a town without entries somebody pulls out from the kerb when traffic has become thin.
    """
    if len(street.entries) == 0:
        return _pull_out(world, street, demand, seed)
    now = world.tick * DECISION_S
    due, arrived = world.spawners
    cars = world.vehicles
    for k, lane in enumerate(street.entries):
        if now < due[k] or _is_full(cars, street.lanes.lines, int(lane)):
            continue
        uid = state.uid_of(k, int(arrived[k]), len(due))
        model = draw_model(street, demand, int(lane), seed, uid)
        agent = vehicle(street, int(lane), 0.0, model, seed, uid)
        agent["s"] = s = 0.5 * agent["length"] + 0.2
        agent["x"], agent["y"], _ = line_point(street.lanes.lines, int(lane), s, 0.0)
        agent["z"] = line_height(street.lanes.lines, int(lane), s)
        speed = _entry_speed(cars, agent, street)
        if speed < 0.0 or _crossed_nearby(world.pedestrians, int(lane), street):
            continue
        cars = state.insert(cars, placed(agent, street, speed))
        arrived[k] += 1
        # The clock of arrivals does not wait for room: those who come meanwhile queue outside.
        due[k] += _interval(street, demand, seed, k, int(arrived[k]))
    return world._replace(vehicles=cars)


def depart(world: World, street: Street) -> World:
    """The world without those who have driven off the map, or who are towed away."""
    gone = off_the_map(world.vehicles, street) | towed(world.vehicles, street.lanes.junction, world.tick)
    return world._replace(vehicles=world.vehicles[~gone]) if gone.any() else world


def off_the_map(cars: ndarray, street: Street) -> Bool[ndarray, "V"]:
    """Who is past the end of a lane with nothing to follow, tail and all."""
    return _past_the_end(cars, street.lanes.length)  # type: ignore[no-any-return]


@kernel
def _past_the_end(cars: Vehicles, length: Float[ndarray, "L"]) -> Bool[ndarray, "V"]:
    out = np.zeros(len(cars), np.bool_)
    for i in range(len(cars)):
        beyond = cars.s[i] - 0.5 * cars.length[i] > length[cars.lane[i]]
        out[i] = beyond and cars.path[i, 0] < 0 and cars.controller[i] == _REACTIVE
    return out


def fill(world: World, street: Street, demand: Demand, seed: int) -> World:
    """The world with vehicles spread over its lanes, as densely as the demand. Changes `spawners`."""
    arrived, cars, lanes = world.spawners.arrived, world.vehicles, street.lanes
    count = sources(street)
    for lane in street.inside:
        share = demand.cyclist_share if lanes.use[lane] == LaneUse.BIKING else 1.0
        per_m = share * _density(street, demand, int(lane))
        s, draw = 8.0, 0
        while per_m > 0.0:
            s += SPACING_M - math.log(1.0 - uniform(seed, -1 - int(lane), ARRIVAL, _FILL, draw)) / per_m
            draw += 1
            if s > lanes.length[lane] - 10.0:
                break
            source = int(lane) % count
            uid = state.uid_of(source, int(arrived[source]), len(arrived))
            agent = vehicle(street, int(lane), s, draw_model(street, demand, int(lane), seed, uid), seed, uid)
            if _room(cars, agent, street) > ENTRY_GAP_M:
                cars = state.insert(
                    cars, placed(agent, street, 0.7 * min(agent["free"], _cap(street, int(lane), s)))
                )
                arrived[source] += 1
    return world._replace(vehicles=cars)


def _density(street: Street, demand: Demand, lane: int) -> float:
    """Vehicles a metre of a lane on which traffic flows as demanded, at 70 % of the limit."""
    return float(demand.vehicles_per_hour / 3600.0 / (0.7 * street.lanes.limit[lane]))


def _pull_out(world: World, street: Street, demand: Demand, seed: int) -> World:
    """The world with one vehicle more, somewhere inside, if it has far fewer than `fill` begins with."""
    cars, arrived = world.vehicles, world.spawners.arrived
    room = sum(
        street.lanes.length[k] / (SPACING_M + 1.0 / max(_density(street, demand, int(k)), 1e-9))
        for k in street.inside
    )
    if len(street.inside) == 0 or world.tick % 10 or len(cars) >= THIN * room:
        return world
    index = world.tick // 10
    lane = int(street.inside[int(uniform(seed, -1, ARRIVAL, index, 1) * len(street.inside))])
    s = 8.0 + uniform(seed, -1, ARRIVAL, index, 2) * (street.lanes.length[lane] - 18.0)
    uid = state.uid_of(0, int(arrived[0]), len(arrived))
    agent = vehicle(street, lane, s, draw_model(street, demand, lane, seed, uid), seed, uid)
    if _room(cars, agent, street) < PULL_OUT_M:
        return world
    arrived[0] += 1
    return world._replace(vehicles=state.insert(cars, placed(agent, street, 0.0)))


def draw_model(street: Street, demand: Demand, lane: int, seed: int, uid: int) -> Model:
    """What arrives on a lane."""
    use, right = street.lanes.use, street.lanes.right[lane]
    outer = right < 0 or use[right] == LaneUse.BIKING
    if use[lane] == LaneUse.BIKING or (outer and uniform(seed, uid, TRAITS, 1, 0) < demand.cyclist_share):
        return Model.BICYCLE
    if uniform(seed, uid, TRAITS, 1, 1) >= demand.large_share:
        return Model.CAR
    kind = uniform(seed, uid, TRAITS, 1, 2) * (1.0 if street.lanes.heavy[lane] else OF_LARGE[0][0])
    return next(model for share, model in OF_LARGE if kind < share)


def vehicle(street: Street, lane: int, s: float, model: Model, seed: int, uid: int) -> dict[str, Any]:
    """The fields of a new vehicle with a driver's traits, and `free`, the speed that it likes there."""

    def clipped(draw: int, mean: float, spread: float, low: float, high: float) -> float:
        return min(max(mean + spread * normal(seed, uid, TRAITS, 0, draw), low), high)

    length, width, height = SIZE[model]
    if model not in (Model.BUS, Model.BICYCLE):
        length, height = length * clipped(0, 1.0, 0.06, 0.87, 1.13), height * clipped(1, 1.0, 0.05, 0.9, 1.1)
    slow = 0.9 if model in (Model.TRUCK, Model.BUS) else 1.0
    rides = model == Model.BICYCLE
    desired = clipped(2, 1.0, 0.15, 0.7, 1.4) if rides else slow * clipped(2, 1.02, 0.09, 0.8, 1.2)
    inattentive = not rides and uniform(seed, uid, TRAITS, 2, 0) < INATTENTIVE_SHARE
    return {
        "uid": uid, "controller": int(Controller.REACTIVE), "model": int(model), "lane": lane, "s": s,
        "length": length, "width": width, "height": height, "desired": desired,
        "headway": clipped(3, 1.3, 0.25, 0.8, 2.2), "comfort": clipped(4, 1.65, 0.3, 1.1, 2.5),
        "reaction": min(max(0.65 * math.exp(0.3 * normal(seed, uid, TRAITS, 0, 5)), 0.4), 1.2),
        "yields": clipped(6, 0.83, 0.22, 0.05, 1.2),
        "distracted": 0.08 + 0.2 * uniform(seed, uid, TRAITS, 2, 1) if inattentive else 0.02,
        "free": 5.0 * desired if rides else desired * street.lanes.limit[lane],
    }  # fmt: skip


def placed(agent: dict[str, Any], street: Street, speed: float) -> dict[str, Any]:
    """An agent from `vehicle`, on its lane at `speed`: what `state.insert` takes."""
    lines, lane, s = street.lanes.lines, agent["lane"], agent["s"]
    offset = 0.0
    if agent["model"] == Model.BICYCLE and street.lanes.use[lane] == LaneUse.DRIVING:
        offset = min(0.8 - 0.5 * street.lanes.width[lines.start[lane]], 0.0)
    x, y, yaw = line_point(lines, lane, s, offset)
    fields = {name: value for name, value in agent.items() if name != "free"}
    return {
        **fields, "x": x, "y": y, "z": line_height(lines, lane, s),
        "yaw": (yaw + math.pi) % (2 * math.pi) - math.pi, "offset": offset, "aim": offset, "speed": speed,
        "past_speed": np.full(PAST, speed), "path": np.full(PATH, NOBODY), "wary": 99.0,
        **dict.fromkeys(
            ("change_to", "leader", "reserved", "yields_to", "stop_edge", "came_from"), NOBODY
        ),
    }  # fmt: skip


def _interval(street: Street, demand: Demand, seed: int, source: int, index: int) -> float:
    rate = demand.vehicles_per_hour / 3600.0
    if street.lanes.use[street.entries[source]] == LaneUse.BIKING:
        rate *= demand.cyclist_share
    if rate <= 0.0:
        return math.inf
    return -math.log(1.0 - uniform(seed, -1 - source, ARRIVAL, index, 0)) / rate


def _cap(street: Street, lane: int, s: float) -> float:
    """m/s that the bends allow at s."""
    lines = street.lanes.lines
    return float(street.lanes.cap[lines.start[lane] + int(s / lines.step[lane])])


def _room(cars: ndarray, agent: dict[str, Any], street: Street) -> float:
    """Metres between a new vehicle and the nearest body on the same level, by circles round both."""
    if len(cars) == 0:
        return math.inf
    x, y, _ = line_point(street.lanes.lines, agent["lane"], agent["s"], 0.0)
    z = line_height(street.lanes.lines, agent["lane"], agent["s"])
    away = np.hypot(cars["x"] - x, cars["y"] - y) - 0.5 * (cars["length"] + agent["length"])
    away[np.abs(cars["z"] - z) > LEVEL_M] = math.inf
    return float(away.min())


def _crossed_nearby(people: ndarray, lane: int, street: Street) -> bool:
    """Whether somebody is on the road so near to the entry that a driver coming in never saw them."""
    return bool(_anybody_on(people, _crossed_within(street.lanes, lane, SIGHT_M)))


def _crossed_within(lanes: LaneGraph, entry: int, reach: float) -> Int[ndarray, "n"]:
    """The strips that lead over an entry, or over lanes that follow it, so many metres from its beginning."""
    found: list[int] = []
    ahead = [(entry, 0.0)]
    while ahead:
        lane, at = ahead.pop()
        rows = slice(lanes.crossing_start[lane], lanes.crossing_start[lane + 1])
        found += lanes.crossing[rows][at + lanes.crossing_in[rows] < reach].tolist()
        at += float(lanes.length[lane])
        if at < reach:
            ahead += [(int(k), at) for k in lanes.next[lanes.next_start[lane] : lanes.next_start[lane + 1]]]
    return np.unique(np.array(found, np.int64))


@kernel
def _anybody_on(people: Pedestrians, crossings: Int[ndarray, "n"]) -> bool:
    for p in range(len(people)):
        if people.intent[p] in (_CROSSING, _RUNNING, _PAUSING, _HESITATING, _TURNING):
            for k in range(len(crossings)):
                if crossings[k] == people.crossing[p]:
                    return True
    return False


@kernel
def _is_full(cars: Vehicles, lines: Lines, lane: int) -> bool:
    """Whether a vehicle is so near to the beginning of a lane that not even the shortest has room behind it.

    `_entry_speed` says the same of all who are drawn then; while they wait there is no need to draw them.
    """
    first = lines.start[lane]
    last = min(first + math.ceil(_LONGEST_M / lines.step[lane]), lines.start[lane + 1] - 1)
    for k in range(len(cars)):
        if cars.lane[k] != lane:
            continue
        s, d = project(lines, lane, cars.x[k], cars.y[k])
        if s - 0.5 * cars.length[k] < ENTRY_GAP_M + _SHORTEST_M and abs(d) < _LONGEST_M:
            level = True
            for i in range(first, last + 1):
                level = level and abs(cars.z[k] - lines.z[i]) < LEVEL_M
            if level:
                return True
    return False


def _entry_speed(cars: ndarray, agent: dict[str, Any], street: Street) -> float:
    """m/s at which a driver would come in behind those who are there; negative when there is no room."""
    cap = _cap(street, agent["lane"], agent["s"])
    return float(
        _speed_behind(
            cars, street.lanes.lines, agent["lane"], agent["s"], agent["x"], agent["y"], agent["z"],
            agent["length"], agent["width"], agent["model"], agent["free"], cap, agent["headway"],
            agent["comfort"],
        )
    )  # fmt: skip


@kernel
def _along(lines: Lines, lane: int, x: float, y: float) -> tuple[float, float]:
    """s and d on a lane that goes on straight: entries are short, and who has just left one is near."""
    s, d = project(lines, lane, x, y)
    last = lines.start[lane + 1] - 1
    if s < lines.step[lane] * (last - lines.start[lane]) - 1e-6:
        return s, d
    c, sine = math.cos(lines.yaw[last]), math.sin(lines.yaw[last])
    dx, dy = x - lines.x[last], y - lines.y[last]
    return s + max(c * dx + sine * dy, 0.0), c * dy - sine * dx


@kernel
def _speed_behind(
    cars: Vehicles, lines: Lines, lane: int, s: float, x: float, y: float, z: float, length: float,
    width: float, model: int, free: float, cap: float, headway: float, comfort: float,
) -> float:  # fmt: skip
    last, nearest = -1, math.inf
    for k in range(len(cars)):
        if math.hypot(cars.x[k] - x, cars.y[k] - y) >= SIGHT_M or abs(cars.z[k] - z) >= LEVEL_M:
            continue
        there, d = _along(lines, lane, cars.x[k], cars.y[k])
        back = there - 0.5 * cars.length[k]
        beside = 0.5 * (cars.width[k] + width) + SIDE_M
        if back < nearest and (abs(d) < beside or cars.lane[k] == lane or cars.change_to[k] == lane):
            last, nearest = k, back
    speed = min(free, cap)
    if last >= 0:
        gap = nearest - s - 0.5 * length
        if gap < ENTRY_GAP_M:
            return -1.0
        while (
            speed > 0.5
            and idm(
                speed, free + 2.0, gap, speed - cars.speed[last], headway, MIN_GAP, pull(model), comfort
            ) < -1.0
        ):  # fmt: skip
            speed -= 0.25
    return speed
