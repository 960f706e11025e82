"""What goes over CARLA's wire, as named tuples: msgpack writes a tuple as the array that the client reads.

Field order is that of the structures in libcarla 0.9.16. Lengths in metres, angles in degrees, CARLA's frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

FARTHEST = 1e6
"""Numbers that clients send must be finite and no greater: a position of 1e30 m is no place on a map."""


class Malformed(ValueError):
    """An argument that is not what the call expects; the message goes to the client."""


class Vector(NamedTuple):
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


class Rotation(NamedTuple):
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


class Transform(NamedTuple):
    location: Vector = Vector()
    rotation: Rotation = Rotation()


class BoundingBox(NamedTuple):
    location: Vector  # of the centre
    extent: Vector  # half sizes
    rotation: Rotation = Rotation()
    actor_id: int = 0


class AttributeType(IntEnum):
    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB_COLOR = 5


class Attribute(NamedTuple):
    """One attribute of a blueprint."""

    id: str
    type: int  # AttributeType
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = False
    restrict_to_recommended: bool = False


class Definition(NamedTuple):
    """A blueprint."""

    uid: int
    id: str
    tags: str  # comma-separated
    attributes: tuple[Attribute, ...]


class Description(NamedTuple):
    """What to spawn, and what was spawned."""

    uid: int
    id: str
    attributes: tuple[tuple[str, int, str], ...]  # id, AttributeType, value

    def value(self, name: str, default: str) -> str:
        return next((value for key, _, value in self.attributes if key == name), default)


class ActorInfo(NamedTuple):
    id: int
    parent_id: int
    description: Description
    bounding_box: BoundingBox
    semantic_tags: bytes
    stream_token: bytes


class EpisodeInfo(NamedTuple):
    id: int
    token: tuple[bytes]


class MapInfo(NamedTuple):
    name: str
    spawn_points: tuple[Transform, ...]


class Settings(NamedTuple):
    """`carla.WorldSettings`."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: tuple[Any, ...] = (False,)  # an optional: (False,) or (True, seconds)
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    @property
    def fixed_dt(self) -> float | None:
        """Seconds a tick; None: as the clock says."""
        return float(self.fixed_delta_seconds[1]) if self.fixed_delta_seconds[0] else None


WEATHER = (-1.0,) * 14
"""`carla.WeatherParameters.Default`; kept and handed back, it changes nothing here."""


def number(value: Any) -> float:
    """A finite number of a sensible size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:
        raise Malformed(f"expected a finite number, got {value!r:.60}")
    return float(value)


def integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"expected an integer, got {value!r:.60}")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed(f"expected a string, got {value!r:.60}")
    return value


def fields(value: Any, count: int, what: str) -> Sequence[Any]:
    """The elements of an array with at least so many."""
    if not isinstance(value, list | tuple) or len(value) < count:
        raise Malformed(f"expected {what} of {count} fields, got {value!r:.60}")
    return value


def vector(value: Any) -> Vector:
    x, y, z = fields(value, 3, "a vector")[:3]
    # One comparison for the three: NaN and infinities fail it too.
    try:
        if math.fabs(x) + math.fabs(y) + math.fabs(z) <= FARTHEST:
            return Vector(float(x), float(y), float(z))
    except TypeError:
        pass
    raise Malformed(f"expected three finite numbers, got {value!r:.60}")


def transform(value: Any) -> Transform:
    location, rotation = fields(value, 2, "a transform")[:2]
    return Transform(vector(location), Rotation(*vector(rotation)))


def description(value: Any) -> Description:
    uid, name, attributes = fields(value, 3, "an actor description")[:3]
    rows = [fields(row, 3, "an attribute") for row in fields(attributes, 0, "attributes")]
    return Description(integer(uid), text(name), tuple((text(r[0]), integer(r[1]), text(r[2])) for r in rows))


def settings(value: Any) -> Settings:
    row = fields(value, 11, "episode settings")
    fixed = fields(row[2], 1, "an optional")
    dt = number(fields(fixed, 2, "an optional number")[1]) if fixed[0] else 0.0
    if dt < 0 or dt > 10:
        raise Malformed(f"expected fixed_delta_seconds from 0 to 10, got {dt}")
    return Settings(
        bool(row[0]), bool(row[1]), (True, dt) if dt > 0 else (False,), bool(row[3]), number(row[4]),
        integer(row[5]), number(row[6]), bool(row[7]), number(row[8]), number(row[9]), bool(row[10]),
    )  # fmt: skip


def box_at(location: Sequence[float], extent: Sequence[float], actor_id: int = 0) -> BoundingBox:
    return BoundingBox(Vector(*location), Vector(*extent), Rotation(), actor_id)


# Responses: a variant (error first) of a value, or an optional error where there is none.


def answer(value: Any) -> tuple[Any, ...]:
    return ((1, value),)


def refusal(message: str) -> tuple[Any, ...]:
    return ((0, (message,)),)


DONE = ((False,),)


def failed(message: str) -> tuple[Any, ...]:
    return ((True, (message,)),)
