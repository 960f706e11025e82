"""`drivewm import`: a foreign recording to tracks tables."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import tyro

from drivewm.cli.figures import check_file, check_folder, write_json
from drivewm.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Import:
    """Turn a foreign recording into a tracks table."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """A recording, or a folder of them."""
    format: str
    """How the source is written: tracks, eth-ucy or sdd."""
    out: Path
    """Folder for the tracks tables, one Parquet file a source file."""
    dataset: str | None = None
    """Name of the data set, where the source does not say it."""
    scene: str | None = None
    """Name of the scene; only for a single source file."""
    scale: float | None = None
    """Metres a unit of position (sdd: metres a pixel, required)."""
    fps: float | None = None
    """Frame numbers a second, where the source has no time of its own."""
    json: Path | None = None
    """Also write the figures of the table here."""

    def run(self) -> int:
        from drivewm_datasets.importers import FORMATS, ImportOptions, find_sources

        if self.format not in FORMATS:
            raise InputError(f"--format {self.format}: no such format; there are {', '.join(FORMATS)}")
        check_folder("--out", self.out)
        check_file("--json", self.json)
        options = ImportOptions(dataset=self.dataset, scene=self.scene, scale=self.scale, fps=self.fps)
        files = find_sources(self.source, FORMATS[self.format])
        if self.scene is not None and len(files) > 1:
            raise InputError(
                f"--scene names one scene, {self.source} holds {len(files)} files; import them one by one"
            )
        rows = self._convert(files, options)
        _print_table(rows)
        if self.json is not None:
            write_json(self.json, {"files": rows, "total": _total(rows)})
        return 0

    def _convert(self, files: list[Path], options: Any) -> list[dict[str, Any]]:
        """Writes all tables beside each other in a draft folder, and moves them once every one is good."""
        from rich.progress import track

        from drivewm_datasets.importers import FORMATS

        made = not self.out.exists()
        draft = self.out / f".import.{os.getpid()}.draft"
        done: dict[str, dict[str, Any]] = {}
        scenes: dict[tuple[str, str], Path] = {}
        try:
            for file in track(files, description="importing", transient=True, disable=len(files) < 2):
                imported = FORMATS[self.format].read(file, options)
                if imported.name in done:
                    raise InputError(
                        f"{file}: a table {imported.name} was already made; import it into another --out"
                    )
                done[imported.name] = _check_and_write(draft, file, imported, scenes)
            for name in done:
                os.replace(draft / f"{name}.parquet", self.out / f"{name}.parquet")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if made and self.out.is_dir() and not any(self.out.iterdir()):
                self.out.rmdir()
        return list(done.values())


def _check_and_write(
    draft: Path, file: Path, imported: Any, scenes: dict[tuple[str, str], Path]
) -> dict[str, Any]:
    """Writes one table if a reader would accept it; gives back its figures."""
    from drivewm_datasets.columns import to_arrow
    from drivewm_datasets.schema import tracks_table
    from drivewm_datasets.store import recordings_of
    from drivewm_datasets.write_table import write_table

    recordings = recordings_of(tracks_table(to_arrow(imported.columns), str(file)), file)
    for recording in recordings:
        other = scenes.setdefault(recording.name, file)
        if other != file:
            raise InputError(
                f"scene {recording.scene} of data set {recording.dataset} is in both {other} and {file}, "
                "expected in one; import them with different --dataset or --scene"
            )
    write_table(draft / f"{imported.name}.parquet", imported.columns)
    skipped = sum((recording.skipped for recording in recordings), Counter(imported.skipped))
    return {
        "name": imported.name,
        "scenes": len(recordings),
        "agents": sum(len(recording.agent_ids) for recording in recordings),
        "rows": len(imported.columns["frame"]),
        "skipped": dict(skipped),
    }


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {key: sum(row[key] for row in rows) for key in ("scenes", "agents", "rows")}
    return {
        "name": "total",
        **counts,
        "skipped": dict(sum((Counter(row["skipped"]) for row in rows), Counter())),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("table", "scenes", "agents", "rows", "skipped or context", title="imported")
    for row in [*rows, _total(rows)] if len(rows) > 1 else rows:
        skipped = ", ".join(f"{count} {reason}" for reason, count in row["skipped"].items())
        table.add_row(row["name"], *(f"{row[key]:,}" for key in ("scenes", "agents", "rows")), skipped or "-")
    Console().print(table)
