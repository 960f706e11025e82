"""Lists that belong to rows, stored one after the other: row k owns `start[k]:start[k + 1]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray


def ragged(rows: Sequence[Sequence[int]]) -> tuple[Int[ndarray, "n+1"], Int[ndarray, "m"]]:
    """Starts and entries of lists of whole numbers."""
    start = np.zeros(len(rows) + 1, np.int64)
    start[1:] = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return start, np.array([entry for row in rows for entry in row], np.int64)


def starts(owner: Int[ndarray, "m"], rows: int) -> Int[ndarray, "n+1"]:
    """Starts of the lists whose entries, in order, belong to the rows `owner` (ascending)."""
    return np.searchsorted(owner, np.arange(rows + 1)).astype(np.int64)
