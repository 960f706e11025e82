"""The lane graph: what vehicles drive on, as immutable arrays that kernels read. Nouns only."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm_sim.lines import Lines


class LaneUse(IntEnum):
    """Who may drive on a lane."""

    DRIVING = 0  # cars and cyclists
    BIKING = 1  # cyclists only


class LaneGraph(NamedTuple):
    """Lanes in their direction of travel. Axes: L lanes, M points of all lines.

    A lane is one OpenDRIVE lane of one lane section (also inside junctions). Lists that belong to a lane are
    stored one after the other; those of lane k are rows `..._start[k]:..._start[k + 1]`.
    """

    lines: Lines  # centres; s along a lane starts at 0 and ends at length
    width: Float[ndarray, "M"]  # m, at each point of `lines`
    cap: Float[ndarray, "M"]  # m/s that the bends here, and those that follow on this lane, allow
    length: Float[ndarray, "L"]
    limit: Float[ndarray, "L"]  # m/s, the legal speed
    use: Int[ndarray, "L"]  # LaneUse
    road: Int[ndarray, "L"]  # the stable id of a lane: row of the road in the document ...
    section: Int[ndarray, "L"]  # ... index of the lane section ...
    lane: Int[ndarray, "L"]  # ... and OpenDRIVE lane id (negative: right of the reference line)
    junction: Int[ndarray, "L"]  # row of the junction that the lane lies in; -1 outside
    next_start: Int[ndarray, "L+1"]
    next: Int[ndarray, "a"]  # the lanes that follow
    prev_start: Int[ndarray, "L+1"]
    prev: Int[ndarray, "a"]  # the lanes that lead here
    left: Int[ndarray, "L"]  # the neighbour, same direction, into which one may change; -1: none
    right: Int[ndarray, "L"]
    heavy: Bool[ndarray, "L"]  # from here buses and trucks find a way without tight bends
    signal: Int[ndarray, "L"]  # row in Signals that decides who may ENTER this (junction) lane; -1: none
    stop_s: Float[ndarray, "L"]  # s of the stop line on a lane that ends at a junction; its length elsewhere
    # Where another lane of a junction crosses or joins this one.
    conflict_start: Int[ndarray, "L+1"]
    conflict_lane: Int[ndarray, "b"]  # the other lane
    conflict_in: Float[ndarray, "b"]  # s on this lane from which a body would touch the other lane's ...
    conflict_out: Float[ndarray, "b"]  # (bodies stand out in bends: also a little before and beyond it)
    conflict_other_in: Float[ndarray, "b"]  # ... and the same stretch on the other lane
    conflict_other_out: Float[ndarray, "b"]
    conflict_priority: Int[ndarray, "b"]  # +1 this lane goes first, -1 it gives way, 0 first come
    # Where people cross this lane: rows of `WalkGraph` edges.
    crossing_start: Int[ndarray, "L+1"]
    crossing: Int[ndarray, "c"]  # the edge
    crossing_in: Float[ndarray, "c"]  # s on this lane where the crossing begins ...
    crossing_out: Float[ndarray, "c"]  # ... and ends
    crossing_at: Float[ndarray, "c"]  # metres along the EDGE where the lane's centre lies
