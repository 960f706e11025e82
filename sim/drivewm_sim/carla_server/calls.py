"""Every remote call, by the name that libcarla uses: importing the modules below registers them."""

from drivewm_sim.carla_server import actor_calls, vehicle_calls, world_calls
from drivewm_sim.carla_server.registry import CALLS, Session, answer

__all__ = ["CALLS", "Session", "actor_calls", "answer", "vehicle_calls", "world_calls"]
