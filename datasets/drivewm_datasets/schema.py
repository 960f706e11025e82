"""The tracks table: its columns, which types are which kind, and the cast of a table to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import Kind
from drivewm_datasets.recording import CONTEXT

TRACK_TEXT = ("dataset", "scene", "agent_id", "agent_type")
TRACK_REQUIRED = ("dataset", "scene", "frame", "t_s", "agent_id", "agent_type", "x_m", "y_m")
TRACK_OPTIONAL = ("z_m", "heading_rad", "vx_mps", "vy_mps", "length_m", "width_m", "speed_mps")
TRACK_DTYPES: dict[str, np.dtype] = {
    **dict.fromkeys(TRACK_TEXT, np.dtype(str)),
    "frame": np.dtype(np.int64),
    **dict.fromkeys(("t_s", "x_m", "y_m", *TRACK_OPTIONAL), np.dtype(np.float64)),
}

KIND_OF: dict[str, int] = {
    **dict.fromkeys(
        ("pedestrian", "pedestrian_sitting", "person", "child", "skater", "walker"), Kind.PEDESTRIAN
    ),
    **dict.fromkeys(("cyclist", "bicycle", "biker", "motorcycle", "motorcyclist"), Kind.CYCLIST),
    **dict.fromkeys(("vehicle", "car", "van", "bus", "truck", "tram", "trailer", "emergency"), Kind.VEHICLE),
    **dict.fromkeys(("large_vehicle", "golf_cart", "cart", "ego_vehicle"), Kind.VEHICLE),
}
"""The published map from recorded types (lower case) to the three kinds; every other type is context."""
EGO_TYPE = "ego_vehicle"


def kind_of(agent_type: str) -> int:
    return int(KIND_OF.get(agent_type.lower(), CONTEXT))


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A text column: row n reads `names[code[n]]`. Names are sorted, so codes sort as their text does."""

    code: Int[ndarray, "N"]
    names: tuple[str, ...]

    def at(self, row: int) -> str:
        return self.names[self.code[row]]


@dataclass(frozen=True, kw_only=True)
class TracksTable:
    """The columns of a tracks table that may be used, N rows in the file's order. Metres and seconds."""

    source: str  # the file, as errors name it
    dataset: Labels
    scene: Labels
    agent_id: Labels
    agent_type: Labels
    frame: Int[ndarray, "N"]
    t_s: Float[ndarray, "N"]
    x_m: Float[ndarray, "N"]
    y_m: Float[ndarray, "N"]
    z_m: Float[ndarray, "N"]  # NaN where unknown
    length_m: Float[ndarray, "N"]  # NaN where unknown
    width_m: Float[ndarray, "N"]  # NaN where unknown

    @property
    def rows(self) -> int:
        return len(self.frame)

    @property
    def scene_key(self) -> Int[ndarray, "N"]:
        """One number a (dataset, scene) pair, ascending as the pair does."""
        return self.dataset.code * len(self.scene.names) + self.scene.code

    def scene_name(self, row: int) -> str:
        return f"scene {self.scene.at(row)} of data set {self.dataset.at(row)}"


def tracks_table(table: pa.Table, source: str) -> TracksTable:
    """The table cast to the contract's types; InputError on missing columns and values that cannot be cast.

    Rows are named by their number in the file, counted from 0, as DuckDB and pandas do.
    """
    names = table.column_names
    missing = [name for name in TRACK_REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"{source}: missing columns {', '.join(missing)}; expected {', '.join(TRACK_REQUIRED)}: "
            "add them, or convert a foreign format with `drivewm import`"
        )
    twice = next((name for name in TRACK_DTYPES if names.count(name) > 1), None)
    if twice:
        raise InputError(
            f"{source}: column {twice} appears {names.count(twice)} times, expected once; drop one"
        )
    if table.num_rows == 0:
        raise InputError(f"{source}: the table has no rows, expected at least one; remove the file")
    text = {name: _labels(table[name], name, source) for name in TRACK_TEXT}
    number = {name: _numbers(table[name], name, source) for name in ("t_s", "x_m", "y_m")}
    absent = np.full(table.num_rows, np.nan)
    for name in ("z_m", "length_m", "width_m"):
        number[name] = _numbers(table[name], name, source) if name in names else absent
    return TracksTable(
        source=source,
        dataset=text["dataset"],
        scene=text["scene"],
        agent_id=text["agent_id"],
        agent_type=text["agent_type"],
        frame=_frames(table["frame"], source),
        t_s=number["t_s"],
        x_m=number["x_m"],
        y_m=number["y_m"],
        z_m=number["z_m"],
        length_m=number["length_m"],
        width_m=number["width_m"],
    )


def _labels(column: pa.ChunkedArray, name: str, source: str) -> Labels:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{source}: column {name} must be text, came {kind}; write it as text")
    if column.null_count:
        raise InputError(f"{source}: row {_first_null(column)}: {name} is null, expected text; fill it in")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    raw = np.array(array.dictionary.cast(pa.string()).to_pylist(), dtype=str)
    # Unused entries of the dictionary are dropped, equal ones merged.
    code = array.indices.to_numpy(zero_copy_only=False)
    used, position = np.unique(code, return_inverse=True)
    names, merged = np.unique(raw[used], return_inverse=True)
    return Labels(code=merged[position].astype(np.int64), names=tuple(names.tolist()))


def _numbers(column: pa.ChunkedArray, name: str, source: str) -> ndarray:
    """The column as float64, NaN where null."""
    if not _is_number(column.type):
        column = _parsed(column, name, source)
    return column.cast(pa.float64(), safe=False).to_numpy()


def _frames(column: pa.ChunkedArray, source: str) -> ndarray:
    if column.null_count:
        raise InputError(
            f"{source}: row {_first_null(column)}: frame is null, expected an integer; number the frames"
        )
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        return column.to_numpy().astype(np.int64)
    values = _numbers(column, "frame", source)
    # Beyond 2^53 a float no longer holds every integer.
    whole = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2.0**53)
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(
            f"{source}: row {row}: frame must be an integer, came {values[row]}; number the frames"
        )
    return values.astype(np.int64)


def _parsed(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    """A text column of numbers, read as numbers."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not _is_text(kind):
        raise InputError(f"{source}: column {name} must hold numbers, came {kind}; write it as numbers")
    texts = column.cast(pa.string())
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        row, value = next(
            (i, v) for i, v in enumerate(texts.to_pylist()) if v is not None and not _is_float(v)
        )
        raise InputError(
            f"{source}: row {row}: {name} must be a number, came {value!r}; correct it"
        ) from None


def _is_float(text: str) -> bool:
    try:
        pc.cast(pa.scalar(text), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _first_null(column: pa.ChunkedArray) -> int:
    return int(np.argmax(column.is_null().to_numpy()))
