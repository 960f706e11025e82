"""Streets from way points: small enough that their figures can be computed on paper."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from drivewm_datasets.recording import Recording
from drivewm_datasets.schema import tracks_table
from drivewm_datasets.store import recordings_of
from drivewm_eval.street.motion import Motion, on_clock

Path2 = list[tuple[float, float, float]]
"""Way points: time (s), x, y (m); straight and even in between."""


def street_table(
    agents: dict[str, tuple[str, Path2]], hz: float = 10.0, scene: str = "s", **extra: dict[str, str]
) -> pa.Table:
    """A tracks table of agents by id, each with its type and way; `extra` columns hold a text by agent id."""
    rows: dict[str, list] = {name: [] for name in ("frame", "t_s", "agent_id", "agent_type", "x_m", "y_m")}
    for agent_id, (agent_type, way) in agents.items():
        t, x, y = np.array(way, float).T
        frames = np.arange(np.ceil(t[0] * hz - 1e-9), np.floor(t[-1] * hz + 1e-9) + 1).astype(int)
        rows["frame"] += frames.tolist()
        rows["t_s"] += (frames / hz).tolist()
        rows["agent_id"] += [agent_id] * len(frames)
        rows["agent_type"] += [agent_type] * len(frames)
        rows["x_m"] += np.interp(frames / hz, t, x).tolist()
        rows["y_m"] += np.interp(frames / hz, t, y).tolist()
    count = len(rows["frame"])
    more = {name: [label[agent_id] for agent_id in rows["agent_id"]] for name, label in extra.items()}
    return pa.table({"dataset": ["test"] * count, "scene": [scene] * count, **rows, **more})


def street(agents: dict[str, tuple[str, Path2]], hz: float = 10.0, scene: str = "s") -> Recording:
    return recordings_of(tracks_table(street_table(agents, hz, scene), "test"))[0]


def motion(agents: dict[str, tuple[str, Path2]], hz: float = 10.0, step: float = 0.5) -> Motion:
    return on_clock(street(agents, hz), step)


def straight(begin: tuple[float, float], velocity: tuple[float, float], t0: float, t1: float) -> Path2:
    """From `begin` at time t0 on at an even velocity."""
    (x, y), (vx, vy) = begin, velocity
    return [(t0, x, y), (t1, x + vx * (t1 - t0), y + vy * (t1 - t0))]


def crossing_at(t_s: float, speed: float = 1.0) -> Path2:
    """Somebody who walks evenly and is on the car's line at this time."""
    return straight((0, -speed * t_s), (0, speed), 0, 20)
