"""Sockets of clients: what comes in is cut into messages, what goes out waits until it can."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgpack

LARGEST_MESSAGE = 64 << 20
"""Bytes of one request; an OpenDRIVE document of a town is some megabytes."""

_LARGEST_ARRAY = 1 << 16
_BACKLOG = 256 << 20  # bytes that may wait for a client that does not read
_READ = 1 << 18


class Closed(Exception):
    """The connection is to be closed; the message says why ("" where the client left)."""


class Connection:
    """One client's socket, never waiting. `changed` is told when it begins or ends to wait for room."""

    def __init__(self, sock: socket.socket, changed: Callable[[Connection], None]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._changed = changed
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self.broken = False

    @property
    def writing(self) -> bool:
        return bool(self._waiting)

    def send(self, data: bytes) -> None:
        """Sends now what goes, keeps the rest. A broken connection is found by whoever reads it."""
        if self.broken:
            return
        view = memoryview(data)
        if not self._waiting:
            view = view[self._push(view) :]
        if len(view):
            self._waiting.append(view)
            self._size += len(view)
            if self._size > _BACKLOG:
                self._give_up()
            self._changed(self)

    def _give_up(self) -> None:
        """Keeps nothing for a client that does not read, and makes it found by whoever reads it."""
        self.broken = True
        self._waiting.clear()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def flush(self) -> None:
        """Sends more of what waits."""
        while self._waiting:
            view = self._waiting[0]
            sent = self._push(view)
            self._size -= sent
            if sent < len(view):
                self._waiting[0] = view[sent:]
                return
            self._waiting.popleft()
        self._changed(self)

    def _push(self, view: memoryview) -> int:
        try:
            return self.sock.send(view)
        except BlockingIOError:
            return 0
        except OSError:
            self.broken = True
            return len(view)

    def receive(self) -> bytes:
        """What has come; Closed where the other end is gone."""
        if self.broken:
            raise Closed("it does not read what it asked for" if self._size > _BACKLOG else "")
        try:
            data = self.sock.recv(_READ)
        except BlockingIOError:
            return b""
        except OSError:
            raise Closed("") from None
        if not data:
            raise Closed("")
        return data


class Requests:
    """Cuts a byte stream into msgpack-rpc requests."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False, use_list=False, max_buffer_size=LARGEST_MESSAGE, max_array_len=_LARGEST_ARRAY,
            max_map_len=1024, max_ext_len=1024, max_str_len=LARGEST_MESSAGE, max_bin_len=LARGEST_MESSAGE,
        )  # fmt: skip

    def feed(self, data: bytes) -> Iterator[tuple[int, str, Any]]:
        """Message id, method and parameters of every request that is complete; Closed where one is none."""
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                yield _request(message)
        except Closed:
            raise
        except Exception as error:  # msgpack raises many kinds, of its own and Python's
            raise Closed(f"no msgpack-rpc: {type(error).__name__} {error}") from None


def _request(message: Any) -> tuple[int, str, Any]:
    if isinstance(message, tuple) and len(message) == 4:
        kind, number, method, parameters = message
        if (
            type(kind) is int and kind == 0 and type(number) is int and 0 <= number < 1 << 32
            and isinstance(method, str) and isinstance(parameters, tuple)
        ):  # fmt: skip
            return number, method, parameters
    raise Closed(f"expected [0, id, method, parameters], got {message!r:.80}")


_STREAM = struct.Struct("<I")


class Subscription:
    """The first four bytes of a stream connection name the stream; nothing else may come."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> int | None:
        """The stream, once its name is complete."""
        self._data += data
        if len(self._data) > _STREAM.size:
            raise Closed("more than a stream id came")
        return int(_STREAM.unpack(self._data)[0]) if len(self._data) == _STREAM.size else None
