"""Recordings from disk: tracks tables and episodes, checked, one recording a scene."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_datasets.checks import check
from drivewm_datasets.cleaning import JUMP_MPS, count_dirt, jumps
from drivewm_datasets.columns import length_of, to_arrow
from drivewm_datasets.episode import EPISODE_FILE, read_about, read_episode_table, read_road_map
from drivewm_datasets.recording import Recording
from drivewm_datasets.schema import EGO_TYPE, KIND_OF, TRACK_DTYPES, TracksTable, kind_of, tracks_table

__all__ = ["KIND_OF", "read_parquet", "read_recordings", "recordings_of"]

_log = logging.getLogger(__name__)


def read_recordings(
    path: Path | str | Sequence[Path | str], *, damaged: Literal["raise", "skip"] = "raise"
) -> list[Recording]:
    """Every scene under the paths, sorted by (dataset, scene).

    A path is a Parquet file, a folder of them, an episode folder, or a folder of episode folders (one
    folder may lie between). Of an episode the truth is read. With `damaged="skip"` a file or episode
    that cannot be read is named in a warning and left out; InputError if nothing remains.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    recordings: list[Recording] = []
    for source in (found for one in paths for found in sources(Path(one))):
        try:
            recordings += _read_episode(source) if source.is_dir() else _read_file(source)
        except InputError as error:
            if damaged == "raise":
                raise
            _log.warning("left out: %s", error)
    if not recordings:
        raise InputError(
            f"{', '.join(map(str, paths))}: no recording could be read; name a folder of tracks tables"
        )
    recordings.sort(key=lambda recording: recording.name)
    for one, other in pairwise(recordings):
        if one.name == other.name:
            raise InputError(
                f"scene {one.scene} of data set {one.dataset} is in both {one.source} and {other.source}, "
                "expected in one; remove one, rename its scene with `drivewm import --scene`, or collect "
                "with another --seed"
            )
    return recordings


def read_parquet(file: Path) -> pa.Table:
    """The columns of a tracks table in the file; InputError if it is empty, cut short or no Parquet."""
    try:
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty (0 bytes), expected a Parquet table; write it again")
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        wanted = [name for name in parquet.schema_arrow.names if name in TRACK_DTYPES]
        table = parquet.read(columns=wanted)
        table.validate(full=True)  # a flipped byte may leave text that is no UTF-8
        return table
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{file}: not readable as Parquet, cut short or of another kind ({said}); write it again"
        ) from None


def recordings_of(table: TracksTable, source: Path | None = None) -> list[Recording]:
    """The scenes of a checked table, dirt counted; InputError where `checks.check` refuses it."""
    order = check(table)
    key = table.scene_key[order]
    edges = np.flatnonzero(np.diff(key, prepend=-1, append=-1))
    return [_recording(table, order[start:stop], source) for start, stop in pairwise(edges.tolist())]


def sources(path: Path) -> Iterator[Path]:
    """The files and episode folders under a path. Hidden ones are drafts of a writer and left alone."""
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; name a tracks table, an episode or a folder of them"
        )
    if path.is_file():
        if path.suffix != ".parquet":
            raise InputError(f"{path}: expected a .parquet file, came another; use `drivewm import` first")
        yield path
        return
    found = list(_in_folder(path, depth=2))
    if not found:
        raise InputError(f"{path}: holds no Parquet file and no episode; name a folder of tracks tables")
    yield from found


def _in_folder(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / EPISODE_FILE).is_file():
        yield folder
        return
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    # An episode that lost its episode.json must be named, not read as a table: truth tells it.
    if any(entry.name in ("truth.parquet", "frames.parquet") for entry in inside):
        yield folder
        return
    yield from (entry for entry in inside if entry.is_file() and entry.suffix == ".parquet")
    if depth:
        for entry in inside:
            if entry.is_dir():
                yield from _in_folder(entry, depth - 1)


def _read_file(file: Path) -> list[Recording]:
    return recordings_of(tracks_table(read_parquet(file), str(file)), file)


def _read_episode(folder: Path) -> list[Recording]:
    about = read_about(folder)
    road_map = read_road_map(folder)
    truth = read_episode_table(folder, "truth", about)
    rows = length_of(truth)
    named = {"dataset": np.full(rows, about["dataset"]), "scene": np.full(rows, about["scene"])}
    columns = {name: values for name, values in {**named, **truth}.items() if name in TRACK_DTYPES}
    table = tracks_table(to_arrow(columns), str(folder / "truth.parquet"))
    return [
        replace(recording, road_map=road_map, ego_id=about["ego_id"] or recording.ego_id)
        for recording in recordings_of(table, folder)
    ]


def _recording(table: TracksTable, rows: Int[ndarray, "N"], source: Path | None) -> Recording:
    """One scene from its rows, sorted by (agent, time)."""
    codes, first, agent = np.unique(table.agent_id.code[rows], return_index=True, return_inverse=True)
    types = tuple(table.agent_type.at(row) for row in rows[first].tolist())
    kind = np.array([kind_of(name) for name in types], np.int64)
    ids = tuple(table.agent_id.names[code] for code in codes)
    xy = np.column_stack([table.x_m[rows], table.y_m[rows]])
    limit = np.array([JUMP_MPS[k] for k in kind.tolist()])[agent]
    wrong, lasting = jumps(agent, table.t_s[rows], xy, limit)
    size = np.column_stack(
        [
            _first_known(table.length_m[rows], agent, len(ids)),
            _first_known(table.width_m[rows], agent, len(ids)),
        ]
    )
    kept = rows[~wrong]
    agent, xy = agent[~wrong], xy[~wrong]
    return Recording(
        dataset=table.dataset.at(int(rows[0])),
        scene=table.scene.at(int(rows[0])),
        agent_ids=ids,
        agent_types=types,
        kind=kind,
        size=size,
        agent=agent,
        frame=table.frame[kept],
        t_s=table.t_s[kept],
        xy=xy,
        z=np.nan_to_num(table.z_m[kept]),
        ego_id=next((name for name, type_ in zip(ids, types, strict=True) if type_ == EGO_TYPE), None),
        source=source,
        skipped=count_dirt(kind, np.bincount(agent, minlength=len(ids)), int(wrong.sum()), lasting),
    )


def _first_known(values: ndarray, agent: Int[ndarray, "N"], agents: int) -> ndarray:
    """Each agent's first value that is not NaN; zero where there is none.

    It is the only thing read from an agent's whole track, later rows included: a size does not change, it
    is metadata of the agent like its id and says nothing of where it goes.
    """
    known = np.flatnonzero(np.isfinite(values))
    out = np.zeros(agents)
    # Written backwards, so that the first row of an agent wins.
    out[agent[known[::-1]]] = values[known[::-1]]
    return out
