"""Running for the bus."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm_sim.roads.town import BusStop
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import (
    Beyond,
    Spot,
    Stage,
    drawn,
    in_drawn_order,
    lead_s,
    spots,
    stand,
    way_to,
)
from drivewm_sim.street.situations.cast import (
    RUNS_OUT_M,
    WALK_UP_M,
    Span,
    Start,
    Trigger,
    actor,
    prop,
    staged,
)
from drivewm_sim.street.state import Model
from drivewm_sim.street.vehicle_arrivals import SIZE

FURTHEST_M = 75.0  # nobody runs further
BOARDING_S = 1.5
HELD_UP = 1.6  # on the way over other roads: factor on the time


@dataclass(frozen=True, kw_only=True)
class BusRunner:
    """A bus stands at the stop, and somebody runs across the road for it."""

    margin_s: Span = (1.8, 3.8)  # from the first step into the ego's lane to the ego's arrival there
    speed_mps: Span = (2.2, 3.0)
    patience_s: Span = (4.0, 12.0)  # beyond the time the run should take, that the bus waits at most

    def stage(self, scene: Stage, row: int) -> Staged | None:
        speed = drawn(scene, row, 0, self.speed_mps)
        kinds = [EdgeKind.MIDBLOCK, EdgeKind.ZEBRA, EdgeKind.SHARED]
        for spot in in_drawn_order(scene, row, spots(scene, kinds)):
            for stop in scene.town.bus_stops:
                way = _run(scene, spot, stop, speed)
                if way is None:
                    continue
                forward, beyond, metres = way
                walks = scene.street.walks
                where = stand(walks, spot.edge, forward, drawn(scene, row, 3, WALK_UP_M))
                if where is None:
                    continue
                start = Start(spot=spot, forward=forward, stand=where)
                runner = actor(
                    scene, row, start, go_m=RUNS_OUT_M, beyond=beyond, stay_s=BOARDING_S,
                    look=0.0, hurry=1.0, compliance=0.0, free_speed=speed / 1.58,
                )  # fmt: skip
                lead = lead_s(walks, spot, where, forward, speed)
                within = drawn(scene, row, 1, self.margin_s) + lead
                waits = HELD_UP * metres / speed + BOARDING_S + drawn(scene, row, 2, self.patience_s)
                length = SIZE[Model.BUS][0]
                bus = prop(scene, row, Model.BUS, stop.lane, max(stop.s - 0.5 * length, 0.5 * length), waits)
                return staged(scene, row, spot, Trigger(within_s=within), [runner], props=(bus,))
        return None


def _run(scene: Stage, spot: Spot, stop: BusStop, speed: float) -> tuple[bool, Beyond, float] | None:
    """In which direction one crosses for the bus, the way on to the stop, and its length."""
    lanes, at = scene.street.lanes, -scene.start_s
    for lane in scene.route:
        if lane == stop.lane and at + stop.s - SIZE[Model.BUS][0] < spot.at_m + 4.0:
            return None  # the bus stands in the ego's way before the crossing
        at += float(lanes.length[lane])
    found: list[tuple[float, bool, Beyond]] = []
    for forward in (True, False):
        way = way_to(scene, spot.edge, forward, 0, speed, stop.edge, stop.edge_s)
        if way is not None and way[1] < FURTHEST_M:
            found.append((way[1], forward, way[0]))
    if not found:
        return None
    metres, forward, beyond = min(found, key=lambda row: row[0])
    return forward, beyond, metres
