"""What a pedestrian at a kerb judges by: the signal, its own critical gap, the gaps it sees.

Pure questions; what follows from the answers is in `walkers.py`.
"""

from __future__ import annotations

import math

from drivewm_sim.randomness import KERB, uniform
from drivewm_sim.roads.signals import aspect
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.simulator import DECISION_S
from drivewm_sim.street.crossings import BODY_M
from drivewm_sim.street.gaps import Outlook, arrival
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import Occupancy
from drivewm_sim.street.state import Age, Pedestrians, Vehicles

BRISK = 1.08  # people walk a little faster over a road
IMPATIENCE, IMPATIENCE_S = 0.45, 20.0  # share of the critical gap that waiting wears away, and how fast
LEAST_GAP_S, LEAST_GAP_MARKED_S = 2.2, 1.6  # no impatience goes below it; where drivers should give way
MARKED = 0.8  # share of the critical gap that people ask for at a zebra, and in shared space
ON_GREEN_S = 1.3  # who has green still looks for somebody who will not stop
ON_RED = 1.1
RED, GREEN = 0, 2
LOOKS, DARES, HESITATES = range(3)  # draws of one crossing
_MIDBLOCK, _CHILD = int(EdgeKind.MIDBLOCK), int(Age.CHILD)


@inlined
def draw(p: int, what: int, people: Pedestrians, seed: int) -> float:
    """A number in [0, 1) for one crossing of row p."""
    return uniform(seed, people.uid[p], KERB, people.trips[p], what)


@inlined
def shows(c: int, outlook: Outlook, tick: int) -> tuple[int, float]:
    """What the signal for people shows at a crossing, and for how long; always green without one."""
    group = outlook.walks.signal[c]
    if group < 0:
        return GREEN, math.inf
    return aspect(outlook.signals, group, tick * DECISION_S)


@inlined
def critical(p: int, companions: int, people: Pedestrians, outlook: Outlook, red: bool) -> float:
    """Seconds that row p wants between itself and a vehicle at its crossing, by now."""
    c = people.crossing[p]
    kind, signalled = outlook.walks.kind[c], outlook.walks.signal[c] >= 0
    if signalled and not red:
        return ON_GREEN_S
    patience = 1.0 - IMPATIENCE * (1.0 - math.exp(-people.waited[p] / IMPATIENCE_S))
    wanted = people.critical_gap[p] * patience * (1.0 - 0.03 * min(companions, 5))
    if signalled:
        return max(wanted * ON_RED, LEAST_GAP_S)
    if kind == _MIDBLOCK:
        return max(wanted, LEAST_GAP_S)
    return max(wanted * MARKED, LEAST_GAP_MARKED_S)


@inlined
def span(p: int, over: int, people: Pedestrians, walks: WalkGraph) -> tuple[float, float]:
    """Metres from row p to where one lane of its crossing begins and ends; negative when passed."""
    at = walks.over_at[over] - people.along[p]
    if not people.crossing_forward[p]:
        at = -at
    return at - walks.over_half[over], at + walks.over_half[over]


@inlined
def gap_is_enough(
    p: int, wanted: float, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook,
    seed: int, tick: int,
) -> tuple[bool, bool]:  # fmt: skip
    """Whether every lane ahead leaves time to cross; and whether a hidden vehicle says otherwise."""
    walks, c = outlook.walks, people.crossing[p]
    speed = people.free_speed[p] * BRISK
    # Children on their own overrate how fast they are; who has waited long counts on drivers.
    alone = people.age[p] == _CHILD and people.leader[p] == people.uid[p]
    sober = 0.6 if alone else 1.0 if people.waited[p] < 45.0 else 0.7
    surprise = False
    for over in range(walks.over_start[c], walks.over_start[c + 1]):
        begin, end = span(p, over, people, walks)
        if end < 0.0:
            continue
        enter = max(begin - BODY_M, 0.0) / speed
        need = enter + max(wanted, sober * ((end - max(begin, 0.0)) / speed + 0.4))
        if begin - people.kerb[p] > 2.5:  # a lane further on: one may pause before it
            need *= max(1.0 - people.waited[p] / 50.0, 0.5)
        seen, hidden = arrival(p, over, True, need + 2.0, people, cars, occ, outlook, seed, tick)
        if seen < need:
            return False, False
        surprise = surprise or hidden < (end + BODY_M) / speed
    return True, surprise


@inlined
def steps_out_blindly(
    p: int, people: Pedestrians, cars: Vehicles, occ: Occupancy, outlook: Outlook, seed: int, tick: int
) -> bool:
    """One who does not look goes, unless a vehicle is about to pass under their nose."""
    walks, c = outlook.walks, people.crossing[p]
    for over in range(walks.over_start[c], walks.over_start[c + 1]):
        begin, end = span(p, over, people, walks)
        if end > 0.0 and begin < 2.0:
            seen, _ = arrival(p, over, False, 1.0, people, cars, occ, outlook, seed, tick)
            if seen < 1.0:
                return False
    return True
