"""The inputs of an empty street: what a runtime answers first, so that the first tick is not the slow one."""

from __future__ import annotations

import numpy as np

from drivewm.features import InputSizes, ModelInputs, featurize
from drivewm.timing import TimeGrid
from drivewm.tracks import tracks_from_positions
from drivewm.types import Scene


def empty_inputs(grid: TimeGrid, agents: int, sizes: InputSizes) -> ModelInputs:
    """One scene without anybody, in so many slots."""
    slots = len(grid.ages)
    nobody = tracks_from_positions(
        position=np.zeros((0, slots, 2)),
        valid=np.zeros((0, slots), bool),
        times=-np.asarray(grid.ages),
        kind=np.zeros(0, np.int64),
        size=np.zeros((0, 2)),
        ids=(),
    )
    return featurize([Scene(tracks=nobody, t_s=0.0)], agents=agents, sizes=sizes)
