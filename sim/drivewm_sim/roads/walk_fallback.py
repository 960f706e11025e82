"""Strips beside roads for maps that draw no sidewalks: on the shoulder, or just beyond the outermost lane.

Nobody walks along fast roads, but where such a map marks a crosswalk, people must be able to come to it:
there the strips reach a little way along the road.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm_sim.roads.crossings import WALKING_LIMIT
from drivewm_sim.roads.lanes import USES
from drivewm_sim.roads.near import LEVEL_M, Carriageway
from drivewm_sim.roads.opendrive import LaneSection, OpenDrive, Road
from drivewm_sim.roads.strips import SIDEWALK_TYPES, Strip, joined
from drivewm_sim.roads.walk_graph import EdgeKind

_WIDTH = 2.0
_SHOULDER_M = 1.5  # a shoulder this wide is walked on
_SAMPLE_M = 1.0
_LEAST_M = 5.0
_TO_CROSSWALK_M = 45.0


def roadside_strips(document: OpenDrive, carriageway: Carriageway, drawn: list[Strip]) -> list[Strip]:
    """Strips on both sides of slow roads and near marked crosswalks; none where the map draws sidewalks."""
    if drawn:
        return []
    marked = np.array([crosswalk.outline.mean(axis=0) for crosswalk in document.crosswalks]).reshape(-1, 3)
    out = []
    for road in document.roads:
        if road.junction is not None:
            continue
        for section in road.sections:
            for side in (1, -1):
                out += _beside(road, section, side, carriageway, marked)
    return joined(out)


def _beside(
    road: Road, section: LaneSection, side: int, carriageway: Carriageway, marked: Float[ndarray, "c 3"]
) -> list[Strip]:
    """The strip at one outer edge of a lane section; a one-way road has one on its right only."""
    driven = [lane for lane in section.lanes.values() if lane.type in USES and lane.id * side > 0]
    if (
        not driven
        or section.end - section.s < _LEAST_M
        or any(lane.type in SIDEWALK_TYPES and lane.id * side > 0 for lane in section.lanes.values())
    ):
        return []
    outermost = max(driven, key=lambda lane: abs(lane.id)).id
    middle = 0.5 * (section.s + section.end)
    limit = road.speed_limit(section, outermost, middle)
    slow = limit is None or limit <= WALKING_LIMIT
    s = np.linspace(section.s, section.end, max(math.ceil((section.end - section.s) / _SAMPLE_M), 1) + 1)
    _, edge = road.lane_edges(section, outermost, s)
    shoulder = section.lanes.get(outermost + side)
    t = edge + side * 0.5 * _WIDTH
    if shoulder is not None and shoulder.type == "shoulder":
        inner, outer = road.lane_edges(section, shoulder.id, s)
        if np.abs(outer - inner).min() >= _SHOULDER_M:
            t = 0.5 * (inner + outer)
    xy, _ = road.point(s, t)
    points = np.column_stack([xy, road.elevation(s)])
    return [
        Strip(points=part, width=_WIDTH, kind=EdgeKind.SIDEWALK)
        for part in _stretches(points, ~carriageway.covers(points, -0.2) & (slow | _close(points, marked)))
        if len(part) > _LEAST_M / _SAMPLE_M
    ]


def _close(points: Float[ndarray, "n 3"], marked: Float[ndarray, "c 3"]) -> Bool[ndarray, "n"]:
    """Which points lie near a marked crosswalk."""
    offset = points[:, None] - marked[None]
    near = np.hypot(offset[..., 0], offset[..., 1]) < _TO_CROSSWALK_M
    return (near & (np.abs(offset[..., 2]) < LEVEL_M)).any(axis=1)


def _stretches(points: Float[ndarray, "n 3"], kept: Bool[ndarray, "n"]) -> list[Float[ndarray, "m 3"]]:
    """The unbroken runs of points kept."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int64), [0]])))
    return [points[a:b] for a, b in zip(edge[::2], edge[1::2], strict=True)]
