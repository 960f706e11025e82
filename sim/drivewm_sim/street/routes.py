"""The strategic layer's ways: the shortest in time over the walkable graph, with everybody's own taste."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import TASTE, uniform
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.street.state import WAY, Pedestrians

ZEBRA_S, SIGNAL_S, MIDBLOCK_S, SHARED_S = 3.0, 14.0, 6.0, 3.0  # s that crossings of each kind cost to wait
AVERSION_S = 45.0  # s of detour that somebody who never jaywalks takes to avoid a crossing without marks
TASTE_SHARE = 0.25  # people find strips up to this much longer than they are
ARRIVED_M = 0.8
CROWDED_M, CROWDED_S = 3.0, 5.0  # who cannot get nearer than this for so long has arrived
_ZEBRA, _SIGNAL = int(EdgeKind.ZEBRA), int(EdgeKind.SIGNAL)
_MIDBLOCK, _SHARED = int(EdgeKind.MIDBLOCK), int(EdgeKind.SHARED)


class Reach(NamedTuple):
    """What can be reached from one place, and how. Axis: N nodes."""

    cost: Float[ndarray, "N"]  # s; infinite when out of reach
    via: Int[ndarray, "N"]  # strip by which one comes; -1 at the two ends of the strip where one starts
    hops: Int[ndarray, "N"]  # strips on the way, without the first
    crossings: Int[ndarray, "N"]  # of which lead over lanes


@kernel
def other_end(walks: WalkGraph, edge: int, node: int) -> int:
    """The node at the other end of a strip."""
    return walks.head[edge] if walks.tail[edge] == node else walks.tail[edge]


@kernel
def strip_cost(walks: WalkGraph, edge: int, speed: float, compliance: float, seed: int, uid: int) -> float:
    """Seconds that walking one whole strip costs a person, waiting and dislike included."""
    kind = walks.kind[edge]
    cost = walks.length[edge] / speed * (1.0 + TASTE_SHARE * uniform(seed, uid, TASTE, edge, 0))
    if kind == _ZEBRA:
        cost += ZEBRA_S
    elif kind == _SIGNAL:
        cost += SIGNAL_S
    elif kind == _MIDBLOCK:
        cost += MIDBLOCK_S + AVERSION_S * compliance
    elif kind == _SHARED:
        cost += SHARED_S
    return cost


@kernel
def _push(keys: ndarray, nodes: ndarray, count: int, key: float, node: int) -> None:
    """Adds an entry to a binary heap of `count` entries."""
    at = count
    while at > 0 and keys[(at - 1) // 2] > key:
        keys[at], nodes[at] = keys[(at - 1) // 2], nodes[(at - 1) // 2]
        at = (at - 1) // 2
    keys[at], nodes[at] = key, node


@kernel
def _pop(keys: ndarray, nodes: ndarray, count: int) -> tuple[float, int]:
    """Takes the least entry from a binary heap of `count` entries."""
    key, node = keys[0], nodes[0]
    last_key, last_node = keys[count - 1], nodes[count - 1]
    at = 0
    while 2 * at + 1 < count - 1:
        child = 2 * at + 1
        if child + 1 < count - 1 and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= last_key:
            break
        keys[at], nodes[at] = keys[child], nodes[child]
        at = child
    keys[at], nodes[at] = last_key, last_node
    return key, node


@kernel
def reach(
    walks: WalkGraph, edge: int, s: float, speed: float, compliance: float, avoid: int, seed: int, uid: int
) -> Reach:
    """Costs and ways from a place (strip, metres along it) to every node within WAY - 1 strips (Dijkstra).

    The strip `avoid` is not used; -1 for none.
    """
    count = len(walks.node_x)
    out = Reach(
        np.full(count, np.inf), np.full(count, -1, np.int64),
        np.zeros(count, np.int64), np.zeros(count, np.int64),
    )  # fmt: skip
    keys, nodes = np.empty(2 * len(walks.length) + 4), np.empty(2 * len(walks.length) + 4, np.int64)
    held = 0
    for node, way in ((walks.tail[edge], s), (walks.head[edge], walks.length[edge] - s)):
        if way / speed < out.cost[node] and edge != avoid:
            out.cost[node] = way / speed
            _push(keys, nodes, held, out.cost[node], node)
            held += 1
    while held > 0:
        cost, node = _pop(keys, nodes, held)
        held -= 1
        if cost > out.cost[node] or out.hops[node] >= WAY - 2:
            continue
        for k in range(walks.incident_start[node], walks.incident_start[node + 1]):
            strip = walks.incident[k]
            if strip in (avoid, edge):
                continue
            end = other_end(walks, strip, node)
            there = cost + strip_cost(walks, strip, speed, compliance, seed, uid)
            if there < out.cost[end]:
                out.cost[end], out.via[end] = there, strip
                out.hops[end] = out.hops[node] + 1
                out.crossings[end] = out.crossings[node] + (walks.kind[strip] >= _ZEBRA)
                _push(keys, nodes, held, there, end)
                held += 1
    return out


@kernel
def last_node(walks: WalkGraph, found: Reach, edge: int, s: float, speed: float) -> int:
    """The end of the goal's strip through which one comes; -1 when out of reach."""
    tail = found.cost[walks.tail[edge]] + s / speed
    head = found.cost[walks.head[edge]] + (walks.length[edge] - s) / speed
    if not math.isfinite(min(tail, head)):
        return -1
    return walks.tail[edge] if tail <= head else walks.head[edge]


@kernel
def follow(
    people: Pedestrians, p: int, walks: WalkGraph, found: Reach, edge: int, s: float, speed: float
) -> bool:
    """Writes the way of row p, who stands where `found` begins, to a place; false when out of reach."""
    people.way[p, :] = -1
    start = people.edge[p]
    if edge == start:
        people.forward[p] = s >= people.s[p]
        return True
    node = last_node(walks, found, edge, s, speed)
    if node < 0:
        return False
    k = found.hops[node]
    people.way[p, k] = edge
    while found.via[node] >= 0:
        k -= 1
        people.way[p, k] = found.via[node]
        node = other_end(walks, found.via[node], node)
    people.forward[p] = walks.head[start] == node
    return True


@kernel
def reached(p: int, people: Pedestrians) -> bool:
    """Whether row p is where its walk ends, or as near as others let it come."""
    if people.way[p, 0] >= 0:
        return False
    ahead, aside = people.goal_s[p] - people.s[p], people.goal_d[p] - people.d[p]
    if not people.forward[p]:
        ahead = -ahead
    near = math.hypot(ahead, aside)
    return near < ARRIVED_M or ahead < -ARRIVED_M or (near < CROWDED_M and people.stalled[p] > CROWDED_S)


@kernel
def turn_round(people: Pedestrians, p: int, walks: WalkGraph, seed: int) -> None:
    """Finds row p another way that does not lead on along this strip; without one, the walk ends behind it.

    Somebody blocked walks back to where the strip begins and from there another way.
    """
    edge, goal = people.edge[p], people.edge[p]
    for k in range(WAY):
        if people.way[p, k] >= 0:
            goal = people.way[p, k]
    behind = walks.tail[edge] if people.forward[p] else walks.head[edge]
    speed, uid = people.free_speed[p], people.uid[p]
    best, least = -1, math.inf
    for k in range(walks.incident_start[behind], walks.incident_start[behind + 1]):
        strip = walks.incident[k]
        if strip == edge or walks.kind[strip] >= _ZEBRA:
            continue
        near = 0.0 if walks.tail[strip] == behind else walks.length[strip]
        if strip == goal:
            best = strip
            break
        found = reach(walks, strip, near, speed, people.compliance[p], edge, seed, uid)
        node = last_node(walks, found, goal, people.goal_s[p], speed) if goal != edge else -1
        if node >= 0 and found.cost[node] < least:
            best, least = strip, found.cost[node]
    here = people.s[p]
    was = people.forward[p]
    people.way[p, :] = -1
    if best >= 0 and (best == goal or math.isfinite(least)):
        if best == goal:
            people.way[p, 0] = goal
        else:
            near = 0.0 if walks.tail[best] == behind else walks.length[best]
            found = reach(walks, best, near, speed, people.compliance[p], edge, seed, uid)
            people.edge[p], people.s[p] = best, near
            follow(people, p, walks, found, goal, people.goal_s[p], speed)
            people.edge[p], people.s[p] = edge, here
            for k in range(WAY - 1, 0, -1):
                people.way[p, k] = people.way[p, k - 1]
            people.way[p, 0] = best
    else:
        people.goal_s[p] = 0.0 if was else walks.length[edge]
        people.goal_d[p] = 0.0
    people.forward[p] = not was
