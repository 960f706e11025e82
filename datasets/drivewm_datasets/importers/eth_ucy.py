"""Raw ETH/UCY text: `frame id x y` a line, pedestrians only, annotated every 0.4 s."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_datasets.importers.source import Format, Imported, ImportOptions, read_lines

ANNOTATED_EVERY_S = 0.4


def read_eth_ucy(file: Path, options: ImportOptions) -> Imported:
    """Positions in metres. Time is counted from the first frame.

    Without `--fps` the most common step between annotated frames counts as 0.4 s.
    """
    values = _numbers(file)
    order = np.lexsort((values[:, 1], values[:, 0]))
    values = values[order]
    frame = values[:, 0].astype(np.int64)
    elapsed = (frame - frame[0]).astype(np.float64)
    seconds = ANNOTATED_EVERY_S / frame_step(frame) if options.fps is None else 1 / options.fps
    rows = len(frame)
    xy = values[:, 2:] * (options.scale or 1.0)
    scene = options.scene or file.stem
    columns = {
        "dataset": np.full(rows, options.dataset or "eth_ucy"),
        "scene": np.full(rows, scene),
        "frame": frame,
        # Rounded, so that 3 x 0.4 reads 1.2 and equal times compare equal.
        "t_s": np.round(elapsed * seconds, 9),
        "agent_id": values[:, 1].astype(np.int64).astype(str),
        "agent_type": np.full(rows, "pedestrian"),
        "x_m": xy[:, 0],
        "y_m": xy[:, 1],
    }
    return Imported(name=scene, columns=columns)


def frame_step(frame: ndarray) -> int:
    """The most common difference between consecutive annotated frames; 1 if there is only one frame."""
    steps, count = np.unique(np.diff(np.unique(frame)), return_counts=True)
    return int(steps[count.argmax()]) if len(steps) else 1


def _numbers(file: Path) -> Float[ndarray, "N 4"]:
    rows = []
    for number, line in enumerate(read_lines(file), start=1):
        parts = line.replace(",", " ").split()
        if not parts:
            continue
        try:
            values = [float(part) for part in parts]
        except ValueError:
            values = []
        if len(parts) != 4 or not values:
            raise InputError(
                f"{file}: line {number}: expected four numbers `frame id x y`, came {line.strip()[:60]!r}; "
                "correct it"
            )
        if not all(np.isfinite(values)):
            raise InputError(
                f"{file}: line {number}: expected finite numbers, came {line.strip()[:60]!r}; drop it"
            )
        if values[0] % 1 or values[1] % 1:
            raise InputError(
                f"{file}: line {number}: frame and id must be whole numbers, came {parts[0]} and {parts[1]}; "
                "correct it"
            )
        rows.append(values)
    return np.array(rows)


def _find(folder: Path) -> Iterable[Path]:
    return folder.glob("*.txt")


ETH_UCY = Format(
    name="eth-ucy", what="text files of `frame id x y`, 2.5 Hz, metres", find=_find, read=read_eth_ucy
)
