"""Stanford Drone Dataset: `annotations.txt`, boxes in pixels seen from above, 30 frames a second."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from drivewm.errors import InputError
from drivewm_datasets.importers.source import Format, Imported, ImportOptions, read_lines

FRAMES_PER_S = 30.0
TYPE_OF = {
    "Pedestrian": "pedestrian",
    "Biker": "cyclist",
    "Skater": "skater",
    "Cart": "cart",
    "Car": "car",
    "Bus": "bus",
}
LOST = "lost (out of view)"
_FIELDS = "track_id xmin ymin xmax ymax frame lost occluded generated label"


def read_sdd(file: Path, options: ImportOptions) -> Imported:
    """Box centres in metres by `--scale`, which is required: metres a pixel differ from clip to clip.

    Image rows count downwards, so y is turned over: x right, y up, right-handed, and y is negative.
    Boxes are aligned with the image and not with the agent: no length or width is taken from them.
    """
    if options.scale is None:
        raise InputError(
            f"{file}: pixels need --scale, the metres a pixel of this clip; none was given; pass it"
        )
    number, label, lost = _rows(file)
    kept = number[:, 6] == 0
    centre = (number[kept, 1:3] + number[kept, 3:5]) / 2 * options.scale
    frame = number[kept, 5].astype(np.int64)
    if not len(frame):
        raise InputError(
            f"{file}: all {lost} rows are marked lost, expected some in view; leave the file out"
        )
    scene = options.scene or scene_of(file)
    columns = {
        "dataset": np.full(len(frame), options.dataset or "sdd"),
        "scene": np.full(len(frame), scene),
        "frame": frame,
        "t_s": np.round(frame / (options.fps or FRAMES_PER_S), 9),
        "agent_id": number[kept, 0].astype(np.int64).astype(str),
        "agent_type": np.array([TYPE_OF.get(name, name.lower()) for name in label[kept].tolist()]),
        "x_m": centre[:, 0],
        "y_m": -centre[:, 1],
    }
    order = np.lexsort((number[kept, 0], frame))
    return Imported(
        name=scene,
        columns={name: values[order] for name, values in columns.items()},
        skipped=+Counter({LOST: lost}),
    )


def scene_of(file: Path) -> str:
    """`deathCircle_video2` of `deathCircle/video2/annotations.txt`; otherwise the file's own name."""
    folder = file.resolve().parent
    if folder.name.startswith("video"):
        return f"{folder.parent.name}_{folder.name}"
    return file.stem if file.stem != "annotations" else folder.name


def _rows(file: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """The nine numbers and the label of each line, and how many lines are lost."""
    numbers, labels = [], []
    for line_number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        try:
            parts = shlex.split(line) if '"' in line else line.split()
            values = [float(part) for part in parts[:9]]
        except ValueError:
            parts, values = [], []
        if len(parts) != 10 or not np.isfinite(values).all() or values[0] % 1 or values[5] % 1:
            raise InputError(
                f"{file}: line {line_number}: expected `{_FIELDS}`, came {line.strip()[:60]!r}; correct it"
            )
        numbers.append(values)
        labels.append(parts[9])
    table = np.array(numbers)
    return table, np.array(labels), int((table[:, 6] != 0).sum())


def _find(folder: Path) -> Iterable[Path]:
    return folder.rglob("annotations.txt")


SDD = Format(
    name="sdd", what="annotations.txt of the Stanford Drone Dataset, pixels", find=_find, read=read_sdd
)
