"""A town from an OpenDRIVE document and its sidecar: lanes, strips to walk on, signals, conflicts, boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.roads.conflicts import find_conflicts
from drivewm_sim.roads.corners import corner_ways
from drivewm_sim.roads.crossings import Ground, arm_crossings, marked_crossings, midblock_crossings
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.lanes import compile_lanes, entry_lanes
from drivewm_sim.roads.movements import movements
from drivewm_sim.roads.near import Carriageway
from drivewm_sim.roads.opendrive import OpenDrive, read_opendrive
from drivewm_sim.roads.places import bus_stop, doors
from drivewm_sim.roads.programmes import compile_signals
from drivewm_sim.roads.ragged import starts
from drivewm_sim.roads.right_of_way import RightOfWay
from drivewm_sim.roads.road_map import compile_road_map
from drivewm_sim.roads.sidecar import Sidecar, read_sidecar
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.stop_lines import stop_lines, with_crossings
from drivewm_sim.roads.strips import sidewalk_strips
from drivewm_sim.roads.town import Street, Town
from drivewm_sim.roads.walk_fallback import roadside_strips
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.roads.walks import compile_walks

_INSIDE_M = 20.0


def compile_town(name: str, text: str, sidecar: dict[str, Any] | None = None) -> Town:
    """The town of a document; `name` stands in error messages."""
    document, extra = read_opendrive(text, name), read_sidecar(sidecar, name)
    lanes = compile_lanes(document)
    carriageway = Carriageway(lanes)
    walks, crosswalks = _walks(document, lanes, carriageway, extra)
    lanes, walks, signals = _traffic_rules(document, with_crossings(lanes, walks), walks, crosswalks, extra)
    door_edge, door_s, door_d = doors(walks, carriageway, extra, name)
    street = Street(
        lanes=lanes,
        walks=walks,
        signals=signals,
        boxes=extra.boxes,
        entries=entry_lanes(document, lanes),
        door_edge=door_edge,
        door_s=door_s,
        door_d=door_d,
        inside=_inside(lanes),
    )
    return Town(
        name=name,
        street=street,
        road_map=compile_road_map(document, lanes, walks, extra.boxes, crosswalks),
        demand=extra.demand,
        bus_stops=tuple(bus_stop(document, lanes, walks, stop) for stop in extra.bus_stops),
    )


def _walks(
    document: OpenDrive, lanes: LaneGraph, carriageway: Carriageway, extra: Sidecar
) -> tuple[WalkGraph, list[str]]:
    """The walk graph without signals, and the crosswalk object of each edge."""
    plaza = extra.demand.town_type == "plaza"
    strips = sidewalk_strips(document, carriageway, plaza)
    strips += roadside_strips(document, carriageway, strips)
    ground = Ground(lanes, strips, carriageway, extra.boxes)
    unmarked = EdgeKind.SHARED if plaza else EdgeKind.MIDBLOCK
    ways = marked_crossings(ground, document.crosswalks)
    ways += arm_crossings(document, ground, ways, unmarked)
    ways += midblock_crossings(document, ground, ways, unmarked)
    ways += corner_ways(ground, ways)
    return compile_walks(strips, ways, lanes)


def _traffic_rules(
    document: OpenDrive, lanes: LaneGraph, walks: WalkGraph, crosswalks: list[str], extra: Sidecar
) -> tuple[LaneGraph, WalkGraph, Signals]:
    """Signals, conflicts with their right of way, and stop lines."""
    moves = movements(lanes)
    signals, of_lane, of_edge = compile_signals(document, lanes, walks, crosswalks, moves, extra)
    kind = np.where((of_edge >= 0) & (walks.kind >= EdgeKind.ZEBRA), int(EdgeKind.SIGNAL), walks.kind)
    walks = walks._replace(signal=of_edge, kind=kind)
    lanes = lanes._replace(signal=of_lane)
    conflicts = find_conflicts(lanes)
    rules = RightOfWay(document, lanes, moves, signals, extra.give_way)
    lanes = lanes._replace(
        conflict_start=starts(conflicts.lane, len(lanes.length)),
        conflict_lane=conflicts.other,
        conflict_in=conflicts.into,
        conflict_out=conflicts.out,
        conflict_other_in=conflicts.other_into,
        conflict_other_out=conflicts.other_out,
        conflict_priority=rules.priorities(conflicts),
    )
    return lanes._replace(stop_s=stop_lines(lanes, walks)), walks, signals


def _inside(lanes: LaneGraph) -> Int[ndarray, "m"]:
    """Lanes on which vehicles may start where no lane begins at the map's edge."""
    roomy = (lanes.junction < 0) & (lanes.length > _INSIDE_M) & (lanes.use == LaneUse.DRIVING)
    return np.flatnonzero(roomy).astype(np.int64)
