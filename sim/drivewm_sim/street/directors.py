"""Directors bring situations about: they watch a vehicle come and, at the right moment, let people go.

Before that moment their actors stand at a place of their own and their props (a stopped van, a bus) stand on
the road. What actors then do follows from traits, goals and intents; nobody is moved. The rows of DIRECTOR
are all that changes, so copying them is a snapshot, and they are the labels of an episode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.boxes import Boxes, no_boxes
from drivewm_sim.roads.signals import Signals, aspect
from drivewm_sim.roads.walk_graph import WalkGraph
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street import state
from drivewm_sim.street.contacts import boxes_touch
from drivewm_sim.street.crossings import to_kerb, upcoming
from drivewm_sim.street.groups import row_of
from drivewm_sim.street.scripts import Scripts, add_script
from drivewm_sim.street.state import NOBODY, PATH, WAY, Controller, Pedestrians, Vehicles

Directors: TypeAlias = np.recarray
"""D rows of DIRECTOR, as kernels see them."""

ACTORS = 6
PROPS = 2
APPROACH = 32
"""Lanes on which a director sees the watched vehicle come."""
EGO = 0
ANYBODY = -1
"""As a target: whatever vehicle comes."""
LONGEST_S = 90.0  # after the trigger; by then every situation is over
SETTLE_S = 1.0  # after which an actor must be at the crossing
CRAWL_MPS = 0.5  # slower vehicles count as coming at this speed
BRISK, RUNNING_MPS = 1.08, 2.0  # as walkers step out
PROP_CLEAR_M = 35.0  # behind a prop: who is nearer could not stop


class Phase(IntEnum):
    WAITING = 0
    TRIGGERED = 1
    DONE = 2
    EXPIRED = 3  # the watched vehicle has passed, or gone elsewhere


_I, _F = np.int64, np.float64

DIRECTOR = np.dtype(
    [
        ("situation", _I),  # row of the registry of situations
        ("phase", _I),  # Phase
        ("triggered", _I),  # tick; -1: not yet
        ("ended", _I),  # tick; -1: not yet
        ("x", _F),  # where the paths cross, scene frame
        ("y", _F),
        ("crossing", _I),  # strip over lanes
        # The trigger: everything must hold.
        ("target", _I),  # uid of the watched vehicle, or ANYBODY
        ("watched", _I),  # 0 or 1: the target has been seen to come
        ("lane", _I, (APPROACH,)),  # the lane of the conflict and those that lead to it; -1: no more
        ("via", _I, (APPROACH,)),  # entry that follows; -1: the conflict's lane
        ("to", _F, (APPROACH,)),  # m from the start of that lane to the conflict
        ("within_s", _F),  # its front is this near in time ...
        ("within_m", _F),  # ... and in space
        ("group", _I),  # signal group, -1: none ...
        ("shows", _I),  # ... that shows this Aspect ...
        ("left_least", _F),  # ... for so many seconds more
        ("left_most", _F),
        # People, and what they do once triggered.
        ("actor", _I, (ACTORS,)),  # uid, -1
        ("after", _F, (ACTORS,)),  # s from the trigger to its release
        ("go", _F, (ACTORS,)),  # this near to the kerb (m) it steps out; 0: it decides like everybody
        ("released", _I, (ACTORS,)),  # 0 or 1 (truth values leave gaps in the bytes of a row)
        ("gone", _I, (ACTORS,)),  # 0 or 1: has stepped out
        ("forward", _I, (ACTORS,)),  # 0 or 1: on the strip where it stands
        ("way", _I, (ACTORS, WAY)),
        ("goal_s", _F, (ACTORS,)),
        ("goal_d", _F, (ACTORS,)),
        ("stay", _F, (ACTORS,)),
        ("cause", _I, (ACTORS,)),  # Cause, should it come to a contact
        # Vehicles that stand until released; then they drive like everybody.
        ("prop", _I, (PROPS,)),  # uid, -1
        ("prop_after", _F, (PROPS,)),  # s from the trigger; sooner when all actors have left the street
    ],
    align=True,
)

_NOBODIES = ("lane", "via", "actor", "way", "prop", "group", "triggered", "ended")
_WAITING, _TRIGGERED, _DONE, _EXPIRED = (int(phase) for phase in Phase)
_REACTIVE, _SCRIPTED = int(Controller.REACTIVE), int(Controller.SCRIPTED)
_WALKING, _CROSSING, _RUNNING = int(Intent.WALKING), int(Intent.CROSSING), int(Intent.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A situation set up for one episode. `script` of an agent is a row of `scripts` here."""

    director: Mapping[str, Any]  # fields of a row of DIRECTOR
    people: tuple[dict[str, Any], ...] = ()  # for state.insert
    vehicles: tuple[dict[str, Any], ...] = ()
    boxes: Boxes = field(default_factory=no_boxes)  # to be added to the town for this episode
    scripts: tuple[tuple[Float[ndarray, "m 4"], float], ...] = ()  # poses and beginning


def no_directors() -> ndarray:
    """No directors."""
    return np.zeros(0, DIRECTOR)


def add_director(directors: ndarray, fields: Mapping[str, Any]) -> ndarray:
    """The rows and one more; fields not named are zero, or nobody."""
    row = np.zeros(1, DIRECTOR)
    for name in _NOBODIES:
        row[name] = NOBODY
    for name, value in fields.items():
        row[name][0] = value
    return np.concatenate([directors, row])


def enter(
    staged: Staged, directors: ndarray, cars: ndarray, people: ndarray, scripts: Scripts
) -> tuple[ndarray, ndarray, ndarray, Scripts]:
    """Directors, vehicles, people and scripts with a staged situation; before the first frame of an episode.

    Traffic that would drive into a prop at once, and who stands where an actor shall, leave the street.
    """
    first = len(scripts.begin)
    for poses, begin in staged.scripts:
        scripts, _ = add_script(scripts, poses, begin)
    for vehicle in staged.vehicles:
        script = vehicle.get("script", NOBODY)
        cars = cars[~_in_the_way_of(vehicle, cars)]
        cars = state.insert(cars, {**vehicle, "script": first + script if script >= 0 else NOBODY})
    for person in staged.people:
        near = np.hypot(people["x"] - person["x"], people["y"] - person["y"]) < 0.6
        people = state.insert(people[~(near & (people["director"] < 0))], person)
    return add_director(directors, staged.director), cars, people, scripts


def _in_the_way_of(vehicle: Mapping[str, Any], cars: ndarray) -> ndarray:
    """Which reactive vehicles overlap a new one or come upon it too fast."""
    behind = vehicle["s"] - cars["s"]
    out = (cars["lane"] == vehicle["lane"]) & (behind > -10.0) & (behind < PROP_CLEAR_M)
    for i, row in enumerate(cars):
        out[i] |= boxes_touch(
            vehicle["x"], vehicle["y"], vehicle["yaw"], vehicle["length"] + 3.0, vehicle["width"] + 0.3,
            row["x"], row["y"], row["yaw"], row["length"], row["width"],
        )  # fmt: skip
    reactive: ndarray = (cars["controller"] == Controller.REACTIVE) & (cars["director"] < 0)
    return out & reactive


def direct(
    directors: ndarray, cars: ndarray, people: ndarray, walks: WalkGraph, signals: Signals, tick: int
) -> None:
    """Once a tick, before anybody decides: triggers what is due and lets actors and props go."""
    # Apart, as handing a kernel the whole walk graph takes longer than what it does while nothing happens.
    if len(directors) > 0 and _watch_all(directors, cars, signals, tick):
        _play_all(directors, cars, people, walks, tick)


@kernel
def _watch_all(directors: Directors, cars: Vehicles, signals: Signals, tick: int) -> bool:
    """Triggers what is due, ends what can be no more; whether there is anything to play."""
    active = False
    for k in range(len(directors.phase)):
        if directors.phase[k] == _WAITING:
            due, passed = _watch(k, directors, cars, signals, tick)
            if due:
                directors.phase[k], directors.triggered[k] = _TRIGGERED, tick
            elif passed:
                directors.phase[k], directors.ended[k] = _EXPIRED, tick
                active = True
        active = active or directors.phase[k] == _TRIGGERED
    return active


@kernel
def _play_all(directors: Directors, cars: Vehicles, people: Pedestrians, walks: WalkGraph, tick: int) -> None:
    for k in range(len(directors.phase)):
        if directors.phase[k] == _TRIGGERED:
            since = (tick - directors.triggered[k]) * DECISION_S
            busy = _lead_actors(k, since, directors, people, walks)
            busy = _let_props_go(k, since, directors, cars, people) or busy
            if not busy or since > LONGEST_S:
                directors.phase[k], directors.ended[k] = _DONE, tick
        if directors.ended[k] == tick:
            _let_everybody_go(k, directors, cars, people)


@kernel
def _coming(k: int, i: int, directors: Directors, cars: Vehicles) -> float:
    """Metres from the front of row i to the conflict; infinite when it is not on its way there."""
    for j in range(APPROACH):
        if directors.lane[k, j] < 0:
            break
        if directors.lane[k, j] != cars.lane[i]:
            continue
        if directors.target[k] == ANYBODY and not _chosen(k, i, j, directors, cars):
            continue
        return directors.to[k, j] - cars.s[i] - 0.5 * cars.length[i]
    return math.inf


@kernel
def _chosen(k: int, i: int, j: int, directors: Directors, cars: Vehicles) -> bool:
    """Whether the driver of row i, on lane j of the approach, has chosen the lanes to the conflict."""
    for step in range(PATH):
        j = directors.via[k, j]
        if j < 0:
            return True
        if cars.path[i, step] != directors.lane[k, j]:
            return False
    return False


@kernel
def _watch(k: int, directors: Directors, cars: Vehicles, signals: Signals, tick: int) -> tuple[bool, bool]:
    """Whether the moment has come; whether it will not come any more."""
    target, soonest, nearest, here = directors.target[k], math.inf, math.inf, False
    for i in range(len(cars.uid)):
        if cars.uid[i] != target and (target != ANYBODY or cars.controller[i] == _SCRIPTED):
            continue
        far = _coming(k, i, directors, cars)
        here = here or far < math.inf
        if far >= 0.0:
            nearest = min(nearest, far)
            soonest = min(soonest, far / max(cars.speed[i], CRAWL_MPS))
    passed = target != ANYBODY and directors.watched[k] == 1 and nearest == math.inf
    if here:
        directors.watched[k] = 1
    if not (soonest <= directors.within_s[k] and nearest <= directors.within_m[k]):
        return False, passed
    if directors.group[k] >= 0:
        shows, left = aspect(signals, directors.group[k], tick * DECISION_S)
        if shows != directors.shows[k] or not directors.left_least[k] <= left <= directors.left_most[k]:
            return False, False
    return True, False


@kernel
def _release(k: int, a: int, p: int, directors: Directors, people: Pedestrians) -> None:
    """Gives actor a, row p, its goal and its way there."""
    for m in range(WAY):
        people.way[p, m] = directors.way[k, a, m]
    people.goal_s[p], people.goal_d[p] = directors.goal_s[k, a], directors.goal_d[k, a]
    people.forward[p], people.stay[p] = directors.forward[k, a] == 1, directors.stay[k, a]
    people.intent[p], people.timer[p] = _WALKING, 0.0
    people.halt[p], people.stalled[p] = 0.0, 0.0
    directors.released[k, a] = 1


@kernel
def _step_out(k: int, a: int, p: int, directors: Directors, people: Pedestrians, walks: WalkGraph) -> None:
    """Lets actor a leave the kerb without waiting for a gap, once it is near enough."""
    edge, forward, along = upcoming(p, people, walks)
    if edge != directors.crossing[k]:
        return
    people.crossing[p], people.crossing_forward[p], people.along[p] = edge, forward, along
    if to_kerb(p, people, walks) > directors.go[k, a]:
        return
    runs = people.free_speed[p] * BRISK > RUNNING_MPS
    people.intent[p], people.timer[p] = _RUNNING if runs else _CROSSING, 0.0
    people.pace[p], people.cause[p] = BRISK, directors.cause[k, a]
    directors.gone[k, a] = 1


@kernel
def _lead_actors(k: int, since: float, directors: Directors, people: Pedestrians, walks: WalkGraph) -> bool:
    """Releases who is due; whether anybody is not yet over the crossing."""
    busy = since < SETTLE_S
    for a in range(ACTORS):
        p = row_of(people, directors.actor[k, a])
        if p < 0:
            continue
        if directors.released[k, a] == 0:
            busy = True
            if since < directors.after[k, a]:
                continue
            _release(k, a, p, directors, people)
        if directors.go[k, a] > 0.0 and directors.gone[k, a] == 0:
            _step_out(k, a, p, directors, people, walks)
            busy = busy or directors.gone[k, a] == 0
        busy = busy or people.crossing[p] == directors.crossing[k]
    return busy


@kernel
def _let_props_go(k: int, since: float, directors: Directors, cars: Vehicles, people: Pedestrians) -> bool:
    """Lets props drive whose time has come, or for whom nobody is left; whether any still stands."""
    busy, left = False, False
    for a in range(ACTORS):
        left = left or row_of(people, directors.actor[k, a]) >= 0
    for m in range(PROPS):
        i = row_of(cars, directors.prop[k, m])
        if i >= 0 and cars.controller[i] == _SCRIPTED:
            if left and since < directors.prop_after[k, m]:
                busy = True
            else:
                cars.controller[i], cars.script[i] = _REACTIVE, NOBODY
    return busy


@kernel
def _let_everybody_go(k: int, directors: Directors, cars: Vehicles, people: Pedestrians) -> None:
    """Actors and props go on as ordinary people and vehicles."""
    _let_props_go(k, math.inf, directors, cars, people)
    for a in range(ACTORS):
        p = row_of(people, directors.actor[k, a])
        if p >= 0 and directors.released[k, a] == 0:
            _release(k, a, p, directors, people)
