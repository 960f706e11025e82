"""Scenarios by name: how busy the street is."""

from __future__ import annotations

from dataclasses import replace

from drivewm_sim.simulator import Scenario

SCENARIOS: dict[str, Scenario] = {
    "street": Scenario(),
    "quiet": replace(Scenario(), vehicles_per_hour=300.0, pedestrians_per_hour=500.0),
    "busy": replace(Scenario(), vehicles_per_hour=560.0, pedestrians_per_hour=1400.0),
}
