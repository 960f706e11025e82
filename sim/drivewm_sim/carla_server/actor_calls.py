"""Remote calls about actors: spawning, moving, asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivewm_sim.carla_server import catalogue, commands, layouts
from drivewm_sim.carla_server.actors import Drive, Kind
from drivewm_sim.carla_server.layouts import (
    BoundingBox,
    Rotation,
    Transform,
    Vector,
    fields,
    integer,
    vector,
)
from drivewm_sim.carla_server.registry import CALLS, Call, Returns, Session, call


@call("get_actor_definitions")
def _definitions(session: Session) -> tuple[layouts.Definition, ...]:
    return catalogue.definitions()


@call("get_spectator")
def _spectator(session: Session) -> layouts.ActorInfo:
    return session.info(session.world.spectator)


@call("get_actors_by_id", 1)
def _by_id(session: Session, ids: Any) -> list[layouts.ActorInfo]:
    actors = session.world.actors.by_id
    return [session.info(actors[i]) for i in map(integer, fields(ids, 0, "ids")) if i in actors]


@call("spawn_actor", 2)
def _spawn(session: Session, description: Any, transform: Any) -> layouts.ActorInfo:
    return session.info(session.world.spawn(layouts.description(description), layouts.transform(transform)))


@call("spawn_actor_with_parent", 4)
def _spawn_attached(
    session: Session, description: Any, transform: Any, parent: Any, attachment: Any
) -> layouts.ActorInfo:
    return session.info(
        session.world.spawn(
            layouts.description(description), layouts.transform(transform), integer(parent),
            integer(attachment),
        )
    )  # fmt: skip


@call("destroy_actor", 1)
def _destroy(session: Session, actor_id: Any) -> bool:
    session.world.destroy(integer(actor_id))
    return True


@call("get_actor_bounding_box", 1)
def _bounding_box(session: Session, actor_id: Any) -> BoundingBox:
    return session.world.actor(integer(actor_id), "unable to get bounding box").bounding_box._replace(
        actor_id=actor_id
    )


@call("get_traffic_sign_trigger_volume", 1)
def _trigger_volume(session: Session, actor_id: Any) -> BoundingBox:
    return commands.light(session.world, actor_id).bounding_box


@call("get_actor_component_world_transform", 2)
def _component(session: Session, actor_id: Any, name: Any) -> Transform:
    row = session.world.row(integer(actor_id), "unable to get component transform")
    return Transform(
        Vector(*(float(row[k]) for k in "xyz")), Rotation(*(float(row[k]) for k in ("pitch", "yaw", "roll")))
    )


@call("get_actor_component_relative_transform", 2)
def _component_relative(session: Session, actor_id: Any, name: Any) -> Transform:
    session.world.actor(integer(actor_id), "unable to get component transform")
    return Transform()


@call("get_actor_component_names", 1)
def _component_names(session: Session, actor_id: Any) -> list[str]:
    session.world.actor(integer(actor_id), "unable to get component names")
    return ["RootComponent"]


@call("get_bones_transform", 1)
def _bones(session: Session, actor_id: Any) -> tuple[list[Any]]:
    """Walkers have one bone here."""
    session.world.row(integer(actor_id), "unable to get bones", Kind.WALKER)
    here = _component(session, actor_id, "")
    return ([("crl_root", here, Transform(), Transform())],)


@call("set_actor_collisions", 2, Returns.NOTHING)
def _collisions(session: Session, actor_id: Any, enabled: Any) -> None:
    row = session.world.row(integer(actor_id), "unable to set actor collisions")
    row["collides"] = bool(enabled) and row["kind"] in (Kind.VEHICLE, Kind.WALKER, Kind.PROP)


@call("set_actor_dead", 1, Returns.NOTHING)
def _dead(session: Session, actor_id: Any) -> None:
    """A dead walker stays where it lies."""
    row = session.world.row(integer(actor_id), "unable to set actor dead")
    row["walk"], row["physics"] = 0.0, 0


@call("enable_actor_constant_velocity", 2, Returns.NOTHING)
def _constant(session: Session, actor_id: Any, velocity: Any) -> None:
    row = session.world.row(integer(actor_id), "unable to set constant velocity", Kind.VEHICLE)
    row["cx"], row["cy"], row["cz"] = vector(velocity)
    row["mode"] = Drive.CONSTANT


@call("disable_actor_constant_velocity", 1, Returns.NOTHING)
def _no_constant(session: Session, actor_id: Any) -> None:
    row = session.world.row(integer(actor_id), "unable to set constant velocity", Kind.VEHICLE)
    row["mode"] = Drive.PEDALS


# Calls that do what a command of a batch does.
_SINGLE = {
    "apply_control_to_vehicle": (commands.vehicle_control, 2),
    "apply_ackermann_control_to_vehicle": (commands.ackermann_control, 2),
    "apply_control_to_walker": (commands.walker_control, 2),
    "apply_physics_control": (commands.physics_control, 2),
    "set_actor_location": (commands.put_location, 2),
    "set_actor_transform": (commands.put, 2),
    "set_actor_target_velocity": (commands.target_velocity, 2),
    "set_actor_target_angular_velocity": (commands.nothing, 2),
    "add_actor_impulse": (commands.impulse, 2),
    "add_actor_impulse_at_location": (commands.impulse, 2),
    "add_actor_force": (commands.force, 2),
    "add_actor_force_at_location": (commands.force, 2),
    "add_actor_angular_impulse": (commands.nothing, 2),
    "add_actor_torque": (commands.nothing, 2),
    "set_actor_simulate_physics": (commands.simulate_physics, 2),
    "set_actor_enable_gravity": (commands.enable_gravity, 2),
    "set_actor_autopilot": (commands.nothing, 2),
    "show_vehicle_debug_telemetry": (commands.nothing, 2),
    "set_vehicle_light_state": (commands.vehicle_lamps, 2),
    "open_vehicle_door": (commands.nothing, 2),
    "close_vehicle_door": (commands.nothing, 2),
    "set_wheel_steer_direction": (commands.nothing, 3),
    "blend_pose": (commands.nothing, 2),
    "get_pose_from_animation": (commands.nothing, 1),
    "set_bones_transform": (commands.nothing, 2),
    "set_traffic_light_state": (commands.light_state, 2),
    "apply_ackermann_controller_settings": (commands.nothing, 2),
}


def _single(command: commands.Command) -> Callable[..., None]:
    def function(session: Session, *payload: Any) -> None:
        command(session.world, payload)

    return function


for _name, (_command, _count) in _SINGLE.items():
    CALLS[_name] = Call(_single(_command), _count, Returns.NOTHING)


@call("apply_batch", 2, Returns.BARE)
def _batch(session: Session, batch: Any, tick: Any) -> list[Any]:
    out = commands.apply_batch(session.world, batch)
    if tick and session.world.settings.synchronous_mode:
        session.tick()
    return out
