"""How vehicles move: steering along the way, a kinematic bicycle, and where on which lane that is.

The rear axle rolls without slipping (Rajamani 2011, 2.2). Curvature is that of the path of the box centre.
"""

from __future__ import annotations

import math

from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines, line_height, line_point, project
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.swept import REAR_AXLE
from drivewm_sim.roads.town import Street
from drivewm_sim.simulator import Intent
from drivewm_sim.street.ahead import Ahead, direction
from drivewm_sim.street.following import EMERGENCY, HARD, LEVEL_M
from drivewm_sim.street.inlining import borrowed, inlined
from drivewm_sim.street.lane_change import forget_path
from drivewm_sim.street.state import PATH, Controller, Model, Vehicles
from drivewm_sim.street.vectors import wrapped

JERK = 8.0  # m/s^3 outside emergencies
EMERGENCY_JERK = 60.0
FADING = 0.75 * JERK  # m/s^3: the square of the braking per speed that is left
BACK_MPS = 0.8  # backwards
STRONGEST = 3.0  # m/s^2 of speeding up
SIDEWAYS = 3.6  # m/s^2
SIDEWAYS_JERK = 6.0  # m/s^3
LOST_M = 1.6  # beside its lane, a vehicle steered from outside may be on another one
_BRAKING, _YIELDING, _QUEUING = int(Intent.BRAKING), int(Intent.YIELDING), int(Intent.QUEUING)
_REVERSING = int(Intent.REVERSING)
_SCRIPTED, _EXTERNAL = int(Controller.SCRIPTED), int(Controller.EXTERNAL)
_BICYCLE = int(Model.BICYCLE)


@kernel
def tightest(model: int) -> float:
    """1/m that a model can steer."""
    return 0.5 if model == _BICYCLE else 0.2


@kernel
def slip(i: int, cars: Vehicles) -> float:
    """Angle between the body and where its centre moves."""
    return math.asin(min(max(REAR_AXLE * cars.length[i] * cars.curvature[i], -0.9), 0.9))


@inlined
def _heading(i: int, u: float, cars: Vehicles, lanes: LaneGraph) -> float:
    """Direction of the way u metres ahead of the box centre; behind it if u is negative."""
    lane, s, k = cars.lane[i], cars.s[i] + u, 0
    if s < 0.0 and cars.came_from[i] >= 0:
        lane = cars.came_from[i]
        s += lanes.length[lane]
    else:
        while k < PATH and s > lanes.length[lane] and cars.path[i, k] >= 0:
            s -= lanes.length[lane]
            lane, k = cars.path[i, k], k + 1
    return line_point(lanes.lines, lane, s, 0.0)[2]


@kernel
def steer(i: int, cars: Vehicles, lanes: LaneGraph, view: Ahead) -> float:
    """Curvature (1/m) that follows the way: what bends there, and a critically damped return to it."""
    speed = cars.speed[i]
    # Steering takes time; the slip follows the wheels at once, so those of a long body turn, and turn
    # back, later than the way: where that is behind its middle, it is what bends there that counts.
    u = 0.2 * speed + 0.2 - REAR_AXLE * cars.length[i]
    bend = wrapped(_heading(i, u + 1.25, cars, lanes) - _heading(i, u - 1.25, cars, lanes)) / 2.5
    reach = max(2.5 + 0.15 * cars.length[i], 0.8 * speed)
    # The way begins at the body, so what is off it is only the direction ...
    turn = wrapped(cars.yaw[i] - direction(0.0, view))
    off = min(max(cars.offset[i] - cars.aim[i], -1.5), 1.5)  # ... and where in the lane that is
    # The slip follows the wheels at once: the curvature sought already has it.
    slips = 2.0 * REAR_AXLE * cars.length[i] / reach
    return (bend - 2.0 * turn / reach - off / (reach * reach)) / (1.0 + slips)


@kernel
def _limited(curvature: float, i: int, cars: Vehicles) -> float:
    """What the wheels and the tyres allow."""
    speed = cars.speed[i]
    most = min(tightest(cars.model[i]), SIDEWAYS / max(speed * speed, 0.1))
    return min(max(curvature, -most), most)


@kernel
def _change_speed(i: int, cars: Vehicles, dt: float) -> float:
    """Speed and acceleration after dt; the metres moved."""
    before, was = cars.speed[i], cars.acceleration[i]
    wanted = min(max(cars.command[i], -EMERGENCY), STRONGEST)
    down, up = JERK * dt, JERK * dt
    lowest = 0.0
    if before < 0.0 or cars.intent[i] == _REVERSING:
        lowest = -BACK_MPS
        if cars.intent[i] != _REVERSING:
            wanted = max(wanted, min(-4.0 * before, 1.5))  # rolls to a halt
    elif cars.controller[i] == _EXTERNAL or cars.intent[i] == _BRAKING:
        down, up = EMERGENCY_JERK * dt, EMERGENCY_JERK * dt
    else:
        # Braking fades out towards the halt, so that it ends without a jolt.
        wanted = max(wanted, -math.sqrt(FADING * before))
        if was < -HARD - 0.2:
            up = EMERGENCY_JERK * dt
    cars.acceleration[i] = was + min(max(wanted - was, -down), up)
    cars.speed[i] = max(before + cars.acceleration[i] * dt, lowest)
    if cars.speed[i] == lowest and cars.acceleration[i] < 0.0:
        cars.acceleration[i] = 0.0
    if cars.intent[i] != _REVERSING and -0.02 < cars.speed[i] < 0.0:
        cars.speed[i], cars.acceleration[i] = 0.0, 0.0
    return 0.5 * (before + cars.speed[i]) * dt


@kernel
def _move(i: int, moved: float, cars: Vehicles, dt: float) -> None:
    """Turns the wheels and rolls."""
    speed = cars.speed[i]
    rate = min(max(SIDEWAYS_JERK / max(speed * speed, 0.1), 0.05), 0.5) * dt
    change = _limited(cars.steer[i], i, cars) - cars.curvature[i]
    cars.curvature[i] = _limited(cars.curvature[i] + min(max(change, -rate), rate), i, cars)
    turn = cars.curvature[i] * moved
    heading = cars.yaw[i] + 0.5 * turn + slip(i, cars)
    cars.x[i] += moved * math.cos(heading)
    cars.y[i] += moved * math.sin(heading)
    cars.yaw[i] = wrapped(cars.yaw[i] + turn)


@kernel
def _near(lines: Lines, k: int, guess: float, x: float, y: float) -> tuple[float, float]:
    """s and d on line k near `guess`; beyond the ends the line goes on straight."""
    first, last, step = lines.start[k], lines.start[k + 1] - 1, lines.step[k]
    m = min(max(first + int(guess / step), first), last - 1)
    w, d = 0.0, 0.0
    for _ in range(4):
        tx, ty = lines.x[m + 1] - lines.x[m], lines.y[m + 1] - lines.y[m]
        rx, ry = x - lines.x[m], y - lines.y[m]
        length2 = tx * tx + ty * ty
        w, d = (rx * tx + ry * ty) / length2, (tx * ry - ty * rx) / math.sqrt(length2)
        if w < 0.0 and m > first:
            m -= 1
        elif w > 1.0 and m < last - 1:
            m += 1
        else:
            break
    return (m - first + w) * step, d


@kernel
def _next_lane(i: int, cars: Vehicles) -> None:
    """On to the next lane of the path."""
    cars.came_from[i] = cars.lane[i]
    cars.lane[i] = cars.path[i, 0]
    for k in range(PATH - 1):
        cars.path[i, k] = cars.path[i, k + 1]
    cars.path[i, PATH - 1] = -1
    cars.change_to[i] = -1


@inlined
def _locate(i: int, moved: float, cars: Vehicles, lanes: LaneGraph) -> None:
    """Where on the path the body is now."""
    guess = cars.s[i] + moved
    for _ in range(PATH):
        s, d = _near(lanes.lines, cars.lane[i], guess, cars.x[i], cars.y[i])
        cars.s[i], cars.offset[i] = s, d
        length = lanes.length[cars.lane[i]]
        if s < length or cars.path[i, 0] < 0:
            break
        guess = s - length
        _next_lane(i, cars)
    target = cars.change_to[i]
    if target >= 0:
        s, d = project(lanes.lines, target, cars.x[i], cars.y[i])
        if abs(d) < abs(cars.offset[i]):
            cars.aim[i] += d - cars.offset[i]
            cars.lane[i], cars.s[i], cars.offset[i] = target, s, d
            cars.came_from[i], cars.change_to[i] = -1, -1
            forget_path(i, cars)
    elif cars.controller[i] == _EXTERNAL and abs(cars.offset[i]) > LOST_M:
        _find(i, cars, lanes)
    cars.z[i] = line_height(lanes.lines, cars.lane[i], cars.s[i])


@kernel
def _find(i: int, cars: Vehicles, lanes: LaneGraph) -> None:
    """Puts a vehicle that has left its lane on the one that fits best, if one fits clearly better."""
    lines = lanes.lines
    best, least = -1, (abs(cars.offset[i]) - 0.4) ** 2
    for k in range(len(lanes.length)):
        for m in range(lines.start[k], lines.start[k + 1], 2):
            dx, dy = lines.x[m] - cars.x[i], lines.y[m] - cars.y[i]
            distance = dx * dx + dy * dy
            if distance > least + 4.0 or abs(lines.z[m] - cars.z[i]) > LEVEL_M:
                continue
            s, d = project(lines, k, cars.x[i], cars.y[i])
            yaw = line_point(lines, k, s, 0.0)[2]
            off = d * d + 4.0 * (1.0 - math.cos(yaw - cars.yaw[i]))
            if off < least and 0.0 < s < lanes.length[k]:
                best, least = k, off
            break
    if best >= 0 and best != cars.lane[i]:
        cars.s[i], d = project(lines, best, cars.x[i], cars.y[i])
        cars.aim[i] += d - cars.offset[i]
        cars.lane[i], cars.offset[i], cars.came_from[i] = best, d, -1
        forget_path(i, cars)


@kernel
def integrate(cars: Vehicles, street: Street, dt: float) -> None:
    """Moves every vehicle but the scripted ones by dt seconds, as its driver (or who steers it) commands."""
    c, lanes = borrowed(cars), borrowed(street.lanes)
    for i in range(len(c.uid)):
        if c.controller[i] == _SCRIPTED:
            continue
        moved = _change_speed(i, c, dt)
        _move(i, moved, c, dt)
        _locate(i, moved, c, lanes)
        speed = c.speed[i]
        if speed < 0.1:
            c.stood[i] += dt
        elif speed > 1.0:
            c.stood[i] = 0.0
        if speed > 2.5:
            c.waited[i] = 0.0
        elif speed < 0.3 and (c.intent[i] == _YIELDING or c.intent[i] == _QUEUING):
            c.waited[i] += dt


@kernel
def relocate(cars: Vehicles, rows: Int[ndarray, "n"], street: Street) -> None:
    """Finds these vehicles on the lanes again, after somebody else has moved them."""
    c, lanes = borrowed(cars), borrowed(street.lanes)
    for i in rows:
        _locate(i, 0.0, c, lanes)
        if c.change_to[i] < 0 and abs(c.offset[i]) > LOST_M:
            _find(i, c, lanes)
            c.z[i] = line_height(lanes.lines, c.lane[i], c.s[i])
