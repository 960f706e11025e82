"""How near people and vehicles come to each other, in space and in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.types import Kind
from drivewm_eval.street.crossings import Crossing
from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.motion import LEVEL_M, Motion

LONGEST_PET_S = 6.0
"""Who passes a point later than this after the other has not met it."""
PAIR_M = 20.0
TOUCH_M = 1.4
"""Centres this close touch: half the width of a car, half a person, and 0.2 m to spare."""
HEADING_M = 0.5
"""A vehicle's heading is the direction of its last move of at least this."""


def post_encroachment(found: Sequence[Sequence[Crossing]]) -> Sample:
    """Seconds between the centres of a pedestrian and a vehicle passing the point where their paths cross.

    Up to 6 s; one observation a pair, `found` has one list of crossings for each motion.
    """
    met = [[c for c in each if abs(c.lag) <= LONGEST_PET_S] for each in found]
    return pool(
        [np.array([abs(c.lag) for c in each], float) for each in met],
        [np.array([c.pedestrian for c in each], np.int64) for each in met],
    )


def least_time_to_collision(motions: Sequence[Motion]) -> Sample:
    """Least seconds to collision of every pedestrian with every vehicle not parked; infinite if never.

    One observation a pair that comes within 20 m. At each tick both keep their velocity, and collide when
    their centres are 1.4 m apart.
    """
    values, agents = [], []
    for m in motions:
        pairs, least = [np.zeros(0, np.int64)], [np.zeros(0)]
        for people, vehicles in _meetings(m):
            i, j = np.nonzero(_apart(m, people, vehicles) < PAIR_M)
            pairs.append(m.agent[people[i]] * len(m.ids) + m.agent[vehicles[j]])
            least.append(
                time_to_reach(
                    m.xy[people[i]] - m.xy[vehicles[j]], m.velocity[people[i]] - m.velocity[vehicles[j]]
                )
            )
        each, place = np.unique(np.concatenate(pairs), return_inverse=True)
        best = np.full(len(each), np.inf)
        np.minimum.at(best, place.reshape(-1), np.concatenate(least))
        values.append(best)
        agents.append(each // max(len(m.ids), 1))
    return pool(values, agents)


def time_to_reach(
    offset: Float[ndarray, "n 2"], velocity: Float[ndarray, "n 2"], reach: float = TOUCH_M
) -> Float[ndarray, "n"]:
    """Seconds until an offset that changes with a velocity is shorter than `reach`; infinite if never."""
    square = (velocity**2).sum(axis=-1)
    inward = -(offset * velocity).sum(axis=-1)
    outside = (offset**2).sum(axis=-1) - reach**2
    root = inward**2 - square * outside
    hits = (inward > 0) & (root >= 0)
    after = (inward - np.sqrt(np.maximum(root, 0.0))) / np.where(hits, square, 1.0)
    return np.where(outside <= 0, 0.0, np.where(hits, after, np.inf))


def speed_near_people(motions: Sequence[Motion], nearest: tuple[float, float]) -> Sample:
    """Speeds of vehicles that are not parked, while the nearest person on foot is in a range of distances.

    The distance (metres, from `nearest[0]` on, below `nearest[1]`) is from the person's centre to the
    vehicle's box. One observation a vehicle and tick; vehicles that stand for the moment count.
    """
    values, agents = [], []
    for m in motions:
        heading = _headings(m)
        rows_of = [np.zeros(0, np.int64)]
        for people, vehicles in _meetings(m):
            known = vehicles[np.abs(heading[vehicles]).sum(axis=1) > 0]
            if not len(known):
                continue
            to_box = _box_distance(m, people, known, heading[known]).min(axis=0)
            rows_of.append(known[(to_box >= nearest[0]) & (to_box < nearest[1])])
        rows = np.concatenate(rows_of)
        values.append(m.speed[rows])
        agents.append(m.agent[rows])
    return pool(values, agents)


def _meetings(m: Motion) -> Iterator[tuple[Int[ndarray, "p"], Int[ndarray, "v"]]]:
    """For each tick with both: the rows of people on foot and of vehicles not parked, all with a velocity."""
    order, edges = m.by_tick
    people = m.follows & m.is_kind(Kind.PEDESTRIAN)
    vehicles = m.follows & m.is_kind(Kind.VEHICLE) & ~m.parked[m.agent]
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = order[begin:end]
        p, v = rows[people[rows]], rows[vehicles[rows]]
        if len(p) and len(v):
            yield p, v


def _apart(m: Motion, people: Int[ndarray, "p"], vehicles: Int[ndarray, "v"]) -> Float[ndarray, "p v"]:
    """Metres between centres; infinite between levels."""
    offset = m.xy[people, None] - m.xy[vehicles]
    level = np.abs(m.z[people, None] - m.z[vehicles]) <= LEVEL_M
    return np.where(level, np.hypot(offset[..., 0], offset[..., 1]), np.inf)


def _box_distance(
    m: Motion, people: Int[ndarray, "p"], vehicles: Int[ndarray, "v"], heading: Float[ndarray, "v 2"]
) -> Float[ndarray, "p v"]:
    """Metres from people's centres to vehicles' boxes, zero inside; infinite between levels."""
    offset = m.xy[people, None] - m.xy[vehicles]
    half = m.size[m.agent[vehicles]] / 2
    along = np.abs((offset * heading).sum(axis=-1)) - half[:, 0]
    across = np.abs(offset[..., 1] * heading[:, 0] - offset[..., 0] * heading[:, 1]) - half[:, 1]
    level = np.abs(m.z[people, None] - m.z[vehicles]) <= LEVEL_M
    return np.where(level, np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0)), np.inf)


def _headings(m: Motion) -> Float[ndarray, "N 2"]:
    """Unit direction in which a vehicle last moved half a metre; zero before it has, and for the others."""
    out = np.zeros((len(m.tick), 2))
    for agent in np.flatnonzero((m.kind == Kind.VEHICLE) & ~m.parked).tolist():
        begin, end = int(m.starts[agent]), int(m.starts[agent + 1])
        anchor, direction = m.xy[begin], np.zeros(2)
        for row in range(begin, end):
            moved = m.xy[row] - anchor
            length = float(np.hypot(moved[0], moved[1]))
            if length >= HEADING_M:
                anchor, direction = m.xy[row], moved / length
            out[row] = direction
    return out
