"""What a simulator knows of its agents beyond their tracks: further text columns of a tracks table."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from drivewm.errors import InputError
from drivewm_datasets.recording import Recording

AtMoment = Mapping[tuple[float, str], str]
"""By time (seconds, rounded to milliseconds) and agent id."""


def label_column(recording: Recording, column: str) -> dict[tuple[float, str], str]:
    """A label column (`intent`, `age`) of the file or episode a recording came from; empty without it."""
    if recording.source is None:
        return {}
    file = recording.source / "truth.parquet" if recording.source.is_dir() else recording.source
    try:
        if column not in pq.read_schema(file).names:
            return {}
        wanted = [("dataset", "==", recording.dataset), ("scene", "==", recording.scene)]
        table = pq.read_table(file, columns=["t_s", "agent_id", column], filters=wanted)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{file}: labels not readable ({str(error).splitlines()[0][:120]}); write it again"
        ) from None
    rows = zip(*(table[name].to_pylist() for name in ("t_s", "agent_id", column)), strict=True)
    return {(round(t_s, 3), str(agent_id)): str(label) for t_s, agent_id, label in rows if label is not None}


def label_of_agent(labels: AtMoment) -> dict[str, str]:
    """The first label of each agent."""
    out: dict[str, str] = {}
    for (_, agent_id), label in sorted(labels.items()):
        out.setdefault(agent_id, label)
    return out
