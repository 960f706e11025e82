"""The ego's way through a town: where it starts, which lanes it follows, and what lies along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import Aspect
from drivewm_sim.ego_route import Crossing, GiveWay, LineRoute, StopLine
from drivewm_sim.kernel import kernel
from drivewm_sim.lines import make_lines
from drivewm_sim.randomness import EGO, uniform
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.signals import Signals, aspect
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street import state
from drivewm_sim.street.ahead import choose_next
from drivewm_sim.street.state import Vehicles

EGO_UID = 0
LONGEST_M = 500.0
SHORTEST_M = 100.0
START_M = 12.0  # along the first lane, so that the whole ego is on the map
OTHERS_M = 40.0  # of the way of others who go first
_TRIES = 24
_MARKED = (EdgeKind.ZEBRA, EdgeKind.SIGNAL)


@dataclass(frozen=True, kw_only=True)
class EgoWay:
    """Lanes in order; the ego starts at `start_s` on the first and `route` begins where that lane begins."""

    lanes: tuple[int, ...]
    start_s: float
    route: LineRoute


def choose_way(street: Street, seed: int, attempt: int = 0) -> EgoWay:
    """A way that crosses where people cross, if a few tries find one; else the longest found.

    Each attempt begins its tries elsewhere. InputError in a town without a lane to start on.
    """
    lanes = street.lanes
    starts = street.entries if len(street.entries) else street.inside
    starts = starts[lanes.use[starts] == LaneUse.DRIVING]
    if len(starts) == 0:
        raise InputError("the town has no lane on which a car could start; choose another town")
    best: tuple[tuple[bool, bool, float], tuple[int, ...]] | None = None
    for k in range(_TRIES):
        first = int(starts[int(uniform(seed, EGO_UID, EGO, attempt * _TRIES + k, 90) * len(starts))])
        way = _follow(first, lanes, seed)
        metres = float(lanes.length[list(way)].sum())
        crossed = any(lanes.crossing_start[lane + 1] > lanes.crossing_start[lane] for lane in way)
        score = (metres >= SHORTEST_M, crossed, 0.0 if metres >= SHORTEST_M else metres)
        if best is None or score > best[0]:
            best = (score, way)
        if metres >= SHORTEST_M and crossed:
            break
    assert best is not None
    way = best[1]
    start_s = min(START_M, 0.3 * float(lanes.length[way[0]]))
    return EgoWay(lanes=way, start_s=start_s, route=lane_route(street, way))


def _follow(first: int, lanes: LaneGraph, seed: int) -> tuple[int, ...]:
    """The lanes that a driver with the ego's uid and seed takes, until the map or the patience ends.

    It ends before a junction that it has been through: a route that crosses itself has two s for one place.
    """
    rows = state.insert(state.empty(state.VEHICLE), {"uid": EGO_UID, "lane": first, "came_from": -1})
    way, metres, passed = [first], float(lanes.length[first]), set()
    while metres < LONGEST_M:
        following = int(_next(rows.view(np.recarray), way[-1], lanes, seed))
        junction = int(lanes.junction[following]) if following >= 0 else -1
        before = int(lanes.junction[way[-1]])
        if following < 0 or following in way or (junction >= 0 and junction != before and junction in passed):
            break
        if junction >= 0:
            passed.add(junction)
        way.append(following)
        metres += float(lanes.length[following])
    return tuple(way)


@kernel
def _next(cars: Vehicles, lane: int, lanes: LaneGraph, seed: int) -> int:
    following = choose_next(lane, 0, cars, lanes, seed)
    cars.turns[0] += 1
    return following


def come_in(way: EgoWay, signals: Signals, begin_s: float, seconds: float, speed: float) -> float:
    """Metres from its start that the ego has come after so many seconds, alone on the street.

    It drives `speed` m/s, or what the road allows, and waits at red; at the start it is `begin_s` seconds.
    """
    s, time = way.start_s, 0.0
    lines = iter(way.route.stop_lines)
    line = next(lines, None)
    while time < seconds and s < way.route.length:
        if line is not None and s >= line.s:
            shows, left = aspect(signals, line.signal, begin_s + time)
            if shows == Aspect.RED:
                time += left
            line = next(lines, None)
            continue
        s += 1.0
        time += 1.0 / min(speed, way.route.speed_cap(s))
    return s - way.start_s


def lane_route(street: Street, way: tuple[int, ...]) -> LineRoute:
    """The way as one line, with the marked crossings and stop lines on it."""
    lanes = street.lanes
    at = np.concatenate([[0.0], np.cumsum(lanes.length[list(way)])])
    line = make_lines([_joined(lanes, way)])
    crossings, stop_lines = [], []
    for k, lane in enumerate(way):
        for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
            edge = lanes.crossing[c]
            if street.walks.kind[edge] not in _MARKED:
                continue
            begin, end = float(at[k] + lanes.crossing_in[c]), float(at[k] + lanes.crossing_out[c])
            crossings.append(Crossing(s_in=begin, s_out=end, signal=int(street.walks.signal[edge])))
        if k + 1 < len(way) and lanes.signal[way[k + 1]] >= 0:
            stop_lines.append(
                StopLine(s=float(at[k] + lanes.stop_s[lane]), signal=int(lanes.signal[way[k + 1]]))
            )
    s = np.linspace(0.0, at[-1], len(line.x))
    owner = np.clip(np.searchsorted(at, s, side="right") - 1, 0, len(way) - 1)
    cap = np.array([_cap(lanes, way[o], v - at[o]) for o, v in zip(owner, s, strict=True)])
    return LineRoute(
        lines=line,
        line=0,
        cap=cap,
        crossings=tuple(sorted(set(crossings), key=lambda c: (c.s_in, c.s_out, c.signal))),
        stop_lines=tuple(stop_lines),
        give_ways=_give_ways(lanes, way, at),
    )


def _give_ways(lanes: LaneGraph, way: tuple[int, ...], at: Float[ndarray, "n+1"]) -> tuple[GiveWay, ...]:
    """Where other lanes of junctions meet the way."""
    out, stop_s = [], 0.0
    for k, lane in enumerate(way):
        if lanes.junction[lane] < 0:
            stop_s = float(at[k] + lanes.stop_s[lane])
            continue
        for b in range(lanes.conflict_start[lane], lanes.conflict_start[lane + 1]):
            other = int(lanes.conflict_lane[b])
            if other in way:
                continue
            first = bool(lanes.conflict_priority[b] < 0)
            for chain in _leading_to(lanes, other) if first else [(other,)]:
                enters = float(lanes.length[list(chain[:-1])].sum())
                out.append(
                    GiveWay(
                        stop_s=stop_s,
                        s_in=float(at[k] + lanes.conflict_in[b]),
                        s_out=float(at[k] + lanes.conflict_out[b]),
                        lines=make_lines([_joined(lanes, chain)]),
                        line=0,
                        enters=enters,
                        at_in=enters + float(lanes.conflict_other_in[b]),
                        at_out=enters + float(lanes.conflict_other_out[b]),
                        first=first,
                        signal=int(lanes.signal[other]),
                    )
                )
    return tuple(out)


def _leading_to(lanes: LaneGraph, lane: int) -> list[tuple[int, ...]]:
    """Ways of others, 40 m long where they are, that end with a lane."""
    found: list[tuple[int, ...]] = []
    open_ends: list[tuple[int, ...]] = [(lane,)]
    while open_ends:
        chain = open_ends.pop()
        first = chain[0]
        before = lanes.prev[lanes.prev_start[first] : lanes.prev_start[first + 1]].tolist()
        fresh = [(k, *chain) for k in before if k not in chain]
        if not fresh or lanes.length[list(chain[:-1])].sum() > OTHERS_M:
            found.append(chain)
        else:
            open_ends += fresh
    return found


def _joined(lanes: LaneGraph, way: Sequence[int]) -> Float[ndarray, "n 3"]:
    parts = []
    for lane in way:
        rows = slice(lanes.lines.start[lane], lanes.lines.start[lane + 1])
        parts.append(np.column_stack([lanes.lines.x[rows], lanes.lines.y[rows], lanes.lines.z[rows]]))
    points = np.concatenate(parts)
    fresh = np.concatenate([[True], np.hypot(*np.diff(points[:, :2], axis=0).T) > 1e-3])
    return points[fresh]


def _cap(lanes: LaneGraph, lane: int, s: float) -> float:
    """m/s that law and bends allow."""
    row = lanes.lines.start[lane] + int(s / lanes.lines.step[lane])
    return float(min(lanes.cap[min(row, lanes.lines.start[lane + 1] - 1)], lanes.limit[lane]))
