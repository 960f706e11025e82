"""How pedestrians move: to a target, around each other, within what a body can do (the operational layer).

Forces are those of the social force model (Helbing and Molnar 1995) with predicted closest approach
(Zanlungo, Ikeda and Kanda 2011). What must not happen (overlap, a wall, the kerb) is a limit on the velocity
towards it: as fast as still allows to stop. Accelerations, turns and speeds are limited, so nobody jumps.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines, line_height
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street.inlining import borrowed, inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.passing import CAR_REACH_M, LEVEL_M, from_box, preferred, room
from drivewm_sim.street.state import WAY, Controller, Pedestrians, Vehicles
from drivewm_sim.street.vectors import NEARLY, beyond, longer, shortened, wrapped

MAX_SPEED = 3.4  # m/s
MAX_ACCELERATION = 3.9  # m/s^2; what walkers like is less:
EASY_ACCELERATION, QUICK_ACCELERATION = 1.3, 3.0
STEPS_OFF, STEPS_OFF_S = 2.0, 0.45  # of who leaves a kerb, m/s^2 and relaxation
MAX_TURN = 3.5  # rad/s, of the direction walked and of the body
TURNS_FREELY_MPS = 0.4  # slower than this one may step to any side
RELAX_S, STOP_RELAX_S = 0.6, 0.3
BODY_M = 0.46  # between the middles of two who touch
SEES_M = 4.5
SOON_S = 2.5  # closest approaches later than this do not matter yet
COMFORT_M = 0.9  # people like to pass at this distance ...
COMFORT_GROUP_M = 0.62  # ... less beside a friend
PUSH, PUSH_S = 3.2, 1.0  # m/s^2 at full urgency, fading with the time until the closest approach
RIGHT = 0.25  # bias that lets those who meet head-on pass each other on the right
BEHIND = 0.25  # weight of those one does not see
BRAKE = 2.0  # m/s^2 that each counts on to stop before the other, a wall, the kerb
NEAR_ROAD_M = 3.0  # from the kerb vehicles matter
FACE_S = 0.15  # in which a body turns to where it walks
SHUFFLES_MPS = 0.6  # who waits at a kerb and is slower than this steps aside without turning
ENDS_M = 8.0  # from the end of a strip the next one may begin
BOX_M, CAR_M = 0.27, 0.4  # between a middle and a wall, a vehicle
BOX_NEAR_M, CAR_NEAR_M = 1.5, 1.6  # further away they do not matter
LIMITS = 16  # of one velocity at a time
SWAY_M, STEP_MPS = 0.015, 0.08  # a body swings to the side with every stride, forward with every step
STRIDES_HZ, STRIDES_PER_M = 0.5, 0.32  # strides a second: 0.92 at 1.3 m/s
_WAITING, _TURNING, _RUNNING = int(Intent.WAITING), int(Intent.TURNING_BACK), int(Intent.RUNNING)
_CROSSING = int(Intent.CROSSING)
_SCRIPTED, _PLAZA = int(Controller.SCRIPTED), int(EdgeKind.PLAZA)


@inlined
def _pass_by(
    p: int, q: int, dx: float, dy: float, wx: float, wy: float, people: Pedestrians
) -> tuple[float, float]:
    """Acceleration with which row p, who wants to go along (wx, wy), avoids row q, who is (dx, dy) away."""
    ux, uy = people.vx[p] - people.vx[q], people.vy[p] - people.vy[q]
    closing2 = ux * ux + uy * uy
    soon = 0.0
    if closing2 > 0.01:
        soon = min(max((dx * ux + dy * uy) / closing2, 0.0), SOON_S)
    mx, my = dx - ux * soon, dy - uy * soon
    together = people.leader[p] == people.leader[q]
    comfort = COMFORT_GROUP_M if together else COMFORT_M
    if mx * mx + my * my > comfort * comfort * (1.0 + NEARLY):
        return 0.0, 0.0
    miss = math.hypot(mx, my)
    if miss >= comfort:
        return 0.0, 0.0
    strength = PUSH * (1.0 - miss / comfort) * math.exp(-soon / PUSH_S)
    now = math.hypot(dx, dy)
    if wx != 0.0 or wy != 0.0:
        facing = (wx * dx + wy * dy) / max(now, 1e-6)
        strength *= BEHIND + (1.0 - BEHIND) * 0.5 * (1.0 + facing)
    if miss > 0.02:
        ax, ay = -mx / miss, -my / miss
    else:
        ax, ay = -dx / max(now, 1e-6), -dy / max(now, 1e-6)
    if closing2 > 0.01 and not together:
        closing = math.sqrt(closing2)
        # To the right of the approach, the more so the straighter it is.
        straight = RIGHT + 0.75 * max(1.0 - miss / 0.3, 0.0)
        ax, ay = ax + straight * uy / closing, ay - straight * ux / closing
    return strength * ax, strength * ay


@inlined
def _limit(limits: Float[ndarray, "L 3"], count: int, x: float, y: float, most: float) -> int:
    """Notes that the velocity along the unit vector (x, y) may be at most `most`; gives the new count."""
    if count < LIMITS:
        limits[count, 0], limits[count, 1], limits[count, 2] = x, y, most
        return count + 1
    return count


@inlined
def _still_stops(distance: float) -> float:
    """The speed from which one stops within a distance (m); backwards when it is negative."""
    return math.sqrt(2.0 * BRAKE * distance) if distance > 0.0 else max(3.0 * distance, -0.8)


@inlined
def _others(
    p: int, wx: float, wy: float, people: Pedestrians, occ: Occupancy, limits: Float[ndarray, "L 3"]
) -> tuple[float, float, int]:
    """Acceleration for the sake of others, and limits of the velocity towards those who are near."""
    fx, fy, count = 0.0, 0.0, 0
    x, y = people.x[p], people.y[p]
    for i in range(math.floor((x - SEES_M) / CELL_M), math.floor((x + SEES_M) / CELL_M) + 1):
        for j in range(math.floor((y - SEES_M) / CELL_M), math.floor((y + SEES_M) / CELL_M) + 1):
            cell = bucket_of_cell(i, j)
            for m in range(occ.person_first[cell], occ.person_first[cell + 1]):
                q = occ.person_rows[m]
                dx, dy = people.x[q] - x, people.y[q] - y
                far2 = dx * dx + dy * dy
                if q == p or far2 > SEES_M * SEES_M or abs(people.z[q] - people.z[p]) > LEVEL_M:
                    continue
                ax, ay = _pass_by(p, q, dx, dy, wx, wy, people)
                fx, fy = fx + ax, fy + ay
                if far2 < 1.8 * 1.8 and far2 > 1e-12:
                    now = math.sqrt(far2)
                    dx, dy = dx / now, dy / now
                    own = people.vx[p] * dx + people.vy[p] * dy
                    theirs = -(people.vx[q] * dx + people.vy[q] * dy)
                    spare = _still_stops(now - BODY_M) - own - theirs
                    # Each takes the share of the approach that is its own.
                    share = 0.5
                    if people.controller[q] == _SCRIPTED:
                        share = 1.0
                    elif spare < 0.0 and (own > 0.0 or theirs > 0.0):
                        share = max(own, 0.0) / (max(own, 0.0) + max(theirs, 0.0))
                    count = _limit(limits, count, dx, dy, own + share * spare)
    return fx, fy, count


@inlined
def _vehicles(
    p: int, count: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, limits: Float[ndarray, "L 3"]
) -> tuple[float, float, int]:
    """Acceleration away from vehicles beside one, and limits of the velocity towards them."""
    fx, fy = 0.0, 0.0
    x, y = people.x[p], people.y[p]
    for i in range(math.floor((x - CAR_REACH_M) / CELL_M), math.floor((x + CAR_REACH_M) / CELL_M) + 1):
        for j in range(math.floor((y - CAR_REACH_M) / CELL_M), math.floor((y + CAR_REACH_M) / CELL_M) + 1):
            cell = bucket_of_cell(i, j)
            for m in range(occ.car_first[cell], occ.car_first[cell + 1]):
                k = occ.car_rows[m]
                reach = 0.5 * cars.length[k] + 2.5
                if abs(cars.x[k] - x) > reach or abs(cars.y[k] - y) > reach:
                    continue
                if beyond(cars.x[k] - x, cars.y[k] - y, cars.length[k], cars.width[k], CAR_NEAR_M):
                    continue
                if abs(cars.z[k] - people.z[p]) > LEVEL_M:
                    continue
                dx, dy, distance = from_box(
                    x, y, cars.x[k], cars.y[k], math.cos(cars.yaw[k]), math.sin(cars.yaw[k]),
                    cars.length[k], cars.width[k],
                )  # fmt: skip
                if abs(distance) > CAR_NEAR_M or abs(distance) < 1e-9:
                    continue
                size = abs(distance)
                dx, dy = dx / size, dy / size
                if distance < 0.8 and cars.speed[k] > 0.5:
                    fx, fy = fx + 4.0 * (0.8 - distance) * dx, fy + 4.0 * (0.8 - distance) * dy
                count = _limit(limits, count, -dx, -dy, _still_stops(distance - CAR_M))
    return fx, fy, count


@inlined
def _boxes(p: int, count: int, people: Pedestrians, boxes: Boxes, limits: Float[ndarray, "L 3"]) -> int:
    """Limits of the velocity towards boxes."""
    for m in range(2):
        k = people.obstacle[p, m]
        if k < 0 or beyond(
            boxes.x[k] - people.x[p], boxes.y[k] - people.y[p], boxes.length[k], boxes.width[k], BOX_NEAR_M
        ):
            continue
        dx, dy, distance = from_box(
            people.x[p], people.y[p], boxes.x[k], boxes.y[k],
            math.cos(boxes.yaw[k]), math.sin(boxes.yaw[k]), boxes.length[k], boxes.width[k],
        )  # fmt: skip
        size = abs(distance)
        if 1e-9 < size < BOX_NEAR_M:
            count = _limit(limits, count, -dx / size, -dy / size, _still_stops(distance - BOX_M))
    return count


@inlined
def _edges(p: int, count: int, people: Pedestrians, limits: Float[ndarray, "L 3"]) -> int:
    """Limits of the velocity towards the edges of the strip, and the kerb of one who waits."""
    c, s, d = people.ahead_x[p], people.ahead_y[p], people.d[p]
    inside = people.room[p] - abs(d)
    if inside < 0.7:
        out = 1.0 if d > 0.0 else -1.0
        count = _limit(limits, count, -out * s, out * c, max(_still_stops(inside), -0.3))
    if math.isfinite(people.stop_s[p]):
        on = 1.0 if people.forward[p] else -1.0
        count = _limit(limits, count, on * c, on * s, _still_stops(on * (people.stop_s[p] - people.s[p])))
    return count


@inlined
def _limited(
    vx: float, vy: float, nx: float, ny: float, limits: Float[ndarray, "L 3"], count: int, dt: float
) -> tuple[float, float]:
    """The velocity that follows (vx, vy) when (nx, ny) is wanted, within limits and what a body can do."""
    for _ in range(2 if count > 1 else 1):  # mending one limit may break another
        for k in range(count):
            over = nx * limits[k, 0] + ny * limits[k, 1] - limits[k, 2]
            if over > 0.0:
                nx, ny = nx - over * limits[k, 0], ny - over * limits[k, 1]
    ax, ay = nx - vx, ny - vy
    if longer(ax, ay, MAX_ACCELERATION * dt):
        size = math.hypot(ax, ay)
        nx, ny = vx + ax * MAX_ACCELERATION * dt / size, vy + ay * MAX_ACCELERATION * dt / size
    # An angle is less than its tangent: most turns are seen to be small without it.
    small = abs(vx * ny - vy * nx) < (1.0 - NEARLY) * MAX_TURN * dt * (vx * nx + vy * ny)
    if small and not longer(nx, ny, MAX_SPEED):
        return nx, ny
    old, new = math.hypot(vx, vy), math.hypot(nx, ny)
    if old > TURNS_FREELY_MPS and new > 1e-6:
        turn = math.atan2(vx * ny - vy * nx, vx * nx + vy * ny)
        if abs(turn) > MAX_TURN * dt:  # less of a turn is also less of an acceleration
            turn = math.copysign(MAX_TURN * dt, turn)
            c, s = math.cos(turn) * new / old, math.sin(turn) * new / old
            nx, ny = c * vx - s * vy, s * vx + c * vy
    if new > MAX_SPEED:
        nx, ny = nx * MAX_SPEED / new, ny * MAX_SPEED / new
    return nx, ny


@inlined
def nearest_s(lines: Lines, k: int, guess: float, x: float, y: float) -> tuple[float, float]:
    """s and d of a point on line k, searched from s = `guess`; it goes on straight beyond its ends."""
    first, step = lines.start[k], lines.step[k]
    last = lines.start[k + 1] - first - 2
    cell = min(max(math.floor(guess / step), 0), last)
    way, w, d = 0, 0.0, 0.0
    for _ in range(last + 2):
        i = first + cell
        tx, ty = (lines.x[i + 1] - lines.x[i]) / step, (lines.y[i + 1] - lines.y[i]) / step
        rx, ry = x - lines.x[i], y - lines.y[i]
        w, d = (rx * tx + ry * ty) / step, tx * ry - ty * rx
        if w > 1.0 and cell < last and way >= 0:
            cell, way = cell + 1, 1
        elif w < 0.0 and cell > 0 and way <= 0:
            cell, way = cell - 1, -1
        else:
            break
    if cell < last:
        w = min(w, 1.0)
    if cell > 0:
        w = max(w, 0.0)
    return (cell + w) * step, d


@inlined
def _step_onto_next(p: int, people: Pedestrians, walks: WalkGraph, lines: Lines) -> None:
    """Near the end of a strip: the next one begins where one steps onto it."""
    for _ in range(3):
        edge, following, forward = people.edge[p], people.way[p, 0], people.forward[p]
        rest = walks.length[edge] - people.s[p] if forward else people.s[p]
        if following < 0 or rest > 0.5 * walks.width[following] + 0.5:
            return
        node = walks.head[edge] if forward else walks.tail[edge]
        onward = walks.tail[following] == node
        start = 0.0 if onward else walks.length[following]
        s, d = nearest_s(lines, following, start, people.x[p], people.y[p])
        begun = s if onward else walks.length[following] - s
        if rest > 0.0 and (begun < 0.0 or abs(d) > room(walks, following)):
            return
        people.edge[p], people.s[p], people.d[p], people.forward[p] = following, s, d, onward
        for k in range(WAY - 1):
            people.way[p, k] = people.way[p, k + 1]
        people.way[p, WAY - 1] = -1
        people.aside[p] = preferred(people.side[p], walks.walked, following, onward)
        people.room[p], people.stop_s[p] = math.inf, math.inf  # until the next decision


@inlined
def _face(p: int, people: Pedestrians, dt: float) -> None:
    """The body turns to where it walks, or over the road while waiting, even when it is pushed about."""
    waits = people.intent[p] == _WAITING and people.crossing[p] == people.edge[p]
    if longer(people.vx[p], people.vy[p], SHUFFLES_MPS if waits else 0.25):
        wanted = math.atan2(people.vy[p], people.vx[p])
    elif waits:
        wanted = math.atan2(people.ahead_y[p], people.ahead_x[p])
        if not people.forward[p]:
            wanted += math.pi
    else:
        return
    turn = wrapped(wanted - people.yaw[p])
    turn = min(max(turn * min(dt / FACE_S, 1.0), -MAX_TURN * dt), MAX_TURN * dt)
    people.yaw[p] = wrapped(people.yaw[p] + turn)


@inlined
def _stride(p: int, people: Pedestrians, tick: int) -> tuple[float, float]:
    """Acceleration forward and to the left by which a walking body swings; everybody in their own way."""
    uid = people.uid[p]
    often = 2.0 * math.pi * (STRIDES_HZ + STRIDES_PER_M * people.free_speed[p])
    phase = often * DECISION_S * tick + 2.0 * math.pi * ((uid * 0.6180339887) % 1.0)
    widely = SWAY_M * (0.5 + (uid * 0.7548776662) % 1.0)
    return 2.0 * often * STEP_MPS * math.sin(2.0 * phase), often * often * widely * math.sin(phase)


@inlined
def _next_velocity(
    p: int, open_ground: bool, people: Pedestrians, cars: Vehicles, occ: Occupancy, boxes: Boxes,
    limits: Float[ndarray, "L 3"], tick: int, dt: float,
) -> tuple[float, float]:  # fmt: skip
    """The velocity of row p after dt seconds; `open_ground`: vehicles may come anywhere."""
    wx, wy, vx, vy = people.want_x[p], people.want_y[p], people.vx[p], people.vy[p]
    wanted = math.hypot(wx, wy)
    quick = people.intent[p] == _RUNNING or wanted == 0.0
    relax, most = (STOP_RELAX_S, QUICK_ACCELERATION) if quick else (RELAX_S, EASY_ACCELERATION)
    if people.intent[p] == _CROSSING and vx * vx + vy * vy < 1.0:
        relax, most = STEPS_OFF_S, STEPS_OFF
    ax, ay = shortened((wx - vx) / relax, (wy - vy) / relax, most)
    ux, uy = (wx / wanted, wy / wanted) if wanted > 0.05 else (0.0, 0.0)
    fx, fy, count = _others(p, ux, uy, people, occ, limits)
    # Those who stand give way a little.
    fx, fy = shortened(fx, fy, QUICK_ACCELERATION if wanted > 0.05 else 0.3 * QUICK_ACCELERATION)
    ax, ay = ax + fx, ay + fy
    if open_ground or (people.crossing[p] >= 0 and people.kerb[p] < NEAR_ROAD_M):
        fx, fy, count = _vehicles(p, count, people, cars, occ, limits)
        ax, ay = ax + fx, ay + fy
    if wanted > 0.2:
        on, left = _stride(p, people, tick)
        ax, ay = ax + people.gait_x[p] + on * ux - left * uy, ay + people.gait_y[p] + on * uy + left * ux
    if people.obstacle[p, 0] >= 0:
        count = _boxes(p, count, people, boxes, limits)
    count = _edges(p, count, people, limits)
    ax, ay = shortened(ax, ay, QUICK_ACCELERATION)
    return _limited(vx, vy, vx + ax * dt, vy + ay * dt, limits, count, dt)


@kernel
def integrate(
    people: Pedestrians, cars: Vehicles, occ: Occupancy, street: Street, seed: int, tick: int, dt: float
) -> None:
    """Moves every pedestrian but scripted ones by dt seconds; all forces are taken from the same instant.

    The noise of the gait is drawn once a decision, so `seed` changes nothing here.
    """
    people, cars, occ = borrowed(people), borrowed(cars), borrowed(occ)
    walks, boxes = borrowed(street.walks), borrowed(street.boxes)
    velocity, limits = np.empty((len(people.uid), 2)), np.empty((LIMITS, 3))
    lines, length = walks.lines, walks.length
    for p in range(len(people.uid)):
        if people.controller[p] != _SCRIPTED:
            open_ground = walks.kind[people.edge[p]] == _PLAZA
            velocity[p, 0], velocity[p, 1] = _next_velocity(
                p, open_ground, people, cars, occ, boxes, limits, tick, dt
            )
    for p in range(len(people.uid)):
        if people.controller[p] == _SCRIPTED:
            continue
        people.vx[p], people.vy[p] = velocity[p, 0], velocity[p, 1]
        people.x[p] += people.vx[p] * dt
        people.y[p] += people.vy[p] * dt
        edge = people.edge[p]
        people.s[p], people.d[p] = nearest_s(lines, edge, people.s[p], people.x[p], people.y[p])
        rest = length[edge] - people.s[p] if people.forward[p] else people.s[p]
        if rest < ENDS_M and people.way[p, 0] >= 0 and people.intent[p] != _TURNING:
            _step_onto_next(p, people, walks, lines)
            edge = people.edge[p]
        if edge == people.crossing[p]:
            people.along[p] = people.s[p]
        people.z[p] = line_height(lines, edge, people.s[p])
        _face(p, people, dt)
