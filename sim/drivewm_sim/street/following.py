"""Car following: the intelligent-driver model, who is in front, and bodies in the way.

Treiber, Hennecke and Helbing (2000), terms clamped; the leader's speed is known as it was one reaction ago.
"""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.street.ahead import Ahead, bounds, direction, place
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.state import PAST, Model, Vehicles
from drivewm_sim.street.vectors import wrapped

ACCELERATION = 1.8  # m/s^2, IDM a; less for heavy vehicles and cyclists
HARD = 4.0  # m/s^2, the most a driver brakes outside an emergency
EMERGENCY = 8.0  # m/s^2, what the tyres give
MIN_GAP = 2.0  # m to a standing leader
LEVEL_M = 2.5  # of height: who is further up or down is on another level
BESIDE_CYCLIST_M = 1.1  # room that drivers leave beside a cyclist whom they pass
BESIDE_M = 0.25  # ... and beside a vehicle
SQUEEZE_S = 6.0  # of standing, after which room is scarce
CREEP_MPS = 1.0  # at which one who stands sets off
SLIM_M = 0.05  # ... where room is scarce
_LONGEST_M = 7.0  # from a vehicle's centre to its corner
_BICYCLE, _TRUCK, _BUS = int(Model.BICYCLE), int(Model.TRUCK), int(Model.BUS)


@kernel
def pull(model: int) -> float:
    """m/s^2 with which a model sets off."""
    return 1.0 if model in (_BICYCLE, _TRUCK) else (1.1 if model == _BUS else ACCELERATION)


@kernel
def idm(
    speed: float, desired: float, gap: float, closing: float, headway: float, min_gap: float,
    acceleration: float, comfort: float,
) -> float:  # fmt: skip
    """Acceleration (m/s^2) that follows a leader `gap` metres ahead, approached at `closing` m/s."""
    free = max(1.0 - (speed / max(desired, 0.1)) ** 4, -1.5)
    braking = speed * closing / (2.0 * math.sqrt(acceleration * comfort))
    wanted = min_gap + max(0.0, speed * headway + braking)
    return min(max(acceleration * (free - (wanted / max(gap, 0.1)) ** 2), -EMERGENCY), acceleration)


@kernel
def free_road(i: int, desired: float, cars: Vehicles) -> float:
    """Acceleration with nobody ahead."""
    return idm(
        cars.speed[i], desired, 1e6, 0.0, cars.headway[i], MIN_GAP, pull(cars.model[i]), cars.comfort[i]
    )


@kernel
def stop_at(i: int, u: float, desired: float, cars: Vehicles) -> float:
    """Acceleration that brings the front bumper to rest half a metre before `u` (m from the box centre)."""
    gap = u - 0.5 * cars.length[i]
    speed, model = cars.speed[i], cars.model[i]
    if gap < 0.1:
        return -HARD if speed > 0.2 else -1.0
    return idm(speed, desired, gap, speed, 0.3, 0.5, pull(model), cars.comfort[i])


@kernel
def follow(i: int, gap: float, leader_speed: float, desired: float, cars: Vehicles) -> float:
    """Acceleration behind a vehicle."""
    return idm(
        cars.speed[i], desired, gap, cars.speed[i] - leader_speed, cars.headway[i], MIN_GAP,
        pull(cars.model[i]), cars.comfort[i],
    )  # fmt: skip


@kernel
def _beside(i: int, o: int, cars: Vehicles) -> bool:
    """Whether o, in the same lane, leaves room enough to pass, now and where i steers to."""
    room = 0.5 * (cars.width[i] + cars.width[o])
    if cars.model[o] == _BICYCLE and cars.model[i] != _BICYCLE:
        room += BESIDE_CYCLIST_M
    elif cars.model[i] == _BICYCLE:
        room += 0.5 if cars.speed[o] < 0.3 else 1.5  # cyclists pass queues, not traffic
    else:
        room += BESIDE_M
    return abs(cars.offset[o] - cars.aim[i]) >= room and abs(cars.offset[o] - cars.offset[i]) >= room - 0.1


@inlined
def leader(i: int, cars: Vehicles, occ: Occupancy, lanes: LaneGraph, view: Ahead) -> tuple[int, float]:
    """The row of the vehicle in front on the path, and the gap (m, bumper to bumper); -1, 1e6: none."""
    for k in range(view.counts[0]):
        lane = view.lane[k]
        for m in range(occ.lane_first[lane], occ.lane_first[lane + 1]):
            o = occ.lane_rows[m]
            if o == i or (k == 0 and cars.s[o] <= cars.s[i]) or _beside(i, o, cars):
                continue
            if abs(cars.z[o] - cars.z[i]) < LEVEL_M:
                return o, view.at[k] + cars.s[o] - 0.5 * (cars.length[i] + cars.length[o])
    return -1, 1e6


@inlined
def cutting_in(i: int, cars: Vehicles, occ: Occupancy, lanes: LaneGraph) -> tuple[int, float]:
    """The row of the nearest vehicle ahead that moves into the lane of i, and the gap; -1, 1e6: none."""
    lane, who, nearest = cars.lane[i], -1, 1e6
    for side in range(2):
        beside = lanes.left[lane] if side == 0 else lanes.right[lane]
        if beside < 0:
            continue
        for m in range(occ.lane_first[beside], occ.lane_first[beside + 1]):
            o = occ.lane_rows[m]
            if cars.change_to[o] == lane and cars.s[o] > cars.s[i]:
                gap = cars.s[o] - cars.s[i] - 0.5 * (cars.length[i] + cars.length[o])
                if gap < nearest:
                    who, nearest = o, gap
    return who, nearest


@kernel
def stale_speed(o: int, lag: int, cars: Vehicles, tick: int) -> float:
    """The speed of row o as seen `lag` decisions ago."""
    return cars.past_speed[o, (tick - lag) % PAST]


@kernel
def swing(i: int, u: float, cars: Vehicles, view: Ahead) -> float:
    """Metres that the nose of i swings out of a bend to its right, when it is u metres ahead.

    The rear axle rolls 0.3 of the length behind the centre, which follows the way (`roads.swept`).
    """
    length = cars.length[i]
    turn = wrapped(direction(u, view) - direction(max(u - length, 0.0), view))
    turn += cars.curvature[i] * min(max(length - u, 0.0), length)  # the bend that lies behind already
    return min(max(0.275 * length * turn, -1.0), 1.0)


@kernel
def _across_path(
    i: int, o: int, half: float, slim: float, cars: Vehicles, view: Ahead
) -> tuple[float, float, float, float]:
    """Where the body of o lies in a band round the way of i, widened by what that body sweeps.

    half, slim: m to either side, of the band and of the body.

    Nearest u; its speeds along and across the way.

    The last value is how far (m) it must move across to be out of the band. u is inf if it is not in it.
    """
    c, s = math.cos(cars.yaw[o]), math.sin(cars.yaw[o])
    nearest, lowest, highest, yaw = math.inf, math.inf, -math.inf, 0.0
    for side in range(4):
        along = (0.5 if side < 2 else -0.5) * cars.length[o]
        left = (0.5 if side % 2 == 0 else -0.5) * cars.width[o]
        u, d, there = place(cars.x[o] + c * along - s * left, cars.y[o] + s * along + c * left, view)
        lowest, highest = min(lowest, d), max(highest, d)
        if u < nearest:
            nearest, yaw = u, there
    # Stop lines are where the nose of who turns just passes: no more room than that is asked for beside it.
    out = swing(i, nearest, cars, view)
    left, right = max(half, slim - out), max(half, slim + out)
    if lowest > left or highest < -right:
        return math.inf, 0.0, 0.0, 0.0
    turn = cars.yaw[o] - yaw
    across = cars.speed[o] * math.sin(turn)
    way = left - lowest if across > 0.0 else highest + right
    return nearest, cars.speed[o] * math.cos(turn), abs(across), way


@inlined
def _give_to_body(
    i: int, o: int, reach: float, desired: float, cars: Vehicles, view: Ahead
) -> tuple[float, bool]:
    """Acceleration that does not run into the body of o (1e6: clear), and whether it is an emergency."""
    slim, half = 0.5 * cars.width[i] + SLIM_M, 0.5 * cars.width[i] + BESIDE_M
    if cars.stood[i] >= SQUEEZE_S and (cars.stood[o] < SQUEEZE_S or cars.uid[i] < cars.uid[o]):
        half = slim  # of two who stand nose to nose one squeezes past in the end
    u, along, across, way = _across_path(i, o, half, slim, cars, view)
    speed, front = cars.speed[i], 0.5 * cars.length[i]
    gap = u - front
    if u == math.inf or gap > reach or u < -front:
        return 1e6, False
    if across > 0.5 and across > 0.5 * abs(along):
        # It crosses: come when it is gone.
        t, room = way / across + 0.4, max(gap - 0.5, 0.1)
        if max(speed, CREEP_MPS) * t <= room:
            return 1e6, False
        # At an even rate one either halts there before it is gone, or arrives as it goes.
        halts = 2.0 * room < speed * t
        give = -speed * speed / (2.0 * room) if halts else -2.0 * (speed * t - room) / (t * t)
        return (max(give, -EMERGENCY), True) if give < -HARD and speed > 2.0 else (max(give, -HARD), False)
    closing = speed - max(along, 0.0)
    room = max(gap, 0.1)
    hard = closing > 2.0 and closing * closing > 2.0 * HARD * room
    give = follow(i, room, max(along, 0.0), desired, cars)
    if speed < 0.5:
        give = max(give, -1.0)
    return (give, True) if hard else (max(give, -HARD), False)


@inlined
def body_in_the_way(
    i: int, reach: float, desired: float, cars: Vehicles, occ: Occupancy, view: Ahead
) -> tuple[float, bool]:
    """Acceleration that runs into no body on the way (1e6: none there), and whether it is an emergency.

    Sees what lane lists cannot: those who turn off or in, cross, change lanes, stand half in the lane.
    """
    low_x, high_x, low_y, high_y = bounds(reach, view)
    pad = _LONGEST_M
    wanted, emergency = 1e6, False
    half = 0.5 * cars.width[i] + BESIDE_M
    c, s = math.cos(cars.yaw[i]), math.sin(cars.yaw[i])
    for cx in range(math.floor((low_x - pad) / CELL_M), math.floor((high_x + pad) / CELL_M) + 1):
        for cy in range(math.floor((low_y - pad) / CELL_M), math.floor((high_y + pad) / CELL_M) + 1):
            k = bucket_of_cell(cx, cy)
            for m in range(occ.car_first[k], occ.car_first[k + 1]):
                o = occ.car_rows[m]
                dx, dy = cars.x[o] - cars.x[i], cars.y[o] - cars.y[i]
                if o == i or dx * c + dy * s < 0.0 or abs(dx) + abs(dy) > 1.5 * reach + pad:
                    continue
                if abs(cars.z[o] - cars.z[i]) > LEVEL_M:
                    continue
                same_lane = cars.lane[o] == cars.lane[i] and abs(cars.offset[o]) < 1.0
                if same_lane and abs(wrapped(cars.yaw[o] - cars.yaw[i])) < 0.2:
                    continue  # `leader` knows
                u, d, _ = place(cars.x[o], cars.y[o], view)
                if u > reach + pad or abs(d) > half + 1.0 + 0.5 * (cars.length[o] + cars.width[o]):
                    continue
                give, hard = _give_to_body(i, o, reach, desired, cars, view)
                if give < wanted:
                    wanted, emergency = give, hard
    return wanted, emergency
