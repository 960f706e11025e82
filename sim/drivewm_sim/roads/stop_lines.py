"""What lanes know of the crossings over them, and where vehicles stop before junctions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.lines import line_point
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.ragged import starts
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

BEFORE_CROSSING_M = 1.0
BEFORE_JUNCTION_M = 0.5
BEFORE_SWEPT_M = 0.3

_AT_MOUTH_M = 20.0  # a marked crossing this near to the junction is stopped at ...
_STORAGE_M = 4.9  # ... unless a car has room between it and the junction, and no signal says otherwise
_LEAST_SINE = 0.35  # crossings met at a flatter angle count as met at this one


def with_crossings(lanes: LaneGraph, walks: WalkGraph) -> LaneGraph:
    """The mirror of `WalkGraph.over_*`: every lane's crossings, in the order driven over."""
    edge = np.repeat(np.arange(len(walks.length)), np.diff(walks.over_start))
    lane, s = walks.over_lane, walks.over_s
    half = np.array(
        [
            _half_breadth(lanes, walks, *row)
            for row in zip(edge.tolist(), lane.tolist(), s.tolist(), strict=True)
        ],
        np.float64,
    )
    order = np.lexsort((edge, s, lane))
    edge, lane, s, half, at = edge[order], lane[order], s[order], half[order], walks.over_at[order]
    return lanes._replace(
        crossing_start=starts(lane, len(lanes.length)),
        crossing=edge.astype(np.int64),
        crossing_in=np.maximum(s - half, 0.0),
        crossing_out=np.minimum(s + half, lanes.length[lane]),
        crossing_at=at,
    )


def _half_breadth(lanes: LaneGraph, walks: WalkGraph, edge: int, lane: int, s: float) -> float:
    """Half of a crossing's width as it lies along a lane."""
    yaw = line_point(lanes.lines, lane, s, 0.0)[2]
    ahead = walks.lines.yaw[walks.lines.start[edge]]
    return float(0.5 * walks.width[edge] / max(abs(np.sin(yaw - ahead)), _LEAST_SINE))


def stop_lines(lanes: LaneGraph, walks: WalkGraph) -> Float[ndarray, "L"]:
    """s of the stop line on each lane that leads into a junction where one may have to wait; else its length.

    Needs conflicts, signals and crossings. Vehicles stand before the crossing nearest to the junction, so
    that none stands on a zebra.
    """
    out = lanes.length.copy()
    for k in np.flatnonzero(lanes.junction < 0):
        ahead = lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]
        ahead = ahead[lanes.junction[ahead] >= 0]
        marked = [_marked(lanes, walks, int(j)) for j in ahead]
        contested = any(
            lanes.signal[j] >= 0 or lanes.conflict_start[j + 1] > lanes.conflict_start[j] for j in ahead
        )
        first = min((float(lanes.crossing_in[rows[0]]) for rows in marked if len(rows)), default=np.inf)
        if not contested and first > _AT_MOUTH_M:
            continue
        length = float(lanes.length[k])
        # Who waits leaves room to those who swing out as they turn.
        swept = min((float(lanes.conflict_in[rows].min()) for rows in _conflicts(lanes, ahead)), default=0.0)
        stop = length - max(BEFORE_JUNCTION_M, BEFORE_CROSSING_M - first, BEFORE_SWEPT_M - swept)
        signalled = any(lanes.signal[j] >= 0 for j in ahead)
        for row in _marked(lanes, walks, int(k))[::-1]:
            room = min(length, stop + BEFORE_JUNCTION_M) - float(lanes.crossing_out[row])
            if room < _STORAGE_M or (signalled and room < _AT_MOUTH_M):
                stop = min(stop, float(lanes.crossing_in[row]) - BEFORE_CROSSING_M)
        out[k] = min(max(stop, 0.0), length)
    return out


def _conflicts(lanes: LaneGraph, ahead: ndarray) -> list[ndarray]:
    """Rows of the conflicts of each lane that has any."""
    rows = [np.arange(lanes.conflict_start[j], lanes.conflict_start[j + 1]) for j in ahead]
    return [some for some in rows if len(some)]


def _marked(lanes: LaneGraph, walks: WalkGraph, k: int) -> ndarray:
    """Rows of a lane's marked crossings, in the order driven over."""
    rows = np.arange(lanes.crossing_start[k], lanes.crossing_start[k + 1])
    kind = walks.kind[lanes.crossing[rows]]
    return rows[(kind == EdgeKind.ZEBRA) | (kind == EdgeKind.SIGNAL)]
