"""drivewm predict: recordings in, a forecast table out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drivewm.cli.figures import check_file, terminal, write_json
from drivewm.cli.skipped import skip_notes
from drivewm.errors import InputError

DEFAULT_MODES = {"joint": 6, "marginal": 20}
SHORTEST_S = 0.01


def check_every(seconds: float) -> None:
    """InputError for a spacing of forecasts that is no time."""
    if not (math.isfinite(seconds) and seconds >= SHORTEST_S):
        raise InputError(f"--every must be at least {SHORTEST_S:g} seconds, got {seconds:g}")


@dataclass(frozen=True, kw_only=True)
class Predict:
    data: tuple[Path, ...]
    """Folders (or files) of tracks tables or episodes."""
    out: Path
    """Parquet file to write; it appears only when it is complete."""
    weights: str = "nano"
    """A shipped bundle by name, or a bundle folder."""
    head: Literal["joint", "marginal"] = "joint"
    """joint: a mode is one future of the whole scene; marginal: modes of each agent by itself."""
    modes: int | None = None
    """How many modes, the most probable, renormalised; default 6 joint or 20 marginal."""
    every: float = 0.4
    """Seconds between forecasts (at the nearest recorded frames)."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        from rich.progress import track
        from rich.table import Table

        from drivewm.checkpoint import load_bundle
        from drivewm.forecast_table import ForecastWriter
        from drivewm.forecaster import TorchForecaster
        from drivewm_datasets.sampling import anchor_times, batches, scene_at
        from drivewm_datasets.store import read_recordings

        check_every(self.every)
        check_file("--out", self.out)
        check_file("--json", self.json)
        bundle = load_bundle(self.weights)
        sizes = bundle.model.config
        have = sizes.joint_modes if self.head == "joint" else sizes.candidates
        modes = min(DEFAULT_MODES[self.head], have) if self.modes is None else self.modes
        if not 1 <= modes <= have:
            raise InputError(
                f"--modes must be 1 to {have} for the {self.head} head of this model, got {modes}"
            )
        forecaster = TorchForecaster(bundle)
        recordings = read_recordings(list(self.data))
        anchors = [(r, t) for r in recordings for t in anchor_times(r, self.every)]
        count = {"anchors": 0, "agents": 0, "model": 0, "kinematic": 0}
        console = terminal()
        with ForecastWriter(self.out, self.head, modes) as writer:
            chunks = list(batches(anchors, 16))
            for chunk in track(chunks, description="forecasting", console=console):
                scenes = [scene_at(r, float(t), forecaster.grid) for r, t in chunk]
                forecasts = forecaster(scenes)
                names = [(f, r.dataset, r.scene) for f, (r, _) in zip(forecasts, chunk, strict=True)]
                writer.write(names)
                count["anchors"] += len(chunk)
                for forecast in forecasts:
                    count["agents"] += len(forecast.ids)
                    for source in forecast.source:
                        count[source] += 1
        table = Table("scenes", "anchors", "agents forecast", "by the model", "kinematic", "rows")
        figures: dict[str, Any] = {"scenes": len(recordings), **count, "rows": writer.rows}
        table.add_row(
            *(f"{figures[k]:,}" for k in ("scenes", "anchors", "agents", "model", "kinematic", "rows"))
        )
        console.print(table)
        console.print(f"{self.head} head, {modes} modes, bundle {bundle.name} -> {self.out}")
        for note in skip_notes(recordings):
            console.print(f"note: {note}")
        if self.json:
            skipped = sum((r.skipped for r in recordings), Counter())
            write_json(self.json, {**figures, "skipped": dict(sorted(skipped.items()))})
        return 0
