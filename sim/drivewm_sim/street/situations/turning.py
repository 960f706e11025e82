"""Turning off against people."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivewm.types import Aspect
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, chance, drawn, turning_spots
from drivewm_sim.street.situations.cast import Span, Trigger, back_m, starts, steps_out

GREEN_LEFT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Turning:
    """A vehicle turns off (the ego, else another one) while somebody crosses the arm that it turns into."""

    margin_s: Span = (1.5, 4.0)  # from the first step into the vehicle's lane to its arrival there
    looks: float = 0.6  # probability; others trust in being seen

    def stage(self, scene: Stage, row: int) -> Staged | None:
        walks, back = scene.street.walks, back_m(scene, row, 0, 0.5)
        for start in starts(scene, row, turning_spots(scene), back, 0.5):
            group = int(walks.signal[start.spot.edge])
            green = Trigger(group=group, shows=int(Aspect.GREEN), left=(GREEN_LEFT_S, math.inf))
            return steps_out(
                scene, row, start, drawn(scene, row, 3, self.margin_s), green, critical_gap=2.2,
                look=float(chance(scene, row, 2, self.looks)),
            )  # fmt: skip
        return None
