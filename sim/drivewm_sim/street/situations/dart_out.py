"""A child runs out from where a parked vehicle hides it."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.boxes import Boxes, no_boxes
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import (
    Spot,
    Stage,
    Stand,
    add_boxes,
    drawn,
    in_drawn_order,
    lead_s,
    near_side,
    spots,
    stand,
)
from drivewm_sim.street.sight import StaticGrid, make_static_grid
from drivewm_sim.street.situations.cast import Span, Start, Trigger, actor, staged
from drivewm_sim.street.situations.occluders import LOOKED_AT, hidden, van_at_the_kerb
from drivewm_sim.street.state import Age

BACKS_M = (1.0, 1.6, 2.2)  # before the kerb, the nearest first
HIDDEN_S = (3.0, 3.5, 4.0, 5.0, 6.0)  # of the ego's driving before the conflict
HEIGHT_M = 1.25
RUNS_M = 6.0  # starts to run at once


@dataclass(frozen=True, kw_only=True)
class DartOut:
    """A child runs onto the road from behind a parked van, without looking."""

    margin_s: Span = (1.5, 3.0)  # from its first step into the lane to the ego's arrival there
    speed_mps: Span = (2.2, 3.1)  # at which it runs

    def stage(self, scene: Stage, row: int) -> Staged | None:
        found = _place(scene, in_drawn_order(scene, row, spots(scene, [EdgeKind.MIDBLOCK])))
        if found is None:
            return None
        spot, where, boxes = found
        walks, forward = scene.street.walks, near_side(scene.street.walks, spot)
        speed = drawn(scene, row, 0, self.speed_mps)
        margin = drawn(scene, row, 1, self.margin_s)
        start = Start(spot=spot, forward=forward, stand=where)
        child = actor(
            scene, row, start, Age.CHILD, go_m=RUNS_M, free_speed=speed / 1.08, look=0.0,
            height=HEIGHT_M, compliance=0.0, hurry=0.0,
        )  # fmt: skip
        within = margin + lead_s(walks, spot, where, forward, speed)
        return staged(scene, row, spot, Trigger(within_s=within), [child], boxes=boxes)


def _place(scene: Stage, options: list[Spot]) -> tuple[Spot, Stand, Boxes] | None:
    """Where something hides a child already; else where a van can."""
    grid = make_static_grid(scene.street.boxes)
    for spot in options:
        where = _hidden_stand(scene, spot, scene.street.boxes, grid)
        if where is not None:
            return spot, where, no_boxes()
    for spot in options:
        van = van_at_the_kerb(scene, spot)
        if van is not None:
            boxes = add_boxes(scene.street.boxes, van)
            where = _hidden_stand(scene, spot, boxes, make_static_grid(boxes))
            if where is not None:
                return spot, where, van
    return None


def _hidden_stand(scene: Stage, spot: Spot, boxes: Boxes, grid: StaticGrid) -> Stand | None:
    """A place before the kerb that the ego cannot see until late, the nearest to the road."""
    walks = scene.street.walks
    for back in BACKS_M:
        where = stand(walks, spot.edge, near_side(walks, spot), back)
        if where is None or not where.on_crossing:
            continue
        if hidden(scene, boxes, grid, spot, _look_at(scene, where), HIDDEN_S):
            return where
    return None


def _look_at(scene: Stage, where: Stand) -> tuple[float, float, float]:
    """The point at which drivers look to see a child that stands there."""
    lines = scene.street.walks.lines
    x, y, _ = line_point(lines, where.edge, where.s, where.d)
    return x, y, line_height(lines, where.edge, where.s) + LOOKED_AT * HEIGHT_M
