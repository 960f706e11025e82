"""The ego's semantic lidar and collision sensor on the server, frame by frame."""

from __future__ import annotations

import queue
import time
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from drivewm_sim.carla_client.blueprints import Shape
from drivewm_sim.carla_client.connection import Session
from drivewm_sim.sensors.lidar import LidarSpec
from drivewm_sim.simulator import PHYSICS_S

POINT = np.dtype([
    ("x", np.float32), ("y", np.float32), ("z", np.float32),  # m, sensor frame: CARLA's (y right)
    ("cos", np.float32),  # of the angle of incidence
    ("actor", np.uint32),  # id of the actor hit; 0: none
    ("tag", np.uint32),  # carla.CityObjectLabel
])  # fmt: skip
_WAIT_S = 0.3  # for a first message; then one more tick is tried
_TRIES = 20


class Cloud(NamedTuple):
    """One turn of the lidar. Points come beam by beam, from the highest down."""

    frame: int
    points: ndarray  # rows of POINT
    counts: ndarray  # of each beam


class EgoSensors:
    """Spawned on the ego and listening; every message is of one whole turn, taken within one tick."""

    def __init__(self, session: Session, ego: int, shape: Shape, lidar: LidarSpec | None) -> None:
        self._session = session
        self.actors: list[int] = []
        self._kept: Cloud | None = None
        self._clouds: queue.SimpleQueue[Cloud] = queue.SimpleQueue()
        self._hits: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._sensors: list[Any] = []
        body = session.world.get_actor(ego)
        collision = self._spawn("sensor.other.collision", {}, (0.0, 0.0, 0.0), body)
        collision.listen(self._hit)
        self._lidar = None
        if lidar is not None:
            along, right, _ = shape.centre
            about = {
                "channels": lidar.beams, "range": lidar.max_range, "upper_fov": lidar.upper,
                "lower_fov": lidar.lower, "horizontal_fov": 360.0, "rotation_frequency": 1.0 / PHYSICS_S,
                "points_per_second": round(lidar.beams * lidar.azimuths / PHYSICS_S),
            }  # fmt: skip
            place = (along, right, lidar.mount)
            self._lidar = self._spawn("sensor.lidar.ray_cast_semantic", about, place, body)
            self._lidar.listen(self._seen)

    def _spawn(self, name: str, about: dict[str, Any], place: tuple[float, float, float], body: Any) -> Any:
        carla, world = self._session.carla, self._session.world
        blueprint = world.get_blueprint_library().find(name)
        for key, value in {"role_name": "drivewm", **about}.items():
            if blueprint.has_attribute(key):
                blueprint.set_attribute(key, str(value))
        sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(*place)), attach_to=body)
        self._sensors.append(sensor)
        self.actors.append(sensor.id)
        return sensor

    def _seen(self, turn: Any) -> None:
        """Runs in a thread of the client's: copies what is not ours to keep."""
        counts = np.array([turn.get_point_count(k) for k in range(turn.channels)], np.int64)
        self._clouds.put(Cloud(turn.frame, np.frombuffer(bytes(turn.raw_data), POINT), counts))

    def _hit(self, event: Any) -> None:
        other = event.other_actor
        self._hits.put((event.frame, 0 if other is None else int(other.id)))

    def warm_up(self) -> None:
        """Ticks until the lidar answers: a client connects to a stream in its own time."""
        for _ in range(_TRIES if self._lidar is not None else 1):
            self._session.tick(())
            if self._lidar is None or self._turn_of(self._session.frame, _WAIT_S) is not None:
                return
        raise RuntimeError(f"the lidar of {self._session.server} has sent nothing for {_TRIES} ticks")

    def cloud(self) -> Cloud:
        """The turn of the last tick; RuntimeError if it does not come."""
        found = self._turn_of(self._session.frame, self._session.server.timeout_s)
        if found is None:
            raise RuntimeError(f"no lidar turn of frame {self._session.frame} from {self._session.server}")
        return found

    def _turn_of(self, frame: int, timeout_s: float) -> Cloud | None:
        if self._kept is not None and self._kept.frame == frame:
            return self._kept
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            try:
                cloud = self._clouds.get(timeout=left)
            except queue.Empty:
                return None
            if cloud.frame == frame:
                self._kept = cloud
                return cloud
        return None

    def hits(self) -> list[int]:
        """Ids of the actors that the ego has run into since the last time it was asked; 0: the level."""
        out = set()
        while not self._hits.empty():
            out.add(self._hits.get()[1])
        return sorted(out)

    def stop(self) -> None:
        for sensor in self._sensors:
            sensor.stop()
