"""Which lanes a signal of the document speaks to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.opendrive import OpenDrive


def governed_lanes(document: OpenDrive, lanes: LaneGraph, signal: str) -> Int[ndarray, "n"]:
    """First lanes inside junctions that a signal, or a reference to it, decides about.

    On a connecting road it speaks to the lanes of that road; on any other, to those that follow its lanes
    where they leave it. Lane 0 alone, as CARLA writes on poles, is no lane.
    """
    out: list[int] = []
    own = document.signals.get(signal)
    places = [] if own is None else [own]
    places += [r for road in document.roads for r in road.signal_references if r.signal == signal]  # type: ignore[misc]
    for place in places:
        road = document.road_row[place.road]
        mine = np.flatnonzero(lanes.road == road)
        mine = mine[[_told(int(lane), place.validity, place.orientation) for lane in lanes.lane[mine]]]
        if document.roads[road].junction is None:
            last = len(document.roads[road].sections) - 1
            mine = mine[lanes.section[mine] == np.where(lanes.lane[mine] < 0, last, 0)]
            mine = np.array(
                [j for k in mine for j in lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]], np.int64
            )
            mine = mine[lanes.junction[mine] >= 0]
        else:
            mine = np.array([k for k in mine if _enters(lanes, int(k))], np.int64)
        out += [int(k) for k in mine]
    return np.unique(np.array(out, np.int64))


def _told(lane: int, validity: tuple[tuple[int, int], ...], orientation: str) -> bool:
    """Lane ranges decide; without any, the direction of traffic that the signal faces does."""
    if validity:
        return any(low <= lane <= high for low, high in validity)
    return orientation == "none" or (orientation == "+") == (lane < 0)


def _enters(lanes: LaneGraph, k: int) -> bool:
    before = lanes.prev[lanes.prev_start[k] : lanes.prev_start[k + 1]]
    return bool((lanes.junction[before] != lanes.junction[k]).any()) or len(before) == 0
