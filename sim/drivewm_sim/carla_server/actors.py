"""Everything in the world that has an id: one row of STATE each, in the order of ids.

Positions are CARLA's: metres, degrees, left-handed, of the actor's origin. A row is what physics reads and
writes; `records.py` turns rows into what clients see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from drivewm_sim.carla_server.layouts import ActorInfo, BoundingBox, Description


class Kind(IntEnum):
    OTHER = 0  # spectator, walker controllers
    VEHICLE = 1
    WALKER = 2
    SENSOR = 3
    LIGHT = 4
    SIGN = 5
    PROP = 6


STATE = np.dtype(
    [
        ("id", np.int64),
        ("kind", np.int64),
        ("tag", np.int64),  # catalogue.Tag
        ("parent", np.int64),  # row of the actor that this one is attached to; -1: none
        *((name, np.float64) for name in ("x", "y", "z", "pitch", "yaw", "roll")),  # m, degrees
        *(
            (name, np.float64) for name in ("rx", "ry", "rz", "rpitch", "ryaw", "rroll")
        ),  # in the parent's frame
        *((name, np.float64) for name in ("vx", "vy", "vz")),  # m/s, world
        *((name, np.float64) for name in ("wx", "wy", "wz")),  # degrees/s
        *((name, np.float64) for name in ("ax", "ay", "az")),  # m/s^2, world
        *((name, np.float64) for name in ("bx", "by", "bz")),  # centre of the box, actor's frame
        *((name, np.float64) for name in ("ex", "ey", "ez")),  # half sizes of the box
        ("physics", np.int64),  # 0: it stays where it is put
        ("gravity", np.int64),
        ("collides", np.int64),
        # A vehicle's own.
        ("mass", np.float64),
        ("wheelbase", np.float64),
        ("track", np.float64),  # m between the wheels of an axle
        ("max_steer", np.float64),  # degrees
        ("top_speed", np.float64),
        ("power", np.float64),
        ("thrust", np.float64),
        ("brake_max", np.float64),  # m/s^2 of full braking
        ("speed", np.float64),  # m/s along the vehicle, negative backwards
        ("throttle", np.float64),
        ("steer", np.float64),
        ("brake", np.float64),
        ("hand_brake", np.int64),
        ("reverse", np.int64),
        ("manual", np.int64),
        ("gear", np.int64),
        ("mode", np.int64),  # Drive
        *((f"a_{name}", np.float64) for name in ("steer", "steer_speed", "speed", "acceleration", "jerk")),
        ("wheel", np.float64),  # degrees, the steered wheel on the inside of the bend, as it stands
        ("push", np.float64),  # m/s^2 that the Ackermann controller gives now
        *((name, np.float64) for name in ("cx", "cy", "cz")),  # constant velocity, vehicle's frame
        ("limit", np.float64),  # km/h
        ("light", np.int64),  # row of the traffic light that it stands before; -1: none
        ("lamps", np.int64),  # carla.VehicleLightState
        # A walker's own.
        *((name, np.float64) for name in ("dx", "dy", "dz")),  # direction, unit vector
        ("walk", np.float64),  # m/s
        ("jump", np.int64),
        ("placed", np.int64),  # 1: was put somewhere since the last tick
    ],
    align=True,
)

PLACE = slice(*((STATE.names or ()).index(name) for name in ("x", "rx")))
"""The columns of x, y, z, pitch, yaw and roll."""


class Drive(IntEnum):
    """Who moves a vehicle."""

    PEDALS = 0
    ACKERMANN = 1
    CONSTANT = 2  # constant velocity


@dataclass
class Actor:
    """What never changes of an actor."""

    id: int
    kind: Kind
    description: Description
    bounding_box: BoundingBox
    tag: int
    parent_id: int = 0
    stream_id: int = 0  # sensors only
    attachment: int = 0
    row: int = 0
    children: set[int] = field(default_factory=set)
    sign_id: str = ""  # of traffic lights and signs: the id in the map

    def info(self, token: bytes) -> ActorInfo:
        return ActorInfo(
            self.id, self.parent_id, self.description, self.bounding_box, bytes([self.tag]), token
        )


class Actors:
    """The table. Rows move when actors go; ids are never given twice."""

    def __init__(self) -> None:
        self.by_id: dict[int, Actor] = {}
        self._count = 0
        self._room = np.zeros(64, STATE)
        self._resize()
        self._next_id = 1

    def __len__(self) -> int:
        return self._count

    def _resize(self) -> None:
        """Views of the rows in use, made anew whenever their number changes."""
        self.rows = self._room[: self._count]
        """The rows of STATE; single ones are quickest to reach here, ..."""
        self.state: Any = self.rows.view(np.recarray)
        """... kernels take this view."""
        self.numbers = self.rows.view(np.float64).reshape(self._count, len(STATE.names or ()))
        """All fields as columns, those of whole numbers without meaning."""

    def add(self, actor: Actor, transform: tuple[float, ...]) -> Any:
        """Gives the actor its id and a row, which it returns."""
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.zeros(len(self._room), STATE)])
        actor.id, actor.row = self._next_id, self._count
        self._next_id += 1
        self._count += 1
        self._resize()
        self.by_id[actor.id] = actor
        self._room[actor.row] = np.zeros((), STATE)
        row = self.rows[actor.row]
        row["id"], row["kind"], row["tag"] = actor.id, int(actor.kind), int(actor.tag)
        row["parent"] = row["light"] = -1
        box = actor.bounding_box
        (row["bx"], row["by"], row["bz"]), (row["ex"], row["ey"], row["ez"]) = box.location, box.extent
        row["x"], row["y"], row["z"], row["pitch"], row["yaw"], row["roll"] = transform
        if actor.parent_id:
            parent = self.by_id[actor.parent_id]
            parent.children.add(actor.id)
            row["parent"] = parent.row
        return row

    def remove(self, actor_id: int) -> list[Actor]:
        """Takes an actor out, and all that is attached to it; they come back, children first."""
        actor = self.by_id[actor_id]
        gone = [a for child in sorted(actor.children) for a in self.remove(child)]
        if actor.parent_id in self.by_id:
            self.by_id[actor.parent_id].children.discard(actor_id)
        row = actor.row
        self._room[row : self._count - 1] = self._room[row + 1 : self._count]
        self._count -= 1
        self._resize()
        del self.by_id[actor_id]
        for other in self.by_id.values():
            other.row -= other.row > row
        parents = self.rows["parent"]
        parents[parents > row] -= 1
        lights = self.rows["light"]
        lights[lights == row] = -1
        lights[lights > row] -= 1
        return [*gone, actor]
