"""Small streets and worlds for the simulator's tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivewm_sim import state
from drivewm_sim.lines import line_point
from drivewm_sim.road_graph import RoadGraph
from drivewm_sim.simulator import Intent
from drivewm_sim.town import Town, make_town

_LANE = '<lane id="{}" type="{}"><width sOffset="0" a="{}" b="0" c="0" d="0"/></lane>'
_CORNERS = "".join(f'<cornerLocal u="{u}" v="{v}" z="0"/>' for u, v in ((-2, -3), (2, -3), (2, 3), (-2, 3)))


def street_xml(length: float = 1000.0, zebra_s: float | None = 500.0, geometry: str = "<line/>") -> str:
    """One road along x: a 3 m lane and a 3 m sidewalk each way, and a 4 m wide zebra."""
    lanes = {i: _LANE.format(i, "driving" if abs(i) == 1 else "sidewalk", 3) for i in (2, 1, -1, -2)}
    zebra = "" if zebra_s is None else (
        f'<objects><object id="9" type="crosswalk" s="{zebra_s}" t="0" hdg="0"><outline>{_CORNERS}</outline>'
        "</object></objects>"
    )  # fmt: skip
    plan = f'<geometry s="0" x="0" y="0" hdg="0" length="{length}">{geometry}</geometry>'
    sides = f"<left>{lanes[2]}{lanes[1]}</left><right>{lanes[-1]}{lanes[-2]}</right>"
    return (
        f'<OpenDRIVE><road id="7" length="{length}" junction="-1"><planView>{plan}</planView>'
        f'<lanes><laneSection s="0">{sides}</laneSection></lanes>{zebra}</road></OpenDRIVE>'
    )


def street(length: float = 1000.0, zebra_s: float | None = 500.0) -> Town:
    """It, compiled. Route 1 runs along x at y = -1.5, sidewalk 1 at y = -4.5, sidewalk 0 at y = 4.5."""
    return make_town("street", street_xml(length, zebra_s))


def cars(graph: RoadGraph, *rows: dict[str, Any]) -> np.ndarray:
    """Vehicles on route 1, each given by `s`, `speed` and whatever else matters."""
    out = state.empty(state.VEHICLE)
    for uid, row in enumerate(rows, start=1):
        x, y, yaw = line_point(graph.routes, 1, row["s"], 0.0)
        usual = {
            "route": 1,
            "length": 4.0,
            "width": 1.8,
            "desired_speed": 10.0,
            "headway": 1.5,
            "yields": 1.0,
        }
        out = state.append(out, {"uid": uid, "x": x, "y": y, "yaw": yaw, **usual, **row})
    return out


def crossers(*rows: dict[str, Any]) -> np.ndarray:
    """Pedestrians at the zebra of `street`, on their way from y = -3.4 to y = 3.4 unless told otherwise."""
    out = state.empty(state.PEDESTRIAN)
    for uid, row in enumerate(rows, start=100):
        usual = {
            "leader": uid, "x": 500.0, "y": -3.4, "free_speed": 1.3, "pace": 1.0, "critical_gap": 4.0,
            "zebra": 0,
            "walk": 1, "far_walk": 0, "cross_s": 500.0, "kerb_x": 500.0, "kerb_y": -3.4, "far_x": 500.0,
            "far_y": 3.4, "goal_s": 900.0, "turn_back_at": 2.0, "touched": -1, "intent": int(Intent.CROSSING),
        }  # fmt: skip
        out = state.append(out, {"uid": uid, **usual, **row})
    return out
