"""What happened within one step: found by comparing the records before and after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.simulator import Event, Intent
from drivewm_sim.street.directors import Phase
from drivewm_sim.street.situations import SITUATIONS
from drivewm_sim.street.state import Cause, Pedestrians, Vehicles, World

# As numbers: members of an enumeration are slow to look up.
_BRAKING, _YIELDING = int(Intent.BRAKING), int(Intent.YIELDING)
_CROSSING, _RUNNING, _PAUSING = int(Intent.CROSSING), int(Intent.RUNNING), int(Intent.PAUSING)
_HESITATING, _TURNING_BACK = int(Intent.HESITATING), int(Intent.TURNING_BACK)
_ON_FOOT_OVER = (_CROSSING, _RUNNING, _PAUSING, _HESITATING)


class Before(NamedTuple):
    """The columns that events are found from, before the step."""

    car_intent: ndarray
    car_touched: ndarray
    intent: ndarray
    touched: ndarray
    phase: ndarray

    @classmethod
    def of(cls, world: World, directors: ndarray) -> Before:
        cars, people = world.vehicles, world.pedestrians
        return cls(
            car_intent=cars["intent"].copy(),
            car_touched=cars["touched"].copy(),
            intent=people["intent"].copy(),
            touched=people["touched"].copy(),
            phase=directors["phase"].copy(),
        )


def changes(before: Before, world: World, directors: ndarray) -> tuple[Event, ...]:
    """The events of the step that led to this world, before anybody came or went."""
    cars, people = world.vehicles, world.pedestrians
    return (
        *_of_drivers(before.car_intent, cars),
        *_of_walkers(before.intent, people),
        *_contacts(before, cars, people),
        *_of_directors(before.phase, directors),
    )


@kernel
def _new_intents(before: Int[ndarray, "N"], agents: Vehicles | Pedestrians) -> Int[ndarray, "n"]:
    """The rows of those who intend something else."""
    out, count = np.empty(len(agents), np.int64), 0
    for k in range(len(agents)):
        if agents.intent[k] != before[k]:
            out[count] = k
            count += 1
    return out[:count]


@kernel
def _new_contacts(before: Int[ndarray, "N"], agents: Vehicles | Pedestrians) -> Int[ndarray, "n"]:
    """The rows of those who touch somebody and did not."""
    out, count = np.empty(len(agents), np.int64), 0
    for k in range(len(agents)):
        if agents.touched[k] >= 0 and before[k] < 0:
            out[count] = k
            count += 1
    return out[:count]


def _of_drivers(before: ndarray, cars: ndarray) -> list[Event]:
    out = []
    for i in _new_intents(before, cars).tolist():
        was, now = int(before[i]), int(cars["intent"][i])
        if now == _BRAKING:
            uid, other = int(cars["uid"][i]), int(cars["yields_to"][i])
            out.append(Event("emergency_brake", uid, other, Cause(int(cars["cause"][i])).name.lower()))
        elif now == _YIELDING and was != _BRAKING:
            out.append(Event("yield", int(cars["uid"][i]), int(cars["yields_to"][i])))
    return out


def _of_walkers(before: ndarray, people: ndarray) -> list[Event]:
    out = []
    for p in _new_intents(before, people).tolist():
        was, now, uid = int(before[p]), int(people["intent"][p]), int(people["uid"][p])
        if now in (_CROSSING, _RUNNING) and was not in _ON_FOOT_OVER:
            out.append(Event("crossing_started", uid))
        elif now == _TURNING_BACK:
            out.append(Event("turned_back", uid))
        elif now == _HESITATING:
            out.append(Event("hesitated", uid))
        elif was in _ON_FOOT_OVER and now not in _ON_FOOT_OVER:
            out.append(Event("crossing_finished", uid))
    return out


def _contacts(before: Before, cars: ndarray, people: ndarray) -> list[Event]:
    out = []
    for touched, rows in ((before.touched, people), (before.car_touched, cars)):
        for k in _new_contacts(touched, rows).tolist():
            uid, other = int(rows["uid"][k]), int(rows["touched"][k])
            # A contact is told once: by the pedestrian, or by the younger of two vehicles.
            if rows is people or (other in cars["uid"] and uid > other):
                out.append(Event("contact", uid, other, Cause(int(rows["cause"][k])).name.lower()))
    return out


def _of_directors(before: ndarray, directors: ndarray) -> list[Event]:
    if len(directors) == 0:
        return []
    names = list(SITUATIONS)
    begun = np.flatnonzero((before == Phase.WAITING) & (directors["phase"] == Phase.TRIGGERED))
    return [
        Event("situation", int(row["actor"][0]), int(row["target"]), names[row["situation"]])
        for row in directors[begun]
    ]
