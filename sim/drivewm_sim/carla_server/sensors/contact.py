"""Collision and obstacle sensors: events about the vehicle or walker that carries them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from drivewm_sim.carla_frames import centre_from_origin
from drivewm_sim.carla_server.actors import Actor
from drivewm_sim.carla_server.layouts import ActorInfo, Description, box_at
from drivewm_sim.carla_server.level import tag_of
from drivewm_sim.carla_server.picking import through_box

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World


def _info(world: World, row: int) -> ActorInfo:
    """The actor in a row, or box -1 - row of the level as CARLA reports what belongs to the map: id 0."""
    if row >= 0:
        return world.actors.by_id[int(world.actors.state["id"][row])].info(b"")
    tag = tag_of(world.map.level, -1 - row)
    nothing = box_at((0, 0, 0), (0, 0, 0))
    return ActorInfo(0, 0, Description(0, f"static.{tag.name.lower()}", ()), nothing, bytes([tag]), b"")


class Collision:
    """An event when bodies meet, and another for every tick in which they press on."""

    def __init__(self, actor: Actor) -> None:
        self._touching: set[int] = set()

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        if not actor.parent_id:
            return []
        own = world.actors.by_id[actor.parent_id].row
        out, touching = [], set()
        for (a, b), impulse in zip(*world.contacts, strict=True):
            if own not in (a, b) or not max(a, b) < len(world.actors):
                continue
            other, sign = (int(b), 1.0) if a == own else (int(a), -1.0)
            key = int(world.actors.state["id"][other]) if other >= 0 else other
            touching.add(key)
            if key not in self._touching or np.any(impulse):
                push = tuple(float(sign * v) for v in impulse)
                out.append(msgpack.packb((_info(world, own), _info(world, other), push)))
        self._touching = touching
        return out


class Obstacle:
    """The nearest body ahead that a sphere of `hit_radius`, pushed `distance` metres forward, would meet."""

    def __init__(self, actor: Actor) -> None:
        value = actor.description.value
        self._distance = float(value("distance", "5.0"))
        self._radius = float(value("hit_radius", "0.5"))
        self._dynamic_only = value("only_dynamics", "false").lower() in ("true", "1")

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        state = world.actors.state
        own = state[actor.row]
        pitch, yaw = math.radians(own["pitch"]), math.radians(own["yaw"])
        way = self._distance * np.array(
            [math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)]
        )
        origin = np.array([own["x"], own["y"], own["z"]])
        best = min(self._hits(world, state, origin, way, actor.parent_id), default=None)
        if best is None:
            return []
        share, row = best
        carrier = world.actors.by_id.get(actor.parent_id, actor)
        return [msgpack.packb((carrier.info(b""), _info(world, row), share * self._distance))]

    def _hits(
        self, world: World, state: Any, origin: np.ndarray, way: np.ndarray, carrier: int
    ) -> list[tuple[float, int]]:
        out = []
        reach = self._distance + self._radius
        near = np.hypot(state["x"] - origin[0], state["y"] - origin[1]) < reach + state["ex"] + state["ey"]
        for k in np.flatnonzero(near & (state["collides"] > 0) & (state["id"] != carrier)):
            row = state[k]
            transform = np.array([row[name] for name in ("x", "y", "z", "pitch", "yaw", "roll")])
            centre = centre_from_origin(transform, np.array([row["bx"], row["by"], row["bz"]]))[:3]
            half = np.array([row["ex"], row["ey"], row["ez"]]) + self._radius
            share = through_box(origin, way, centre, half, float(row["yaw"]))
            if share is not None:
                out.append((share, int(k)))
        level = world.map.level
        far = np.hypot(level.x - origin[0], level.y - origin[1]) - level.length - level.width
        for k in [] if self._dynamic_only else np.flatnonzero(far < reach):
            half = 0.5 * np.array([level.length[k], level.width[k], level.height[k]])
            centre = np.array([level.x[k], level.y[k], level.z[k] + half[2]])
            share = through_box(origin, way, centre, half + self._radius, float(level.yaw[k]))
            if share is not None:
                out.append((share, -1 - int(k)))
        return out
