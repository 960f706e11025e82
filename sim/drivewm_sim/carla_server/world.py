"""An episode: its map, settings and actors, and what happens in one tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drivewm_sim.carla_server import catalogue
from drivewm_sim.carla_server.actors import STATE, Actor, Actors, Kind
from drivewm_sim.carla_server.contacts import blocked, collide
from drivewm_sim.carla_server.layouts import (
    WEATHER,
    BoundingBox,
    Definition,
    Description,
    Settings,
    Transform,
    Vector,
    box_at,
    integer,
)
from drivewm_sim.carla_server.lights import BEFORE_STOP_M, Lights
from drivewm_sim.carla_server.maps import Maps
from drivewm_sim.carla_server.physics import (
    BRAKE_MAX,
    BRAKE_MAX_TWO_WHEELS,
    advance_vehicles,
    read_road,
)
from drivewm_sim.carla_server.records import snapshot
from drivewm_sim.carla_server.sensor_blueprints import SENSOR_TYPE, WORLD_OBSERVER
from drivewm_sim.carla_server.sensors.measuring import Sensors, is_known
from drivewm_sim.carla_server.streams import Streams, message
from drivewm_sim.carla_server.walkers import advance_walkers, follow_parents

if TYPE_CHECKING:
    from drivewm_sim.carla_server.maps import Map

UNFIXED_DT = 0.05
"""Seconds a tick in synchronous mode where the client has fixed none: a wall clock would not repeat."""

MAP_CHANGED = 1
_STEP_OVER_M = 0.3  # what is lower does not stop a vehicle from being spawned over it
_SPECTATOR = Vector(0.0, 0.0, 30.0)
_WALKER_KG, _PROP_KG = 75.0, 500.0


class Refused(Exception):
    """A call that cannot be done; the message goes to the client."""


class _Nobody:
    """A listener that forgets."""

    def send(self, data: bytes) -> None: ...


class World:
    """The one world of a server. Episodes follow each other; streams and their ids live on."""

    def __init__(self, maps: Maps, town: str, streams: Streams) -> None:
        self.maps, self.streams = maps, streams
        self.observer = streams.open()
        self.actors = Actors()
        self.episode = 0
        self.frame = 0
        self.settings = Settings()
        self.weather: tuple[float, ...] = WEATHER
        self.gravity = 9.81
        self.traffic_managers: dict[int, str] = {}
        self._definitions = {d.id: d for d in catalogue.definitions()}
        self.load(town)

    def warm_up(self) -> None:
        """Compiles what a first tick needs, so that no client waits for it; leaves the world as it was."""
        town = self.map.name
        for name in ("vehicle.tesla.model3", "walker.pedestrian.0001", "sensor.lidar.ray_cast_semantic"):
            self.spawn(Description(0, name, ()), Transform(Vector(1e5, 1e5 + 50 * len(name), 0.0)))
        lidar = max(self.actors.by_id)
        self.streams.subscribe(self.actors.by_id[lidar].stream_id, _Nobody())
        self.tick(UNFIXED_DT)
        self.measure()
        self.episode = self.frame = 0
        self.load(town)

    # Episodes

    def load(self, town: str) -> None:
        """A new episode in a town."""
        where = self.maps.load(town)
        for actor in self.actors.by_id.values():
            if actor.stream_id:
                self.streams.close(actor.stream_id)
        self.map: Map = where
        self.episode += 1
        self.time_s = 0.0
        self.delta_s = 0.0
        self.contacts: tuple[Any, Any] = ((), ())
        self.actors = Actors()
        self.lights = Lights(where)
        self.sensors = Sensors(self)
        self._flags = MAP_CHANGED
        self._add_lights()
        self.spectator = self._add_plain("spectator", Transform(_SPECTATOR))
        # Who listens already hears of it in the next tick: the client that has asked for the episode must not
        # have a snapshot in hand as it leaves the stream.
        self.streams.keep(self.observer, self._snapshot())

    def _add_lights(self) -> None:
        for row, signal in enumerate(self.lights.signals):
            description = Description(0, "traffic.traffic_light", ())
            box = box_at((0.0, 0.0, 1.5), (1.5, 1.5, 1.5))
            actor = Actor(
                0, Kind.LIGHT, description, box, int(catalogue.Tag.TRAFFIC_LIGHT), sign_id=signal.id
            )
            place = tuple(float(v) for v in self.lights.transform[row])
            self.lights.record["id"][row] = self.actors.add(actor, place)["id"]
            for name, value in zip(("x", "y", "z", "pitch", "yaw", "roll"), place, strict=True):
                self.lights.record[name][row] = value
            self.lights.record["active"][row] = 1

    def _add_plain(self, name: str, transform: Transform) -> Actor:
        actor = Actor(0, Kind.OTHER, Description(0, name, ()), box_at((0, 0, 0), (0, 0, 0)), 0)
        self.actors.add(actor, (*transform.location, *transform.rotation))
        return actor

    # Actors

    def actor(self, actor_id: Any, what: str) -> Actor:
        found = self.actors.by_id.get(integer(actor_id))
        if found is None:
            raise Refused(f"{what}: actor not found, id {actor_id}")
        return found

    def row(self, actor_id: Any, what: str, *kinds: Kind) -> Any:
        """The state of an actor, of one of some kinds."""
        actor = self.actor(actor_id, what)
        if kinds and actor.kind not in kinds:
            raise Refused(f"{what}: actor {actor_id} is a {actor.description.id}")
        return self.actors.rows[actor.row]

    def spawn(
        self, description: Description, transform: Transform, parent_id: int = 0, attachment: int = 0
    ) -> Actor:
        """A new actor, or Refused with CARLA's wording."""
        definition = self._definitions.get(description.id)
        if definition is None:
            raise Refused("Spawn failed because of invalid actor description")
        if definition.id in SENSOR_TYPE and not is_known(definition.id):
            raise Refused(f"this server has no {definition.id}: it draws no pictures and has no radar")
        actor, state = self._new(definition, description)
        place = (*transform.location, *transform.rotation)
        actor.parent_id, actor.attachment = parent_id, attachment
        if parent_id:
            self.actor(parent_id, "unable to attach actor")
        else:
            for name, value in zip(("x", "y", "z", "pitch", "yaw", "roll"), place, strict=True):
                state[name] = value
        if state["collides"] and blocked(
            self.actors.state, self.map.level, state.view(np.recarray), _STEP_OVER_M
        ):
            raise Refused("Spawn failed because of collision at spawn position")
        if actor.kind == Kind.SENSOR:
            actor.stream_id = self.streams.open()
        self._place(actor, state, place)
        if actor.kind == Kind.SENSOR:
            try:
                self.sensors.add(actor)
            except ValueError as error:
                self.destroy(actor.id)
                raise Refused(f"Spawn failed because of invalid actor description: {error}") from None
        return actor

    def _place(self, actor: Actor, state: Any, place: tuple[float, ...]) -> None:
        row = self.actors.add(actor, place)
        kept = {name: row[name] for name in ("id", "parent")}
        for name in STATE.names or ():
            if name not in kept and not (actor.parent_id and name in ("x", "y", "z", "pitch", "yaw", "roll")):
                row[name] = state[name][0]
        row["light"] = -1
        if actor.parent_id:
            for name, value in zip(("rx", "ry", "rz", "rpitch", "ryaw", "rroll"), place, strict=True):
                row[name] = value
            follow_parents(self.actors.state)

    def _new(self, definition: Definition, description: Description) -> tuple[Actor, Any]:
        """An actor without id or place, and what its state begins with."""
        given = {key: (key, kind, value) for key, kind, value in description.attributes}
        complete = tuple(given.get(a.id, (a.id, int(a.type), a.value)) for a in definition.attributes)
        description = Description(definition.uid, definition.id, complete)
        state = np.zeros(1, STATE)
        kind, box, tag = _body(definition.id, state)
        (state["bx"], state["by"], state["bz"]), (state["ex"], state["ey"], state["ez"]) = (
            box.location, box.extent,
        )  # fmt: skip
        state["kind"], state["tag"] = int(kind), int(tag)
        return Actor(0, kind, description, box, int(tag)), state

    def destroy(self, actor_id: int) -> None:
        actor = self.actors.by_id.get(actor_id)
        if actor is None:
            raise Refused("unable to destroy actor: not found")
        if actor.kind == Kind.LIGHT or actor is self.spectator:
            raise Refused("unable to destroy actor: it belongs to the map")
        for gone in self.actors.remove(actor_id):
            if gone.stream_id:
                self.sensors.remove(gone.id)
                self.streams.close(gone.stream_id)

    # Time

    @property
    def step_s(self) -> float:
        """Seconds of the next tick in synchronous mode."""
        return self.settings.fixed_dt or UNFIXED_DT

    def tick(self, dt: float) -> int:
        """One tick: lights, vehicles, walkers, what is attached, collisions; then the snapshot goes out.

        `measure` comes after it, so that a client may go on while sensors still work.
        """
        state, ground = self.actors.state, self.map.ground
        self.lights.advance(dt)
        advance_vehicles(state, ground, dt)
        advance_walkers(state, ground, dt)
        follow_parents(state)
        self.contacts = collide(state, self.map.level)
        read_road(state, ground, self.lights.of_lane, BEFORE_STOP_M)
        self.frame += 1
        self.time_s += dt
        self.delta_s = dt
        self.publish()
        return self.frame

    def publish(self) -> None:
        """Sends the snapshot of the present to all observers."""
        data = self._snapshot()
        self._flags = 0
        self.streams.keep(self.observer, data)
        self.streams.send(self.observer, data)

    def _snapshot(self) -> bytes:
        body = snapshot(
            self.actors, self.lights.record, episode=self.episode, time_s=self.time_s, delta_s=self.delta_s,
            flags=self._flags,
        )  # fmt: skip
        return message(WORLD_OBSERVER, self.frame, self.time_s, (0.0,) * 6, body)

    def measure(self) -> None:
        """The sensors of this tick."""
        self.sensors.measure()


def _body(name: str, state: Any) -> tuple[Kind, BoundingBox, int]:
    """Kind, box and tag of a blueprint; writes what its physics needs into its state."""
    state["gravity"] = state["physics"] = 1
    state["mass"] = _PROP_KG
    if name in catalogue.VEHICLE_MODELS:
        model = catalogue.VEHICLE_MODELS[name]
        length, width, height = model.size
        state["collides"], state["limit"] = 1, 30.0
        for key in ("mass", "wheelbase", "track", "max_steer", "top_speed", "power", "thrust"):
            state[key] = getattr(model, key)
        state["brake_max"] = BRAKE_MAX if model.wheels == 4 else BRAKE_MAX_TWO_WHEELS
        box = box_at((model.box_x, 0.0, height / 2), (length / 2, width / 2, height / 2))
        return Kind.VEHICLE, box, int(model.tag)
    if name in catalogue.WALKER_MODELS:
        person = catalogue.WALKER_MODELS[name]
        state["collides"], state["mass"] = 1, _WALKER_KG * person.height / 1.75
        extent = (person.radius, person.radius, person.height / 2)
        return Kind.WALKER, box_at((0.0, 0.0, 0.0), extent), int(catalogue.Tag.PEDESTRIANS)
    if name in catalogue.PROPS:
        length, width, height = catalogue.PROPS[name]
        state["collides"] = 1
        box = box_at((0.0, 0.0, height / 2), (length / 2, width / 2, height / 2))
        return Kind.PROP, box, int(catalogue.Tag.STATIC)
    state["physics"] = 0
    kind = Kind.SENSOR if name in SENSOR_TYPE else Kind.OTHER
    return kind, box_at((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), int(catalogue.Tag.NONE)
