"""What becomes of a model's forecast before anyone sees it: its joint modes are made possible."""

from __future__ import annotations

from drivewm.lane_keeping import keep_to_lanes
from drivewm.personal_space import make_room
from drivewm.postprocess import follow_plan
from drivewm.types import Forecast, Scene


def plausible(forecast: Forecast, scene: Scene, plan: int = 0) -> Forecast:
    """Vehicles on lanes, the ego on its plan (row `plan`), pedestrians apart, in this order."""
    return make_room(follow_plan(keep_to_lanes(forecast, scene), scene, plan), scene)
