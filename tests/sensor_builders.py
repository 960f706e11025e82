"""Bodies and boxes for the tests of the sensors."""

from __future__ import annotations

import numpy as np

from drivewm.types import Kind
from drivewm_sim.roads.boxes import Boxes, BoxKind
from drivewm_sim.sensors.bodies import BODY

CAR = {"kind": int(Kind.VEHICLE), "length": 4.5, "width": 1.9, "height": 1.6}
VAN = {"kind": int(Kind.VEHICLE), "length": 5.5, "width": 2.0, "height": 2.5}
PERSON = {"kind": int(Kind.PEDESTRIAN), "length": 0.5, "width": 0.5, "height": 1.7}


def make_bodies(*agents: dict[str, float]) -> np.ndarray:
    """Rows of BODY; uids count from 1 unless named, other fields not named are zero."""
    rows = np.zeros(len(agents), BODY)
    for n, agent in enumerate(agents):
        for name, value in ({"uid": n + 1} | agent).items():
            rows[name][n] = value
    return rows


def make_boxes(*boxes: tuple[float, float, float, float, float, float, float]) -> Boxes:
    """Boxes given as x, y, z, yaw, length, width, height."""
    table = np.array(boxes, float).reshape(-1, 7)
    kind = np.full(len(boxes), int(BoxKind.BUILDING))
    return Boxes(*(np.ascontiguousarray(column) for column in table.T), kind)


def random_boxes(rng: np.random.Generator, count: int, extent: float) -> Boxes:
    """Boxes of all sizes and directions, strewn over a square of twice `extent`."""
    return make_boxes(
        *(
            (
                *rng.uniform(-extent, extent, 2),
                rng.uniform(-0.5, 0.5),
                rng.uniform(-np.pi, np.pi),
                *rng.uniform(0.3, 14.0, 2),
                rng.uniform(0.4, 8.0),
            )
            for _ in range(count)
        )
    )
