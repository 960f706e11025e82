"""Vehicles from pedals and wheel: a kinematic bicycle with limits, in CARLA's frame.

The origin lies midway between the axles. With wheels turned by d: slip angle b = atan(tan(d) / 2), turn rate
r = v cos(b) tan(d) / wheelbase (Kong et al. 2015). Two things as in PhysX:

- The wheel on the inside of a bend has the whole steering angle w (`wheel`), the other one less, so that both
  turn about one point (Ackermann): tan(d) = tan(w) / (1 + track tan(w) / (2 wheelbase)).
- Tyres do not roll quite where they point, front and rear alike, in proportion to the force across: the nose
  points further into the bend, by TYRE_SLIP v r, which b loses.

Longitudinally

    dv/dt = throttle * min(thrust, power / (mass v)) - brake * brake_max - ROLLING - DRAG v^2,

so from speed v, full braking (b = brake_max + ROLLING) stops after ln(1 + DRAG v^2 / b) / (2 DRAG) metres.
"""

from __future__ import annotations

import math
from typing import Any

from drivewm_sim.carla_server.actors import Drive, Kind
from drivewm_sim.carla_server.ground import Ground, height, nearest
from drivewm_sim.kernel import kernel

BRAKE_MAX = 8.0  # m/s^2, what tyres hold on a dry road
BRAKE_MAX_TWO_WHEELS = 5.0
HAND_BRAKE = 5.0  # m/s^2
ROLLING = 0.12  # m/s^2
ENGINE_BRAKE = 0.4  # m/s^2, with the foot off both pedals and a gear in
DRAG = 3e-4  # 1/m
GRIP = 8.0  # m/s^2 across, beyond which the nose runs wide
STEER_RATE = 175.0  # degrees/s of the wheels: PhysX turns the wheel by 2.5 locks a second
GRAVITY = 9.81
TYRE_SLIP = 1.0 / (17.0 * 0.875 * GRAVITY)
"""Radians a m/s^2 across. Of its stiffness (17 loads a radian on the physics sheet, reached under twice the
load at rest), a tyre of PhysX has x - x^2/3 + x^3/27 with x = 3 / 2 under its load at rest."""
_CLEAR = 1e-3  # m above the ground that still stands on it
_DRIVE_SLOWEST = 1.0  # m/s below which power is no limit

_VEHICLE, _PEDALS, _CONSTANT = int(Kind.VEHICLE), int(Drive.PEDALS), int(Drive.CONSTANT)


def braking_distance(speed: float, brake: float = 1.0, brake_max: float = BRAKE_MAX) -> float:
    """Metres to a stop from a speed (m/s) with a held brake, the closed form of this model."""
    b = brake * brake_max + ROLLING
    return math.log(1.0 + DRAG * speed * speed / b) / (2.0 * DRAG)


@kernel
def steering_share(speed: float) -> float:
    """How much of the lock a full turn of the wheel gives at a speed (m/s): CARLA's default curve."""
    kmh = abs(speed) * 3.6
    if kmh < 20.0:
        return 1.0 - 0.005 * kmh
    if kmh < 60.0:
        return 0.9 - 0.0025 * (kmh - 20.0)
    return max(0.8 - (kmh - 60.0) / 600.0, 0.7)


@kernel
def _pedals(row: Any, dt: float) -> float:
    """Speed after dt."""
    v = row.speed
    way = -1.0 if row.reverse else 1.0
    if row.manual and row.gear < 0:
        way = -1.0
    idle = (row.manual and row.gear == 0) or row.hand_brake
    drive = 0.0
    if not idle:
        drive = way * row.throttle * min(row.thrust, row.power / (row.mass * max(abs(v), _DRIVE_SLOWEST)))
        top = row.top_speed if way > 0.0 else 0.25 * row.top_speed
        if v * way >= top:
            drive = 0.0
    against = row.brake * row.brake_max + ROLLING + DRAG * v * v
    if row.hand_brake:
        against += HAND_BRAKE
    elif row.throttle == 0.0 and row.brake == 0.0 and not idle:
        against += ENGINE_BRAKE
    v += drive * dt
    slower = min(against, row.brake_max + HAND_BRAKE) * dt
    return math.copysign(max(abs(v) - slower, 0.0), v)


@kernel
def _ackermann(row: Any, dt: float) -> float:
    """Speed after dt, towards the wished one; acceleration bounded by the wish (0: the vehicle), and jerk."""
    wanted = (row.a_speed - row.speed) / dt
    bound = row.a_acceleration if row.a_acceleration > 0.0 else row.brake_max
    wanted = min(max(wanted, -min(bound, row.brake_max)), min(bound, row.thrust))
    if row.a_jerk > 0.0:
        wanted = min(max(wanted, row.push - row.a_jerk * dt), row.push + row.a_jerk * dt)
    row.push = wanted
    return row.speed + wanted * dt


@kernel
def _turn_wheels(row: Any, dt: float) -> None:
    if row.mode == _PEDALS or row.mode == _CONSTANT:
        wanted, rate = row.steer * row.max_steer * steering_share(row.speed), STEER_RATE
    else:
        wanted = math.degrees(row.a_steer)
        rate = math.degrees(row.a_steer_speed) if row.a_steer_speed > 0.0 else STEER_RATE
        wanted = min(max(wanted, -row.max_steer), row.max_steer)
        row.steer = min(max(wanted / (row.max_steer * steering_share(row.speed)), -1.0), 1.0)
    row.wheel += min(max(wanted - row.wheel, -rate * dt), rate * dt)


@kernel
def _gear(row: Any) -> None:
    """The automatic gear box, for show: by speed."""
    if row.manual:
        return
    if row.reverse:
        row.gear = -1
    elif row.throttle > 0.0 or row.speed > 0.5:
        row.gear = min(1 + int(max(row.speed, 0.0) / 8.0), 5)
    else:
        row.gear = 0


@kernel
def middle_wheel(row: Any) -> float:
    """The tangent of the steering angle midway between the front wheels."""
    inner = math.tan(math.radians(row.wheel))
    return inner / (1.0 + 0.5 * row.track * abs(inner) / row.wheelbase)


def wheel_angle(row: Any, left: bool) -> float:
    """Degrees by which a front wheel is turned, right positive."""
    inner = math.tan(math.radians(float(row["wheel"])))
    outside = left == (inner > 0.0)
    narrower = 1.0 + float(row["track"]) * abs(inner) / float(row["wheelbase"]) if outside else 1.0
    return math.degrees(math.atan(inner / narrower))


@kernel
def _drive(row: Any, dt: float) -> None:
    """Moves one vehicle over level ground."""
    _turn_wheels(row, dt)
    before = row.speed
    if row.mode == _CONSTANT:
        after = before = row.cx
    elif row.mode == _PEDALS:
        after = _pedals(row, dt)
    else:
        after = _ackermann(row, dt)
    mean = 0.5 * (before + after)
    slope = middle_wheel(row)
    slip = math.atan(0.5 * slope)
    rate = mean * math.cos(slip) * slope / row.wheelbase
    if abs(rate * mean) > GRIP:
        rate = math.copysign(GRIP / abs(mean), rate)
        slip = math.asin(min(max(0.5 * rate * row.wheelbase / mean, -1.0), 1.0))
    slip -= TYRE_SLIP * abs(mean) * rate
    heading = math.radians(row.yaw)
    middle = heading + 0.5 * rate * dt + slip
    row.x += mean * math.cos(middle) * dt
    row.y += mean * math.sin(middle) * dt
    if row.mode == _CONSTANT:
        row.x -= row.cy * math.sin(middle) * dt
        row.y += row.cy * math.cos(middle) * dt
    heading += rate * dt
    row.yaw = (math.degrees(heading) + 180.0) % 360.0 - 180.0
    row.speed, row.wz = after, math.degrees(rate)
    row.vx, row.vy = after * math.cos(heading + slip), after * math.sin(heading + slip)
    _gear(row)


@kernel
def fall(row: Any, g: Ground, p: int, foot: float, dt: float) -> bool:
    """Lets a body fall or puts it on the ground; whether it stands. foot: m from the ground to its origin."""
    if p < 0:
        row.vz = 0.0
        return False
    ground = height(g, p, row.x, row.y) + foot
    if row.z > ground + _CLEAR and row.gravity:
        before = row.vz
        row.vz -= GRAVITY * dt
        row.z += 0.5 * (before + row.vz) * dt
        # On a slope downhill the road sinks under the wheels: they follow it.
        if row.z > ground and row.z - ground > 0.2 * dt * math.hypot(row.vx, row.vy) + _CLEAR:
            return False
    if row.gravity or row.z < ground:
        row.z, row.vz = ground, 0.0
    return True


@kernel
def advance_vehicles(state: Any, g: Ground, dt: float) -> None:
    """All vehicles, dt seconds on. Those without physics stand where they were put."""
    for i in range(len(state)):
        row = state[i]
        if row.kind != _VEHICLE:
            continue
        vx, vy, vz = row.vx, row.vy, row.vz
        if row.physics:
            _drive(row, dt)
            heading = math.radians(row.yaw)
            p = nearest(g, row.x, row.y, row.z, 0.0, 0.0, False)
            if fall(row, g, p, 0.0, dt):
                along = math.cos(heading) * g.tx[p] + math.sin(heading) * g.ty[p]
                row.pitch, row.roll = math.degrees(math.atan(g.slope[p] * along)), 0.0
        else:
            row.speed = row.vx = row.vy = row.vz = row.wz = 0.0
        row.ax, row.ay, row.az = (row.vx - vx) / dt, (row.vy - vy) / dt, (row.vz - vz) / dt


@kernel
def read_road(state: Any, g: Ground, light_of_lane: Any, before_stop: float) -> None:
    """The speed limit of every vehicle, and the traffic light before which it is.

    As in CARLA, limits come from signs, and are 30 km/h before the first. The light is that of the lane under
    the vehicle's front, from `before_stop` metres ahead of the stop line on.
    """
    for i in range(len(state)):
        row = state[i]
        if row.kind != _VEHICLE:
            continue
        row.light = -1
        heading = math.radians(row.yaw)
        hx, hy = math.cos(heading), math.sin(heading)
        reach = row.ex + row.bx
        x, y = row.x + reach * hx, row.y + reach * hy
        p = nearest(g, x, y, row.z, hx, hy, True)
        if p < 0 or (g.x[p] - x) ** 2 + (g.y[p] - y) ** 2 > (g.half[p] + 1.0) ** 2:
            continue
        lane = g.lane[p]
        if g.limit[lane] > 0.0:
            row.limit = g.limit[lane]
        s = g.s[p] + (x - g.x[p]) * g.tx[p] + (y - g.y[p]) * g.ty[p]
        if light_of_lane[lane] >= 0 and s >= g.stop_s[lane] - before_stop:
            row.light = light_of_lane[lane]
