"""Remote calls about the episode, its settings, map and files, and about Traffic Managers."""

from __future__ import annotations

from typing import Any

from drivewm_sim.carla_server import catalogue, layouts
from drivewm_sim.carla_server import level as levels
from drivewm_sim.carla_server.layouts import (
    BoundingBox,
    EpisodeInfo,
    MapInfo,
    fields,
    integer,
    number,
    text,
    vector,
)
from drivewm_sim.carla_server.nav_files import nav_file, required_files
from drivewm_sim.carla_server.picking import cast_ray, project_point
from drivewm_sim.carla_server.registry import Returns, Session, call
from drivewm_sim.carla_server.world import Refused

VERSION = "0.9.16"


@call("version")
def _version(session: Session) -> str:
    return VERSION


@call("get_episode_info")
def _episode_info(session: Session) -> EpisodeInfo:
    return EpisodeInfo(session.world.episode, (session.token(session.world.observer),))


@call("get_sensor_token", 1)
def _sensor_token(session: Session, stream: Any) -> tuple[bytes]:
    if not session.world.streams.is_open(integer(stream)):
        raise Refused(f"unable to get sensor token: no stream {stream}")
    return (session.token(stream),)


@call("get_episode_settings")
def _settings(session: Session) -> layouts.Settings:
    return session.world.settings


@call("set_episode_settings", 1)
def _set_settings(session: Session, value: Any) -> int:
    session.world.settings = layouts.settings(value)
    return session.world.frame


@call("tick_cue")
def _tick(session: Session) -> int:
    # In asynchronous mode the server ticks by itself; a cue then changes nothing, as in CARLA.
    return session.tick() if session.world.settings.synchronous_mode else session.world.frame


@call("get_available_maps")
def _maps(session: Session) -> list[str]:
    return session.world.maps.names()


@call("load_new_episode", 3, Returns.NOTHING)
def _load(session: Session, name: Any, reset: Any, layers: Any) -> None:
    # `reload_world` names no map: the present one begins again.
    session.world.load(text(name) or session.world.map.name)
    if reset:
        session.world.settings = layouts.Settings()


@call("copy_opendrive_to_file", 1, Returns.NOTHING)
def _upload(session: Session, xodr: Any) -> None:
    session.world.maps.upload(text(xodr))


@call("get_map_info")
def _map_info(session: Session) -> MapInfo:
    where = session.world.map
    return MapInfo(where.path, where.spawn_points)


@call("get_map_data")
def _map_data(session: Session) -> str:
    return session.world.map.text


@call("get_required_files", 1)
def _required(session: Session, folder: Any) -> list[str]:
    return required_files(session.world.map, text(folder))


@call("request_file", 1)
def _file(session: Session, name: Any) -> bytes:
    return nav_file(session.world.map, text(name))


@call("get_navigation_mesh")
def _navigation(session: Session) -> bytes:
    names = required_files(session.world.map, "Nav")
    return nav_file(session.world.map, names[0]) if names else b""


@call("load_map_layer", 1, Returns.NOTHING)
@call("unload_map_layer", 1, Returns.NOTHING)
@call("set_annotations_traverse_translucency", 1, Returns.NOTHING)
@call("enable_environment_objects", 2, Returns.NOTHING)
@call("draw_debug_shape", 1, Returns.NOTHING)
@call("clear_debug_shape", 0, Returns.NOTHING)
@call("clear_debug_string", 0, Returns.NOTHING)
@call("update_lights_state", 3, Returns.NOTHING)
@call("update_day_night_cycle", 2, Returns.NOTHING)
def _only_looks(session: Session, *_: Any) -> None:
    """Nothing that is seen here."""


@call("query_lights_state", 1)
def _street_lamps(session: Session, _: Any) -> list[Any]:
    return []


@call("get_weather_parameters")
def _weather(session: Session) -> tuple[float, ...]:
    return session.world.weather


@call("set_weather_parameters", 1, Returns.NOTHING)
def _set_weather(session: Session, value: Any) -> None:
    session.world.weather = tuple(number(v) for v in fields(value, 14, "weather")[:14])


@call("get_imui_gravity")
def _gravity(session: Session) -> float:
    return session.world.gravity


@call("set_imui_gravity", 1, Returns.NOTHING)
def _set_gravity(session: Session, value: Any) -> None:
    session.world.gravity = number(value)


@call("get_names_of_all_objects")
def _names(session: Session) -> list[str]:
    level = session.world.map.level
    return [name for _, _, _, name, _ in levels.environment_objects(level, catalogue.Tag.ANY)]


@call("get_all_level_BBs", 1)
def _level_boxes(session: Session, tag: Any) -> list[BoundingBox]:
    return levels.level_boxes(session.world.map.level, integer(tag))


@call("get_environment_objects", 1)
def _environment(session: Session, tag: Any) -> list[Any]:
    return levels.environment_objects(session.world.map.level, integer(tag))


@call("project_point", 3)
def _project(session: Session, location: Any, direction: Any, distance: Any) -> Any:
    return project_point(session.world.map, vector(location), vector(direction), number(distance))


@call("cast_ray", 2)
def _cast(session: Session, start: Any, end: Any) -> Any:
    return cast_ray(session.world, vector(start), vector(end))


@call("is_traffic_manager_running", 1)
def _is_running(session: Session, port: Any) -> bool:
    return integer(port) in session.world.traffic_managers


@call("get_traffic_manager_running", 1)
def _running(session: Session, port: Any) -> tuple[str, int]:
    return session.world.traffic_managers.get(integer(port), ""), integer(port)


@call("add_traffic_manager_running", 1)
def _add_running(session: Session, address: Any) -> bool:
    host, port = fields(address, 2, "host and port")[:2]
    if integer(port) in session.world.traffic_managers:
        return False
    session.world.traffic_managers[port] = text(host)
    session.managers.add(port)
    return True


@call("destroy_traffic_manager", 1)
def _forget(session: Session, port: Any) -> bool:
    session.managers.discard(integer(port))
    return session.world.traffic_managers.pop(port, None) is not None


@call("is_sensor_enabled_for_ros", 1)
@call("is_actor_enabled_for_ros", 1)
@call("are_gbuffers_enabled", 1)
def _no(session: Session, _: Any) -> bool:
    return False


@call("enable_sensor_for_ros", 1, Returns.NOTHING)
@call("disable_sensor_for_ros", 1, Returns.NOTHING)
@call("enable_actor_for_ros", 1, Returns.NOTHING)
@call("disable_actor_for_ros", 1, Returns.NOTHING)
@call("stop_recorder", 0, Returns.NOTHING)
@call("stop_replayer", 1, Returns.NOTHING)
def _accepted(session: Session, *_: Any) -> None:
    """Accepted, without effect."""
