"""Who of the street is who on the server: actors are spawned, measured, and taken away again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.carla_client.blueprints import Blueprints, Shape
from drivewm_sim.carla_client.connection import ROLES, Session
from drivewm_sim.carla_client.moving import Follower
from drivewm_sim.carla_frames import origin_from_centre, pose_to_carla
from drivewm_sim.ego_way import EGO_UID
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.street.state import Model

LIFTS_M = (0.1, 0.4, 1.0, 3.0)
"""Above the road: a spawn that fails is tried again higher up, as the server's ground may be above ours.
People who walk shoulder to shoulder are spawned over each other's heads, then put in place."""
_LIFTS_OF_VEHICLES = 3


@dataclass
class Puppet:
    """An agent's body on the server."""

    actor: int
    shape: Shape
    follower: Follower | None  # of a vehicle
    frozen: bool = False  # without physics: it is put where our core has it
    fresh: bool = True  # spawned since the last step
    lift: float = 0.0  # m by which the server's ground is above ours under a walker
    misplaced: int = 0  # steps in a row in which a walker was not where it was put


@dataclass(frozen=True)
class _Wanted:
    """An actor to be spawned: its centre's pose in our frame (x, y, yaw), and z of the ground there."""

    uid: int
    name: str
    role: str
    pose: tuple[float, float, float]
    z: float


def origin(pose: Any, z: Any, shape: Shape) -> ndarray:
    """The transform [..., 6] of a vehicle whose box's centre is at a pose, its wheels at z."""
    along, right, _ = shape.centre
    return origin_from_centre(pose_to_carla(np.asarray(pose), z), np.array([along, right, 0.0]))


def transform(carla: Any, place: Any) -> Any:
    """A `carla.Transform` of [x, y, z, pitch, yaw, roll]."""
    x, y, z, pitch, yaw, roll = map(float, place)
    return carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch, yaw, roll))


class Population:
    """The puppets by uid, and what else we have put into the world."""

    def __init__(self, session: Session, blueprints: Blueprints) -> None:
        self._session, self._blueprints = session, blueprints
        self.puppets: dict[int, Puppet] = {}
        self.props: list[int] = []
        self.refused: list[int] = []  # uids that have found no place so far

    @property
    def actors(self) -> list[int]:
        return [*self.props, *(p.actor for p in self.puppets.values())]

    def follow(self, vehicles: ndarray, pedestrians: ndarray) -> tuple[ndarray, ndarray]:
        """Takes away who has left, spawns who is new; the records without those who found no place, with the
        sizes of their bodies."""
        there = {*vehicles["uid"].tolist(), *pedestrians["uid"].tolist()}
        gone = [uid for uid in self.puppets if uid not in there]
        command = self._session.carla.command
        self._session.apply([command.DestroyActor(self.puppets.pop(uid).actor) for uid in gone])
        self._spawn([*self._new_vehicles(vehicles), *self._new_people(pedestrians)])
        return self._real(vehicles), self._real(pedestrians)

    def park(self, boxes: Boxes, rows: Iterable[int]) -> None:
        """Puts vehicles where boxes stand that the server's level does not have."""
        carla = self._session.carla
        for k in rows:
            size = (float(boxes.length[k]), float(boxes.width[k]), float(boxes.height[k]))
            name = self._blueprints.vehicle(Model.VAN, size)
            pose, z = (float(boxes.x[k]), float(boxes.y[k]), float(boxes.yaw[k])), float(boxes.z[k])
            actor = self._spawn_alone(_Wanted(-1, name, ROLES[0], pose, z))
            if actor is None:
                raise RuntimeError(f"{self._session.server}: no room for the vehicle parked at {pose[:2]}")
            self.props.append(actor)
            place = transform(carla, origin(pose, z, self._blueprints.expected(name)))
            command = carla.command
            self._session.apply(
                [command.SetSimulatePhysics(actor, False), command.ApplyTransform(actor, place)]
            )

    def _new_vehicles(self, cars: ndarray) -> list[_Wanted]:
        out = []
        for car in cars:
            uid = int(car["uid"])
            if uid not in self.puppets:
                size = (float(car["length"]), float(car["width"]), float(car["height"]))
                name = self._blueprints.vehicle(int(car["model"]), size)
                role = ROLES[1] if uid == EGO_UID else ROLES[0]
                pose = (float(car["x"]), float(car["y"]), float(car["yaw"]))
                out.append(_Wanted(uid, name, role, pose, float(car["z"])))
        return out

    def _new_people(self, people: ndarray) -> list[_Wanted]:
        out = []
        for person in people:
            uid = int(person["uid"])
            if uid not in self.puppets:
                name = self._blueprints.walker(int(person["age"]), float(person["height"]), uid)
                pose = (float(person["x"]), float(person["y"]), float(person["yaw"]))
                out.append(_Wanted(uid, name, ROLES[0], pose, float(person["z"])))
        return out

    def _spawn(self, wanted: list[_Wanted]) -> None:
        """All of them, in batches; the first of each blueprint alone, to be measured."""
        self.refused = []
        rest: list[_Wanted] = []
        for one in wanted:
            if self._blueprints.shape(one.name) is None:
                actor = self._spawn_alone(one)
                if actor is not None:
                    self._known(one, actor)
                else:
                    self.refused.append(one.uid)
            else:
                rest.append(one)
        spawn = self._session.carla.command.SpawnActor
        late: list[_Wanted] = []
        for k, lift in enumerate(LIFTS_M):
            if k == _LIFTS_OF_VEHICLES:
                late = [w for w in rest if w.name.startswith("vehicle.")]
                rest = [w for w in rest if w not in late]
            answers = self._session.apply([
                spawn(self._blueprints.dressed(w.name, w.role), self._place(w, lift)) for w in rest
            ])  # fmt: skip
            for one, answer in zip(rest, answers, strict=True):
                if not answer.error:
                    self._known(one, answer.actor_id)
            rest = [w for w, answer in zip(rest, answers, strict=True) if answer.error]
        self.refused += [w.uid for w in (*late, *rest)]

    def _spawn_alone(self, one: _Wanted) -> int | None:
        for lift in LIFTS_M[:_LIFTS_OF_VEHICLES] if one.name.startswith("vehicle.") else LIFTS_M:
            blueprint = self._blueprints.dressed(one.name, one.role)
            actor = self._session.world.try_spawn_actor(blueprint, self._place(one, lift))
            if actor is not None:
                if self._blueprints.shape(one.name) is None:
                    self._blueprints.measure(one.name, actor)
                    # Only now it is known where its centre is.
                    actor.set_transform(self._place(one, lift))
                return int(actor.id)
        return None

    def _place(self, one: _Wanted, lift: float) -> Any:
        shape = self._blueprints.expected(one.name)
        z = one.z + lift
        if one.name.startswith("walker."):
            return transform(self._session.carla, pose_to_carla(np.array(one.pose), z + 0.5 * shape.size[2]))
        return transform(self._session.carla, origin(one.pose, z, shape))

    def _known(self, one: _Wanted, actor: int) -> None:
        shape = self._blueprints.expected(one.name)
        drives = one.name.startswith("vehicle.")
        self.puppets[one.uid] = Puppet(actor, shape, Follower(shape) if drives else None)

    def _real(self, rows: ndarray) -> ndarray:
        if self.refused:
            rows = rows[~np.isin(rows["uid"], self.refused)]
        for k, uid in enumerate(rows["uid"].tolist()):
            if self.puppets[uid].fresh:
                rows["length"][k], rows["width"][k], rows["height"][k] = self.puppets[uid].shape.size
        return rows
