"""The server's traffic lights show what our signal programmes say."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm.types import Aspect
from drivewm_sim.carla_client.connection import Session
from drivewm_sim.roads.governed import governed_lanes
from drivewm_sim.roads.opendrive import read_opendrive
from drivewm_sim.roads.town import Town


class SignalLights:
    """Frozen lights. One that no programme of ours governs is switched off."""

    def __init__(self, session: Session, town: Town, text: str) -> None:
        states = session.carla.TrafficLightState
        self._states = {Aspect.RED: states.Red, Aspect.YELLOW: states.Yellow, Aspect.GREEN: states.Green}
        session.freeze_lights()
        document, lanes = read_opendrive(text, town.name), town.street.lanes
        self._governed: list[tuple[Any, int]] = []  # lights, and the group of each
        for light in session.world.get_actors().filter("traffic.traffic_light*"):
            group = lanes.signal[governed_lanes(document, lanes, str(light.get_opendrive_id()))]
            if (group >= 0).any():
                self._governed.append((light, int(group[group >= 0][0])))
            else:
                light.set_state(states.Off)
        self._shown: ndarray | None = None

    def show(self, aspects: Int[ndarray, "G"]) -> None:
        """Every light shows its group's aspect from the next tick on; only those that change are told.

        One call a light: the client has no command for batches.
        """
        before, self._shown = self._shown, np.array(aspects)
        for light, group in self._governed:
            if before is None or before[group] != aspects[group]:
                light.set_state(self._states[Aspect(int(aspects[group]))])
