"""On which side of a strip a pedestrian walks, and how it gets past what stands there.

Everybody has a lateral preference. What stands in the way (a box, a standing vehicle on the road) moves it to
the side with room; somebody who does not get on tries another side, then turns round.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.lines import Lines
from drivewm_sim.randomness import STALL, uniform
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.walk_graph import WalkGraph
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.sight import CELL_M as BOX_CELL_M
from drivewm_sim.street.sight import StaticGrid
from drivewm_sim.street.state import NOBODY, Pedestrians, Vehicles
from drivewm_sim.street.vectors import NEARLY

EDGE_M = 0.25  # nobody's middle comes nearer to the edge of a strip
ROOM_M = 0.42  # kept between a middle and a box that one passes
AHEAD_M = 4.0
WIDER_M = 1.5  # round a standing vehicle people leave the marks of a crossing by this much
LEVEL_M = 2.5
CAR_REACH_M = 7.0  # half the longest vehicle, and a little
ASIDE_S, ROUND_S = 5.0, 20.0  # of not getting on
LEAST_MPS = 0.15
_WALKING, _APPROACHING = int(Intent.WALKING), int(Intent.APPROACHING)
_CROSSING, _RUNNING, _TURNING = int(Intent.CROSSING), int(Intent.RUNNING), int(Intent.TURNING_BACK)


@inlined
def strip_yaw(lines: Lines, k: int, s: float) -> float:
    """The direction of strip k at s, from tail to head."""
    last = lines.start[k + 1] - lines.start[k] - 1
    u = s / lines.step[k]
    cell = min(max(math.floor(u), 0), last - 1)
    i = lines.start[k] + cell
    return lines.yaw[i] + min(max(u - cell, 0.0), 1.0) * (lines.yaw[i + 1] - lines.yaw[i])


@kernel
def room(walks: WalkGraph, k: int) -> float:
    """How far from the centre of strip k a person's middle may be (m)."""
    return max(0.5 * walks.width[k] - EDGE_M, 0.1)


@kernel
def preferred(side: float, walked: Float[ndarray, "E 2"], k: int, forward: bool) -> float:
    """Where on strip k somebody walks who has it to themselves (m to its left)."""
    least, most = walked[k, 0], walked[k, 1]
    aside = 0.5 * (least + most) + (side if forward else -side)
    return min(max(aside, least), most)


@kernel
def _dodge(
    p: int, aside: float, most: float, yaw: float, people: Pedestrians,
    x: float, y: float, turn: float, length: float, width: float,
) -> float:  # fmt: skip
    """`aside`, moved past one box (turn: its yaw) if that stands in the way within 4 m."""
    c, s = people.ahead_x[p], people.ahead_y[p]
    dx, dy = x - people.x[p], y - people.y[p]
    ahead, left = c * dx + s * dy, c * dy - s * dx + people.d[p]
    if abs(aside - left) > 0.5 * (length + width) + ROOM_M + NEARLY:
        return aside  # whatever its yaw
    cb, sb = abs(math.cos(turn - yaw)), abs(math.sin(turn - yaw))
    long, wide = 0.5 * (length * cb + width * sb), 0.5 * (length * sb + width * cb) + ROOM_M
    if not people.forward[p]:
        ahead = -ahead
    if ahead + long < -0.3 or ahead - long > AHEAD_M or abs(aside - left) >= wide:
        return aside
    a, b = left + wide, left - wide
    fits_a, fits_b = a <= most, b >= -most
    if fits_a and fits_b:
        return a if abs(a - people.d[p]) < abs(b - people.d[p]) else b
    if fits_a or (not fits_b and most - a > b + most):
        return min(a, most)
    return max(b, -most)


@inlined
def note_boxes(p: int, people: Pedestrians, boxes: Boxes, grid: StaticGrid) -> None:
    """Writes the two nearest boxes within 4 m of the body of row p."""
    people.obstacle[p, 0], people.obstacle[p, 1] = NOBODY, NOBODY
    near_0, near_1 = math.inf, math.inf
    x, y = people.x[p], people.y[p]
    i0, i1 = math.floor((x - AHEAD_M - grid.x) / BOX_CELL_M), math.floor((x + AHEAD_M - grid.x) / BOX_CELL_M)
    j0, j1 = math.floor((y - AHEAD_M - grid.y) / BOX_CELL_M), math.floor((y + AHEAD_M - grid.y) / BOX_CELL_M)
    for i in range(max(i0, 0), min(i1, grid.columns - 1) + 1):
        for j in range(max(j0, 0), min(j1, grid.rows - 1) + 1):
            cell = i * grid.rows + j
            for m in range(grid.first[cell], grid.first[cell + 1]):
                k = grid.box[m]
                if k in (people.obstacle[p, 0], people.obstacle[p, 1]) or boxes.z[k] > people.z[p] + LEVEL_M:
                    continue
                if boxes.z[k] + boxes.height[k] < people.z[p]:
                    continue
                _, _, distance = from_box(
                    x, y, boxes.x[k], boxes.y[k], grid.cos[k], grid.sin[k], boxes.length[k], boxes.width[k]
                )
                if distance > AHEAD_M:
                    continue
                if distance < near_0:
                    near_1, people.obstacle[p, 1] = near_0, people.obstacle[p, 0]
                    near_0, people.obstacle[p, 0] = distance, k
                elif distance < near_1:
                    near_1, people.obstacle[p, 1] = distance, k


@kernel
def from_box(
    x: float, y: float, bx: float, by: float, c: float, s: float, length: float, width: float
) -> tuple[float, float, float]:
    """Vector from the nearest point of a box (c, s: cosine and sine of its yaw) to (x, y), and its length.

    Inside, the vector leads out by the nearest side and the length is negative.
    """
    rx, ry = x - bx, y - by
    u, v = c * rx + s * ry, c * ry - s * rx
    du = u - min(max(u, -0.5 * length), 0.5 * length)
    dv = v - min(max(v, -0.5 * width), 0.5 * width)
    distance = math.hypot(du, dv)
    if distance == 0.0:
        out_u, out_v = 0.5 * length - abs(u), 0.5 * width - abs(v)
        if out_u < out_v:
            du, dv, distance = math.copysign(out_u + 1e-9, u), 0.0, -out_u
        else:
            du, dv, distance = 0.0, math.copysign(out_v + 1e-9, v), -out_v
    return c * du - s * dv, s * du + c * dv, distance


@inlined
def round_vehicles(
    p: int, aside: float, most: float, yaw: float, people: Pedestrians, cars: Vehicles, occ: Occupancy
) -> float:
    """`aside`, moved past vehicles that stand on the way across."""
    x, y = people.x[p], people.y[p]
    reach = AHEAD_M + CAR_REACH_M
    for i in range(math.floor((x - reach) / CELL_M), math.floor((x + reach) / CELL_M) + 1):
        for j in range(math.floor((y - reach) / CELL_M), math.floor((y + reach) / CELL_M) + 1):
            cell = bucket_of_cell(i, j)
            for m in range(occ.car_first[cell], occ.car_first[cell + 1]):
                k = occ.car_rows[m]
                if abs(cars.x[k] - x) > reach or abs(cars.y[k] - y) > reach or cars.speed[k] > 0.5:
                    continue
                if abs(cars.z[k] - people.z[p]) < LEVEL_M:
                    aside = _dodge(
                        p, aside, most, yaw, people,
                        cars.x[k], cars.y[k], cars.yaw[k], cars.length[k], cars.width[k],
                    )  # fmt: skip
    return aside


@inlined
def round_boxes(p: int, aside: float, most: float, yaw: float, people: Pedestrians, boxes: Boxes) -> float:
    """`aside`, moved past the boxes that stand in the way."""
    for k in range(2):
        b = people.obstacle[p, k]
        if b >= 0:
            aside = _dodge(
                p, aside, most, yaw, people,
                boxes.x[b], boxes.y[b], boxes.yaw[b], boxes.length[b], boxes.width[b],
            )  # fmt: skip
    return aside


@inlined
def _wants_to_get_on(p: int, people: Pedestrians) -> bool:
    state = people.intent[p]
    if people.halt[p] > 0.0 or people.pace[p] < 0.4:
        return False
    return state in (_WALKING, _APPROACHING, _CROSSING, _RUNNING, _TURNING)


@inlined
def gets_on(p: int, width: float, people: Pedestrians, seed: int) -> bool:
    """Counts how long row p has not got on; after 5 s it tries another side; false after 20 s: turn round."""
    # Stepping from side to side is no progress.
    speed = people.vx[p] * people.ahead_x[p] + people.vy[p] * people.ahead_y[p]
    wish = math.hypot(people.want_x[p], people.want_y[p])
    if people.way[p, 0] < 0 and wish > 0.1:
        # Where the walk ends beside the strip, getting on leads there: past a bench, not along it.
        speed = (people.vx[p] * people.want_x[p] + people.vy[p] * people.want_y[p]) / wish
    before = people.stalled[p]
    if abs(speed) > LEAST_MPS or not _wants_to_get_on(p, people):
        people.stalled[p] = max(before - 2.0 * DECISION_S, 0.0)
        return True
    people.stalled[p] = now = before + DECISION_S
    if math.floor(now / ASIDE_S) > math.floor(before / ASIDE_S):
        draw = uniform(seed, people.uid[p], STALL, people.trips[p], math.floor(now / ASIDE_S))
        # Over to the other half of the strip.
        people.side[p] = -math.copysign(0.5 * width * draw, people.side[p])
    return now < ROUND_S
