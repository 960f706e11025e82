"""Traffic lights: one actor a signal of the map, in groups that cycle through their stages as CARLA's do.

A stage is a set of lights that are green together; it is green, then yellow, then red, and the next follows.
Times come from the town's signal programmes. A frozen group keeps what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from drivewm_sim.carla_frames import pose_to_carla
from drivewm_sim.carla_server.maps import Map
from drivewm_sim.carla_server.records import LIGHT_RECORD
from drivewm_sim.roads.governed import governed_lanes
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.objects import Signal
from drivewm_sim.roads.opendrive import OpenDrive

DEFAULT_TIMES = (10.0, 3.0, 2.0)  # s of green, yellow and red after it, where the map says nothing
BEFORE_STOP_M = 4.0
"""From so far before the stop line a vehicle is 'at' its traffic light."""


class LightState(IntEnum):
    """`carla.TrafficLightState`."""

    RED = 0
    YELLOW = 1
    GREEN = 2
    OFF = 3
    UNKNOWN = 4


@dataclass
class Stage:
    lights: list[int]  # rows
    phase: LightState = LightState.RED


@dataclass
class Group:
    """The lights of one junction."""

    lights: list[int]  # rows, all of them
    stages: list[Stage]
    stage: int = 0
    phase: LightState = LightState.GREEN
    since: float = 0.0  # s in this phase
    frozen: bool = False


class Lights:
    """All traffic lights of a map; light k is row k of the actor table."""

    def __init__(self, where: Map) -> None:
        document, street = where.document, where.town.street
        self.signals = [s for s in document.signals.values() if s.dynamic]
        self.record = np.zeros(len(self.signals), LIGHT_RECORD)
        self.transform = np.array([_place(document, s) for s in self.signals]).reshape(-1, 6)
        self.of_lane: Int[ndarray, "L"] = np.full(len(street.lanes.length), -1, np.int64)
        """The light before which a vehicle on a lane stops, at the lane's end."""
        governed = [governed_lanes(document, street.lanes, s.id) for s in self.signals]
        for row, lanes in enumerate(governed):
            for k in lanes:
                before = street.lanes.prev[street.lanes.prev_start[k] : street.lanes.prev_start[k + 1]]
                self.of_lane[before] = row
        self.groups = _groups(where, self.signals, governed)
        self.group_of = {row: group for group in self.groups for row in group.lights}
        for row, signal in enumerate(self.signals):
            self.record["sign"][row] = signal.id.encode()[:31]
            self.record["pole"][row] = self.group_of[row].lights.index(row)
        self._set_times(where, governed)
        for group in self.groups:
            self._start(group)

    def __len__(self) -> int:
        return len(self.signals)

    def _set_times(self, where: Map, governed: list[ndarray]) -> None:
        programme, lanes = where.town.street.signals, where.town.street.lanes
        for group in self.groups:
            rows = [_programme(lanes, governed[stage.lights[0]]) for stage in group.stages]
            for i, (stage, row) in enumerate(zip(group.stages, rows, strict=True)):
                green, yellow, red = DEFAULT_TIMES
                if row >= 0:
                    green, yellow = float(programme.green[row]), float(programme.yellow[row])
                    cycle, begin = float(programme.cycle[row]), float(programme.green_from[row])
                    after = rows[(i + 1) % len(rows)]
                    then = float(programme.green_from[after]) if after >= 0 and len(rows) > 1 else begin
                    red = max((then - begin) % cycle or cycle, green + yellow) - green - yellow
                record = self.record[stage.lights]
                record["green"], record["yellow"], record["red"] = green, yellow, red
                self.record[stage.lights] = record

    def _start(self, group: Group) -> None:
        """The first stage begins."""
        group.stage, group.since = 0, 0.0
        self.record["state"][group.lights] = LightState.RED
        self.record["elapsed"][group.lights] = 0.0
        self._show(group, LightState.GREEN)

    def _show(self, group: Group, phase: LightState) -> None:
        group.phase = phase
        lights = group.stages[group.stage].lights
        self.record["state"][lights] = phase
        self.record["elapsed"][lights] = 0.0

    def advance(self, dt: float) -> None:
        """dt seconds on."""
        for group in self.groups:
            if group.frozen:
                continue
            group.since += dt
            self.record["elapsed"][group.lights] += np.float32(dt)
            lasts = self._lasts(group)
            # Half a microsecond: sums of steps never miss the end by rounding.
            while group.since >= lasts - 5e-7:
                group.since = max(group.since - lasts, 0.0)
                self._next(group)
                lasts = self._lasts(group)

    def _lasts(self, group: Group) -> float:
        name = {LightState.GREEN: "green", LightState.YELLOW: "yellow", LightState.RED: "red"}[group.phase]
        # At least a millisecond: a cycle of nothing would never end.
        return max(float(self.record[name][group.stages[group.stage].lights[0]]), 1e-3)

    def _next(self, group: Group) -> None:
        if group.phase == LightState.GREEN:
            self._show(group, LightState.YELLOW)
        elif group.phase == LightState.YELLOW:
            self._show(group, LightState.RED)
        else:
            group.stage = (group.stage + 1) % len(group.stages)
            self._show(group, LightState.GREEN)

    def set_state(self, row: int, state: int) -> None:
        self.record["state"][row] = state
        self.record["elapsed"][row] = 0.0

    def freeze(self, row: int, frozen: bool) -> None:
        """As in CARLA, this stops or starts the whole group."""
        group = self.group_of[row]
        group.frozen = frozen
        self.record["frozen"][group.lights] = frozen

    def freeze_all(self, frozen: bool) -> None:
        for group in self.groups:
            self.freeze(group.lights[0], frozen)

    def reset(self, row: int) -> None:
        self._start(self.group_of[row])

    def reset_all(self) -> None:
        for group in self.groups:
            self._start(group)


def _place(document: OpenDrive, signal: Signal) -> ndarray:
    """Where the signal stands, in CARLA's frame; its x axis points at the traffic that it speaks to."""
    road = document.roads[document.road_row[signal.road]]
    s = np.array([signal.s])
    xy, heading = road.point(s, signal.t)
    z = float(road.elevation(s)[0]) + signal.z_offset
    turn = np.pi if signal.orientation == "+" else 0.0
    return pose_to_carla(np.array([*xy[0], float(heading[0]) + turn + signal.h_offset]), z)


def _programme(lanes: LaneGraph, governed: ndarray) -> int:
    """The row of the programme of a light's lanes; -1: none."""
    rows = lanes.signal[governed]
    return int(rows[rows >= 0][0]) if (rows >= 0).any() else -1


def _groups(where: Map, signals: list[Signal], governed: list[ndarray]) -> list[Group]:
    """Lights by junction; a light that governs no lane of a junction is a group of its own."""
    lanes, programme = where.town.street.lanes, where.town.street.signals
    controller = {s: c.id for c in where.document.controllers for s in c.signals}
    by_junction: dict[object, list[int]] = {}
    for row, (signal, there) in enumerate(zip(signals, governed, strict=True)):
        key: object = int(lanes.junction[there[0]]) if len(there) else f"alone {signal.id}"
        by_junction.setdefault(key, []).append(row)
    out = []
    for rows in by_junction.values():
        stages: dict[tuple[str, Any], list[int]] = {}
        for row in rows:
            own = _programme(lanes, governed[row])
            name: tuple[str, Any] = (
                ("p", own) if own >= 0 else ("c", controller.get(signals[row].id, signals[row].id))
            )
            stages.setdefault(name, []).append(row)

        def begins(name: tuple[str, Any]) -> float:
            return float(programme.green_from[name[1]]) if name[0] == "p" else np.inf

        order = sorted(stages, key=begins)
        out.append(Group(rows, [Stage(stages[name]) for name in order]))
    return out
