"""All sensors of an episode: which are due in a tick, and the message of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from drivewm_sim.carla_server.actors import Actor
from drivewm_sim.carla_server.sensor_blueprints import SENSOR_TYPE
from drivewm_sim.carla_server.sensors.cameras import BlankCamera
from drivewm_sim.carla_server.sensors.contact import Collision, Obstacle
from drivewm_sim.carla_server.sensors.inertial import Gnss, Imu
from drivewm_sim.carla_server.sensors.spinning import Lidar, SemanticLidar
from drivewm_sim.carla_server.streams import message

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World


class Sensor(Protocol):
    """One sensor's measuring; attributes were read when it was made."""

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        """The bodies of this tick's messages; dt: seconds since the last time it was asked."""
        ...


_MAKERS: dict[str, Callable[[Actor], Sensor]] = {
    "sensor.other.collision": Collision,
    "sensor.other.obstacle": Obstacle,
    "sensor.other.imu": Imu,
    "sensor.other.gnss": Gnss,
    "sensor.lidar.ray_cast": Lidar,
    "sensor.lidar.ray_cast_semantic": SemanticLidar,
    "sensor.camera.rgb": BlankCamera,
    "sensor.camera.depth": BlankCamera,
    "sensor.camera.semantic_segmentation": BlankCamera,
    "sensor.camera.instance_segmentation": BlankCamera,
}
_IN_CLIENT = "sensor.other.lane_invasion"  # libcarla computes it from the map


def is_known(name: str) -> bool:
    """Whether a sensor of the catalogue measures anything here."""
    return name in _MAKERS or name == _IN_CLIENT


class Sensors:
    """The sensors by actor id, in the order in which they were spawned."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: dict[int, tuple[Actor, Sensor, float]] = {}
        self._last: dict[int, float] = {}

    def add(self, actor: Actor) -> None:
        maker = _MAKERS.get(actor.description.id)
        if maker is not None:
            every = max(float(actor.description.value("sensor_tick", "0.0")), 0.0)
            self._all[actor.id] = (actor, maker(actor), every)

    def remove(self, actor_id: int) -> None:
        self._all.pop(actor_id, None)
        self._last.pop(actor_id, None)

    def measure(self) -> None:
        """Sends what every sensor that is due and listened to has measured."""
        world = self._world
        for actor, sensor, every in list(self._all.values()):
            last = self._last.get(actor.id, world.time_s - max(world.delta_s, every))
            if not world.streams.wanted(actor.stream_id) or world.time_s - last < every - 1e-6:
                continue
            self._last[actor.id] = world.time_s
            row = world.actors.state[actor.row]
            place = tuple(float(row[k]) for k in ("x", "y", "z", "pitch", "yaw", "roll"))
            kind = SENSOR_TYPE[actor.description.id]
            for body in sensor.measure(world, actor, world.time_s - last):
                world.streams.send(actor.stream_id, message(kind, world.frame, world.time_s, place, body))
