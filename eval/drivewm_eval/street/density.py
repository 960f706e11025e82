"""How full a street is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from drivewm.types import Kind
from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.motion import Motion

NEIGHBOUR_M = 5.0


def people_present(motions: Sequence[Motion]) -> Sample:
    """People on foot seen at once; one observation a tick at which anybody at all is seen."""
    return _present(motions, [m.is_kind(Kind.PEDESTRIAN) for m in motions])


def vehicles_present(motions: Sequence[Motion]) -> Sample:
    """Vehicles that are not parked seen at once; one observation a tick at which anybody at all is seen."""
    return _present(motions, [m.is_kind(Kind.VEHICLE) & ~m.parked[m.agent] for m in motions])


def people_nearby(motions: Sequence[Motion]) -> Sample:
    """Other people on foot within 5 m of each; one observation an agent and tick."""
    values, agents = [], []
    for m in motions:
        order, edges = m.by_tick
        on_foot = m.is_kind(Kind.PEDESTRIAN)
        near = np.zeros(len(m.tick))
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            rows = order[begin:end]
            rows = rows[on_foot[rows]]
            if len(rows) > 1:
                apart = m.xy[rows, None] - m.xy[rows]
                near[rows] = ((apart**2).sum(axis=-1) <= NEIGHBOUR_M**2).sum(axis=1) - 1
        values.append(near[on_foot])
        agents.append(m.agent[on_foot])
    return pool(values, agents)


def _present(motions: Sequence[Motion], counted: Sequence[Bool[ndarray, "_"]]) -> Sample:
    """How many counted rows each tick has. With few scenes a block is 10 s of one."""
    values, spans = [], []
    for m, rows in zip(motions, counted, strict=True):
        ticks, place = np.unique(m.tick, return_inverse=True)
        values.append(np.bincount(place.reshape(-1), weights=rows.astype(float), minlength=len(ticks)))
        spans.append((ticks * m.step // 10.0).astype(np.int64))
    return pool(values, spans)
