"""The dirt that real recordings have: counted, and left out only where a position is impossible."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import Kind
from drivewm_datasets.recording import CONTEXT

ISOLATED_JUMP = "isolated jump"  # rows left out
LASTING_JUMP = "lasting jump (kept)"  # steps
ONE_FRAME = "one-frame track (kept)"  # agents
NO_KIND = "type of no kind (context)"  # agents

JUMP_MPS = {Kind.PEDESTRIAN: 15.0, Kind.CYCLIST: 25.0, Kind.VEHICLE: 70.0, CONTEXT: 70.0}
"""No agent of the kind is this fast between two frames; context may be anything."""


def isolated_jumps(
    agent: Int[ndarray, "N"], t_s: Float[ndarray, "N"], xy: Float[ndarray, "N 2"], limit: Float[ndarray, "N"]
) -> tuple[Bool[ndarray, "N"], int]:
    """Rows that jump out and back in one frame, and how many jumps remain without them.

    Rows are sorted by (agent, time); `limit` is in m/s. A row is isolated when the steps to it and from
    it are both faster than the limit while the step from the row before to the row after it is not.
    The steps that remain are lasting: an identity switch or a slide, which no single row is to blame for.
    """
    wrong = np.zeros(len(agent), bool)
    fast = _fast_steps(agent, t_s, xy, limit)
    middle = np.flatnonzero(fast[1:] & fast[:-1]) + 1
    direct = np.hypot(*(xy[middle + 1] - xy[middle - 1]).T)
    blamed = middle[direct <= limit[middle] * (t_s[middle + 1] - t_s[middle - 1])]
    # To and fro between two places blames every row of the run: every second one is enough.
    run_start = np.diff(blamed, prepend=-2) > 1
    place = np.arange(len(blamed)) - np.maximum.accumulate(np.where(run_start, np.arange(len(blamed)), 0))
    wrong[blamed[place % 2 == 0]] = True
    kept = ~wrong
    return wrong, int(_fast_steps(agent[kept], t_s[kept], xy[kept], limit[kept]).sum())


def _fast_steps(agent: ndarray, t_s: ndarray, xy: ndarray, limit: ndarray) -> Bool[ndarray, "M"]:
    travelled = np.hypot(*np.diff(xy, axis=0).T)
    return (np.diff(agent) == 0) & (travelled > limit[1:] * np.diff(t_s))


def count_dirt(
    kind: Int[ndarray, "A"], rows_of_agent: Int[ndarray, "A"], isolated: int, lasting: int
) -> Counter[str]:
    """The counts of one scene, without the reasons that did not occur."""
    counts = Counter(
        {
            ISOLATED_JUMP: isolated,
            LASTING_JUMP: lasting,
            ONE_FRAME: int((rows_of_agent == 1).sum()),
            NO_KIND: int((kind == CONTEXT).sum()),
        }
    )
    return +counts
