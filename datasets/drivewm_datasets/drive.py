"""An episode as dense arrays over its frames: what was true, what the car knew, what it sensed and planned.

Everything lies on the frames of the recording, 0.1 s apart, so that a window is cut by indexing alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.bev import BevGrid, BevSpec, QuantisedBev, dequantise
from drivewm.errors import InputError
from drivewm.features import Lines, split_lines
from drivewm.frames import wrap_angle
from drivewm.types import RoadMap
from drivewm_datasets.episode import read_about, read_episode_table, read_road_map
from drivewm_datasets.recording import CONTEXT
from drivewm_datasets.schema import kind_of

FRAME_S = 0.1
ON_ROAD = ("crossing", "pausing", "turning_back", "hesitating", "running")
"""The intents of a pedestrian who is on the road."""
MEETING = ("approaching", "waiting", *ON_ROAD)
"""The intents of a pedestrian who has to do with the road."""


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Agents over all frames. Axes: N agents, T frames. Places are in the scene frame, zero where absent."""

    ids: tuple[str, ...]
    kind: Int[ndarray, "N"]  # Kind or CONTEXT
    size: Float[ndarray, "N 2"]
    pose: Float[ndarray, "N T 3"]
    there: Bool[ndarray, "N T"]
    on_road: Bool[ndarray, "N T"]  # by intent, a label: a pedestrian who crosses
    meeting: Bool[ndarray, "N T"]  # ... who crosses, waits to or comes to the kerb for it
    truth: Int[ndarray, "N T"]  # who it truly is, a row of the true cast; -1 where absent


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What truly happened under one plan of the ego. Axes: N agents of the true cast, S frames after it."""

    moment: int  # the frame from which it departs
    plan: str
    pose: Float[ndarray, "N S 3"]
    there: Bool[ndarray, "N S"]


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One episode. T frames."""

    dataset: str
    scene: str
    town: str
    scenario: str  # "street", or the situation that is staged
    t_s: Float[ndarray, "T"]
    true: Cast
    seen: Cast
    ego: int  # row of the true cast
    signals: tuple[tuple[int, ...], ...]  # by frame
    road_map: RoadMap
    lines: Lines
    bev: tuple[bytes, ...] | None  # by frame, packed; frames not kept are empty
    bev_spec: BevSpec | None
    branches: tuple[Branch, ...]
    hash: str = ""  # of the episode

    @property
    def name(self) -> tuple[str, str]:
        return self.dataset, self.scene

    @property
    def frames(self) -> int:
        return len(self.t_s)

    @property
    def ego_id(self) -> str:
        return self.true.ids[self.ego]

    def grid(self, frame: int) -> BevGrid | None:
        """The bird's-eye grid at a frame; None where none was kept."""
        if self.bev is None or self.bev_spec is None or not self.bev[frame]:
            return None
        return unpack(self.bev[frame], self.bev_spec)


def pack(code: ndarray) -> bytes:
    """A quantised grid in few bytes."""
    return zlib.compress(np.ascontiguousarray(code).tobytes(), 1)


def unpack(packed: bytes, spec: BevSpec) -> BevGrid:
    """The inverse of `pack`, dequantised."""
    code = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(spec.shape)
    return dequantise(QuantisedBev(code=code, valid=np.ones(spec.shape[0], bool), spec=spec))


def read_drive(folder: Path, *, bev_every: int = 4) -> Drive:
    """The drive of an episode folder; grids are kept of every `bev_every`th frame (0: of none)."""
    folder = Path(folder)
    about = read_about(folder)
    frames = read_episode_table(folder, "frames", about)
    t_s = frames["t_s"]
    if len(t_s) < 2 or np.abs(np.diff(t_s) - FRAME_S).max() > 1e-6:
        raise InputError(f"{folder}: frames must be {FRAME_S:g} s apart; collect the episode again")
    true = _cast(read_episode_table(folder, "truth", about), frames["frame"], None)
    seen = _cast(read_episode_table(folder, "perceived", about), frames["frame"], true)
    road_map = read_road_map(folder)
    scenario = about["provenance"].get("scenario", {})
    spec, grids = BevSpec(), None
    if bev_every and "bev" in frames:
        if frames["bev"].shape[1:] != spec.shape:
            raise InputError(f"{folder}: grids of shape {frames['bev'].shape[1:]}, expected {spec.shape}")
        grids = tuple(pack(c) if i % bev_every == 0 else b"" for i, c in enumerate(frames["bev"]))
    branches: tuple[Branch, ...] = ()
    if "branches" in about["tables"]:
        branches = _branches(read_episode_table(folder, "branches", about), true)
    return Drive(
        dataset=about["dataset"],
        scene=about["scene"],
        town=scenario.get("town", ""),
        scenario=(scenario.get("situations") or ["street"])[0],
        t_s=t_s,
        true=true,
        seen=seen,
        ego=true.ids.index(str(about["ego_id"])),
        signals=tuple(tuple("RYG".index(c) for c in shown) for shown in frames["signals"]),
        road_map=road_map,
        lines=split_lines(road_map),
        bev=grids,
        bev_spec=None if grids is None else spec,
        branches=branches,
        hash=about["hash"],
    )


def _cast(table: dict[str, ndarray], frames: Int[ndarray, "T"], true: Cast | None) -> Cast:
    ids, first, agent = np.unique(table["agent_id"], return_index=True, return_inverse=True)
    at = np.searchsorted(frames, table["frame"])
    shape = (len(ids), len(frames))
    pose, there = np.zeros((*shape, 3)), np.zeros(shape, bool)
    pose[agent, at] = _poses(table)
    there[agent, at] = True
    on_road, meeting = np.zeros(shape, bool), np.zeros(shape, bool)
    on_road[agent, at] = np.isin(table["intent"].astype(str), ON_ROAD)
    meeting[agent, at] = np.isin(table["intent"].astype(str), MEETING)
    who = np.full(shape, -1, np.int64)
    row_of = {name: row for row, name in enumerate(ids.tolist() if true is None else true.ids)}
    who[agent, at] = [row_of.get(name, -1) for name in table["truth_id"].tolist()]
    size = np.column_stack([table["length_m"][first], table["width_m"][first]])
    return Cast(
        ids=tuple(ids.tolist()),
        kind=np.array([kind_of(name) for name in table["agent_type"][first].tolist()], np.int64),
        size=np.nan_to_num(size),
        pose=pose,
        there=there,
        on_road=on_road,
        meeting=meeting,
        truth=who,
    )


def _poses(table: dict[str, ndarray]) -> Float[ndarray, "R 3"]:
    return np.column_stack([table["x_m"], table["y_m"], wrap_angle(table["heading_rad"])])


def _branches(table: dict[str, ndarray], true: Cast) -> tuple[Branch, ...]:
    row_of = {name: row for row, name in enumerate(true.ids)}
    out = []
    bounds = np.flatnonzero(np.diff(table["branch"], prepend=-1, append=-1))
    for a, b in pairwise(bounds.tolist()):
        part: dict[str, Any] = {name: column[a:b] for name, column in table.items()}
        moment = int(part["moment_frame"][0])
        step = part["frame"] - moment - 1
        who = np.array([row_of.get(name, -1) for name in part["agent_id"].tolist()])
        known = who >= 0  # who arrives only in a branch is in no recording
        shape = (len(true.ids), int(step.max()) + 1)
        pose, there = np.zeros((*shape, 3)), np.zeros(shape, bool)
        pose[who[known], step[known]] = _poses(part)[known]
        there[who[known], step[known]] = True
        out.append(Branch(moment=moment, plan=str(part["plan"][0]), pose=pose, there=there))
    return tuple(out)


def forecast_kinds(cast: Cast) -> Bool[ndarray, "N"]:
    """Agents of the kinds that are forecast."""
    return cast.kind != CONTEXT
