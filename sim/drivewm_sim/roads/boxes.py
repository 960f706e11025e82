"""Upright boxes: what blocks sight, reflects lidar and must not be walked or driven through."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


class BoxKind(IntEnum):
    PARKED = 0  # a parked vehicle
    BUILDING = 1
    SHELTER = 2  # of a bus stop
    FURNITURE = 3  # bins, hedges, planters, walls
    POLE = 4  # trees, lamps


class Boxes(NamedTuple):
    """Axis: N boxes. x, y is the centre, z the bottom."""

    x: Float[ndarray, "N"]
    y: Float[ndarray, "N"]
    z: Float[ndarray, "N"]
    yaw: Float[ndarray, "N"]
    length: Float[ndarray, "N"]
    width: Float[ndarray, "N"]
    height: Float[ndarray, "N"]
    kind: Int[ndarray, "N"]  # BoxKind


def no_boxes() -> Boxes:
    """No boxes."""
    nothing = np.zeros(0)
    return Boxes(nothing, nothing, nothing, nothing, nothing, nothing, nothing, np.zeros(0, np.int64))
