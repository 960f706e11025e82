"""A small drive by hand: the ego stands, a pedestrian walks, a car drives its lane, the lidar sees all."""

from __future__ import annotations

import numpy as np
from conftest import make_road_map
from numpy import ndarray

from drivewm.bev import CURRENT, BevGrid, BevSpec, quantise
from drivewm.features import split_lines
from drivewm.types import Kind
from drivewm_datasets.drive import FRAME_S, Cast, Drive, pack
from drivewm_eval.repaint import Brush, repaint

EGO, WALKER, CAR = 0, 1, 2
SIZES = np.array([[4.5, 1.9], [0.5, 0.5], [4.5, 1.9]])


def make_drive(*, frames: int = 104, noise: float = 0.0, seed: int = 0) -> Drive:
    """The ego at (0, -1.75). The walker goes along y = 6 at 1.4 m/s, the car along y = 1.75 at -4 m/s."""
    t = np.arange(frames) * FRAME_S
    pose = np.zeros((3, frames, 3))
    pose[EGO, :, 1] = -1.75
    pose[WALKER, :, 0], pose[WALKER, :, 1] = 8 + 1.4 * t, 6
    pose[CAR, :, 0], pose[CAR, :, 1], pose[CAR, :, 2] = 40 - 4 * t, 1.75, -np.pi
    pose[1:, :, :2] += noise * np.random.default_rng(seed).normal(size=(2, frames, 2))
    true, seen = _cast(pose), _cast(pose)
    spec = BevSpec()
    features = np.zeros(spec.shape, np.float32)
    features[CURRENT.index("free")] = 1.0
    code = pack(quantise(BevGrid(features=features, valid=np.ones(len(features), bool), spec=spec)).code)
    road_map = make_road_map()
    drive = Drive(
        dataset="test",
        scene=f"drive{seed}",
        town="",
        scenario="street",
        t_s=t,
        true=true,
        seen=seen,
        ego=EGO,
        signals=((),) * frames,
        road_map=road_map,
        lines=split_lines(road_map),
        bev=tuple(code if f % 4 == 0 else b"" for f in range(frames)),
        bev_spec=spec,
        branches=(),
    )
    there = np.ones(frames, bool)
    bodies = [Brush(pose=pose[n], there=there, size=SIZES[n], look="taken") for n in (WALKER, CAR)]
    return repaint(drive, bodies, range(frames))


def _cast(pose: ndarray) -> Cast:
    agents, frames = pose.shape[:2]
    no = np.zeros((agents, frames), bool)
    return Cast(
        ids=("ego", "walker", "car"),
        kind=np.array([Kind.VEHICLE, Kind.PEDESTRIAN, Kind.VEHICLE], np.int64),
        size=SIZES,
        pose=pose,
        there=~no,
        on_road=no,
        meeting=no,
        truth=np.repeat(np.arange(agents)[:, None], frames, axis=1),
    )
