"""The tracks table itself, in Parquet or CSV: names, units and types made those of the contract."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from drivewm.errors import InputError
from drivewm_datasets.importers.source import Format, Imported, ImportOptions
from drivewm_datasets.schema import TRACK_DTYPES, TRACK_TEXT, tracks_table
from drivewm_datasets.store import read_parquet

SCALED = ("x_m", "y_m", "z_m", "length_m", "width_m", "vx_mps", "vy_mps", "speed_mps")


def read_tracks(file: Path, options: ImportOptions) -> Imported:
    """The columns of the contract; others are left behind.

    `--dataset` and `--scene` fill or replace those columns, `--scale` multiplies all lengths and speeds,
    and `--fps` makes `t_s` from `frame` where the column is absent.
    """
    table = _read_csv(file) if file.suffix == ".csv" else read_parquet(file)
    table = table.select([i for i, name in enumerate(table.column_names) if name in TRACK_DTYPES])
    for name, value in (("dataset", options.dataset), ("scene", options.scene)):
        if value is not None:
            filled = pa.array([value] * table.num_rows, pa.string())
            table = table.drop_columns([name] if name in table.column_names else [])
            table = table.append_column(name, filled)
    if "t_s" not in table.column_names and "frame" in table.column_names and options.fps:
        frame = pa.chunked_array([table["frame"].cast(pa.float64()).to_numpy() / options.fps])
        table = table.append_column("t_s", frame)
    checked = tracks_table(table, str(file))
    columns: dict[str, np.ndarray] = {
        name: np.array(getattr(checked, name).names)[getattr(checked, name).code] for name in TRACK_TEXT
    }
    for name in table.column_names:
        if name in ("frame", "t_s", "x_m", "y_m", "z_m", "length_m", "width_m"):
            columns[name] = getattr(checked, name)
        elif name not in columns:
            columns[name] = _floats(table[name], name, file)
    for name in set(SCALED) & columns.keys():
        columns[name] = columns[name] * (options.scale or 1.0)
    return Imported(name=file.stem, columns=columns)


def _read_csv(file: Path) -> pa.Table:
    if file.stat().st_size == 0:
        raise InputError(f"{file}: the file is empty (0 bytes), expected a tracks table; write it again")
    # Text stays text: agent 007 is not agent 7, and a scene may be called 0000.
    types = dict.fromkeys(TRACK_TEXT, pa.string())
    try:
        return pyarrow.csv.read_csv(
            file, convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
        )
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not readable as CSV ({_brief(error)}); correct the file") from None


def _floats(column: pa.ChunkedArray, name: str, file: Path) -> np.ndarray:
    try:
        return column.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"{file}: column {name} must hold numbers ({_brief(error)}); correct it") from None


def _brief(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _find(folder: Path) -> Iterable[Path]:
    return [file for suffix in ("parquet", "csv") for file in folder.glob(f"*.{suffix}")]


TRACKS = Format(name="tracks", what="tracks tables in Parquet or CSV", find=_find, read=read_tracks)
