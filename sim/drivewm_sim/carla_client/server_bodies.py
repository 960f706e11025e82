"""Bodies on a CARLA server: the street decides and plans 0.1 s, the server moves two ticks, we read back.

People are integrated by our core and put in place tick by tick, as CARLA's own walker AI does it. Vehicles
follow their drivers' wishes by wheel and speed (see `moving`); where they really came to is their record.
"""

from __future__ import annotations

import atexit
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.carla_client.blueprints import Blueprints
from drivewm_sim.carla_client.connection import Server, Session
from drivewm_sim.carla_client.ego_sensors import EgoSensors
from drivewm_sim.carla_client.lidar_image import depth_image
from drivewm_sim.carla_client.moving import Driving, press_pedals, set_speed
from drivewm_sim.carla_client.population import Population, Puppet, origin, transform
from drivewm_sim.carla_client.server_town import enter_town
from drivewm_sim.carla_client.signal_lights import SignalLights
from drivewm_sim.carla_client.traffic_manager import TrafficManager
from drivewm_sim.carla_frames import (
    centre_from_origin,
    mirrored,
    pose_from_carla,
    pose_to_carla,
    yaw_to_carla,
)
from drivewm_sim.ego_way import EGO_UID
from drivewm_sim.roads.town import Town
from drivewm_sim.sensors.bodies import bodies_of
from drivewm_sim.sensors.lidar import LidarSpec, Sweep, measured, silhouettes
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.simulator import DECISION_S, PHYSICS_S, Event
from drivewm_sim.street import traffic
from drivewm_sim.street.driving import relocate
from drivewm_sim.street.scripts import Scripts
from drivewm_sim.street.state import Cause, Controller, World
from drivewm_sim.street.traffic import Setting
from drivewm_sim.street_simulator import shown

MISPLACED_M = 0.5
"""A walker this far from where it was put has fallen or is stuck, and is put there again with force."""
_BLOCKED_MPS = 1.0  # a vehicle that is so much slower than it should be has met something
_AGAIN_TICKS = 10  # a contact that has been told is not told again while it lasts
_TICKS = round(DECISION_S / PHYSICS_S)


@dataclass(frozen=True)
class _Plan:
    """Where everybody was and shall be; halfway lies between. Columns: x, y, z, yaw."""

    cars: ndarray
    cars_to: ndarray
    speed: ndarray
    people: ndarray
    people_to: ndarray


class ServerBodies:
    """`Bodies` on a server, from the first town asked for until `close`."""

    def __init__(self, server: Server, driving: Driving = "velocity", lidar: LidarSpec | None = None) -> None:
        self._server, self._driving, self._lidar = server, driving, lidar
        self._session: Session | None = None
        self._sensors: EgoSensors | None = None
        self._manager: TrafficManager | None = None
        self.replaced = 0  # walkers put in place with force
        self.refused = 0  # agents that found no place
        self.off_m = np.zeros(0)  # of each vehicle that we drive, from its wish, after the last step
        atexit.register(self.close)

    # Episodes

    def town(self, name: str) -> Town:
        if self._session is None:
            self._session = Session(self._server)
        self._stop_traffic_manager()
        self._leave()
        self._town, text = enter_town(self._session, name)
        self._session.take_over()
        if self._driving == "traffic-manager":
            self._manager = TrafficManager(self._session)
        self._lights = SignalLights(self._session, self._town, text)
        return self._town

    def _stop_traffic_manager(self) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.stop()

    @property
    def _running(self) -> Session:
        if self._session is None:
            raise RuntimeError("call reset() first")
        return self._session

    def enter(self, setting: Setting, world: World) -> World:
        session = self._running
        self._leave()
        self._told: dict[int, int] = {}  # the tick of the last contact, by the other's uid
        self._lost: list[int] = []
        blueprints = Blueprints(session.world.get_blueprint_library())
        self._population = Population(session, blueprints)
        boxes = setting.street.boxes
        self._population.park(boxes, range(len(self._town.street.boxes.x), len(boxes.x)))
        cars, people = self._population.follow(world.vehicles, world.pedestrians)
        self._count_refused()
        world = world._replace(vehicles=cars, pedestrians=people)
        signals = setting.street.signals
        self._lights.show(shown(signals, world.tick * DECISION_S))
        session.tick(self._stand(world))
        ego = self._puppet(EGO_UID)
        self._sensors = EgoSensors(session, ego.actor, ego.shape, self._lidar)
        self._sensors.warm_up()
        return world

    def _puppet(self, uid: int) -> Puppet:
        return self._population.puppets[uid]

    def _count_refused(self) -> None:
        refused = self._population.refused
        if EGO_UID in refused:
            raise InputError(f"{self._server}: no room for the ego at its start; take another seed")
        self.refused += len(refused)

    def _stand(self, world: World) -> list[Any]:
        """Everybody stands exactly where the records have them."""
        carla = self._running.carla
        command, out = carla.command, []
        hold = carla.VehicleControl(brake=1.0, hand_brake=True)
        for car in world.vehicles:
            puppet = self._puppet(int(car["uid"]))
            place = origin((car["x"], car["y"], car["yaw"]), car["z"], puppet.shape)
            out += [
                command.ApplyTransform(puppet.actor, transform(carla, place)),
                command.ApplyVehicleControl(puppet.actor, hold),
            ]
        people = world.pedestrians
        return out + self._put(people, _places(people), np.zeros(len(people)))

    # Steps

    def step(self, world: World, scripts: Scripts, setting: Setting) -> tuple[Event, ...]:
        cars, people = world.vehicles, world.pedestrians
        was, were, speed = _places(cars), _places(people), cars["speed"].copy()
        traffic.step(world, scripts, setting)
        plan = _Plan(was, _places(cars), speed, were, _places(people))
        session = self._running
        first = self._held(cars)
        for k in range(1, _TICKS + 1):
            commands = [*first, *self._drive(cars, plan, k), *self._walk(people, plan, k)]
            if k == _TICKS:
                time_s = (world.tick + 1) * DECISION_S
                self._lights.show(shown(setting.street.signals, time_s))
            snapshot = session.tick(commands)
            first = []
        self._read_vehicles(cars, setting, snapshot)
        self._check_people(people, snapshot)
        return self._contacts(cars, people, world.tick)

    def _held(self, cars: ndarray) -> list[Any]:
        """Takes physics from those that are put in place, and gives the others theirs; calls the Traffic
        Manager for those that are new."""
        command, out = self._running.carla.command, []
        for uid, controller in zip(cars["uid"].tolist(), cars["controller"].tolist(), strict=True):
            puppet = self._puppet(uid)
            frozen = controller == Controller.SCRIPTED or self._driving == "placed"
            if frozen != puppet.frozen:
                puppet.frozen = frozen
                out.append(command.SetSimulatePhysics(puppet.actor, not frozen))
            if puppet.fresh and self._by_traffic_manager(controller):
                out.append(command.SetAutopilot(puppet.actor, True, self._server.traffic_manager_port))
        return out

    def _by_traffic_manager(self, controller: int) -> bool:
        return self._driving == "traffic-manager" and controller == Controller.REACTIVE

    def _drive(self, cars: ndarray, plan: _Plan, tick: int) -> list[Any]:
        carla = self._running.carla
        out: list[Any] = []
        share = tick / _TICKS
        place = _between(plan.cars, plan.cars_to, share)
        begin = yaw_to_carla(_between(plan.cars, plan.cars_to, share - 1.0 / _TICKS)[:, 3])
        for i, (uid, controller) in enumerate(
            zip(cars["uid"].tolist(), cars["controller"].tolist(), strict=True)
        ):
            puppet = self._puppet(uid)
            follower = puppet.follower
            if puppet.frozen:
                pose, z = place[i, [0, 1, 3]], place[i, 2]
                at = transform(carla, origin(pose, z, puppet.shape))
                out.append(carla.command.ApplyTransform(puppet.actor, at))
            elif follower is not None and not self._by_traffic_manager(controller):
                before, after = float(plan.speed[i]), float(cars["speed"][i])
                speed = before + share * (after - before)
                curvature = float(cars["curvature"][i])
                if self._driving == "pedals" and not puppet.fresh:
                    earlier = speed - (after - before) / _TICKS
                    out += press_pedals(carla, puppet.actor, follower, earlier, speed, curvature)
                else:
                    yaw = float(begin[i])
                    out += set_speed(carla, puppet.actor, follower, speed, curvature, yaw)
            puppet.fresh = puppet.fresh and tick < _TICKS
        return out

    def _walk(self, people: ndarray, plan: _Plan, tick: int) -> list[Any]:
        place = _between(plan.people, plan.people_to, tick / _TICKS)
        pace = np.hypot(people["vx"], people["vy"])
        out = self._put(people, place, pace)
        if tick == 1:
            out += self._put_again(people, place)
        return out

    def _put(self, people: ndarray, place: ndarray, pace: ndarray) -> list[Any]:
        """Puts walkers with their feet at places (x, y, z, yaw)."""
        carla = self._running.carla
        puppets = [self._puppet(uid) for uid in people["uid"].tolist()]
        lift = np.array([puppet.lift for puppet in puppets])
        feet = pose_to_carla(place[:, [0, 1, 3]], place[:, 2] + lift).tolist()
        out = []
        for puppet, at, speed in zip(puppets, feet, pace.tolist(), strict=True):
            puppet.fresh = False
            out.append(carla.command.ApplyWalkerState(puppet.actor, transform(carla, at), speed))
        return out

    def _put_again(self, people: ndarray, place: ndarray) -> list[Any]:
        carla, out = self._running.carla, []
        for person, (x, y, z, yaw) in zip(people, place, strict=True):
            puppet = self._puppet(int(person["uid"]))
            if puppet.misplaced:
                middle = z + puppet.lift + 0.5 * puppet.shape.size[2]
                at = transform(carla, pose_to_carla(np.array([x, y, yaw]), middle))
                out.append(carla.command.ApplyTransform(puppet.actor, at))
                self.replaced += 1
        return out

    # What became of it

    def _read_vehicles(self, cars: ndarray, setting: Setting, snapshot: Any) -> None:
        rows, places, offsets, velocities = [], [], [], []
        for i, uid in enumerate(cars["uid"].tolist()):
            puppet = self._puppet(uid)
            if puppet.frozen:
                continue
            actor = snapshot.find(puppet.actor)
            if actor is None:
                self._lose(uid)
                continue
            rows.append(i)
            places.append(_transform_of(actor))
            offsets.append((*puppet.shape.centre[:2], 0.0))
            velocity = actor.get_velocity()
            velocities.append((velocity.x, velocity.y, velocity.z))
        if not rows:
            self.off_m = np.zeros(0)
            return
        pose, _ = pose_from_carla(centre_from_origin(np.array(places), np.array(offsets)))
        velocity = mirrored(np.array(velocities))
        along = np.cos(pose[:, 2]) * velocity[:, 0] + np.sin(pose[:, 2]) * velocity[:, 1]
        speed = np.copysign(np.hypot(velocity[:, 0], velocity[:, 1]), along)
        off = np.hypot(cars["x"][rows] - pose[:, 0], cars["y"][rows] - pose[:, 1])
        self.off_m = off[[not self._by_traffic_manager(k) for k in cars["controller"][rows].tolist()]]
        turn = (cars["yaw"][rows] - pose[:, 2] + np.pi) % (2 * np.pi) - np.pi
        for k, i in enumerate(rows):
            follower = self._puppet(int(cars["uid"][i])).follower
            wanted = float(cars["speed"][i])
            if follower is not None and not self._by_traffic_manager(int(cars["controller"][i])):
                follower.learn(wanted, float(speed[k]), float(turn[k]))
            if abs(wanted - speed[k]) > _BLOCKED_MPS:
                cars["acceleration"][i] = 0.0
        speed[np.abs(speed) < 0.02] = 0.0
        cars["x"][rows], cars["y"][rows], cars["yaw"][rows] = pose.T
        cars["speed"][rows] = speed
        relocate(cars, np.array(rows), setting.street)

    def _check_people(self, people: ndarray, snapshot: Any) -> None:
        """A walker's record is where it was put. Velocities come from the same positions: the server shows
        none of walkers that are put. Looked at is only whether it is there, and how high the ground is."""
        for uid, x, y, z in zip(*(people[n].tolist() for n in ("uid", "x", "y", "z")), strict=True):
            puppet = self._puppet(uid)
            actor = snapshot.find(puppet.actor)
            if actor is None:
                self._lose(uid)
                continue
            at = actor.get_transform().location
            pose, middle = pose_from_carla(np.array([at.x, at.y, at.z, 0.0, 0.0, 0.0]))
            above = float(middle) - 0.5 * puppet.shape.size[2] - z
            away = math.hypot(pose[0] - x, pose[1] - y)
            if away > MISPLACED_M or abs(above) > MISPLACED_M:
                puppet.misplaced += 1
            else:
                puppet.misplaced, puppet.lift = 0, 0.5 * (puppet.lift + above)

    def _lose(self, uid: int) -> None:
        """Notes that the server has taken an actor away, as its Traffic Manager does at the map's edge."""
        if uid == EGO_UID:
            raise RuntimeError(f"the server at {self._server} has lost the ego")
        self._lost.append(uid)

    def _contacts(self, cars: ndarray, people: ndarray, tick: int) -> tuple[Event, ...]:
        """What the ego's collision sensor says beyond what the records show."""
        if self._sensors is None:
            return ()
        uid_of = {puppet.actor: uid for uid, puppet in self._population.puppets.items()}
        out = []
        for actor in self._sensors.hits():
            other = uid_of.get(actor, -1)
            if tick - self._told.get(other, -_AGAIN_TICKS) >= _AGAIN_TICKS and not _touch(
                cars, people, other
            ):
                out.append(Event("contact", EGO_UID, other, Cause.NONE.name.lower()))
            self._told[other] = tick
        return tuple(out)

    def renew(self, world: World) -> World:
        cars, people = (
            rows[~np.isin(rows["uid"], self._lost)] if self._lost else rows
            for rows in (world.vehicles, world.pedestrians)
        )
        self._lost = []
        cars, people = self._population.follow(cars, people)
        self._count_refused()
        return world._replace(vehicles=cars, pedestrians=people)

    def sweep(self, lidar: LidarSpec, world: World, setting: Setting, pose: LidarPose) -> Sweep:
        if self._sensors is None:
            raise RuntimeError("call reset() before there is a sweep")
        bodies = bodies_of(world.vehicles, world.pedestrians)
        row_of = {self._puppet(uid).actor: k for k, uid in enumerate(bodies["uid"].tolist())}
        own = self._puppet(EGO_UID).actor
        depth, mark = depth_image(self._sensors.cloud(), lidar, row_of, own)
        alone = silhouettes(lidar, bodies, pose, ego_uid=EGO_UID)
        seen = np.bincount(mark[mark >= 0], minlength=len(bodies)).astype(np.int32)
        return measured(
            lidar, bodies, depth, mark, np.maximum(alone, seen),
            ego_uid=EGO_UID, seed=setting.seed, tick=world.tick,
        )  # fmt: skip

    # The end

    def _leave(self) -> None:
        """Ends the episode; the session goes on."""
        session, sensors, self._sensors = self._running, self._sensors, None
        if sensors is not None:
            sensors.stop()
        actors = self._actors(sensors)
        if actors:
            session.apply([session.carla.command.DestroyActor(k) for k in actors])
            session.tick(())

    def _actors(self, sensors: EgoSensors | None) -> list[int]:
        """Everybody of ours, who is then forgotten."""
        population: Population | None = getattr(self, "_population", None)
        out = [*(sensors.actors if sensors else ()), *(population.actors if population else ())]
        if population is not None:
            population.puppets, population.props = {}, []
        return out

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._session is None:
            return
        with suppress(RuntimeError):
            self._stop_traffic_manager()
        session, self._session = self._session, None
        sensors, self._sensors = self._sensors, None
        with suppress(RuntimeError):
            if sensors is not None:
                sensors.stop()
        session.close(self._actors(sensors))


def _places(rows: ndarray) -> ndarray:
    return np.column_stack([rows["x"], rows["y"], rows["z"], rows["yaw"]])


def _between(a: ndarray, b: ndarray, share: float) -> ndarray:
    step = b - a
    step[:, 3] = (step[:, 3] + np.pi) % (2 * np.pi) - np.pi
    return a + share * step


def _transform_of(actor: Any) -> tuple[float, ...]:
    place = actor.get_transform()
    at, turn = place.location, place.rotation
    return at.x, at.y, at.z, turn.pitch, turn.yaw, turn.roll


def _touch(cars: ndarray, people: ndarray, other: int) -> bool:
    """Whether the records have the ego touch this agent already."""
    if other < 0:
        return False
    ego = int(cars["touched"][cars["uid"] == EGO_UID][0])
    touched = [*cars["touched"][cars["uid"] == other], *people["touched"][people["uid"] == other]]
    return ego == other or EGO_UID in touched
