"""How fast people walk, how long they stand; how fast vehicles drive, how long they stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from drivewm.types import Kind
from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.motion import STANDING_MPS, WALKING_MPS, Motion

SPEED_STEP_S = 1.0
"""Walking speed is the displacement over a second: over half of it, trackers' noise widens it by a tenth."""
DRIVING_MPS = 0.5
"""At least this fast is driving."""
LEAST_SEEN_S = 5.0
"""Stops are counted of vehicles seen at least this long."""


def walking_speed(motions: Sequence[Motion]) -> Sample:
    """Speeds of people on foot while they walk, at least 0.3 m/s; one observation an agent and tick."""
    return _speeds(motions, [_walks(m) for m in motions])


def standing(motions: Sequence[Motion]) -> Sample:
    """Whether somebody on foot stands (below 0.2 m/s); one observation an agent and tick."""
    return _slow(_speeds(motions, [m.is_kind(Kind.PEDESTRIAN) for m in motions]))


def walking_speed_by_label(
    motions: Sequence[Motion], labels: Sequence[Mapping[str, str]]
) -> dict[str, Sample]:
    """`walking_speed` of the agents of each label; `labels` holds, for each motion, the label by agent id.

    An empty label (a vehicle has no age) is none.
    """
    names = sorted({name for label in labels for name in label.values() if name})
    out = {}
    for name in names:
        mine = [
            np.array([label.get(agent_id) == name for agent_id in m.ids], bool)[m.agent]
            for m, label in zip(motions, labels, strict=True)
        ]
        out[name] = _speeds(motions, [_walks(m) & own for m, own in zip(motions, mine, strict=True)])
    return out


def driving_speed(motions: Sequence[Motion]) -> Sample:
    """Speeds of vehicles while they drive, at least 0.5 m/s; one observation an agent and tick."""
    return _speeds(motions, [m.is_kind(Kind.VEHICLE) & (m.speed >= DRIVING_MPS) for m in motions])


def stopped(motions: Sequence[Motion]) -> Sample:
    """Whether a vehicle that is not parked stands (below 0.2 m/s); one observation an agent and tick."""
    return _slow(_speeds(motions, [m.is_kind(Kind.VEHICLE) & ~m.parked[m.agent] for m in motions]))


def stops_per_minute(motions: Sequence[Motion]) -> Sample:
    """Stops a minute of each vehicle that is not parked and is seen for 5 s; one observation a vehicle.

    A stop is a tick below 0.2 m/s after one of at least 0.5 m/s, whatever speeds lay between the two.
    """
    values, agents = [], []
    for m in motions:
        stops, who = [], []
        for agent in np.flatnonzero((m.kind == Kind.VEHICLE) & ~m.parked).tolist():
            rows = slice(int(m.starts[agent]), int(m.starts[agent + 1]))
            speed = m.speed[rows][m.follows[rows]]
            if len(speed) * m.step < LEAST_SEEN_S:
                continue
            drives = speed[(speed < STANDING_MPS) | (speed >= DRIVING_MPS)] >= DRIVING_MPS
            stops.append(60.0 * int((drives[:-1] & ~drives[1:]).sum()) / (len(speed) * m.step))
            who.append(agent)
        values.append(np.array(stops, float))
        agents.append(np.array(who, np.int64))
    return pool(values, agents)


def _walks(motion: Motion) -> Bool[ndarray, "N"]:
    return motion.is_kind(Kind.PEDESTRIAN) & (motion.speed >= WALKING_MPS)


def _speeds(motions: Sequence[Motion], chosen: Sequence[Bool[ndarray, "_"]]) -> Sample:
    """The speeds of the chosen rows that have one."""
    keep = [m.follows & rows for m, rows in zip(motions, chosen, strict=True)]
    return pool(
        [m.speed[rows] for m, rows in zip(motions, keep, strict=True)],
        [m.agent[rows] for m, rows in zip(motions, keep, strict=True)],
    )


def _slow(speeds: Sample) -> Sample:
    return Sample(value=(speeds.value < STANDING_MPS).astype(float), block=speeds.block)
