"""Small drives made by hand: who is where at each tenth of a second, and what the car knew of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

from drivewm.features import split_lines
from drivewm.types import Kind, RoadMap
from drivewm_datasets.drive import Branch, Cast, Drive

EGO = "ego"


def path(start: tuple[float, float], velocity: tuple[float, float], frames: int) -> ndarray:
    """x, y, yaw at every frame of somebody who goes straight on: T 3."""
    t = 0.1 * np.arange(frames)[:, None]
    xy = np.asarray(start) + t * np.asarray(velocity)
    yaw = np.full((frames, 1), np.arctan2(velocity[1], velocity[0]))
    return np.concatenate([xy, yaw], axis=1)


def cast(
    paths: Mapping[str, ndarray],
    kinds: Mapping[str, Kind],
    there: Mapping[str, ndarray] | None = None,
    on_road: Mapping[str, ndarray] | None = None,
    truth: Sequence[int] | None = None,
) -> Cast:
    """Agents by name, in this order; everybody is there all the time unless `there` says otherwise."""
    ids = tuple(paths)
    frames = len(next(iter(paths.values())))
    present = np.stack([(there or {}).get(name, np.ones(frames, bool)) for name in ids])
    road = np.stack([(on_road or {}).get(name, np.zeros(frames, bool)) for name in ids])
    who = np.arange(len(ids)) if truth is None else np.asarray(truth)
    pose = np.stack([paths[name] for name in ids])
    return Cast(
        ids=ids,
        kind=np.array([int(kinds[name]) for name in ids]),
        size=np.array([[4.5, 1.9] if kinds[name] == Kind.VEHICLE else [0.5, 0.5] for name in ids]),
        pose=np.where(present[..., None], pose, 0.0),
        there=present,
        on_road=road,
        meeting=road,
        truth=np.where(present, who[:, None], -1),
    )


def drive(
    true: Cast, seen: Cast, *, branches: Sequence[Branch] = (), road_map: RoadMap | None = None
) -> Drive:
    """A drive of these casts; the ego is the agent of that name."""
    road_map = road_map or RoadMap.empty()
    frames = true.there.shape[1]
    return Drive(
        dataset="hand",
        scene="made",
        town="nowhere",
        scenario="street",
        t_s=0.1 * np.arange(frames),
        true=true,
        seen=seen,
        ego=true.ids.index(EGO),
        signals=((),) * frames,
        road_map=road_map,
        lines=split_lines(road_map),
        bev=None,
        bev_spec=None,
        branches=tuple(branches),
    )


def crossed_before(frames: int, road_map: RoadMap | None = None) -> Drive:
    """The ego stands; one walker crosses evenly before it, another walks far away and stops at 3 s."""
    stopping = path((60.0, 5.0), (1.0, 0.0), frames)
    stopping[30:] = stopping[30]
    paths = {
        EGO: path((-10.0, 0.0), (0.0, 0.0), frames),
        "crossing": path((0.0, -4.0), (0.0, 1.0), frames),
        "far": stopping,
    }
    kinds = {EGO: Kind.VEHICLE, "crossing": Kind.PEDESTRIAN, "far": Kind.PEDESTRIAN}
    everybody = cast(paths, kinds, on_road={"crossing": np.ones(frames, bool)})
    return drive(everybody, everybody, road_map=road_map)
