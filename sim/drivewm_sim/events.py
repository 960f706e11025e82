"""What happened within one step: found by comparing the records before and after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from drivewm_sim.simulator import Event, Intent
from drivewm_sim.street.directors import Phase
from drivewm_sim.street.situations import SITUATIONS
from drivewm_sim.street.state import Cause, World

_ON_FOOT_OVER = (Intent.CROSSING, Intent.RUNNING, Intent.PAUSING, Intent.HESITATING)


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


def _of_drivers(before: ndarray, cars: ndarray) -> list[Event]:
    out = []
    for i in np.flatnonzero(before != cars["intent"]):
        uid, other = int(cars["uid"][i]), int(cars["yields_to"][i])
        if cars["intent"][i] == Intent.BRAKING:
            out.append(Event("emergency_brake", uid, other, Cause(int(cars["cause"][i])).name.lower()))
        elif cars["intent"][i] == Intent.YIELDING and before[i] != Intent.BRAKING:
            out.append(Event("yield", uid, other))
    return out


def _of_walkers(before: ndarray, people: ndarray) -> list[Event]:
    out = []
    for p in np.flatnonzero(before != people["intent"]):
        was, now, uid = before[p], people["intent"][p], int(people["uid"][p])
        if now in (Intent.CROSSING, Intent.RUNNING) and was not in _ON_FOOT_OVER:
            out.append(Event("crossing_started", uid))
        elif now == Intent.TURNING_BACK:
            out.append(Event("turned_back", uid))
        elif now == Intent.HESITATING:
            out.append(Event("hesitated", uid))
        elif was in _ON_FOOT_OVER and now not in _ON_FOOT_OVER:
            out.append(Event("crossing_finished", uid))
    return out


def _contacts(before: Before, cars: ndarray, people: ndarray) -> list[Event]:
    out = []
    for touched, rows in ((before.touched, people), (before.car_touched, cars)):
        for k in np.flatnonzero((rows["touched"] >= 0) & (touched < 0)):
            uid, other = int(rows["uid"][k]), int(rows["touched"][k])
            # A contact is told once: by the pedestrian, or by the younger of two vehicles.
            if rows is people or (other in cars["uid"] and uid > other):
                out.append(Event("contact", uid, other, Cause(int(rows["cause"][k])).name.lower()))
    return out


def _of_directors(before: ndarray, directors: ndarray) -> list[Event]:
    names = list(SITUATIONS)
    begun = np.flatnonzero((before == Phase.WAITING) & (directors["phase"] == Phase.TRIGGERED))
    return [
        Event("situation", int(row["actor"][0]), int(row["target"]), names[row["situation"]])
        for row in directors[begun]
    ]
