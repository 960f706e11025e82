"""drivewm evaluate: a model, a baseline or a forecast table against recorded futures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from drivewm.cli.figures import check_file, check_folder, terminal, write_json
from drivewm.cli.predict import check_every
from drivewm.cli.skipped import skip_notes
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

Room = Literal[
    "motion",
    "calibration",
    "consistency",
    "counterfactuals",
    "common-sense",
    "permanence",
    "hidden-people",
    "stability",
    "crossing",
    "degradation",
]
NAME_WIDTH = 17  # columns that names always have
MANY_SCENES = 30  # above this the table shows the average alone; --json has them all


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    data: tuple[Path, ...]
    """Folders (or files) of tracks tables or episodes."""
    weights: str | None = None
    """A shipped bundle by name, a bundle folder, or with --protocol the run folder of drivewm train."""
    baseline: Literal["cv", "kalman", "ctrv", "fan"] | None = None
    """Constant velocity, Kalman filter, constant turn rate and velocity, or a fan of six straight ways."""
    forecasts: tuple[Path, ...] = ()
    """One or two forecast tables (joint, marginal), as drivewm predict or anybody writes them."""
    protocol: Literal["eth-ucy", "eth-ucy-mp0", "scenes"] | None = None
    """eth-ucy: leave-one-out, windows with at least two complete agents, or (mp0) at least one. scenes: the
    fifth of each data set's scenes that drivewm train --protocol scenes leaves out."""
    kind: Literal["pedestrian", "cyclist", "vehicle"] | None = None
    """Score agents of this kind alone; everybody is forecast."""
    every: float = 0.4
    """Seconds between windows (without --protocol)."""
    rooms: tuple[Room, ...] = ()
    """Examine on episodes what --weights makes of what the car knew. motion: errors beside cv, Kalman and a
    fan (also without --weights); calibration: coverage, likelihood, mode probabilities; consistency: overlap,
    off road; counterfactuals: the answer to the ego's plan, on branches; common-sense: surprise at the
    impossible; permanence: who went out of sight; hidden-people: who has no track; stability: jitter, delay;
    crossing: how early one is known; degradation: errors under noise, drop-out and switched identities,
    beside cv (also without --weights)."""
    json: Path | None = None
    """Write the figures to this file."""
    report: Path | None = None
    """With --rooms: write report.html to this folder, one page with the tables, errors by horizon and by
    situation, reliability diagrams and the worst cases drawn."""

    def run(self) -> int:
        from rich.progress import Progress

        from drivewm.timing import TimeGrid
        from drivewm_datasets.store import read_recordings
        from drivewm_eval import evaluate as judge

        if self.rooms:
            return self._examine()
        if self.report:
            raise InputError("--report is a page of rooms; name some with --rooms")
        given = [bool(self.weights), bool(self.baseline), bool(self.forecasts)]
        if sum(given) != 1:
            raise InputError("give exactly one of --weights, --baseline and --forecasts")
        check_every(self.every)
        check_file("--json", self.json)
        recordings = read_recordings(list(self.data))
        grid = TimeGrid()
        if self.weights:
            entrant, grid = judge.weights_entrant(self.weights, self.protocol)
        elif self.baseline:
            entrant = judge.baseline_entrant(self.baseline, grid)
        else:
            entrant = judge.table_entrant(self.forecasts, grid)
        scenes = judge.scenes_of(recordings, self.protocol, grid, self.every, self.kind)
        console = terminal()
        with Progress(console=console) as progress:
            task = progress.add_task("scoring", total=None)

            def show(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            figures = judge.evaluate(scenes, entrant, grid, self.protocol, show)
        figures["notes"] += skip_notes(recordings)
        print_figures(console, figures)
        if self.json:
            write_json(self.json, figures)
        return 0

    def _examine(self) -> int:
        """The rooms: other questions, on episodes alone."""
        from rich.progress import Progress

        from drivewm.cli.rooms import print_rooms
        from drivewm_eval.motion_record import MotionRecord
        from drivewm_eval.room_report import write_room_report
        from drivewm_eval.rooms import examine, read_drives, subject_of

        if self.baseline or self.forecasts or self.protocol or self.kind:
            raise InputError("--rooms takes --weights, or nothing for the baselines; leave out the others")
        check_file("--json", self.json)
        if self.report:
            check_folder("--report", self.report)
        record = MotionRecord()
        subject = subject_of(self.weights)
        console = terminal()
        with Progress(console=console) as progress:
            task = progress.add_task("reading", total=None)

            def show(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            drives = read_drives(self.data, bev=subject.sees_grids, progress=show)
            at = progress.add_task("examining", total=len(self.rooms))

            def enter(room: str) -> None:
                progress.update(at, description=room, advance=0 if room == self.rooms[0] else 1)

            watcher = record if self.report else None
            figures = examine(drives, subject, self.rooms, enter, watcher)
            progress.update(at, completed=len(self.rooms))
        print_rooms(console, figures)
        if self.report:
            forecaster = subject.forecast if subject.model else None
            write_room_report(self.report / "report.html", figures, record, forecaster, subject.grid)
        if self.json:
            write_json(self.json, figures)
        return 0


RATES = {"NLL": "nll", "in 50 %": "cover50", "in 90 %": "cover90", "overlap": "overlap"}


def print_figures(console: Console, figures: dict[str, Any]) -> None:
    """The table of an evaluation: scenes, average, spread over seeds, constant velocity."""
    from rich.table import Table

    joint = figures["joint_modes"]
    errors_of = {  # column -> prefix of ade, fde
        f"best of {figures['candidates']}": "min",
        "joint" if joint is None else f"joint of {joint}": "joint_min",
        "most likely": "top1",
    }
    title = f"{figures['forecaster']} ({figures['protocol']}); ADE/FDE in metres"
    table = Table("", *errors_of, *RATES, "windows", "agents", title=title)
    # A long name takes more lines before a figure is cut; all of them need about 105 columns.
    table.columns[0].overflow = "fold"
    table.columns[0].min_width = NAME_WIDTH
    for column in table.columns[1:]:
        column.no_wrap = True

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    def row(name: str, summary: dict[str, Any]) -> None:
        errors = [
            f"{number(summary.get(f'{p}_ade'))}/{number(summary.get(f'{p}_fde'))}" for p in errors_of.values()
        ]
        rates = [number(summary.get(c)) for c in RATES.values()]
        table.add_row(
            name, *errors, *rates, str(summary.get("n_windows", "")), str(summary.get("n_agents", ""))
        )

    if len(figures["scenes"]) <= MANY_SCENES:
        for scene, summary in figures["scenes"].items():
            row(scene, summary)
        table.add_section()
    row("average", figures["average"])
    if figures["spread"]:
        row(f"sd, {figures['seeds']} seeds", figures["spread"])
    row("constant velocity", figures["constant_velocity"]["average"])
    console.print(table)
    gap = figures["top1_ade_minus_cv"]["average"]
    sure = (
        "too few windows for an interval"
        if gap["low"] is None
        else f"95 % interval {gap['low']:+.3f} to {gap['high']:+.3f} (paired, by blocks of windows)"
    )
    console.print(f"most likely ADE minus constant velocity (one mode): {gap['mean']:+.3f} m, {sure}")
    for note in figures["notes"]:
        console.print(f"note: {note}")
