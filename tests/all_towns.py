"""Every town there is: those shipped and, where the recordings lie beside the checkout, CARLA's."""

from __future__ import annotations

import pytest

from drivewm_sim.roads.towns import town_names

CARLA_TOWNS = ("Town01", "Town02", "Town04", "Town06", "Town07", "Town10HD")
everywhere = pytest.mark.parametrize(
    "name", [*town_names(), *(pytest.param(t, marks=pytest.mark.shared_data) for t in CARLA_TOWNS)]
)
