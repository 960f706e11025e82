"""Drivers: intelligent-driver model along the lane, giving way to pedestrians, stopping for those in the way.

Car following after Treiber, Hennecke and Helbing (2000), terms clamped. `decide` only writes what each driver
wants; `integrate` moves the bodies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float
from numpy import empty, float64, ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_length, line_point, project
from drivewm_sim.randomness import YIELD, uniform
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import Intent
from drivewm_sim.state import Pedestrians, Vehicles

ACCELERATION = 1.6  # m/s^2, IDM a
COMFORT = 2.0  # m/s^2, IDM b
HARD = 5.0  # m/s^2, the most a driver brakes outside an emergency
EMERGENCY = 8.0  # m/s^2, what the tyres give
JERK = 8.0  # m/s^3 outside emergencies
EMERGENCY_JERK = 60.0
MIN_GAP = 2.0  # m to a standing leader
MAX_CURVATURE = 0.2  # 1/m
STOP_BEFORE_M = 1.5  # from the front bumper to the zebra
PATIENCE_S = 8.0  # of standing for people who only wait
COURTESY = 0.25  # of those who give way at a zebra, the share who do elsewhere
BESIDE_M = 0.6  # room a driver leaves beside the body for a pedestrian
_DRIVING, _YIELDING, _BRAKING = int(Intent.DRIVING), int(Intent.YIELDING), int(Intent.BRAKING)
_WAITING, _CROSSING, _PAUSING = int(Intent.WAITING), int(Intent.CROSSING), int(Intent.PAUSING)
_TURNING = int(Intent.TURNING_BACK)


class OnRoutes(NamedTuple):
    """Every pedestrian in the coordinates of every route. Axes: P pedestrians, R routes."""

    s: Float[ndarray, "P R"]
    d: Float[ndarray, "P R"]  # to the left
    left_x: Float[ndarray, "P R"]  # unit vector to the left of the route there
    left_y: Float[ndarray, "P R"]


@kernel
def locate(people: Pedestrians, graph: RoadGraph) -> OnRoutes:
    """Where each pedestrian is as each route sees it."""
    shape = (len(people.uid), len(graph.routes.step))
    s, d = empty(shape, float64), empty(shape, float64)
    left_x, left_y = empty(shape, float64), empty(shape, float64)
    for p in range(shape[0]):
        for r in range(shape[1]):
            s[p, r], d[p, r] = project(graph.routes, r, people.x[p], people.y[p])
            yaw = line_point(graph.routes, r, s[p, r], 0.0)[2]
            left_x[p, r], left_y[p, r] = -math.sin(yaw), math.cos(yaw)
    return OnRoutes(s, d, left_x, left_y)


@kernel
def idm(speed: float, desired: float, gap: float, closing: float, headway: float, min_gap: float) -> float:
    """Acceleration (m/s^2) that follows a leader `gap` metres ahead, approached at `closing` m/s."""
    free = max(1.0 - (speed / max(desired, 0.1)) ** 4, -1.5)
    wanted = min_gap + max(0.0, speed * headway + speed * closing / (2.0 * math.sqrt(ACCELERATION * COMFORT)))
    return min(max(ACCELERATION * (free - (wanted / max(gap, 0.1)) ** 2), -EMERGENCY), ACCELERATION)


@kernel
def _follow(i: int, cars: Vehicles, desired: float) -> float:
    gap, closing = 1e6, 0.0
    for j in range(len(cars.uid)):
        ahead = cars.s[j] - cars.s[i]
        if j != i and cars.route[j] == cars.route[i] and ahead > 0.0 and abs(cars.offset[j]) < 2.2:
            room = ahead - 0.5 * (cars.length[i] + cars.length[j])
            if room < gap:
                gap, closing = room, cars.speed[i] - cars.speed[j]
    return idm(cars.speed[i], desired, gap, closing, cars.headway[i], MIN_GAP)


@kernel
def _across(p: int, r: int, people: Pedestrians, on: OnRoutes) -> float:
    """Speed to the left of the route at which a pedestrian crosses it, as a driver expects it."""
    if people.intent[p] == _PAUSING:
        return 0.0
    speed = people.vx[p] * on.left_x[p, r] + people.vy[p] * on.left_y[p, r]
    to_x, to_y = people.far_x[p] - people.kerb_x[p], people.far_y[p] - people.kerb_y[p]
    way = 1.0 if to_x * on.left_x[p, r] + to_y * on.left_y[p, r] > 0.0 else -1.0
    if people.intent[p] == _TURNING:
        way = -way
    return way * max(way * speed, 1.0)  # one who has just set off will soon walk


@kernel
def _time_until_inside(d: float, across: float, half: float) -> tuple[float, float]:
    """When somebody at d, moving at `across`, enters and leaves the band |d| < half; (inf, inf) if never."""
    if abs(across) < 0.05:
        return (0.0, math.inf) if abs(d) < half else (math.inf, math.inf)
    enter, leave = (-half - d) / across, (half - d) / across
    if enter > leave:
        enter, leave = leave, enter
    return (math.inf, math.inf) if leave <= 0.0 else (max(enter, 0.0), leave)


@kernel
def _give_way(
    i: int, p: int, seed: int, cars: Vehicles, people: Pedestrians, on: OnRoutes, graph: RoadGraph
) -> float:
    """Acceleration that stops before where pedestrian p crosses; large where the driver does not."""
    r, zebra = cars.route[i], people.zebra[p]
    begins = graph.zebra_in[zebra, r] if zebra >= 0 else on.s[p, r] - 1.0
    line = begins - STOP_BEFORE_M - cars.s[i] - 0.5 * cars.length[i]
    if not math.isfinite(line) or line < -0.5:
        return 1e6
    speed = cars.speed[i]
    needed = speed * speed / (2.0 * max(line, 0.3))
    if people.intent[p] == _WAITING:
        willing = uniform(seed, cars.uid[i], YIELD, people.uid[p], 0) < cars.yields[i] * (
            1.0 if zebra >= 0 else COURTESY
        )
        willing = willing and cars.stood[i] < PATIENCE_S
        if not willing or line > 45.0 or needed > (HARD if cars.intent[i] == _YIELDING else 1.25 * COMFORT):
            return 1e6
    else:
        half = 0.5 * graph.route_width[r] + 0.3
        enter, _ = _time_until_inside(on.d[p, r], _across(p, r, people, on), half)
        if enter > line / max(speed, 2.0) + 2.0 or needed > EMERGENCY:
            return 1e6
    return idm(speed, cars.desired_speed[i], max(line, 0.1), speed, 0.3, 0.5) if line > 0.3 else -HARD


@kernel
def _avoid(i: int, p: int, cars: Vehicles, people: Pedestrians, on: OnRoutes) -> float:
    """Acceleration that keeps clear of a pedestrian who is, or will be, in the way; large where nobody is."""
    r, speed = cars.route[i], cars.speed[i]
    gap = on.s[p, r] - cars.s[i] - 0.5 * cars.length[i] - 0.3
    if gap < -1.5 or gap > 60.0:  # well beside the car: driving on does not hit them
        return 1e6
    half = 0.5 * cars.width[i] + BESIDE_M
    enter, leave = _time_until_inside(on.d[p, r] - cars.offset[i], _across(p, r, people, on), half)
    arrive, depart = max(gap, 0.0) / max(speed, 2.0), (gap + cars.length[i] + 0.6) / max(speed, 2.0)
    if enter > depart + 0.6 or leave < arrive - 0.3:
        return 1e6
    room = max(gap - 0.8, 0.1)
    needed = speed * speed / (2.0 * room)
    if needed > 3.0:
        return -min(1.3 * needed, EMERGENCY)
    return idm(speed, cars.desired_speed[i], room, speed, 0.2, 0.5)


@kernel
def decide(cars: Vehicles, people: Pedestrians, on: OnRoutes, graph: RoadGraph, seed: int) -> None:
    """What every driver but the ego wants: writes `command` and `intent`, reads nobody's new decision."""
    for i in range(len(cars.uid)):
        if cars.external[i]:
            continue
        r = cars.route[i]
        cell = int(cars.s[i] / graph.routes.step[r])
        cap = graph.route_cap[
            graph.routes.start[r] + min(max(cell, 0), graph.routes.start[r + 1] - graph.routes.start[r] - 1)
        ]
        wanted = max(_follow(i, cars, min(cars.desired_speed[i], cap)), -EMERGENCY)
        intent = _DRIVING
        for p in range(len(people.uid)):
            state = people.intent[p]
            crossing = state in (_CROSSING, _TURNING, _PAUSING)
            if not crossing and state != _WAITING:
                continue
            if people.zebra[p] >= 0 or not crossing:
                give = _give_way(i, p, seed, cars, people, on, graph)
                if give < 1e5:
                    wanted, intent = min(wanted, give), max(intent, _YIELDING)
            if crossing:
                give = _avoid(i, p, cars, people, on)
                if give < 1e5:
                    wanted, intent = min(wanted, give), max(intent, _BRAKING if give < -HARD else _YIELDING)
        cars.command[i] = wanted if intent == _BRAKING else max(wanted, -HARD)
        cars.intent[i] = intent


@kernel
def integrate(cars: Vehicles, graph: RoadGraph, dt: float) -> None:
    """Moves every vehicle by dt seconds: along its route, or freely when driven from outside."""
    for i in range(len(cars.uid)):
        if cars.external[i]:
            change = cars.command[i] - cars.acceleration[i]
        else:
            limit = (EMERGENCY_JERK if cars.intent[i] == _BRAKING else JERK) * dt
            change = min(max(cars.command[i] - cars.acceleration[i], -limit), limit)
        cars.acceleration[i] += change
        before = cars.speed[i]
        cars.speed[i] = max(before + cars.acceleration[i] * dt, 0.0)
        if cars.speed[i] == 0.0 and cars.acceleration[i] < 0.0:
            cars.acceleration[i] = 0.0
        if cars.speed[i] < 0.1:
            cars.stood[i] += dt
        elif cars.speed[i] > 3.0:
            cars.stood[i] = 0.0
        moved = 0.5 * (before + cars.speed[i]) * dt
        if cars.external[i]:
            turn = cars.curvature[i] * moved
            cars.x[i] += moved * math.cos(cars.yaw[i] + 0.5 * turn)
            cars.y[i] += moved * math.sin(cars.yaw[i] + 0.5 * turn)
            cars.yaw[i] += turn
            r = cars.route[i]
            s, d = project(graph.routes, r, cars.x[i], cars.y[i])
            if s < line_length(graph.routes, r):
                cars.s[i], cars.offset[i] = s, d
            else:
                cars.s[i] += moved
        else:
            cars.s[i] += moved
            cars.x[i], cars.y[i], cars.yaw[i] = line_point(graph.routes, cars.route[i], cars.s[i], 0.0)
