"""How pedestrians move: to a target, around each other, within what a body can do (the operational layer).

Social force (Helbing and Molnar 1995) on positions anticipated half a second ahead; accelerations, turns and
speeds are limited, so nobody jumps.
"""

from __future__ import annotations

import math

import numpy as np

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import line_point, project
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import Intent
from drivewm_sim.state import NO_CROSSING, Pedestrians, Vehicles

BODY_M = 0.5  # length and width of the box of a pedestrian
MAX_SPEED = 3.0  # m/s
MAX_ACCELERATION = 3.0  # m/s^2
MAX_TURN = 3.5  # rad/s, of the direction walked
RELAX_S = 0.5
PUSH = 2.1  # m/s^2 at contact
PUSH_RANGE_M = 0.3
ANTICIPATE_S = 0.5
BEHIND = 0.3  # weight of those one does not see
_WALKING, _APPROACHING, _WAITING = int(Intent.WALKING), int(Intent.APPROACHING), int(Intent.WAITING)
_CROSSING, _PAUSING, _TURNING = int(Intent.CROSSING), int(Intent.PAUSING), int(Intent.TURNING_BACK)


@kernel
def _towards(dx: float, dy: float, speed: float) -> tuple[float, float]:
    distance = math.hypot(dx, dy)
    return (speed * dx / distance, speed * dy / distance) if distance > 1e-6 else (0.0, 0.0)


@kernel
def _along_the_walk(p: int, people: Pedestrians, graph: RoadGraph, s: float) -> tuple[float, float]:
    """Wanted velocity on a sidewalk: to the place of crossing, or to the end of the walk."""
    crosses = people.zebra[p] != NO_CROSSING
    goal = people.cross_s[p] if crosses else people.goal_s[p]
    way = 1.0 if goal > s else -1.0
    arriving = not crosses and abs(goal - s) < 4.0
    side = people.goal_side[p] if arriving else people.side[p]
    # A short look ahead keeps the path; straight at a goal that is nearer than that.
    ahead = min(3.0, max(abs(goal - s), 0.5)) if crosses or arriving else 3.0
    x, y, _ = line_point(graph.walks, people.walk[p], s + way * ahead, side)
    speed = people.free_speed[p] * people.pace[p]
    if people.leader[p] != people.uid[p]:
        for q in range(p):
            if people.uid[q] == people.leader[p] and people.walk[q] == people.walk[p]:
                lag = way * (project(graph.walks, people.walk[q], people.x[q], people.y[q])[0] - s)
                speed *= 1.0 + min(max(0.15 * lag, -0.3), 0.3)  # keeps level with the group
    return _towards(x - people.x[p], y - people.y[p], speed)


@kernel
def _wanted_velocity(p: int, people: Pedestrians, graph: RoadGraph, s: float) -> tuple[float, float]:
    state, free = people.intent[p], people.free_speed[p]
    to_kerb_x, to_kerb_y = people.kerb_x[p] - people.x[p], people.kerb_y[p] - people.y[p]
    if people.halt[p] > 0.0 or state == _PAUSING:
        return 0.0, 0.0
    if state == _WALKING:
        return _along_the_walk(p, people, graph, s)
    if state == _APPROACHING:
        near = min(math.hypot(to_kerb_x, to_kerb_y) / 2.0, 1.0)
        return _towards(to_kerb_x, to_kerb_y, free * max(near, 0.5))
    if state == _WAITING:
        return _towards(to_kerb_x, to_kerb_y, min(0.6 * math.hypot(to_kerb_x, to_kerb_y), 0.4))
    if state == _TURNING:
        return _towards(to_kerb_x, to_kerb_y, free * 1.15)
    dx, dy = people.far_x[p] - people.kerb_x[p], people.far_y[p] - people.kerb_y[p]
    way = math.hypot(dx, dy)
    done = (dx * (people.x[p] - people.kerb_x[p]) + dy * (people.y[p] - people.kerb_y[p])) / way
    ahead = min(done + 2.5, way + 0.5) / way
    x, y = people.kerb_x[p] + ahead * dx, people.kerb_y[p] + ahead * dy
    return _towards(x - people.x[p], y - people.y[p], free * people.pace[p])


@kernel
def _push_of_others(p: int, people: Pedestrians, wanted_x: float, wanted_y: float) -> tuple[float, float]:
    fx, fy = 0.0, 0.0
    wanted = math.hypot(wanted_x, wanted_y)
    for q in range(len(people.uid)):
        dx, dy = people.x[p] - people.x[q], people.y[p] - people.y[q]
        if q == p or dx * dx + dy * dy > 16.0:
            continue
        now = math.hypot(dx, dy)
        ax = dx + ANTICIPATE_S * (people.vx[p] - people.vx[q])
        ay = dy + ANTICIPATE_S * (people.vy[p] - people.vy[q])
        if ax * dx + ay * dy < 0.0:  # they would have passed through each other: push along the present line
            ax, ay = 0.1 * dx, 0.1 * dy
        soon = max(math.hypot(ax, ay), 1e-3)
        strength = PUSH * math.exp((BODY_M - soon) / PUSH_RANGE_M)
        if people.leader[p] == people.leader[q]:
            strength *= 0.3
        strength = min(strength, 2.0 * PUSH)
        if wanted > 0.1:
            facing = -(wanted_x * dx + wanted_y * dy) / (wanted * max(now, 1e-3))
            strength *= BEHIND + (1.0 - BEHIND) * 0.5 * (1.0 + facing)
        ux, uy = ax / soon, ay / soon
        # A little to the right, so that two who meet head-on do not stop face to face.
        fx += strength * (ux + 0.25 * uy)
        fy += strength * (uy - 0.25 * ux)
        if now < BODY_M and now > 1e-6:
            fx += 15.0 * (BODY_M - now) * dx / now
            fy += 15.0 * (BODY_M - now) * dy / now
    return fx, fy


@kernel
def _push_of_cars(p: int, people: Pedestrians, cars: Vehicles) -> tuple[float, float]:
    """Keeps those on the road out of the boxes of vehicles."""
    fx, fy = 0.0, 0.0
    for j in range(len(cars.uid)):
        dx, dy, distance = from_box(people.x[p], people.y[p], j, cars)
        if distance < 0.7 and distance > 1e-6:
            fx += 5.0 * (0.7 - distance) * dx / distance
            fy += 5.0 * (0.7 - distance) * dy / distance
    return fx, fy


@kernel
def from_box(x: float, y: float, j: int, cars: Vehicles) -> tuple[float, float, float]:
    """Vector from the nearest point of vehicle j's box to (x, y), and its length; zero inside the box."""
    c, s = math.cos(cars.yaw[j]), math.sin(cars.yaw[j])
    rx, ry = x - cars.x[j], y - cars.y[j]
    u, v = c * rx + s * ry, c * ry - s * rx
    du = u - min(max(u, -0.5 * cars.length[j]), 0.5 * cars.length[j])
    dv = v - min(max(v, -0.5 * cars.width[j]), 0.5 * cars.width[j])
    return c * du - s * dv, s * du + c * dv, math.hypot(du, dv)


@kernel
def _stay_on_the_walk(
    p: int, people: Pedestrians, graph: RoadGraph, s: float, d: float
) -> tuple[float, float]:
    beyond = abs(d) - (0.5 * graph.walk_width[people.walk[p]] - 0.4 * BODY_M)
    if beyond <= 0.0:
        return 0.0, 0.0
    yaw = line_point(graph.walks, people.walk[p], s, 0.0)[2]
    back = -8.0 * beyond if d > 0.0 else 8.0 * beyond
    return -back * math.sin(yaw), back * math.cos(yaw)


@kernel
def _limited(vx: float, vy: float, ax: float, ay: float, dt: float) -> tuple[float, float]:
    """The next velocity, within the limits of a body."""
    size = math.hypot(ax, ay)
    if size > MAX_ACCELERATION:
        ax, ay = ax * MAX_ACCELERATION / size, ay * MAX_ACCELERATION / size
    nx, ny = vx + ax * dt, vy + ay * dt
    old, new = math.hypot(vx, vy), math.hypot(nx, ny)
    if old > 0.4 and new > 1e-6:
        turn = math.atan2(vx * ny - vy * nx, vx * nx + vy * ny)
        if abs(turn) > MAX_TURN * dt:  # less of a turn is also less of an acceleration
            turn = math.copysign(MAX_TURN * dt, turn)
            c, s = math.cos(turn) * new / old, math.sin(turn) * new / old
            nx, ny = c * vx - s * vy, s * vx + c * vy
    if new > MAX_SPEED:
        nx, ny = nx * MAX_SPEED / new, ny * MAX_SPEED / new
    return nx, ny


@kernel
def _face(p: int, people: Pedestrians, dt: float) -> None:
    """The body turns to where it walks, or over the road while waiting."""
    if math.hypot(people.vx[p], people.vy[p]) > 0.2:
        wanted = math.atan2(people.vy[p], people.vx[p])
    elif people.intent[p] == _WAITING:
        wanted = math.atan2(people.far_y[p] - people.kerb_y[p], people.far_x[p] - people.kerb_x[p])
    else:
        return
    turn = (wanted - people.yaw[p] + math.pi) % (2.0 * math.pi) - math.pi
    people.yaw[p] += min(max(turn, -4.0 * dt), 4.0 * dt)


@kernel
def integrate(people: Pedestrians, cars: Vehicles, graph: RoadGraph, dt: float) -> None:
    """Moves every pedestrian by dt seconds; all forces are taken from the same instant."""
    count = len(people.uid)
    force = np.zeros((count, 2))
    for p in range(count):
        s, d = project(graph.walks, people.walk[p], people.x[p], people.y[p])
        wx, wy = _wanted_velocity(p, people, graph, s)
        ox, oy = _push_of_others(p, people, wx, wy)
        ax, ay = (wx - people.vx[p]) / RELAX_S + ox, (wy - people.vy[p]) / RELAX_S + oy
        if people.intent[p] >= _CROSSING:
            bx, by = _push_of_cars(p, people, cars)
        else:
            bx, by = _stay_on_the_walk(p, people, graph, s, d)
        ax, ay = ax + bx, ay + by
        if wx * wx + wy * wy > 0.04:
            ax, ay = ax + people.gait_x[p], ay + people.gait_y[p]
        force[p, 0], force[p, 1] = ax, ay
    for p in range(count):
        people.vx[p], people.vy[p] = _limited(people.vx[p], people.vy[p], force[p, 0], force[p, 1], dt)
        people.x[p] += people.vx[p] * dt
        people.y[p] += people.vy[p] * dt
        _face(p, people, dt)
