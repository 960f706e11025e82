"""The world snapshot: one packed record an actor, as libcarla 0.9.16 lays them out (119 bytes)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.carla_server.actors import Actors, Kind
from drivewm_sim.kernel import kernel

SIZE = 119
_UNION = 65  # where the part that depends on the kind of actor begins

_BASE: list[tuple[str, str, int]] = [("id", "<u4", 0), ("active", "u1", 4)]
_BASE += [
    (name, "<f4", 5 + 4 * i)
    for i, name in enumerate(
        ["x", "y", "z", "pitch", "yaw", "roll", "vx", "vy", "vz", "wx", "wy", "wz", "ax", "ay", "az"]
    )
]  # metres, degrees, m/s, degrees/s, m/s^2


def _layout(*own: tuple[str, str, int]) -> np.dtype:
    rows = [*_BASE, *((name, kind, _UNION + at) for name, kind, at in own)]
    names, formats, offsets = zip(*rows, strict=True)
    return np.dtype(
        {"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": SIZE}
    )


ANY_RECORD = _layout()
VEHICLE_RECORD = _layout(
    ("throttle", "<f4", 0), ("steer", "<f4", 4), ("brake", "<f4", 8), ("hand_brake", "u1", 12),
    ("reverse", "u1", 13), ("manual", "u1", 14), ("gear", "<i4", 15), ("limit", "<f4", 19),
    ("light_state", "u1", 23), ("has_light", "u1", 24), ("light", "<u4", 25), ("failure", "u1", 29),
)  # fmt: skip
WALKER_RECORD = _layout(
    ("dx", "<f4", 0), ("dy", "<f4", 4), ("dz", "<f4", 8), ("walk", "<f4", 12), ("jump", "u1", 16)
)
LIGHT_RECORD = _layout(
    ("sign", "S32", 0), ("green", "<f4", 32), ("yellow", "<f4", 36), ("red", "<f4", 40),
    ("elapsed", "<f4", 44), ("pole", "<u4", 48), ("frozen", "u1", 52), ("state", "u1", 53),
)  # fmt: skip

_HEADER = struct.Struct("<QdfiiiI")  # episode, platform time, delta, map origin, flags
_VEHICLE, _WALKER = int(Kind.VEHICLE), int(Kind.WALKER)
_OFF = 3


@kernel
def _write(state: Any, lights: Any, any_out: Any, vehicle_out: Any, walker_out: Any) -> None:
    for i in range(len(lights), len(state)):
        row, out = state[i], any_out[i]
        out.id, out.active = row.id, 1
        out.x, out.y, out.z = row.x, row.y, row.z
        out.pitch, out.yaw, out.roll = row.pitch, row.yaw, row.roll
        out.vx, out.vy, out.vz = row.vx, row.vy, row.vz
        out.wx, out.wy, out.wz = row.wx, row.wy, row.wz
        out.ax, out.ay, out.az = row.ax, row.ay, row.az
        if row.kind == _VEHICLE:
            car = vehicle_out[i]
            car.throttle, car.steer, car.brake = row.throttle, row.steer, row.brake
            car.hand_brake, car.reverse, car.manual = row.hand_brake, row.reverse, row.manual
            car.gear, car.limit = row.gear, row.limit
            car.has_light, car.light_state, car.light = 0, _OFF, 0
            if row.light >= 0:
                car.has_light, car.light = 1, state[row.light].id
                car.light_state = lights[row.light].state
        elif row.kind == _WALKER:
            person = walker_out[i]
            person.dx, person.dy, person.dz = row.dx, row.dy, row.dz
            person.walk, person.jump = row.walk, row.jump


def snapshot(
    actors: Actors, lights: ndarray, *, episode: int, time_s: float, delta_s: float, flags: int = 0
) -> bytes:
    """The body of a world snapshot. lights: rows of LIGHT_RECORD, those of the first actors."""
    data = np.zeros(len(actors), ANY_RECORD)
    raw = data.view(f"V{SIZE}")
    raw[: len(lights)] = lights.view(f"V{SIZE}")
    _write(
        actors.state, lights.view(np.recarray), data.view(np.recarray),
        raw.view(VEHICLE_RECORD).view(np.recarray), raw.view(WALKER_RECORD).view(np.recarray),
    )  # fmt: skip
    return _HEADER.pack(episode, time_s, delta_s, 0, 0, 0, flags) + data.tobytes()
