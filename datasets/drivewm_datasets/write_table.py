"""A tracks table to disk, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from drivewm_datasets.columns import Columns, write_columns
from drivewm_datasets.schema import TRACK_DTYPES, TRACK_REQUIRED


def write_table(file: Path, columns: Columns) -> None:
    """Writes a tracks table in the contract's types and column order; missing numbers become null.

    Columns beyond the contract follow in the order given. An existing file is replaced at the end.
    """
    missing = [name for name in TRACK_REQUIRED if name not in columns]
    if missing:
        raise ValueError(f"a tracks table needs the columns {', '.join(missing)}")
    ordered = [name for name in (*TRACK_REQUIRED, *TRACK_DTYPES) if name in columns]
    names = list(dict.fromkeys([*ordered, *columns]))
    cast = {name: np.asarray(columns[name]) for name in names}
    cast = {name: values.astype(TRACK_DTYPES.get(name, values.dtype)) for name, values in cast.items()}
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        write_columns(draft, cast)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
