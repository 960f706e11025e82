"""Episodes at rest: one folder each, written whole or not at all, with a hash of what they hold."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import LineKind, RoadMap
from drivewm_datasets.columns import (
    Columns,
    canonical_json,
    hash_columns,
    length_of,
    read_columns,
    write_columns,
)
from drivewm_datasets.schema import TRACK_DTYPES, TRACK_REQUIRED

EPISODE_SCHEMA = 1
"""The version this code writes, and the only one it reads."""
EPISODE_FILE = "episode.json"
ROW_GROUP_S = 1.0
VOLATILE = ("created_at", "host", "wall_time_s", "worker")
"""Keys of the provenance that say when and where, not what: they are stored but not hashed."""

_NAMED = ("dataset", "scene")
_TABLES = ("truth", "perceived", "frames", "map")
_BRANCH_TABLES = ("branches", "branch_frames")
_BRANCH_KEYS = ("branch", "moment_frame", "plan")


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Counterfactuals of an episode, as deltas against it: until its moment a branch is the episode itself.

    Both tables begin with `branch` (0, 1, ...: one plan from one moment, rows in this order), `moment_frame`
    (the frame of the episode from which the branch departs; its branches form a group) and `plan` (what the
    ego did: keep, brake, creep, accelerate, swerve). Then follow, in `tracks` (branches.parquet), the columns
    of the episode's truth, for the frames after the moment; in `frames` (branch_frames.parquet) those of the
    episode's frames: the ego's place and the command that follows, from the moment to the last frame but one.
    """

    tracks: dict[str, ndarray]
    frames: dict[str, ndarray]

    @property
    def count(self) -> int:
        branch = self.frames["branch"]
        return int(branch[-1]) + 1 if len(branch) else 0


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What happened and what the car knew, in the scene frame. Rows of each table are in order of time.

    `truth` and `perceived` are tracks tables less `dataset` and `scene` (added on writing); further
    columns, such as the label `intent`, are kept. `frames` has one row a frame, `frame` and `t_s` first,
    and may hold arrays of any shape a row.
    """

    dataset: str
    scene: str
    truth: dict[str, ndarray]
    perceived: dict[str, ndarray]
    frames: dict[str, ndarray]
    road_map: RoadMap
    ego_id: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)  # seed, versions, scenario: plain JSON values
    branches: Branches | None = None  # in provenance["branches"]: the moments and plans
    events: dict[str, ndarray] | None = None  # a row an event: frame, t_s, name, agent_id, ...


def write_episode(folder: Path, episode: Episode) -> str:
    """Writes the episode folder atomically and gives back its content hash.

    An episode already there is replaced; any other folder or file there is an InputError.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / EPISODE_FILE).is_file():
        raise InputError(f"{folder} exists and is no episode; name another folder or remove it")
    tables = _tables_of(episode)
    about: dict[str, Any] = {
        "schema": EPISODE_SCHEMA,
        "dataset": episode.dataset,
        "scene": episode.scene,
        "ego_id": episode.ego_id,
        "provenance": json.loads(canonical_json(episode.provenance)),
        "tables": {
            name: {"rows": length_of(columns), "hash": hash_columns(columns)}
            for name, columns in tables.items()
        },
    }
    about["hash"] = _content_hash(about)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A leading dot keeps readers of the parent folder from seeing what is half written.
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name, columns in tables.items():
            _write_table(draft / f"{name}.parquet", name, columns, episode)
        (draft / EPISODE_FILE).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
        _put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return str(about["hash"])


def read_episode(folder: Path) -> Episode:
    """The episode as it was written; InputError naming it if anything is missing, damaged or edited."""
    folder = Path(folder)
    about = read_about(folder)
    return Episode(
        dataset=about["dataset"],
        scene=about["scene"],
        truth=read_episode_table(folder, "truth", about),
        perceived=read_episode_table(folder, "perceived", about),
        frames=read_episode_table(folder, "frames", about),
        road_map=_map_from_rows(folder, read_episode_table(folder, "map", about)),
        ego_id=about["ego_id"],
        provenance=about["provenance"],
        branches=_branches_of(folder, about),
        events=read_episode_table(folder, "events", about) if "events" in about["tables"] else None,
    )


def read_branches(folder: Path) -> Branches | None:
    """The counterfactuals of an episode folder; None where it has none."""
    folder = Path(folder)
    return _branches_of(folder, read_about(folder))


def parent_hash(folder: Path) -> str:
    """The content hash that the episode would have without its branches."""
    about = read_about(Path(folder))
    provenance = {key: value for key, value in about["provenance"].items() if key != "branches"}
    tables = {name: table for name, table in about["tables"].items() if name not in _BRANCH_TABLES}
    return _content_hash({**about, "provenance": provenance, "tables": tables})


def verify_episode(folder: Path) -> str:
    """The content hash recomputed from the files; InputError naming the episode if anything is amiss."""
    read_episode(folder)
    return str(read_about(Path(folder))["hash"])


def read_about(folder: Path) -> dict[str, Any]:
    """The checked contents of episode.json."""
    file = Path(folder) / EPISODE_FILE
    try:
        about = json.loads(file.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no {EPISODE_FILE}; an episode folder holds one; collect it again"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: not readable as JSON ({_brief(error)}); collect the episode again"
        ) from None
    version = about.get("schema") if isinstance(about, dict) else None
    if version != EPISODE_SCHEMA:
        raise InputError(
            f"{folder} has episode schema {version}, this version reads {EPISODE_SCHEMA}; "
            "collect it again or install the drivewm that wrote it"
        )
    missing = {"dataset", "scene", "ego_id", "provenance", "tables", "hash"} - about.keys()
    missing |= {f"tables.{name}" for name in _TABLES if name not in about.get("tables", ())}
    if missing:
        raise InputError(f"{file}: {', '.join(sorted(missing))} missing; collect the episode again")
    _compare_hash(folder, EPISODE_FILE, _content_hash(about), about["hash"])
    return about


def read_episode_table(folder: Path, name: str, about: dict[str, Any]) -> dict[str, ndarray]:
    """One of the tables that episode.json lists, such as truth, checked against its hash there.

    The columns `dataset` and `scene`, which every row repeats, are left out.
    """
    columns = _read_table(folder, name)
    if name != "map":
        for key in _NAMED:
            if key not in columns or np.any(columns.pop(key) != about[key]):
                raise InputError(
                    f"{folder}: {name}.parquet is not of the {key} {about[key]!r} that {EPISODE_FILE} names; "
                    "collect the episode again"
                )
    _compare_hash(folder, f"{name}.parquet", hash_columns(columns), about["tables"][name]["hash"])
    return columns


def read_road_map(folder: Path) -> RoadMap:
    """The map of an episode folder, padded to its longest polyline."""
    folder = Path(folder)
    return _map_from_rows(folder, read_episode_table(folder, "map", read_about(folder)))


def _tables_of(episode: Episode) -> dict[str, dict[str, ndarray]]:
    """All tables in the dtypes of the contract; ValueError where the episode breaks it."""
    tables = {
        "truth": _tracks(episode.truth, "truth"),
        "perceived": _tracks(episode.perceived, "perceived"),
        "frames": _cast(episode.frames),
        "map": _map_rows(episode.road_map),
    }
    if episode.events is not None:
        tables["events"] = _cast(episode.events)
    for name in tables.keys() - {"map"}:
        columns = tables[name]
        length_of(columns)
        if not {"frame", "t_s"} <= columns.keys():
            raise ValueError(f"{name} needs the columns frame and t_s, got {', '.join(columns)}")
        if set(_NAMED) & columns.keys():
            raise ValueError(f"{name}: dataset and scene are added on writing, leave them out")
        if np.any(np.diff(columns["t_s"]) < 0):
            raise ValueError(f"{name}: rows must be in order of time")
    if episode.branches is not None:
        tables |= _branch_tables(episode.branches)
    return tables


def _branch_tables(branches: Branches) -> dict[str, dict[str, ndarray]]:
    tables = {
        "branches": _tracks(branches.tracks, "branches"),
        "branch_frames": _cast(branches.frames),
    }
    for name, columns in tables.items():
        length_of(columns)
        missing = {*_BRANCH_KEYS, "frame", "t_s"} - columns.keys()
        if missing:
            raise ValueError(f"{name} lacks the columns {', '.join(sorted(missing))}")
        turn, time = np.diff(columns["branch"]), np.diff(columns["t_s"])
        if np.any(turn < 0) or np.any((turn == 0) & (time < 0)):
            raise ValueError(f"{name}: rows must be in order of branch and time")
        early = columns["frame"] - columns["moment_frame"] < (1 if name == "branches" else 0)
        if np.any(early):
            raise ValueError(f"{name}: row {int(np.argmax(early))} lies before the branch departs")
    return tables


def _branches_of(folder: Path, about: dict[str, Any]) -> Branches | None:
    if not set(_BRANCH_TABLES) <= about["tables"].keys():
        return None
    tracks, frames = (read_episode_table(folder, name, about) for name in _BRANCH_TABLES)
    return Branches(tracks=tracks, frames=frames)


def _tracks(columns: Columns, name: str) -> dict[str, ndarray]:
    missing = [c for c in TRACK_REQUIRED if c not in columns and c not in _NAMED]
    if missing:
        raise ValueError(f"{name} lacks the columns {', '.join(missing)}")
    return _cast(columns)


def _cast(columns: Columns) -> dict[str, ndarray]:
    return {
        name: np.asarray(v).astype(TRACK_DTYPES.get(name, np.asarray(v).dtype)) for name, v in columns.items()
    }


def _content_hash(about: dict[str, Any]) -> str:
    """One hash of the tables' hashes and of all that is said about them, except when and where."""
    kept = {key: value for key, value in about["provenance"].items() if key not in VOLATILE}
    return sha256(canonical_json({**about, "provenance": kept, "hash": None})).hexdigest()


def _compare_hash(folder: Path, part: str, came: str, expected: str) -> None:
    if came != expected:
        raise InputError(
            f"{folder}: {part} has content hash {came[:12]}, {EPISODE_FILE} says {str(expected)[:12]}: "
            "damaged or edited; collect the episode again"
        )


def _write_table(file: Path, name: str, columns: Columns, episode: Episode) -> None:
    if name == "map":
        write_columns(file, columns)
        return
    rows = length_of(columns)
    named = {"dataset": np.full(rows, episode.dataset), "scene": np.full(rows, episode.scene)}
    write_columns(file, {**named, **columns}, _cuts(name, columns))


def _cuts(name: str, columns: Columns) -> Int[ndarray, "G"] | None:
    """Where row groups begin: every second, in branches.parquet every branch."""
    if name == "branch_frames":  # few and short rows
        return None
    if name == "branches":
        return np.flatnonzero(np.diff(columns["branch"])) + 1
    return _second_cuts(columns["t_s"])


def _second_cuts(t_s: ndarray) -> Int[ndarray, "G"]:
    """The rows at which a new second begins."""
    if len(t_s) == 0:
        return np.zeros(0, np.int64)
    second = np.floor((t_s - t_s[0]) / ROW_GROUP_S + 1e-9)
    return np.flatnonzero(np.diff(second)) + 1


def _put_in_place(draft: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(draft, folder)
        return
    old = draft.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(folder, old)
    os.rename(draft, folder)
    shutil.rmtree(old)


def _read_table(folder: Path, name: str) -> dict[str, ndarray]:
    file = folder / f"{name}.parquet"
    try:
        return read_columns(file)
    except FileNotFoundError:
        raise InputError(f"{folder}: {file.name} is missing; collect the episode again") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(
            f"{file}: not readable as Parquet ({_brief(error)}); collect the episode again"
        ) from None


def _map_rows(road_map: RoadMap) -> dict[str, ndarray]:
    """One row a point; polylines without a valid point are padding and left out."""
    used = road_map.valid.any(axis=1) if len(road_map.kind) else np.zeros(0, bool)
    valid = road_map.valid[used]
    line, column = np.nonzero(valid)
    names = np.array([kind.name.lower() for kind in LineKind])
    point = valid.cumsum(axis=1)[line, column] - 1
    rows = {
        "polyline": line.astype(np.int64),
        "kind": names[road_map.kind[used][line]] if len(line) else np.zeros(0, names.dtype),
        "point": point.astype(np.int64),
        "x_m": road_map.points[used][line, column, 0].astype(np.float64),
        "y_m": road_map.points[used][line, column, 1].astype(np.float64),
    }
    if road_map.signal is not None:
        rows["signal"] = road_map.signal[used][line].astype(np.int64)
    if road_map.elevation is not None:
        rows["z_m"] = road_map.elevation[used][line, column].astype(np.float64)
    return rows


def _map_from_rows(folder: Path, rows: dict[str, ndarray]) -> RoadMap:
    missing = {"polyline", "kind", "point", "x_m", "y_m"} - rows.keys()
    if missing:
        raise InputError(
            f"{folder}: map.parquet lacks {', '.join(sorted(missing))}; collect the episode again"
        )
    if len(rows["polyline"]) == 0:
        return RoadMap.empty()
    line, point = rows["polyline"], rows["point"]
    unknown = set(rows["kind"].tolist()) - {kind.name.lower() for kind in LineKind}
    if unknown:
        raise InputError(f"{folder}: map.parquet has polylines of unknown kind {sorted(unknown)[0]!r}")
    shape = (int(line.max()) + 1, max(int(point.max()) + 1, 2))
    points, valid, kind = np.zeros((*shape, 2)), np.zeros(shape, bool), np.zeros(shape[0], np.int64)
    points[line, point] = np.column_stack([rows["x_m"], rows["y_m"]])
    valid[line, point] = True
    kind[line] = [LineKind[name.upper()] for name in rows["kind"].tolist()]
    elevation = None
    if "z_m" in rows:
        elevation = np.zeros(shape)
        elevation[line, point] = rows["z_m"]
    signal = None
    if "signal" in rows:
        signal = np.full(shape[0], -1, np.int64)
        signal[line] = rows["signal"]
    return RoadMap(points=points, valid=valid, kind=kind, elevation=elevation, signal=signal)


def _brief(error: Exception) -> str:
    """The first line of a library's message, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
