"""Where a pedestrian stands with regard to the next strip over lanes on its way."""

from __future__ import annotations

import math

from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.state import NOBODY, WAY, Pedestrians

ANNOUNCED_M = 15.0  # from the kerb: drivers take notice of those who come nearer
BODY_M = 0.25  # a body is over the kerb when its middle is this far beyond it
_ZEBRA = int(EdgeKind.ZEBRA)


@inlined
def upcoming(p: int, people: Pedestrians, walks: WalkGraph) -> tuple[int, bool, float]:
    """The strip over lanes that row p is on or comes to within 15 m; its direction; metres along it.

    Strip -1 when there is none. Metres count from the tail: before the strip they are negative, or beyond its
    length where one comes from the head.
    """
    edge, s, forward = people.edge[p], people.s[p], people.forward[p]
    if walks.kind[edge] >= _ZEBRA:
        if forward and s < walks.kerb_out[edge] + BODY_M:
            return edge, True, s
        if not forward and s > walks.kerb_in[edge] - BODY_M:
            return edge, False, s
    rest = walks.length[edge] - s if forward else s
    node = walks.head[edge] if forward else walks.tail[edge]
    for k in range(WAY):
        edge = people.way[p, k]
        if edge < 0 or rest > ANNOUNCED_M:
            break
        forward = walks.tail[edge] == node
        if walks.kind[edge] >= _ZEBRA:
            to_kerb = rest + (walks.kerb_in[edge] if forward else walks.length[edge] - walks.kerb_out[edge])
            if to_kerb > ANNOUNCED_M:
                break
            return edge, forward, -rest if forward else walks.length[edge] + rest
        rest += walks.length[edge]
        node = walks.head[edge] if forward else walks.tail[edge]
    return NOBODY, True, 0.0


@inlined
def to_kerb(p: int, people: Pedestrians, walks: WalkGraph) -> float:
    """Metres to the near kerb of the crossing of row p; negative on the road; infinite without a crossing."""
    c = people.crossing[p]
    if c < 0:
        return math.inf
    if people.crossing_forward[p]:
        return walks.kerb_in[c] - people.along[p]
    return people.along[p] - walks.kerb_out[c]
