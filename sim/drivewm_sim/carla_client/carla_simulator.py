"""A `Simulator` on a CARLA 0.9.16 server."""

from __future__ import annotations

from drivewm_sim.carla_client.connection import Server
from drivewm_sim.carla_client.moving import Driving
from drivewm_sim.carla_client.server_bodies import ServerBodies
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import Capabilities
from drivewm_sim.street_simulator import StreetSimulator


class CarlaSimulator(StreetSimulator):
    """The street on a server: `Scenario.town` is a shipped town, an OpenDRIVE file, a town of the server's,
    or `current`. It cannot go back in time. Close it: until then the server waits for our ticks.
    """

    def __init__(
        self, server: Server, driving: Driving = "velocity", sensors: SensorSuite | None = None
    ) -> None:
        self.bodies = ServerBodies(server, driving, sensors.lidar if sensors else None)
        super().__init__(self.bodies, sensors)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(branching=False, sensors=self._suite is not None, backend="carla")
