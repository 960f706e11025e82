"""The true actors of a world, read from the server. To debug with: no car has this."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import Kind
from drivewm_sim.carla_client.agent_frame import Body
from drivewm_sim.carla_client.localisation import Located
from drivewm_sim.carla_frames import centre_from_origin, mirrored, pose_from_carla
from drivewm_sim.ego_route import EgoRoute
from drivewm_sim.simulator import Intent

SEES_M = 60.0
HERO_S = 2.0  # so long a hero is waited for that is not there
ROAD_HALF_M = 6.0  # a walker this near to the route may be on the road

Seen: TypeAlias = dict[int, tuple[float, Float[ndarray, "2"]]]
"""When and where each actor was seen, by its id."""


class WorldWatch:
    """Follows the hero of a server that somebody else ticks."""

    def __init__(self, client: Any) -> None:
        self._world = client.get_world()
        self._hero: Any = None
        self._boxes: dict[int, tuple[tuple[float, float, float], tuple[float, float, float]]] = {}
        self._before: Seen = {}

    def _find_hero(self) -> Any:
        if self._hero is None or not self._hero.is_alive:
            self._hero = self._wait_for_hero()
        return self._hero

    def _wait_for_hero(self) -> Any:
        """The hero among the actors of the last snapshot. Snapshots come on a thread of the client, on a busy
        machine a little later than the tick that they are of."""
        until = time.monotonic() + HERO_S
        while True:
            vehicles = self._world.get_actors().filter("vehicle.*")
            hero = next((v for v in vehicles if v.attributes.get("role_name") == "hero"), None)
            if hero is not None:
                return hero
            if time.monotonic() > until:
                raise InputError("no vehicle of role hero on the server; privileged perception follows one")
            time.sleep(0.02)

    def locate(self) -> Located:
        """The hero's true state."""
        hero = self._find_hero()
        pose, speed = self._centre(hero), hero.get_velocity()
        vx, vy, _ = mirrored(np.array([speed.x, speed.y, speed.z])).tolist()
        return Located(pose=pose, speed=vx * np.cos(pose[2]) + vy * np.sin(pose[2]))

    def must_wait(self) -> bool:
        """Whether the hero stands in front of a light that is not green."""
        hero = self._find_hero()
        return bool(hero.is_at_traffic_light()) and str(hero.get_traffic_light_state()) in ("Red", "Yellow")

    def bodies(self, time_s: float, near: Float[ndarray, "3"], route: EgoRoute) -> list[Body]:
        """Everybody near a pose. Velocities come from where they were: of walkers the server says zero."""
        own = self._find_hero().id
        found, before, self._before = [], self._before, {}
        for actor in self._world.get_actors():
            name = actor.type_id
            if actor.id == own or not name.startswith(("vehicle.", "walker.pedestrian.")):
                continue
            pose = self._centre(actor)
            if np.hypot(*(pose[:2] - near[:2])) < SEES_M:
                found.append(self._body(actor, pose, time_s, before, route))
        return found

    def _body(
        self, actor: Any, pose: Float[ndarray, "3"], time_s: float, before: Seen, route: EgoRoute
    ) -> Body:
        then, place = before.get(actor.id, (time_s, pose[:2]))
        velocity = (pose[:2] - place) / (time_s - then) if time_s > then else np.zeros(2)
        self._before[actor.id] = (time_s, pose[:2])
        _, extent = self._boxes[actor.id]
        kind, intent = Kind.VEHICLE, Intent.DRIVING
        if actor.type_id.startswith("walker."):
            _, (across,) = route.locate(pose[None, :2])
            kind = Kind.PEDESTRIAN
            intent = Intent.CROSSING if abs(across) < ROAD_HALF_M else Intent.WALKING
        elif str(actor.attributes.get("number_of_wheels")) == "2":
            kind = Kind.CYCLIST
        return Body(
            uid=actor.id, kind=kind, pose=pose, velocity=velocity,
            size=(2 * extent[0], 2 * extent[1]), height=2 * extent[2], intent=intent,
        )  # fmt: skip

    def _centre(self, actor: Any) -> Float[ndarray, "3"]:
        """Pose of the middle of an actor's box; each look at a box is a call, so boxes are kept."""
        if actor.id not in self._boxes:
            box = actor.bounding_box
            at, half = box.location, box.extent
            self._boxes[actor.id] = ((at.x, at.y, at.z), (half.x, half.y, half.z))
        transform = actor.get_transform()
        place, turn = transform.location, transform.rotation
        row = np.array([place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll])
        pose, _ = pose_from_carla(centre_from_origin(row, np.array(self._boxes[actor.id][0])))
        return pose
