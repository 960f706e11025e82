"""Small streets by hand, and agents on them, for the tests of behaviour.

`straight_street` runs along x; `crossroads` has four arms around the origin. Both have right-hand traffic,
3 m sidewalks, no boxes, and everything at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.lines import line_point, make_lines, project
from drivewm_sim.roads.boxes import Boxes, no_boxes
from drivewm_sim.roads.lane_graph import LaneGraph, LaneUse
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.town import Street
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.simulator import Intent
from drivewm_sim.street import state

SIDEWALK_M = 3.0
CARS = {
    "length": 4.5, "width": 1.85, "height": 1.5, "desired": 1.0, "headway": 1.4, "reaction": 0.6,
    "yields": 0.8, "comfort": 2.0, "distracted": 0.0, "change_to": -1, "leader": -1, "reserved": -1,
    "yields_to": -1, "stop_edge": -1, "came_from": -1,
}  # fmt: skip
PEOPLE = {
    "length": 0.4, "width": 0.5, "height": 1.75, "free_speed": 1.3, "pace": 1.0, "critical_gap": 4.0,
    "look_time": 0.5, "look": 1.0, "compliance": 1.0, "turn_back_at": 2.0, "forward": True,
    "crossing_forward": True,
}  # fmt: skip


@dataclass
class Plan:
    """A street on the drawing board: named nodes, lanes and strips are added, `build` makes the arrays."""

    lanes: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[tuple[float, float]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    programme: list[tuple[float, float, float, float]] = field(
        default_factory=list
    )  # cycle, from, green, yellow

    def lane(self, points: ndarray, **how: Any) -> int:
        self.lanes.append({"points": np.asarray(points, float), "next": [], **how})
        return len(self.lanes) - 1

    def node(self, x: float, y: float) -> int:
        self.nodes.append((x, y))
        return len(self.nodes) - 1

    def edge(self, tail: int, head: int, kind: EdgeKind = EdgeKind.SIDEWALK, **how: Any) -> int:
        self.edges.append({"tail": tail, "head": head, "kind": int(kind), **how})
        return len(self.edges) - 1

    def build(self, boxes: Boxes | None = None) -> Street:
        signals = Signals(*(np.array(c, float) for c in zip(*self.programme, strict=True))) if (
            self.programme
        ) else Signals(*[np.zeros(0)] * 4)  # fmt: skip
        lanes, walks = _graphs(self)
        fed = {n for lane in self.lanes for n in lane["next"]}
        entries = [k for k in range(len(self.lanes)) if k not in fed]
        none = np.zeros(0)
        return Street(
            lanes, walks, signals, no_boxes() if boxes is None else boxes, np.array(entries, np.int64),
            none.astype(np.int64), none, none, np.flatnonzero(lanes.junction < 0),
        )  # fmt: skip


def _ragged(rows: list[list[Any]], dtype: type) -> tuple[ndarray, ndarray]:
    start = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    return start, np.array([v for r in rows for v in r], dtype)


def _graphs(plan: Plan) -> tuple[LaneGraph, WalkGraph]:
    lines = make_lines([lane["points"] for lane in plan.lanes])
    length = (np.diff(lines.start) - 1) * lines.step
    count = len(plan.lanes)

    def column(name: str, default: Any, dtype: type) -> ndarray:
        return np.array([lane.get(name, default) for lane in plan.lanes], dtype)

    cap = np.full(len(lines.x), 50.0)
    for k in range(count):
        a, b = lines.start[k], lines.start[k + 1]
        bend = np.abs(np.gradient(lines.yaw[a:b])) / lines.step[k]
        cap[a:b] = np.minimum(np.sqrt(2.0 / np.maximum(bend, 1e-6)), 50.0)
        for m in range(b - 2, a - 1, -1):
            cap[m] = min(cap[m], np.sqrt(cap[m + 1] ** 2 + 3.0 * lines.step[k]))
    leads: list[list[int]] = [[] for _ in range(count)]
    for k, lane in enumerate(plan.lanes):
        for n in lane["next"]:
            leads[n].append(k)
    next_start, following = _ragged([lane["next"] for lane in plan.lanes], np.int64)
    prev_start, leading = _ragged(leads, np.int64)
    conflicts = [_conflicts(plan, lines, length, leads, k) for k in range(count)]
    conflict_start, flat = _ragged(conflicts, object)
    table = list(zip(*flat, strict=True)) or [()] * 6
    wide = column("width", 3.5, float)
    walk_lines = make_lines([np.array([plan.nodes[e["tail"]], plan.nodes[e["head"]]]) for e in plan.edges])
    over: list[list[tuple[Any, ...]]] = [[] for _ in plan.edges]
    crossed: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]
    for e, edge in enumerate(plan.edges):
        if edge["kind"] >= EdgeKind.ZEBRA:
            for k in range(count):
                _cross(plan, lines, walk_lines, wide, e, k, over, crossed)
        over[e].sort(key=lambda row: row[2])
    crossing_start, crossing = _ragged(crossed, object)
    crossing_table = list(zip(*crossing, strict=True)) or [()] * 4
    lane_graph = LaneGraph(
        lines=lines, width=np.repeat(wide, np.diff(lines.start)), cap=cap, length=length,
        limit=column("limit", 13.9, float), use=column("use", LaneUse.DRIVING, np.int64),
        road=np.arange(count), section=np.zeros(count, np.int64), lane=np.full(count, -1),
        junction=column("junction", -1, np.int64),
        next_start=next_start, next=following, prev_start=prev_start, prev=leading,
        left=column("left", -1, np.int64), right=column("right", -1, np.int64),
        heavy=column("heavy", True, bool),
        signal=column("signal", -1, np.int64),
        stop_s=np.array([lane.get("stop_s", length[k]) for k, lane in enumerate(plan.lanes)], float),
        conflict_start=conflict_start, conflict_lane=np.array(table[0], np.int64),
        conflict_in=np.array(table[1], float), conflict_out=np.array(table[2], float),
        conflict_other_in=np.array(table[3], float), conflict_other_out=np.array(table[4], float),
        conflict_priority=np.array(table[5], np.int64),
        crossing_start=crossing_start, crossing=np.array(crossing_table[0], np.int64),
        crossing_in=np.array(crossing_table[1], float), crossing_out=np.array(crossing_table[2], float),
        crossing_at=np.array(crossing_table[3], float),
    )  # fmt: skip
    return lane_graph, _walk_graph(plan, walk_lines, over)


def _walk_graph(plan: Plan, lines: Any, over: list[list[tuple[Any, ...]]]) -> WalkGraph:
    edges = plan.edges
    incident: list[list[int]] = [[] for _ in plan.nodes]
    for e, edge in enumerate(edges):
        incident[edge["tail"]].append(e)
        incident[edge["head"]].append(e)
    incident_start, incident_flat = _ragged(incident, np.int64)
    over_start, flat = _ragged(over, object)
    table = list(zip(*flat, strict=True)) or [()] * 5
    x, y = (np.array(c, float) for c in zip(*plan.nodes, strict=True))

    def column(name: str, default: Any, dtype: type) -> ndarray:
        return np.array([edge.get(name, default) for edge in edges], dtype)

    width = column("width", SIDEWALK_M, float)
    return WalkGraph(
        lines=lines, length=(np.diff(lines.start) - 1) * lines.step, width=width,
        walked=np.column_stack([0.4 - 0.5 * width, 0.5 * width - 0.4]),
        kind=column("kind", 0, np.int64), tail=column("tail", 0, np.int64), head=column("head", 0, np.int64),
        kerb_in=column("kerb_in", 0.0, float), kerb_out=column("kerb_out", 0.0, float),
        signal=column("signal", -1, np.int64), node_x=x, node_y=y, node_z=np.zeros(len(x)),
        incident_start=incident_start, incident=incident_flat,
        over_start=over_start, over_lane=np.array(table[0], np.int64), over_s=np.array(table[1], float),
        over_at=np.array(table[2], float), over_half=np.array(table[3], float),
        over_left=np.array(table[4], np.int64),
    )  # fmt: skip


def _cross(
    plan: Plan, lines: Any, walks: Any, wide: ndarray, e: int, k: int, over: Any, crossed: Any
) -> None:
    """Enters where strip e leads over lane k, if it does."""
    edge = plan.edges[e]
    length = (walks.start[e + 1] - walks.start[e] - 1) * walks.step[e]
    best: tuple[float, float, float] = (9.0, 0.0, 0.0)
    for at in np.arange(edge["kerb_in"], edge["kerb_out"] + 1e-9, 0.05):
        x, y, _ = line_point(walks, e, min(at, length), 0.0)
        s, d = project(lines, k, x, y)
        if abs(d) < best[0]:
            best = (abs(d), at, s)
    last = (lines.start[k + 1] - lines.start[k] - 1) * lines.step[k]
    if best[0] < 0.1 and 0.2 < best[2] < last - 0.2:
        _, at, s = best
        yaw, walk_yaw = line_point(lines, k, s, 0.0)[2], line_point(walks, e, at, 0.0)[2]
        half = 0.5 * edge.get("width", SIDEWALK_M)
        over[e].append((k, s, at, 0.5 * wide[k], 1 if np.sin(walk_yaw - yaw) > 0 else -1))
        crossed[k].append((e, s - half, s + half, at))


def _conflicts(
    plan: Plan, lines: Any, length: ndarray, leads: list[list[int]], k: int
) -> list[tuple[Any, ...]]:
    """Rows for lane k: where bodies 2 m wide on it and on another lane of its junction would touch."""
    junction, out = plan.lanes[k].get("junction", -1), []
    for other, lane in enumerate(plan.lanes):
        if junction < 0 or other == k or lane.get("junction", -1) != junction:
            continue
        if set(leads[k]) & set(leads[other]):
            continue
        here, there = (slice(lines.start[m], lines.start[m + 1]) for m in (k, other))
        gap = np.hypot(
            lines.x[here][:, None] - lines.x[there], lines.y[here][:, None] - lines.y[there]
        )  # [points of k, points of the other]
        touch = gap < 2.4
        if touch.any():
            mine, theirs = np.flatnonzero(touch.any(1)), np.flatnonzero(touch.any(0))
            rank = plan.lanes[k].get("rank", 0) - lane.get("rank", 0)
            out.append(
                (
                    other,
                    max(mine[0] - 0.5, 0.0) * lines.step[k],
                    min((mine[-1] + 0.5) * lines.step[k], length[k]),
                    max(theirs[0] - 0.5, 0.0) * lines.step[other],
                    min((theirs[-1] + 0.5) * lines.step[other], length[other]), int(np.sign(rank)),
                )
            )  # fmt: skip
    return out


def straight_street(
    length: float = 400.0,
    lanes_each: int = 1,
    limit: float = 13.9,
    zebra_at: float | None = 200.0,
    kind: EdgeKind = EdgeKind.ZEBRA,
    width: float = 3.5,
    signal_at: float | None = None,
    programme: tuple[float, float, float, float] = (60.0, 0.0, 25.0, 3.0),
    boxes: Boxes | None = None,
) -> Street:
    """A street along x from 0 to `length`. Lanes 0.. lead east (0 is the rightmost), the rest west.

    Strips 0-3 are sidewalks (south west, south east, north west, north east of the crossing), strip 4 leads
    over the road from south to north at `zebra_at`. With `signal_at`, all lanes have a stop line there
    (each is then three: k before, k + 2 lanes_each over a junction of 8 m, k + 4 lanes_each after it).
    """
    plan = Plan()
    half = lanes_each * width
    for way in (1, -1):
        for k in range(lanes_each):
            y = -way * (half - (k + 0.5) * width)
            plan.lane(_along(way, 0.0, length, y), limit=limit, width=width)
    _beside(plan, 0, lanes_each)
    if signal_at is not None:
        plan.programme.append(programme)
        for k in range(2 * lanes_each):
            way, y = (1 if k < lanes_each else -1), plan.lanes[k]["points"][0, 1]
            at = signal_at if way > 0 else length - signal_at
            plan.lanes[k]["points"] = _along(way, 0.0, at, y, length)
            over = plan.lane(
                _along(way, at, at + 8.0, y, length), limit=limit, width=width, signal=0, junction=0
            )
            plan.lanes[k]["next"].append(over)
        for k in range(2 * lanes_each):
            way, over = (1 if k < lanes_each else -1), 2 * lanes_each + k
            at = (signal_at if way > 0 else length - signal_at) + 8.0
            y = plan.lanes[k]["points"][0, 1]
            after = plan.lane(_along(way, at, length, y, length), limit=limit, width=width)
            plan.lanes[over]["next"].append(after)
        _beside(plan, 4 * lanes_each, lanes_each)
    cross = length / 2 if zebra_at is None else zebra_at
    edge_y = half + SIDEWALK_M / 2
    south = [plan.node(x, -edge_y) for x in (0.0, cross, length)]
    north = [plan.node(x, edge_y) for x in (0.0, cross, length)]
    for row in (south, north):
        plan.edge(row[0], row[1])
        plan.edge(row[1], row[2])
    if zebra_at is not None:
        kerb = SIDEWALK_M / 2
        plan.edge(south[1], north[1], kind, width=4.0, kerb_in=kerb, kerb_out=kerb + 2 * half)
    return plan.build(boxes)


def _along(way: int, start: float, end: float, y: float, length: float | None = None) -> ndarray:
    """From `start` to `end` metres in the direction of travel; westbound lanes count from the east end."""
    total = end if length is None else length
    a, b = (start, end) if way > 0 else (total - start, total - end)
    return np.array([[a, y], [b, y]])


def _beside(plan: Plan, first: int, lanes_each: int) -> None:
    for base in (first, first + lanes_each):
        for k in range(lanes_each - 1):
            plan.lanes[base + k]["left"] = base + k + 1
            plan.lanes[base + k + 1]["right"] = base + k


def crossroads(
    arm: float = 120.0,
    limit: float = 13.9,
    width: float = 3.5,
    signals: bool = False,
    major: bool = False,
    zebras: bool = False,
) -> Street:
    """Four arms: east, north, west, south. Arm a has lane 3 a in, 3 a + 1 out, 3 a + 2 nothing of its own.

    `major`: east and west go first. `signals`: two phases of 25 s; people have their own on the crossings.
    Left turns give way to those who come from the other side. Conflict priority is 0 otherwise.
    """
    plan = Plan()
    box, edge_y = 10.0, width + SIDEWALK_M / 2
    if signals:
        plan.programme += [(60.0, 0.0, 25.0, 3.0), (60.0, 30.0, 25.0, 3.0)]
        plan.programme += [
            (60.0, 30.0, 18.0, 7.0),
            (60.0, 0.0, 18.0, 7.0),
        ]  # people over east-west, north-south
    turn = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in np.arange(4) * np.pi / 2]
    ins, outs = [], []
    for a in range(4):
        stop = arm - box - 6.5 if zebras else arm - box - 0.5
        inward = np.array([[arm, width / 2], [box, width / 2]]) @ turn[a].T
        outward = np.array([[box, -width / 2], [arm, -width / 2]]) @ turn[a].T
        ins.append(plan.lane(inward, limit=limit, width=width, stop_s=stop))
        outs.append(plan.lane(outward, limit=limit, width=width))
    for a in range(4):
        for b in ((a + 1) % 4, (a + 2) % 4, (a + 3) % 4):
            main = a % 2 == 0
            left = (
                b - a
            ) % 4 == 3  # arms are counter-clockwise; coming from the east, the south is to the left
            rank = (2 if major and main else 0) + ((0 if left else 1) if major or signals else 0)
            points = _bend(plan.lanes[ins[a]]["points"], plan.lanes[outs[b]]["points"])
            lane = plan.lane(
                points, limit=limit, width=width, junction=0, rank=rank, signal=a % 2 if signals else -1
            )
            plan.lanes[ins[a]]["next"].append(lane)
            plan.lanes[lane]["next"].append(outs[b])
    kind = EdgeKind.SIGNAL if signals else EdgeKind.ZEBRA
    near, far = [], []
    for a in range(4):
        at = box + 3.0
        right, left_node = (plan.node(*(turn[a] @ np.array([at, y]))) for y in (-edge_y, edge_y))
        ends = [plan.node(*(turn[a] @ np.array([arm, y]))) for y in (-edge_y, edge_y)]
        plan.edge(right, ends[0])
        plan.edge(left_node, ends[1])
        if zebras:
            kerb = SIDEWALK_M / 2
            plan.edge(right, left_node, kind, width=4.0, kerb_in=kerb, kerb_out=kerb + 2 * width,
                      signal=2 + a % 2 if signals else -1)  # fmt: skip
        near.append(right)
        far.append(left_node)
    for a in range(4):
        plan.edge(far[a], near[(a + 1) % 4], EdgeKind.CORNER)
    return plan.build()


def _bend(before: ndarray, after: ndarray) -> ndarray:
    """A smooth way from the end of one line to the start of another (quadratic Bezier, or straight)."""
    a, b = before[-1], after[0]
    u, v = before[-1] - before[0], after[-1] - after[0]
    u, v = u / np.hypot(*u), v / np.hypot(*v)
    across = u[0] * v[1] - u[1] * v[0]
    t = np.linspace(0, 1, 200)[:, None]
    if abs(across) < 1e-6:
        return a + t * (b - a)
    reach = ((b - a)[0] * v[1] - (b - a)[1] * v[0]) / across
    middle = a + reach * u
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b


def cars(street: Street, *rows: dict[str, Any]) -> ndarray:
    """Vehicles 1, 2, ..., each given by `lane`, `s`, `speed` and whatever else matters."""
    out = state.empty(state.VEHICLE)
    for uid, row in enumerate(rows, start=1):
        row = {"uid": uid, "lane": 0, "speed": 0.0, "offset": 0.0, **row}
        x, y, yaw = line_point(street.lanes.lines, row["lane"], row["s"], row["offset"])
        usual = {
            **CARS, "x": x, "y": y, "yaw": yaw, "path": np.full(state.PATH, -1),
            "aim": row["offset"], "past_speed": np.full(state.PAST, row["speed"]),
        }  # fmt: skip
        out = state.insert(out, {**usual, **row})
    return out.view(np.recarray)


def people(street: Street, *rows: dict[str, Any]) -> ndarray:
    """Pedestrians 1001, ...; given by `crossing` and `along` (on their way over it), or `edge` and `s`."""
    out = state.empty(state.PEDESTRIAN)
    for uid, row in enumerate(rows, start=1001):
        crossing = row.get("crossing", -1)
        edge = row.get("edge", crossing)
        s = row.get("along", row.get("s", 0.0))
        x, y, yaw = line_point(street.walks.lines, edge, s, row.get("d", 0.0))
        forward = row.get("crossing_forward", True) if crossing >= 0 else row.get("forward", True)
        heading = yaw if forward else yaw + np.pi
        pace = row.get("free_speed", 1.3) if row.get("intent", Intent.CROSSING) == Intent.CROSSING else 0.0
        usual = {
            **PEOPLE, "uid": uid, "leader": uid, "x": x, "y": y, "yaw": heading, "edge": edge, "s": s,
            "vx": pace * np.cos(heading), "vy": pace * np.sin(heading), "way": np.full(state.WAY, -1),
            "crossing": crossing, "along": s, "goal_s": 0.0,
            "intent": int(Intent.CROSSING if crossing >= 0 else Intent.WALKING),
        }  # fmt: skip
        out = state.insert(out, {**usual, **row})
    return out.view(np.recarray)


def nobody() -> ndarray:
    """No people."""
    return state.empty(state.PEDESTRIAN).view(np.recarray)
