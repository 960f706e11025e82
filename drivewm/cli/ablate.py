"""drivewm ablate: train without one part at a time, and see what each of them is worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from drivewm.cli.figures import check_file, check_folder, terminal, write_json
from drivewm.cli.train import check_seeds
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from drivewm_eval.ablation_runs import Ablation

COLUMNS = {  # figure -> head, unit, digits
    "pedestrians_joint_min_ade": ("pedestrians\njoint minADE", 1.0, 3),
    "pedestrians_top1_fde": ("pedestrians\nmost likely FDE", 1.0, 3),
    "vehicles_joint_min_ade": ("vehicles\njoint minADE", 1.0, 3),
    "vehicles_top1_fde": ("vehicles\nmost likely FDE", 1.0, 3),
    "counterfactual_gain": ("gain by the\nplan (%)", 100.0, 1),
    "unaffected_p95_m": ("unaffected,\np95 (cm)", 100.0, 1),
    "pedestrians_jitter_m": ("pedestrians'\njitter", 1.0, 2),
    "vehicles_jitter_m": ("vehicles'\njitter", 1.0, 2),
    "effective_rank": ("effective\nrank", 1.0, 1),
}


@dataclass(frozen=True, kw_only=True)
class Ablate:
    data: tuple[Path, ...]
    """Folders of episodes to learn from."""
    validation: tuple[Path, ...]
    """Folders of episodes that choose the learning rate of each arm and the checkpoint of each run."""
    test: tuple[Path, ...]
    """Folders of episodes, with branches, on which the kept runs are judged."""
    out: Path
    """Folder of all runs: OUT/ARM/rate_R/seedN, each a bundle and its figures.json."""
    preset: Literal["nano", "base"] = "nano"
    """What is taken apart."""
    arms: tuple[str, ...] = ()
    """What is left out: map, bev, plan, branches, latent (with the guard against collapse), collapse, steady;
    whole (nothing) is always among them. Default: all that the preset has."""
    steps: int | None = None
    """Optimisation steps of every run; default 1500 (nano), 800 (base)."""
    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates, swept on the first seed; the one with the least validation error trains the others."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which figures are averaged."""
    minutes: float = 15.0
    """CPU minutes that a run may take. A longer one is finished too, and named at the end (status 1)."""
    jobs: int = 2
    """Runs side by side, one thread each."""
    resume: bool = False
    """Go on where OUT stands; finished runs stay as they are."""
    json: Path | None = None
    """Write the figures to this file, the sweep and every run included."""

    def run(self) -> int:
        from rich.progress import Progress

        from drivewm_eval.ablation_runs import ablate, check_parts, read_episodes

        plan = self._plan()
        console = terminal()
        # Runs are forked: no thread may be drawing meanwhile.
        with Progress(console=console, auto_refresh=False) as progress:
            reading = progress.add_task("reading", total=None)

            def read(done: int, total: int) -> None:
                progress.update(reading, completed=done, total=total, refresh=True)

            episodes = read_episodes(self.data, self.validation, self.test, preset=self.preset, progress=read)
            check_parts(plan.arms, episodes)
            training = progress.add_task("training", total=plan.trained_steps)
            reached: dict[str, int] = {}

            def show(label: str, step: int) -> None:
                reached[label] = max(step, reached.get(label, 0))
                doing = "judging" if step == plan.steps else "training"
                progress.update(
                    training, completed=sum(reached.values()), description=f"{doing} {label}", refresh=True
                )

            figures = ablate(plan, episodes, show)
        print_ablation(console, figures)
        if self.json:
            write_json(self.json, figures)
        for line in figures["complaints"]:
            print(f"error: {line}", file=sys.stderr)
        return 1 if figures["complaints"] else 0

    def _plan(self) -> Ablation:
        """What is to be done. InputError before anything is read or written."""
        from drivewm_eval.ablation import ARMS, STEPS, WHOLE, arms_of
        from drivewm_eval.ablation_runs import Ablation

        check_folder("--out", self.out)
        check_file("--json", self.json)
        if self.out.exists() and any(self.out.iterdir()) and not self.resume:
            raise InputError(
                f"{self.out} is not empty; pass --resume to go on with it, or name another --out"
            )
        self._check_numbers()
        have = arms_of(self.preset)
        for arm in self.arms:
            if arm not in ARMS:
                raise InputError(f"--arms {arm!r} is unknown; there are {', '.join(ARMS)}")
            if arm not in have:
                raise InputError(f"--arms {arm}: the preset {self.preset} does not have it; leave it out")
        return Ablation(
            preset=self.preset,
            arms=tuple(dict.fromkeys((WHOLE, *self.arms))) if self.arms else have,
            rates=self.rates,
            seeds=self.seeds,
            steps=STEPS[self.preset] if self.steps is None else self.steps,
            minutes=self.minutes,
            out=self.out,
            jobs=self.jobs,
        )

    def _check_numbers(self) -> None:
        check_seeds(self.seeds)
        for name, value in (("steps", self.steps), ("jobs", self.jobs)):
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, got {value}")
        if not self.minutes > 0:
            raise InputError(f"--minutes must be positive, got {self.minutes:g}")
        if not self.rates:
            raise InputError("--rates must name at least one learning rate")
        for rate in self.rates:
            if not 0 < rate < 1:
                raise InputError(f"--rates must lie between 0 and 1, got {rate:g}")
        if len({f"{rate:g}" for rate in self.rates}) < len(self.rates):
            raise InputError("--rates names a rate twice (six digits count); name each once")


def print_ablation(console: Console, figures: dict[str, Any]) -> None:
    """The table: an arm a row, mean and standard deviation over seeds, below it what it is less the whole."""
    from rich.table import Table

    about = figures["episodes"]
    title = (
        f"{figures['preset']} without one part at a time, {figures['steps']} steps: mean ± sd over seeds, "
        f"below it less the whole; errors in metres; {about['test']} episodes of "
        + ", ".join(about["test_towns"])
    )
    heads = [head for head, *_ in COLUMNS.values()]
    table = Table("without", *heads, "rate", "CPU min", title=title, pad_edge=False)
    table.columns[0].no_wrap = True
    for arm, row in figures["arms"].items():
        table.add_row("nothing" if arm == "whole" else arm, *_cells(arm, row, figures["complaints"]))
    straight = figures["constant_velocity"] or {}
    table.add_section()
    table.add_row(
        "constant\nvelocity",
        *(
            "-" if straight.get(name) is None else f"{straight[name] * unit:.{digits}f}"
            for name, (_, unit, digits) in COLUMNS.items()
        ),
    )
    console.print(table)
    for note in figures["notes"]:
        console.print(f"note: {note}")


def _cells(arm: str, row: dict[str, Any], complaints: Sequence[str]) -> list[str]:
    """The figures of an arm, its learning rate with the seeds that came out, its CPU minutes."""
    cells = []
    for name, (_, unit, digits) in COLUMNS.items():
        lines = [_spread(row["figures"].get(name), unit, digits, "")]
        if arm != "whole":
            lines.append(_spread(row["minus_whole"].get(name), unit, digits, "+"))
        cells.append("\n".join(lines))
    rate = "-" if row["rate"] is None else f"{row['rate']:g}"
    minutes = row["cpu_minutes"]
    spent = "-" if minutes is None else f"{minutes['mean']:.1f}\nmax {max(minutes['values']):.1f}"
    mark = " !" if any(line.startswith(f"{arm} ") for line in complaints) else ""
    return [*cells, f"{rate}\n{len(row['seeds'])} seeds", spent + mark]


def _spread(value: dict[str, Any] | None, unit: float, digits: int, sign: str) -> str:
    if value is None:
        return "-"
    spread = "" if value["sd"] is None else f" ± {value['sd'] * unit:.{digits}f}"
    return f"{value['mean'] * unit:{sign}.{digits}f}{spread}"
