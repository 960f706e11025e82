"""Ticks a stand-in server for long while actors come and go; prints its memory, fails where that grows.

python tests/carla_soak.py [TICKS]
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from carla_stand_in import connect, stand_in

MOST_GROWTH_MB = 20
STALL_S = 5.0


def memory_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def change(world: Any, actors: list[Any], points: list[Any], rng: random.Random) -> None:
    """A vehicle with an IMU comes, or one of the actors goes."""
    import carla

    library = world.get_blueprint_library()
    if len(actors) < 40 and rng.random() < 0.6:
        names = sorted(b.id for b in library.filter("vehicle.*"))
        car = world.try_spawn_actor(library.find(rng.choice(names)), rng.choice(points))
        if car is not None:
            car.apply_control(carla.VehicleControl(throttle=0.4, steer=rng.uniform(-0.2, 0.2)))
            imu = library.find("sensor.other.imu")
            actors += [car, world.spawn_actor(imu, carla.Transform(), car)]
    elif actors:
        actor = actors.pop(rng.randrange(len(actors)))
        if actor.is_alive:
            with suppress(RuntimeError):  # a sensor goes with its vehicle
                actor.destroy()


def main(ticks: int) -> int:
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder), "grid") as server:
        _, world = connect(server, "grid")
        rng, points = random.Random(1), world.get_map().get_spawn_points()
        actors: list[Any] = []
        sizes, worst, begin = [], 0.0, time.perf_counter()
        for tick in range(ticks):
            if tick % 5 == 0:
                change(world, actors, points, rng)
            before = time.perf_counter()
            world.tick()
            worst = max(worst, time.perf_counter() - before)
            if (tick > 0 and tick % max(ticks // 5, 1) == 0) or tick == ticks - 1:
                sizes.append(memory_mb(server.process.pid))
                print(f"tick {tick}: {sizes[-1]} MB, {len(world.get_actors())} actors", flush=True)
        rate = ticks / (time.perf_counter() - begin)
        print(f"{rate:.0f} ticks/s, the longest took {worst:.2f} s", flush=True)
        return 0 if sizes[-1] - sizes[0] <= MOST_GROWTH_MB and worst < STALL_S else 1


if __name__ == "__main__":
    code = main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    sys.stdout.flush()
    os._exit(code)  # without the client's clean-up, which can hang
