"""Throws malformed and hostile requests at a stand-in server.

python tests/carla_fuzz.py PORT [MESSAGES]

Three kinds: bytes at random, msgpack of any shape, and real calls with wrong arguments. Numbers come from
Python's own generator with a fixed seed. The server must answer `version` after every hundred.
"""

from __future__ import annotations

import random
import socket
import sys
from typing import Any

import msgpack

from drivewm_sim.carla_server.calls import CALLS

# Calls that take seconds when they succeed.
_SLOW = {"load_new_episode", "copy_opendrive_to_file"}


class Client:
    """A connection that reopens when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        self._unpacker = msgpack.Unpacker(strict_map_key=False)

    def throw(self, data: bytes, last: bool) -> None:
        """Sends without waiting. last: the server may read no more here, so a new connection follows."""
        self._socket.sendall(data)
        if last:
            self._socket.close()
            self._open()

    def version(self) -> str:
        """Asks on a fresh connection."""
        self._socket.close()
        self._open()
        self._socket.sendall(msgpack.packb((0, 77, "version", ((False,),))))
        while True:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed a good connection")
            self._unpacker.feed(data)
            for kind, number, _, result in self._unpacker:
                if (kind, number) == (1, 77):
                    return str(result[0][1])


def _thing(rng: random.Random, depth: int = 0) -> Any:
    """Anything that msgpack can write."""
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, 1, 2, 5, 24, -1, 2**31, 2**32, 2**63, -(2**63)])
    if kind == 2:
        return rng.choice([0.0, 1.0, float("nan"), float("inf"), -1e308, 1e30, rng.uniform(-100, 100)])
    if kind == 3:
        return rng.choice(["", "vehicle.tesla.model3", "walker.pedestrian.0001", "x" * 500, "grid"])
    if kind == 4:
        return rng.randbytes(rng.randrange(40))
    if kind in (5, 6):
        return [rng.uniform(-200, 200) for _ in range(3)]
    if kind == 7:
        return [_thing(rng, depth + 1) for _ in range(rng.randrange(6))]
    return {str(i): _thing(rng, depth + 1) for i in range(rng.randrange(3))}


def _message(rng: random.Random) -> tuple[bytes, bool]:
    """A message, and whether the server may close the connection over it."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 200)), True
    if kind == 1:
        return bytes(msgpack.packb(_thing(rng))), True
    name = rng.choice([n for n in CALLS if n not in _SLOW] + ["no_such_call"])
    good = [[False]] if rng.random() < 0.9 else []
    if name == "apply_batch":
        commands = [
            [[rng.randrange(-1, 24), [_thing(rng) for _ in range(rng.randrange(7))]]] for _ in range(5)
        ]
        parameters = [*good, commands, rng.random() < 0.1]
    else:
        parameters = [*good, *(_thing(rng) for _ in range(rng.randrange(6)))]
    return bytes(msgpack.packb((0, rng.randrange(2**32), name, parameters))), False


def fuzz(port: int, messages: int, seed: int = 1) -> None:
    """ConnectionError or TimeoutError where the server stops answering."""
    rng, client = random.Random(seed), Client(port)
    for sent in range(messages):
        client.throw(*_message(rng))
        if sent % 100 == 99 and client.version() != "0.9.16":
            raise ConnectionError("a wrong answer")


if __name__ == "__main__":
    fuzz(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
    print("the server lives")
