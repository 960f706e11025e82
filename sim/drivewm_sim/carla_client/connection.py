"""A session with a CARLA server: found, checked, ticked in step with us, left as it was.

The `carla` package is imported here, when somebody wants a server, and nowhere else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from drivewm.errors import InputError
from drivewm_sim.simulator import PHYSICS_S

VERSION = "0.9.16"
ROLES = ("drivewm", "hero")
"""What our actors are called; the ego is the hero, as in CARLA's own programs."""
_MEET_S = 10.0  # in which a server must tell its version
LEAVE_S = 5.0
"""A server that has died is not waited for longer when we go."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a CARLA server is. What leases ports hands these out."""

    host: str = "127.0.0.1"
    port: int = 2000  # RPC; streams take the next
    traffic_manager_port: int = 8000
    timeout_s: float = 60.0  # of a call or a tick; loading a large town takes a while

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class NotThere(InputError):
    """No server answers. Another try may find one."""


def carla_client() -> Any:
    """The `carla` module; InputError where it is not installed."""
    try:
        import carla
    except ImportError:
        raise InputError(
            'pip install "drivewm[sim]" to use a CARLA server (carla is missing; it has wheels for Linux '
            "x86-64 and Windows, Python 3.10 to 3.12)"
        ) from None
    return carla


def connect(server: Server) -> Any:
    """A client of a server of the right version; InputError where there is none (`NotThere`) or another."""
    carla = carla_client()
    try:
        socket.create_connection((server.host, server.port), timeout=min(server.timeout_s, 5.0)).close()
    except (OSError, OverflowError) as error:
        raise NotThere(
            f"no CARLA server answers at {server} ({error}); start one, say `drivewm carla-server --port "
            f"{server.port}`, or name another with --host and --port"
        ) from None
    client = carla.Client(server.host, server.port)
    client.set_timeout(min(server.timeout_s, _MEET_S))
    try:
        version = client.get_server_version()
    except RuntimeError as error:
        raise NotThere(
            f"{server}: no CARLA server speaks there, or it hangs ({_line(error)}); name its RPC port, "
            "which is one below that of its streams"
        ) from None
    check_version(server, version)
    client.set_timeout(server.timeout_s)
    return client


def check_version(server: Server, version: str) -> None:
    """InputError where a server's version is not the client's."""
    if not version.startswith(VERSION):
        raise InputError(f"the server at {server} is CARLA {version}; this client needs {VERSION}")


class Session:
    """One world, ticked by us in steps of 0.05 s until it is closed."""

    ticking_since: ClassVar[float | None] = None
    """The monotonic time at which this process went into a tick or another watched call; None outside."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = connect(server)
        self.carla = carla_client()
        self.frame = 0
        self._use(self.client.get_world())
        self._settings = self.world.get_settings()
        self._froze = False
        if self._clear():
            self.leave_running()

    def _use(self, world: Any) -> None:
        self.world = world

    def map_names(self) -> list[str]:
        """Bare names of the maps that can be loaded."""
        return sorted({name.rpartition("/")[2] for name in self.client.get_available_maps()})

    def map_name(self) -> str:
        """The bare name of the map that is loaded."""
        return str(self.world.get_map().name).rpartition("/")[2]

    def load(self, name: str) -> None:
        """Another map of the server's."""
        self._use(self.client.load_world(name, False))

    def generate(self, opendrive: str) -> None:
        """A bare world from an OpenDRIVE document: roads without anything beside them."""
        no_walls = self.carla.OpendriveGenerationParameters(wall_height=0.0)
        self._use(self.client.generate_opendrive_world(opendrive, no_walls, reset_settings=False))

    def _clear(self) -> bool:
        """Removes actors that an earlier run of ours left when it was killed; whether there were any.

        A hero alone is somebody else's.
        """
        waits = self._settings.synchronous_mode
        if waits:
            self.tick(())  # a new client knows of nobody before
        role_of = {actor.id: actor.attributes.get("role_name") for actor in self.world.get_actors()}
        if ROLES[0] not in role_of.values():
            return False
        self.apply([self.carla.command.DestroyActor(k) for k, role in role_of.items() if role in ROLES])
        self.tick(()) if waits else self.world.wait_for_tick(self.server.timeout_s)
        return True

    def leave_running(self) -> None:
        """When we go, the server is to run by itself, as a fresh one does: what we found was our own."""
        settings = self._settings
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        settings.no_rendering_mode = False
        self._froze = True

    def take_over(self) -> None:
        """From now on the world waits for our ticks."""
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, PHYSICS_S
        settings.no_rendering_mode = True  # lidars need none
        self.world.apply_settings(settings)
        self.tick(())

    def freeze_lights(self) -> None:
        """Traffic lights show what they are told, until we go."""
        self._froze = True
        self.world.freeze_all_traffic_lights(True)

    def apply(self, commands: Sequence[Any]) -> list[Any]:
        """What the server answers to a batch of commands, at once."""
        return list(self.client.apply_batch_sync(list(commands), False)) if commands else []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around calls that may never return: `ticking_since` tells other threads."""
        Session.ticking_since = time.monotonic()
        try:
            yield
        finally:
            Session.ticking_since = None

    def tick(self, commands: Sequence[Any]) -> Any:
        """Commands, 0.05 s, and the snapshot after it."""
        with self.watched():
            self.apply(commands)
            self.frame = self.world.tick(self.server.timeout_s)
            until = time.monotonic() + self.server.timeout_s
            while (snapshot := self.world.get_snapshot()).frame < self.frame:
                if time.monotonic() > until:
                    raise RuntimeError(f"no snapshot of frame {self.frame} from {self.server}")
            return snapshot

    def close(self, actors: Sequence[int]) -> None:
        """Removes the actors and puts the server's settings back. Says nothing where the server is gone."""
        with suppress(RuntimeError):
            self.client.set_timeout(LEAVE_S)
            self.apply([self.carla.command.DestroyActor(k) for k in actors])
            if self._froze:
                self.world.freeze_all_traffic_lights(False)
                self.world.reset_all_traffic_lights()
            self.world.tick(LEAVE_S)
            self.world.apply_settings(self._settings)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
