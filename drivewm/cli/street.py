"""drivewm street: what the people and vehicles of recordings do, in figures beside their targets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from drivewm.cli.figures import check_file, terminal, write_json
from drivewm.cli.skipped import skip_notes
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from drivewm_datasets.recording import Recording
    from drivewm_eval.street.estimate import Figure
    from drivewm_eval.street.table import Row, Statistics

NOISE_M = 0.05
"""The error given to both sides of a comparison of walks, about that of real annotations."""
TOLD_BY = 8  # features shown


@dataclass(frozen=True, kw_only=True)
class Street:
    data: tuple[Path, ...]
    """Folders (or files) of tracks tables or episodes; the figures pool them."""
    targets: Literal["street", "grid", "arterial", "school", "roundabout", "plaza"] | None = None
    """Judge the figures by the targets of this type of town."""
    beside: tuple[Path, ...] = ()
    """Other recordings, one further column a folder; they are not judged."""
    against: tuple[Path, ...] = ()
    """Train a classifier to tell the walks of --data from those of these; print how well it does."""
    picture: Path | None = None
    """Draw a recording from above: a sheet of moments (.png) or a film (.gif)."""
    scene: str | None = None
    """The scene that is drawn (default: the first)."""
    begin: float = 0.0
    """Seconds into the scene at which the picture begins."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        from rich.progress import Progress

        from drivewm_datasets.store import read_recordings
        from drivewm_eval.street import table
        from drivewm_eval.street.targets import TARGETS

        self._check()
        recordings = read_recordings(list(self.data))
        console = terminal()
        beside: dict[str, Statistics] = {}
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("measuring", total=table.STAGES * (1 + len(self.beside)))
            ours = table.statistics(recordings, lambda: progress.advance(task))
            for folder in self.beside:
                others = read_recordings(folder)
                beside[str(folder)] = table.statistics(others, lambda: progress.advance(task))
        rows = table.rows(ours, TARGETS[self.targets] if self.targets else {})
        print_rows(console, rows, beside)
        figures: dict[str, Any] = {
            "scenes": len(recordings),
            "targets": self.targets,
            "rows": [asdict(row) for row in rows],
            "beside": {
                name: {key: asdict(value) for key, value in one.items()} for name, one in beside.items()
            },
            "notes": skip_notes(recordings),
        }
        if self.targets:
            hit, judged = table.share_in_range(rows)
            figures |= {"in_range": hit, "judged": judged}
            console.print(f"{hit} of {judged} judged rows in range ({hit / max(judged, 1):.0%})")
        if self.against:
            figures["two_sample"] = self._tell_apart(console, recordings)
        for note in figures["notes"]:
            console.print(f"note: {note}")
        if self.picture:
            self._draw(recordings)
        if self.json:
            write_json(self.json, figures)
        return 0

    def _check(self) -> None:
        check_file("--json", self.json)
        check_file("--picture", self.picture)
        if self.picture and self.picture.suffix not in (".png", ".gif"):
            raise InputError(
                f"--picture {self.picture}: expected a name that ends in .png or .gif; choose one"
            )
        if not self.begin >= 0:
            raise InputError(f"--begin must not be negative, got {self.begin}")

    def _tell_apart(self, console: Console, recordings: list[Recording]) -> dict[str, Any]:
        from drivewm_datasets.store import read_recordings
        from drivewm_eval.street.two_sample import tell_apart
        from drivewm_eval.street.window_features import MOTION_FEATURES, NAMES, windows_of

        others = read_recordings(list(self.against))
        told: dict[str, Any] = {}
        for name, noise, features in (
            ("motion", 0.0, MOTION_FEATURES),
            ("motion, both blurred by 5 cm", NOISE_M, MOTION_FEATURES),
            ("motion and neighbours, both blurred by 5 cm", NOISE_M, len(NAMES)),
        ):
            sides = [windows_of(side, noise_m=noise, seed=i) for i, side in enumerate((recordings, others))]
            verdict = tell_apart(*sides, features=features)
            told[name] = asdict(verdict)
            console.print(f"told apart by {name}: AUC {shown(verdict.auc)} ({verdict.auc.count:,} windows)")
            by = [
                f"{i.name} {i.loss:.3f} ({i.shift:+.1f} sd)"
                for i in verdict.importance[:TOLD_BY]
                if i.loss > 0
            ]
            console.print(f"  most telling, AUC lost without (data less others): {', '.join(by)}")
        return told

    def _draw(self, recordings: list[Recording]) -> None:
        import importlib.util

        if importlib.util.find_spec("PIL") is None:
            raise InputError('pip install "drivewm[eval]" to draw (pillow is missing)')
        from drivewm_eval.street.labels import label_column
        from drivewm_eval.topdown import moments_of_recording, write_film, write_sheet

        assert self.picture is not None
        chosen = [r for r in recordings if self.scene in (None, r.scene)]
        if not chosen:
            known = ", ".join(r.scene for r in recordings[:10])
            raise InputError(f"--scene {self.scene!r} is not in the data; there are {known}")
        recording = chosen[0]
        film = self.picture.suffix == ".gif"
        moments = moments_of_recording(
            recording,
            every=0.2 if film else 1.0,
            begin=self.begin,
            seconds=20 if film else 7,
            notes=label_column(recording, "intent"),
            headings=label_column(recording, "heading_rad"),
        )
        if film:
            write_film(self.picture, moments, recording.road_map, fps=5)
        else:
            write_sheet(self.picture, moments, recording.road_map)


def shown(figure: Figure) -> str:
    """A value with its interval, three significant digits."""
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3g}"
    return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]"


def print_rows(console: Console, rows: list[Row], beside: dict[str, Statistics]) -> None:
    """The table: quantity, target, value with its 95 % interval, verdict, and what other recordings show."""
    from rich.table import Table

    table = Table("quantity", "target", "value [95 %]", "n", "", *(Path(name).name for name in beside))
    table.columns[0].no_wrap = True
    for row in rows:
        target = "" if row.target is None else f"{row.target.low:g} to {row.target.high:g}"
        others = [shown(one[row.name]) if row.name in one else "-" for one in beside.values()]
        table.add_row(row.name, target, shown(row.figure), f"{row.figure.count:,}", row.verdict, *others)
    console.print(table)
