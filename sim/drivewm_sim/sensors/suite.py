"""The ego's sensors in one tick: a sweep, its features on a bird's-eye grid, visibility, tracks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.bev import BevGrid, BevSpec
from drivewm_sim.sensors import sweeps, tracker
from drivewm_sim.sensors.bev_fast import bev_features_fast
from drivewm_sim.sensors.lidar import LidarSpec, Sweep, points
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.sensors.tracker import TrackerSpec
from drivewm_sim.simulator import DECISION_S


@dataclass(frozen=True, kw_only=True)
class SensorSuite:
    """What the ego carries."""

    lidar: LidarSpec = field(default_factory=LidarSpec)
    bev: BevSpec = field(default_factory=BevSpec)
    tracker: TrackerSpec = field(default_factory=TrackerSpec)

    @property
    def rows(self) -> int:
        """Sweeps that must be kept."""
        return round(max(self.bev.past_ages, default=0.0) / DECISION_S) + 1


class SensorState(NamedTuple):
    """What the sensors remember: part of a snapshot."""

    sweeps: sweeps.Sweeps
    tracks: ndarray  # rows of tracker.TRACK_RECORD


@dataclass(frozen=True, kw_only=True)
class Sensed:
    """One tick of the sensors. Axis: N bodies as they were handed in."""

    sweep: Sweep
    bev: BevGrid
    visibility: Float[ndarray, "N"]
    tracks: ndarray  # rows of tracker.TRACK_RECORD that the stack reports


def no_memory(suite: SensorSuite) -> SensorState:
    """Sensors just switched on."""
    return SensorState(sweeps.no_sweeps(suite.lidar, suite.rows), tracker.no_tracks())


def copy(state: SensorState) -> SensorState:
    """An independent copy, for a snapshot."""
    return SensorState(sweeps.copy(state.sweeps), state.tracks.copy())


def sense(
    suite: SensorSuite,
    state: SensorState,
    sweep: Sweep,
    bodies: ndarray,
    pose: LidarPose,
    *,
    ego_uid: int,
    seed: int,
    tick: int,
) -> tuple[Sensed, SensorState]:
    """What the sensors make of a sweep, and what they remember after it; writes into the ring of sweeps.

    bodies: rows of bodies.BODY, in uid order, as they were scanned.
    """
    past = sweeps.past_points(
        state.sweeps, suite.lidar, pose, tick, suite.bev.past_ages, heights=suite.bev.obstacle_heights
    )
    origin = np.array([0.0, 0.0, suite.lidar.mount])
    bev = bev_features_fast(points(sweep.range_m, suite.lidar), origin, suite.bev, past)
    sweeps.keep(state.sweeps, sweep, pose, tick)
    tracks = tracker.track(
        suite.tracker, state.tracks, bodies, sweep.visibility, pose.x, pose.y,
        ego_uid=ego_uid, seed=seed, tick=tick,
    )  # fmt: skip
    sensed = Sensed(sweep=sweep, bev=bev, visibility=sweep.visibility, tracks=tracker.reported(tracks))
    return sensed, SensorState(state.sweeps, tracks)
