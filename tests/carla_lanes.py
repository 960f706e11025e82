"""How near to the middle of their lanes the client's Traffic Manager keeps 20 vehicles on a stand-in.

python tests/carla_lanes.py TOWN [TICKS] [--maps FOLDER] [--seed N]

TOWN is a shipped town, or with --maps one of a folder of OpenDRIVE files, such as Town10HD. Figures come as
JSON on the last line. Exit 3: the Traffic Manager of 0.9.16 has dead-locked, as it does now and then; run it
again. Exit 4: the server does not answer any more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from carla_stand_in import StandIn, connect, stand_in
from killable import DEAD_LOCK

STALL_S = 15.0
DEAD_SERVER = 4
MANAGER_PORT = 8123
VEHICLES = 20


def stop_when_stalled(server: StandIn, alive: list[float]) -> None:
    """Ends this process, and its server, when nothing has been ticked for long."""
    while time.monotonic() - alive[0] < STALL_S:
        time.sleep(1.0)
    answers = server.lives() and answered(server)
    print("the Traffic Manager has dead-locked" if answers else "the server does not answer", flush=True)
    server.process.kill()
    os._exit(DEAD_LOCK if answers else DEAD_SERVER)


def answered(server: StandIn) -> bool:
    import carla

    client = carla.Client("127.0.0.1", server.port)
    client.set_timeout(5.0)
    try:
        return bool(client.get_server_version())
    except RuntimeError:
        return False


def drive_off(client: Any, world: Any, seed: int) -> list[Any]:
    """Cars of many models on autopilot, lane changes off, at 70 % of the limit."""
    manager = client.get_trafficmanager(MANAGER_PORT)
    manager.global_percentage_speed_difference(30.0)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(seed)
    names = sorted(b.id for b in world.get_blueprint_library().filter("vehicle.*"))
    points = world.get_map().get_spawn_points()
    cars: list[Any] = []
    for point in points[:: max(len(points) // 25, 1)]:
        name = names[len(cars) * 3 % len(names)]
        car = world.try_spawn_actor(world.get_blueprint_library().find(name), point)
        cars += [car] if car is not None and len(cars) < VEHICLES else []
    world.tick()
    for car in cars:
        car.set_autopilot(True, MANAGER_PORT)
        manager.auto_lane_change(car, False)
    return cars


def beside(world_map: Any, place: Any) -> float:
    """Metres from the middle of the lane."""
    middle = world_map.get_waypoint(place).transform
    right, at = middle.get_right_vector(), middle.location
    return abs((place.x - at.x) * right.x + (place.y - at.y) * right.y)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("town")
    parser.add_argument("ticks", type=int, nargs="?", default=1000)
    parser.add_argument("--maps", default="")
    parser.add_argument("--seed", type=int, default=3)
    asked = parser.parse_args()
    options = ("--maps", asked.maps) if asked.maps else ()
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder), asked.town, *options) as server:
        client, world = connect(server, asked.town)
        world_map, alive = world.get_map(), [time.monotonic()]
        threading.Thread(target=stop_when_stalled, args=(server, alive), daemon=True).start()
        cars = drive_off(client, world, asked.seed)
        begin = [car.get_location() for car in cars]
        moved, off = set(), []
        for _ in range(asked.ticks):
            world.tick()
            alive[0] = time.monotonic()
            snapshot = world.get_snapshot()
            for k, car in enumerate(cars):
                now = snapshot.find(car.id)
                if now is None:
                    continue
                place = now.get_transform().location
                off.append(beside(world_map, place))
                if place.distance(begin[k]) > 20.0:
                    moved.add(k)
        left = sum(snapshot.find(car.id) is not None for car in cars)
        middle, high, most = (round(float(m), 3) for m in np.percentile(off, [50, 99, 100]))
        figures = {
            "vehicles": len(cars), "left": left, "moved_20_m": len(moved), "ticks": asked.ticks,
            "median_m": middle, "p99_m": high, "most_m": most,
        }  # fmt: skip
        print(json.dumps(figures))
        server.process.terminate()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without the client's clean-up, which can hang
