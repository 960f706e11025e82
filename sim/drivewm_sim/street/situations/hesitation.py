"""Who goes first?"""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, drawn, near_side, spots, to_lane
from drivewm_sim.street.situations.cast import Span, back_m, starts, steps_out


@dataclass(frozen=True, kw_only=True)
class Hesitation:
    """Somebody sets off, stops short and looks at the driver; goes on once it yields, else lets it pass."""

    margin_s: Span = (2.0, 3.6)  # from the edge of the ego's lane to the ego's arrival there
    critical_gap_s: Span = (5.0, 6.5)

    def stage(self, scene: Stage, row: int) -> Staged | None:
        walks = scene.street.walks
        marked = spots(scene, [EdgeKind.ZEBRA])
        unmarked = spots(scene, [EdgeKind.MIDBLOCK, EdgeKind.SHARED])
        back = back_m(scene, row, 0, 0.5)
        for options in (marked, unmarked):
            # One hesitates before the first lane.
            options = [spot for spot in options if to_lane(walks, spot, near_side(walks, spot)) < 0.5]
            for start in starts(scene, row, options, back, 0.0):
                return steps_out(
                    scene, row, start, drawn(scene, row, 3, self.margin_s), look=1.0, hesitation=1.0,
                    critical_gap=drawn(scene, row, 2, self.critical_gap_s),
                )  # fmt: skip
        return None
