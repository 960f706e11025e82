"""Where walks begin and end, and where buses stop: doors and bus stops, put onto strips and lanes."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.lines import line_point, project
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.near import Carriageway, Near
from drivewm_sim.roads.opendrive import OpenDrive
from drivewm_sim.roads.sidecar import Sidecar, StopPlace
from drivewm_sim.roads.town import BusStop
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

_DOOR_SPACING_M = 12.0
_DOOR_REACH_M = 30.0  # doors further from every sidewalk are refused
_STOP_REACH_M = 12.0

Doors = tuple[Int[ndarray, "d"], Float[ndarray, "d"], Float[ndarray, "d"]]
"""Edge, metres along it, metres to its left."""


def doors(walks: WalkGraph, carriageway: Carriageway, sidecar: Sidecar, name: str) -> Doors:
    """The doors of the sidecar; without any, one every 12 m on the side of sidewalks away from the road."""
    if sidecar.doors:
        strips = Strips(walks, _DOOR_REACH_M)
        rows = [_door_at(strips, walks, x, y, name) for x, y in sidecar.doors]
    else:
        rows = _doors_along(walks, carriageway)
    edge = np.array([row[0] for row in rows], np.int64)
    return (
        edge,
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.float64),
    )


def _door_at(strips: Strips, walks: WalkGraph, x: float, y: float, name: str) -> tuple[int, float, float]:
    """The strip that a door opens to; the door lies at the strip's edge at most."""
    edge, s, d = strips.nearest(x, y)
    if edge < 0:
        raise InputError(
            f"{name} sidecar, doors: ({x:g}, {y:g}) is over {_DOOR_REACH_M:g} m from every sidewalk; move it"
        )
    return edge, s, math.copysign(min(abs(d), 0.5 * float(walks.width[edge])), d)


def _doors_along(walks: WalkGraph, carriageway: Carriageway) -> list[tuple[int, float, float]]:
    out = []
    for edge in np.flatnonzero((walks.kind == EdgeKind.SIDEWALK) | (walks.kind == EdgeKind.PLAZA)):
        length, half = float(walks.length[edge]), 0.5 * float(walks.width[edge])
        count = round(length / _DOOR_SPACING_M)
        for i in range(count):
            s = (i + 0.5) * length / count
            z = float(walks.lines.z[walks.lines.start[edge]])
            beside = np.array(
                [[*line_point(walks.lines, edge, s, d)[:2], z] for d in (half + 1.5, -half - 1.5)]
            )
            left, right = carriageway.covers(beside, 0.5)
            out.append((int(edge), s, half if right and not left else -half))
    return out


class Strips:
    """The sidewalks and plazas, to find the one nearest to a point; `reach` is the furthest found."""

    def __init__(self, walks: WalkGraph, reach: float) -> None:
        lines = walks.lines
        edge = np.repeat(np.arange(len(walks.length)), np.diff(lines.start))
        kept = walks.kind[edge] < EdgeKind.ZEBRA
        self._lines, self._edge = lines, edge[kept]
        self._near = Near(np.column_stack([lines.x, lines.y])[kept], reach)

    def nearest(self, x: float, y: float) -> tuple[int, float, float]:
        """The strip nearest to a point, and s and d on it; -1: none within reach."""
        _, at = self._near.pairs(np.array([[x, y]]))
        best, found = math.inf, (-1, 0.0, 0.0)
        for edge in np.unique(self._edge[at]):
            s, d = project(self._lines, int(edge), x, y)
            if abs(d) < best - 1e-9:
                best, found = abs(d), (int(edge), float(s), float(d))
        return found


def bus_stop(document: OpenDrive, lanes: LaneGraph, walks: WalkGraph, stop: StopPlace) -> BusStop:
    """A stop on its lane, and the sidewalk beside it."""
    where = f"{document.name} sidecar, bus_stops: road {stop.road}, lane {stop.lane}, s {stop.s:g}"
    row = document.road_row.get(stop.road, -1)
    for k in np.flatnonzero((lanes.road == row) & (lanes.lane == stop.lane)):
        road = document.roads[row]
        section = road.sections[lanes.section[k]]
        if section.s <= stop.s <= section.end:
            inner, outer = road.lane_edges(section, stop.lane, np.array([stop.s]))
            xy, _ = road.point(np.array([stop.s]), 0.5 * (inner + outer))
            x, y = float(xy[0, 0]), float(xy[0, 1])
            s, _ = project(lanes.lines, int(k), x, y)
            edge, edge_s, _ = Strips(walks, _STOP_REACH_M).nearest(x, y)
            if edge < 0:
                raise InputError(f"{where}: no sidewalk within {_STOP_REACH_M:g} m")
            return BusStop(lane=int(k), s=float(s), edge=edge, edge_s=edge_s)
    raise InputError(f"{where}: the map has no such lane")
