"""A server for a worker: one that runs already, or one started for this process and ended with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from drivewm.errors import InputError
from drivewm_sim.carla_client import keeper
from drivewm_sim.carla_client.connection import (
    LEAVE_S,
    NotThere,
    Server,
    Session,
    carla_client,
    check_version,
)

START_LIMIT_S = 180.0
"""So long a server may take until it answers."""
_LOOK_S = 0.3
_LATE_S = 5.0  # after its time-out a tick should have given up by itself
_LAST_LINES, _LAST_BYTES = 3, 4096


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a server of one's own, on the machine where it is to be used."""

    command: tuple[str, ...]  # "{port}" in it becomes the RPC port; streams take the next
    first_port: int = 2000  # free ports are looked for from here on
    timeout_s: float = 60.0  # as of `Server`

    def __str__(self) -> str:
        return " ".join(self.command)


Source: TypeAlias = Server | Launch
"""What a worker is told of its server."""


class HeldServer:
    """A server that answers, for one process."""

    def __init__(self, server: Server, kept: _Kept | None = None) -> None:
        self.server = server
        self._kept = kept

    def trouble(self) -> str | None:
        """Why an episode on it will not end any more: the server has ended, or a tick hangs.

        The Traffic Manager of 0.9.16 can dead-lock inside `world.tick`, which then never returns, time-out or
        not; another thread sees it.
        """
        if self._kept is not None and self._kept.ended:
            return f"its server {self._kept.ended}"
        since = Session.ticking_since
        if since is not None and time.monotonic() - since > self.server.timeout_s + _LATE_S:
            return f"a tick took longer than {self.server.timeout_s:g} s"
        return None


def hold(source: Source) -> HeldServer:
    """Finds or starts the server and waits until it answers.

    NotThere if it does not in time; InputError where it is of another version or cannot be started at all.
    """
    if isinstance(source, Server):
        _await(source, source.timeout_s)
        return HeldServer(replace(source, traffic_manager_port=_free_port()))
    kept = _Kept(source)
    server = Server(
        port=kept.port,
        traffic_manager_port=kept.port + keeper.TRAFFIC_MANAGER,
        timeout_s=source.timeout_s,
    )
    try:
        _await(server, START_LIMIT_S, kept)
    except BaseException:
        kept.close()
        raise
    return HeldServer(server, kept)


def release(source: Source) -> None:
    """Lets a server go whose user was killed, so that it does not wait for ticks for ever."""
    if isinstance(source, Server):  # a keeper ends one that was launched
        with suppress(InputError, RuntimeError):  # it may be gone too
            session = Session(replace(source, timeout_s=min(source.timeout_s, LEAVE_S)))
            session.leave_running()
            session.close(())


class _Kept:
    """A server started here. Its keeper ends it when the pipe to it is closed, at the latest with us."""

    def __init__(self, launch: Launch) -> None:
        if not hasattr(os, "pidfd_open"):
            raise InputError(
                "--launch needs Linux; start the servers yourself and name them by --host, --port"
            )
        self._keeper = subprocess.Popen(
            [sys.executable, keeper.__file__, json.dumps([os.getpid(), launch.first_port, *launch.command])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._keeper.wait()  # what was started has left a child that goes on
        said = self._hear()
        if "port" not in said:
            raise InputError(f"--launch {launch}: {said.get('failed', 'the server could not be started')}")
        self.port, self.server_pid = int(said["port"]), int(said["pid"])
        self.ended = ""
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Has the keeper end the server; it takes a moment."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()

    def _watch(self) -> None:
        said = self._hear()
        self.close()  # noted
        how = f"ended with {said['ended']}" if "ended" in said else "was given up by its keeper"
        self.ended = f"{how}{_last_words(self.port)}"

    def _hear(self) -> dict[str, Any]:
        """The next line of the keeper; empty if it is gone."""
        assert self._keeper.stdout is not None
        with suppress(ValueError):
            said: dict[str, Any] = json.loads(self._keeper.stdout.readline() or "{}")
            return said
        return {}


def _last_words(port: int) -> str:
    """The end of a server's output and where the rest of it is."""
    path = keeper.log_path(port)
    with suppress(OSError), path.open("rb") as log:
        log.seek(max(path.stat().st_size - _LAST_BYTES, 0))
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        if lines:
            return f" ({path} ends with: {' / '.join(lines[-_LAST_LINES:])})"
    return ""


def _await(server: Server, limit_s: float, kept: _Kept | None = None) -> None:
    until = time.monotonic() + limit_s
    while not _answers(server):
        if kept is not None and kept.ended:
            raise NotThere(f"its server {kept.ended} before it answered")
        if time.monotonic() > until:
            raise NotThere(f"no CARLA server answered at {server} within {limit_s:g} s")
        time.sleep(_LOOK_S)


def _answers(server: Server) -> bool:
    """Whether a CARLA server is there; InputError where it is of another version."""
    with suppress(OSError):
        socket.create_connection((server.host, server.port), timeout=_LOOK_S).close()
        client = carla_client().Client(server.host, server.port)
        client.set_timeout(5.0)
        with suppress(RuntimeError):
            check_version(server, client.get_server_version())
            return True
    return False


def _free_port() -> int:
    """For a Traffic Manager of this process, beside those of others on this machine."""
    with socket.socket() as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])
