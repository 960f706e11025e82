"""Collection on CARLA servers: whatever becomes of a server, episodes are made and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from carla_stand_in import COMMAND, stand_in
from process_tree import descendants, processes, wait_for
from refusals import Capture, assert_refused, files_in

from drivewm.cli import main
from drivewm_datasets.episode import verify_episode
from drivewm_sim.carla_client import keeper, servers
from drivewm_sim.carla_client.connection import NotThere, Server, Session
from drivewm_sim.carla_client.servers import HeldServer, Launch, hold

needs_carla = pytest.mark.skipif(find_spec("carla") is None, reason="the carla client is not installed")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
STAND_IN = f"{COMMAND[0]} -c '{COMMAND[2]}' carla-server --map crossing --port {{port}}"


# -- ports --


def test_leases_do_not_overlap_while_they_are_held() -> None:
    first, holder = keeper.lease(21000)
    with closing(holder):
        second, other = keeper.lease(21000)
        other.close()
        assert second >= first + keeper.BLOCK
    again, holder = keeper.lease(21000)
    holder.close()
    assert again == first


@pytest.mark.parametrize("offset", range(keeper.TRAFFIC_MANAGER + 1))
def test_a_block_with_a_port_in_use_is_passed_over(offset: int) -> None:
    """RPC, streams, those of further GPUs, Traffic Manager: somebody listens on one of them."""
    port, holder = keeper.lease(22000)
    holder.close()
    with closing(keeper._bound(port + offset)):
        other, holder = keeper.lease(port)
        holder.close()
    assert other == port + keeper.BLOCK


# -- keepers --


@pytest.fixture
def user() -> Iterator[Any]:
    """Starts a process that starts a server, to be ended however one likes."""
    begun: list[subprocess.Popen[str]] = []

    def start(*command: str) -> tuple[subprocess.Popen[str], int]:
        code = (
            "import sys, time; from drivewm_sim.carla_client.servers import Launch, _Kept; "
            f"kept = _Kept(Launch(command={command!r}, first_port=23000)); "
            "print(kept.server_pid, flush=True); time.sleep(1000)"
        )
        begun.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True))
        assert begun[-1].stdout is not None
        return begun[-1], int(begun[-1].stdout.readline())

    yield start
    for process in begun:
        process.kill()
        process.wait()


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_a_user_ends_its_server_and_what_that_started_end_too(user: Any, how: signal.Signals) -> None:
    process, server = user("sh", "-c", "sleep 1000 & wait", "{port}")
    family = wait_for(lambda: len(descendants(server)) == 1 and descendants(server) | {server})
    process.send_signal(how)
    wait_for(lambda: not family & processes().keys(), 20.0)


@needs_carla
def test_a_server_that_ends_before_it_answers_is_told_with_its_last_words() -> None:
    with pytest.raises(
        NotThere, match=r"ended with status 3 \(.*ends with: no GPU here\) before it answered"
    ):
        hold(Launch(command=("sh", "-c", "sleep 0.5; echo no GPU here; exit 3", "{port}"), first_port=24000))


@needs_carla
def test_a_server_that_does_not_answer_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "START_LIMIT_S", 0.5)
    with pytest.raises(NotThere, match=r"no CARLA server answered at 127.0.0.1:\d+ within 0.5 s"):
        hold(Launch(command=("sleep", "1001"), first_port=24000))
    wait_for(lambda: not _running("sleep\0001001"), 20.0)


def _running(command: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if command in (folder / "cmdline").read_text():
                return True
    return False


@needs_proc
def test_a_user_that_hangs_when_its_server_ends_is_killed(user: Any) -> None:
    """Some calls of the client hold Python's lock until they time out: nothing inside could act."""
    process, server = user("sleep", "1000")
    os.kill(server, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL


def test_a_tick_that_hangs_is_seen_from_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Traffic Manager of 0.9.16 can dead-lock within `world.tick`, which then ignores its time-out."""
    held = HeldServer(Server(timeout_s=1.0))
    assert held.trouble() is None
    monkeypatch.setattr(Session, "ticking_since", time.monotonic() - 2.0)
    assert held.trouble() is None, "the client gives up by itself"
    monkeypatch.setattr(Session, "ticking_since", time.monotonic() - 10.0)
    assert held.trouble() == "a tick took longer than 1 s"


# -- the whole command --


def options(out: Path, *more: str, episodes: int = 20) -> list[str]:
    usual = ["--backend", "carla", "--episodes", str(episodes), "--seconds", "2", "--seed", "7"]
    return ["collect", *usual, "--launch", STAND_IN, "--port", "25000", "--out", str(out), *more]


def manifest(out: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError):
        document: dict[str, Any] = json.loads((out / "manifest.json").read_text())
        return document
    return {"episodes": {}}


def tables(episode: Path) -> dict[str, list[tuple[str, str]]]:
    """Columns and types of every table of an episode."""
    return {
        path.name: [(field.name, str(field.type)) for field in parquet.read_schema(path)]
        for path in sorted(episode.glob("*.parquet"))
    }


def stand_ins() -> set[int]:
    """The servers that `options` starts, by their processes."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if "carla-server\0--map\0crossing\0--port\00025" in (folder / "cmdline").read_text():
                found.add(int(folder.name))
    return found


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty episodes by one worker, which had three servers one after the other."""
    out = tmp_path_factory.mktemp("peace") / "out"
    assert main(options(out, "--recycle", "7")) == 0
    return out


@needs_carla
@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(("engine", "episodes"), [("ray", 20), ("processes", 6)])
def test_killing_a_server_costs_its_episode_one_retry_and_nothing_else(
    peace: Path, tmp_path: Path, engine: str, episodes: int
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    two = options(out, "--workers", "2", "--engine", engine, "--json", str(figures), episodes=episodes)
    begun = subprocess.Popen(
        [*COMMAND[:3], *two],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: len(manifest(out)["episodes"]) >= 2)
    servers = stand_ins()
    assert len(servers) == 2, "one server a worker"
    os.kill(min(servers), signal.SIGKILL)
    said, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, said
    # The worker says so itself, unless a call of the client held Python up: then its keeper ended it.
    assert re.search(r"is begun again: its (server|process|actor) ended", " ".join(said.split())), said
    assert json.loads(figures.read_text())["retries"] == 1
    made = manifest(out)["episodes"]
    assert len(made) == episodes
    assert made.items() <= manifest(peace)["episodes"].items()
    assert {name: verify_episode(out / name) for name in made} == {k: e["hash"] for k, e in made.items()}
    wait_for(lambda: not stand_ins(), 20.0)


@needs_carla
def test_episodes_from_a_server_have_the_tables_of_embedded_ones(peace: Path, tmp_path: Path) -> None:
    embedded = tmp_path / "embedded"
    assert main(["collect", "--episodes", "1", "--seconds", "2", "--seed", "7", "--out", str(embedded)]) == 0
    assert tables(peace / "seed7_000000") == tables(embedded / "seed7_000000")


@needs_carla
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--launch", "CarlaUE4.sh"], "expected a command with {port} in it"),
        (["--launch", "no-such-program {port}"], "there is no command 'no-such-program' here"),
        (["--launch", "sh -c 'true {port}"], "No closing quotation"),
        (["--workers", "2"], "--workers 2 but 1 server: one server serves one worker"),
        (["--host", "a", "b", "--port", "1", "2", "3"], "--host names 2 and --port 3"),
        (["--port", "2000", "2000", "--workers", "2"], "name a server twice"),
        (["--port", "1"], "no CARLA server answers at 127.0.0.1:1"),
        (["--server-timeout", "0"], "--server-timeout must be positive seconds, got 0"),
        (["--recycle", "-1"], "--recycle must not be negative, got -1"),
    ],
)
def test_servers_that_cannot_be_are_refused(
    tmp_path: Path, capsys: Capture, wrong: list[str], said: str
) -> None:
    out = tmp_path / "out"
    code = main(["collect", "--backend", "carla", "--episodes", "1", "--out", str(out), *wrong])
    assert_refused(code, capsys, said)
    assert not files_in(tmp_path)


@needs_carla
def test_a_command_that_starts_no_server_ends_the_collection(tmp_path: Path, capsys: Capture) -> None:
    code = main(["collect", "--backend", "carla", "--episodes", "2", "--out", str(tmp_path / "out"),
                 "--launch", "sh -c 'echo no licence; exit 5' {port}"])  # fmt: skip
    assert code == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "workers end before they begin: its server ended with status 5" in said
    assert "no licence" in said


@needs_carla
@pytest.mark.slow
def test_the_model_trains_forecasts_and_is_judged_on_episodes_from_servers(tmp_path: Path) -> None:
    """Two servers that run already; tracks of the tracker model, fed by the servers' lidar."""
    data, run = tmp_path / "data", tmp_path / "run"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with stand_in(tmp_path / "one", "crossing") as one, stand_in(tmp_path / "two", "crossing") as two:
        where = ["--port", str(one.port), str(two.port), "--workers", "2", "--engine", "processes"]
        made = ["--episodes", "6", "--seconds", "9", "--seed", "7", "--out", str(data)]
        assert main(["collect", "--backend", "carla", *where, *made]) == 0
        assert one.lives()
        assert two.lives(), "servers that were named are left running"
    assert main(["train", "--data", str(data), "--out", str(run), "--preset", "nano", "--steps", "3"]) == 0
    bundle = str(run)
    table, figures = tmp_path / "forecasts.parquet", tmp_path / "figures.json"
    assert main(["predict", "--data", str(data), "--weights", bundle, "--out", str(table)]) == 0
    assert parquet.read_metadata(table).num_rows > 0
    assert main(["evaluate", "--data", str(data), "--weights", bundle, "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["constant_velocity"]["average"]
