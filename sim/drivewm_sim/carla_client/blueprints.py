"""Which of the server's blueprints stands for an agent: the one whose size is nearest.

Blueprints do not say how large they are: choices go by the sizes that the stand-in's catalogue lists for
them; what is then spawned is measured once a blueprint, as each look at a bounding box is a call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivewm.errors import InputError
from drivewm_sim.carla_server.catalogue import VEHICLE_MODELS, WALKER_MODELS
from drivewm_sim.street.state import Age, Model

_BASE = {Model.CAR: "car", Model.VAN: "van", Model.TRUCK: "truck", Model.BUS: "bus", Model.BICYCLE: "bicycle"}
_AGE = {Age.ADULT: "adult", Age.CHILD: "child", Age.ELDERLY: "elderly"}
_EMERGENCY = "emergency"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The box of a blueprint, and of a vehicle how it steers."""

    size: tuple[float, float, float]  # length, width, height (m)
    centre: tuple[float, float, float]  # in the actor's frame (CARLA's: x forward, y right, z up)
    wheelbase: float = 0.0  # m
    track: float = 0.0  # m between the front wheels
    lock: float = 0.0  # degrees of the front wheels at full lock
    share: tuple[tuple[float, float], ...] = ()  # of the lock, at speeds in km/h


class Blueprints:
    """The blueprints of a server, and their shapes as far as they are known."""

    def __init__(self, library: Any) -> None:
        self._by_id = {b.id: b for b in library}
        self._shapes: dict[str, Shape] = {}

    def vehicle(self, model: int, size: Sequence[float]) -> str:
        """The id of the vehicle of a model's kind that is nearest in size; no police, no ambulance."""
        base = _BASE[Model(model)]
        near = [
            m for m in VEHICLE_MODELS.values()
            if m.id in self._by_id and m.base_type == base and m.special_type != _EMERGENCY
        ]  # fmt: skip
        if not near:
            raise InputError(f"the server has no blueprint of a {base} known here; use an unmodified one")
        return min(near, key=lambda m: (math.dist(m.size, size), m.id)).id

    def walker(self, age: int, height: float, uid: int) -> str:
        """A pedestrian of an age, one of those nearest in height; which of them, the uid decides."""
        known = [m for m in WALKER_MODELS.values() if m.id in self._by_id]
        near = [m for m in known if m.age == _AGE[Age(age)]] or known
        if not near:
            raise InputError("the server has no pedestrians known here; use an unmodified one")
        least = min(abs(m.height - height) for m in near)
        alike = sorted(m.id for m in near if abs(m.height - height) < least + 0.01)
        return alike[uid % len(alike)]

    def dressed(self, name: str, role: str) -> Any:
        """The blueprint, ready to be spawned under a role."""
        blueprint = self._by_id[name]
        for key, value in (("role_name", role), ("is_invincible", "true")):
            if blueprint.has_attribute(key):
                blueprint.set_attribute(key, value)
        return blueprint

    def shape(self, name: str) -> Shape | None:
        """The shape, if one of them has been measured."""
        return self._shapes.get(name)

    def expected(self, name: str) -> Shape:
        """The shape, as far as it is known without a look at the server."""
        known = self._shapes.get(name)
        if known is not None:
            return known
        if name in VEHICLE_MODELS:
            length, width, height = VEHICLE_MODELS[name].size
            return Shape(size=(length, width, height), centre=(0.0, 0.0, 0.5 * height))
        person = WALKER_MODELS[name]
        return Shape(size=(2 * person.radius, 2 * person.radius, person.height), centre=(0.0, 0.0, 0.0))

    def measure(self, name: str, actor: Any) -> Shape:
        """Keeps the shape of an actor that has just been spawned."""
        box = actor.bounding_box
        half = box.extent
        drive = actor.get_physics_control() if name.startswith("vehicle.") else None
        self._shapes[name] = Shape(
            size=(2 * half.x, 2 * half.y, 2 * half.z),
            centre=(box.location.x, box.location.y, box.location.z),
            wheelbase=_wheelbase(drive, 2 * half.x) if drive else 0.0,
            track=_track(drive, 2 * half.y) if drive else 0.0,
            lock=max((w.max_steer_angle for w in drive.wheels), default=0.0) if drive else 0.0,
            share=tuple((p.x, p.y) for p in drive.steering_curve) if drive else (),
        )
        return self._shapes[name]


def _wheelbase(drive: Any, length: float) -> float:
    """Metres between the axles, from the wheels' places in the world (cm); where these are odd, a guess."""
    front = [w.position for w in drive.wheels if w.max_steer_angle > 1.0]
    rear = [w.position for w in drive.wheels if w.max_steer_angle <= 1.0]
    if front and rear:
        a, b = (np.mean([(p.x, p.y) for p in wheels], axis=0) for wheels in (front, rear))
        found = float(np.hypot(*(a - b))) / 100.0
        if 0.4 * length < found < 0.9 * length:
            return found
    return 0.58 * length


def _track(drive: Any, width: float) -> float:
    """Metres between the front wheels; where their places are odd, none: one wheel in the middle."""
    front = [w.position for w in drive.wheels if w.max_steer_angle > 1.0]
    if len(front) != 2:
        return 0.0
    found = float(np.hypot(front[0].x - front[1].x, front[0].y - front[1].y)) / 100.0
    return found if found < width else 0.0
