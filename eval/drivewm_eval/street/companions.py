"""Who walks together: found from the tracks alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from drivewm.types import Kind
from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.motion import LEVEL_M, WALKING_MPS, Motion

CLOSE_M = 1.5
ALIKE_MPS = 0.3
TOGETHER_S = 3.0


def together(motion: Motion) -> Bool[ndarray, "N"]:
    """Rows at which somebody on foot is in a group.

    Two are a pair as long as they are within 1.5 m and their velocities differ by less than 0.3 m/s, if
    that lasts at least 3 s without a break. A group is one pair or several that share people.
    """
    rows_one, rows_other = _close_rows(motion)
    out = np.zeros(len(motion.tick), bool)
    if not len(rows_one):
        return out
    pair = motion.agent[rows_one] * len(motion.ids) + motion.agent[rows_other]
    order = np.lexsort((motion.tick[rows_one], pair))
    rows_one, rows_other, pair = rows_one[order], rows_other[order], pair[order]
    goes_on = (np.diff(pair) == 0) & (np.diff(motion.tick[rows_one]) == 1)
    run = np.cumsum(np.concatenate([[True], ~goes_on])) - 1
    # n velocities in a row span n steps.
    lasts = np.bincount(run)[run] * motion.step >= TOGETHER_S - 1e-9
    out[rows_one[lasts]] = True
    out[rows_other[lasts]] = True
    return out


def in_group(motions: Sequence[Motion], rows: Sequence[Bool[ndarray, "_"]]) -> Sample:
    """Whether somebody on foot is ever in a group (`rows`: `together`); one observation a person seen 3 s."""
    values, agents = [], []
    for m, grouped in zip(motions, rows, strict=True):
        seen = np.bincount(m.agent[m.follows], minlength=len(m.ids)) * m.step >= TOGETHER_S - 1e-9
        people = np.flatnonzero(seen & (m.kind == Kind.PEDESTRIAN))
        ever = np.zeros(len(m.ids), bool)
        ever[m.agent[grouped]] = True
        values.append(ever[people].astype(float))
        agents.append(people)
    return pool(values, agents)


def walking_speeds(motions: Sequence[Motion], rows: Sequence[Bool[ndarray, "_"]]) -> tuple[Sample, Sample]:
    """Walking speeds (m/s) in groups (`rows`: `together`), and of people never in one."""
    grouped, single = [], []
    for m, mine in zip(motions, rows, strict=True):
        walks = m.follows & m.is_kind(Kind.PEDESTRIAN) & (m.speed >= WALKING_MPS)
        ever = np.zeros(len(m.ids), bool)
        ever[m.agent[mine]] = True
        grouped.append(np.flatnonzero(walks & mine))
        single.append(np.flatnonzero(walks & ~ever[m.agent]))

    def speed(chosen: list[Int[ndarray, "_"]]) -> Sample:
        return pool(
            [m.speed[r] for m, r in zip(motions, chosen, strict=True)],
            [m.agent[r] for m, r in zip(motions, chosen, strict=True)],
        )

    return speed(grouped), speed(single)


def _close_rows(motion: Motion) -> tuple[Int[ndarray, "n"], Int[ndarray, "n"]]:
    """Pairs of rows of one tick, both with a velocity, of people who are close and move alike."""
    order, edges = motion.by_tick
    moving = motion.follows & motion.is_kind(Kind.PEDESTRIAN)
    ones, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = order[begin:end]
        rows = rows[moving[rows]]
        if len(rows) < 2:
            continue
        apart = np.hypot(*(motion.xy[rows, None] - motion.xy[rows]).transpose(2, 0, 1))
        unlike = np.hypot(*(motion.velocity[rows, None] - motion.velocity[rows]).transpose(2, 0, 1))
        level = np.abs(motion.z[rows, None] - motion.z[rows]) <= LEVEL_M
        i, j = np.nonzero(np.triu((apart <= CLOSE_M) & (unlike < ALIKE_MPS) & level, k=1))
        ones.append(rows[i])
        others.append(rows[j])
    return np.concatenate(ones), np.concatenate(others)
