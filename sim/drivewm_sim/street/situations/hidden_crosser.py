"""Behind a vehicle that has stopped."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import (
    Spot,
    Stage,
    chance,
    drawn,
    in_drawn_order,
    near_side,
    spots,
    stand,
)
from drivewm_sim.street.situations.cast import (
    AT_KERB_M,
    STEPS_OUT_M,
    Span,
    Start,
    Trigger,
    actor,
    prop,
    staged,
)
from drivewm_sim.street.state import Model
from drivewm_sim.street.vehicle_arrivals import SIZE

ROOM_M = 1.0  # between the crossing and the vehicle


@dataclass(frozen=True, kw_only=True)
class HiddenCrosser:
    """A stopped vehicle in the next lane, or a queue in the oncoming one, hides somebody who crosses."""

    margin_s: Span = (1.5, 3.5)  # from the first step into the ego's lane to the ego's arrival there
    stands_s: Span = (4.0, 8.0)  # that the vehicle stands on after the trigger
    looks: float = 0.4  # probability that the crosser looks out from behind it

    def stage(self, scene: Stage, row: int) -> Staged | None:
        kinds = [EdgeKind.ZEBRA], [EdgeKind.MIDBLOCK]
        model = Model.VAN if chance(scene, row, 0, 0.6) else Model.CAR
        for kind in kinds:
            for spot in in_drawn_order(scene, row, spots(scene, kind)):
                place = _beside(scene, spot, SIZE[model][0])
                if place is None:
                    continue
                walks = scene.street.walks
                lane, s, forward = place
                where = stand(walks, spot.edge, forward, AT_KERB_M)
                if where is None:
                    continue
                looks = chance(scene, row, 1, self.looks)
                start = Start(spot=spot, forward=forward, stand=where)
                crosser = actor(
                    scene, row, start, go_m=STEPS_OUT_M, look=float(looks),
                    critical_gap=2.5, free_speed=drawn(scene, row, 2, (1.2, 1.6)),
                )  # fmt: skip
                within = drawn(scene, row, 3, self.margin_s) + crosser.lead_s
                stands = crosser.lead_s + drawn(scene, row, 4, self.stands_s)
                stopped = prop(scene, row, model, lane, s, stands)
                return staged(scene, row, spot, Trigger(within_s=within), [crosser], props=(stopped,))
        return None


def _beside(scene: Stage, spot: Spot, length: float) -> tuple[int, float, bool] | None:
    """Lane and s of a vehicle that hides people from the ego, and from where they come (tail to head?)."""
    walks, lanes = scene.street.walks, scene.street.lanes
    for forward in (near_side(walks, spot), not near_side(walks, spot)):
        before = -1 if forward else 1  # in the order of rows, the lane that people walk over first
        over = spot.over + before
        if not walks.over_start[spot.edge] <= over < walks.over_start[spot.edge + 1]:
            continue
        lane = int(walks.over_lane[over])
        half = 0.5 * float(walks.width[spot.edge]) + ROOM_M + 0.5 * length
        same_way = walks.over_left[over] == walks.over_left[spot.over]
        # Oncoming, it has passed the crossing: then it stands between the ego and whoever crosses.
        s = float(walks.over_s[over]) + (-half if same_way else half)
        if 0.5 * length < s < lanes.length[lane] - 0.5 * length and lanes.junction[lane] < 0:
            return lane, s, forward
    return None
