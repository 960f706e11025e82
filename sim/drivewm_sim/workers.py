"""Processes that make episodes, of two kinds behind one protocol: plain ones, and Ray actors."""

from __future__ import annotations

import errno
import importlib.util
import logging
import multiprocessing
import os
import queue
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from drivewm.errors import InputError
from drivewm_sim.collect import EpisodeJob, EpisodeResult, run_job
from drivewm_sim.embedded import compile_kernels

if TYPE_CHECKING:
    from drivewm_sim.carla_client.servers import HeldServer, Source

_LOOK_S = 0.2
"""A worker's server is looked after at least this often."""


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for its first job."""


@dataclass(frozen=True)
class Failure:
    """The episode's own code raised; another try would do the same."""

    said: str
    whole_run: bool  # no other episode would fare better: no room on the disk, a damaged bundle


@dataclass(frozen=True)
class Dead:
    """The process is gone, or will do no more: its server has ended."""

    said: str


Report: TypeAlias = Ready | EpisodeResult | Failure | Dead


class Worker(Protocol):
    """One process with at most one job at a time."""

    def give(self, job: EpisodeJob) -> None: ...

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        ...


class Workshop(Protocol):
    """Where workers come from and report to."""

    def hire(self, source: Source | None) -> Worker:
        """A worker that is starting, with a CARLA server or none; it reports `Ready`, `Failure` or `Dead`."""
        ...

    def reports(self, workers: Sequence[Any], timeout_s: float) -> list[tuple[Worker, Report]]:
        """What the workers have to say, waited for until there is something or the time is over."""
        ...

    def close(self) -> None:
        """No worker is left afterwards."""
        ...


def outcome(job: EpisodeJob) -> EpisodeResult | Failure:
    """The episode made, or why it could not be."""
    try:
        return run_job(job)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Failure:
    return Failure(_said(error), isinstance(error, InputError) or _disk_trouble(error))


class Maker:
    """What a worker process keeps from one episode to the next: compiled kernels and its server, if any."""

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self._held: HeldServer | None = None

    def ready(self) -> Ready | Failure | Dead:
        """Compiles the kernels, or loads them, so that no episode is held up by it; gets the server."""
        compile_kernels()
        if self._source is None:
            return Ready()
        from drivewm_sim.carla_client.connection import NotThere
        from drivewm_sim.carla_client.servers import hold

        try:
            self._held = hold(self._source)
        except NotThere as error:
            return Dead(str(error))
        except InputError as error:
            return Failure(str(error), True)
        return Ready()

    def run(self, job: EpisodeJob) -> EpisodeResult | Failure | Dead:
        """The episode made, or why it could not be. Beside a server, which may end or hang at any time."""
        if self._held is None:
            return outcome(job)
        answers: queue.SimpleQueue[EpisodeResult | Failure | Dead] = queue.SimpleQueue()
        job = replace(job, server=self._held.server)
        # Not waited for in the end: nothing can call back a thread that hangs in the client.
        threading.Thread(target=lambda: answers.put(_on_server(job)), daemon=True).start()
        while True:
            with suppress(queue.Empty):
                return answers.get(timeout=_LOOK_S)
            trouble = self._held.trouble()
            if trouble is not None:
                return Dead(trouble)


def _on_server(job: EpisodeJob) -> EpisodeResult | Failure | Dead:
    """The outcome; what the client complains of, as time-outs, may go well on a fresh server."""
    from drivewm_sim.carla_client.connection import NotThere

    try:
        return run_job(job)
    except (RuntimeError, NotThere) as error:
        return Dead(_said(error))
    except Exception as error:
        return _failure(error)


def _said(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, InputError) else f"{type(error).__name__}: {first}".rstrip(": ")


def _disk_trouble(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM
    )  # fmt: skip


# -- plain processes --


class ProcessWorker:
    """A spawned process with a pipe. "spawn": a forked child would inherit locks of threads that it lacks."""

    def __init__(self, source: Source | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, source), daemon=True)
        with _without_interrupts():
            self._process.start()
        theirs.close()  # so that the end of the process ends the pipe

    def give(self, job: EpisodeJob) -> None:
        with suppress(OSError):  # it has just died: the pipe's end says so
            self.pipe.send(job)

    def report(self) -> Report:
        try:
            said: Report = self.pipe.recv()
            return said
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            return Dead(f"its process ended with {f'signal {-code}' if code < 0 else f'status {code}'}")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


class ProcessWorkshop:
    """Processes on this machine."""

    def __init__(self) -> None:
        self._hired: list[ProcessWorker] = []

    def hire(self, source: Source | None) -> ProcessWorker:
        self._hired.append(ProcessWorker(source))
        return self._hired[-1]

    def reports(self, workers: Sequence[ProcessWorker], timeout_s: float) -> list[tuple[Worker, Report]]:
        worker_of = {id(worker.pipe): worker for worker in workers}
        ready = wait([worker.pipe for worker in workers], timeout_s)
        return [(worker_of[id(pipe)], worker_of[id(pipe)].report()) for pipe in ready]

    def close(self) -> None:
        for worker in self._hired:
            if not worker.pipe.closed:
                worker.kill()


class _without_interrupts:
    """Children started inside ignore Ctrl-C from their first instant: the parent ends them."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


def _serve(pipe: Connection, source: Source | None) -> None:
    """A process worker's life."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    maker = Maker(source)
    pipe.send(maker.ready())
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(maker.run(job))


def _end_with(sentinel: int) -> None:
    """Ends this process when its parent is gone, however it went."""
    wait([sentinel])
    os._exit(1)


# -- Ray --


def ray_installed() -> bool:
    """Whether ray can be imported."""
    return importlib.util.find_spec("ray") is not None


def check_address(address: str) -> None:
    """InputError where no cluster can be: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        raise InputError(f"--address {address}: expected host:port of a Ray cluster, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--address {address}: nobody answers there ({error}); `ray status` names the cluster's address"
        ) from None


class RayWorker:
    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.answer = actor.ready.remote()

    def give(self, job: EpisodeJob) -> None:
        self.answer = self._actor.run.remote(job)

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)


class RayWorkshop:
    """Actors of one core each on a cluster that runs already, or on one of our own on this machine."""

    def __init__(self, workers: int, address: str | None) -> None:
        if not ray_installed():
            raise InputError(
                'pip install "drivewm[sim]" to collect with ray (it is missing), or use processes'
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._hired: list[RayWorker] = []
        self._ours = not ray.is_initialized()
        if self._ours:
            local = {} if address else {"num_cpus": workers, "include_dashboard": False}
            with _keeping_sigterm():
                try:
                    ray.init(
                        address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local
                    )
                except (ConnectionError, ValueError, RuntimeError) as error:
                    raise InputError(
                        f"--address {address}: no Ray cluster answers there ({_said(error)})"
                    ) from None

        self._actor = ray.remote(num_cpus=1, max_restarts=0)(Maker)

    def hire(self, source: Source | None) -> RayWorker:
        self._hired.append(RayWorker(self._actor.remote(source)))
        return self._hired[-1]

    def reports(self, workers: Sequence[RayWorker], timeout_s: float) -> list[tuple[Worker, Report]]:
        import ray

        worker_of = {worker.answer: worker for worker in workers}
        done, _ = ray.wait(list(worker_of), num_returns=1, timeout=timeout_s)
        return [(worker_of[answer], self._report(answer)) for answer in done]

    def _report(self, answer: Any) -> Report:
        import ray

        try:
            report: Report = ray.get(answer)
            return report
        except ray.exceptions.RayTaskError as error:
            return Failure(_said(error.cause), False)
        except ray.exceptions.RayError as error:
            return Dead(f"its actor ended ({type(error).__name__}), by itself or as its server did")

    def close(self) -> None:
        import ray

        for worker in self._hired:
            worker.kill()
        if self._ours:
            ray.shutdown()


class _keeping_sigterm:
    """ray.init puts its own handler for SIGTERM; ours is put back."""

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)
