"""NumPy columns to Parquet and back, and their hash, the same for every layout of the same values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from numpy import ndarray

Columns = Mapping[str, ndarray]
"""One table: columns of equal length; strings as str or object arrays; NaN is a missing value."""

_SHAPE_KEY = b"drivewm.shape"


def length_of(columns: Columns) -> int:
    """The number of rows; ValueError if the columns disagree."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    return next(iter(lengths.values()), 0)


def is_text(values: ndarray) -> bool:
    return values.dtype.kind in "UO"


def to_arrow(columns: Columns) -> pa.Table:
    """The columns as an Arrow table: NaN becomes null; the inner shape of arrays is kept beside the field."""
    length_of(columns)
    arrays, fields = [], []
    for name, values in columns.items():
        if is_text(values):
            array, metadata = pa.array(values.tolist(), pa.string()), None
        elif values.ndim == 1:
            array, metadata = pa.array(values, from_pandas=True), None
        else:
            flat = np.ascontiguousarray(values).reshape(-1)
            array = pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))
            metadata = {_SHAPE_KEY: json.dumps(values.shape[1:]).encode()}
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def from_arrow(table: pa.Table) -> dict[str, ndarray]:
    """The inverse of `to_arrow`: text as str arrays, missing floats as NaN."""
    return {field.name: _values(field, table[field.name].combine_chunks()) for field in table.schema}


def _values(field: pa.Field, array: Any) -> ndarray:
    if isinstance(array, pa.ChunkedArray):  # what combine_chunks gives for no chunks
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_fixed_size_list(array.type):
        shape = json.loads((field.metadata or {}).get(_SHAPE_KEY, b"[-1]"))
        inner = array.type.value_type.to_pandas_dtype()
        flat = array.flatten().to_numpy(zero_copy_only=False).astype(inner, copy=False)
        return flat.reshape(len(array), *shape)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return np.array(array.to_pylist(), dtype=str) if len(array) else np.zeros(0, "<U1")
    return array.to_numpy(zero_copy_only=False)


def write_columns(file: Path, columns: Columns, cuts: Int[ndarray, "G"] | None = None) -> None:
    """Writes Parquet (zstd); a new row group starts at each row of `cuts` (ascending, row 0 not named)."""
    table = to_arrow(columns)
    # Numbers hardly repeat within a row group: dictionaries of them cost a third of the time to write.
    text = [name for name, values in columns.items() if is_text(values)]
    edges = [0, *([] if cuts is None else cuts.tolist()), table.num_rows]
    with pq.ParquetWriter(
        file, table.schema, compression="zstd", use_dictionary=text, write_page_checksum=True
    ) as writer:
        for start, stop in pairwise(edges):
            writer.write_table(table.slice(start, stop - start), row_group_size=max(stop - start, 1))


def read_columns(file: Path) -> dict[str, ndarray]:
    return from_arrow(pq.ParquetFile(file, page_checksum_verification=True).read())


def hash_columns(columns: Columns) -> str:
    """SHA-256 over names, types, shapes and values: blind to column order, row groups, encoding and footers.

    Rows count in their order. Every NaN counts as the same missing value.
    """
    hasher = sha256()
    for name in sorted(columns):
        values = columns[name]
        dtype = "str" if is_text(values) else values.dtype.newbyteorder("<").str
        hasher.update(canonical_json([name, dtype, list(values.shape)]))
        for part in _canonical_bytes(values):
            hasher.update(part)
    return hasher.hexdigest()


def canonical_json(value: Any) -> bytes:
    """One spelling of a JSON value: sorted keys, no spaces, NumPy scalars as plain numbers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    return text.encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _canonical_bytes(values: ndarray) -> list[bytes]:
    if is_text(values):
        encoded = [str(v).encode() for v in values.tolist()]
        return [np.array([len(e) for e in encoded], "<i8").tobytes(), b"".join(encoded)]
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return [np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()]
