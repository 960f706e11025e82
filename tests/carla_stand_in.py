"""A stand-in server in a process of its own, and a client of it, as tests need them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-c", "import sys; from drivewm.cli import main; sys.exit(main())", "carla-server"]
CAR, OTHER, WALKER = "vehicle.tesla.model3", "vehicle.mini.cooper_s", "walker.pedestrian.0001"
LANE_Y = 1.625  # of the eastbound lane of `crossing`


class StandIn:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], port: int, stream_port: int, log: Path) -> None:
        self.process, self.port, self.stream_port, self.log = process, port, stream_port, log

    def lives(self) -> bool:
        return self.process.poll() is None


@contextmanager
def stand_in(folder: Path, town: str, *options: str) -> Iterator[StandIn]:
    """Serves a town on free ports until the block ends; what it logs goes to a file."""
    log = folder / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "--port", "0", "--map", town, *options],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"ready: .*:(\d+), streams on (\d+)", line)
        assert found, f"no ready line but {line!r}; log: {log.read_text()}"
        yield StandIn(process, int(found.group(1)), int(found.group(2)), log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def connect(server: StandIn, town: str, *, dt: float = 0.05) -> tuple[Any, Any]:
    """A client, and a street of its own in a town, ticked by us.

    The town is loaded once a server and then emptied: the client of 0.9.16 crashes now and then while it
    loads one, and with it the process.
    """
    import carla

    if _LOADED.get("server") is not server or _LOADED["town"] != town:
        client = carla.Client("127.0.0.1", server.port)
        client.set_timeout(60.0)
        _LOADED.update(server=server, town=town, client=client, world=client.load_world(town))
    client, world = _LOADED["client"], _LOADED["world"]
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, dt
    world.apply_settings(settings)
    world.tick()  # whoever has come since the last one is known from now on
    left = [
        a
        for a in world.get_actors()
        if a.type_id.split(".")[0] in ("vehicle", "walker", "sensor", "controller")
    ]
    client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in left], True)
    world.freeze_all_traffic_lights(False)
    world.reset_all_traffic_lights()
    return client, world


_LOADED: dict[str, Any] = {}
"""The street that `connect` gave last."""


def place(x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Any:
    import carla

    return carla.Transform(carla.Location(x, y, z), carla.Rotation(yaw=yaw))


def spawn(world: Any, name: str, where: Any, parent: Any = None, **attributes: object) -> Any:
    blueprint = world.get_blueprint_library().find(name)
    for key, value in attributes.items():
        blueprint.set_attribute(key, str(value))
    return world.spawn_actor(blueprint, where, attach_to=parent)


def xyz(vector: Any) -> list[float]:
    return [vector.x, vector.y, vector.z]


def measured(world: Any, sensor: Any, ticks: int = 1) -> list[Any]:
    """What a sensor sends in some ticks: one message each, or the events there were."""
    import queue

    got: queue.Queue[Any] = queue.Queue()
    sensor.listen(got.put)
    time.sleep(0.3)  # the client connects to the stream in a thread of its own
    frames = [world.tick() for _ in range(ticks)]
    out: list[Any] = []
    while not out or out[-1].frame < frames[-1]:
        try:
            out.append(got.get(timeout=1.0))
        except queue.Empty:
            break
    sensor.stop()
    return out
