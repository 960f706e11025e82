"""Overlooking a cyclist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, drawn, on_route, spots
from drivewm_sim.street.situations.cast import (
    STEPS_OUT_M,
    WALK_UP_M,
    Span,
    Trigger,
    actor,
    staged,
    starts,
)
from drivewm_sim.street.state import PATH, Model
from drivewm_sim.street.vehicle_arrivals import placed, vehicle

CYCLIST_MPS = 5.0  # what a cyclist with `desired` 1 rides
LEAST_AHEAD_M = 10.0  # of the ego, at the start
LEAST_RIDE_S = 3.0


@dataclass(frozen=True, kw_only=True)
class CyclistConflict:
    """Somebody steps out in front of a cyclist who rides ahead of the ego."""

    margin_s: Span = (0.8, 1.8)  # from the first step into the lane to the cyclist's arrival there
    ahead_s: Span = (1.5, 4.0)  # of the ego, at the crossing
    speed_mps: Span = (4.0, 5.5)  # of the cyclist

    def stage(self, scene: Stage, row: int) -> Staged | None:
        speed = min(drawn(scene, row, 0, self.speed_mps), scene.speed_mps)
        ahead = drawn(scene, row, 1, self.ahead_s)
        options = spots(scene, [EdgeKind.MIDBLOCK, EdgeKind.ZEBRA, EdgeKind.SHARED])
        back = drawn(scene, row, 2, WALK_UP_M)
        for start in starts(scene, row, options, back, 0.0):
            spot = start.spot
            begins = max(spot.at_m - speed * (spot.at_m / scene.speed_mps - ahead), LEAST_AHEAD_M)
            if begins > spot.at_m - LEAST_RIDE_S * speed:
                continue
            walks = drawn(scene, row, 3, (1.1, 1.6))
            walker = actor(scene, row, start, go_m=STEPS_OUT_M, look=0.0, free_speed=walks)
            cyclist = _cyclist(scene, row, begins, speed)
            within = drawn(scene, row, 4, self.margin_s) + walker.lead_s
            trigger = Trigger(target=cyclist["uid"], within_s=within)
            return staged(scene, row, spot, trigger, [walker], vehicles=(cyclist,))
        return None


def _cyclist(scene: Stage, row: int, at_m: float, speed: float) -> dict[str, Any]:
    """A cyclist on the ego's way, who goes where the ego goes."""
    lane, s = on_route(scene, at_m)
    fields = vehicle(scene.street, lane, s, Model.BICYCLE, scene.seed, scene.next_uid())
    fields["desired"] = speed / CYCLIST_MPS
    following = scene.route[scene.route.index(lane) + 1 :][:PATH]
    path = np.full(PATH, -1)
    path[: len(following)] = following
    return {**placed(fields, scene.street, speed), "path": path, "turns": len(following), "director": row}
