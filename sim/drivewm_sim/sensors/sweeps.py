"""The last sweeps of a lidar, to be seen again from where the ego stands now."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt16
from numpy import ndarray

from drivewm.frames import to_frame
from drivewm_sim.sensors.lidar import LidarSpec, Sweep, encode, points
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.simulator import DECISION_S


class Sweeps(NamedTuple):
    """A ring: the sweep of tick t lies in row t modulo R. Axes: R rows, E beams, J azimuths."""

    tick: Int[ndarray, "R"]  # of the sweep; -1: none yet
    pose: Float[ndarray, "R 3"]  # of the ego at the sweep, scene frame
    range_cm: UInt16[ndarray, "R E J"]  # as `lidar.encode` gives it: exactly what an episode stores


def no_sweeps(spec: LidarSpec, rows: int) -> Sweeps:
    """An empty ring; `rows` is the greatest age in ticks, plus one."""
    return Sweeps(
        np.full(rows, -1), np.zeros((rows, 3)), np.zeros((rows, spec.beams, spec.azimuths), np.uint16)
    )


def keep(sweeps: Sweeps, sweep: Sweep, pose: LidarPose, tick: int) -> None:
    """Writes a sweep into the ring, over the oldest."""
    row = tick % len(sweeps.tick)
    sweeps.tick[row] = tick
    sweeps.pose[row] = pose.x, pose.y, pose.yaw
    sweeps.range_cm[row] = encode(sweep.range_m)


def copy(sweeps: Sweeps) -> Sweeps:
    """An independent copy, for a snapshot."""
    return Sweeps(*(column.copy() for column in sweeps))


def past_points(
    sweeps: Sweeps,
    spec: LidarSpec,
    pose: LidarPose,
    tick: int,
    ages: tuple[float, ...],
    *,
    heights: tuple[float, float] = (-np.inf, np.inf),
) -> list[tuple[Float[ndarray, "_ 3"], float]]:
    """The sweeps of so many seconds before `tick`, as points in the ego frame at `pose`.

    Missing sweeps, and points not between the two heights, are left out. What stood still stays where it is
    while the ego drives on. Heights stay those above the road at the time.
    """
    moved = to_frame(sweeps.pose[:, :2], np.array([[pose.x, pose.y, pose.yaw]]))
    found = []
    for age in ages:
        then = tick - round(age / DECISION_S)
        row = then % len(sweeps.tick)
        if then >= 0 and sweeps.tick[row] == then:
            place = (*moved[row], sweeps.pose[row, 2] - pose.yaw)
            cloud = points(sweeps.range_cm[row], spec, moved=place, heights=heights)
            found.append((cloud, age))
    return found
