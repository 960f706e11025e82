"""OpenDRIVE to lanes: centre lines in the direction of travel, what follows what, and how fast.

Signals, conflicts and crossings are empty here: `compile` fills them in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.lines import Lines, make_lines
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.lane_links import Piece, lane_links
from drivewm_sim.roads.opendrive import LaneSection, OpenDrive, Road
from drivewm_sim.roads.ragged import ragged
from drivewm_sim.roads.swept import lanes_for_heavy

USES = {"driving": LaneUse.DRIVING, "bidirectional": LaneUse.DRIVING, "biking": LaneUse.BIKING}
"""OpenDRIVE lane types that vehicles use. Bidirectional lanes are driven one way only, as their sign says."""

LATERAL_MPS2 = 2.2  # drivers take bends no faster than this sideways acceleration
BRAKE_MPS2 = 1.5  # ... and slow down for them in time
TOP_SPEED = 36.0  # m/s, where there is no limit
DEFAULT_LIMIT = {"lowSpeed": 8.33}
"""m/s by road type where none is stated; 13.9 otherwise."""

_TOWN_LIMIT = 13.9
_DENSE_M = 0.25
_SHORTEST_M = 0.015  # shorter pieces are bridged
_GAP_M = 0.5  # a lane that begins further than this from where the other ends does not follow it
_BEND_WINDOW_M = 2.5  # bends are measured over this far to both sides: kinks at joins are no bends
_KINK = 0.35  # rad; ends that meet at a smaller angle share one direction


def compile_lanes(document: OpenDrive) -> LaneGraph:
    """The lanes of a document, in document order, without signals, conflicts and crossings."""
    pieces = [p for p in _pieces(document) if _long_enough(document, p)]
    if not pieces:
        raise InputError(f"{document.name}: expected lanes of type driving, found none")
    row = {piece: k for k, piece in enumerate(pieces)}
    dense = [lane_points(document, piece, _DENSE_M) for piece in pieces]
    lines = make_lines([points[:, :3] for points in dense])
    following = _following(document, pieces, row, lines)
    leading: list[list[int]] = [[] for _ in pieces]
    for k, ahead in enumerate(following):
        for other in ahead:
            leading[other].append(k)
    lines = lines._replace(yaw=_joined_yaw(lines, following))
    length = (np.diff(lines.start) - 1) * lines.step
    next_start, following_flat = ragged(following)
    prev_start, leading_flat = ragged(leading)
    nothing, zero = np.zeros(0), np.zeros(0, np.int64)
    none = np.zeros(len(pieces) + 1, np.int64)
    sides = np.array([_neighbours(document, piece, row) for piece in pieces], np.int64)
    lanes = LaneGraph(
        lines=lines,
        width=_resampled(lines, dense),
        cap=_speed_caps(lines, following),
        length=length,
        limit=_limits(document, pieces, leading),
        use=np.array([int(USES[_lane_type(document, piece)]) for piece in pieces], np.int64),
        road=np.array([document.road_row[piece.road] for piece in pieces], np.int64),
        section=np.array([piece.section for piece in pieces], np.int64),
        lane=np.array([piece.lane for piece in pieces], np.int64),
        junction=np.array([_junction(document, piece) for piece in pieces], np.int64),
        next_start=next_start, next=following_flat, prev_start=prev_start, prev=leading_flat,
        left=sides[:, 0].copy(), right=sides[:, 1].copy(),
        heavy=np.zeros(len(pieces), bool),
        signal=np.full(len(pieces), -1, np.int64),
        stop_s=length.copy(),
        conflict_start=none, conflict_lane=zero, conflict_in=nothing, conflict_out=nothing,
        conflict_other_in=nothing, conflict_other_out=nothing, conflict_priority=zero,
        crossing_start=none, crossing=zero, crossing_in=nothing, crossing_out=nothing, crossing_at=nothing,
    )  # fmt: skip
    return lanes._replace(heavy=lanes_for_heavy(lanes))


def entry_lanes(document: OpenDrive, lanes: LaneGraph) -> Int[ndarray, "n"]:
    """Lanes that begin at the map's edge: nothing leads there, nor does the document say so."""
    out = []
    for k in np.flatnonzero((np.diff(lanes.prev_start) == 0) & (lanes.junction < 0)):
        road = document.roads[lanes.road[k]]
        first = 0 if lanes.lane[k] < 0 else len(road.sections) - 1
        link = road.predecessor if lanes.lane[k] < 0 else road.successor
        wide = lanes.width[lanes.lines.start[k]] > (2.0 if lanes.use[k] == LaneUse.DRIVING else 0.8)
        if lanes.section[k] == first and link is None and wide:
            out.append(int(k))
    return np.array(out, np.int64)


def lane_points(
    document: OpenDrive, piece: Piece, spacing: float, across: float = 0.5
) -> Float[ndarray, "n 4"]:
    """x, y, z and width along a lane in its direction of travel; `across` 0: inner edge, 1: outer."""
    road, section = section_of(document, piece)
    count = max(math.ceil((section.end - section.s) / spacing), 1)
    s = np.linspace(section.s, section.end, count + 1)
    inner, outer = road.lane_edges(section, piece.lane, s)
    xy, _ = road.point(s, inner + across * (outer - inner))
    table = np.column_stack([xy, road.elevation(s), np.abs(outer - inner)])
    return table if piece.lane < 0 else table[::-1]


def section_of(document: OpenDrive, piece: Piece) -> tuple[Road, LaneSection]:
    """The road and the lane section of a piece."""
    road = document.roads[document.road_row[piece.road]]
    return road, road.sections[piece.section]


def _pieces(document: OpenDrive) -> Iterable[Piece]:
    for road in document.roads:
        for index, section in enumerate(road.sections):
            for lane in section.lanes.values():
                if lane.type in USES and lane.id != 0:
                    yield Piece(road.id, index, lane.id)


def _lane_type(document: OpenDrive, piece: Piece) -> str:
    return section_of(document, piece)[1].lanes[piece.lane].type


def _long_enough(document: OpenDrive, piece: Piece) -> bool:
    section = section_of(document, piece)[1]
    return section.end - section.s > _SHORTEST_M


def _junction(document: OpenDrive, piece: Piece) -> int:
    road, _ = section_of(document, piece)
    return -1 if road.junction is None else document.junction_row.get(road.junction, -1)


def _following(
    document: OpenDrive, pieces: list[Piece], row: Mapping[Piece, int], lines: Lines
) -> list[list[int]]:
    """Rows that follow each piece; pieces too short to keep are bridged."""
    links = lane_links(document)

    def kept(piece: Piece, depth: int = 0) -> Iterable[int]:
        for other in links[piece]:
            if other in row:
                yield row[other]
            elif depth < 4 and not _long_enough(document, other):
                yield from kept(other, depth + 1)

    begin, end = lines.start[:-1], lines.start[1:] - 1
    out = []
    for k, piece in enumerate(pieces):
        ahead = list(dict.fromkeys(kept(piece)))
        gaps = [
            math.hypot(lines.x[begin[j]] - lines.x[end[k]], lines.y[begin[j]] - lines.y[end[k]])
            for j in ahead
        ]
        out.append([j for j, gap in zip(ahead, gaps, strict=True) if gap <= _GAP_M])
    return out


def _joined_yaw(lines: Lines, following: list[list[int]]) -> Float[ndarray, "M"]:
    """Directions, made the same where lanes meet, so that nobody turns on the spot."""
    yaw = lines.yaw.copy()
    count = len(following)
    parent = list(range(2 * count))  # ends of lanes: 2 k the start of lane k, 2 k + 1 its end

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for k, ahead in enumerate(following):
        for j in ahead:
            a, b = sorted((root(2 * k + 1), root(2 * j)))
            parent[b] = a
    groups: dict[int, list[int]] = {}
    for k, ahead in enumerate(following):
        for end in [2 * k + 1, *(2 * j for j in ahead)] if ahead else ():
            groups.setdefault(root(end), []).append(end)
    for ends in groups.values():
        rows = [
            int(lines.start[e // 2 + 1] - 1 if e % 2 else lines.start[e // 2]) for e in dict.fromkeys(ends)
        ]
        mean = math.atan2(sum(math.sin(yaw[i]) for i in rows), sum(math.cos(yaw[i]) for i in rows))
        turns = [(mean - yaw[i] + math.pi) % (2 * math.pi) - math.pi for i in rows]
        if max(map(abs, turns)) < _KINK:
            for i, turn in zip(rows, turns, strict=True):
                yaw[i] += turn
    return yaw


def _resampled(lines: Lines, dense: list[Float[ndarray, "n 4"]]) -> Float[ndarray, "M"]:
    """Widths at the points of the lines."""
    parts = []
    for k, table in enumerate(dense):
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(table[:, :2], axis=0).T))])
        count = lines.start[k + 1] - lines.start[k]
        parts.append(np.interp(np.arange(count) * lines.step[k], along, table[:, 3]))
    return np.concatenate(parts)


def _speed_caps(lines: Lines, following: list[list[int]]) -> Float[ndarray, "M"]:
    """v^2 <= lateral acceleration / curvature, slowing evenly; also for the next lanes, if all are slow."""
    caps = np.empty(len(lines.x))
    for k, step in enumerate(lines.step):
        yaw = lines.yaw[lines.start[k] : lines.start[k + 1]]
        reach = max(round(_BEND_WINDOW_M / step), 1)
        i = np.arange(len(yaw))
        a, b = np.maximum(i - reach, 0), np.minimum(i + reach, len(yaw) - 1)
        bend = np.abs(yaw[b] - yaw[a]) / np.maximum((b - a) * step, _BEND_WINDOW_M)
        own = np.minimum(np.sqrt(LATERAL_MPS2 / np.maximum(bend, 1e-6)), TOP_SPEED)
        caps[lines.start[k] : lines.start[k + 1]] = _slowing(own, step)
    for _ in range(50):  # far more lanes in a row than a braking distance holds
        changed = False
        for k in range(len(following) - 1, -1, -1):
            last = lines.start[k + 1] - 1
            ahead = max((caps[lines.start[j]] for j in following[k]), default=TOP_SPEED)
            if ahead < caps[last] - 1e-9:
                caps[last] = ahead
                rows = slice(lines.start[k], lines.start[k + 1])
                caps[rows] = _slowing(caps[rows], lines.step[k])
                changed = True
        if not changed:
            break
    return caps


def _slowing(cap: Float[ndarray, "n"], step: float) -> Float[ndarray, "n"]:
    """Slow enough at each point to be slow enough at all that follow: v^2 + 2 b s never rises on the way."""
    energy = cap**2 + 2 * BRAKE_MPS2 * step * np.arange(len(cap))
    lowest = np.minimum.accumulate(energy[::-1])[::-1]
    return np.sqrt(lowest - 2 * BRAKE_MPS2 * step * np.arange(len(cap)))


def _limits(document: OpenDrive, pieces: list[Piece], leading: list[list[int]]) -> Float[ndarray, "L"]:
    """Legal speeds; a junction's roads rarely state one: the lane that leads there decides."""
    out = np.full(len(pieces), np.nan)
    for k, piece in enumerate(pieces):
        road, section = section_of(document, piece)
        stated = road.speed_limit(section, piece.lane, 0.5 * (section.s + section.end))
        if stated is not None:
            out[k] = min(stated, TOP_SPEED)
        elif road.types and road.junction is None:
            out[k] = DEFAULT_LIMIT.get(road.types[0].type, _TOWN_LIMIT)
    for _ in range(8):
        for unknown in np.flatnonzero(np.isnan(out)):
            known = [out[j] for j in leading[unknown] if not np.isnan(out[j])]
            if known:
                out[unknown] = min(known)
    return np.where(np.isnan(out), _TOWN_LIMIT, out)


def _neighbours(document: OpenDrive, piece: Piece, row: Mapping[Piece, int]) -> tuple[int, int]:
    """Rows of the lanes to the left and right into which one may change; -1: none."""
    road, section = section_of(document, piece)
    out = []
    for towards in (-1, 1):  # the centre is to the left
        other = piece.lane + towards * (1 if piece.lane > 0 else -1)
        found = row.get(Piece(piece.road, piece.section, other), -1) if other * piece.lane > 0 else -1
        if found >= 0 and (
            road.junction is not None
            or USES[section.lanes[other].type] != LaneUse.DRIVING
            or USES[section.lanes[piece.lane].type] != LaneUse.DRIVING
            or not section.may_change(piece.lane, other, 0.5 * (section.s + section.end))
        ):
            found = -1
        out.append(found)
    return out[0], out[1]
