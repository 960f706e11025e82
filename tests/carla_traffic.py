"""Runs the client's Traffic Manager on a server of `grid`: 20 cars drive off, and those at red stand.

python carla_traffic.py PORT
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any, cast

from carla_stand_in import connect, spawn


def main(port: int) -> int:
    import carla

    client, world = connect(cast(Any, SimpleNamespace(port=port)), "grid")
    manager = client.get_trafficmanager(0)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(3)
    # Far from the map's edge, where the Traffic Manager takes cars away.
    inner = [p for p in world.get_map().get_spawn_points() if max(abs(p.location.x), abs(p.location.y)) < 95]
    cars = [spawn(world, "vehicle.nissan.micra", p) for p in inner[:: max(len(inner) // 20, 1)][:20]]
    world.tick()
    for car in cars:
        car.set_autopilot(True, manager.get_port())
        manager.auto_lane_change(car, False)
    begin = {car.id: car.get_location() for car in cars}
    world.freeze_all_traffic_lights(True)
    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)
    for _ in range(500):
        world.tick()
    there = {actor.id for actor in world.get_actors()}
    left = [car for car in cars if car.id in there]
    waiting = [car for car in left if car.is_at_traffic_light()]
    moved = [car for car in left if car.get_location().distance(begin[car.id]) > 3]
    print(f"{len(cars)} cars, {len(left)} left, {len(moved)} moved, {len(waiting)} at a light")
    standing = all(car.get_velocity().length() < 0.1 for car in waiting)
    return 0 if len(cars) == 20 and len(moved) > 10 and len(waiting) >= 5 and standing else 1


if __name__ == "__main__":
    # Without the clean-up of interpreter and client, which can hang too.
    sys.stdout.flush()
    code = main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(code)
