"""What `get_physics_control` and its relatives say of a vehicle: the model's limits in CARLA's terms.

The Traffic Manager reads the wheels (steering lock) and plans with them; the rest is believable padding.
"""

from __future__ import annotations

import math
from typing import Any

from drivewm_sim.carla_server.physics import steering_share

_RADIUS_CM = 35.0
_BRAKE_TORQUE, _HAND_BRAKE_TORQUE = 1500.0, 3000.0  # N m


def _wheels(row: Any) -> list[tuple[Any, ...]]:
    """Front left, front right, rear left, rear right; positions in the world, in centimetres as in CARLA."""
    yaw = math.radians(row["yaw"])
    out = []
    for front in (1.0, -1.0):
        for side in (-1.0, 1.0):
            along, across = 0.5 * front * float(row["wheelbase"]), 0.5 * side * float(row["track"])
            x = float(row["x"]) + along * math.cos(yaw) - across * math.sin(yaw)
            y = float(row["y"]) + along * math.sin(yaw) + across * math.cos(yaw)
            position = (100 * x, 100 * y, 100 * float(row["z"]) + _RADIUS_CM)
            lock = float(row["max_steer"]) if front > 0 else 0.0
            hand = _HAND_BRAKE_TORQUE if front < 0 else 0.0
            out.append((3.5, 0.25, lock, _RADIUS_CM, _BRAKE_TORQUE, hand, 2.0, 17.0, 1000.0, position))
    return out


def physics_sheet(row: Any) -> tuple[Any, ...]:
    """VehiclePhysicsControl."""
    torque_curve = [(0.0, 400.0), (1890.0, 500.0), (5729.6, 400.0)]
    gears = [(ratio, 0.5, 0.65) for ratio in (4.25, 2.49, 1.66, 1.23, 1.0)]
    steering = [(float(kmh), float(steering_share(kmh / 3.6))) for kmh in (0, 20, 60, 120)]
    return (
        torque_curve, 5800.0, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, 4.0, gears, float(row["mass"]), 0.3,
        (0.0, 0.0, 0.0), steering, _wheels(row), False,
    )  # fmt: skip


def ackermann_sheet() -> tuple[float, ...]:
    """AckermannControllerSettings: CARLA's defaults. The model here needs no gains."""
    return 0.15, 0.0, 0.25, 0.01, 0.0, 0.01


def telemetry(row: Any) -> tuple[Any, ...]:
    """VehicleTelemetryData, without wheels."""
    speed = float(row["speed"])
    return (
        speed, float(row["steer"]), float(row["throttle"]), float(row["brake"]), 800.0 + 150.0 * abs(speed),
        int(row["gear"]), 0.3, [],
    )  # fmt: skip
