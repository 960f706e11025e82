"""Who is where, built anew every decision: vehicles by lane, people by crossing, everybody by place.

Each list is in a fixed order (by s on lanes, by uid elsewhere), so that sums over neighbours give the same
bits whatever the order in which agents came.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.street.state import Pedestrians, Vehicles

CELL_M = 8.0
BUCKETS = 1024  # cells are hashed: a bucket may hold several cells, so distances must be checked anyway


class Occupancy(NamedTuple):
    """Rows of vehicles and people. Axes: V vehicles, P pedestrians, L lanes, E strips."""

    lane_first: Int[ndarray, "L+1"]  # vehicles on lane k: lane_rows[lane_first[k]:lane_first[k + 1]], by s
    lane_rows: Int[ndarray, "V"]
    crossing_first: Int[ndarray, "E+1"]  # people with `crossing` k, by uid
    crossing_rows: Int[ndarray, "P"]  # (people without a crossing are not listed; the rest is -1)
    car_first: Int[ndarray, "BUCKETS+1"]  # vehicles by cell of their centre, by uid
    car_rows: Int[ndarray, "V"]
    person_first: Int[ndarray, "BUCKETS+1"]
    person_rows: Int[ndarray, "P"]


@kernel
def bucket(x: float, y: float) -> int:
    """The bucket of the cell in which a point lies."""
    i, j = math.floor(x / CELL_M), math.floor(y / CELL_M)
    return bucket_of_cell(i, j)


@kernel
def bucket_of_cell(i: int, j: int) -> int:
    """The bucket of a cell; a 32 by 32 block of cells has no two in one bucket."""
    return (i & 31) * 32 + (j & 31)


@kernel
def _listed(keys: ndarray, count: int, rows: ndarray, first: ndarray) -> None:
    """Stable counting sort: rows with key k at rows[first[k]:first[k + 1]]; negative keys are left out."""
    first[:] = 0
    for i in range(len(keys)):
        if keys[i] >= 0:
            first[keys[i] + 1] += 1
    for k in range(count):
        first[k + 1] += first[k]
    for i in range(len(keys) - 1, -1, -1):
        if keys[i] >= 0:
            # Filled from the back: first[k + 1] runs down to the start of k's list.
            first[keys[i] + 1] -= 1
            rows[first[keys[i] + 1]] = i
    # Now first[k + 1] is the start of k; shift back.
    for k in range(count):
        first[k] = first[k + 1]
    total = 0
    for i in range(len(keys)):
        if keys[i] >= 0:
            total += 1
    first[count] = total


@kernel
def occupy(cars: Vehicles, people: Pedestrians, lanes: int, edges: int) -> Occupancy:
    """The lists of this instant."""
    v, p = len(cars.uid), len(people.uid)
    out = Occupancy(
        np.empty(lanes + 1, np.int64), np.full(v, -1, np.int64),
        np.empty(edges + 1, np.int64), np.full(p, -1, np.int64),
        np.empty(BUCKETS + 1, np.int64), np.full(v, -1, np.int64),
        np.empty(BUCKETS + 1, np.int64), np.full(p, -1, np.int64),
    )  # fmt: skip
    keys = np.empty(v, np.int64)
    for i in range(v):
        keys[i] = cars.lane[i]
    _listed(keys, lanes, out.lane_rows, out.lane_first)
    for k in range(lanes):  # insertion sort by s; equal s stay in uid order
        for a in range(out.lane_first[k] + 1, out.lane_first[k + 1]):
            row = out.lane_rows[a]
            b = a - 1
            while b >= out.lane_first[k] and cars.s[out.lane_rows[b]] > cars.s[row]:
                out.lane_rows[b + 1] = out.lane_rows[b]
                b -= 1
            out.lane_rows[b + 1] = row
    for i in range(v):
        keys[i] = bucket(cars.x[i], cars.y[i])
    _listed(keys, BUCKETS, out.car_rows, out.car_first)
    keys = np.empty(p, np.int64)
    for i in range(p):
        keys[i] = people.crossing[i]
    _listed(keys, edges, out.crossing_rows, out.crossing_first)
    for i in range(p):
        keys[i] = bucket(people.x[i], people.y[i])
    _listed(keys, BUCKETS, out.person_rows, out.person_first)
    return out
