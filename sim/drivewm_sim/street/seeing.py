"""Who sees whom: line of sight past boxes and vehicles, and a small memory of those one keeps an eye on."""

from __future__ import annotations

import math

from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.town import Street
from drivewm_sim.street.inlining import inlined
from drivewm_sim.street.occupancy import CELL_M, Occupancy, bucket_of_cell
from drivewm_sim.street.sight import StaticGrid, hidden_by_boxes, segment_hits_box
from drivewm_sim.street.state import MEMORY, Pedestrians, Vehicles

REACH_M = 6.5  # from the centre of the longest vehicle to its corner: cells this near to the line count
FORGET_TICKS = 10  # decisions out of sight after which somebody is no longer expected to be there
IN_SIGHT_TICKS = 3  # seen this lately counts as in sight: pairs are tested every second decision


@inlined
def clear(
    x0: float, y0: float, z0: float, x1: float, y1: float, z1: float,
    skip_a: int, skip_b: int, cars: Vehicles, occ: Occupancy, street: Street, grid: StaticGrid,
) -> bool:  # fmt: skip
    """Whether one sees from point 0 to point 1 (scene frame); uids skip_a, skip_b hide nothing."""
    return line_is_clear(
        x0, y0, z0, x1, y1, z1, skip_a, skip_b, cars, occ.car_first, occ.car_rows, street.boxes, grid
    )  # fmt: skip


@kernel
def line_is_clear(
    x0: float, y0: float, z0: float, x1: float, y1: float, z1: float, skip_a: int, skip_b: int,
    cars: Vehicles, car_first: ndarray, car_rows: ndarray, boxes: Boxes, grid: StaticGrid,
) -> bool:  # fmt: skip
    """`clear`, with no more of the town than it takes."""
    if x1 < x0:
        x0, y0, z0, x1, y1, z1 = x1, y1, z1, x0, y0, z0
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    rise = dy / dx if dx > 1e-9 else 0.0
    for i in range(math.floor((x0 - REACH_M) / CELL_M), math.floor((x1 + REACH_M) / CELL_M) + 1):
        # The stretch of y that the line covers over this column of cells, widened by the reach.
        left, right = i * CELL_M - REACH_M, (i + 1) * CELL_M + REACH_M
        ya = y0 + max(left - x0, 0.0) * rise
        yb = y1 - max(x1 - right, 0.0) * rise
        low, high = math.floor((min(ya, yb) - REACH_M) / CELL_M), math.floor((max(ya, yb) + REACH_M) / CELL_M)
        for j in range(low, high + 1):
            k = bucket_of_cell(i, j)
            for m in range(car_first[k], car_first[k + 1]):
                o = car_rows[m]
                if cars.uid[o] == skip_a or cars.uid[o] == skip_b:
                    continue
                ox, oy = cars.x[o] - x0, cars.y[o] - y0
                across = ox * dy - oy * dx
                if across * across > REACH_M * REACH_M * length2:
                    continue
                if segment_hits_box(
                    x0, y0, z0, x1, y1, z1,
                    cars.x[o], cars.y[o], cars.z[o], cars.yaw[o],
                    cars.length[o], cars.width[o], cars.height[o],
                ):  # fmt: skip
                    return False
    return not hidden_by_boxes(grid, boxes, x0, y0, z0, x1, y1, z1)


@kernel
def note(agents: Vehicles | Pedestrians, i: int, uid: int, tick: int, visible: bool) -> None:
    """Writes into the memory of row i whether it sees `uid` now.

    When the memory is full, the one unseen for longest makes room. While all of them are in sight nobody
    does: taking turns would make each of a crowd look new for ever.
    """
    oldest = 0
    for k in range(MEMORY):
        if agents.seen_uid[i, k] == uid:
            if visible:
                if tick - agents.seen_last[i, k] > FORGET_TICKS:
                    agents.seen_first[i, k] = tick
                agents.seen_last[i, k] = tick
            elif tick - agents.seen_last[i, k] > FORGET_TICKS:
                agents.seen_uid[i, k] = -1
            return
    if not visible:
        return
    for k in range(MEMORY):
        if agents.seen_uid[i, k] < 0:
            oldest = k
            break
        if agents.seen_last[i, k] < agents.seen_last[i, oldest]:
            oldest = k
    if agents.seen_uid[i, oldest] >= 0 and tick - agents.seen_last[i, oldest] <= IN_SIGHT_TICKS:
        return
    agents.seen_uid[i, oldest] = uid
    agents.seen_first[i, oldest] = tick
    agents.seen_last[i, oldest] = tick


@kernel
def seen_for(agents: Vehicles | Pedestrians, i: int, uid: int, tick: int) -> float:
    """Seconds since row i began to see `uid` without a break of more than 1 s; -1.0 when it does not know."""
    for k in range(MEMORY):
        if agents.seen_uid[i, k] == uid:
            if tick - agents.seen_last[i, k] > FORGET_TICKS:
                return -1.0
            return 0.1 * (tick - agents.seen_first[i, k])
    return -1.0
