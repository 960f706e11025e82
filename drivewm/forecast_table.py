"""Forecasts as a table that anybody can read or write: one row a mode, agent and step.

Columns: dataset, scene, t_s (time of prediction), agent_id, agent_type, mode, mode_probability,
step (1..), horizon_s, x_m, y_m, var_xx, var_xy, var_yy (m^2), source; in the input's frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drivewm.errors import InputError
from drivewm.types import Forecast, Kind

Head = Literal["joint", "marginal"]

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("scene", pa.string()),
        ("t_s", pa.float64()),
        ("agent_id", pa.string()),
        ("agent_type", pa.string()),
        ("mode", pa.int32()),
        ("mode_probability", pa.float64()),
        ("step", pa.int32()),
        ("horizon_s", pa.float64()),
        ("x_m", pa.float64()),
        ("y_m", pa.float64()),
        ("var_xx", pa.float64()),
        ("var_xy", pa.float64()),
        ("var_yy", pa.float64()),
        ("source", pa.string()),
    ]
)


def select_modes(forecast: Forecast, head: Head, modes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position [K,A,F,2], covariance [K,A,F,2,2] and probability [K,A] of the most probable modes.

    Modes come in falling probability, renormalised. InputError for more modes than the model has.
    """
    if head == "joint":
        have, agents = forecast.position.shape[:2]
        probability = np.broadcast_to(forecast.mode_probability[:, None], (have, agents))
        position, covariance = forecast.position, forecast.covariance
    else:
        have, agents = forecast.marginal_position.shape[:2]
        probability = forecast.marginal_probability
        position, covariance = forecast.marginal_position, forecast.marginal_covariance
    if not 1 <= modes <= have:
        raise InputError(f"--modes must be 1 to {have} for the {head} head of this model, got {modes}")
    order = np.argsort(-probability, axis=0, kind="stable")[:modes]
    who = np.arange(agents)
    chosen = probability[order, who]
    return position[order, who], covariance[order, who], chosen / chosen.sum(axis=0)


def to_table(forecast: Forecast, head: Head, modes: int, dataset: str, scene: str) -> pa.Table:
    """The rows of one forecast. Agents that are not present and modes of probability zero have none."""
    position, covariance, probability = select_modes(forecast, head, modes)
    k, a, f = position.shape[:3]
    mode, agent, step = (
        axis.ravel() for axis in np.meshgrid(np.arange(k), np.arange(a), np.arange(f), indexing="ij")
    )
    keep = forecast.valid[agent] & (probability[mode, agent] > 0)
    mode, agent, step = mode[keep], agent[keep], step[keep]
    names = np.array([Kind(int(i)).name.lower() for i in forecast.kind], dtype=object)
    at = (mode, agent, step)
    rows = len(mode)
    columns = [
        pa.array([dataset] * rows),
        pa.array([scene] * rows),
        np.full(rows, forecast.t_s),
        pa.array(np.asarray(forecast.ids, dtype=object)[agent], pa.string()),
        pa.array(names[agent], pa.string()),
        mode.astype(np.int32),
        probability[mode, agent],
        (step + 1).astype(np.int32),
        forecast.horizon[step],
        position[at][:, 0],
        position[at][:, 1],
        covariance[at][:, 0, 0],
        covariance[at][:, 0, 1],
        covariance[at][:, 1, 1],
        pa.array(np.asarray(forecast.source, dtype=object)[agent], pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


class ForecastWriter:
    """Writes forecasts one after another into a Parquet file that appears only when it is complete."""

    def __init__(self, path: Path, head: Head, modes: int) -> None:
        self.path, self.head, self.modes = path, head, modes
        self.rows = 0
        if path.is_dir():
            raise InputError(f"{path} is a folder; --out must name a Parquet file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = f"--out {path}: its folder cannot be made ({error.strerror}); name another"
            raise InputError(said) from None
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        metadata = {"drivewm.head": head, "drivewm.modes": str(modes)}
        self._writer = pq.ParquetWriter(self._part, SCHEMA.with_metadata(metadata), compression="zstd")

    def write(self, forecasts: list[tuple[Forecast, str, str]]) -> None:
        """Adds forecasts of (dataset, scene) as one row group."""
        tables = [to_table(f, self.head, self.modes, dataset, scene) for f, dataset, scene in forecasts]
        table = pa.concat_tables(tables).replace_schema_metadata(self._writer.schema.metadata)
        if table.num_rows:
            self._writer.write_table(table)
            self.rows += table.num_rows

    def __enter__(self) -> ForecastWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._writer.close()
        if kind is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)


_COVARIANCE = ("var_xx", "var_xy", "var_yy")
_OPTIONAL = ("agent_type", "source", "horizon_s")  # and the three variances, together or not at all


def read_forecasts(path: Path) -> tuple[pa.Table, Head | None]:
    """A forecast table in the dtypes of `SCHEMA`, and its head where the file states it.

    Optional are agent_type, source, horizon_s and the three variances together. InputError naming file,
    row and remedy for what is missing, not finite or no covariance.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a forecast table as drivewm predict writes it")
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{path}: not readable as a Parquet forecast table ({said}); write it again"
        ) from None
    names = table.schema.names
    optional = _OPTIONAL if set(_COVARIANCE) & set(names) else _OPTIONAL + _COVARIANCE
    missing = [name for name in SCHEMA.names if name not in names and name not in optional]
    if missing:
        raise InputError(f"{path}: forecast table lacks the columns {', '.join(missing)}; add them")
    if table.num_rows == 0:
        raise InputError(f"{path}: the forecast table has no rows; run drivewm predict again")
    metadata = table.schema.metadata or {}
    wanted = [field for field in SCHEMA if field.name in names]
    table = pa.table({field.name: _column(table[field.name], field, path) for field in wanted})
    _check_values(table, path)
    stated = metadata.get(b"drivewm.head", b"").decode(errors="replace")
    return table, stated if stated in ("joint", "marginal") else None  # type: ignore[return-value]


def _column(column: pa.ChunkedArray, field: pa.Field, path: Path) -> pa.ChunkedArray:
    """The column in the dtype of the contract, without nulls."""
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise InputError(f"{path}: row {row}: {field.name} is null; fill it in or drop the forecast")
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(
            f"{path}: column {field.name} came as {column.type} with values that are no {field.type}; "
            f"write it as {field.type}"
        ) from None


def _check_values(table: pa.Table, path: Path) -> None:
    for name in ("t_s", "mode_probability", "x_m", "y_m", "horizon_s", *_COVARIANCE):
        if name in table.schema.names:
            values = table[name].to_numpy()
            _refuse(path, ~np.isfinite(values), f"{name} is {{}}, expected a finite number", values)
    probability = table["mode_probability"].to_numpy()
    wrong = (probability < 0) | (probability > 1 + 1e-6)
    _refuse(path, wrong, "mode_probability is {}, expected 0 to 1", probability)
    if "var_xx" in table.schema.names:
        xx, xy, yy = (table[name].to_numpy() for name in _COVARIANCE)
        wrong = (xx < 0) | (yy < 0) | (xy**2 > xx * yy + 1e-9)
        _refuse(path, wrong, "var_xx, var_xy, var_yy are no covariance (var_xx {})", xx)


def _refuse(path: Path, wrong: np.ndarray, said: str, values: np.ndarray) -> None:
    if wrong.any():
        row, count = int(np.argmax(wrong)), int(wrong.sum())
        more = f" ({count} such rows)" if count > 1 else ""
        what = said.format(f"{values[row]:g}")
        raise InputError(f"{path}: row {row}: {what}{more}; correct it or drop the forecast")


def anchors_of(table: pa.Table) -> Iterator[tuple[tuple[str, str, float], pa.Table]]:
    """The rows of each (dataset, scene, t_s), in their order in the table.

    Data sets and scenes come in order of appearance, the times of each ascending; times within half a
    microsecond are one.
    """
    dataset, scene = _codes(table["dataset"]), _codes(table["scene"])
    time = np.round(table["t_s"].to_numpy() * 1e6).astype(np.int64)
    order = np.lexsort((time, scene, dataset))
    changes = np.zeros(len(order), bool)
    changes[:1] = True
    for key in (dataset, scene, time):
        changes[1:] |= np.diff(key[order]) != 0
    if (np.diff(order) != 1).any():  # the tables of drivewm predict are in order: nothing to copy
        table = table.take(order)
    bounds = np.append(np.flatnonzero(changes), len(order)).tolist()
    for first, last in pairwise(bounds):
        rows = table.slice(first, last - first)
        yield (rows["dataset"][0].as_py(), rows["scene"][0].as_py(), rows["t_s"][0].as_py()), rows


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number a text, in order of appearance."""
    encoded = column.dictionary_encode().unify_dictionaries()
    return np.concatenate([np.zeros(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
