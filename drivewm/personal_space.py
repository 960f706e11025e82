"""People make room for each other: in one joint mode no two pedestrians walk through the same place.

Shape suffixes: K modes, M pedestrians, F steps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.types import DEFAULT_SIZE, Forecast, Kind, Scene

ROUNDS = 4
"""Who steps aside may come near to a third one, so it is done this many times."""
ROOM = 1.15
"""Widths between the middles of two people: bodies that face any way have corners."""
APART_M = 1e-6


def make_room(forecast: Forecast, scene: Scene) -> Forecast:
    """The forecast with the pedestrians of each joint mode stepping aside for each other.

    Two who come nearer than they are wide are moved apart along the line between them, each by half of what
    is missing: a few decimetres. Who is not seen now yields alone, for where he is was only reckoned. Left as
    they are: who touches the other already (they walk arm in arm, or one of them is a ghost of tracking),
    agents without a model's forecast, candidates, and above all conflicts with vehicles and the ego, which a
    planner must see.
    """
    tracks = scene.tracks
    rows = np.flatnonzero((tracks.kind == Kind.PEDESTRIAN) & (np.asarray(forecast.source) == "model"))
    if len(rows) < 2:
        return forecast
    known = tracks.size_valid[rows, None]
    width = np.where(known, tracks.size[rows], DEFAULT_SIZE[Kind.PEDESTRIAN]).mean(axis=-1)
    now = tracks.position[rows, 0]
    seen = np.ones(len(rows), bool) if tracks.unseen_s is None else tracks.unseen_s[rows] == 0
    position = forecast.position.copy()
    position[:, rows] = parted(position[:, rows], now, width, seen)
    return replace(forecast, position=position)


def parted(
    path_KMF2: Float[ndarray, "K M F 2"],
    now: Float[ndarray, "M 2"],
    width: Float[ndarray, "M"],
    seen: Bool[ndarray, "M"],
) -> Float[ndarray, "K M F 2"]:
    """The paths with those moved apart who are not in each other's place now."""
    apart_now = now[:, None] - now[None]
    distance_now = np.hypot(apart_now[..., 0], apart_now[..., 1])
    reach = ROOM * (width[:, None] + width) / 2
    one, other = np.nonzero(np.triu(distance_now > reach, k=1))
    side = apart_now[one, other] / distance_now[one, other][:, None]  # for two in the very same place
    yields = np.where(seen[one] == seen[other], 0.5, np.where(seen[one], 0.0, 1.0))
    reach = reach[one, other][:, None]
    path = path_KMF2.copy()
    for _ in range(ROUNDS):
        offset = path[:, one] - path[:, other]  # K P F 2
        distance = np.hypot(offset[..., 0], offset[..., 1])
        missing = np.maximum(reach - distance, 0.0)
        near = np.flatnonzero(missing.any(axis=(0, 2)))
        if not len(near):
            break
        offset, distance, missing = offset[:, near], distance[:, near, :, None], missing[:, near, :, None]
        way = np.where(distance > APART_M, offset / np.maximum(distance, APART_M), side[near, None])
        share = np.zeros((len(now), len(near)))
        share[one[near], np.arange(len(near))] = yields[near]
        share[other[near], np.arange(len(near))] = yields[near] - 1
        path += np.einsum("mp,kpfx->kmfx", share, missing * way)
    return path
