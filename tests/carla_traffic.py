"""Runs the client's Traffic Manager on a server of `grid`: 20 cars drive off, until all stand at red lights.

python carla_traffic.py PORT
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from types import SimpleNamespace
from typing import Any, cast

from carla_stand_in import connect, spawn

OTHER = """
import carla, os, sys
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(10.0)
print(client.get_trafficmanager(int(sys.argv[2])).get_port(), end="", flush=True)
os._exit(0)
"""


def main(port: int) -> int:
    import carla

    client, world = connect(cast(Any, SimpleNamespace(port=port)), "grid")
    with socket.create_server(("127.0.0.1", 0)) as free:
        manager_port = free.getsockname()[1]
    manager = client.get_trafficmanager(manager_port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(3)
    # Far from the map's edge, where the Traffic Manager takes cars away.
    inner = [p for p in world.get_map().get_spawn_points() if max(abs(p.location.x), abs(p.location.y)) < 95]
    cars = [spawn(world, "vehicle.nissan.micra", p) for p in inner[:: max(len(inner) // 20, 1)][:20]]
    world.tick()
    pilots = [carla.command.SetAutopilot(car.id, True, manager.get_port()) for car in cars]
    assert not any(response.error for response in client.apply_batch_sync(pilots))
    for car in cars:
        manager.auto_lane_change(car, False)
    begin = {car.id: car.get_location() for car in cars}
    world.freeze_all_traffic_lights(True)
    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)
    for _ in range(1500):
        world.tick()
    there = {actor.id for actor in world.get_actors()}
    left = [car for car in cars if car.id in there]
    waiting = [car for car in left if car.is_at_traffic_light()]
    moved = [car for car in left if car.get_location().distance(begin[car.id]) > 3]
    standing = [car for car in left if car.get_velocity().length() < 0.1]
    print(
        f"{len(cars)} cars, {len(left)} left, {len(moved)} moved, {len(waiting)} at a light, "
        f"{len(standing)} stand"
    )
    met = subprocess.run(
        [sys.executable, "-c", OTHER, str(port), str(manager.get_port())],
        capture_output=True,
        text=True,
        timeout=20,
    )
    print("another process is led to the manager on port", met.stdout)
    assert met.stdout == str(manager.get_port()), met.stderr
    manager.shut_down()
    good = len(cars) == 20 and len(left) >= 18 and len(moved) > 10 and len(waiting) >= 10
    return 0 if good and len(standing) == len(left) else 1


if __name__ == "__main__":
    try:
        code = main(int(sys.argv[1]))
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)  # without the clean-up of interpreter and client, which can hang too
