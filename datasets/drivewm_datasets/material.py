"""What a model learns from: recordings (tracks alone) and drives (simulated episodes), side by side."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_datasets.drive import Drive, read_drive
from drivewm_datasets.episode import EPISODE_FILE
from drivewm_datasets.recording import Recording
from drivewm_datasets.store import read_recordings, sources

Material: TypeAlias = Recording | Drive
ALONE = 8
"""So many episodes are read by this process alone: others take seconds to start."""


def read_material(
    paths: Sequence[Path], *, bev: bool, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Material]:
    """Every scene under the paths, sorted by name: episodes as drives, tracks tables as recordings.

    With `bev` drives keep their bird's-eye grids, one each 0.4 s.
    """
    found = [source for path in paths for source in sources(Path(path))]
    folders = [source for source in found if (source / EPISODE_FILE).is_file()]
    files = [source for source in found if source not in set(folders)]
    out: list[Material] = list(read_recordings(files)) if files else []
    read = partial(read_drive, bev_every=4 if bev else 0)
    if len(folders) <= ALONE or (os.cpu_count() or 1) == 1:
        for done, folder in enumerate(folders, start=1):
            out.append(read(folder))
            progress(done, len(folders))
    else:
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            for done, drive in enumerate(pool.map(read, folders, chunksize=4), start=1):
                out.append(drive)
                progress(done, len(folders))
    out.sort(key=lambda item: item.name)
    for one, other in pairwise(out):
        if one.name == other.name:
            raise InputError(
                f"scene {one.name[1]} of data set {one.name[0]} comes twice; collect with another --seed, "
                "rename it with `drivewm import --scene`, or name one of the folders"
            )
    return out


def hours_of(item: Material) -> float:
    times = item.frame_times if isinstance(item, Recording) else item.t_s
    return float(times[-1] - times[0]) / 3600 if len(times) else 0.0


def agents_of(item: Material) -> int:
    return len(np.unique(item.agent)) if isinstance(item, Recording) else len(item.seen.ids)


def fingerprint(items: Sequence[Material]) -> str:
    """One hash of scenes: their names and positions, of drives the hash of their episodes."""
    digest = hashlib.sha256()
    for item in sorted(items, key=lambda one: one.name):
        digest.update("\x00".join((*item.name, "")).encode())
        digest.update(_content(item))
    return digest.hexdigest()


def _content(item: Material) -> bytes:
    if isinstance(item, Drive):
        return item.hash.encode()
    rounded: ndarray = np.round(item.xy, 4)
    return np.ascontiguousarray(rounded).tobytes()
