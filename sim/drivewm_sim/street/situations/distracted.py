"""Stepping out without looking."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, chance, drawn, spots
from drivewm_sim.street.situations.cast import WALK_UP_M, Span, starts, steps_out


@dataclass(frozen=True, kw_only=True)
class Distracted:
    """Somebody with the eyes on a telephone walks over the road without looking."""

    margin_s: Span = (1.8, 4.0)  # from the first step into the ego's lane to the ego's arrival there
    back_m: Span = WALK_UP_M  # where the walk begins, before the kerb
    marked: float = 0.5  # probability of a zebra, where there is one
    far_side: float = 0.3  # probability of coming from the other side of the road

    def stage(self, scene: Stage, row: int) -> Staged | None:
        marked, unmarked = spots(scene, [EdgeKind.ZEBRA]), spots(scene, [EdgeKind.MIDBLOCK, EdgeKind.SHARED])
        options = marked if marked and (not unmarked or chance(scene, row, 0, self.marked)) else unmarked
        back = drawn(scene, row, 1, self.back_m)
        for start in starts(scene, row, options, back, self.far_side):
            return steps_out(
                scene, row, start, drawn(scene, row, 3, self.margin_s), look=0.0, distracted=True,
                free_speed=drawn(scene, row, 2, (1.0, 1.4)),
            )  # fmt: skip
        return None
