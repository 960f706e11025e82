"""How fast a CARLA server serves one client: a crowd moved by one batch a tick and read back, and a lidar.

Wall time counts, as client and server take turns, in blocks of which best and median are given: on a machine
that does other work, the best is nearest to what the server can do.
"""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from drivewm.errors import InputError
from drivewm_sim.carla_client.connection import Server, Session
from drivewm_sim.simulator import PHYSICS_S

VEHICLES, WALKERS = 30, 60
CHANNELS, RAYS = 32, 1024
BLOCK_TICKS = 100
STAGES = 2
_WARM_UP_TICKS = 20
_STEP_M = 0.01  # a tick
_WALK_MPS = 1.4
_ROUNDS = 20  # about the spawn points, until there is room for everybody

CpuSeconds: TypeAlias = Callable[[], float | None]
"""Seconds that a process has spent so far."""


@dataclass(frozen=True, kw_only=True)
class TickSpeed:
    """Ticks of 0.05 s with a batch before each and every actor's place and speed read after it."""

    ticks: int
    median: float  # ticks a second, over blocks
    best: float
    client_ms: float  # CPU of this process a tick, its threads included
    server_ms: float | None  # CPU of the server a tick, where it is known
    points: float = 0.0  # of the lidar, a turn


@dataclass(frozen=True, kw_only=True)
class CarlaSpeed:
    server: str  # "stand-in", or where the given one is
    town: str
    vehicles: int
    walkers: int
    plain: TickSpeed
    with_lidar: TickSpeed


def measure_carla(
    server: Server,
    town: str | None,
    seconds: float,
    *,
    name: str,
    cpu_s: CpuSeconds | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> CarlaSpeed:
    """Without and with a lidar, over so many simulated seconds each.

    town: loaded where it is not yet; None: the one that is there. name: what the answer calls the server.
    cpu_s: of the server, where it can be known; `advance` is told of each of STAGES stages.
    """
    try:
        session = Session(server)
        if town is not None and session.map_name() != town:
            if town not in session.map_names():
                raise InputError(
                    f"--town {town}: the server at {server} has {', '.join(session.map_names())}"
                )
            session.load(town)
        session.take_over()
        crowd = Crowd(session)
        try:
            crowd.gather()
            ticks = round(seconds / PHYSICS_S)
            advance("ticks")
            plain = _measure(crowd, ticks, cpu_s)
            advance("ticks with a lidar")
            with crowd.lidar() as counts:
                with_lidar = _measure(crowd, ticks, cpu_s, counts)
        finally:
            session.close([actor.id for actor in crowd.vehicles + crowd.walkers])
    except RuntimeError as error:  # what the client raises when calls fail
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the server at {server} gave up: {said}") from None
    return CarlaSpeed(
        server=name, town=session.map_name(), vehicles=VEHICLES, walkers=WALKERS, plain=plain,
        with_lidar=with_lidar,
    )  # fmt: skip


class Crowd:
    """Vehicles and walkers that go where they are put."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.vehicles: list[Any] = []
        self.walkers: list[Any] = []

    def gather(self) -> None:
        """Vehicles on spawn points, walkers beside them; InputError where there is no room."""
        world = self.session.world
        library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
        car = library.find("vehicle.tesla.model3")
        car.set_attribute("role_name", "drivewm")
        for point in points:
            if len(self.vehicles) < VEHICLES and (actor := world.try_spawn_actor(car, point)) is not None:
                self.vehicles.append(actor)
        looks = sorted(library.filter("walker.pedestrian.*"), key=lambda blueprint: str(blueprint.id))
        for k, place in enumerate(self._beside(points)):
            if len(self.walkers) == WALKERS:
                break
            look = looks[k % len(looks)]
            look.set_attribute("role_name", "drivewm")
            if (actor := world.try_spawn_actor(look, place)) is not None:
                self.walkers.append(actor)
        if len(self.vehicles) < VEHICLES or len(self.walkers) < WALKERS:
            raise InputError(
                f"{self.session.map_name()} has room for {len(self.vehicles)} vehicles and "
                f"{len(self.walkers)} walkers only, {VEHICLES} and {WALKERS} are needed; name another --town"
            )
        self.session.tick(())
        for actor in self.vehicles + self.walkers:
            actor.set_simulate_physics(False)
        self.session.tick(())
        self._home = [actor.get_transform() for actor in self.vehicles + self.walkers]

    def _beside(self, points: list[Any]) -> Iterator[Any]:
        """Places right of the spawn points, further and further away."""
        carla = self.session.carla
        for k in range(_ROUNDS):
            for point in points:
                right, at = point.get_right_vector(), point.location
                aside = 4.0 + k
                yield carla.Transform(
                    carla.Location(at.x + aside * right.x, at.y + aside * right.y, at.z + 1.0), point.rotation
                )

    def commands(self, step: int) -> list[Any]:
        """One batch that moves everybody on."""
        carla = self.session.carla
        put, walk = carla.command.ApplyTransform, carla.command.ApplyWalkerState
        places = []
        for home in self._home:
            at = home.location
            moved = carla.Location(at.x + _STEP_M * step, at.y, at.z)
            places.append(carla.Transform(moved, home.rotation))
        n = len(self.vehicles)
        batch = [put(a.id, at) for a, at in zip(self.vehicles, places[:n], strict=True)]
        return batch + [walk(a.id, at, _WALK_MPS) for a, at in zip(self.walkers, places[n:], strict=True)]

    @contextmanager
    def lidar(self) -> Iterator[queue.Queue[int]]:
        """The numbers of points of a lidar's turns, one a tick, while the block lasts."""
        world = self.session.world
        blueprint = world.get_blueprint_library().find("sensor.lidar.ray_cast_semantic")
        rate = 1.0 / PHYSICS_S
        about = {
            "channels": CHANNELS, "range": 80, "points_per_second": round(CHANNELS * RAYS * rate),
            "rotation_frequency": rate, "upper_fov": 10, "lower_fov": -30, "role_name": "drivewm",
        }  # fmt: skip
        for key, value in about.items():
            blueprint.set_attribute(key, str(value))
        above = self.session.carla.Transform(self.session.carla.Location(z=1.8))
        sensor = world.spawn_actor(blueprint, above, attach_to=self.vehicles[0])
        counts: queue.Queue[int] = queue.Queue()
        sensor.listen(lambda turn: counts.put(len(turn)))
        try:
            self._await_stream(counts)
            yield counts
        finally:
            sensor.stop()
            sensor.destroy()

    def _await_stream(self, counts: queue.Queue[int]) -> None:
        """Ticks until turns arrive: the client connects to the stream in a thread of its own."""
        until = time.monotonic() + self.session.server.timeout_s
        while time.monotonic() < until:
            self.session.tick(())
            time.sleep(0.2)
            if not counts.empty():
                while not counts.empty():
                    counts.get_nowait()
                return
        raise InputError(f"the server at {self.session.server} sends nothing from its semantic lidar")


def _measure(
    crowd: Crowd, ticks: int, cpu_s: CpuSeconds | None, counts: queue.Queue[int] | None = None
) -> TickSpeed:
    _run(crowd, _WARM_UP_TICKS, counts)
    blocks = max(ticks // BLOCK_TICKS, 1)
    client, server = time.process_time(), cpu_s() if cpu_s else None
    measured = [_run(crowd, BLOCK_TICKS, counts) for _ in range(blocks)]
    done = blocks * BLOCK_TICKS
    after = cpu_s() if cpu_s else None
    rates = [BLOCK_TICKS / seconds for seconds, _ in measured]
    return TickSpeed(
        ticks=done,
        median=float(np.median(rates)),
        best=max(rates),
        client_ms=1e3 * (time.process_time() - client) / done,
        server_ms=None if server is None or after is None else 1e3 * (after - server) / done,
        points=math.fsum(points for _, points in measured) / done,
    )


def _run(crowd: Crowd, ticks: int, counts: queue.Queue[int] | None) -> tuple[float, int]:
    """Seconds that so many ticks took, and the points that came."""
    begin, points = time.perf_counter(), 0
    for step in range(ticks):
        for actor in crowd.session.tick(crowd.commands(step)):
            actor.get_transform(), actor.get_velocity()
        if counts is not None:
            try:
                points += counts.get(timeout=crowd.session.server.timeout_s)
            except queue.Empty:
                raise InputError(
                    f"the server at {crowd.session.server} sent no turn of the lidar for a tick"
                ) from None
    return time.perf_counter() - begin, points
