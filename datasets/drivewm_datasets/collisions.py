"""Branches in which the ego runs into somebody: what follows is a crash and no reaction to a plan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm_datasets.drive import Branch, Drive, forecast_kinds

DISCS = (-0.33, 0.0, 0.33)  # along a body, in shares of its length
LONG_M = 1.2  # shorter bodies are one disc
SHARE = 0.95  # of the width: that the discs of two who pass closely touch is no crash


def reactions(drive: Drive, frame: int) -> list[Branch]:
    """The branches that depart from a frame, without those in which the ego runs into somebody.

    Plans are driven blindly, whoever is in the way: people who are hit were not asked what they would do.
    """
    return [b for b in drive.branches if b.moment == frame and not runs_into(drive, b).any()]


def runs_into(drive: Drive, branch: Branch) -> Bool[ndarray, "N"]:
    """Whom of the true cast the ego touches during a branch, and did not touch at its start."""
    size, ego = drive.true.size, drive.ego
    there = branch.there & branch.there[ego] & forecast_kinds(drive.true)[:, None]
    there[ego] = False
    rows = np.flatnonzero(there.any(axis=1))
    out = np.zeros(len(there), bool)
    if not len(rows):
        return out
    body = _discs(branch.pose[ego], size[ego, 0])  # S D 2
    others = np.stack([_discs(branch.pose[row], size[row, 0]) for row in rows])  # R S D 2
    apart = np.linalg.norm(others[:, :, :, None] - body[:, None], axis=-1).min(axis=(2, 3))
    reach = SHARE * (size[ego, 1] + size[rows].min(axis=-1)) / 2
    touches = (apart < reach[:, None]) & there[rows]
    out[rows] = touches.any(axis=1) & ~touches[:, 0]
    return out


def _discs(pose: Float[ndarray, "S 3"], length: float) -> Float[ndarray, "S D 2"]:
    """Centres of three discs along a body, at the same place where it is short."""
    along = np.array(DISCS) * (length if length > LONG_M else 0.0)
    ahead = np.stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])], axis=-1)
    return np.asarray(pose[:, None, :2] + along[:, None] * ahead[:, None])
