"""A drive's bird's-eye grids after an edit: somebody taken out, put in, or ground hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.bev import CURRENT, BevGrid, BevSpec, quantise
from drivewm.frames import from_frame, to_frame
from drivewm_datasets.drive import FRAME_S, Drive, pack

GROW_M = 0.3
"""Cells whose centre is this near to a body count as covered by it."""
HEIGHT_M = 1.6
RETURNS = 3

Look = Literal["taken", "free", "hidden"]


@dataclass(frozen=True, kw_only=True)
class Brush:
    """A body's way through a drive, and what the cells under it are to look like. T frames, scene frame."""

    pose: Float[ndarray, "T 3"]
    there: Bool[ndarray, "T"]
    size: Float[ndarray, "2"]
    look: Look


def repaint(drive: Drive, brushes: Sequence[Brush], frames: range) -> Drive:
    """The drive with grids of these frames painted, in order; channels of the past where bodies were then."""
    if drive.bev is None:
        return drive
    grids = list(drive.bev)
    for frame in frames:
        grid = drive.grid(frame) if 0 <= frame < drive.frames else None
        if grid is not None:
            features = grid.features.copy()
            centers = from_frame(cell_centers(grid.spec), drive.true.pose[drive.ego, frame, None])
            for brush in brushes:
                _paint(features, centers, brush, frame, grid.spec)
            painted = BevGrid(features=features, valid=grid.valid, spec=grid.spec)
            grids[frame] = pack(quantise(painted).code)
    return replace(drive, bev=tuple(grids))


def cell_centers(spec: BevSpec) -> Float[ndarray, "H W 2"]:
    """The middle of each cell in the ego's frame."""
    _, h, w = spec.shape
    x = spec.x_range[0] + (np.arange(h) + 0.5) * spec.resolution
    y = spec.y_range[0] + (np.arange(w) + 0.5) * spec.resolution
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


def _paint(
    features: Float[ndarray, "C H W"],
    centers: Float[ndarray, "H W 2"],
    brush: Brush,
    frame: int,
    spec: BevSpec,
) -> None:
    taken = float(brush.look == "taken")
    for channel, age in enumerate((0.0, *spec.past_ages), start=len(CURRENT) - 1):
        at = frame - round(age / FRAME_S)
        if at < 0 or not brush.there[at]:
            continue
        under = (np.abs(to_frame(centers, brush.pose[at, None])) <= 0.5 * brush.size + GROW_M).all(axis=-1)
        if age > 0:
            features[channel, under] = taken
            continue
        shown = {
            "occupancy": taken,
            "height": taken * HEIGHT_M,
            "density": taken * np.log1p(RETURNS),
            "free": float(brush.look == "free"),
        }
        for name, value in shown.items():
            features[CURRENT.index(name), under] = value
