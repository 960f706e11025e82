"""Who goes first where two lanes conflict: signals, then what is signed, then the rules of the road."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.roads.conflicts import Conflicts
from drivewm_sim.roads.governed import governed_lanes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.movements import Movements
from drivewm_sim.roads.opendrive import OpenDrive
from drivewm_sim.roads.sidecar import GiveWay
from drivewm_sim.roads.signals import Signals

GIVE_WAY_SIGNS = ("205", "206")
"""Types of static signals as CARLA writes them: yield and stop."""

_RING_M = 250.0  # longest roundabout, once round
_OPPOSITE = math.radians(135.0)
_SAME = math.radians(45.0)
_FASTER = 2.0  # m/s; less is no other kind of road


class RightOfWay:
    """Decides between the lanes of one town."""

    def __init__(
        self,
        document: OpenDrive,
        lanes: LaneGraph,
        moves: Movements,
        signals: Signals,
        give_way: tuple[GiveWay, ...],
    ) -> None:
        self._lanes, self._moves, self._signals = lanes, moves, signals
        self._road_id = [document.roads[r].id for r in lanes.road]
        self._higher = {pair for junction in document.junctions for pair in junction.priorities}
        self._yields = _yielding(document, lanes, moves, give_way)
        self._ring = ring_lanes(lanes)
        self._stem = _stems(document, lanes, moves)
        self._abreast = _lanes_abreast(lanes)

    def priorities(self, conflicts: Conflicts) -> Int[ndarray, "b"]:
        """+1 where `lane` goes first, -1 where `other` does, 0 first come."""
        return np.array(
            [self.first(int(a), int(b)) for a, b in zip(conflicts.lane, conflicts.other, strict=True)],
            np.int64,
        )

    def first(self, a: int, b: int) -> int:
        """+1 if lane a goes before lane b."""
        if self._lanes.junction[a] < 0 or self._lanes.junction[b] < 0:
            return 0
        a_entry, b_entry = self._moves.entry[a], self._moves.entry[b]
        ga, gb = int(self._lanes.signal[a_entry]), int(self._lanes.signal[b_entry])
        if ga >= 0 and gb >= 0:
            return self._by_turn(a, b) if _green_together(self._signals, ga, gb) else 0
        if (ga >= 0) != (gb >= 0):
            return 1 if ga >= 0 else -1
        for rule in (self._by_record, self._by_sign, self._by_ring, self._by_road, self._by_rule):
            decided = rule(a, b)
            if decided:
                return decided
        return 0

    def _by_record(self, a: int, b: int) -> int:
        ours, theirs = self._names(a), self._names(b)
        high = any((i, j) in self._higher for i in ours for j in theirs)
        low = any((j, i) in self._higher for i in ours for j in theirs)
        return int(high) - int(low)

    def _names(self, k: int) -> list[str]:
        """The connecting road and the incoming road."""
        approach = int(self._moves.approach[k])
        return [self._road_id[k]] + ([self._road_id[approach]] if approach >= 0 else [])

    def _by_sign(self, a: int, b: int) -> int:
        return int(self._yields[b]) - int(self._yields[a])

    def _by_ring(self, a: int, b: int) -> int:
        return int(self._ring[a]) - int(self._ring[b])

    def _by_road(self, a: int, b: int) -> int:
        """The main road goes first: at a T junction the way straight on, else more lanes or higher speed."""
        if self._between(a, b) >= _OPPOSITE or self._between(a, b) < _SAME:
            return 0
        i, j = int(self._moves.approach[a]), int(self._moves.approach[b])
        if i < 0 or j < 0:
            return 0
        if self._stem[i] != self._stem[j]:
            return int(self._stem[j]) - int(self._stem[i])
        faster = float(self._lanes.limit[i] - self._lanes.limit[j])
        if abs(faster) > _FASTER:
            return 1 if faster > 0 else -1
        return int(np.sign(self._abreast[i] - self._abreast[j]))

    def _by_rule(self, a: int, b: int) -> int:
        """Right before left; towards each other and side by side, straight on before turning."""
        between = self._between(a, b)
        if _SAME <= between < _OPPOSITE:
            turn = _wrapped(self._moves.heading[b] - self._moves.heading[a])
            return -1 if turn > 0 else 1  # b drives to a's left: b comes from a's right
        return self._by_turn(a, b)

    def _by_turn(self, a: int, b: int) -> int:
        rank = {0: 2, -1: 1, 1: 0}  # straight on, right, left
        return int(np.sign(rank[int(self._moves.turn[a])] - rank[int(self._moves.turn[b])]))

    def _between(self, a: int, b: int) -> float:
        return abs(_wrapped(self._moves.heading[b] - self._moves.heading[a]))


def _wrapped(angle: float) -> float:
    return float((angle + math.pi) % (2 * math.pi) - math.pi)


def _green_together(signals: Signals, a: int, b: int) -> bool:
    """Whether two groups are ever green at the same time; those of different cycles are, sometime."""
    if a == b or abs(signals.cycle[a] - signals.cycle[b]) > 1e-6:
        return True
    cycle = signals.cycle[a]
    later = (signals.green_from[b] - signals.green_from[a]) % cycle
    return bool(later < signals.green[a] or cycle - later < signals.green[b])


def _yielding(
    document: OpenDrive, lanes: LaneGraph, moves: Movements, give_way: tuple[GiveWay, ...]
) -> ndarray:
    """Lanes inside junctions that give way: signed, or told by the sidecar."""
    out = np.zeros(len(lanes.length), bool)
    for signal in document.signals.values():
        if not signal.dynamic and signal.type in GIVE_WAY_SIGNS:
            out[governed_lanes(document, lanes, signal.id)] = True
    roads = {road.id for road in document.roads}
    for row in give_way:
        if row.junction not in document.junction_row:
            raise InputError(f"{document.name} sidecar, give_way: no junction {row.junction}")
        unknown = sorted(set(row.yielding_roads) - roads)
        if unknown:
            raise InputError(f"{document.name} sidecar, give_way: no road {', '.join(unknown)}")
        inside = np.flatnonzero(lanes.junction == document.junction_row[row.junction])
        for k in inside:
            rows = [lanes.road[k], *([lanes.road[moves.approach[k]]] if moves.approach[k] >= 0 else [])]
            out[k] |= any(document.roads[r].id in row.yielding_roads for r in rows)
    signed = out.copy()
    for k in np.flatnonzero(lanes.junction >= 0):
        out[k] |= signed[moves.entry[k]]
    return out


def ring_lanes(lanes: LaneGraph) -> ndarray:
    """Lanes that lead once round, always to the left, back to themselves: a roundabout."""
    turned = np.array(
        [
            lanes.lines.yaw[j - 1] - lanes.lines.yaw[i]
            for i, j in zip(lanes.lines.start[:-1], lanes.lines.start[1:], strict=True)
        ]
    )
    out = np.zeros(len(lanes.length), bool)
    for k in np.flatnonzero(lanes.junction >= 0):
        if out[k] or turned[k] < 0:
            continue
        way, at = [int(k)], int(k)
        while lanes.length[way].sum() < _RING_M:
            after = lanes.next[lanes.next_start[at] : lanes.next_start[at + 1]]
            if len(after) == 0:
                break
            at = int(after[np.argmax(turned[after])])  # the exit leads to the right
            if at == k:
                out[way] |= _round(turned[way], lanes.length[way])
                break
            if at in way:
                break
            way.append(at)
    return out


def _round(turned: Float[ndarray, "n"], length: Float[ndarray, "n"]) -> bool:
    """Whether a closed way is a circle rather than a block of houses: no long stretch is straight."""
    mean = 2 * math.pi / length.sum()
    long = length > 5.0
    return abs(turned.sum() - 2 * math.pi) < 0.3 and bool((turned[long] > 0.3 * mean * length[long]).all())


def _stems(document: OpenDrive, lanes: LaneGraph, moves: Movements) -> ndarray:
    """Lanes of the one of three roads that does not go straight on at a junction, and is no faster road."""
    out = np.zeros(len(lanes.length), bool)
    for junction in range(len(document.junctions)):
        inside = np.flatnonzero((lanes.junction == junction) & (moves.approach >= 0))
        roads: dict[int, list[int]] = {}
        for k in inside:
            roads.setdefault(int(lanes.road[moves.approach[k]]), []).append(int(k))
        if len(roads) != 3:
            continue
        straight = {r for r, ways in roads.items() if any(moves.turn[k] == 0 for k in ways)}
        if len(straight) != 2:
            continue
        (stem,) = set(roads) - straight
        approaches = [int(moves.approach[k]) for k in roads[stem]]
        others = [int(moves.approach[k]) for r in sorted(straight) for k in roads[r]]
        if lanes.limit[approaches].max() <= lanes.limit[others].max() + 0.1:
            out[approaches] = True
    return out


def _lanes_abreast(lanes: LaneGraph) -> Int[ndarray, "L"]:
    """How many lanes for cars a road has in a lane's direction there."""
    key = np.stack([lanes.road, lanes.section, np.sign(lanes.lane), lanes.use], 1)
    _, where, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    return count[where.reshape(-1)]
