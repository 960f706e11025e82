"""A proxy between clients and a server that writes down which calls pass.

python tests/carla_recorder.py SERVER_PORT FILE

It is a process of its own: some calls of the client hold Python's lock until they are answered.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgpack


class Recorder:
    """What a proxy has written down so far. Clients connect to `port`."""

    def __init__(self, port: int, file: Path) -> None:
        self.port, self._file = port, file

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in self._file.read_text().splitlines()]

    def calls(self) -> list[str]:
        """Names of calls in the order in which they came."""
        return [name for name, *_ in self._lines()]

    def commands(self) -> Counter[int]:
        """How often commands of each index came in batches."""
        return Counter(int(index) for _, *indices in self._lines() for index in indices)


@contextmanager
def recorder(server_port: int, folder: Path) -> Iterator[Recorder]:
    """A proxy in front of a server until the block ends."""
    file = folder / "calls.txt"
    file.touch()
    command = [sys.executable, __file__, str(server_port), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Recorder(int(process.stdout.readline()), file)
        finally:
            process.terminate()


def _line(method: str, parameters: Any) -> str:
    commands = [str(command[0][0]) for command in parameters[1]] if method == "apply_batch" else []
    return " ".join([method, *commands]) + "\n"


def _pass_on(source: socket.socket, sink: socket.socket, read: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 18):
            read(data)  # before it goes on: whoever has an answer finds the call written down
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _join(client: socket.socket, server: socket.socket, out: IO[str]) -> None:
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 27)

    def write_down(data: bytes) -> None:
        unpacker.feed(data)
        for _, _, method, parameters in unpacker:
            out.write(_line(method, parameters))
            out.flush()

    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ways = ((client, server, write_down), (server, client, lambda _: None))
    for way in ways:
        threading.Thread(target=_pass_on, args=way, daemon=True).start()


def main(server_port: int, file: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    with Path(file).open("a") as out:
        while True:
            client, _ = listening.accept()
            _join(client, socket.create_connection(("127.0.0.1", server_port)), out)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
