"""Looking along the path: the lanes that a driver has chosen, and points on the way its body will take."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines
from drivewm_sim.randomness import ROUTE, uniform
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.state import PATH, Model, Vehicles
from drivewm_sim.street.vectors import wrapped

STEP_M = 2.5  # between points on the way
POINTS = 33  # 80 m
SETTLE_M = 10.0  # way over which a body comes to where its driver steers to
STRAIGHT_ON = 3  # times as many drive straight on as turn to either side
_TURN = 0.5  # rad
_BIKING = int(LaneUse.BIKING)
_VAN, _TRUCK, _BUS = int(Model.VAN), int(Model.TRUCK), int(Model.BUS)
_BICYCLE = int(Model.BICYCLE)


class Ahead(NamedTuple):
    """One driver's path, from its box centre on; filled anew for each. Axes: N lanes, K points."""

    counts: Int[ndarray, "2"]  # lanes, points
    lane: Int[ndarray, "N"]  # the present one first
    at: Float[ndarray, "N"]  # m from the box centre to where the lane begins, along the path
    x: Float[ndarray, "K"]  # every STEP_M
    y: Float[ndarray, "K"]
    yaw: Float[ndarray, "K"]  # continuous


@kernel
def no_view() -> Ahead:
    """Room for one driver's view."""
    return Ahead(
        np.zeros(2, np.int64), np.empty(PATH + 1, np.int64), np.empty(PATH + 1),
        np.empty(POINTS), np.empty(POINTS), np.empty(POINTS),
    )  # fmt: skip


@kernel
def _suits(model: int, lane: int, biking: bool, heavy: bool, least: float, lanes: LaneGraph) -> bool:
    """Whether a model goes there. `biking`: a lane for cyclists is at hand; `heavy`: so is a wide one.

    `least`: m/s with which it will at least get there.
    """
    if lanes.cap[lanes.lines.start[lane]] < least:
        return False
    if model == _BICYCLE:
        return (lanes.use[lane] == _BIKING) == biking
    return lanes.use[lane] != _BIKING and (lanes.heavy[lane] or not heavy)


@kernel
def _weight(model: int, lane: int, biking: bool, heavy: bool, least: float, lanes: LaneGraph) -> int:
    """How likely a way is taken: not at all, or straight on more often than a turn."""
    if not _suits(model, lane, biking, heavy, least, lanes):
        return 0
    a, b = lanes.lines.start[lane], lanes.lines.start[lane + 1] - 1
    return STRAIGHT_ON if abs(lanes.lines.yaw[b] - lanes.lines.yaw[a]) < _TURN else 1


@kernel
def choose_next(lane: int, i: int, cars: Vehicles, lanes: LaneGraph, seed: int) -> int:
    """One of the lanes that follow, by chance; -1 where none does. Long vehicles avoid tight bends."""
    a, b = lanes.next_start[lane], lanes.next_start[lane + 1]
    model, biking, heavy = cars.model[i], False, False
    for k in range(a, b):
        biking = biking or lanes.use[lanes.next[k]] == _BIKING
        heavy = heavy or lanes.heavy[lanes.next[k]]
    heavy = heavy and model in (_BUS, _TRUCK)
    # Who has just changed lanes before a junction can no longer take any turn.
    least = 0.0
    if lane == cars.lane[i]:
        room = max(lanes.length[lane] - cars.s[i], 0.0)
        least = math.sqrt(max(cars.speed[i] ** 2 - 2.0 * cars.comfort[i] * room, 0.0))
    count = 0
    for k in range(a, b):
        count += _weight(model, lanes.next[k], biking, heavy, least, lanes)
    if count == 0 and least > 0.0:
        least = 0.0
        for k in range(a, b):
            count += _weight(model, lanes.next[k], biking, heavy, least, lanes)
    if count == 0:
        return -1
    pick = int(uniform(seed, cars.uid[i], ROUTE, cars.turns[i], 0) * count) if count > 1 else 0
    for k in range(a, b):
        pick -= _weight(model, lanes.next[k], biking, heavy, least, lanes)
        if pick < 0:
            return lanes.next[k]
    return -1


@inlined
def keep_path(i: int, cars: Vehicles, lanes: LaneGraph, seed: int) -> None:
    """Fills up the path of row i."""
    if cars.path[i, PATH - 1] >= 0:
        return
    last = cars.lane[i]
    for k in range(PATH):
        if cars.path[i, k] < 0:
            cars.path[i, k] = choose_next(last, i, cars, lanes, seed)
            if cars.path[i, k] < 0:
                return
            cars.turns[i] += 1
        last = cars.path[i, k]


@kernel
def horizon(speed: float) -> float:
    """How far ahead (m) a driver must know what there is: to stop at leisure, and 25 m at least."""
    return min(max(2.5 * speed + speed * speed / 3.0 + 5.0, 25.0), (POINTS - 1) * STEP_M)


@kernel
def _span(lines: Lines, k: int) -> tuple[int, int, float]:
    """First and last point of a line, and metres between points."""
    return lines.start[k], lines.start[k + 1] - 1, lines.step[k]


@inlined
def look_ahead(i: int, reach: float, cars: Vehicles, lanes: LaneGraph, out: Ahead) -> None:
    """Fills the view of row i up to `reach` metres."""
    count, at = 1, -cars.s[i]
    out.lane[0], out.at[0] = cars.lane[i], at
    for k in range(PATH):
        at += lanes.length[out.lane[k]]
        if cars.path[i, k] < 0 or at > reach:
            break
        out.lane[count], out.at[count] = cars.path[i, k], at
        count += 1
    out.counts[0] = count
    points = min(int(reach / STEP_M) + 2, POINTS)
    lines, k, before = lanes.lines, 0, cars.yaw[i]
    aim, drift = cars.aim[i], cars.offset[i] - cars.aim[i]
    first, last, step = _span(lines, out.lane[0])
    for m in range(points):
        u = m * STEP_M
        while k + 1 < count and u >= out.at[k + 1]:
            k += 1
            first, last, step = _span(lines, out.lane[k])
        # As `line_point`, but without sine and cosine on the centre line.
        w = (u - out.at[k]) / step
        n = min(max(int(w), 0), last - first - 1)
        w -= n
        n += first
        x, y = lines.x[n] + w * (lines.x[n + 1] - lines.x[n]), lines.y[n] + w * (lines.y[n + 1] - lines.y[n])
        yaw = lines.yaw[n] + min(max(w, 0.0), 1.0) * (lines.yaw[n + 1] - lines.yaw[n])
        d = aim + drift * max(1.0 - u / SETTLE_M, 0.0)
        if abs(d) > 0.02:
            x, y = x - d * math.sin(yaw), y + d * math.cos(yaw)
        if abs(yaw - before) > math.pi:
            yaw = before + wrapped(yaw - before)
        out.x[m], out.y[m], out.yaw[m] = x, y, yaw
        before = yaw
    out.counts[1] = points


@kernel
def place(x: float, y: float, view: Ahead) -> tuple[float, float, float]:
    """Metres along the way from the box centre, metres to its left, and its direction there."""
    last = view.counts[1] - 1
    best, nearest = 0, math.inf
    for m in range(0, last + 1, 4):
        distance = (view.x[m] - x) ** 2 + (view.y[m] - y) ** 2
        if distance < nearest:
            best, nearest = m, distance
    for m in range(max(best - 3, 0), min(best + 4, last + 1)):
        distance = (view.x[m] - x) ** 2 + (view.y[m] - y) ** 2
        if distance < nearest:
            best, nearest = m, distance
    # Of the two pieces at the nearest point, the one on whose side the point lies.
    rx, ry = x - view.x[best], y - view.y[best]
    forward = rx * math.cos(view.yaw[best]) + ry * math.sin(view.yaw[best])
    m = min(best, last - 1) if forward >= 0.0 else max(best - 1, 0)
    tx, ty = view.x[m + 1] - view.x[m], view.y[m + 1] - view.y[m]
    length = max(math.hypot(tx, ty), 1e-6)
    rx, ry = x - view.x[m], y - view.y[m]
    w = (rx * tx + ry * ty) / (length * length)
    return (m + w) * STEP_M, (tx * ry - ty * rx) / length, view.yaw[m]


@kernel
def bounds(reach: float, view: Ahead) -> tuple[float, float, float, float]:
    """The box round the way up to `reach` metres: lowest and highest x, lowest and highest y."""
    last = min(int(reach / STEP_M) + 1, view.counts[1] - 1)
    low_x, high_x, low_y, high_y = view.x[0], view.x[0], view.y[0], view.y[0]
    for m in range(1, last + 1):
        low_x, high_x = min(low_x, view.x[m]), max(high_x, view.x[m])
        low_y, high_y = min(low_y, view.y[m]), max(high_y, view.y[m])
    return low_x, high_x, low_y, high_y


@kernel
def direction(u: float, view: Ahead) -> float:
    """Direction of the way `u` metres ahead."""
    m = min(max(int(u / STEP_M), 0), view.counts[1] - 2)
    w = min(max(u / STEP_M - m, 0.0), 1.0)
    return view.yaw[m] + w * (view.yaw[m + 1] - view.yaw[m])


@inlined
def speed_allowed(i: int, cars: Vehicles, lanes: LaneGraph, view: Ahead) -> float:
    """m/s that limits and bends, here and on the way, allow this driver."""
    factor = 1.0
    if cars.model[i] in (_VAN, _BUS, _TRUCK):  # long ones need the bend slower to stay on their line
        factor = 0.85
    allowed = 1e3
    for k in range(view.counts[0]):
        lane = view.lane[k]
        a, b = lanes.lines.start[lane], lanes.lines.start[lane + 1] - 1
        # A driver is a moment ahead of the bend, as slowing takes time.
        s = max(0.8 * cars.speed[i] - view.at[k], 0.0)
        cap = factor * lanes.cap[min(a + int(s / lanes.lines.step[lane]), b)]
        room = max(view.at[k] - 0.8 * cars.speed[i], 0.0)
        allowed = min(allowed, math.sqrt(cap * cap + 3.0 * room))
        limit = lanes.limit[lane] * cars.desired[i]
        allowed = min(allowed, math.sqrt(limit * limit + 2.0 * max(view.at[k], 0.0)))
    return allowed
