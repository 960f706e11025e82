"""The walkable graph: strips that people walk on, as immutable arrays. Nouns only."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.lines import Lines


class EdgeKind(IntEnum):
    """What a strip is. From ZEBRA on it leads over lanes."""

    SIDEWALK = 0
    CORNER = 1  # joins sidewalks round a corner or across a driveway
    PLAZA = 2  # open ground
    ZEBRA = 3  # marked, drivers should give way
    SIGNAL = 4  # marked, with a signal for people
    MIDBLOCK = 5  # nothing marked: people may dare, drivers need not give way
    SHARED = 6  # a way over a shared-space carriageway


class WalkGraph(NamedTuple):
    """Strips from node `tail` to node `head`. Axes: E edges, N nodes, M points of all lines.

    Lists that belong to one row are stored one after the other: row k owns `..._start[k]:..._start[k + 1]`.
    An edge that leads over lanes is one stage: a refuge island is a node between two of them.
    """

    lines: Lines  # centres, from tail to head
    length: Float[ndarray, "E"]
    width: Float[ndarray, "E"]  # m, the narrowest
    walked: Float[ndarray, "E 2"]  # m to the left: from where to where people walk who have it to themselves
    kind: Int[ndarray, "E"]  # EdgeKind
    tail: Int[ndarray, "E"]
    head: Int[ndarray, "E"]
    kerb_in: Float[ndarray, "E"]  # metres along a crossing where the carriageway begins (else 0) ...
    kerb_out: Float[ndarray, "E"]  # ... and ends (0 elsewhere)
    signal: Int[ndarray, "E"]  # row in Signals for people; -1: none
    node_x: Float[ndarray, "N"]
    node_y: Float[ndarray, "N"]
    node_z: Float[ndarray, "N"]
    incident_start: Int[ndarray, "N+1"]
    incident: Int[ndarray, "2E"]  # edges that begin or end at a node, ascending
    # The lanes that an edge leads over, in the order met from its tail.
    over_start: Int[ndarray, "E+1"]
    over_lane: Int[ndarray, "c"]  # row in LaneGraph
    over_s: Float[ndarray, "c"]  # s on that lane
    over_at: Float[ndarray, "c"]  # metres along the edge of the lane's centre
    over_half: Float[ndarray, "c"]  # half the lane's width, measured along the edge
    over_left: Int[
        ndarray, "c"
    ]  # +1: its traffic comes from the left of one who walks tail to head; -1 right
