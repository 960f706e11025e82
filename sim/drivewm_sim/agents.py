"""The street's records as the nouns that others see: true agents, and tracks of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.types import Kind
from drivewm_sim.kernel import kernel
from drivewm_sim.sensors.tracker import Tracks
from drivewm_sim.simulator import AGENT_TYPES, Agents
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.state import Model, Pedestrians, Vehicles, World
from drivewm_sim.street.vectors import wrapped

_TYPE_OF_MODEL = np.zeros(len(Model), np.int64)
for _model, _name in zip(Model, ("car", "van", "truck", "bus", "cyclist"), strict=True):
    _TYPE_OF_MODEL[_model] = AGENT_TYPES.index(_name)
_BICYCLE = int(Model.BICYCLE)
_PEDESTRIAN = AGENT_TYPES.index("pedestrian")
_KIND_PEDESTRIAN, _KIND_CYCLIST, _KIND_VEHICLE = int(Kind.PEDESTRIAN), int(Kind.CYCLIST), int(Kind.VEHICLE)
_TYPE_OF_KIND = np.array([_PEDESTRIAN, AGENT_TYPES.index("cyclist"), AGENT_TYPES.index("car")])
"""As far as a track tells."""


class _Columns(NamedTuple):
    """`Agents`, for kernels."""

    uid: Int[ndarray, "N"]
    kind: Int[ndarray, "N"]
    type: Int[ndarray, "N"]
    pose: Float[ndarray, "N 3"]
    elevation: Float[ndarray, "N"]
    velocity: Float[ndarray, "N 2"]
    size: Float[ndarray, "N 2"]
    height: Float[ndarray, "N"]
    truth_uid: Int[ndarray, "N"]
    intent: Int[ndarray, "N"]
    age: Int[ndarray, "N"]


def _columns(count: int) -> _Columns:
    """Room for so many agents."""
    uid, kind, sort, truth_uid, intent, age = (np.empty(count, np.int64) for _ in range(6))
    return _Columns(
        uid, kind, sort, np.empty((count, 3)), np.empty(count), np.empty((count, 2)), np.empty((count, 2)),
        np.empty(count), truth_uid, intent, age,
    )  # fmt: skip


def agents_of(world: World) -> Agents:
    """Everybody, in uid order."""
    cars, people = world.vehicles, world.pedestrians
    out = _columns(len(cars) + len(people))
    _merge(cars, people, np.cos(cars["yaw"]), np.sin(cars["yaw"]), out)
    return Agents(**out._asdict())


@kernel
def _merge(
    cars: Vehicles, people: Pedestrians, cos: Float[ndarray, "V"], sin: Float[ndarray, "V"], out: _Columns
) -> None:
    i = j = 0
    for n in range(len(out.uid)):
        if j == len(people) or (i < len(cars) and cars[i].uid < people[j].uid):
            car = cars[i]
            _place(n, car, out)
            out.kind[n] = _KIND_CYCLIST if car.model == _BICYCLE else _KIND_VEHICLE
            out.type[n], out.age[n] = _TYPE_OF_MODEL[car.model], 0
            out.velocity[n, 0], out.velocity[n, 1] = car.speed * cos[i], car.speed * sin[i]
            i += 1
        else:
            person = people[j]
            _place(n, person, out)
            out.kind[n], out.type[n], out.age[n] = _KIND_PEDESTRIAN, _PEDESTRIAN, person.age
            out.velocity[n, 0], out.velocity[n, 1] = person.vx, person.vy
            j += 1


@inlined
def _place(n: int, agent, out: _Columns) -> None:  # type: ignore[no-untyped-def]
    out.uid[n], out.truth_uid[n], out.intent[n] = agent.uid, agent.uid, agent.intent
    out.pose[n, 0], out.pose[n, 1], out.pose[n, 2] = agent.x, agent.y, wrapped(agent.yaw)
    out.elevation[n], out.height[n] = agent.z, agent.height
    out.size[n, 0], out.size[n, 1] = agent.length, agent.width


def tracked(truth: Agents, tracks: ndarray, ego_uid: int) -> Agents:
    """The ego, which knows itself, and its tracks (rows of tracker.TRACK_RECORD), in uid order.

    The labels of a track are those of the agent it came from; of one who has left, those of nobody in
    particular (zeros).
    """
    ego = int(np.searchsorted(truth.uid, ego_uid))
    known = int(ego < len(truth.uid) and truth.uid[ego] == ego_uid)
    out = _columns(known + len(tracks))
    order, row = np.argsort(tracks["track_id"], kind="stable"), np.searchsorted(truth.uid, tracks["uid"])
    there = _Columns(*(getattr(truth, name) for name in _Columns._fields))
    if known:
        _copy(ego, there, out)
    _follow(tracks, order, row, there, known, out)
    return Agents(**out._asdict())


@kernel
def _copy(row: int, truth: _Columns, out: _Columns) -> None:
    """The agent in a row, to the first place."""
    out.uid[0], out.kind[0], out.type[0] = truth.uid[row], truth.kind[row], truth.type[row]
    out.pose[0], out.velocity[0], out.size[0] = truth.pose[row], truth.velocity[row], truth.size[row]
    out.elevation[0], out.height[0] = truth.elevation[row], truth.height[row]
    out.truth_uid[0], out.intent[0], out.age[0] = truth.truth_uid[row], truth.intent[row], truth.age[row]


@kernel
def _follow(
    tracks: Tracks, order: Int[ndarray, "T"], row: Int[ndarray, "T"], truth: _Columns, first: int,
    out: _Columns,
) -> None:  # fmt: skip
    """Writes the tracks from place `first` on. `row` of a track: that of its agent in the truth, if there."""
    for k in range(len(order)):
        n, track, own = first + k, tracks[order[k]], row[order[k]]
        out.uid[n], out.truth_uid[n], out.kind[n] = track.track_id, track.uid, track.kind
        out.pose[n, 0], out.pose[n, 1], out.pose[n, 2] = track.x, track.y, track.yaw
        out.elevation[n], out.height[n] = track.z, track.height
        out.velocity[n, 0], out.velocity[n, 1] = track.vx, track.vy
        out.size[n, 0], out.size[n, 1] = track.length, track.width
        if own < len(truth.uid) and truth.uid[own] == track.uid:
            out.type[n], out.intent[n], out.age[n] = truth.type[own], truth.intent[own], truth.age[own]
        else:
            out.type[n], out.intent[n], out.age[n] = _TYPE_OF_KIND[track.kind], 0, 0
