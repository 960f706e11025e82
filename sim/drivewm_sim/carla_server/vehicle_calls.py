"""Remote calls about vehicles and traffic lights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from drivewm_sim.carla_server import commands
from drivewm_sim.carla_server.actors import Kind
from drivewm_sim.carla_server.layouts import (
    BoundingBox,
    Rotation,
    Vector,
    integer,
    number,
)
from drivewm_sim.carla_server.physics import wheel_angle
from drivewm_sim.carla_server.physics_sheet import ackermann_sheet, physics_sheet, telemetry
from drivewm_sim.carla_server.registry import CALLS, Call, Returns, Session, call


@call("get_physics_control", 1)
def _physics(session: Session, actor_id: Any) -> Any:
    return physics_sheet(session.world.row(integer(actor_id), "unable to get physics control", Kind.VEHICLE))


@call("get_ackermann_controller_settings", 1)
def _ackermann(session: Session, actor_id: Any) -> Any:
    session.world.row(integer(actor_id), "unable to get Ackermann settings", Kind.VEHICLE)
    return ackermann_sheet()


@call("get_telemetry_data", 1)
def _telemetry(session: Session, actor_id: Any) -> Any:
    return telemetry(session.world.row(integer(actor_id), "unable to get telemetry", Kind.VEHICLE))


@call("get_wheel_steer_angle", 2)
def _wheel(session: Session, actor_id: Any, wheel: Any) -> float:
    row = session.world.row(integer(actor_id), "unable to get wheel angle", Kind.VEHICLE)
    return wheel_angle(row, left=integer(wheel) == 0) if integer(wheel) in (0, 1) else 0.0


@call("get_vehicle_light_state", 1)
def _lamps(session: Session, actor_id: Any) -> tuple[int]:
    row = session.world.row(integer(actor_id), "unable to get vehicle light state", Kind.VEHICLE)
    return (int(row["lamps"]),)


@call("get_vehicle_light_states")
def _all_lamps(session: Session) -> list[tuple[int, int]]:
    state = session.world.actors.state
    rows = np.flatnonzero(state["kind"] == Kind.VEHICLE)
    return [(int(state["id"][k]), int(state["lamps"][k])) for k in rows]


def _set_time(name: str) -> Callable[..., None]:
    def function(session: Session, actor_id: Any, seconds: Any) -> None:
        light = commands.light(session.world, actor_id)
        session.world.lights.record[name][light.row] = max(number(seconds), 0.0)

    return function


for _name in ("green", "yellow", "red"):
    CALLS[f"set_traffic_light_{_name}_time"] = Call(_set_time(_name), 2, Returns.NOTHING)


@call("freeze_traffic_light", 2, Returns.NOTHING)
def _freeze(session: Session, actor_id: Any, frozen: Any) -> None:
    session.world.lights.freeze(commands.light(session.world, actor_id).row, bool(frozen))


@call("freeze_all_traffic_lights", 1, Returns.NOTHING)
def _freeze_all(session: Session, frozen: Any) -> None:
    session.world.lights.freeze_all(bool(frozen))


@call("reset_traffic_light_group", 1, Returns.NOTHING)
def _reset_group(session: Session, actor_id: Any) -> None:
    session.world.lights.reset(commands.light(session.world, actor_id).row)


@call("reset_all_traffic_lights", 0, Returns.NOTHING)
def _reset_all(session: Session) -> None:
    session.world.lights.reset_all()


@call("get_group_traffic_lights", 1)
def _group(session: Session, actor_id: Any) -> list[int]:
    group = session.world.lights.group_of[commands.light(session.world, actor_id).row]
    return [int(session.world.actors.state["id"][k]) for k in group.lights]


@call("get_light_boxes", 1)
def _light_boxes(session: Session, actor_id: Any) -> list[BoundingBox]:
    row = session.world.actors.state[commands.light(session.world, actor_id).row]
    place = Vector(float(row["x"]), float(row["y"]), float(row["z"]) + 3.0)
    return [BoundingBox(place, Vector(0.2, 0.25, 0.6), Rotation(0.0, float(row["yaw"]), 0.0), actor_id)]
