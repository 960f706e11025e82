"""Recordings built by hand: people who walk straight, on any clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drivewm_datasets.recording import Recording
from drivewm_datasets.store import read_recordings


def walkers_table(
    *,
    agents: int = 3,
    seconds: float = 10.0,
    hz: float = 2.5,
    speed: float = 1.2,
    scene: str = "street",
    dataset: str = "test",
    origin: tuple[float, float] = (0.0, 0.0),
    wiggle: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """Agent i walks from (0, 2 i) at heading i radians, with `wiggle` metres of random walk a frame."""
    rng = np.random.default_rng(seed)
    frames = np.arange(round(seconds * hz) + 1)
    rows: dict[str, list] = {n: [] for n in ("frame", "t_s", "agent_id", "x_m", "y_m")}
    for agent in range(agents):
        noise = (
            np.cumsum(rng.normal(0, wiggle, (len(frames), 2)), axis=0)
            if wiggle
            else np.zeros((len(frames), 2))
        )
        along = np.array([np.cos(agent), np.sin(agent)])
        xy = np.asarray(origin) + [0, 2 * agent] + frames[:, None] / hz * speed * along + noise
        rows["frame"] += frames.tolist()
        rows["t_s"] += (frames / hz).tolist()
        rows["agent_id"] += [str(agent)] * len(frames)
        rows["x_m"] += xy[:, 0].tolist()
        rows["y_m"] += xy[:, 1].tolist()
    count = len(rows["frame"])
    return pa.table(
        {"dataset": [dataset] * count, "scene": [scene] * count, **rows, "agent_type": ["pedestrian"] * count}
    )


def write_scenes(folder: Path, scenes: int = 3, **how: object) -> Path:
    """A folder of `scenes` tracks tables, alike but for their random walk."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(scenes):
        table = walkers_table(scene=f"scene{i}", seed=i, **how)  # type: ignore[arg-type]
        pq.write_table(table, folder / f"scene{i}.parquet")
    return folder


def recording(tmp_path: Path, **how: object) -> Recording:
    """One recording of `walkers_table(...)`."""
    path = tmp_path / "one.parquet"
    pq.write_table(walkers_table(**how), path)  # type: ignore[arg-type]
    return read_recordings(path)[0]
