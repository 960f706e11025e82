"""`drivewm collect`: simulate episodes in parallel and store them."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from drivewm.cli.figures import check_file, check_folder, write_json
from drivewm.errors import InputError

if TYPE_CHECKING:
    from drivewm_sim.collect import EpisodeJob
    from drivewm_sim.manifest import Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collect:
    """Simulate episodes in parallel and store them."""

    # How many episodes the collection has in the end.
    episodes: int
    # Folder for the episodes and manifest.json; must be empty or new unless --resume.
    out: Path
    # The world to collect in.
    backend: Literal["embedded", "carla"] = "embedded"
    # Towns, taken in turn.
    town: tuple[str, ...] = ("crossing",)
    # How busy it is, taken in turn: street, quiet, busy.
    scenario: tuple[str, ...] = ("street",)
    # Who drives the ego: rule keeps the rules, random changes its mind, mixed takes both in turn.
    policy: Literal["rule", "random", "mixed"] = "rule"
    # Longest episode in seconds; it ends earlier when the ego has driven through.
    seconds: float = 30.0
    # Processes; with more than one, ray actors if ray is installed.
    workers: int = 1
    # Decides every episode, whatever the number of workers.
    seed: int = 0
    # Keep finished episodes whose hash is right, make the others.
    resume: bool = False
    # Write the figures of the closing table to this file.
    json: Path | None = None

    def run(self) -> int:
        self._check()
        from drivewm_sim.manifest import Manifest, drop_damaged, read_manifest

        recipe = self._recipe()
        jobs = self._jobs()
        manifest = Manifest(recipe)
        if self.resume and self.out.exists() and any(self.out.iterdir()):
            from drivewm_sim.manifest import check_same_recipe

            manifest = read_manifest(self.out)
            check_same_recipe(manifest, recipe, self.out)
            damaged = drop_damaged(manifest, self.out, [job.name for job in jobs])
            if damaged:
                Console(stderr=True).print(f"damaged, collected again: {', '.join(damaged)}")
            for draft in self.out.glob(".*.draft"):  # of a run that was killed while writing
                shutil.rmtree(draft)
        self.out.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        made = self._collect([job for job in jobs if job.name not in manifest.episodes], manifest)
        self._report(manifest, made, time.perf_counter() - started)
        return 0

    def _check(self) -> None:
        """InputError on the first option that cannot be met, before anything is written."""
        if self.backend != "embedded":
            raise InputError(
                f"--backend {self.backend}: this version has only the embedded backend; use that"
            )
        for name in ("episodes", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not 0.5 <= self.seconds <= 3600:
            raise InputError(f"--seconds must lie between 0.5 and 3600, got {self.seconds}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed must lie between 0 and 2^63 - 1, got {self.seed}")
        if importlib.util.find_spec("numba") is None:
            raise InputError('pip install "drivewm[sim]" to simulate (numba is missing)')
        from drivewm_sim.scenarios import SCENARIOS
        from drivewm_sim.town import town_names

        for option, given, known in (
            ("--town", self.town, town_names()), ("--scenario", self.scenario, tuple(SCENARIOS))
        ):  # fmt: skip
            for name in given or ("",):
                if name not in known:
                    raise InputError(f"{option} {name!r} is unknown; there are {', '.join(known)}")
        check_folder("--out", self.out)
        check_file("--json", self.json)
        if self.out.is_dir() and any(self.out.iterdir()) and not self.resume:
            raise InputError(
                f"--out {self.out} is not empty; add --resume to continue it or name an empty folder"
            )

    def _recipe(self) -> dict[str, Any]:
        from drivewm import __version__

        fields = ("backend", "policy", "seconds", "seed")
        lists = {"town": list(self.town), "scenario": list(self.scenario)}
        return {name: getattr(self, name) for name in fields} | lists | {"version": __version__}

    def _jobs(self) -> list[EpisodeJob]:
        from drivewm_sim.collect import EpisodeJob
        from drivewm_sim.randomness import episode_seed
        from drivewm_sim.scenarios import SCENARIOS

        policies = ("rule", "random") if self.policy == "mixed" else (self.policy,)
        jobs = []
        for index in range(self.episodes):
            scenario = dataclasses.replace(
                SCENARIOS[self.scenario[index % len(self.scenario)]],
                town=self.town[index % len(self.town)],
                duration_s=self.seconds,
            )
            jobs.append(
                EpisodeJob(
                    name=f"seed{self.seed}_{index:06d}",
                    out=self.out,
                    scenario=scenario,
                    policy=policies[index % len(policies)],
                    seed=episode_seed(self.seed, index),
                )
            )
        return jobs

    def _collect(self, jobs: list[EpisodeJob], manifest: Manifest) -> int:
        """Makes the episodes, listing each as it is finished; gives back the frames made."""
        from drivewm_sim.embedded import compile_kernels
        from drivewm_sim.fleet import run_fleet

        manifest.write(self.out)
        if not jobs:
            return 0
        console = Console(stderr=True)
        with console.status("compiling the simulator (the first time only)"):
            compile_kernels()  # once, so that workers find it in the cache
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} frames/s"), TimeRemainingColumn(),
        )  # fmt: skip
        frames, started = 0, time.perf_counter()
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("episodes", total=len(jobs), rate=0.0)
            for result in run_fleet(jobs, self.workers):
                manifest.episodes[result.name] = result
                manifest.write(self.out)
                frames += result.frames
                progress.update(bar, advance=1, rate=frames / (time.perf_counter() - started))
        return frames

    def _report(self, manifest: Manifest, made: int, elapsed: float) -> None:
        episodes = list(manifest.episodes.values())
        events: dict[str, int] = {}
        for episode in episodes:
            for name, count in episode.events.items():
                events[name] = events.get(name, 0) + count
        figures = {
            "episodes": len(episodes),
            "frames": sum(e.frames for e in episodes),
            "agents": sum(e.agents for e in episodes),
            "seconds_simulated": round(sum(e.seconds for e in episodes), 6),
            "events": dict(sorted(events.items())),
            "frames_per_s": round(made / elapsed, 1),
            "hash_of_hashes": manifest.hash_of_hashes,
        }
        table = Table(title=f"collected in {self.out}", show_header=False)
        for name, value in figures.items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else f"{value}"
            table.add_row(name.replace("_", " "), shown)
        Console().print(table)
        if self.json:
            write_json(self.json, figures)
