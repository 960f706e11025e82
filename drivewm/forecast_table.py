"""Forecasts as a table that anybody can read or write: one row a mode, agent and step.

Columns: dataset, scene, t_s (time of prediction), agent_id, agent_type, mode, mode_probability,
step (1..), horizon_s, x_m, y_m, var_xx, var_xy, var_yy (m^2), source; in the input's frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
    mode, agent, step = (axis.ravel() for axis in np.meshgrid(np.arange(k), np.arange(a), np.arange(f), indexing="ij"))
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
        path.parent.mkdir(parents=True, exist_ok=True)
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


def read_forecasts(path: Path) -> tuple[pa.Table, Head | None]:
    """A forecast table and its head where the file states it. InputError if columns are missing or not finite."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: expected a Parquet forecast table ({error})".split("\n")[0]) from error
    optional = {"agent_type", "source", "var_xx", "var_xy", "var_yy", "horizon_s"}
    missing = [name for name in SCHEMA.names if name not in table.schema.names and name not in optional]
    if missing:
        raise InputError(f"{path}: forecast table lacks the columns {', '.join(missing)}")
    for name in ("t_s", "mode_probability", "x_m", "y_m"):
        values = table[name].to_numpy().astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(f"{path}: row {bad[0]}: {name} is {values[bad[0]]}; every value must be finite")
    stated = (table.schema.metadata or {}).get(b"drivewm.head", b"").decode()
    return table, stated if stated in ("joint", "marginal") else None  # type: ignore[return-value]


def anchors_of(table: pa.Table) -> Iterator[tuple[tuple[str, str, float], pa.Table]]:
    """The rows of each (dataset, scene, t_s), in order of appearance."""
    key = np.array(
        [f"{d}\x00{s}\x00{t!r}" for d, s, t in zip(*(table[n].to_pylist() for n in ("dataset", "scene", "t_s")), strict=True)],
        dtype=object,
    )
    names, inverse = np.unique(key.astype(str), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(names) + 1))
    for i, name in enumerate(names):
        dataset, scene, t_s = str(name).split("\x00")
        yield (dataset, scene, float(t_s)), table.take(order[bounds[i] : bounds[i + 1]])
