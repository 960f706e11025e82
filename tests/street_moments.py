"""Moments and drives by hand, for the rooms that judge forecasts of drives."""

from __future__ import annotations

import numpy as np

from drivewm.baselines import kinematic_forecast
from drivewm.features import split_lines
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, RoadMap
from drivewm_datasets.drive import Cast, Drive
from drivewm_datasets.drive_scenes import Moment, moment_at

GRID = TimeGrid()


def make_drive(
    xy: np.ndarray,
    kind: list[int],
    *,
    size: np.ndarray | None = None,
    on_road: np.ndarray | None = None,
    road_map: RoadMap | None = None,
) -> Drive:
    """A drive in which all that is true is seen; `xy` N T 2. The last agent is the ego."""
    agents, frames, _ = xy.shape
    step = np.diff(xy, axis=1, append=xy[:, -1:])
    yaw = np.arctan2(step[..., 1], step[..., 0])
    road_map = RoadMap.empty() if road_map is None else road_map
    cast = Cast(
        ids=tuple(str(i) for i in range(agents)),
        kind=np.array(kind),
        size=np.zeros((agents, 2)) if size is None else size,
        pose=np.concatenate([xy, yaw[..., None]], axis=-1),
        there=np.ones((agents, frames), bool),
        on_road=np.zeros((agents, frames), bool) if on_road is None else on_road,
        meeting=np.zeros((agents, frames), bool),
        truth=np.repeat(np.arange(agents)[:, None], frames, axis=1),
    )
    return Drive(
        dataset="test",
        scene="street",
        town="",
        scenario="street",
        t_s=np.arange(frames) * 0.1,
        true=cast,
        seen=cast,
        ego=agents - 1,
        signals=((),) * frames,
        road_map=road_map,
        lines=split_lines(road_map),
        bev=None,
        bev_spec=None,
        branches=(),
    )


def straight(frames: int, start: tuple[float, float], velocity: tuple[float, float]) -> np.ndarray:
    """Places of who keeps a velocity (m/s)."""
    return np.array(start) + np.arange(frames)[:, None] * 0.1 * np.array(velocity)


def at(drive: Drive, frame: int) -> tuple[Moment, Forecast]:
    """A moment, with its constant-velocity forecast."""
    moment = moment_at(drive, frame, GRID, bev=False)
    return moment, kinematic_forecast(moment.scene, GRID)
