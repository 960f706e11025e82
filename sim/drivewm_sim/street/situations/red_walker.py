"""Crossing on red."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drivewm.types import Aspect
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, chance, drawn, lead_s, signalled_spots
from drivewm_sim.street.situations.cast import Span, Trigger, back_m, starts, steps_out


@dataclass(frozen=True, kw_only=True)
class RedWalker:
    """Somebody walks over a signalled crossing on red, before the ego."""

    margin_s: Span = (2.0, 5.0)  # from the first step into the ego's lane to the ego's arrival there
    red_left_s: float = 6.0  # at least, once on the road
    looks: float = 0.7  # probability
    far_side: float = 0.4  # probability of coming from the other side of the road

    def stage(self, scene: Stage, row: int) -> Staged | None:
        walks, back = scene.street.walks, back_m(scene, row, 0, 0.6)
        for start in starts(scene, row, signalled_spots(scene), back, self.far_side):
            speed, group = drawn(scene, row, 2, (1.3, 1.7)), int(walks.signal[start.spot.edge])
            lead = lead_s(walks, start.spot, start.stand, start.forward, speed)
            red = Trigger(group=group, shows=int(Aspect.RED), left=(self.red_left_s + lead, math.inf))
            return steps_out(
                scene, row, start, drawn(scene, row, 4, self.margin_s), red, free_speed=speed,
                compliance=0.0, look=float(chance(scene, row, 3, self.looks)), critical_gap=2.0,
                hesitation=0.0,
            )  # fmt: skip
        return None
