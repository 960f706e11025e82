"""drivewm street: what the people and vehicles of recordings do, in figures beside their targets."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from drivewm.cli.compiling import compile_simulator
from drivewm.cli.figures import check_file, terminal, write_json
from drivewm.cli.skipped import skip_notes
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from drivewm_datasets.recording import Recording
    from drivewm_eval.street.estimate import Figure
    from drivewm_eval.street.table import Row, Samples, Statistics
    from drivewm_eval.street.window_features import Windows

NOISE_M = 0.05
"""The error given to both sides of a comparison of walks, about that of real annotations."""
TOLD_BY = 8  # features shown


@dataclass
class _Seen:
    """What is kept of some recordings, whether read or simulated."""

    scenes: int = 0
    samples: list[Samples] = field(default_factory=list)
    walks: dict[float, list[Windows]] = field(default_factory=dict)  # by the error added to them, m

    def add(self, recording: Recording, samples: Samples, blurs: Iterable[float], side: int) -> None:
        """One more; its walks with each of these errors. `side` tells the two sides' errors apart."""
        self.samples.append(samples)
        self.add_walks(recording, blurs, side)

    def add_walks(self, recording: Recording, blurs: Iterable[float], side: int) -> None:
        from drivewm_eval.street.window_features import windows_of

        for blur in blurs:
            windows = windows_of([recording], noise_m=blur, seed=2 * self.scenes + side)
            self.walks.setdefault(blur, []).append(windows)
        self.scenes += 1


@dataclass(frozen=True, kw_only=True)
class Street:
    data: tuple[Path, ...] = ()
    """Folders (or files) of tracks tables or episodes; the figures pool them."""
    town: str | None = None
    """Instead of --data: simulate this town (a name or an .xodr file) without an ego, and measure that."""
    hours: float = 2.0
    """Simulated hours of --town."""
    seed: int = 0
    """Decides who comes to --town, when, and where to."""
    targets: Literal["street", "grid", "arterial", "school", "roundabout", "plaza"] | None = None
    """Judge the figures by the targets of this type of town (default with --town: its own)."""
    beside: tuple[Path, ...] = ()
    """Other recordings, one further column a folder; they are not judged."""
    against: tuple[Path, ...] = ()
    """Train a classifier to tell the walks of --data or --town from those of these; print its success."""
    picture: Path | None = None
    """Draw a recording of --data from above: a sheet of moments (.png) or a film (.gif)."""
    scene: str | None = None
    """The scene that is drawn (default: the first)."""
    begin: float = 0.0
    """Seconds into the scene at which the picture begins."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        from drivewm_datasets.store import read_recordings
        from drivewm_eval.street import table
        from drivewm_eval.street.targets import TARGETS

        self._check()
        recordings = read_recordings(list(self.data)) if self.data else []
        chosen = self._chosen(recordings) if self.picture else None
        console = terminal()
        others = self._walks_of(read_recordings(list(self.against))) if self.against else None
        beside = {
            str(folder): table.figures(self._read(console, read_recordings(folder), ()).samples)
            for folder in self.beside
        }
        source: dict[str, Any] = {}
        if self.town:
            ours, source = (
                self._simulated(console),
                {"town": self.town, "hours": self.hours, "seed": self.seed},
            )
        else:
            ours = self._read(console, recordings, self._blurs())
        targets = self._targets()
        rows = table.rows(table.figures(ours.samples), TARGETS[targets] if targets else {})
        print_rows(console, rows, beside)
        figures: dict[str, Any] = {
            **source,
            "scenes": ours.scenes,
            "targets": targets,
            "rows": [asdict(row) for row in rows],
            "beside": {
                name: {key: asdict(value) for key, value in one.items()} for name, one in beside.items()
            },
            "notes": skip_notes(recordings),
        }
        if targets:
            hit, judged = table.share_in_range(rows)
            figures |= {"in_range": hit, "judged": judged}
            console.print(f"{hit} of {judged} judged rows in range ({hit / max(judged, 1):.0%})")
        if others:
            figures["two_sample"] = tell_walks_apart(console, ours, others)
        for note in figures["notes"]:
            console.print(f"note: {note}")
        if chosen is not None:
            self._draw(chosen)
        if self.json:
            write_json(self.json, figures)
        return 0

    def _check(self) -> None:
        check_file("--json", self.json)
        check_file("--picture", self.picture)
        if bool(self.data) == bool(self.town):
            raise InputError("name either recordings (--data) or a town to simulate (--town)")
        if self.picture and not self.data:
            raise InputError("--picture draws a recording of --data; `drivewm collect` makes some of a town")
        if self.picture and self.picture.suffix not in (".png", ".gif"):
            raise InputError(
                f"--picture {self.picture}: expected a name that ends in .png or .gif; choose one"
            )
        if self.picture and importlib.util.find_spec("PIL") is None:
            raise InputError('pip install "drivewm[eval]" to draw (pillow is missing)')
        if self.scene is not None and not self.picture:
            raise InputError("--scene is what --picture draws; name a file for it too")
        if not self.begin >= 0:
            raise InputError(f"--begin must not be negative, got {self.begin}")
        if self.town:
            self._check_town()

    def _check_town(self) -> None:
        if importlib.util.find_spec("numba") is None:
            raise InputError('pip install "drivewm[sim]" to simulate (numba is missing)')
        if not 0 < self.hours <= 1000:
            raise InputError(f"--hours must lie above 0 and not above 1000, got {self.hours}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed must lie between 0 and 2^63 - 1, got {self.seed}")
        from drivewm_sim.roads.towns import load_town

        load_town(str(self.town))

    def _targets(self) -> str | None:
        from drivewm_eval.street.targets import TARGETS

        if self.targets or not self.town:
            return self.targets
        from drivewm_sim.roads.towns import load_town

        town_type = load_town(self.town).demand.town_type
        return town_type if town_type in TARGETS else "street"

    def _blurs(self) -> tuple[float, ...]:
        return (0.0, NOISE_M) if self.against else ()

    def _read(self, console: Console, recordings: list[Recording], blurs: Iterable[float]) -> _Seen:
        from rich.progress import Progress

        from drivewm_eval.street.table import observe

        seen = _Seen()
        with Progress(console=console, transient=True) as progress:
            for recording in progress.track(recordings, description="measuring"):
                seen.add(recording, observe(recording), blurs, side=0)
        return seen

    def _walks_of(self, recordings: list[Recording]) -> _Seen:
        seen = _Seen()
        for recording in recordings:
            seen.add_walks(recording, self._blurs(), side=1)
        return seen

    def _simulated(self, console: Console) -> _Seen:
        from rich.progress import Progress, TimeRemainingColumn

        from drivewm_eval.street.table import observe
        from drivewm_eval.street.watch import ticks_of, watch
        from drivewm_sim.roads.towns import load_town

        compile_simulator(console)
        seen, town = _Seen(), load_town(str(self.town))
        columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"watching {town.name}", total=ticks_of(self.hours))
            for stretch in watch(town, self.hours, self.seed, lambda n: progress.advance(task, n)):
                samples = observe(stretch.recording, stretch.ages, stretch.signalled)
                seen.add(stretch.recording, samples, self._blurs(), side=0)
        return seen

    def _chosen(self, recordings: list[Recording]) -> Recording:
        """The recording that is drawn."""
        chosen = next((r for r in recordings if self.scene in (None, r.scene)), None)
        if chosen is None:
            known = ", ".join(r.scene for r in recordings[:10])
            raise InputError(f"--scene {self.scene!r} is not in the data; there are {known}")
        length = float(chosen.t_s.max() - chosen.t_s.min()) if len(chosen.t_s) else 0.0
        if self.begin > length:
            raise InputError(
                f"--begin {self.begin:g}: {chosen.scene} lasts {length:.1f} s; choose an earlier moment"
            )
        return chosen

    def _draw(self, recording: Recording) -> None:
        from drivewm_eval.street.labels import label_column
        from drivewm_eval.topdown import moments_of_recording, write_film, write_sheet

        assert self.picture is not None
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


def tell_walks_apart(console: Console, ours: _Seen, others: _Seen) -> dict[str, Any]:
    """How well a classifier tells the walks of the two sides apart, and by what; prints it."""
    from drivewm_eval.street.two_sample import tell_apart
    from drivewm_eval.street.window_features import MOTION_FEATURES, NAMES, joined

    told: dict[str, Any] = {}
    for name, blur, features in (
        ("motion", 0.0, MOTION_FEATURES),
        ("motion, both blurred by 5 cm", NOISE_M, MOTION_FEATURES),
        ("motion and neighbours, both blurred by 5 cm", NOISE_M, len(NAMES)),
    ):
        verdict = tell_apart(joined(ours.walks[blur]), joined(others.walks[blur]), features=features)
        told[name] = asdict(verdict)
        console.print(f"told apart by {name}: AUC {shown(verdict.auc)} ({verdict.auc.count:,} windows)")
        by = [
            f"{i.name} {i.loss:.3f} ({i.shift:+.1f} sd)" for i in verdict.importance[:TOLD_BY] if i.loss > 0
        ]
        console.print(f"  most telling, AUC lost without (data less others): {', '.join(by)}")
    return told


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
