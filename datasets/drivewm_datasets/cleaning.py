"""The dirt that real recordings have: counted, and left out only where a position is impossible.

Whether a row is left out is decided from the rows before it, as the car decides (`history.TrackHistory`):
who is present at a moment never depends on what came after.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.history import JUMP_SLACK_M, MAX_SPEED_MPS
from drivewm.types import Kind
from drivewm_datasets.recording import CONTEXT

ISOLATED_JUMP = "isolated jump"  # rows left out
LASTING_JUMP = "lasting jump"  # rows left out: the first of each, the track goes on from the second
ONE_FRAME = "one-frame track (kept)"  # agents
NO_KIND = "type of no kind (context)"  # agents

JUMP_MPS = {int(kind): speed for kind, speed in MAX_SPEED_MPS.items()} | {
    CONTEXT: MAX_SPEED_MPS[Kind.VEHICLE]
}
"""No agent of the kind is this fast between two frames; context may be anything."""


def jumps(
    agent: Int[ndarray, "N"], t_s: Float[ndarray, "N"], xy: Float[ndarray, "N 2"], limit: Float[ndarray, "N"]
) -> tuple[Bool[ndarray, "N"], int]:
    """Rows to leave out, and how many of them began a lasting jump.

    Rows are sorted by (agent, time); `limit` is in m/s. A row is kept if it can be reached from the last
    kept row of its agent, or from the row just before it where that one was left out: then that jump was
    lasting (an identity switch, a slide) and the track goes on here. The first row of an agent is kept.
    """
    wrong = np.zeros(len(agent), bool)
    travelled = np.hypot(*np.diff(xy, axis=0).T)
    fast = (np.diff(agent) == 0) & (travelled > limit[1:] * np.diff(t_s) + JUMP_SLACK_M)
    lasting = 0
    edges = np.flatnonzero(np.diff(agent, prepend=-1, append=-1))
    # Where every step is possible every row is kept: only the other agents are walked through.
    for place in np.unique(np.searchsorted(edges, np.flatnonzero(fast), side="right")).tolist():
        first, last = int(edges[place - 1]), int(edges[place])
        left_out, confirmed = _walk(t_s[first:last].tolist(), xy[first:last].tolist(), float(limit[first]))
        wrong[first + np.asarray(left_out, np.int64)] = True
        lasting += confirmed
    return wrong, lasting


def _walk(t_s: list[float], xy: list[list[float]], limit: float) -> tuple[list[int], int]:
    """The rows of one track to leave out, and how many began a lasting jump."""

    def reachable(before: int, row: int) -> bool:
        east, north = xy[row][0] - xy[before][0], xy[row][1] - xy[before][1]
        return (east**2 + north**2) ** 0.5 <= limit * (t_s[row] - t_s[before]) + JUMP_SLACK_M

    left_out: list[int] = []
    kept, lasting = 0, 0
    for before, row in pairwise(range(len(t_s))):
        if reachable(kept, row):
            kept = row
        elif before != kept and reachable(before, row):
            kept, lasting = row, lasting + 1
        else:
            left_out.append(row)
    return left_out, lasting


def count_dirt(
    kind: Int[ndarray, "A"], rows_of_agent: Int[ndarray, "A"], left_out: int, lasting: int
) -> Counter[str]:
    """The counts of one scene, without the reasons that did not occur."""
    counts = Counter(
        {
            ISOLATED_JUMP: left_out - lasting,
            LASTING_JUMP: lasting,
            ONE_FRAME: int((rows_of_agent == 1).sum()),
            NO_KIND: int((kind == CONTEXT).sum()),
        }
    )
    return +counts
