"""Keeps one CARLA server: leases ports on this machine, starts it, and ends it when its user is gone.

A program by itself, of the standard library alone: python keeper.py [USER, FIRST_PORT, "CARLA", "ARGUMENT
{port}"] as JSON, where USER is the process that starts it. It leaves its parent at once (Ray kills an actor's
children, and then nobody would end the server), says on standard output which port it leased and the server's
process, and lives until the server ends, its user does, `kill -9` included, or closes the pipe. A user that
does neither once its server has ended hangs in a call to that server, and is killed.

Processes that it signals are held by a descriptor or not yet reaped: a number may be somebody else's by then.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

BLOCK = 10
"""Ports of a lease: RPC, streams, further GPUs, Traffic Manager; the last one is held to say: taken."""
TRAFFIC_MANAGER = 3
_BLOCKS = 200
_NOTE_S = 6.0
"""So long a user may take to note that its server has ended."""
_GRACE_S = 10.0
"""So long a server may take to end by itself: `docker run` needs the time to end its container."""


def lease(first: int) -> tuple[int, socket.socket]:
    """The first port of a free block at or after `first`, and the socket that holds it while it is open.

    A socket needs no file, ends with its process, and is a machine's own. OSError where all blocks are taken.
    """
    for port in range(first, min(first + _BLOCKS * BLOCK, 65536 - BLOCK), BLOCK):
        with suppress(OSError):
            holder = _bound(port + BLOCK - 1)
            try:
                for used in range(port, port + TRAFFIC_MANAGER + 1):
                    _bound(used).close()
            except OSError:
                holder.close()
                raise
            return port, holder
    raise OSError(f"no {BLOCK} free ports in a row from {first} on")


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        # Over connections of a server that has just ended, but not beside one that listens.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        sock.listen(1)  # two sockets may be bound to a port, but only one may listen
    except OSError:
        sock.close()
        raise
    return sock


def log_path(port: int) -> Path:
    """Where a server's output goes."""
    return Path(tempfile.gettempdir()) / f"drivewm-carla-{os.getuid()}-{port}.log"


def keep(user: int, first: int, command: list[str]) -> str:
    """Runs the server until it ends, or the user (a descriptor) does; what became of it."""
    port, holder = lease(first)
    with closing(holder), log_path(port).open("wb") as log:
        server = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _say(port=port, pid=server.pid)
            _wait(server, user)
        finally:
            _end(server)
    code = server.returncode
    return f"signal {-code}" if code < 0 else f"status {code}"


def _wait(server: subprocess.Popen[bytes], user: int) -> None:
    """Until the server ends or the user does, who never writes."""
    ended = os.pidfd_open(server.pid)
    select.select([ended, user, sys.stdin], [], [])
    os.close(ended)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server and all that it started: CARLA's is a shell with Unreal beneath it.

    It is reaped last: until then the number of its group is nobody else's.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended = os.pidfd_open(server.pid)
    if not select.select([ended], [], [], 0.0)[0]:
        os.killpg(server.pid, signal.SIGTERM)
        select.select([ended], [], [], _GRACE_S)
    os.killpg(server.pid, signal.SIGKILL)
    os.close(ended)
    server.wait()


def _say(**what: object) -> None:
    os.write(1, f"{json.dumps(what)}\n".encode())  # unbuffered: nothing is left to fail at exit


def main(argument: str) -> None:
    parent, first, *command = json.loads(argument)
    user = os.pidfd_open(parent)
    if os.getppid() != parent:  # it has ended already
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not before the server is ended
    with suppress(BrokenPipeError):  # nobody is there to hear it
        try:
            _say(ended=keep(user, first, command))
            _free(user)
        except OSError as error:
            _say(failed=str(error))


def _free(user: int) -> None:
    """Ends a user that has not taken note: some calls of the client hold Python up until they time out."""
    if not select.select([user, sys.stdin], [], [], _NOTE_S)[0]:
        signal.pidfd_send_signal(user, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
