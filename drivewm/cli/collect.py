"""`drivewm collect`: simulate episodes in parallel and store them."""

from __future__ import annotations

import dataclasses
import importlib.util
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from drivewm.cli.compiling import compile_simulator
from drivewm.cli.figures import check_file, check_folder, write_json
from drivewm.errors import InputError

if TYPE_CHECKING:
    from drivewm_sim.carla_client.servers import Source
    from drivewm_sim.collect import EpisodeJob, EpisodeResult
    from drivewm_sim.fleet import Fleet
    from drivewm_sim.manifest import Manifest, ManifestWriter

MIXED = ("rule", "random", "held", "planner")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A collection that may begin or go on."""

    out: Path
    jobs: list[EpisodeJob]  # still missing
    manifest: Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collect:
    """Simulate episodes in parallel and store them."""

    # Folder for the episodes and manifest.json; must be empty or new unless --resume.
    out: Path
    # How many episodes the collection has in the end; needed unless --split decides it.
    episodes: int | None = None
    # Collect a frozen split instead: train, random, circles, fresh, fresh-circles, validation, school,
    # roundabout or seen. It decides towns, scenarios, seeds, policies, sensors, branches; each town goes
    # into a folder of its own below --out.
    split: str | None = None
    # Where the towns of random, circles, fresh and fresh-circles are, drawn at random and not shipped.
    towns: Path | None = None
    # The world to collect in.
    backend: Literal["embedded", "carla"] = "embedded"
    # Where the CARLA 0.9.16 servers of --backend carla are, one for each worker ...
    host: tuple[str, ...] = ("127.0.0.1",)
    # ... and their RPC ports: as many as hosts, or one for all hosts, or several on one host.
    port: tuple[int, ...] = (2000,)
    # Instead of these: a command that starts a server, with {port} where its RPC port goes. Every worker
    # starts one on its own machine, on free ports from the first --port on, and ends it.
    launch: str | None = None
    # Episodes after which a worker and the server that it has started are replaced by fresh ones; 0: never.
    recycle: int = 50
    # Seconds after which a call or a tick that a server does not answer counts as hung.
    server_timeout: float = 60.0
    # How vehicles move there: velocity sets wheel and speed; pedals wheel, throttle and brake; placed puts
    # them where the street has them; traffic-manager leaves them to CARLA's Traffic Manager.
    driving: Literal["velocity", "pedals", "placed", "traffic-manager"] = "velocity"
    # Towns, taken in turn: arterial, crossing, grid, plaza, roundabout, school, or an OpenDRIVE file (.xodr,
    # .xodr.gz) with its sidecar (.json) beside it; with --backend carla also a map of the server's, such as
    # Town10HD, or "current" for the one that it has loaded.
    town: tuple[str, ...] = ("crossing",)
    # How busy it is, or what is staged on the ego's way, taken in turn: street, quiet, busy, dart_out,
    # jaywalk, distracted, turn_back, group_split, hesitation, turning, bus_runner, cyclist_conflict,
    # red_walker, hidden_crosser, slow_finisher. Towns turn fastest, then policies, then scenarios.
    scenario: tuple[str, ...] = ("street",)
    # Who drives the ego: rule keeps the rules; random changes its mind; held holds one of five plans (keep,
    # brake, creep, accelerate, swerve) for seconds at a time; planner tries these plans against a forecast;
    # mixed takes all four in turn.
    policy: Literal["rule", "random", "held", "planner", "mixed"] = "rule"
    # The bundle whose forecasts the planner asks for, a folder or a name; without one, constant velocity.
    predictor: str | None = None
    # What the ego perceives: none: everybody within 60 m, exactly; tracks: what a tracker model makes of a
    # simulated lidar; images: the same, and range images and bird's-eye grids are stored.
    sensors: Literal["none", "tracks", "images"] = "tracks"
    # Moments of each episode from which the five plans are tried, stored beside it as counterfactuals.
    branches: int = 0
    # Seconds that a branch lasts.
    branch_seconds: float = 4.8
    # At each of these moments also repeat the recording, and stop if it does not come out the same.
    verify: bool = False
    # Longest episode in seconds; it ends earlier when the ego has driven through.
    seconds: float = 30.0
    # Processes that make episodes at the same time.
    workers: int = 1
    # What they are: ray actors, plain processes, or auto: ray where installed; one alone is this process.
    engine: Literal["auto", "ray", "processes"] = "auto"
    # A Ray cluster that runs already: host:port, or auto for the one of this machine. It must see --out by
    # the same path. Without it Ray runs on this machine alone.
    address: str | None = None
    # Seconds after which an episode counts as hung: its worker is replaced and the episode begun again, three
    # times in all. By default 600 s and 20 times the seconds simulated. One worker alone is not watched.
    time_limit: float | None = None
    # Decides every episode, whatever the number of workers.
    seed: int = 0
    # Keep finished episodes whose hash is right, make the others.
    resume: bool = False
    # Write the figures of the closing table to this file.
    json: Path | None = None

    def run(self) -> int:
        if self.towns is not None and self.split is None:
            raise InputError("--towns is for --split; name a file with --town TOWN.xodr instead")
        if self.split is not None:
            from drivewm.cli.collect_split import collect_split

            return collect_split(self)
        self.check()
        figures = self.make()
        table = Table(title=f"collected in {self.out}", show_header=False)
        for name, value in figures.items():
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else f"{value}"
            table.add_row(name.replace("_", " "), shown)
        Console().print(table)
        if self.json:
            write_json(self.json, figures)
        return 0

    def make(self) -> dict[str, Any]:
        """Collects what is still missing; gives back the figures of the whole collection."""
        return self.make_all([self])[0]

    def make_all(self, collections: Sequence[Collect]) -> list[dict[str, Any]]:
        """Collects these, of one kind, with the workers of this one; the figures of each."""
        prepared = [collection._prepare() for collection in collections]
        started = time.perf_counter()
        with _sigterm_as_interrupt():
            made = self._collect(prepared)
        elapsed = time.perf_counter() - started if len(prepared) == 1 else None
        return [_figures(p.manifest, m, elapsed) for p, m in zip(prepared, made, strict=True)]

    def _prepare(self) -> Prepared:
        """What is still missing, beside what the folder holds already."""
        from drivewm_sim.manifest import Manifest, clear_drafts, drop_damaged, read_manifest

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
            clear_drafts(self.out)
        self.out.mkdir(parents=True, exist_ok=True)
        missing = [job for job in jobs if job.name not in manifest.episodes]
        return Prepared(out=self.out, jobs=missing, manifest=manifest)

    def check(self) -> None:
        """InputError on the first option that cannot be met, before anything is written."""
        if self.episodes is None:
            raise InputError("--episodes is missing: say how many, or name a frozen --split")
        for name in ("episodes", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.recycle < 0:
            raise InputError(f"--recycle must not be negative, got {self.recycle}")
        if self.branches < 0:
            raise InputError(f"--branches must not be negative, got {self.branches}")
        if not 0.1 <= self.branch_seconds <= 60:
            raise InputError(f"--branch-seconds must lie between 0.1 and 60, got {self.branch_seconds}")
        if self.verify and not self.branches:
            raise InputError("--verify repeats the recording from the moments of --branches; ask for some")
        if self.branches and self.branch_seconds > self.seconds:
            raise InputError(
                f"--branch-seconds {self.branch_seconds:g} is longer than an episode of {self.seconds:g} s; "
                "a moment needs a recorded future: ask for shorter branches or a larger --seconds"
            )
        if self.time_limit is not None and not self.time_limit > 0:
            raise InputError(f"--time-limit must be positive seconds, got {self.time_limit}")
        if self.address is not None and self.engine == "processes":
            raise InputError("--address is for Ray; leave out --engine processes")
        if "ray" in (self.engine, self.address and "ray") and importlib.util.find_spec("ray") is None:
            raise InputError('pip install "drivewm[sim]" for --engine ray and --address (ray is missing)')
        if self.predictor is not None and self.policy not in ("planner", "mixed"):
            raise InputError("--predictor is what --policy planner asks; add that policy or leave it out")
        if not 0.5 <= self.seconds <= 3600:
            raise InputError(f"--seconds must lie between 0.5 and 3600, got {self.seconds}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed must lie between 0 and 2^63 - 1, got {self.seed}")
        if importlib.util.find_spec("numba") is None:
            raise InputError('pip install "drivewm[sim]" to simulate (numba is missing)')
        self._predictor_hash()
        from drivewm_sim.roads.towns import load_town
        from drivewm_sim.scenarios import SCENARIOS

        self._check_fits_backend()
        if self.backend == "carla":
            self._check_server()
        for name in self.town or ("",) if self.backend == "embedded" else ():
            load_town(name)
        for name in self.scenario or ("",):
            if name not in SCENARIOS:
                raise InputError(f"--scenario {name!r} is unknown; there are {', '.join(SCENARIOS)}")
        if self.address is not None:
            from drivewm_sim.workers import check_address

            check_address(self.address)
        check_folder("--out", self.out)
        check_file("--json", self.json)
        if self.out.is_dir() and any(self.out.iterdir()) and not self.resume:
            raise InputError(
                f"--out {self.out} is not empty; add --resume to continue it or name an empty folder"
            )

    def _check_fits_backend(self) -> None:
        """InputError where an option would be ignored."""
        given = {f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        if self.backend == "carla":
            useless = ({"host"} if self.launch else {"recycle"}) & given
            why = "--launch starts servers on this machine" if self.launch else "only --launch starts any"
        else:
            useless = {"host", "port", "launch", "recycle", "server_timeout", "driving"} & given
            why = "there is no server with --backend embedded"
        if useless:
            name = min(useless).replace("_", "-")
            raise InputError(f"--{name} has no effect here: {why}; leave it out or choose otherwise")

    def _check_server(self) -> None:
        """InputError where no server can be used; its towns are checked when they are loaded."""
        from drivewm.cli.carla_sources import check_sources

        if self.branches:
            raise InputError("--branches: a CARLA server cannot go back in time; use --backend embedded")
        check_sources(self._sources(), local=self.address is None)

    def _sources(self) -> tuple[Source, ...]:
        if self.backend != "carla":
            return ()
        from drivewm.cli.carla_sources import carla_sources

        return carla_sources(self.host, self.port, self.launch, self.server_timeout, self.workers)

    def _recipe(self) -> dict[str, Any]:
        from drivewm import __version__

        fields = ("backend", "policy", "sensors", "seconds", "seed", "branches", "branch_seconds")
        from drivewm_sim.collect import recipe_town

        towns = [recipe_town(name, self.backend) for name in self.town]
        lists = {"town": towns, "scenario": list(self.scenario)}
        named = {"predictor": self._predictor_hash(), "version": __version__}
        if self.backend == "carla":
            named["driving"] = self.driving
        return {name: getattr(self, name) for name in fields} | lists | named

    def _predictor_hash(self) -> str | None:
        """The bundle's hash, not its path: that is what decides an episode."""
        if self.predictor is None:
            return None
        from drivewm.bundle import find_bundle, read_config

        return str(read_config(find_bundle(self.predictor))["hash"])

    def _predictor_path(self) -> str | None:
        """The bundle as workers find it, wherever they run."""
        if self.predictor is None:
            return None
        from drivewm.bundle import find_bundle

        return str(find_bundle(self.predictor).absolute())

    def _jobs(self) -> list[EpisodeJob]:
        from drivewm_sim.branches import Branching
        from drivewm_sim.collect import EpisodeJob
        from drivewm_sim.randomness import episode_seed
        from drivewm_sim.scenarios import SCENARIOS

        policies = MIXED if self.policy == "mixed" else (self.policy,)
        branching = Branching(moments=self.branches, horizon_s=self.branch_seconds, verify=self.verify)
        predictor = self._predictor_path()
        jobs = []
        for index in range(self.episodes or 0):
            # Towns turn fastest, then policies, then scenarios: so every one of each meets every other.
            later, town = divmod(index, len(self.town))
            later, policy = divmod(later, len(policies))
            scenario = dataclasses.replace(
                SCENARIOS[self.scenario[later % len(self.scenario)]],
                town=self._town(self.town[town]),
                duration_s=self.seconds,
            )
            jobs.append(
                EpisodeJob(
                    name=f"seed{self.seed}_{index:06d}",
                    out=self.out.absolute(),  # a worker may have another working directory
                    scenario=scenario,
                    policy=policies[policy],
                    seed=episode_seed(self.seed, index),
                    branching=branching,
                    predictor=predictor,
                    sensors=self.sensors,
                    driving=self.driving,
                )
            )
        return jobs

    def _town(self, name: str) -> str:
        from drivewm_sim.roads.towns import town_path

        # A server's own towns have names, no paths.
        return town_path(name) if self.backend == "embedded" or name.endswith((".xodr", ".xodr.gz")) else name

    def _fleet(self, jobs: list[EpisodeJob], tell: Callable[[str], None]) -> Fleet:
        from drivewm_sim.fleet import Fleet

        job = jobs[0]
        moments = job.branching.moments * (len(job.branching.plans) + self.verify)
        simulated = job.scenario.warm_up_s + job.scenario.duration_s + moments * job.branching.horizon_s
        limit = 600.0 + 20.0 * simulated if self.time_limit is None else self.time_limit
        return Fleet(
            workers=self.workers, engine=self.engine, address=self.address, time_limit_s=limit,
            sources=self._sources(), recycle=self.recycle if self.launch else 0, tell=tell,
        )  # fmt: skip

    def _collect(self, prepared: Sequence[Prepared]) -> list[list[EpisodeResult]]:
        """Makes the episodes, listing each as it is finished; gives back those made now, by collection."""
        from drivewm_sim.fleet import run_fleet
        from drivewm_sim.manifest import ManifestWriter, clear_drafts

        writers = [ManifestWriter(p.manifest, p.out) for p in prepared]
        jobs = [job for p in prepared for job in p.jobs]
        at = {job.name: index for index, p in enumerate(prepared) for job in p.jobs}
        made: list[list[EpisodeResult]] = [[] for _ in prepared]
        if not jobs:
            _flush(writers)
            return made
        console = Console(stderr=True)
        compile_simulator(console)  # once, so that workers find it in the cache
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} frames/s"), TimeRemainingColumn(),
        )  # fmt: skip
        frames, started = 0, time.perf_counter()
        _flush(writers)  # not before: who interrupts the compiling has begun nothing
        try:
            with (
                Progress(*columns, console=console) as progress,
                closing(run_fleet(jobs, self._fleet(jobs, progress.console.print))) as fleet,
            ):
                bar = progress.add_task("episodes", total=len(jobs), rate=0.0)
                for result in fleet:
                    writers[at[result.name]].add(result)
                    made[at[result.name]].append(result)
                    frames += result.frames + result.branch_frames
                    progress.update(bar, advance=1, rate=frames / (time.perf_counter() - started))
        except KeyboardInterrupt:
            finished = sum(len(p.manifest.episodes) for p in prepared)
            console.print(f"{finished} episodes are finished; --resume makes the others")
            raise
        finally:
            _flush(writers)
            for p, writer in zip(prepared, writers, strict=True):
                clear_drafts(p.out)  # of workers that were ended while writing
                writer.withdraw()  # so that a corrected command can begin in the same folder
        return made


def _flush(writers: Sequence[ManifestWriter]) -> None:
    for writer in writers:
        writer.flush()


def _figures(manifest: Manifest, made: list[EpisodeResult], elapsed: float | None) -> dict[str, Any]:
    """What a collection holds, and what making those episodes took that were made now.

    `elapsed` (s) is None where others were made between them.
    """
    episodes = list(manifest.episodes.values())
    events: dict[str, int] = {}
    for episode in episodes:
        for name, count in episode.events.items():
            events[name] = events.get(name, 0) + count
    return {
        "episodes": len(episodes),
        "frames": sum(e.frames for e in episodes),
        "agents": sum(e.agents for e in episodes),
        "seconds_simulated": round(sum(e.seconds for e in episodes), 6),
        "events": dict(sorted(events.items())),
        "branches": sum(e.branches for e in episodes),
        "retries": sum(e.retries for e in made),
        **({} if elapsed is None else {"frames_per_s": _rate(made, elapsed)}),
        "cpu_ms_per_frame": _cost(made),
        "hash_of_hashes": manifest.hash_of_hashes,
    }


def _rate(made: list[EpisodeResult], elapsed: float) -> float:
    return round(sum(e.frames + e.branch_frames for e in made) / elapsed, 1)


def _cost(made: list[EpisodeResult]) -> dict[str, float]:
    """CPU milliseconds a frame, branches' frames among them, by what they were spent on."""
    frames = sum(e.frames + e.branch_frames for e in made)
    spent: dict[str, float] = {}
    for episode in made:
        for what, seconds in episode.cpu_s.items():
            spent[what] = spent.get(what, 0.0) + seconds
    return {what: round(1e3 * seconds / frames, 3) for what, seconds in spent.items()}


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does: workers are ended, what is finished is listed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
