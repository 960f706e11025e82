"""Crossing where nothing is marked."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, drawn, spots
from drivewm_sim.street.situations.cast import WALK_UP_M, Span, Trigger, actor, staged, starts


@dataclass(frozen=True, kw_only=True)
class Jaywalk:
    """An adult crosses between crossings, in the first gap that seems large enough."""

    arrival_s: Span = (4.0, 9.0)  # of the ego, when the adult turns to the road
    critical_gap_s: Span = (2.4, 4.5)
    far_side: float = 0.4  # probability of coming from the other side of the road

    def stage(self, scene: Stage, row: int) -> Staged | None:
        options = spots(scene, [EdgeKind.MIDBLOCK, EdgeKind.SHARED])
        back = drawn(scene, row, 0, WALK_UP_M)
        for start in starts(scene, row, options, back, self.far_side):
            gap = drawn(scene, row, 1, self.critical_gap_s)
            adult = actor(scene, row, start, look=1.0, compliance=0.1, critical_gap=gap)
            trigger = Trigger(within_s=drawn(scene, row, 2, self.arrival_s))
            return staged(scene, row, start.spot, trigger, [adult])
        return None
