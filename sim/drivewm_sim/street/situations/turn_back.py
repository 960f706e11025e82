"""Changing one's mind on the road."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, drawn, spots
from drivewm_sim.street.situations.cast import AT_KERB_M, Span, starts, steps_out


@dataclass(frozen=True, kw_only=True)
class TurnBack:
    """Somebody sets off over the road, and half way turns back to the kerb."""

    margin_s: Span = (3.5, 6.0)  # from the first step into the ego's lane to the ego's arrival there
    turn_back_at: Span = (0.3, 0.6)  # share of the way over the carriageway
    far_side: float = 0.4  # probability of coming from the other side of the road

    def stage(self, scene: Stage, row: int) -> Staged | None:
        options = spots(scene, [EdgeKind.ZEBRA, EdgeKind.MIDBLOCK, EdgeKind.SHARED])
        for start in starts(scene, row, options, AT_KERB_M, self.far_side):
            return steps_out(
                scene, row, start, drawn(scene, row, 1, self.margin_s), look=1.0, critical_gap=2.2,
                hesitation=0.0, turn_back_at=drawn(scene, row, 0, self.turn_back_at),
            )  # fmt: skip
        return None
