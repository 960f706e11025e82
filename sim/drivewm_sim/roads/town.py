"""A town: one OpenDRIVE map, compiled, with its sidecar: parked vehicles, buildings, signals, demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.types import RoadMap
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.walk_graph import WalkGraph


@dataclass(frozen=True, kw_only=True)
class BusStop:
    lane: int  # row in LaneGraph
    s: float  # where the front of a bus stands
    edge: int  # WalkGraph edge where people wait
    edge_s: float


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a town is like unless a scenario says otherwise."""

    town_type: str = "street"  # grid, arterial, school, roundabout, plaza, street
    vehicles_per_hour: float = 400.0  # entering each lane that begins at the map's edge
    cyclist_share: float = 0.08  # of those
    large_share: float = 0.08  # vans, trucks and buses, of the motor vehicles
    pedestrians_per_hour: float = 1000.0  # starting a walk anywhere in the town
    child_share: float = 0.1
    elderly_share: float = 0.15


class Street(NamedTuple):
    """All that kernels read of a town; never changes."""

    lanes: LaneGraph
    walks: WalkGraph
    signals: Signals
    boxes: Boxes
    entries: Int[ndarray, "n"]  # lanes at which vehicles enter the map
    door_edge: Int[ndarray, "d"]  # doors of houses, where walks begin and end: edge ...
    door_s: Float[ndarray, "d"]  # ... metres along it ...
    door_d: Float[ndarray, "d"]  # ... and metres to its left
    inside: Int[ndarray, "m"] = np.zeros(0, np.int64)  # lanes away from junctions on which vehicles may start


@dataclass(frozen=True, kw_only=True)
class Town:
    name: str
    street: Street
    road_map: RoadMap
    demand: Demand = field(default_factory=Demand)
    bus_stops: tuple[BusStop, ...] = ()
