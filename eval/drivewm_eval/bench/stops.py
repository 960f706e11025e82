"""Who stands still for how long, and whether a signal is the reason."""

from __future__ import annotations

import heapq
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.street.state import PATH

QUEUE_M = 120.0
"""A vehicle that comes to a signal within so many metres may be in its queue."""


class Standing:
    """How long each of a changing set of agents has been in one place."""

    def __init__(self, reach_m: float) -> None:
        self.reach_m = reach_m  # whoever has come further than this has moved
        self._uid = np.zeros(0, np.int64)
        self._place = np.zeros((0, 2))
        self._since = np.zeros(0)

    def seconds(
        self,
        time_s: float,
        uid: Int[ndarray, "n"],
        place: Float[ndarray, "n 2"],
        counts: Bool[ndarray, "n"],
    ) -> Float[ndarray, "n"]:
        """Seconds that each (uids ascending) has stood there; 0 where `counts` is false."""
        row = np.searchsorted(self._uid, uid)
        known = row < len(self._uid)
        known[known] = self._uid[row[known]] == uid[known]
        since, there = np.full(len(uid), time_s), place.copy()
        old = row[known]
        stays = np.hypot(*(place[known] - self._place[old]).T) <= self.reach_m
        keeps = np.flatnonzero(known)[stays & counts[known]]
        old = old[stays & counts[known]]
        since[keeps], there[keeps] = self._since[old], self._place[old]
        self._uid, self._place, self._since = uid.copy(), there, since
        return time_s - since


def metres_to_signal(lanes: LaneGraph) -> Float[ndarray, "L"]:
    """From the start of each lane to the nearest lane that a signal guards, whichever way; inf: none."""
    count = len(lanes.length)
    out = np.full(count, math.inf)
    waiting: list[tuple[float, int]] = []

    def reached(lane: int, rest: float) -> None:
        for k in range(lanes.prev_start[lane], lanes.prev_start[lane + 1]):
            before = int(lanes.prev[k])
            metres = float(lanes.length[before]) + rest
            if metres < out[before]:
                out[before] = metres
                heapq.heappush(waiting, (metres, before))

    for guarded in np.flatnonzero(lanes.signal >= 0):
        reached(int(guarded), 0.0)
    while waiting:
        metres, lane = heapq.heappop(waiting)
        if metres <= out[lane]:
            reached(lane, metres)
    return out


def in_signal_queue(cars: ndarray, lanes: LaneGraph, to_signal: Float[ndarray, "L"]) -> Bool[ndarray, "V"]:
    """Whose path comes to a signal within 120 m, and who follows one of those. cars: rows of VEHICLE."""
    out = np.zeros(len(cars), bool)
    lane, start, known = cars["lane"].copy(), -cars["s"], np.ones(len(cars), bool)
    for k in range(PATH + 1):
        following = cars["path"][:, k] if k < PATH else np.full(len(cars), -1)
        last = known & (following < 0)
        out |= last & (start + to_signal[lane] <= QUEUE_M)
        known &= following >= 0
        start = start + lanes.length[lane]
        out |= known & (lanes.signal[following] >= 0) & (start <= QUEUE_M)
        lane = np.where(known, following, lane)
    row = np.minimum(np.searchsorted(cars["uid"], cars["leader"]), max(len(cars) - 1, 0))
    follows = cars["uid"][row] == cars["leader"]
    for _ in range(len(cars)):
        more = out | (follows & out[row])
        if (more == out).all():
            break
        out = more
    return out
