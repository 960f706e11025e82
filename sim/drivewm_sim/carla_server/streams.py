"""Streams: who listens to which sensor, and the messages that go to them."""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from typing import Protocol

_MESSAGE = struct.Struct("<I")
_HEADER = struct.Struct("<QQd6f")  # type in the sensor registry, frame, timestamp, transform
_TOKEN = struct.Struct("<IHBB4s12x")
_TCP, _V4 = 1, 1


class Listener(Protocol):
    """The other end of a stream."""

    def send(self, data: bytes) -> None: ...


def token(stream_id: int, port: int, address: str) -> bytes:
    """Where a client finds a stream: 24 bytes."""
    return _TOKEN.pack(stream_id, port, _TCP, _V4, socket.inet_aton(address))


def message(sensor_type: int, frame: int, time_s: float, transform: tuple[float, ...], body: bytes) -> bytes:
    """One message of a sensor: its length, the 48-byte header, the body."""
    header = _HEADER.pack(sensor_type, frame, time_s, *transform)
    return _MESSAGE.pack(len(header) + len(body)) + header + body


class Streams:
    """Open streams by id, and their listeners."""

    def __init__(self) -> None:
        self._listeners: dict[int, list[Listener]] = defaultdict(list)
        self._open: set[int] = set()
        self._last: dict[int, bytes] = {}
        self._next = 1

    def open(self) -> int:
        """A new stream."""
        stream, self._next = self._next, self._next + 1
        self._open.add(stream)
        return stream

    def close(self, stream: int) -> None:
        self._open.discard(stream)
        self._listeners.pop(stream, None)
        self._last.pop(stream, None)

    def is_open(self, stream: int) -> bool:
        return stream in self._open

    def wanted(self, stream: int) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners.get(stream))

    def subscribe(self, stream: int, listener: Listener) -> None:
        self._listeners[stream].append(listener)
        if stream in self._last:
            listener.send(self._last[stream])

    def leave(self, listener: Listener) -> None:
        for there in self._listeners.values():
            if listener in there:
                there.remove(listener)

    def keep(self, stream: int, data: bytes) -> None:
        """For all who begin to listen before the next message is kept."""
        self._last[stream] = data

    def send(self, stream: int, data: bytes) -> None:
        """To all listeners."""
        for listener in list(self._listeners.get(stream, ())):
            listener.send(data)
