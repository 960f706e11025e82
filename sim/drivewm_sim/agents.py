"""The street's records as the nouns that others see: true agents, and tracks of them."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import Kind
from drivewm_sim.simulator import AGENT_TYPES, Agents
from drivewm_sim.street.state import Model, World

_TYPE_OF_MODEL = np.zeros(len(Model), np.int64)
for _model, _name in zip(Model, ("car", "van", "truck", "bus", "cyclist"), strict=True):
    _TYPE_OF_MODEL[_model] = AGENT_TYPES.index(_name)
_PEDESTRIAN = AGENT_TYPES.index("pedestrian")


def agents_of(world: World) -> Agents:
    """Everybody, in uid order."""
    cars, people = world.vehicles, world.pedestrians
    order = np.argsort(np.concatenate([cars["uid"], people["uid"]]), kind="stable")

    def both(of_cars: ndarray, of_people: ndarray) -> ndarray:
        return np.concatenate([of_cars, of_people])[order]

    def column(name: str) -> ndarray:
        return both(cars[name], people[name])

    rides = cars["model"] == Model.BICYCLE
    kind = np.where(rides, int(Kind.CYCLIST), int(Kind.VEHICLE))
    heading = np.column_stack([np.cos(cars["yaw"]), np.sin(cars["yaw"])])
    uid = column("uid")
    return Agents(
        uid=uid,
        kind=both(kind, np.full(len(people), int(Kind.PEDESTRIAN))),
        type=both(_TYPE_OF_MODEL[cars["model"]], np.full(len(people), _PEDESTRIAN)),
        pose=np.column_stack([column("x"), column("y"), wrap_angle(column("yaw"))]),
        elevation=column("z"),
        velocity=both(cars["speed"][:, None] * heading, np.column_stack([people["vx"], people["vy"]])),
        size=np.column_stack([column("length"), column("width")]),
        height=column("height"),
        truth_uid=uid,
        intent=column("intent"),
        age=both(np.zeros(len(cars), np.int64), people["age"]),
    )


def tracked(truth: Agents, tracks: ndarray, ego_uid: int) -> Agents:
    """The ego, which knows itself, and its tracks (rows of tracker.TRACK_RECORD), in uid order.

    The labels of a track are those of the agent it came from; of one who has left, those of nobody in
    particular (zeros).
    """
    ego = truth.where(truth.uid == ego_uid)
    if len(tracks) == 0:
        return ego
    row = np.searchsorted(truth.uid, tracks["uid"])
    there = (row < len(truth.uid)) & (truth.uid[np.minimum(row, len(truth.uid) - 1)] == tracks["uid"])
    row = np.where(there, row, 0)

    def label(values: ndarray) -> ndarray:
        return np.where(there, values[row], 0)

    kind = tracks["kind"]
    rough = np.array([_PEDESTRIAN, AGENT_TYPES.index("cyclist"), AGENT_TYPES.index("car")])
    found = {
        "uid": tracks["track_id"],
        "kind": kind,
        "type": np.where(there, truth.type[row], rough[kind]),
        "pose": np.column_stack([tracks["x"], tracks["y"], tracks["yaw"]]),
        "elevation": tracks["z"],
        "velocity": np.column_stack([tracks["vx"], tracks["vy"]]),
        "size": np.column_stack([tracks["length"], tracks["width"]]),
        "height": tracks["height"],
        "truth_uid": tracks["uid"],
        "intent": label(truth.intent),
        "age": label(truth.age),
    }
    order = np.argsort(found["uid"], kind="stable")
    return Agents(
        **{name: np.concatenate([getattr(ego, name), values[order]]) for name, values in found.items()}
    )
