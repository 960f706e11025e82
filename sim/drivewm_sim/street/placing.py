"""Finding places for situations: crossings on the ego's way, where people may stand and walk on to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.lines import line_point
from drivewm_sim.randomness import DIRECT, uniform
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.town import Street, Town
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.street.directors import APPROACH
from drivewm_sim.street.passing import room
from drivewm_sim.street.routes import Reach, last_node, other_end, reach
from drivewm_sim.street.scripts import along_path
from drivewm_sim.street.state import WAY
from drivewm_sim.street.walks_arrivals import places

LEAST_AHEAD_S = 4.5  # of driving, between the start and a situation
TURN = 0.6  # rad; lanes of a junction that bend more than this turn
MOUTH_M = 15.0  # behind a junction, crossings belong to it
WALK_S, FAR_S = 12.0, 150.0  # s that people go on walking after a situation


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a situation may take place: what the ego is going to drive in one episode."""

    town: Town
    route: tuple[int, ...]  # lanes of the ego's route, in order
    start_s: float  # of the ego on the first of them
    seed: int
    reach_m: float  # along the route; nothing is staged beyond
    next_uid: Callable[[], int]
    speed_mps: float = 9.0  # at which the ego is expected to come
    taken: frozenset[int] = frozenset()  # crossings that other directors use

    @property
    def street(self) -> Street:
        return self.town.street


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a lane leads over a strip on which people cross."""

    edge: int  # of WalkGraph
    over: int  # row of the strip's lanes
    lane: int
    s: float  # of the strip's middle, on that lane
    at_m: float  # along the ego's route, from its start
    step: int  # row of the lane in the route; -1: beside it
    turn: int = -1  # lane of a junction by which others come here


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A place before a crossing: strip, s, d, and which way the crossing is."""

    edge: int
    s: float
    d: float
    forward: bool
    on_crossing: bool  # the strip is the crossing itself, before its kerb
    back_m: float  # of walking to the kerb


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """How a walk goes on behind a crossing."""

    way: Int[ndarray, "n"]
    goal_s: float
    goal_d: float


def drawn(scene: Stage, row: int, k: int, span: tuple[float, float]) -> float:
    """Number k of a director: uniform between the two ends of `span`."""
    return span[0] + (span[1] - span[0]) * uniform(scene.seed, row, DIRECT, 0, k)


def chance(scene: Stage, row: int, k: int, share: float) -> bool:
    """Whether number k of a director comes out for something that happens in a `share` of cases."""
    return drawn(scene, row, k, (0.0, 1.0)) < share


def in_drawn_order(scene: Stage, row: int, spots: list[Spot]) -> list[Spot]:
    """The same places, beginning with one that is drawn."""
    first = int(uniform(scene.seed, row, DIRECT, 1, 0) * len(spots))
    return spots[first:] + spots[:first]


def spots(scene: Stage, kinds: Iterable[EdgeKind]) -> list[Spot]:
    """The crossings of these kinds on the ego's way that nobody has taken, nearest first."""
    out, at, allowed = [], -scene.start_s, {int(kind) for kind in kinds}
    lanes, walks = scene.street.lanes, scene.street.walks
    for step, lane in enumerate(scene.route):
        for spot in _on_lane(lanes, walks, lane, at, step):
            near = max(LEAST_AHEAD_S * scene.speed_mps, 25.0) <= spot.at_m <= scene.reach_m
            if near and walks.kind[spot.edge] in allowed and spot.edge not in scene.taken:
                out.append(spot)
        at += float(lanes.length[lane])
    return sorted(out, key=lambda spot: spot.at_m)


def signalled_spots(scene: Stage) -> list[Spot]:
    """The crossings on the ego's way with a signal for people."""
    signal = scene.street.walks.signal
    return [spot for spot in spots(scene, [EdgeKind.SIGNAL, EdgeKind.ZEBRA]) if signal[spot.edge] >= 0]


def _on_lane(lanes: LaneGraph, walks: WalkGraph, lane: int, at: float, step: int) -> list[Spot]:
    """The crossings of one lane that begins `at` metres along the route."""
    out = []
    for c in range(lanes.crossing_start[lane], lanes.crossing_start[lane + 1]):
        edge, s = int(lanes.crossing[c]), 0.5 * float(lanes.crossing_in[c] + lanes.crossing_out[c])
        rows = range(walks.over_start[edge], walks.over_start[edge + 1])
        over = next((m for m in rows if walks.over_lane[m] == lane), None)
        if over is not None:
            out.append(Spot(edge=edge, over=over, lane=lane, s=s, at_m=at + s, step=step))
    return out


def turning_spots(scene: Stage) -> list[Spot]:
    """Crossings of the arm into which the ego's route turns, else those into which others may turn."""
    lanes, walks = scene.street.lanes, scene.street.walks
    everywhere = [kind for kind in EdgeKind if kind >= EdgeKind.ZEBRA]
    own = [spot for spot in spots(scene, everywhere) if _turned_into(scene, spot)]
    if own:
        return own
    out, at, seen = [], -scene.start_s, set()
    for lane in scene.route:
        junction = lanes.junction[lane]
        if junction >= 0 and junction not in seen and 25.0 < at < scene.reach_m:
            seen.add(junction)
            for turn in np.flatnonzero(lanes.junction == junction):
                if _bend(lanes, int(turn)) < TURN or turn in scene.route:
                    continue
                for k in range(lanes.next_start[turn], lanes.next_start[turn + 1]):
                    found = _on_lane(lanes, walks, int(lanes.next[k]), at, -1)
                    free = [x for x in found if x.s < MOUTH_M and x.edge not in scene.taken]
                    out += [replace(x, turn=int(turn)) for x in free]
        at += float(lanes.length[lane])
    return out


def _bend(lanes: LaneGraph, lane: int) -> float:
    a, b = lanes.lines.start[lane], lanes.lines.start[lane + 1] - 1
    return abs(float(lanes.lines.yaw[b] - lanes.lines.yaw[a]))


def _turned_into(scene: Stage, spot: Spot) -> bool:
    lanes = scene.street.lanes
    if lanes.junction[spot.lane] >= 0:
        return _bend(lanes, spot.lane) > TURN and spot.s > 0.5 * lanes.length[spot.lane]
    before = scene.route[spot.step - 1] if spot.step > 0 else -1
    inside = before >= 0 and lanes.junction[before] >= 0
    return bool(inside and spot.s < MOUTH_M and _bend(lanes, before) > TURN)


def approach(scene: Stage, spot: Spot) -> dict[str, ndarray]:
    """The lanes that lead to a spot, as DIRECTOR's fields: along the ego's route, or by the spot's turn."""
    lanes = scene.street.lanes
    rows: list[tuple[int, int, float]] = [(spot.lane, -1, spot.s)]
    if spot.turn >= 0:
        rows.append((spot.turn, 0, spot.s + float(lanes.length[spot.turn])))
        at = 1
        while at < len(rows) and len(rows) < APPROACH:
            lane, _, to = rows[at]
            for k in range(lanes.prev_start[lane], lanes.prev_start[lane + 1]):
                before = int(lanes.prev[k])
                if to < 80.0 and before not in [r[0] for r in rows]:
                    rows.append((before, at, to + float(lanes.length[before])))
            at += 1
    else:
        to = spot.s
        for step in range(spot.step - 1, -1, -1):
            to += float(lanes.length[scene.route[step]])
            rows.append((scene.route[step], len(rows) - 1, to))
        # The ego may change lanes on its way.
        for lane, via, to in list(rows):
            for beside in (int(lanes.left[lane]), int(lanes.right[lane])):
                if beside >= 0 and beside not in [r[0] for r in rows]:
                    rows.append((beside, via, to))
    out = {"lane": np.full(APPROACH, -1), "via": np.full(APPROACH, -1), "to": np.zeros(APPROACH)}
    for k, row in enumerate(rows[:APPROACH]):
        out["lane"][k], out["via"][k], out["to"][k] = row
    return out


def near_side(walks: WalkGraph, spot: Spot) -> bool:
    """The direction (tail to head?) in which people come from the right of the lane's drivers."""
    return bool(walks.over_left[spot.over] > 0)


def kerb(walks: WalkGraph, edge: int, forward: bool) -> float:
    """Metres from where a crossing begins to its near kerb."""
    return float(walks.kerb_in[edge] if forward else walks.length[edge] - walks.kerb_out[edge])


def to_lane(walks: WalkGraph, spot: Spot, forward: bool) -> float:
    """Metres from the near kerb to the edge of the spot's lane."""
    at = walks.over_at[spot.over] if forward else walks.length[spot.edge] - walks.over_at[spot.over]
    return max(float(at - walks.over_half[spot.over]) - kerb(walks, spot.edge, forward), 0.0)


def lead_s(walks: WalkGraph, spot: Spot, where: Stand, forward: bool, speed: float) -> float:
    """Seconds from setting off at a place before the kerb to stepping into the spot's lane."""
    return time_for(where.back_m + to_lane(walks, spot, forward), speed)


def time_for(metres: float, speed: float) -> float:
    """Seconds from standing still until somebody has gone so far."""
    pull = 2.5 if speed > 2.0 else 1.2  # m/s^2
    if metres < 0.5 * speed * speed / pull:
        return math.sqrt(2.0 * metres / pull)
    return metres / speed + 0.5 * speed / pull


def stand(walks: WalkGraph, edge: int, forward: bool, back_m: float, side: float = 0.0) -> Stand | None:
    """A place `back_m` before the kerb, `side` metres to the left: on the crossing or the sidewalk."""
    begin = kerb(walks, edge, forward)
    if back_m <= begin - 0.1:
        most = room(walks, edge)
        d = min(max(side if forward else -side, -most), most)
        s = begin - back_m if forward else float(walks.length[edge]) - begin + back_m
        return Stand(edge=edge, s=s, d=d, forward=forward, on_crossing=True, back_m=back_m)
    node = int(walks.tail[edge] if forward else walks.head[edge])
    strips = quiet_strips(walks, node)
    if not strips:
        return None
    strip, rest = strips[0], back_m - begin
    rest = min(rest, float(walks.length[strip]) - 0.3)
    ahead = bool(walks.head[strip] == node)
    s = float(walks.length[strip]) - rest if ahead else rest
    # On the side away from the road, where others can pass.
    x, y, yaw = line_point(walks.lines, strip, s, 0.0)
    over = line_point(walks.lines, edge, walks.kerb_in[edge] if forward else walks.kerb_out[edge], 0.0)
    left = -math.sin(yaw) * (over[0] - x) + math.cos(yaw) * (over[1] - y)
    d = -math.copysign(0.5 * room(walks, strip), left)
    return Stand(edge=strip, s=s, d=d, forward=ahead, on_crossing=False, back_m=begin + rest + abs(d))


def quiet_strips(walks: WalkGraph, node: int) -> list[int]:
    """Strips at a node that lead over no lane, the longest first."""
    mine = [int(e) for e in walks.incident[walks.incident_start[node] : walks.incident_start[node + 1]]]
    return sorted((e for e in mine if walks.kind[e] < EdgeKind.ZEBRA), key=lambda e: (-walks.length[e], e))


def way_beyond(scene: Stage, edge: int, forward: bool, uid: int, speed: float) -> Beyond:
    """Where somebody goes who has crossed: to a door or an end of the map, if it can be without a road."""
    walks = scene.street.walks
    found, far = _from_far_end(scene, edge, forward, uid, speed)
    where = places(scene.street)
    options = []
    for k in range(len(where.edge)):
        goal, s = int(where.edge[k]), float(where.s[k])
        ways = chain(walks, found, far, edge, goal, s, speed)
        if ways is not None and WALK_S < ways[1] < FAR_S:
            options.append((ways[2], k, ways[0]))
    if options:
        least = min(options)[0]
        options = [option for option in options if option[0] == least]
        _, k, strips = options[int(uniform(scene.seed, uid, DIRECT, 2, 0) * len(options))]
        return Beyond(way=strips, goal_s=float(where.s[k]), goal_d=float(where.d[k]))
    quiet = quiet_strips(walks, far)
    if not quiet:
        end = float(walks.length[edge])
        return Beyond(way=np.zeros(0, np.int64), goal_s=end if forward else 0.0, goal_d=0.0)
    length = float(walks.length[quiet[0]])
    rest = min(25.0, 0.9 * length)
    s = rest if walks.tail[quiet[0]] == far else length - rest
    return Beyond(way=np.array(quiet[:1]), goal_s=s, goal_d=0.0)


def way_to(
    scene: Stage, edge: int, forward: bool, uid: int, speed: float, goal: int, s: float
) -> tuple[Beyond, float] | None:
    """The way from behind a crossing to a place, and how long it is (m); None if it leads back over it."""
    walks = scene.street.walks
    found, far = _from_far_end(scene, edge, forward, uid, speed, compliance=0.0)
    ways = chain(walks, found, far, edge, goal, s, speed)
    if ways is None:
        return None
    last = ways[0][-2] if len(ways[0]) > 1 else edge
    from_tail = walks.tail[goal] in (walks.tail[last], walks.head[last])
    rest = s if from_tail else float(walks.length[goal]) - s
    return Beyond(way=ways[0], goal_s=s, goal_d=0.0), float(walks.length[ways[0][:-1]].sum()) + rest


def _from_far_end(
    scene: Stage, edge: int, forward: bool, uid: int, speed: float, compliance: float = 1.0
) -> tuple[Reach, int]:
    walks = scene.street.walks
    at = float(walks.length[edge]) if forward else 0.0
    found = reach(walks, edge, at, speed, compliance, -1, scene.seed, uid)
    return found, int(walks.head[edge] if forward else walks.tail[edge])


def chain(
    walks: WalkGraph, found: Reach, far: int, edge: int, goal: int, s: float, speed: float
) -> tuple[Int[ndarray, "n"], float, int] | None:
    """Strips from node `far` to a place, seconds and crossings on the way; None if it starts elsewhere."""
    node = last_node(walks, found, goal, s, speed) if goal != edge else -1
    if node < 0:
        return None
    strips, crossings = [goal], int(found.crossings[node])
    rest = s if walks.tail[goal] == node else float(walks.length[goal]) - s
    seconds = float(found.cost[node]) + rest / speed
    while found.via[node] >= 0:
        strips.append(int(found.via[node]))
        node = int(other_end(walks, found.via[node], node))
    if node != far or len(strips) > WAY - 2:
        return None
    return np.array(strips[::-1]), seconds, crossings


def on_route(scene: Stage, at_m: float) -> tuple[int, float]:
    """The lane, and s on it, `at_m` metres along the ego's route."""
    lanes, s = scene.street.lanes, at_m + scene.start_s
    for lane in scene.route[:-1]:
        if s < lanes.length[lane]:
            return lane, s
        s -= float(lanes.length[lane])
    return scene.route[-1], s


def add_boxes(a: Boxes, b: Boxes) -> Boxes:
    """Those of both."""
    return Boxes(*(np.concatenate(columns) for columns in zip(a, b, strict=True)))


def furnished(town: Town, boxes: Boxes) -> Town:
    """The town with more boxes."""
    return replace(town, street=town.street._replace(boxes=add_boxes(town.street.boxes, boxes)))


def scripted_crossing(
    street: Street, edge: int, speed_mps: float, begin_s: float, forward: bool = True
) -> tuple[Float[ndarray, "m 4"], float]:
    """The script of a dummy that goes over a crossing, from end to end along its middle, at one speed."""
    lines = street.walks.lines
    rows = slice(lines.start[edge], lines.start[edge + 1])
    points = np.column_stack([lines.x[rows], lines.y[rows], lines.z[rows]])
    return along_path(points if forward else points[::-1], lambda _: speed_mps), begin_s
