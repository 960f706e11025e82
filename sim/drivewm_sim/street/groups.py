"""How those who walk together stay together: they keep level, wait at kerbs, follow the first."""

from __future__ import annotations

import math

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.walk_graph import WalkGraph
from drivewm_sim.simulator import Intent
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.state import WAY, Pedestrians

SLACK_M = 0.5  # behind the first that nobody minds
APART_M = 2.5  # behind the first, at a kerb: then the first waits ...
PATIENCE_S = 10.0  # ... this long
LOST_M = 25.0  # further apart they go on alone
_WAITING, _CROSSING, _RUNNING = int(Intent.WAITING), int(Intent.CROSSING), int(Intent.RUNNING)
_PAUSING, _TURNING, _HESITATING = int(Intent.PAUSING), int(Intent.TURNING_BACK), int(Intent.HESITATING)


@kernel
def row_of(people: Pedestrians, uid: int) -> int:
    """The row of somebody; -1 when not there. Rows are in uid order."""
    low, high = 0, len(people.uid)
    while low < high:
        middle = (low + high) // 2
        if people.uid[middle] < uid:
            low = middle + 1
        else:
            high = middle
    return low if low < len(people.uid) and people.uid[low] == uid else -1


@inlined
def _behind(p: int, q: int, people: Pedestrians, walks: WalkGraph) -> float:
    """Metres along the way by which row p is behind row q; negative when ahead."""
    e, f = people.edge[p], people.edge[q]
    rest = walks.length[e] - people.s[p] if people.forward[p] else people.s[p]
    gone = people.s[q] if people.forward[q] else walks.length[f] - people.s[q]
    if e == f and people.forward[p] == people.forward[q]:
        return people.s[q] - people.s[p] if people.forward[p] else people.s[p] - people.s[q]
    between = _strips_between(p, f, people, walks)
    if between >= 0.0:
        return rest + between + gone
    between = _strips_between(q, e, people, walks)
    if between >= 0.0:
        rest = walks.length[f] - people.s[q] if people.forward[q] else people.s[q]
        gone = people.s[p] if people.forward[p] else walks.length[e] - people.s[p]
        return -rest - between - gone
    return math.hypot(people.x[p] - people.x[q], people.y[p] - people.y[q])


@inlined
def _strips_between(p: int, edge: int, people: Pedestrians, walks: WalkGraph) -> float:
    """Metres of whole strips on the way of row p before it comes to one; negative: not soon, or never."""
    metres = 0.0
    for k in range(WAY):
        strip = people.way[p, k]
        if strip == edge:
            return metres
        if strip < 0 or metres > LOST_M:
            break
        metres += walks.length[strip]
    return -1.0


@inlined
def note_lags(people: Pedestrians, walks: WalkGraph, tick: int) -> None:
    """Writes by how much each is behind the first of its group, and the first: by how much the last is.

    Distances along the way are taken every fourth decision.
    """
    for p in range(len(people.uid)):
        if people.leader[p] == people.uid[p]:
            people.lag[p] = 0.0
            continue
        q = row_of(people, people.leader[p])
        if q < 0:
            people.lag[p] = 0.0
            continue
        if (tick + people.uid[p]) % 4 == 0:
            people.lag[p] = _behind(p, q, people, walks)
        if people.lag[p] < LOST_M:
            people.lag[q] = max(people.lag[q], people.lag[p])


@inlined
def keeping_together(p: int, people: Pedestrians) -> float:
    """What row p adds to its pace, as a share of its free speed, to stay with its group.

    Those who are far ahead stop and wait: after a crossing, say, that has parted the group.
    """
    lag = people.lag[p]
    if people.leader[p] == people.uid[p]:
        return -min(max(0.2 * (lag - 2.5), 0.0), 1.0)
    if abs(lag) > LOST_M:
        return 0.0
    easily = min(max(0.25 * (lag - SLACK_M), -0.35), 0.25)
    return max(min(easily, 0.2 * (lag + 2.5)), -1.0)


@inlined
def _same_way(p: int, q: int, people: Pedestrians) -> bool:
    if people.crossing[p] != people.crossing[q]:
        return False
    return people.crossing_forward[p] == people.crossing_forward[q]


@inlined
def _has_left(q: int, people: Pedestrians) -> bool:
    return people.intent[q] in (_CROSSING, _RUNNING, _PAUSING, _TURNING, _HESITATING)


@inlined
def waits_for_the_group(p: int, people: Pedestrians, occ: Occupancy) -> bool:
    """At a kerb: the first waits for those who come, the others for the first to go."""
    if people.waited[p] > PATIENCE_S and people.leader[p] == people.uid[p]:
        return False
    c, leader, uid = people.crossing[p], people.leader[p], people.uid[p]
    for k in range(occ.crossing_first[c], occ.crossing_first[c + 1]):
        q = occ.crossing_rows[k]
        if q == p or people.leader[q] != leader or not _same_way(p, q, people):
            continue
        there = people.kerb[q]
        if leader == uid and there > people.kerb[p] + APART_M and not _has_left(q, people):
            return True
        if people.uid[q] == leader and there > -0.5 and there < 6.0 and not _has_left(q, people):
            return True
    return False


@inlined
def encouragement(p: int, people: Pedestrians, occ: Occupancy) -> tuple[int, bool]:
    """How many others wait at the crossing or have just left it; whether the first of the group has left."""
    others, follows = 0, False
    c = people.crossing[p]
    for k in range(occ.crossing_first[c], occ.crossing_first[c + 1]):
        q = occ.crossing_rows[k]
        if q == p or not _same_way(p, q, people):
            continue
        if people.intent[q] == _WAITING or _has_left(q, people):
            others += 1
            follows = follows or (_has_left(q, people) and people.uid[q] == people.leader[p])
    return others, follows
