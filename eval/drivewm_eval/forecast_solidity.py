"""Do the forecasts themselves keep bodies solid? Pedestrians through vehicles or obstacles, mode by mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.baselines import kinematic_forecast
from drivewm.forecaster import TorchForecaster
from drivewm.solidity import depth_in_boxes, depth_in_outlines, obstacle_edges
from drivewm.tracks import MOVED_M
from drivewm.types import DEFAULT_SIZE, Forecast, Kind, Scene
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import scene_of
from drivewm_datasets.street_windows import present_at

EVERY = 20  # frames


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Which pedestrians' modes lead through what. Axes: K modes, P pedestrians who are outside of all now."""

    vehicle: Bool[ndarray, "K P"]
    obstacle: Bool[ndarray, "K P"]


def forecast_solidity(drives: Sequence[Drive], forecaster: TorchForecaster) -> dict[str, float | int]:
    """Shares of the joint modes of pedestrians (and of whole scenes) that break solidity, beside cv's."""
    model, straight = [], []
    for drive in drives:
        frames = range(EVERY, drive.frames, EVERY)
        scenes = [
            scene_of(drive, f, forecaster.grid, present_at(drive, f), plan=None, bev=True) for f in frames
        ]
        for scene, forecast in zip(scenes, forecaster(scenes), strict=True):
            model.append(broken_modes(scene, forecast))
            straight.append(broken_modes(scene, kinematic_forecast(scene, forecaster.grid)))
    shares = {
        f"{name}through_{what}s": _share(some, what)
        for name, some in (("", model), ("cv_", straight))
        for what in ("vehicle", "obstacle")
    }
    scene_modes = np.concatenate([(b.vehicle | b.obstacle).any(axis=1) for b in model])
    return {
        **shares,
        "scene_modes_broken": round(float(scene_modes.mean()), 5),
        "pedestrian_modes": int(sum(b.vehicle.size for b in model)),
    }


def _share(broken: Sequence[Broken], what: str) -> float:
    count = sum(getattr(b, what).size for b in broken)
    return round(float(sum(getattr(b, what).sum() for b in broken)) / max(count, 1), 5)


def broken_modes(scene: Scene, forecast: Forecast) -> Broken:
    """Where a pedestrian's path enters a vehicle's box at the same time in the same mode, or an obstacle.

    Boxes head along their way; one that does not move keeps its heading now. Who is inside already now,
    by noise or by occlusion, is not asked.
    """
    tracks = scene.tracks
    path = _denser(tracks.position[:, 0], forecast.position)  # K A S 2, now first
    size = np.where(tracks.size_valid[:, None], tracks.size, DEFAULT_SIZE[tracks.kind])
    walkers = np.flatnonzero(tracks.kind == Kind.PEDESTRIAN)
    vehicles = np.flatnonzero(tracks.kind == Kind.VEHICLE)
    walk = path[:, walkers]
    in_vehicle = np.zeros(walk.shape[:3], bool)
    for v in vehicles:
        yaw, known = _headings(path[:, v], float(tracks.yaw[v, 0]), bool(tracks.heading_valid[v]))
        box = np.concatenate([path[:, v], yaw[..., None]], axis=-1)[:, None]
        in_vehicle |= depth_in_boxes(walk, box, size[v], known[:, None]) > 0
    inside = (
        depth_in_outlines(walk.reshape(-1, 2), obstacle_edges(scene.road_map)).reshape(walk.shape[:3]) > 0
    )
    outside_now = ~(in_vehicle[0, :, 0] | inside[0, :, 0])
    return Broken(
        vehicle=np.asarray(in_vehicle[:, outside_now, 1:].any(axis=-1)),
        obstacle=np.asarray(inside[:, outside_now, 1:].any(axis=-1)),
    )


def _denser(now: Float[ndarray, "A 2"], position: Float[ndarray, "K A F 2"]) -> Float[ndarray, "K A S 2"]:
    begin = np.broadcast_to(now[None, :, None], (*position.shape[:2], 1, 2))
    path = np.concatenate([begin, position], axis=2)
    half = 0.5 * (path[:, :, 1:] + path[:, :, :-1])
    both = np.stack([half, path[:, :, 1:]], axis=3).reshape(*path.shape[:2], -1, 2)
    return np.concatenate([begin, both], axis=2)


def _headings(
    path: Float[ndarray, "K S 2"], yaw: float, known: bool
) -> tuple[Float[ndarray, "K S"], Bool[ndarray, "K S"]]:
    """The direction of each step of at least 0.15 m; the last one known where there is less."""
    out, sure = np.full(path.shape[:2], yaw), np.full(path.shape[:2], known)
    for s in range(1, path.shape[1]):
        step = path[:, s] - path[:, s - 1]
        moves = np.hypot(step[:, 0], step[:, 1]) >= MOVED_M
        out[:, s] = np.where(moves, np.arctan2(step[:, 1], step[:, 0]), out[:, s - 1])
        sure[:, s] = sure[:, s - 1] | moves
    return out, sure
