"""What clients do to actors: one function a command of `apply_batch`; single calls use the same functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from drivewm_sim.carla_server import layouts
from drivewm_sim.carla_server.actors import PLACE, Actor, Drive, Kind
from drivewm_sim.carla_server.layouts import FARTHEST, Malformed, fields, integer, number, vector
from drivewm_sim.carla_server.world import Refused, World

_MOVED = (Kind.VEHICLE, Kind.WALKER, Kind.PROP)


def spawn(world: World, payload: Sequence[Any]) -> int:
    description, transform, parent, attachment, _, after = fields(payload, 6, "SpawnActor")[:6]
    given = fields(parent, 1, "an optional")
    parent_id = integer(fields(given, 2, "an optional id")[1]) if given[0] else 0
    actor = world.spawn(
        layouts.description(description), layouts.transform(transform), parent_id, integer(attachment)
    )
    for command in fields(after, 0, "commands"):
        index, own = unpack(command)
        # Commands that follow a spawn name the new actor by 0, or not at all. As in CARLA, one that fails
        # changes nothing: who was told of an error would never destroy the actor.
        with suppress(Refused, Malformed):
            execute(world, index, [actor.id, *own[1:]] if index != 0 else own)
    return actor.id


def destroy(world: World, payload: Sequence[Any]) -> int:
    actor_id = integer(payload[0])
    world.destroy(actor_id)
    return actor_id


def vehicle_control(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to apply control", Kind.VEHICLE)
    throttle, steer, brake, hand, reverse, manual, gear = fields(payload[1], 7, "VehicleControl")[:7]
    row["throttle"] = min(max(number(throttle), 0.0), 1.0)
    row["steer"] = min(max(number(steer), -1.0), 1.0)
    row["brake"] = min(max(number(brake), 0.0), 1.0)
    row["hand_brake"], row["reverse"], row["manual"] = bool(hand), bool(reverse), bool(manual)
    if manual:
        row["gear"] = min(max(integer(gear), -1), 6)
    if row["mode"] == Drive.ACKERMANN:
        row["mode"] = Drive.PEDALS


def ackermann_control(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to apply control", Kind.VEHICLE)
    values = [number(v) for v in fields(payload[1], 5, "VehicleAckermannControl")[:5]]
    for name, value in zip(("steer", "steer_speed", "speed", "acceleration", "jerk"), values, strict=True):
        row[f"a_{name}"] = abs(value) if name in ("steer_speed", "acceleration", "jerk") else value
    row["mode"] = Drive.ACKERMANN


def walker_control(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to apply control", Kind.WALKER)
    direction, speed, jump = fields(payload[1], 3, "WalkerControl")[:3]
    x, y, z = vector(direction)
    length = math.hypot(x, y)
    row["dx"], row["dy"], row["dz"] = (x / length, y / length, 0.0) if length > 1e-6 else (0.0, 0.0, z)
    row["walk"], row["jump"] = max(number(speed), 0.0), bool(jump)


def physics_control(world: World, payload: Sequence[Any]) -> None:
    """Of a vehicle's physics, its mass and the steering lock are taken over."""
    row = world.row(payload[0], "unable to apply physics control", Kind.VEHICLE)
    values = fields(payload[1], 17, "VehiclePhysicsControl")
    row["mass"] = max(number(values[11]), 1.0)
    for wheel in fields(values[15], 0, "wheels")[:1]:
        row["max_steer"] = min(max(number(fields(wheel, 10, "a wheel")[2]), 1.0), 80.0)


def _put(row: Any, value: Any) -> None:
    location, rotation = value
    x, y, z = vector(location)
    pitch, yaw, roll = vector(rotation)
    prefix = "r" if row["parent"] >= 0 else ""
    row[f"{prefix}x"], row[f"{prefix}y"], row[f"{prefix}z"] = x, y, z
    row[f"{prefix}pitch"], row[f"{prefix}yaw"], row[f"{prefix}roll"] = pitch, yaw, roll
    row["placed"] = 1


def put(world: World, payload: Sequence[Any]) -> None:
    """ApplyTransform."""
    _put(world.row(payload[0], "unable to set actor transform"), fields(payload[1], 2, "a transform"))


def put_location(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to set actor location")
    _put(row, (payload[1], (row["pitch"], row["yaw"], row["roll"])))


def walker_state(world: World, payload: Sequence[Any]) -> None:
    """Puts a walker with its feet at a place; it then looks ahead and is shown to walk at a speed."""
    row = world.row(payload[0], "unable to set walker state", Kind.WALKER)
    _put(row, fields(payload[1], 2, "a transform"))
    row["z"] += row["ez"]
    yaw = math.radians(row["yaw"])
    row["dx"], row["dy"], row["dz"] = math.cos(yaw), math.sin(yaw), 0.0
    row["walk"] = max(number(payload[2]), 0.0)


def target_velocity(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to set actor target velocity")
    _set_velocity(row, vector(payload[1]))


def _set_velocity(row: Any, velocity: Sequence[float]) -> None:
    """A vehicle keeps the part along its heading: its tyres take the rest."""
    row["vx"], row["vy"], row["vz"] = velocity
    yaw = math.radians(row["yaw"])
    row["speed"] = velocity[0] * math.cos(yaw) + velocity[1] * math.sin(yaw)


def impulse(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to add actor impulse", *_MOVED)
    _push(row, vector(payload[1]), 1.0)


def force(world: World, payload: Sequence[Any]) -> None:
    """A force acts for one tick."""
    row = world.row(payload[0], "unable to add actor force", *_MOVED)
    _push(row, vector(payload[1]), world.step_s)


def _push(row: Any, push: Sequence[float], seconds: float) -> None:
    share = seconds / row["mass"]
    _set_velocity(row, [row[v] + share * p for v, p in zip(("vx", "vy", "vz"), push, strict=True)])


def nothing(world: World, payload: Sequence[Any]) -> None:
    """Angular velocity, impulse and torque, doors and debug pictures change nothing; the actor must exist."""
    world.actor(integer(payload[0]), "unable to apply command")


def simulate_physics(world: World, payload: Sequence[Any]) -> None:
    row = world.row(payload[0], "unable to set actor simulate physics")
    row["physics"] = bool(payload[1]) and row["kind"] in _MOVED


def enable_gravity(world: World, payload: Sequence[Any]) -> None:
    world.row(payload[0], "unable to set actor enable gravity")["gravity"] = bool(payload[1])


def vehicle_lamps(world: World, payload: Sequence[Any]) -> None:
    lamps = payload[1][0] if isinstance(payload[1], list | tuple) else payload[1]
    row = world.row(payload[0], "unable to set vehicle light state", Kind.VEHICLE)
    row["lamps"] = integer(lamps) & 0xFFFFFFFF


def console(world: World, payload: Sequence[Any]) -> int:
    raise Refused("unable to run console command: this server has no console")


def light_state(world: World, payload: Sequence[Any]) -> None:
    actor = light(world, payload[0])
    state = integer(payload[1])
    if not 0 <= state <= 4:
        raise Malformed(f"expected a traffic light state from 0 to 4, got {state}")
    world.lights.set_state(actor.row, state)


def light(world: World, actor_id: Any) -> Actor:
    actor = world.actor(integer(actor_id), "unable to find traffic light")
    if actor.kind != Kind.LIGHT:
        raise Refused(f"actor {actor_id} is no traffic light")
    return actor


Command = Callable[[World, Sequence[Any]], "int | None"]

# By index in libcarla's variant, with the number of fields of each payload.
COMMANDS: tuple[tuple[Command, int], ...] = (
    (spawn, 6),
    (destroy, 1),
    (vehicle_control, 2),
    (ackermann_control, 2),
    (walker_control, 2),
    (physics_control, 2),
    (put, 2),
    (walker_state, 3),
    (target_velocity, 2),
    (nothing, 2),  # target angular velocity
    (impulse, 2),
    (force, 2),
    (nothing, 2),  # angular impulse
    (nothing, 2),  # torque
    (simulate_physics, 2),
    (enable_gravity, 2),
    (nothing, 2),  # autopilot: the Traffic Manager lives in the client
    (nothing, 2),  # debug telemetry
    (vehicle_lamps, 2),
    (put_location, 2),
    (console, 1),
    (light_state, 2),
)


def unpack(command: Any) -> tuple[int, Sequence[Any]]:
    """Index and payload of a command on the wire."""
    index, payload = fields(fields(command, 1, "a command")[0], 2, "a command's variant")[:2]
    return integer(index), payload


def execute(world: World, index: int, payload: Sequence[Any]) -> int:
    """Carries out one command; the id of its actor."""
    if not 0 <= index < len(COMMANDS):
        raise Malformed(f"expected a command index from 0 to {len(COMMANDS) - 1}, got {index}")
    command, count = COMMANDS[index]
    fields(payload, count, f"command {index}")
    done = command(world, payload)
    return payload[0] if done is None else done


def apply_batch(world: World, commands: Any) -> list[Any]:
    """A response for every command, in order: the actor's id, or why it failed."""
    done = _place_all(world, commands)
    if done is not None:
        return done
    out = []
    for command in fields(commands, 0, "commands"):
        try:
            out.append(layouts.answer(execute(world, *unpack(command))))
        except (Refused, Malformed) as error:
            out.append(layouts.refusal(str(error)))
    return out


_PUT, _WALKER_STATE = 6, 7


def _place_all(world: World, commands: Any) -> list[Any] | None:
    """What `apply_batch` does, ten times as fast, where a batch only places unattached actors; else None."""
    try:
        rows = [
            (index, *payload[1][0], *payload[1][1], payload[0], payload[2] if index == _WALKER_STATE else 0.0)
            for ((index, payload),) in commands
        ]
        found = [world.actors.by_id[row[7]] for row in rows]
        table = np.array(rows, np.float64)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if table.ndim != 2 or table.shape[1] != 9 or not (np.abs(table) <= FARTHEST).all():
        return None
    walking = table[:, 0] == _WALKER_STATE
    place = np.array([actor.row for actor in found])
    state = world.actors.rows
    kind = state["kind"][place]
    if (
        ((table[:, 0] != _PUT) & ~walking).any() or (state["parent"][place] >= 0).any()
        or (kind[walking] != Kind.WALKER).any()
    ):  # fmt: skip
        return None
    table[walking, 3] += state["ez"][place[walking]]
    world.actors.numbers[place, PLACE] = table[:, 1:7]
    state["placed"][place] = 1
    walker = place[walking]
    yaw = np.radians(table[walking, 5])
    state["dx"][walker], state["dy"][walker], state["dz"][walker] = np.cos(yaw), np.sin(yaw), 0.0
    state["walk"][walker] = np.maximum(table[walking, 8], 0.0)
    return [layouts.answer(actor.id) for actor in found]
