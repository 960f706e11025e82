"""The two lidars of CARLA, on the simulator's ray caster.

A lidar with `channels` beams turns `rotation_frequency` times a second and measures `points_per_second`. A
tick covers the part of a turn that its duration allows, a whole one where rotation_frequency * dt = 1. All
rays of a tick are cast at one instant from where the sensor is. The road is the plane under the sensor,
pitched as the sensor is; rolling is left out. The vehicle that carries the sensor is not seen.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from drivewm_sim.carla_frames import centre_from_origin, pose_from_carla
from drivewm_sim.carla_server.actors import Actor, Kind
from drivewm_sim.carla_server.ground import height, nearest
from drivewm_sim.carla_server.layouts import Malformed
from drivewm_sim.carla_server.level import tag_of
from drivewm_sim.carla_server.sensors.points import plain_points, semantic_points
from drivewm_sim.sensors.bodies import BODY
from drivewm_sim.sensors.raycast import GROUND, NOTHING, LidarPose, Rays, cast

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World

_LEAST_MOUNT_M = 0.05
_MOST_RAYS = 1 << 21  # of a whole turn, all beams


@dataclass(frozen=True, kw_only=True)
class Spin:
    """The rays of one tick. Angles in degrees, clockwise from straight ahead."""

    begin: float  # of the first column
    step: float  # between columns
    columns: int  # measured in this tick
    turn: int  # columns of a whole turn: what is cast


class Scanner:
    """What both lidars share: attributes, and the depth image of a tick."""

    def __init__(self, actor: Actor) -> None:
        def value(name: str) -> float:
            number = float(actor.description.value(name, "nan"))
            if not math.isfinite(number):
                raise Malformed(f"expected {name} to be a finite number, got {number}")
            return number

        self.channels = int(value("channels"))
        self.range, self.rate = value("range"), value("points_per_second")
        self.frequency, self.fov = value("rotation_frequency"), value("horizontal_fov")
        upper, lower = value("upper_fov"), value("lower_fov")
        if (
            self.channels < 1 or not 0 < self.range <= 600 or not -90 < lower <= upper < 90
            or self.frequency <= 0 or self.rate <= 0 or not 0 < self.fov <= 360
        ):  # fmt: skip
            raise Malformed(
                "expected a lidar with channels, a range up to 600 m, -90 < lower_fov <= upper_fov < 90, "
                "and rates above 0"
            )
        self.elevation = np.radians(np.linspace(upper, lower, self.channels))
        self._angle = 0.0  # where in its field of view the last tick ended
        self._tags: tuple[object, ndarray] = (None, np.zeros(0, np.int64))

    def spin(self, dt: float) -> Spin:
        """The rays of the next dt seconds."""
        columns = max(round(self.rate * dt / self.channels), 1)
        step = self.frequency * self.fov * dt / columns
        turn = max(round(360.0 / step), 4)
        if turn * self.channels > _MOST_RAYS:
            raise Malformed(f"a lidar with {turn} x {self.channels} rays a turn is beyond this server")
        begin = self._angle - 0.5 * self.fov
        self._angle = (self._angle + step * columns) % self.fov
        if self._angle > self.fov - 1e-6:  # a turn that rounding left unfinished
            self._angle = 0.0
        return Spin(begin=begin, step=360.0 / turn, columns=min(columns, turn), turn=turn)

    def look(self, world: World, actor: Actor, spin: Spin) -> dict[str, Any]:
        """Depth and mark of every ray of a turn [J, E], and what stands around: arguments of the kernels."""
        row = world.actors.state[actor.row]
        place = np.array([[row[k] for k in ("x", "y", "z", "pitch", "yaw", "roll")]], np.float64)
        place[0, 4] += 180.0 + spin.begin  # columns count from straight behind
        (pose,), (z,) = pose_from_carla(place)
        ground = world.map.ground
        p = nearest(ground, row["x"], row["y"], row["z"], 0.0, 0.0, False)
        road = height(ground, p, row["x"], row["y"]) if p >= 0 else 0.0
        mount = max(float(z) - road, _LEAST_MOUNT_M)
        rays = self._rays(spin, mount)
        slope = math.tan(math.radians(row["pitch"])) * math.cos(math.radians(180.0 + spin.begin))
        bodies, tags = _bodies(world)
        boxes = world.map.town.street.boxes
        here = LidarPose(float(pose[0]), float(pose[1]), road, float(pose[2]), slope)
        depth = np.empty((spin.turn, self.channels), np.float32)
        mark = np.empty((spin.turn, self.channels), np.int32)
        silhouette = np.empty(len(bodies), np.int32)
        cast(rays, world.map.grid, boxes, bodies, here, actor.parent_id, depth, mark, silhouette)
        return {
            "rays": rays, "depth": depth, "mark": mark, "columns": spin.columns,
            "begin": math.radians(spin.begin), "step": math.radians(spin.step), "pose": here,
            "bodies": bodies.view(np.recarray), "body_tags": tags, "boxes": boxes,
            "box_tags": self._box_tags(world),
            "ground": ground,
        }  # fmt: skip

    def _box_tags(self, world: World) -> ndarray:
        if self._tags[0] is not world.map:
            level = world.map.level
            self._tags = (world.map, np.array([tag_of(level, k) for k in range(len(level.x))], np.int64))
        return self._tags[1]

    def _rays(self, spin: Spin, mount: float) -> Rays:
        azimuth = 2 * np.pi * np.arange(spin.turn) / spin.turn - np.pi
        slope, stretch = np.tan(self.elevation), 1 / np.cos(self.elevation)
        down = slope < 0
        road = np.where(down, mount / np.where(down, -slope, 1.0), np.inf)
        reach = self.range / stretch
        return Rays(
            cos=np.cos(azimuth), sin=np.sin(azimuth), slope=slope, stretch=stretch,
            limit=np.minimum(road, reach), lands=np.where(road < reach, GROUND, NOTHING),
            mount=mount, max_range=self.range, drop_out=0.0, range_noise=0.0, resolution=0.01,
        )  # fmt: skip


def _bodies(world: World) -> tuple[ndarray, ndarray]:
    """Everything that moves or was put there, as rows of BODY in our frame, and its tags."""
    state = world.actors.state
    state = state[np.isin(state["kind"], (Kind.VEHICLE, Kind.WALKER, Kind.PROP))]
    transform = np.column_stack([state[k] for k in ("x", "y", "z", "pitch", "yaw", "roll")])
    offset = np.column_stack([state["bx"], state["by"], state["bz"]])
    pose, z = pose_from_carla(centre_from_origin(transform, offset))
    out = np.zeros(len(state), BODY)
    out["uid"] = state["id"]
    out["x"], out["y"], out["yaw"] = pose.T
    out["z"] = z - state["ez"]
    out["length"], out["width"], out["height"] = 2 * state["ex"], 2 * state["ey"], 2 * state["ez"]
    return out, np.ascontiguousarray(state["tag"])


def _body(spin: Spin, counts: ndarray, points: ndarray) -> bytes:
    head = struct.pack("<fI", math.radians(spin.begin + spin.step * spin.columns), len(counts))
    return b"".join((head, counts.astype("<u4").tobytes(), points.tobytes()))


class SemanticLidar:
    """Points with the cosine of incidence, the id of the actor hit (0: none) and its tag; no noise."""

    def __init__(self, actor: Actor) -> None:
        self._scanner = Scanner(actor)

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        spin = self._scanner.spin(dt)
        return [_body(spin, *semantic_points(**self._scanner.look(world, actor, spin)))]


class Lidar:
    """Points with intensity exp(-attenuation * distance); CARLA's drop-off and noise."""

    def __init__(self, actor: Actor) -> None:
        self._scanner = Scanner(actor)
        value = actor.description.value
        self._attenuation = float(value("atmosphere_attenuation_rate", "0.004"))
        self._lost = float(value("dropoff_general_rate", "0.45"))
        self._limit = max(float(value("dropoff_intensity_limit", "0.8")), 1e-9)
        self._lost_at_zero = float(value("dropoff_zero_intensity", "0.4"))
        self._deviation = float(value("noise_stddev", "0.0"))
        self._seed = int(value("noise_seed", "0"))

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        spin = self._scanner.spin(dt)
        image = self._scanner.look(world, actor, spin)
        counts, points = plain_points(
            image["rays"], image["depth"], image["mark"], spin.columns, image["begin"], image["step"],
            self._attenuation, self._lost, self._limit, self._lost_at_zero, self._deviation,
            self._seed, actor.id, world.frame,
        )  # fmt: skip
        return [_body(spin, counts, points)]
