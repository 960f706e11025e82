"""CARLA's Traffic Manager: it drives in threads of the client's process, one a port."""

from __future__ import annotations

from typing import Any

from drivewm_sim.carla_client.connection import Session

SEED = 1
"""Its choices come from this; its runs repeat only nearly, all the same."""


class TrafficManager:
    """In step with the session's ticks until it is stopped."""

    def __init__(self, session: Session) -> None:
        self._session, self.port = session, session.server.traffic_manager_port
        self._manager: Any = session.client.get_trafficmanager(self.port)
        self._manager.set_synchronous_mode(True)
        self._manager.set_random_device_seed(SEED)

    def stop(self) -> None:
        """Before its vehicles go: left alone it drives on in a world that is gone and crashes the process."""
        with self._session.watched():
            self._manager.shut_down()
