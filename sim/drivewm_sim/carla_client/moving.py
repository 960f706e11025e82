"""What a vehicle on the server is told so that it gets where its driver wants to be.

The driver's wish is the record after our own integration of 0.1 s: a speed, a curvature and a heading, within
what a body can do. It starts from where the body really is, so errors do not add up. Two ways of driving:

`velocity`: the wheels steer, the speed is set before every tick, with what the tick then takes off learned;
`pedals`: the wheels steer, throttle and brake follow a model of the engine whose gain is learned.

Wheels turned by d on a wheelbase L let the middle between the axles move on a path of curvature k with
k L = t / sqrt(1 + t^2 / 4), t = tan d (kinematic bicycle; Kong et al. 2015). The steering angle w is that of
the inner wheel, d that midway between the two: tan w = t / (1 - t track / (2 L)) (Ackermann).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from drivewm_sim.carla_client.blueprints import Shape
from drivewm_sim.carla_client.pedals import BRAKE, COASTING, THRUST
from drivewm_sim.simulator import PHYSICS_S

Driving = Literal["velocity", "pedals", "placed", "traffic-manager"]
"""How vehicles are moved: by speed and wheel, by pedals and wheel, put where our core has them, or by CARLA's
Traffic Manager, which then decides for them."""

LEARNS = 0.4  # share of an error that is learned from one step
_MOST_BIAS = 0.6  # m/s that a tick may take off a speed that has been set
_TURNS_BACK_S = 0.3  # in which a wrong heading is put right
_STANDS_MPS = 0.02


@dataclass
class Follower:
    """One vehicle's driving, and what has been learned of it."""

    shape: Shape
    bias: float = 0.0  # m/s that a tick takes off a speed that was set
    gain: float = 1.0  # of the engine
    turn: float = 0.0  # rad by which the heading was wrong after the last step

    def learn(self, wanted: float, got: float, turn: float) -> None:
        """After a step: the speed wanted and the one read (m/s), and the heading wanted less that read."""
        self.turn = min(max(turn, -0.1), 0.1)
        if abs(wanted) > _STANDS_MPS:
            error = wanted - got
            self.bias = min(max(self.bias + LEARNS * error, -_MOST_BIAS), _MOST_BIAS)
            self.gain = min(max(self.gain + 0.3 * error * math.copysign(1.0, wanted), 0.5), 3.0)
        else:
            self.bias = 0.0

    def wheel(self, curvature: float, speed: float) -> float:
        """The steering input in [-1, 1], right positive, for a curvature (1/m, left positive)."""
        shape = self.shape
        if abs(speed) > 1.0:
            curvature += self.turn / (_TURNS_BACK_S * speed)
        bend = min(max(curvature * shape.wheelbase, -1.8), 1.8)
        middle = bend / math.sqrt(1.0 - 0.25 * bend * bend)
        left = 1.0 - 0.5 * abs(middle) * shape.track / max(shape.wheelbase, 0.1)
        angle = math.degrees(math.atan(middle / max(left, 0.1)))
        return min(max(-angle / max(shape.lock * _share(shape, speed), 1.0), -1.0), 1.0)


def _share(shape: Shape, speed: float) -> float:
    """How much of the lock a full turn of the wheel gives at a speed."""
    kmh = abs(speed) * 3.6
    points = shape.share
    if not points:
        return 1.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if kmh <= x1:
            return y0 + (y1 - y0) * max(kmh - x0, 0.0) / max(x1 - x0, 1e-6)
    return points[-1][1]


def set_speed(
    carla: Any, actor: int, follower: Follower, speed: float, curvature: float, yaw: float
) -> list[Any]:
    """Commands of `velocity`: the speed at the end of the tick; yaw: the heading now, CARLA's (degrees)."""
    stands = abs(speed) < _STANDS_MPS
    control = carla.VehicleControl(
        steer=follower.wheel(curvature, speed), brake=1.0 if stands else 0.0, reverse=speed < -_STANDS_MPS
    )
    pushed = 0.0 if stands else speed + follower.bias
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return [
        carla.command.ApplyVehicleControl(actor, control),
        carla.command.ApplyTargetVelocity(actor, carla.Vector3D(pushed * c, pushed * s, 0.0)),
    ]


def press_pedals(
    carla: Any, actor: int, follower: Follower, before: float, speed: float, curvature: float
) -> list[Any]:
    """Commands of `pedals`: from one speed to another within a tick."""
    back = speed < -_STANDS_MPS or (before < -_STANDS_MPS and speed <= 0.0)
    wanted = (abs(speed) - abs(before) if back else speed - before) / PHYSICS_S
    control = carla.VehicleControl(steer=follower.wheel(curvature, speed), reverse=back)
    if abs(speed) < _STANDS_MPS:
        control.brake = 1.0
    elif wanted > -COASTING:
        control.throttle = min((wanted + 0.3 * COASTING) / THRUST * follower.gain, 1.0)
    else:
        control.brake = min(-wanted / BRAKE, 1.0)
    return [carla.command.ApplyVehicleControl(actor, control)]
