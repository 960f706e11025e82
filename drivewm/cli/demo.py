"""`drivewm demo`: simulate a crossing, forecast it, compare with constant velocity, write a report."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivewm.cli.compiling import compile_simulator
from drivewm.cli.figures import check_file, check_folder, terminal, write_json
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from drivewm.checkpoint import Bundle
    from drivewm.types import Forecast
    from drivewm_eval.demo import Drive
    from drivewm_eval.draw import ReportFrame
    from drivewm_eval.scores import Summary

FURTHER_SEEDS = tuple(range(900_001, 900_009))
"""Crossings that are scored beside the one shown: one street for half a minute says little."""
FURTHER_S = 20.0
REPORT_STRIDE = 2  # simulated frames a frame of the page, which moves smoothly in between
TABLE_STRIDE = 4  # simulated frames a forecast of the table: 0.4 s, as drivewm predict
FPS = 10.0
LOWER_IS_BETTER = ("best of", "most likely", "joint", "NLL")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Simulate a crossing, forecast everybody in it, and compare with constant velocity."""

    out: Path = Path("demo")
    """Folder for report.html, demo.gif, forecasts.parquet and the episode; its own files are replaced."""
    weights: str = "nano"
    """A shipped bundle by name, or a bundle folder."""
    seed: int = 27
    """Decides the crossing that is shown."""
    seconds: float = 24.0
    """Length of what is shown; it ends earlier where the ego has driven through."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        self._check()
        import torch
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from drivewm.checkpoint import load_bundle

        bundle = load_bundle(self.weights)
        torch.set_num_threads(1)  # the model is small: threads would cost more than they give
        console = terminal()
        compile_simulator(console)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            shown, groups = self._run(bundle, progress)
        figures = self._figures(bundle, shown, groups)
        _print(console, figures, bundle)
        for name in ("report.html", "demo.gif", "forecasts.parquet", "episode"):
            console.print(f"{self.out / name}", highlight=False, soft_wrap=True)
        if self.json:
            write_json(self.json, figures)
        return 0

    def _check(self) -> None:
        """InputError on what cannot be met, before anything is made."""
        from drivewm_datasets.episode import EPISODE_FILE

        if not 1 <= self.seconds <= 120:
            raise InputError(f"--seconds must lie between 1 and 120, got {self.seconds:g}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed must lie between 0 and 2^63 - 1, got {self.seed}")
        check_folder("--out", self.out)
        check_file("--json", self.json)
        if (self.out / "episode").exists() and not (self.out / "episode" / EPISODE_FILE).is_file():
            raise InputError(f"{self.out / 'episode'} exists and is no episode; name another --out")
        for module, extra in (("numba", "sim"), ("PIL", "eval")):
            if importlib.util.find_spec(module) is None:
                raise InputError(f'pip install "drivewm[{extra}]" for the demo ({module} is missing)')

    def _run(self, bundle: Bundle, progress: Progress) -> tuple[Drive, dict[str, dict[str, Summary]]]:
        """Does all the work and writes all files but the figures."""
        from drivewm.forecaster import TorchForecaster
        from drivewm.history import EXACT_S
        from drivewm_datasets.episode import write_episode
        from drivewm_eval.demo import compare, drive, forecast_all, labels_of
        from drivewm_eval.replay import replay

        forecaster = TorchForecaster(bundle)
        grid = forecaster.grid
        lead = grid.ages[-1]  # the replay begins when everybody has a past
        lengths = {self.seed: lead + self.seconds + grid.horizons[-1]}
        lengths |= {seed: FURTHER_S for seed in FURTHER_SEEDS if seed != self.seed}
        drives = [drive(s, length) for s, length in progress.track(lengths.items(), description="simulating")]
        shown, recordings = drives[0], [d.recording for d in drives]
        first, last = lead - EXACT_S, lead + self.seconds + EXACT_S
        times = [t for t in shown.recording.frame_times.tolist() if first <= t <= last]
        task = progress.add_task("forecasting", total=len(times))
        scenes, forecasts = forecast_all(
            shown.recording, times, forecaster, grid, lambda n: progress.update(task, advance=n)
        )
        frames = replay(shown.recording, scenes, forecasts, grid, labels_of(shown.episode))
        scoring = progress.add_task("comparing with constant velocity", total=len(recordings))
        groups = compare(recordings, forecaster, grid, lambda n: progress.update(scoring, advance=n))
        write_episode(self.out / "episode", shown.episode)
        self._write_forecasts(shown, forecasts[::TABLE_STRIDE])
        drawing = progress.add_task("drawing", total=len(frames))
        self._draw(bundle, shown, frames, groups, lambda n: progress.update(drawing, advance=n))
        return shown, groups

    def _write_forecasts(self, shown: Drive, forecasts: list[Forecast]) -> None:
        from drivewm.forecast_table import ForecastWriter

        name = shown.recording.name
        with ForecastWriter(
            self.out / "forecasts.parquet", "joint", len(forecasts[0].mode_probability)
        ) as writer:
            writer.write([(forecast, *name) for forecast in forecasts])

    def _draw(
        self,
        bundle: Bundle,
        shown: Drive,
        frames: list[ReportFrame],
        groups: dict[str, dict[str, Summary]],
        advance: Any,
    ) -> None:
        from drivewm import __version__
        from drivewm_eval.animation import write_animation
        from drivewm_eval.demo import view_of_crossing
        from drivewm_eval.report import Report, write_report

        road_map = shown.recording.road_map
        view = view_of_crossing(road_map)
        rows = {
            group: {_name(who, bundle): _named(figures, bundle) for who, figures in predictors.items()}
            for group, predictors in groups.items()
        }
        columns = {column for predictors in rows.values() for row in predictors.values() for column in row}
        report = Report(
            title="A simulated crossing, forecast",
            summary=f"{_what_happened(shown)} At every moment the model forecasts all of them together, "
            f"{bundle.model.config.grid.horizons[-1]:g} s ahead, from their tracks and the map.",
            frames=frames[::REPORT_STRIDE],
            road_map=road_map,
            metrics={},
            by_group=rows,
            better={column: "low" for column in columns if column.startswith(LOWER_IS_BETTER)},
            metrics_note=_note(self.seed),
            made={
                "Command": f"drivewm demo --seed {self.seed} --seconds {self.seconds:g} "
                f"--weights {self.weights}",
                "Model": f"{bundle.name}, {bundle.hash[:16]}",
                "Version": f"drivewm {__version__}",
                "Ego": "drives by rules, without looking at the forecasts",
            },
            limits=LIMITS,
            view=view,
        )
        write_report(self.out / "report.html", report)
        write_animation(self.out / "demo.gif", frames, road_map, fps=FPS, view=view, advance=advance)

    def _figures(self, bundle: Bundle, shown: Drive, groups: dict[str, dict[str, Summary]]) -> dict[str, Any]:
        return {
            "bundle": bundle.name,
            "hash": bundle.hash,
            "seed": self.seed,
            "further_seeds": list(FURTHER_SEEDS),
            "events": dict(sorted(shown.events.items())),
            "groups": groups,
        }


LIMITS = (
    "The street and its people are simulated, by a later form of the simulator the model was trained on: "
    "the figures say nothing of a real street. The model makes many guesses and constant velocity one, so "
    "the best of many flatters the model; most likely and NLL compare like with like. Windows overlap in "
    "time and are not independent. The ego is forecast like everybody else; the model does not know its plan."
)


def _note(seed: int) -> str:
    from drivewm_eval.demo import SCORE_EVERY_S

    further = len(set(FURTHER_SEEDS) - {seed})
    return (
        "Errors are averages over time (ADE) and at the end (FDE), in metres. Measured every "
        f"{SCORE_EVERY_S:g} s on the crossing shown (seed {seed}) and on {further} others of "
        f"{FURTHER_S:g} s (seeds {FURTHER_SEEDS[0]} to {FURTHER_SEEDS[-1]}), over everybody with two "
        "positions of history and a known future. At the roadway: in a lane or within half a metre of one at "
        "the moment of the forecast."
    )


def _what_happened(shown: Drive) -> str:
    crossed, yielded = shown.events["crossing_started"], shown.events["yield"]
    people = "one person sets" if crossed == 1 else f"{crossed} people set"
    drivers = "once" if yielded == 1 else f"{yielded} times"
    return f"{people[0].upper()}{people[1:]} out across the street and drivers give way {drivers}."


def _name(who: str, bundle: Bundle) -> str:
    return f"drivewm {bundle.name}" if who == "model" else who


def _named(figures: Summary, bundle: Bundle) -> dict[str, float]:
    """The figures of the table by the names of its columns."""
    config = bundle.model.config
    columns = {
        f"best of {config.candidates} ADE": "min_ade",
        f"best of {config.candidates} FDE": "min_fde",
        f"joint of {config.joint_modes} ADE": "joint_min_ade",
        f"joint of {config.joint_modes} FDE": "joint_min_fde",
        "most likely ADE": "top1_ade",
        "most likely FDE": "top1_fde",
        "NLL, nats": "nll",
        "in 90 %": "cover90",
        "agents": "n_agents",
    }
    return {column: value for column, name in columns.items() if (value := figures[name]) is not None}


def _print(console: Console, figures: dict[str, Any], bundle: Bundle) -> None:
    from rich.table import Table

    config = bundle.model.config
    pairs = {
        f"best of {config.candidates}": ("min_ade", "min_fde"),
        f"joint of {config.joint_modes}": ("joint_min_ade", "joint_min_fde"),
        "most likely": ("top1_ade", "top1_fde"),
    }
    table = Table("", "", *pairs, "NLL", "in 90 %", "agents", title="ADE/FDE in metres")
    for group, predictors in figures["groups"].items():
        for place, (who, row) in enumerate(predictors.items()):
            errors = [f"{row[ade]:.3f}/{row[fde]:.3f}" for ade, fde in pairs.values()]
            rest = [f"{row['nll']:.3f}", f"{row['cover90']:.3f}", f"{row['n_agents']:,}"]
            table.add_row("" if place else group, _name(who, bundle), *errors, *rest)
        table.add_section()
    console.print(table)
    console.print(_note(figures["seed"]), highlight=False)
