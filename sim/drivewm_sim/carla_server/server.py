"""The server: one thread that waits for clients, answers them in turn, and ticks where nobody else does."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import msgpack

from drivewm.errors import InputError
from drivewm_sim.carla_server.calls import Session, answer
from drivewm_sim.carla_server.connections import Closed, Connection, Requests, Subscription
from drivewm_sim.carla_server.world import World

log = logging.getLogger("drivewm.carla_server")

FREE_RUNNING_S = 0.05
"""Between two ticks of asynchronous mode."""

_SETTLE_S = 0.05
"""Between an episode's begin and the answer to whoever asked for it.

The client of 0.9.16 then leaves the old episode's stream and enters the new one's. If it is still opening the
old one, or has a snapshot of it in hand, it leaves the new one instead, and crashes. For the same reason no
tick of our own comes before it listens anew.
"""
_LONGEST_HOLD_S = 1.0  # if nobody listens anew
_LONGEST_DT = 0.2  # s; a server that was held up does not leap
_SEND_BUFFER = 4 << 20


class Ports:
    """The two ports of a server, taken at once. Clients are refused until it listens."""

    def __init__(self, host: str, port: int) -> None:
        """port: of RPC, streams take the next; 0: any two. InputError where they are taken."""
        self.host = host
        self.rpc = self._take(port)
        self.port: int = self.rpc.getsockname()[1]
        try:
            self.streams = self._take(self.port + 1 if port else 0)
        except InputError:
            self.rpc.close()
            raise
        self.stream_port: int = self.streams.getsockname()[1]

    def _take(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self.host, port))
        except OSError as error:
            sock.close()
            raise self._taken(port, error) from None
        sock.setblocking(False)
        return sock

    def listen(self) -> None:
        """Lets clients in; InputError where somebody else has begun to listen there."""
        for sock in (self.rpc, self.streams):
            try:
                sock.listen(64)
            except OSError as error:
                raise self._taken(sock.getsockname()[1], error) from None

    def _taken(self, port: int, error: OSError) -> InputError:
        return InputError(
            f"{self.host}:{port}: cannot listen there ({error.strerror}); name another --port or --host "
            "(two ports are taken, the second for sensor streams)"
        )


class Server:
    """A world behind two ports: `serve` answers until `stop` is called."""

    def __init__(self, world: World, ports: Ports) -> None:
        self.world = world
        self.port, self.stream_port = ports.port, ports.stream_port
        ports.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(ports.rpc, selectors.EVENT_READ, self._accept_client)
        self._selector.register(ports.streams, selectors.EVENT_READ, self._accept_listener)
        self._packer = msgpack.Packer(autoreset=True)
        self._logged: set[str] = set()
        self._stopping = False
        self._last_tick = time.monotonic()
        self._held_until = 0.0

    def serve(self) -> None:
        """Answers clients until `stop`."""
        while not self._stopping:
            for key, events in self._selector.select(self._patience()):
                key.data(key.fileobj, events)
            if not self.world.settings.synchronous_mode and self._patience() <= 0.0:
                self._tick_freely()
        self.close()

    def stop(self) -> None:
        """Ends `serve` after what it is doing; safe in a signal handler."""
        self._stopping = True

    def close(self) -> None:
        """Closes all sockets."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    # Time

    def _patience(self) -> float:
        """Seconds that may be spent waiting."""
        if self.world.settings.synchronous_mode:
            return 0.5
        return max(self._last_tick + self._period(), self._held_until) - time.monotonic()

    def _period(self) -> float:
        return self.world.settings.fixed_dt or FREE_RUNNING_S

    def _tick_freely(self) -> None:
        now = time.monotonic()
        dt = self.world.settings.fixed_dt or min(max(now - self._last_tick, 1e-3), _LONGEST_DT)
        self._last_tick = now
        self.world.tick(dt)
        self._measure()

    def _measure(self) -> None:
        try:
            self.world.measure()
        except Exception as error:  # a sensor with strange attributes is silent, no more
            self._once(f"sensors {error}", "a sensor failed: %s: %s", type(error).__name__, error)

    # Clients

    def _accept_client(self, listening: Any, _: int) -> None:
        connection, address = self._accept(listening)
        if connection is None:
            return
        session = Session(self.world, connection.sock.getsockname()[0], self.stream_port)
        requests = Requests()

        def read(data: bytes) -> None:
            for number, method, parameters in requests.feed(data):
                self._answer(connection, session, number, method, parameters)

        self._watch(connection, read, session.leave, f"client {address}")

    def _accept_listener(self, listening: Any, _: int) -> None:
        connection, address = self._accept(listening)
        if connection is None:
            return
        subscription = Subscription()

        def read(data: bytes) -> None:
            stream = subscription.feed(data)
            if stream is not None:
                if not self.world.streams.is_open(stream):
                    raise Closed(f"no stream {stream}")
                self.world.streams.subscribe(stream, connection)
                if stream == self.world.observer:
                    self._held_until = 0.0

        def leave() -> None:
            self.world.streams.leave(connection)

        self._watch(connection, read, leave, f"listener {address}")

    def _accept(self, listening: socket.socket) -> tuple[Any, Any]:
        try:
            sock, address = listening.accept()
        except OSError:  # the client left before it was let in, or there are too many
            return None, None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return Connection(sock, self._rewatch), address

    def _watch(
        self, connection: Connection, read: Callable[[bytes], None], leave: Callable[[], None], who: str
    ) -> None:
        def ready(_: Any, events: int) -> None:
            try:
                if events & selectors.EVENT_WRITE:
                    connection.flush()
                if events & selectors.EVENT_READ:
                    read(connection.receive())
            except Closed as closed:
                if str(closed):
                    self._once(str(closed)[:40], "%s: connection closed, %s", who, closed)
                leave()
                self._drop(connection)

        self._selector.register(connection.sock, selectors.EVENT_READ, ready)

    def _rewatch(self, connection: Connection) -> None:
        """Waits for room to write only while something is to be written."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.writing else 0)
        key = self._selector.get_map().get(connection.sock)
        if key is not None and key.events != events:
            self._selector.modify(connection.sock, events, key.data)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()

    # Requests

    def _answer(
        self, connection: Connection, session: Session, number: int, method: str, parameters: Any
    ) -> None:
        episode = self.world.episode
        reply = self._reply(session, number, method, parameters)
        if self.world.episode != episode:
            time.sleep(_SETTLE_S)
            self._held_until = time.monotonic() + _LONGEST_HOLD_S
        connection.send(reply)
        if session.ticked:
            session.ticked = False
            self._measure()

    def _reply(self, session: Session, number: int, method: str, parameters: Any) -> bytes:
        try:
            result = answer(session, method, parameters)
            return self._packer.pack((1, number, None, result))
        except KeyError as error:
            if error.args != (method,):
                return self._bug(number, method, error)
            self._once(method, "%s: no such call here; clients get an error", method[:80])
            return self._error(number, f"rpc: this server has no call {method[:80]!r}")
        except Exception as error:  # whatever a client sends, the server lives
            return self._bug(number, method, error)

    def _bug(self, number: int, method: str, error: Exception) -> bytes:
        self._packer.reset()
        what = f"{type(error).__name__}: {error}"[:200]
        self._once(f"{method} {type(error).__name__}", "%s failed: %s", method[:80], what)
        return self._error(number, f"rpc: {method} failed, {what}")

    def _error(self, number: int, message: str) -> bytes:
        data: bytes = self._packer.pack((1, number, message, None))
        return data

    def _once(self, key: str, text: str, *values: object) -> None:
        """Logs each kind of trouble once; a client that repeats itself fills no disk."""
        if key not in self._logged and len(self._logged) < 1000:
            self._logged.add(key)
            log.warning(text, *values)
