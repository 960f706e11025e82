"""Signal groups of a town: those of the sidecar, and fixed-time programmes for junctions that have none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.roads.governed import governed_lanes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.movements import Movements
from drivewm_sim.roads.opendrive import Junction, OpenDrive
from drivewm_sim.roads.sidecar import Sidecar
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

GREEN_S, LONGEST_GREEN_S = 18.0, 25.0
YELLOW_S = 3.0
ALL_RED_S = 2.0
LEAST_WALK_S = 5.0  # of green for people
CLEARANCE_MPS = 1.2  # who set off on green reaches the other kerb at this speed

_AT_JUNCTION_M = 15.0  # a marked crossing this near to a junction belongs to it
_ARM_M = 6.0  # ... an unmarked one


@dataclass
class Groups:
    """Signal groups as they are found."""

    rows: list[tuple[float, float, float, float]] = field(
        default_factory=list
    )  # cycle, green_from, green, yellow

    def add(self, cycle: float, green_from: float, green: float, yellow: float) -> int:
        self.rows.append((cycle, green_from, green, yellow))
        return len(self.rows) - 1

    def signals(self) -> Signals:
        return Signals(*np.ascontiguousarray(np.array(self.rows, np.float64).reshape(-1, 4).T))


@dataclass
class _Phase:
    lanes: list[int]  # first lanes inside the junction that are green together
    green: float = GREEN_S
    crossings: list[int] = field(default_factory=list)  # edges whose people go with it


def compile_signals(
    document: OpenDrive,
    lanes: LaneGraph,
    walks: WalkGraph,
    crosswalks: list[str],
    moves: Movements,
    sidecar: Sidecar,
) -> tuple[Signals, Int[ndarray, "L"], Int[ndarray, "E"]]:
    """The groups; the group of each lane that enters a junction, and of each crossing (-1: none)."""
    groups = Groups()
    of_lane = np.full(len(lanes.length), -1, np.int64)
    of_edge = np.full(len(walks.length), -1, np.int64)
    governed = {s.id: governed_lanes(document, lanes, s.id) for s in document.signals.values() if s.dynamic}
    for programme in sidecar.signals:
        where = f"{document.name} sidecar, signals {programme.name!r}"
        row = groups.add(programme.cycle, programme.green_from, programme.green, programme.yellow)
        for signal in programme.signal_ids:
            if signal not in governed:
                raise InputError(f"{where}: the map has no dynamic signal {signal}")
            of_lane[governed[signal]] = row
        for crosswalk in programme.crosswalk_ids:
            if crosswalk not in {c.id for c in document.crosswalks}:
                raise InputError(f"{where}: the map has no crosswalk {crosswalk}")
            of_edge[[k for k, name in enumerate(crosswalks) if name == crosswalk]] = row
    for index, junction in enumerate(document.junctions):
        inside = lanes.junction == index
        mine = {s: [int(k) for k in rows if inside[k]] for s, rows in governed.items() if inside[rows].any()}
        if not mine or (of_lane[inside] >= 0).any():
            continue
        phases = _phases(document, junction, mine, lanes, moves)
        crossings = _crossings_at(lanes, walks, index, of_edge)
        _programme(groups, phases, crossings, lanes, walks, moves, of_lane, of_edge)
    return groups.signals(), of_lane, of_edge


def _phases(
    document: OpenDrive,
    junction: Junction,
    governed: dict[str, list[int]],
    lanes: LaneGraph,
    moves: Movements,
) -> list[_Phase]:
    """What is green together: the junction's controllers in sequence; lanes of none, by direction."""
    mine = [c for c in document.controllers if c.id in junction.controllers]
    rank = {c.id: c.sequence if c.sequence is not None else 1000 + i for i, c in enumerate(mine)}
    by_sequence: dict[int, list[int]] = {}
    for controller in sorted(mine, key=lambda c: rank[c.id]):
        for signal in controller.signals:
            by_sequence.setdefault(rank[controller.id], []).extend(governed.get(signal, []))
    phases, taken = [], set()
    for rows in by_sequence.values():
        fresh = [k for k in dict.fromkeys(rows) if k not in taken]
        taken |= set(fresh)
        if fresh:
            phases.append(_Phase(fresh))
    if len(phases) == 1 or any(_contradictory(phase, moves) for phase in phases):
        phases, taken = [], set()  # such controllers are no programme
    axes: list[tuple[float, list[int]]] = []
    for k in dict.fromkeys(k for rows in governed.values() for k in rows if k not in taken):
        heading = moves.heading[k] % math.pi  # opposite directions go together
        for axis, rows in axes:
            if abs((heading - axis + 0.5 * math.pi) % math.pi - 0.5 * math.pi) < math.pi / 4:
                rows.append(k)
                break
        else:
            axes.append((heading, [k]))
    return phases + [_Phase(rows) for _, rows in axes]


def _contradictory(phase: _Phase, moves: Movements) -> bool:
    """Whether ways straight on that cross each other are green together."""
    headings = [float(moves.heading[k]) for k in phase.lanes if moves.turn[k] == 0]
    return any(abs(math.sin(a - b)) > 0.7 for a in headings for b in headings)


def _crossings_at(lanes: LaneGraph, walks: WalkGraph, junction: int, of_edge: ndarray) -> list[int]:
    """Crossings without a signal that lead over lanes of a junction, or over an arm close to it."""
    out = []
    for edge in np.flatnonzero((walks.kind >= EdgeKind.ZEBRA) & (of_edge < 0)):
        reach = _AT_JUNCTION_M if walks.kind[edge] == EdgeKind.ZEBRA else _ARM_M
        if _ways_over(lanes, walks, int(edge), junction, reach):
            out.append(int(edge))
    return out


def _ways_over(
    lanes: LaneGraph, walks: WalkGraph, edge: int, junction: int, reach: float
) -> list[tuple[int, bool]]:
    """Lanes of a junction whose traffic passes a crossing, and whether it does so before the junction."""
    out: list[tuple[int, bool]] = []
    for row in range(walks.over_start[edge], walks.over_start[edge + 1]):
        k, s = int(walks.over_lane[row]), float(walks.over_s[row])
        if lanes.junction[k] == junction:
            out.append((k, s < 0.5 * lanes.length[k]))
            continue
        after = lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]
        before = lanes.prev[lanes.prev_start[k] : lanes.prev_start[k + 1]]
        if lanes.length[k] - s <= reach:
            out += [(int(j), True) for j in after if lanes.junction[j] == junction]
        if s <= reach:
            out += [(int(j), False) for j in before if lanes.junction[j] == junction]
    return out


def _programme(
    groups: Groups, phases: list[_Phase], crossings: list[int], lanes: LaneGraph, walks: WalkGraph,
    moves: Movements, of_lane: ndarray, of_edge: ndarray,
) -> None:  # fmt: skip
    """One fixed cycle, phase after phase; people go with the traffic beside them, or at last alone."""
    alone = _Phase([])
    junction = int(lanes.junction[phases[0].lanes[0]])
    for edge in crossings:
        blocked = [_blocked(edge, phase, lanes, walks, moves, junction) for phase in phases]
        free = [phase for phase, no in zip(phases, blocked, strict=True) if not no]
        chosen = max(free, key=lambda phase: len(phase.lanes)) if free else alone
        chosen.crossings.append(edge)
        least = LEAST_WALK_S + _clearance(walks, edge) - YELLOW_S
        chosen.green = min(max(chosen.green, least), LONGEST_GREEN_S)
    phases = phases + ([alone] if alone.crossings else [])
    cycle = sum(phase.green + YELLOW_S + ALL_RED_S for phase in phases)
    start = 0.0
    for phase in phases:
        if phase.lanes:
            of_lane[phase.lanes] = groups.add(cycle, start, phase.green, YELLOW_S)
        for edge in phase.crossings:
            window = phase.green + YELLOW_S
            green = min(max(window - _clearance(walks, edge), LEAST_WALK_S), phase.green)
            of_edge[edge] = groups.add(cycle, start, green, window - green)
        start += phase.green + YELLOW_S + ALL_RED_S


def _blocked(
    edge: int, phase: _Phase, lanes: LaneGraph, walks: WalkGraph, moves: Movements, junction: int
) -> bool:
    """Whether traffic of a phase sets off over a crossing or goes straight over it; who turns gives way."""
    for k, before in _ways_over(lanes, walks, edge, junction, _AT_JUNCTION_M):
        if int(moves.entry[k]) in phase.lanes and (before or moves.turn[k] == 0):
            return True
    return False


def _clearance(walks: WalkGraph, edge: int) -> float:
    return float(walks.kerb_out[edge] - walks.kerb_in[edge]) / CLEARANCE_MPS
