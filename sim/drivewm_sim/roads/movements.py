"""Ways through junctions: where a lane inside comes from, and which way it turns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.roads.lane_graph import LaneGraph

_TURN = math.radians(30.0)
_LONGEST = 16  # lanes in a row inside one junction


class Movements(NamedTuple):
    """Axis: L lanes. Outside junctions `entry`, `approach` are -1 and `turn` is 0."""

    entry: Int[ndarray, "L"]  # the first lane inside the junction on the way to this one
    approach: Int[ndarray, "L"]  # the lane outside from which that one is entered; -1: none
    turn: Int[ndarray, "L"]  # 1 left, 0 straight on, -1 right, of the whole way through
    heading: Float[ndarray, "L"]  # rad, at the entry


def movements(lanes: LaneGraph) -> Movements:
    """The way through its junction of each lane inside one; of several ways, the first in document order."""
    count = len(lanes.length)
    out = Movements(
        np.full(count, -1, np.int64), np.full(count, -1, np.int64), np.zeros(count, np.int64), np.zeros(count)
    )
    for k in np.flatnonzero(lanes.junction >= 0):
        first, approach = _first(lanes, int(k))
        last = _last(lanes, int(k))
        start = float(lanes.lines.yaw[lanes.lines.start[first]])
        end = float(lanes.lines.yaw[lanes.lines.start[last + 1] - 1])
        turned = (end - start + math.pi) % (2 * math.pi) - math.pi
        out.entry[k], out.approach[k], out.heading[k] = first, approach, start
        out.turn[k] = 0 if abs(turned) < _TURN else int(math.copysign(1, turned))
    return out


def _first(lanes: LaneGraph, k: int) -> tuple[int, int]:
    for _ in range(_LONGEST):
        before = lanes.prev[lanes.prev_start[k] : lanes.prev_start[k + 1]]
        outside = before[lanes.junction[before] != lanes.junction[k]]
        if len(outside) or not len(before):
            return k, int(outside[0]) if len(outside) else -1
        k = int(before[0])
    return k, -1


def _last(lanes: LaneGraph, k: int) -> int:
    for _ in range(_LONGEST):
        after = lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]
        inside = after[lanes.junction[after] == lanes.junction[k]]
        if len(inside) < len(after) or not len(after):
            return k
        k = int(inside[0])
    return k
