"""The CARLA servers that options name: one for each worker, running already or to be started."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

from drivewm.errors import InputError

if TYPE_CHECKING:
    from drivewm_sim.carla_client.servers import Source


def carla_sources(
    hosts: tuple[str, ...], ports: tuple[int, ...], launch: str | None, timeout_s: float, workers: int
) -> tuple[Source, ...]:
    """What `--host`, `--port`, `--launch` and `--server-timeout` name; InputError where they do not fit."""
    from drivewm_sim.carla_client.connection import Server
    from drivewm_sim.carla_client.servers import Launch

    if not timeout_s > 0:
        raise InputError(f"--server-timeout must be positive seconds, got {timeout_s}")
    for port in ports:
        if not 0 < port < 65535:
            raise InputError(f"--port {port}: expected 1 to 65534; sensor streams take the next one")
    if launch is not None:
        command = _command(launch)
        if len(ports) != 1:
            raise InputError(f"--launch looks for free ports from one --port on, got {len(ports)}")
        return (Launch(command=command, first_port=ports[0], timeout_s=timeout_s),) * workers
    count = max(len(hosts), len(ports))
    if not hosts or not ports or {len(hosts), len(ports)} - {1, count}:
        raise InputError(
            f"--host names {len(hosts)} and --port {len(ports)}; expected as many of both, or one of either"
        )
    pairs = list(zip(hosts * (count // len(hosts)), ports * (count // len(ports)), strict=True))
    if len(set(pairs)) < count:
        raise InputError("--host and --port name a server twice; one server serves one worker")
    if count != workers:
        raise InputError(
            f"--workers {workers} but {count} {'server' if count == 1 else 'servers'}: one server serves one "
            "worker; name as many with --host and --port, or start them with --launch"
        )
    return tuple(Server(host=host, port=port, timeout_s=timeout_s) for host, port in pairs)


def _command(launch: str) -> tuple[str, ...]:
    try:
        command = tuple(shlex.split(launch))
    except ValueError as error:
        raise InputError(f"--launch {launch!r}: {error}") from None
    if not any("{port}" in part for part in command):
        raise InputError(
            f"--launch {launch!r}: expected a command with {{port}} in it, such as "
            "'drivewm carla-server --port {port}'"
        )
    return command


def check_sources(sources: tuple[Source, ...], *, local: bool) -> None:
    """InputError where a server does not answer, or a command is not to be found on this machine."""
    from drivewm_sim.carla_client.connection import Server, connect

    for source in sources:
        if isinstance(source, Server):
            connect(source)
        elif local and shutil.which(source.command[0]) is None:
            raise InputError(f"--launch: there is no command {source.command[0]!r} here; give its whole path")
