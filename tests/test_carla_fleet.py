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
from drivewm.errors import InputError
from drivewm_datasets.episode import verify_episode
from drivewm_sim.carla_client import keeper, servers
from drivewm_sim.carla_client.connection import NotThere, Server, Session, connect
from drivewm_sim.carla_client.server_town import enter_town
from drivewm_sim.carla_client.servers import HeldServer, Launch, hold, release
from drivewm_sim.roads.towns import town_text

pytestmark = pytest.mark.alone

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
            # Tests may run in the background of a shell, which then ignores Ctrl-C, and so would this one.
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
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


@needs_proc
def test_a_keeper_that_is_told_to_end_ends_its_server_first(user: Any) -> None:
    _, server = user("sh", "-c", "sleep 1000 & wait", "{port}")
    family = wait_for(lambda: len(descendants(server)) == 1 and descendants(server) | {server})
    os.kill(processes()[server], signal.SIGTERM)
    wait_for(lambda: not family & processes().keys(), 20.0)


@needs_proc
def test_a_keeper_whose_user_has_ended_before_it_could_look_starts_nothing() -> None:
    """Its parent is another process by then, which it must neither serve nor kill."""
    command = [sys.executable, keeper.__file__, json.dumps([1, 24000, "echo", "started"])]
    assert subprocess.run(command, capture_output=True, text=True, timeout=20).stdout == ""


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
    awake, of_awake = user("sleep", "1000")
    process, server = user("sleep", "1000")
    process.send_signal(signal.SIGSTOP)
    os.kill(of_awake, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    assert awake.poll() is None, "who has taken note is left alone"


def test_a_tick_that_hangs_is_seen_from_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Traffic Manager of 0.9.16 can dead-lock within `world.tick`, which then ignores its time-out."""
    held = HeldServer(Server(timeout_s=1.0))
    assert held.trouble() is None
    monkeypatch.setattr(Session, "ticking_since", time.monotonic() - 2.0)
    assert held.trouble() is None, "the client gives up by itself"
    monkeypatch.setattr(Session, "ticking_since", time.monotonic() - 10.0)
    assert held.trouble() == "a tick took longer than 1 s"


def test_only_the_end_of_a_long_log_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper, "log_path", lambda port: tmp_path / f"{port}.log")
    (tmp_path / "1.log").write_bytes(b"lost\n" * 10**6 + b"\xff of two bytes\nno GPU\nbye\n\n")
    assert servers._last_words(1).endswith("ends with: \ufffd of two bytes / no GPU / bye)")
    (tmp_path / "2.log").write_text("bye")
    assert servers._last_words(2).endswith("ends with: bye)")
    assert servers._last_words(3) == ""


# -- servers that go on --


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with stand_in(tmp_path_factory.mktemp("running"), "grid") as server:
        yield Server(port=server.port, timeout_s=20.0)


def abandon(server: Server) -> None:
    """What a killed user leaves: a server that waits, frozen lights, a vehicle, the ego."""
    session = Session(server)
    session.take_over()
    session.freeze_lights()
    park(session, "drivewm", 0)
    park(session, "hero", 1)


def park(session: Session, role: str, nth: int) -> None:
    blueprint = session.world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", role)
    place = session.world.get_map().get_spawn_points()[5 * nth]
    session.world.spawn_actor(blueprint, place)
    session.tick(())


def state(server: Server) -> tuple[list[str], bool, bool, bool]:
    """Roles of vehicles, whether lights are frozen, whether it waits for ticks, and does not draw."""
    world = connect(server).get_world()
    settings = world.get_settings()
    if settings.synchronous_mode:
        world.tick()
    roles = sorted(v.attributes["role_name"] for v in world.get_actors().filter("vehicle.*"))
    frozen = {light.is_frozen() for light in world.get_actors().filter("traffic.traffic_light")}
    assert len(frozen) == 1
    return roles, frozen.pop(), settings.synchronous_mode, settings.no_rendering_mode


@needs_carla
def test_a_server_whose_user_was_killed_is_let_go_or_put_right_by_the_next(running: Server) -> None:
    abandon(running)
    assert state(running) == (["drivewm", "hero"], True, True, True)
    release(running)
    assert state(running) == ([], False, False, False)
    abandon(running)
    following = Session(running)
    following.take_over()
    assert state(running)[0] == [], "nobody is left who would be taken for a parked car"
    following.close(())
    assert state(running) == ([], False, False, False)


@needs_carla
def test_what_belongs_to_others_is_left_as_it_was(running: Server) -> None:
    """A hero alone, and settings that somebody else has chosen."""
    other = Session(running)
    other.take_over()
    park(other, "hero", 0)
    ours = Session(running)
    ours.take_over()
    ours.close(())
    assert state(running) == (["hero"], False, True, True)
    other.close([a.id for a in other.world.get_actors().filter("vehicle.*")])
    assert state(running) == ([], False, False, False)


@needs_carla
def test_a_file_named_like_another_town_of_the_server_is_not_taken_for_it(
    running: Server, tmp_path: Path
) -> None:
    """It would be simulated in the server's town under the file's name."""
    other, renamed = tmp_path / "crossing.xodr", tmp_path / "mine.xodr"
    for file in (other, renamed):
        file.write_text(town_text("plaza"))
    session = Session(running)
    with pytest.raises(InputError, match=r"has a town crossing that is not that of .*crossing\.xodr"):
        enter_town(session, str(other))
    assert enter_town(session, str(renamed))[1].strip() == town_text("plaza").strip()
    session.close(())


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
    """Twenty episodes by two workers, which had three servers each, one after the other."""
    out = tmp_path_factory.mktemp("peace") / "out"
    two = ("--workers", "2", "--engine", "processes", "--recycle", "4")
    assert main(options(out, *two)) == 0
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
    # The worker says so itself, unless a call of the client held Python up: then its keeper ended it. Between
    # two episodes it finds nobody to connect to.
    again = r"is begun again: (its (server|process|actor) ended|no CARLA server answers)"
    assert re.search(again, " ".join(said.split())), said
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
        (["--recycle", "5"], "--recycle has no effect here: only --launch starts any"),
        (
            ["--launch", "sh {port}", "--host", "10.0.0.1"],
            "--host has no effect here: --launch starts servers",
        ),
        (["--launch", "sh {port}", "--port", "1", "2"], "--launch looks for free ports from one --port on"),
        (["--backend", "embedded", "--port", "1"], "--port has no effect here: there is no server"),
        (
            ["--backend", "embedded", "--driving", "pedals"],
            "--driving has no effect here: there is no server",
        ),
        (["--backend", "embedded", "--server-timeout", "1"], "--server-timeout has no effect here"),
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
    assert not files_in(tmp_path / "out"), "a corrected command may begin there"
    said = capsys.readouterr().err.replace("\n", " ")
    assert "workers end before they begin: its server ended with status 5" in said
    assert "no licence" in said


@needs_carla
@pytest.mark.slow
def test_an_interrupted_command_leaves_a_named_server_as_it_was(running: Server, tmp_path: Path) -> None:
    endless = ["--episodes", "1", "--seconds", "3600", "--town", "grid", "--policy", "held"]
    named = ["--backend", "carla", "--port", str(running.port), "--out", str(tmp_path / "out")]
    begun = subprocess.Popen([*COMMAND[:3], "collect", *named, *endless], stderr=subprocess.DEVNULL)
    world = connect(running).get_world()
    wait_for(lambda: world.get_settings().synchronous_mode)
    time.sleep(2.0)  # some steps
    begun.send_signal(signal.SIGINT)
    begun.wait(60)
    assert state(running) == ([], False, False, False)


@needs_carla
@pytest.mark.slow
def test_a_worker_drives_one_episode_after_another_by_traffic_manager(tmp_path: Path) -> None:
    """One that was not stopped crashed the process in its next episode. Its dead-lock may cost a retry."""
    figures = tmp_path / "figures.json"
    driven = ["--driving", "traffic-manager", "--town", "crossing", "plaza", "--json", str(figures)]
    assert main(options(tmp_path / "out", *driven, "--server-timeout", "15", episodes=4)) == 0
    assert json.loads(figures.read_text())["retries"] <= 1


@needs_carla
@pytest.mark.slow
def test_the_model_trains_forecasts_and_is_judged_on_episodes_from_servers(tmp_path: Path) -> None:
    """Two servers that run already; tracks of the tracker model, fed by the servers' lidar."""
    data, run = tmp_path / "data", tmp_path / "run"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with stand_in(tmp_path / "one", "crossing") as one, stand_in(tmp_path / "two", "crossing") as two:
        where = ["--port", str(one.port), str(two.port), "--workers", "2", "--engine", "processes"]
        made = ["--episodes", "4", "--seconds", "8", "--seed", "7", "--out", str(data)]
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
