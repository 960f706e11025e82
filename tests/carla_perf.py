"""How fast a stand-in server is: 30 vehicles and 60 walkers, all moved by one batch a tick and read back.

python tests/carla_perf.py [--lidar] [--ticks 600]

With `--lidar` a semantic lidar of 32 channels and 32,768 rays a tick is waited for too.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from carla_stand_in import connect, place, spawn, stand_in

VEHICLES, WALKERS = 30, 60


def crowd(world: Any) -> tuple[list[Any], list[Any]]:
    """Vehicles at spawn points, walkers on a lawn."""
    cars: list[Any] = []
    library = world.get_blueprint_library()
    for point in world.get_map().get_spawn_points():
        car = world.try_spawn_actor(library.find("vehicle.tesla.model3"), point)
        cars += [car] if car is not None and len(cars) < VEHICLES else []
    people: list[Any] = []
    names, k = sorted(b.id for b in library.filter("walker.pedestrian.*")), 0
    while len(people) < WALKERS:
        where = place(-40.0 + k % 40 * 2, 150.0 + k // 40 * 2, 1.0)
        person = world.try_spawn_actor(library.find(names[k % len(names)]), where)
        people += [person] if person is not None else []
        k += 1
    world.tick()
    for body in cars + people:
        body.set_simulate_physics(False)
    return cars, people


def mount_lidar(world: Any, car: Any) -> queue.Queue[int]:
    """Its messages, as numbers of points."""
    counts: queue.Queue[int] = queue.Queue()
    about = {
        "channels": 32, "range": 80, "points_per_second": 32 * 1024 * 20, "rotation_frequency": 20,
        "upper_fov": 10, "lower_fov": -30,
    }  # fmt: skip
    lidar = spawn(world, "sensor.lidar.ray_cast_semantic", place(0, 0, 1.8), car, **about)
    lidar.listen(lambda turn: counts.put(len(turn)))
    time.sleep(0.5)  # the client connects to the stream in a thread of its own
    return counts


def run(client: Any, world: Any, ticks: int, counts: queue.Queue[int] | None, crowd_: Any) -> str:
    import carla

    cars, people = crowd_
    put, walk = carla.command.ApplyTransform, carla.command.ApplyWalkerState
    car_at, person_at = [a.get_transform() for a in cars], [a.get_transform() for a in people]
    begin, points = time.perf_counter(), 0
    for _ in range(ticks):
        for at in car_at + person_at:
            at.location.x += 0.01
        batch = [put(a.id, at) for a, at in zip(cars, car_at, strict=True)]
        batch += [walk(a.id, at, 1.4) for a, at in zip(people, person_at, strict=True)]
        client.apply_batch_sync(batch, False)
        world.tick()
        for actor in world.get_snapshot():
            actor.get_transform(), actor.get_velocity()
        if counts is not None:
            points = counts.get(timeout=20)
    rate = ticks / (time.perf_counter() - begin)
    return f"{rate:.0f} ticks/s, {len(cars)} vehicles, {len(people)} walkers, {points} points a tick"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lidar", action="store_true")
    parser.add_argument("--ticks", type=int, default=600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder), "grid") as server:
        client, world = connect(server, "grid")
        everybody = crowd(world)
        counts = mount_lidar(world, everybody[0][0]) if asked.lidar else None
        for ticks in (50, asked.ticks, asked.ticks):
            print(run(client, world, ticks, counts, everybody), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
