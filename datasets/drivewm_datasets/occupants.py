"""Where everybody truly is and will be, drawn on the bird's-eye grid: the target of the occupancy head."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.bev import OCCUPANCY_LAYERS, OCCUPANCY_TIMES_S, BevSpec, occupancy_spec
from drivewm.frames import rotate, to_frame
from drivewm.types import Kind
from drivewm_datasets.street_windows import StreetPart

BOX = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 16), np.linspace(-0.5, 0.5, 4)), -1).reshape(-1, 2)
"""Points of a box of one by one metre."""


def draw_occupants(
    part: StreetPart, spec: BevSpec
) -> tuple[Bool[ndarray, "Q T H W"], Float[ndarray, "Q T H W 2"]]:
    """Occupied cells by layer and time, and how far whoever is there has come since now (m, ego frame)."""
    coarse = occupancy_spec(spec)
    _, h, w = coarse.shape
    occupied = np.zeros((len(OCCUPANCY_LAYERS), len(OCCUPANCY_TIMES_S), h, w), bool)
    flow = np.zeros((*occupied.shape, 2), np.float32)
    on_foot = part.others_kind == Kind.PEDESTRIAN
    wheels = part.others_kind == Kind.VEHICLE
    for layer, chosen in enumerate((on_foot, wheels, on_foot & ~part.others_tracked)):
        who = np.flatnonzero(chosen)
        if len(who) == 0:
            continue
        for t in range(len(OCCUPANCY_TIMES_S)):
            there = who[part.others_valid[who, t]]
            points, owner = _footprints(part, there, t) if layer == 1 else (part.others[there, t, :2], there)
            came = rotate(part.others[owner, t, :2] - part.others[owner, 0, :2], -part.ego_pose[2:])
            came[~part.others_valid[owner, 0]] = 0.0
            local = to_frame(points, part.ego_pose[None])
            i = np.floor((local[:, 0] - coarse.x_range[0]) / coarse.resolution).astype(np.int64)
            j = np.floor((local[:, 1] - coarse.y_range[0]) / coarse.resolution).astype(np.int64)
            keep = (i >= 0) & (i < h) & (j >= 0) & (j < w)
            occupied[layer, t, i[keep], j[keep]] = True
            flow[layer, t, i[keep], j[keep]] = came[keep]
    return occupied, flow


def _footprints(part: StreetPart, who: ndarray, t: int) -> tuple[Float[ndarray, "M 2"], ndarray]:
    """Points all over the vehicles' boxes, less than a cell apart up to a bus, and whose they are."""
    local = part.others_size[who][:, None] * BOX  # V 64 2
    pose = part.others[who, t]
    points = rotate(local, pose[:, None, 2]) + pose[:, None, :2]
    return points.reshape(-1, 2), np.repeat(who, len(BOX))
