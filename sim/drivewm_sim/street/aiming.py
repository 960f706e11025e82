"""Where a pedestrian's next steps lead: the velocity it wants, and the bounds of the strip it walks on."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from numpy import ndarray

from drivewm_sim.lines import Lines, line_point
from drivewm_sim.simulator import Intent
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.passing import EDGE_M, preferred
from drivewm_sim.street.state import Pedestrians

KERB_STOP_M = 0.6  # people wait this far from the kerb ...
KERB_LEAST_M = 0.35  # ... and are not pushed nearer: those who turn cut over the kerb's edge
SLOWS_MPS2 = 0.8  # towards a kerb
SHUFFLE_MPS = 0.4  # while waiting
RETREAT = 1.15  # factor on the free speed
_APPROACHING, _WAITING, _TURNING = int(Intent.APPROACHING), int(Intent.WAITING), int(Intent.TURNING_BACK)
_PAUSING, _HESITATING, _STANDING = int(Intent.PAUSING), int(Intent.HESITATING), int(Intent.STANDING)


@inlined
def aim(
    p: int, people: Pedestrians, lines: Lines,
    length: Float[ndarray, "E"], width: Float[ndarray, "E"], walked: Float[ndarray, "E 2"],
    tail: Int[ndarray, "E"], head: Int[ndarray, "E"],
) -> None:  # fmt: skip
    """Writes the velocity that row p wants, and what bounds it. Lines and so on are the walkable graph's."""
    edge, forward, s = people.edge[p], people.forward[p], people.s[p]
    way = 1.0 if forward else -1.0
    following = people.way[p, 0]
    rest = length[edge] - s if forward else s
    # Where the next strip of the way begins the edge of this one is open.
    opens = following >= 0 and rest < 0.5 * width[following]
    people.room[p] = math.inf if opens else max(max(0.5 * width[edge] - EDGE_M, 0.1), abs(people.aside[p]))
    people.stop_s[p], people.want_x[p], people.want_y[p] = math.inf, 0.0, 0.0
    state = people.intent[p]
    at_crossing = edge == people.crossing[p]
    if at_crossing and state in (_APPROACHING, _WAITING):
        people.stop_s[p] = s + way * (people.kerb[p] - KERB_LEAST_M)
    if people.halt[p] > 0.0 or state in (_PAUSING, _HESITATING, _STANDING):
        return
    speed = people.free_speed[p] * people.pace[p]
    if state == _TURNING:
        # Aims behind the place to stand, so as not to creep up to it.
        back = people.kerb[p] - KERB_STOP_M - 0.5
        x, y, _ = line_point(lines, edge, s + way * back, people.d[p])
        speed = people.free_speed[p] * RETREAT
    elif state == _WAITING and at_crossing:
        x, y, _ = line_point(lines, edge, s + way * (people.kerb[p] - KERB_STOP_M), people.aside[p])
        distance = math.hypot(x - people.x[p], y - people.y[p])
        speed = min(max(0.8 * (distance - 0.15), 0.0), SHUFFLE_MPS)
    else:
        if state in (_APPROACHING, _WAITING):
            speed = min(speed, math.sqrt(2.0 * SLOWS_MPS2 * max(people.kerb[p] - KERB_STOP_M, 0.0)))
            if state == _WAITING:
                speed = min(speed, SHUFFLE_MPS)
        x, y = _point_ahead(
            p, min(max(0.8 + 1.2 * speed, 1.2), 2.6), rest, people, lines, length, walked, tail, head
        )
    dx, dy = x - people.x[p], y - people.y[p]
    distance = math.hypot(dx, dy)
    if distance > 1e-6:
        people.want_x[p], people.want_y[p] = speed * dx / distance, speed * dy / distance


@inlined
def _point_ahead(
    p: int, ahead: float, rest: float, people: Pedestrians, lines: Lines,
    length: Float[ndarray, "E"], walked: Float[ndarray, "E 2"], tail: Int[ndarray, "E"],
    head: Int[ndarray, "E"],
) -> tuple[float, float]:  # fmt: skip
    """The point of its way `ahead` metres further on, `rest` of them on this strip; a nearer goal."""
    edge, s, forward = people.edge[p], people.s[p], people.forward[p]
    following = people.way[p, 0]
    if following < 0:
        togo = people.goal_s[p] - s if forward else s - people.goal_s[p]
        if togo <= ahead:
            x, y, _ = line_point(lines, edge, people.goal_s[p], people.goal_d[p])
            return x, y
    elif rest < ahead:
        node = head[edge] if forward else tail[edge]
        onward = tail[following] == node
        beyond = min(ahead - max(rest, 0.0), length[following])
        at = beyond if onward else length[following] - beyond
        side = preferred(people.side[p], walked, following, onward)
        x, y, _ = line_point(lines, following, at, side)
        return x, y
    x, y, _ = line_point(lines, edge, s + (ahead if forward else -ahead), people.aside[p])
    return x, y
