"""Others who go first: where the ego's route meets their lanes, and what giving way to them takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.types import Aspect, Kind
from drivewm_sim.ego_route import EgoState, GiveWay
from drivewm_sim.ego_rules import ACCELERATION, FREE, HARD, Surroundings, idm

SEES_M = 45.0
LATE_S, EARLY_S = 0.7, 0.5  # margins: behind the ego, before it
CLEAR_M = 7.0  # beyond where a way is joined; from there on others follow the ego
MOVES_MPS = 0.5  # slower ones who are not there yet leave the way to the ego
BESIDE_M, ASKEW = 1.6, 0.5  # from the middle of the others' way, and the cosine of their heading to it
_PEDESTRIAN = int(Kind.PEDESTRIAN)


@dataclass(frozen=True)
class _Coming:
    """Vehicles on the way that goes first. Axis: N of them."""

    arrives: Float[ndarray, "N"]  # s until they touch the ego's way; 0: they are there
    leaves: Float[ndarray, "N"]


def for_right_of_way(around: Surroundings) -> float:
    """The acceleration that those who go first leave: stop where one waits for them, unless already past."""
    ego, wanted = around.ego, FREE
    for place in around.route.give_ways:
        front = ego.s + 0.5 * ego.length
        if not 0.0 < place.s_in - front < SEES_M or place.stop_s - front > SEES_M:
            continue
        room = place.stop_s - front
        if room < -1.0:  # past the line: right before the others' way
            room = place.s_in - front - 0.5
        if ego.speed**2 / (2.0 * max(room, 0.3)) < HARD and _must_wait(around, place):
            wanted = min(wanted, idm(ego.speed, 15.0, max(room, 0.1), ego.speed, 0.3, 0.5))
    return wanted


def _must_wait(around: Surroundings, place: GiveWay) -> bool:
    """Whether somebody is on the ego's way, or comes there, while the ego would be."""
    ego, cap = around.ego, max(around.route.speed_cap(place.s_in), 1.0)
    enters = _seconds(place.s_in - ego.s - 0.5 * ego.length, ego, cap)
    clears = _seconds(min(place.s_out, place.s_in + CLEAR_M) - ego.s + 0.5 * ego.length, ego, cap)
    coming = _coming(around, place)
    return bool(((coming.leaves > enters - EARLY_S) & (coming.arrives < clears + LATE_S)).any())


def _seconds(metres: float, ego: EgoState, cap: float) -> float:
    """For the ego to drive so far when it accelerates to `cap` m/s."""
    reached = math.sqrt(ego.speed**2 + 2.0 * ACCELERATION * metres)
    if reached <= cap:
        return (reached - ego.speed) / ACCELERATION
    gained = max(cap - ego.speed, 0.0) / ACCELERATION
    return gained + max(metres - 0.5 * (ego.speed + cap) * gained, 0.0) / cap


def _coming(around: Surroundings, place: GiveWay) -> _Coming:
    agents = around.agents
    near = np.hypot(*(agents.pose[:, :2] - place.xy).T) < SEES_M
    rows = np.flatnonzero(near & (agents.kind != _PEDESTRIAN))
    s, d, yaw = place.locate(agents.pose[rows, :2])
    half = 0.5 * agents.size[rows, 0]
    speed = np.hypot(*agents.velocity[rows].T)
    there = (s + half > place.at_in) & (s - half < place.at_out)
    on_it = (np.abs(d) < BESIDE_M) & (np.cos(agents.pose[rows, 2] - yaw) > ASKEW) & (s - half < place.at_out)
    keep = on_it & (there | (place.first & (speed > MOVES_MPS))) & ~_held_back(around, place, s)
    s, half, speed, there = s[keep], half[keep], np.maximum(speed[keep], MOVES_MPS), there[keep]
    return _Coming(
        arrives=np.where(there, 0.0, (place.at_in - s - half) / speed),
        leaves=(place.at_out - s + half) / speed,
    )


def _held_back(around: Surroundings, place: GiveWay, s: Float[ndarray, "N"]) -> Bool[ndarray, "N"]:
    """Who stands before a signal that is not green."""
    signals = around.frame.signals
    closed = place.signal >= 0 and bool(signals) and signals[place.signal] == Aspect.RED
    return np.asarray((s < place.enters) & closed)
