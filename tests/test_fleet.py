"""The fleet: whatever happens to workers, every episode is made once, and the same as in peace."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_tree import descendants, processes, wait_for

from drivewm.errors import InputError
from drivewm_datasets.episode import verify_episode
from drivewm_sim import fleet as fleet_module
from drivewm_sim.carla_client.connection import Server
from drivewm_sim.carla_client.servers import Source
from drivewm_sim.collect import EpisodeJob, EpisodeResult, run_job
from drivewm_sim.fleet import ATTEMPTS, Fleet, run_fleet
from drivewm_sim.randomness import episode_seed
from drivewm_sim.simulator import Scenario
from drivewm_sim.workers import Dead, Failure, ProcessWorkshop, Ready, Report

pytestmark = pytest.mark.alone

ENGINES = ["processes", "ray"]


def jobs(out: Path, count: int, warm_up_s: float = 5.0) -> list[EpisodeJob]:
    scenario = Scenario(duration_s=1.0, warm_up_s=warm_up_s)
    return [
        EpisodeJob(name=f"e{i}", out=out, scenario=scenario, policy="rule", seed=episode_seed(1, i))
        for i in range(count)
    ]


def result(job: EpisodeJob) -> EpisodeResult:
    return EpisodeResult(name=job.name, seed=job.seed, hash="", frames=1, agents=1, seconds=0.1, events={})


# -- with workers that do what a test says --


class FakeWorker:
    def __init__(self, shop: FakeWorkshop, source: Source | None) -> None:
        self._shop, self.source = shop, source
        self.report: Report | None = shop.starts.get(source, shop.start)
        self.started = self.killed = False
        self.given = self.heard = 0

    def give(self, job: EpisodeJob) -> None:
        assert self.started
        assert not self.killed
        assert self.report is None
        self.report = self._shop.fate(job)
        self.given += 1

    def kill(self) -> None:
        self.killed = True


class FakeWorkshop:
    """What becomes of an episode's tries is written in `fates`; a try beyond them succeeds."""

    def __init__(self, fates: dict[str, list[Report | None]], start: Report) -> None:
        self._fates, self.start = fates, start  # None: the worker hangs
        self.starts: dict[Source | None, Report | None] = {}  # of workers with a certain server
        self.hired: list[FakeWorker] = []
        self.most_at_once = 0  # workers with the same server
        self.tries: dict[str, int] = defaultdict(int)
        self.closed = False

    def fate(self, job: EpisodeJob) -> Report | None:
        fates, nth = self._fates.get(job.name, []), self.tries[job.name]
        self.tries[job.name] += 1
        return fates[nth] if nth < len(fates) else result(job)

    def hire(self, source: Source | None) -> FakeWorker:
        self.hired.append(FakeWorker(self, source))
        here = [worker for worker in self.hired if worker.source == source and not worker.killed]
        self.most_at_once = max(self.most_at_once, len(here))
        return self.hired[-1]

    def reports(self, workers: list[FakeWorker], timeout_s: float) -> list[tuple[FakeWorker, Report]]:
        assert workers
        assert not any(worker.killed for worker in workers)
        for worker in sorted(workers, key=lambda w: w.heard):
            if worker.report is not None:
                worker.heard += 1
                said, worker.report, worker.started = worker.report, None, True
                return [(worker, said)]
        time.sleep(0.01)
        return []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeWorkshop]:
    def stage(start: Report = Ready(), **fates: list[Report | None]) -> FakeWorkshop:  # noqa: B008
        shop = FakeWorkshop(fates, start)
        monkeypatch.setattr(fleet_module, "ProcessWorkshop", lambda: shop)
        return shop

    return stage


def run(count: int, workers: int = 2, limit_s: float = 60.0) -> Generator[EpisodeResult, None, None]:
    return run_fleet(
        jobs(Path("nowhere"), count), Fleet(workers=workers, engine="processes", time_limit_s=limit_s)
    )


def serving(servers: tuple[Server, ...], tell: Callable[[str], None] = lambda _: None) -> Fleet:
    return Fleet(workers=len(servers), engine="processes", sources=servers, tell=tell)


def names(results: Iterator[EpisodeResult]) -> list[str]:
    return sorted(r.name for r in results)


def test_the_episode_of_a_dead_worker_is_made_by_a_fresh_one(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(e1=[Dead("shot")], e3=[Dead("shot"), Dead("shot")])
    assert names(run(5)) == ["e0", "e1", "e2", "e3", "e4"]
    assert sum(w.killed for w in shop.hired) == 3
    assert shop.closed


def test_the_last_episode_is_made_though_its_worker_died_and_others_are_idle(
    staged: Callable[..., FakeWorkshop],
) -> None:
    shop = staged(e2=[Dead("shot")])
    assert names(run(3, workers=3)) == ["e0", "e1", "e2"]
    assert len(shop.hired) == 3  # an idle worker took it


def test_an_episode_that_kills_every_worker_is_named_and_the_others_are_kept(
    staged: Callable[..., FakeWorkshop],
) -> None:
    staged(e1=[Dead("its process ended with signal 9")] * 9)
    made: list[str] = []
    with pytest.raises(InputError) as caught:
        made.extend(episode.name for episode in run(4))
    assert sorted(made) == ["e0", "e2", "e3"]
    seed = jobs(Path(), 2)[1].seed
    assert f"e1 (seed {seed}): tried {ATTEMPTS} times, the last time its process ended" in str(caught.value)
    assert "--resume" in str(caught.value)


def test_a_worker_that_hangs_is_replaced(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(e1=[None])
    assert names(run(3, limit_s=0.2)) == ["e0", "e1", "e2"]
    assert shop.tries["e1"] == 2
    assert sum(w.killed for w in shop.hired) == 1


def test_an_episode_that_raises_is_not_tried_again(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(e1=[Failure("ZeroDivisionError: division by zero", False)])
    with pytest.raises(InputError, match=r"1 episodes could not be made.*e1 \(seed \d+\): ZeroDivisionError"):
        names(run(3))
    assert shop.tries["e1"] == 1
    assert not any(w.killed for w in shop.hired)


def test_a_full_disk_ends_the_run_at_once(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(e0=[Failure("OSError: no space left", True)])
    with pytest.raises(InputError, match=r"episode e0 .*no space left; finished episodes are kept"):
        names(run(50))
    assert sum(shop.tries.values()) <= 2
    assert shop.closed


def test_workers_that_cannot_start_end_the_run(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(start=Dead("status 1"))
    with pytest.raises(InputError, match="workers end before they begin: status 1"):
        names(run(3))
    assert len(shop.hired) <= 2 * ATTEMPTS + 1


def test_what_was_begun_again_is_told_and_counted(staged: Callable[..., FakeWorkshop]) -> None:
    staged(e1=[Dead("its server ended with signal 9")])
    told: list[str] = []
    made = run_fleet(jobs(Path("nowhere"), 3), Fleet(workers=2, engine="processes", tell=told.append))
    assert {episode.name: episode.retries for episode in made} == {"e0": 0, "e1": 1, "e2": 0}
    assert told == ["e1 is begun again: its server ended with signal 9"]


def test_workers_are_replaced_after_so_many_episodes(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged()
    made = run_fleet(jobs(Path("nowhere"), 10), Fleet(workers=2, engine="processes", recycle=2))
    assert names(made) == sorted(f"e{i}" for i in range(10))
    assert max(w.given for w in shop.hired) == 2


def test_every_server_has_one_worker_at_a_time(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(e1=[Dead("hung")], e4=[Dead("hung")])
    servers = (Server(port=2000), Server(port=3000))
    assert len(names(run_fleet(jobs(Path("nowhere"), 6), serving(servers)))) == 6
    assert [w.source for w in shop.hired][:2] == list(servers)
    assert len(shop.hired) == 4
    assert shop.most_at_once == 1


def test_a_server_that_never_answers_is_given_up_and_the_other_makes_all(
    staged: Callable[..., FakeWorkshop],
) -> None:
    dead, good = Server(port=2000), Server(port=3000)
    shop = staged()
    shop.starts[dead] = Dead("no CARLA server answered")
    told: list[str] = []
    assert len(names(run_fleet(jobs(Path("nowhere"), 30), serving((dead, good), told.append)))) == 30
    assert [w.source for w in shop.hired].count(dead) == ATTEMPTS
    assert told == ["127.0.0.1:2000 is given up: no CARLA server answered"]


def test_a_worker_that_never_starts_does_not_hold_up_the_end(staged: Callable[..., FakeWorkshop]) -> None:
    """On a full cluster it waits for its place for ever, while the others make all episodes."""
    good, waiting = Server(port=2000), Server(port=3000)
    shop = staged()
    shop.starts[waiting] = None
    assert len(names(run_fleet(jobs(Path("nowhere"), 4), serving((good, waiting))))) == 4


def test_a_server_is_let_go_whose_worker_was_ended_in_an_episode(
    staged: Callable[..., FakeWorkshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for ticks for ever. One whose last episode was finished is left alone."""
    released: list[Source] = []
    monkeypatch.setattr("drivewm_sim.carla_client.servers.release", released.append)
    first, second = Server(port=2000), Server(port=3000)
    staged(e1=[None])
    made = run_fleet(jobs(Path("nowhere"), 2), serving((first, second)))
    assert next(made).name == "e0"
    made.close()
    assert released == [second]


def test_without_any_server_the_run_ends(staged: Callable[..., FakeWorkshop]) -> None:
    staged(start=Dead("no CARLA server answered"))
    with pytest.raises(InputError, match="workers end before they begin: no CARLA server answered"):
        names(run_fleet(jobs(Path("nowhere"), 3), serving((Server(port=2000), Server(port=3000)))))


def test_a_server_of_another_version_ends_the_run_at_once(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged(start=Failure("the server at 127.0.0.1:2000 is CARLA 0.9.15", True))
    with pytest.raises(InputError, match=r"^the server at 127.0.0.1:2000 is CARLA 0\.9\.15"):
        names(run_fleet(jobs(Path("nowhere"), 3), serving((Server(port=2000),))))
    assert len(shop.hired) == 1


def test_closing_the_iterator_ends_the_workers(staged: Callable[..., FakeWorkshop]) -> None:
    shop = staged()
    results = run(10)
    next(results)
    results.close()
    assert shop.closed


def test_one_worker_alone_names_what_fails_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def sometimes(job: EpisodeJob) -> EpisodeResult:
        if job.name == "e1":
            raise ZeroDivisionError("no agents")
        return result(job)

    monkeypatch.setattr("drivewm_sim.workers.run_job", sometimes)
    made: list[str] = []
    with pytest.raises(InputError, match=r"e1 \(seed \d+\): ZeroDivisionError: no agents"):
        made.extend(episode.name for episode in run_fleet(jobs(tmp_path, 3), Fleet()))
    assert made == ["e0", "e2"]


# -- with real processes --


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_a_dismissed_worker_leaves_no_descriptor_open() -> None:
    """Long collections replace thousands of workers."""
    shop = ProcessWorkshop()
    open_then = []
    for _ in range(3):
        shop.hire(None).kill()
        open_then.append(len(list(Path("/proc/self/fd").iterdir())))
    shop.close()
    assert open_then[0] == open_then[-1]


def test_a_killed_process_costs_nothing_but_time(tmp_path: Path) -> None:
    expected = {job.name: run_job(job).hash for job in jobs(tmp_path / "alone", 6)}
    made = {}
    for episode in run_fleet(jobs(tmp_path / "two", 6), Fleet(workers=2, engine="processes")):
        if not made:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        made[episode.name] = episode.hash
    assert made == expected
    assert not multiprocessing.active_children()


def test_a_process_that_takes_too_long_is_replaced_until_it_is_enough(tmp_path: Path) -> None:
    endless = jobs(tmp_path, 1, warm_up_s=1e7)  # not a long duration: the ego arrives soon
    with pytest.raises(InputError, match=r"e0 .*tried 3 times, the last time it took longer than 0.2 s"):
        names(run_fleet(endless, Fleet(workers=1, engine="processes", time_limit_s=0.2)))
    assert not multiprocessing.active_children()


# -- the whole command --

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def command(out: Path, *options: str, **more: Any) -> subprocess.Popen[str]:
    code = "import sys; from drivewm.cli import main; sys.exit(main())"
    usual = ["--episodes", "12", "--seconds", "12", "--seed", "7", "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", code, "collect", *usual, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        # A shell that starts tests in the background has them ignore SIGINT: not to be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **more,
    )  # fmt: skip


def listed(out: Path) -> dict[str, str]:
    try:
        document = json.loads((out / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    return {name: episode["hash"] for name, episode in document["episodes"].items()}


def hash_of_hashes(out: Path) -> str:
    return str(json.loads((out / "manifest.json").read_text())["hash_of_hashes"])


def makers(pid: int) -> set[int]:
    """The processes below that make episodes."""
    found = set()
    for child in descendants(pid):
        try:
            said = Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        if "spawn_main" in said or "ray::Maker" in said:
            found.add(child)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fleet") / "undisturbed"
    assert command(out).wait() == 0
    return out


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_killing_a_worker_then_the_command_then_resuming_gives_the_undisturbed_episodes(
    undisturbed: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
    out, options = tmp_path / "out", ("--workers", "2", "--engine", engine)
    first = command(out, *options)
    wait_for(lambda: listed(out))
    os.kill(min(wait_for(lambda: makers(first.pid))), signal.SIGKILL)
    before = len(listed(out))
    wait_for(lambda: len(listed(out)) >= min(before + 3, 12))
    left = wait_for(lambda: makers(first.pid))
    first.kill()
    first.wait()
    wait_for(lambda: not left & processes().keys(), 30.0)  # nobody goes on behind its back
    assert 0 < len(listed(out)) < 12
    again = command(out, *options, "--resume")
    said, _ = again.communicate()
    assert again.returncode == 0, said
    assert hash_of_hashes(out) == hash_of_hashes(undisturbed)
    assert {name: verify_episode(out / name) for name in listed(out)} == listed(undisturbed)
    assert not list(out.glob(".*"))


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_quickly_and_keeps_what_is_finished(
    undisturbed: Path, tmp_path: Path, engine: str, how: signal.Signals
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed")
    out = tmp_path / "out"
    begun = command(out, "--workers", "2", "--engine", engine)
    wait_for(lambda: len(listed(out)) >= 2)
    family = descendants(begun.pid)
    began = time.monotonic()
    os.killpg(begun.pid, how) if how == signal.SIGINT else begun.send_signal(how)
    said, _ = begun.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert begun.returncode == 130, said
    assert said.rstrip().endswith("interrupted")
    assert "Traceback" not in said
    wait_for(lambda: not family & processes().keys(), 30.0)
    kept = listed(out)
    assert 2 <= len(kept) < 12
    assert {name: verify_episode(out / name) for name in kept} == kept
    assert kept.items() <= listed(undisturbed).items()
    assert not list(out.glob(".*"))
