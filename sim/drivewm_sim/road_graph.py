"""OpenDRIVE roads compiled to what the simulator needs: immutable arrays, and the map that forecasts see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import LineKind, RoadMap
from drivewm_sim.lines import Lines, line_length, line_point, make_lines, project
from drivewm_sim.opendrive import Crosswalk, Lane, Road

LATERAL_MPS2 = 2.0  # drivers take bends no faster than this sideways acceleration
_BRAKE_MPS2 = 1.5  # ... and slow down for them in time
_TOP_SPEED = 40.0


class RoadGraph(NamedTuple):
    """Arrays shared by all kernels. Axes: R vehicle routes, W sidewalk paths, Z zebra crossings."""

    routes: Lines  # lane centres in driving direction, linked lanes joined
    route_width: Float[ndarray, "R"]
    route_cap: Float[ndarray, "M"]  # speed the bends allow, at each point of `routes` (m/s)
    walks: Lines  # sidewalk centres, linked lanes joined, in the direction of their first road
    walk_width: Float[ndarray, "W"]
    walk_road_side: Float[ndarray, "W"]  # +1 where the road lies to the left of the path, else -1
    walk_opposite: Int[ndarray, "W"]  # the path across the road; itself where there is none
    zebra_walk: Int[ndarray, "Z 2"]  # the paths it joins
    zebra_s: Float[ndarray, "Z 2"]  # ... and where on them
    zebra_width: Float[ndarray, "Z"]
    zebra_in: Float[ndarray, "Z R"]  # s at which a route enters the zebra; infinite where it does not
    zebra_out: Float[ndarray, "Z R"]


@dataclass(frozen=True)
class LanePiece:
    """One lane of one lane section, travelled with or against s: the stable id of a stretch of lane."""

    road: str
    section: int
    lane: int
    forward: bool


class _Roads:
    """Roads by id, with the questions asked while joining lanes."""

    def __init__(self, roads: tuple[Road, ...]) -> None:
        self.by_id = {road.id: road for road in roads}

    def pieces(self, kind: str) -> Iterator[tuple[LanePiece, Lane]]:
        for road in self.by_id.values():
            for index, section in enumerate(road.sections):
                for lane in section.lanes.values():
                    if lane.type == kind:
                        # Right-hand traffic: right lanes run with s. Sidewalks are taken along s.
                        yield LanePiece(road.id, index, lane.id, kind != "driving" or lane.id < 0), lane

    def next(self, piece: LanePiece) -> LanePiece | None:
        """The piece that follows in the direction of travel."""
        road = self.by_id[piece.road]
        lane = road.sections[piece.section].lanes[piece.lane]
        linked = lane.successor if piece.forward else lane.predecessor
        if linked is None:
            return None
        inside = piece.section + (1 if piece.forward else -1)
        if 0 <= inside < len(road.sections):
            found = LanePiece(road.id, inside, linked, piece.forward)
        else:
            link = road.successor if piece.forward else road.predecessor
            if link is None or link.road not in self.by_id:
                return None
            at_start = link.contact == "start"
            found = LanePiece(
                link.road, 0 if at_start else len(self.by_id[link.road].sections) - 1, linked, at_start
            )
        return found if found.lane in self.by_id[found.road].sections[found.section].lanes else None

    def previous(self, piece: LanePiece) -> LanePiece | None:
        before = self.next(_turned(piece))
        return None if before is None else _turned(before)

    def samples(self, piece: LanePiece, spacing: float) -> Float[ndarray, "n"]:
        section = self.by_id[piece.road].sections[piece.section]
        return np.linspace(section.s, section.end, max(round((section.end - section.s) / spacing), 1) + 1)

    def line(self, piece: LanePiece, spacing: float, across: float = 0.5) -> Float[ndarray, "n 2"]:
        """Points along a lane in the direction of travel; `across` 0 is its inner edge, 1 its outer."""
        road = self.by_id[piece.road]
        s = self.samples(piece, spacing)
        inner, outer = road.lane_edges(road.sections[piece.section], piece.lane, s)
        points, _ = road.point(s, inner + across * (outer - inner))
        return points if piece.forward else points[::-1]

    def width(self, piece: LanePiece) -> float:
        road = self.by_id[piece.road]
        inner, outer = road.lane_edges(road.sections[piece.section], piece.lane, self.samples(piece, 5.0))
        return float(np.abs(outer - inner).min())

    def chains(self, kind: str) -> list[list[LanePiece]]:
        """Linked lanes joined, from each lane that nothing leads into."""
        out = []
        for piece, _ in self.pieces(kind):
            if self.previous(piece) is None:
                chain: list[LanePiece] = []
                following: LanePiece | None = piece
                while following is not None and following not in chain:
                    chain.append(following)
                    following = self.next(following)
                out.append(chain)
        return out


def _turned(piece: LanePiece) -> LanePiece:
    return LanePiece(piece.road, piece.section, piece.lane, not piece.forward)


def compile_graph(roads: tuple[Road, ...]) -> RoadGraph:
    """The arrays on which vehicles and pedestrians move."""
    index = _Roads(roads)
    driving, sidewalks = index.chains("driving"), index.chains("sidewalk")
    routes = make_lines([_joined(index, chain) for chain in driving])
    walks = make_lines([_joined(index, chain) for chain in sidewalks])
    # Taken along s, a right-hand sidewalk (negative lane) has the road to its left.
    side = np.array([1.0 if (c[0].lane < 0) == c[0].forward else -1.0 for c in sidewalks])
    found = [_zebra(c, walks, side, routes) for road in roads for c in road.crosswalks]
    zebras = [z for z in found if z is not None]
    count = len(driving)
    return RoadGraph(
        routes=routes,
        route_width=np.array([min(map(index.width, chain)) for chain in driving]),
        route_cap=_speed_caps(routes),
        walks=walks,
        walk_width=np.array([min(map(index.width, chain)) for chain in sidewalks]),
        walk_road_side=side,
        walk_opposite=_opposite(walks, side),
        zebra_walk=np.array([z[0] for z in zebras], np.int64).reshape(-1, 2),
        zebra_s=np.array([z[1] for z in zebras], np.float64).reshape(-1, 2),
        zebra_width=np.array([z[2] for z in zebras], np.float64),
        zebra_in=np.array([z[3] for z in zebras], np.float64).reshape(-1, count),
        zebra_out=np.array([z[4] for z in zebras], np.float64).reshape(-1, count),
    )


def _joined(index: _Roads, chain: list[LanePiece]) -> Float[ndarray, "n 2"]:
    points = np.concatenate([index.line(piece, 0.1) for piece in chain])
    fresh = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-6])
    return points[fresh]


def _speed_caps(routes: Lines) -> Float[ndarray, "M"]:
    caps = np.full(len(routes.x), _TOP_SPEED)
    for k, step in enumerate(routes.step):
        rows = slice(routes.start[k], routes.start[k + 1])
        bend = np.abs(np.gradient(routes.yaw[rows])) / step
        cap = np.minimum(np.sqrt(LATERAL_MPS2 / np.maximum(bend, 1e-6)), _TOP_SPEED)
        for i in range(len(cap) - 2, -1, -1):  # slow enough here to be slow enough there
            cap[i] = min(cap[i], np.sqrt(cap[i + 1] ** 2 + 2 * _BRAKE_MPS2 * step))
        caps[rows] = cap
    return caps


def _opposite(walks: Lines, side: Float[ndarray, "W"]) -> Int[ndarray, "W"]:
    out = np.arange(len(side))
    for k in range(len(side)):
        x, y, _ = line_point(walks, k, line_length(walks, k) / 2, 0.0)
        distance = [
            side[k] * project(walks, j, x, y)[1] if side[j] != side[k] else 0.0 for j in range(len(side))
        ]
        reach = [abs(d) if d else np.inf for d in distance]
        if np.isfinite(reach).any():
            out[k] = int(np.argmin(reach))
    return out


def _zebra(
    crosswalk: Crosswalk, walks: Lines, side: Float[ndarray, "W"], routes: Lines
) -> tuple[list[int], list[float], float, list[float], list[float]] | None:
    """The two sidewalks a crosswalk joins, its width along them, and where routes run through it."""
    x, y = crosswalk.outline.mean(axis=0)
    ends: dict[float, tuple[float, int, float]] = {}
    for k in range(len(side)):
        s, d = project(walks, k, x, y)
        if side[k] not in ends or abs(d) < ends[side[k]][0]:
            ends[side[k]] = (abs(d), k, s)
    if len(ends) < 2:
        return None
    chosen = [ends[key] for key in sorted(ends)]
    along = [project(walks, chosen[0][1], *corner)[0] for corner in crosswalk.outline]
    entries, exits = [], []
    for r in range(len(routes.step)):
        s = np.arange(0.0, line_length(routes, r), 0.1)
        inside = _inside(np.array([line_point(routes, r, v, 0.0)[:2] for v in s]), crosswalk.outline)
        entries.append(float(s[inside][0]) if inside.any() else np.inf)
        exits.append(float(s[inside][-1]) if inside.any() else np.inf)
    return [c[1] for c in chosen], [c[2] for c in chosen], max(along) - min(along), entries, exits


def _inside(points: Float[ndarray, "n 2"], polygon: Float[ndarray, "m 2"]) -> Bool[ndarray, "n"]:
    """Even-odd rule."""
    inside = np.zeros(len(points), bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        spans = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        reach = a[0] + (points[:, 1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1] if b[1] != a[1] else 1.0)
        inside ^= spans & (points[:, 0] < reach)
    return inside


def compile_road_map(roads: tuple[Road, ...], spacing: float = 2.0) -> RoadMap:
    """Lane centres, edges, crosswalk outlines (closed), sidewalk centres, sampled `spacing` metres apart."""
    index = _Roads(roads)
    lines: list[tuple[LineKind, Float[ndarray, "n 2"]]] = []
    for piece, _ in index.pieces("driving"):
        lines.append((LineKind.LANE_CENTER, index.line(piece, spacing)))
        lines.append((LineKind.LANE_BOUNDARY, index.line(piece, spacing, across=1.0)))
        if piece.lane == -1:
            lines.append((LineKind.LANE_BOUNDARY, index.line(piece, spacing, across=0.0)))
    lines += [(LineKind.SIDEWALK, index.line(piece, spacing)) for piece, _ in index.pieces("sidewalk")]
    lines += [
        (LineKind.CROSSWALK, np.concatenate([c.outline, c.outline[:1]]))
        for road in roads
        for c in road.crosswalks
    ]
    longest = max((len(points) for _, points in lines), default=2)
    points = np.zeros((len(lines), longest, 2))
    valid = np.zeros((len(lines), longest), bool)
    for row, (_, line) in enumerate(lines):
        points[row, : len(line)] = line
        valid[row, : len(line)] = True
    return RoadMap(points=points, valid=valid, kind=np.array([int(kind) for kind, _ in lines], np.int64))
