"""drivewm bench: how fast the simulator is, and whether its streets last."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from drivewm.cli.compiling import compile_simulator
from drivewm.cli.figures import check_file, terminal, write_json
from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from drivewm_eval.bench.carla_speed import CarlaSpeed, TickSpeed
    from drivewm_eval.bench.endurance import Endurance
    from drivewm_eval.bench.simulator import SimulatorSpeed
    from drivewm_sim.carla_client.connection import Server

TRAIN_AGENTS = 32


@dataclass(frozen=True, kw_only=True)
class Bench:
    what: tyro.conf.Positional[Literal["simulator", "endurance", "train"]]
    """simulator: its speed on one core, as a whole and part by part, with 45 vehicles and 100 pedestrians.
    endurance: contacts, limits, stops and served traffic over hours without an ego. train: scenes a second
    that a preset learns from, made-up ones with 32 agents, the map and (base) the bird's-eye grid."""
    preset: Literal["nano", "base"] = "base"
    """What train trains."""
    threads: int = 0
    """Threads of train; 0: one a processor."""
    backend: Literal["embedded", "carla"] = "embedded"
    """carla: simulator measures a CARLA 0.9.16 server with 30 vehicles and 60 walkers, without and with a
    lidar. It is a stand-in started for it, unless --host or --port name one."""
    host: str | None = None
    """Where a CARLA server is that runs already (default 127.0.0.1, where only --port is given)."""
    port: int | None = None
    """Its RPC port (default 2000, where only --host is given)."""
    town: tuple[str, ...] = ()
    """Towns, or .xodr files (default: grid for simulator, all shipped towns for endurance). A CARLA server
    that is named loads its own town of that name (default: the one that is loaded)."""
    seconds: float = 120.0
    """Simulated seconds over which simulator measures; seconds that train takes."""
    hours: float = 1.0
    """Simulated hours that endurance runs in each town."""
    seed: int = 0
    """Decides who comes, when, and where to."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        if self.what == "train":
            return self._train()
        self._check()
        console = terminal()
        before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        figures = self._carla(console) if self.backend == "carla" else self._embedded(console)
        after = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if self.json:
            write_json(self.json, {**figures, "load_average": [before, after]})
        return 0

    def _train(self) -> int:
        import torch
        from rich.table import Table

        from drivewm_datasets.run_all import pick_device
        from drivewm_eval.bench.training import training_speed

        if not 1 <= self.seconds <= 3600:
            raise InputError(f"--seconds must lie between 1 and 3600, got {self.seconds}")
        if self.threads < 0:
            raise InputError(f"--threads must not be negative, got {self.threads}")
        check_file("--json", self.json)
        torch.set_num_threads(self.threads or os.cpu_count() or 1)
        console = terminal()
        with console.status(f"training {self.preset} for {self.seconds:g} s"):
            device = pick_device("auto")
            speed = training_speed(
                self.preset, agents=TRAIN_AGENTS, seconds=self.seconds, seed=self.seed, device=device
            )
        table = Table(title="training speed", show_header=False)
        for name, value in asdict(speed).items():
            table.add_row(name.replace("_", " "), f"{value:.3g}" if isinstance(value, float) else str(value))
        console.print(table)
        if self.json:
            write_json(self.json, asdict(speed))
        return 0

    def _check(self) -> None:
        if importlib.util.find_spec("numba") is None:
            raise InputError('pip install "drivewm[sim]" to simulate (numba is missing)')
        if not 10 <= self.seconds <= 3600:
            raise InputError(f"--seconds must lie between 10 and 3600, got {self.seconds}")
        if not 0 < self.hours <= 1000:
            raise InputError(f"--hours must lie above 0 and not above 1000, got {self.hours}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed must lie between 0 and 2^63 - 1, got {self.seed}")
        if self.what == "simulator" and len(self.town) > 1:
            raise InputError(f"bench simulator takes one --town, got {', '.join(self.town)}; name one")
        check_file("--json", self.json)
        if self.backend == "carla":
            self._check_carla()
        elif self._server_is_given:
            raise InputError("--host and --port name a CARLA server; add --backend carla or leave them out")
        if self._server_is_given:  # whose towns we do not know
            return
        from drivewm_sim.roads.towns import load_town

        loaded = [load_town(town).name for town in self.town]
        twice = [name for k, name in enumerate(loaded) if name in loaded[:k]]
        if twice:
            raise InputError(f"--town names {twice[0]} twice, whose figures would mix; name it once")

    @property
    def _server_is_given(self) -> bool:
        return self.host is not None or self.port is not None

    def _check_carla(self) -> None:
        """InputError where there is no client, or no server where one was named."""
        from drivewm_sim.carla_client.connection import carla_client, connect

        if self.what != "simulator":
            raise InputError(f"bench {self.what} has no --backend carla; leave it out")
        carla_client()
        if self._server_is_given:
            server = self._server()
            if not 0 < server.port < 65535:
                raise InputError(
                    f"--port {server.port}: expected 1 to 65534; sensor streams take the next one"
                )
            connect(server)

    def _server(self) -> Server:
        from drivewm_sim.carla_client.connection import Server

        return Server(host=self.host or "127.0.0.1", port=2000 if self.port is None else self.port)

    def _carla(self, console: Console) -> dict[str, Any]:
        from rich.progress import Progress

        from drivewm_eval.bench.carla_speed import STAGES, measure_carla
        from drivewm_eval.bench.stand_in import stand_in
        from drivewm_sim.carla_client.connection import Server

        town = self.town[0] if self.town else None
        with ExitStack() as stack:
            cpu_s = None
            if self._server_is_given:
                server, name = self._server(), f"given, {self._server()}"
            else:
                with console.status("starting a stand-in (the first time, it compiles for minutes)"):
                    child = stack.enter_context(stand_in(town or "grid"))
                server, name, cpu_s, town = Server(port=child.port), "stand-in", child.cpu_s, None
            progress = stack.enter_context(Progress(console=console, transient=True))
            task = progress.add_task("measuring", total=STAGES)

            def advance(stage: str) -> None:
                progress.update(task, advance=1, description=stage)

            speed = measure_carla(server, town, self.seconds, name=name, cpu_s=cpu_s, advance=advance)
        print_carla(console, speed)
        return carla_figures(speed)

    def _embedded(self, console: Console) -> dict[str, Any]:
        compile_simulator(console)
        figures = self._simulator(console) if self.what == "simulator" else self._endurance(console)
        return {**figures, "seed": self.seed}

    def _simulator(self, console: Console) -> dict[str, Any]:
        from rich.progress import Progress

        from drivewm_eval.bench.simulator import STAGES, measure_simulator

        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("measuring", total=STAGES)

            def advance(stage: str) -> None:
                progress.update(task, advance=1, description=stage)

            speed = measure_simulator((self.town or ("grid",))[0], self.seed, self.seconds, advance)
        print_speed(console, speed)
        return speed_figures(speed)

    def _endurance(self, console: Console) -> dict[str, Any]:
        from rich.progress import Progress, TimeRemainingColumn

        from drivewm_eval.bench.endurance import endure
        from drivewm_sim.roads.towns import load_town, town_names

        towns = self.town or town_names()
        runs = []
        columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            for name in towns:
                task = progress.add_task(name, total=round(self.hours * 36000))
                runs.append(
                    endure(load_town(name), self.hours, self.seed, lambda n, t=task: progress.advance(t, n))  # type: ignore[misc]
                )
        print_endurance(console, runs)
        return {"hours": self.hours, "towns": {run.town: endurance_figures(run) for run in runs}}


def speed_figures(speed: SimulatorSpeed) -> dict[str, Any]:
    """Everything measured, the figures of one part beside those of another."""
    out = asdict(speed)
    parts = [out.pop(name) for name in ("scene", "frames", "start")]
    for name in (
        "sim_seconds_per_core_second", "hours_per_core_hour", "core_hours_per_year_of_street",
        "core_hours_per_year_with_sensors", "whole_tick_us", "frame_rest_us",
    ):  # fmt: skip
        out[name] = getattr(speed, name)
    for part in parts:
        out |= part
    return out


def carla_figures(speed: CarlaSpeed) -> dict[str, Any]:
    """The medians by name, and everything else measured."""
    return {
        "ticks_per_s": speed.plain.median,
        "ticks_per_s_with_lidar": speed.with_lidar.median,
        "points_per_turn": speed.with_lidar.points,
        **asdict(speed),
    }


def endurance_figures(run: Endurance) -> dict[str, Any]:
    """Everything that happened, with rates."""
    total = sum(run.contacts_by_cause.values())
    return asdict(run) | {
        "contacts_per_hour": run.per_hour(total),
        "contacts_in_sight_total": sum(run.contacts_in_sight.values()),
        "overlaps_per_hour": run.per_hour(run.overlaps),
        "vehicles_served": run.service.vehicles_served,
        "vehicles_towed": run.service.vehicles_towed,
        "walks_served": run.service.walks_served,
        "speed_kept": run.speed_quarters[-1] / max(run.speed_quarters[0], 1e-9),
    }


def print_speed(console: Console, speed: SimulatorSpeed) -> None:
    """What was measured, and what each part costs."""
    from rich.table import Table

    scene, frames, start = speed.scene, speed.frames, speed.start
    table = Table(title=f"simulator on one core, town {speed.town}", show_header=False)
    rows = {
        "demand": f"{speed.traffic:.2f} of the town's usual vehicles, {speed.walking:.2f} of its walks",
        "agents": f"{scene.vehicles:.1f} vehicles at {scene.vehicle_speed_mps:.1f} m/s,"
        f" {scene.pedestrians:.1f} pedestrians",
        "scene steps per s": f"{scene.scene_steps_per_s:,.0f}"
        f" (best block {scene.scene_steps_per_s_best:,.0f})",
        "agents, with sensors": f"{frames.sensor_vehicles:.1f} vehicles,"
        f" {frames.sensor_pedestrians:.1f} pedestrians",
        "frames per s": f"{frames.frames_per_s:,.0f} (best block {frames.frames_per_s_best:,.0f})",
        "simulated seconds per core second": f"{speed.sim_seconds_per_core_second:,.0f}",
        "hours of street per core-hour": f"{speed.hours_per_core_hour:,.0f}",
        "core-hours per year of street": f"{speed.core_hours_per_year_of_street:,.0f}"
        f" ({speed.core_hours_per_year_with_sensors:,.0f} with sensors)",
        "snapshot and restore, world": f"{frames.snapshot_restore_world_ms:.3f} ms",
        "snapshot and restore, everything": f"{frames.snapshot_restore_all_ms:.3f} ms",
        "second start": f"{start.second_start_s:.2f} s",
        "second start with sensors": f"{start.second_start_with_sensors_s:.2f} s; CPU: "
        + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in start.second_start_cpu_s.items()),
    }
    for row in rows.items():
        table.add_row(*row)
    console.print(table)
    costs = Table("part", "CPU", title="what it costs")
    for part, cost in speed.tick_us.items():
        costs.add_row(f"{part}, a tick of 0.1 s", f"{cost:,.1f} us")
    costs.add_row("a whole tick", f"{speed.whole_tick_us:,.1f} us")
    costs.add_row("vision, one line of sight", f"{1e3 * speed.sight_us:,.0f} ns")
    for part, cost in (frames.sensor_us | {"the rest": speed.frame_rest_us} | speed.write_us).items():
        costs.add_row(f"{part}, a frame", f"{cost:,.0f} us")
    console.print(costs)
    growth = Table(
        "agents", "copies of the town", "a tick", "come and go", "a tick and agent", title="growth"
    )
    for size in speed.scaling.sizes:
        growth.add_row(
            f"{size.agents:,.0f}", f"{size.tiles}", f"{size.tick_us:,.0f} us",
            f"{size.come_and_go_us:,.0f} us", f"{size.agent_us:.2f} us",
        )  # fmt: skip
    console.print(growth)
    console.print(
        f"cost of a tick ~ agents ^ {speed.scaling.exponent:.2f}"
        f" (^ {speed.scaling.exponent_at_equal_density:.2f} where only the area grows)"
    )


def print_carla(console: Console, speed: CarlaSpeed) -> None:
    """One column without lidar, one with it."""
    from rich.table import Table

    plain, lidar = speed.plain, speed.with_lidar
    title = f"CARLA server ({speed.server}), {speed.town}: {speed.vehicles} vehicles, {speed.walkers} walkers"
    table = Table("", "moved and read back", f"and a lidar, {lidar.points:,.0f} points a turn", title=title)

    def row(name: str, told: Callable[[TickSpeed], str]) -> None:
        table.add_row(name, told(plain), told(lidar))

    row("ticks per s", lambda run: f"{run.median:,.0f} (best block {run.best:,.0f})")
    row("CPU of the client, a tick", lambda run: f"{run.client_ms:.2f} ms")
    if plain.server_ms is not None:
        row("CPU of the server, a tick", lambda run: f"{run.server_ms:.2f} ms")
    console.print(table)


def print_endurance(console: Console, runs: list[Endurance]) -> None:
    """One column a town."""
    from rich.table import Table

    table = Table("", *(f"{run.town}, {run.hours:g} h" for run in runs))

    def row(name: str, *values: str) -> None:
        table.add_row(name, *values)

    row("vehicles, pedestrians", *(f"{r.vehicles:.1f}, {r.pedestrians:.1f}" for r in runs))
    causes = sorted({cause for r in runs for cause in r.contacts_by_cause})
    for cause in causes:
        row(
            f"contacts per hour, {cause}",
            *(f"{r.per_hour(r.contacts_by_cause.get(cause, 0)):.2f}" for r in runs),
        )
    row("contacts, both saw in time", *(f"{sum(r.contacts_in_sight.values())}" for r in runs))
    row("pedestrians overlapping per hour", *(f"{r.per_hour(r.overlaps):.1f}" for r in runs))
    for name in runs[0].limits:
        extremes = [r.limits[name] for r in runs]
        shown = f"{name.replace('_', ' ')}, limit {extremes[0].limit:g}"
        row(shown, *(f"{e.worst:.3g} ({e.over} over)" for e in extremes))
    row("vehicle jerk outside braking, p99", *(f"{r.jerk_p99:.1f}" for r in runs))
    row("vehicles served", *(f"{r.service.vehicles_served:.3f}" for r in runs))
    row("vehicles towed out of a lock", *(str(r.service.vehicles_towed) for r in runs))
    row("walks served", *(f"{r.service.walks_served:.3f}" for r in runs))
    row("speed, first and last quarter", *(_ends(r.speed_quarters) for r in runs))
    row("walking, first and last quarter", *(_ends(r.walking_quarters) for r in runs))
    row("longest stop outside signal queues", *(f"{r.longest_stop.seconds:.0f} s" for r in runs))
    row("longest stop anywhere", *(f"{r.longest_queue.seconds:.0f} s" for r in runs))
    row("longest stall of a pedestrian", *(f"{r.longest_stall.seconds:.0f} s" for r in runs))
    console.print(table)


def _ends(quarters: tuple[float, ...]) -> str:
    return f"{quarters[0]:.2f}, {quarters[-1]:.2f} m/s"
