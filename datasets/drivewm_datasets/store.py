"""Tracks tables on disk to recordings, validated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from drivewm.errors import InputError
from drivewm_datasets.recording import CONTEXT, Recording

KIND_OF = {
    "pedestrian": 0, "pedestrian_sitting": 0, "skater": 0, "cyclist": 1, "motorcycle": 1,
    "vehicle": 2, "car": 2, "van": 2, "bus": 2, "truck": 2, "tram": 2, "golf_cart": 2, "cart": 2,
    "ego_vehicle": 2, "large_vehicle": 2,
}


def read_recordings(folder: Path) -> list[Recording]:
    """Every scene under a file or folder, sorted by (dataset, scene)."""
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    if not files:
        raise InputError(f"{folder}: no Parquet files")
    out = []
    for file in files:
        t = pq.read_table(file)
        key = np.array([f"{a}\x00{b}" for a, b in zip(t["dataset"].to_pylist(), t["scene"].to_pylist())])
        col = {n: t[n].to_numpy(zero_copy_only=False) for n in ("frame", "t_s", "x_m", "y_m")}
        agent = np.array(t["agent_id"].to_pylist(), object)
        kind_name = np.array(t["agent_type"].to_pylist(), object)
        size = np.zeros((t.num_rows, 2))
        for i, n in enumerate(("length_m", "width_m")):
            if n in t.schema.names:
                size[:, i] = np.nan_to_num(t[n].to_numpy(zero_copy_only=False).astype(float))
        for k in np.unique(key):
            rows = np.flatnonzero(key == k)
            ids, first, inverse = np.unique(agent[rows].astype(str), return_index=True, return_inverse=True)
            order = np.lexsort((col["t_s"][rows], inverse))
            r = rows[order]
            types = tuple(str(x) for x in kind_name[rows][first])
            ds, sc = k.split("\x00")
            out.append(Recording(
                dataset=ds, scene=sc, agent_ids=tuple(ids), agent_types=types,
                kind=np.array([KIND_OF.get(x, CONTEXT) for x in types]), size=size[rows][first],
                agent=inverse[order], frame=col["frame"][r].astype(np.int64), t_s=col["t_s"][r].astype(float),
                xy=np.column_stack([col["x_m"][r], col["y_m"][r]]).astype(float), z=np.zeros(len(r)), source=file,
            ))
    return sorted(out, key=lambda rec: rec.name)
