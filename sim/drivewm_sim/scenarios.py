"""Scenarios by name: how busy the street is, and what directors stage on the ego's way."""

from __future__ import annotations

from dataclasses import replace

from drivewm_sim.simulator import Scenario
from drivewm_sim.street.situations import SITUATIONS

SCENARIOS: dict[str, Scenario] = {
    "street": Scenario(),
    "quiet": replace(Scenario(), traffic=0.6, walking=0.5),
    "busy": replace(Scenario(), traffic=1.3, walking=1.5),
    **{name: replace(Scenario(), situations=(name,)) for name in SITUATIONS},
}
