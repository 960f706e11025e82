"""What stands in a town: houses, doors, parked vehicles; and its sidecar. Used by make_towns.py."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from network import Network, Road

# Lengths, widths, heights in metres, and how often.
VEHICLES = ((0.70, (4.4, 1.8, 1.5)), (0.12, (3.8, 1.7, 1.5)), (0.18, (5.6, 1.95, 2.4)))
VANS = ((0.45, (4.4, 1.8, 1.5)), (0.15, (3.8, 1.7, 1.5)), (0.40, (5.6, 1.95, 2.4)))
GATE = 1.5  # m from the sidewalk to the gate of a front garden


@dataclass(kw_only=True)
class Scenery:
    """Boxes and doors of a town whose roads are complete. All chance comes from `seed`."""

    network: Network
    seed: int
    boxes: list[dict[str, Any]] = field(default_factory=list)
    doors: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.lanes = np.array([point for road in self.network.roads for point in _surface(road)])

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.chance.random()

    def box(
        self, kind: str, road: Road, s: float, t: float, size: tuple[float, float, float], turned: float = 0.0
    ) -> None:
        """One box, its middle at (s, t) of a road; size is length along the road, width, height."""
        pose = road.path.pose(s).beside(t)
        self.boxes.append(_box(kind, pose.x, pose.y, road.z(s), pose.heading + turned, size))

    def building_row(
        self,
        road: Road,
        side: int,
        start: float,
        end: float,
        *,
        setback: float = 1.0,
        depth: tuple[float, float] = (9.0, 13.0),
        front: tuple[float, float] = (12.0, 22.0),
        gap: tuple[float, float] = (0.5, 5.0),
        height: tuple[float, float] = (7.0, 16.0),
        doors: int = 1,
    ) -> None:
        """Houses behind the sidewalk of one side wherever they fit, with doors, or gates of their gardens."""
        s = start
        while s + front[0] <= end:
            size = (min(self.between(*front), end - s), self.between(*depth), self.between(*height))
            step, middle = size[0] + self.between(*gap), s + size[0] / 2
            outer = max(abs(road.edges(s + size[0] * k / 8, side, "walk")[1]) for k in range(9))
            pose = road.path.pose(middle)
            bent = abs(road.path.pose(s).heading - road.path.pose(s + size[0]).heading) > 0.02
            centre = pose.beside(side * (outer + setback + size[1] / 2))
            low = min(road.z(s), road.z(s + size[0]))
            house = _box("building", centre.x, centre.y, low, pose.heading, size)
            if bent or not self.free(house, 0.8):
                s += 2.0
                continue
            self.boxes.append(house)
            for k in range(doors):
                place = s + size[0] * (k + 0.5) / doors
                edge = abs(road.edges(place, side, "walk")[1])
                self.door(road, place, side * (edge + min(setback, GATE)))
            s += step

    def door(self, road: Road, s: float, t: float) -> None:
        """A door at (s, t) of a road, unless a bus shelter stands before it."""
        pose = road.path.pose(s).beside(t)
        way_out = _box("door", pose.x, pose.y, 0.0, pose.heading, (0.8, 0.1, 2.0))
        if any(box["kind"] == "shelter" and _touch(way_out, box) for box in self.boxes):
            return
        self.doors.append({"x": _cm(pose.x), "y": _cm(pose.y)})

    def parked_row(
        self, road: Road, side: int, start: float, end: float, *, filled: float, kinds: Any = VEHICLES
    ) -> None:
        """Vehicles one behind the other in the parking lane of one side, where it has its full width."""
        s = start + self.between(0.4, 1.0)
        while True:
            size = self._vehicle(kinds)
            if s + size[0] > end:
                return
            if self.chance.random() < filled:
                inner, outer = road.edges(s + size[0] / 2, side, "park")
                if abs(outer - inner) < size[1]:
                    raise ValueError(f"{road.name}: parked vehicle at {s:.1f} m outside the parking lane")
                # Near the kerb, and driven in with the traffic.
                t = outer - side * (size[1] / 2 + self.between(0.03, 0.1))
                self.box("parked", road, s + size[0] / 2, t, size, 0.0 if side < 0 else math.pi)
            s += size[0] + self.between(0.9, 2.0)

    def _vehicle(self, kinds: Any) -> tuple[float, float, float]:
        draw = self.chance.random()
        for share, size in kinds:
            if draw < share:
                return size
            draw -= share
        return kinds[0][1]

    def lamps(self, road: Road, side: int, start: float, end: float, every: float = 30.0) -> None:
        """Poles just outside the sidewalk, where they fit."""
        s = start
        while s < end:
            outer = abs(road.edges(s, side, "walk")[1])
            pose = road.path.pose(s).beside(side * (outer + 0.3))
            pole = _box("pole", pose.x, pose.y, road.z(s), pose.heading, (0.2, 0.2, 6.0))
            if self.free(pole, 0.1):
                self.boxes.append(pole)
            s += every

    def free(self, box: dict[str, Any], margin: float) -> bool:
        """Whether a box keeps clear of every lane by a margin, and of the boxes that stand."""
        cos, sin = math.cos(box["yaw"]), math.sin(box["yaw"])
        dx, dy = self.lanes[:, 0] - box["x"], self.lanes[:, 1] - box["y"]
        along, across = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
        if np.any((along < box["length"] / 2 + margin) & (across < box["width"] / 2 + margin)):
            return False
        return not any(_touch(box, other) for other in self.boxes)

    def sidecar(self, **parts: Any) -> str:
        """The JSON text beside the map."""
        document = {"schema": 1, **parts, "boxes": self.boxes, "doors": self.doors}
        order = ("schema", "town_type", "demand", "signals", "bus_stops", "give_way", "doors", "boxes")
        rows = []
        for key in order:
            value = document.get(key, [])
            if isinstance(value, list) and value:
                lines = ",\n  ".join(json.dumps(item) for item in value)
                rows.append(f' "{key}": [\n  {lines}\n ]')
            else:
                rows.append(f' "{key}": {json.dumps(value)}')
        return "{\n" + ",\n".join(rows) + "\n}\n"


def _cm(value: float) -> float:
    return round(value, 2) + 0.0


def _box(
    kind: str, x: float, y: float, z: float, yaw: float, size: tuple[float, float, float]
) -> dict[str, Any]:
    yaw = (yaw + math.pi) % (2 * math.pi) - math.pi
    length, width, height = (_cm(value) for value in size)
    place = {"kind": kind, "x": _cm(x), "y": _cm(y), "z": _cm(z), "yaw": round(yaw, 4) + 0.0}
    return {**place, "length": length, "width": width, "height": height}


def _surface(road: Road) -> list[tuple[float, float]]:
    """Points on the road's lanes, at most 1 m apart."""
    points = []
    for k in range(int(road.length) + 2):
        s = min(float(k), road.length)
        pose = road.path.pose(s)
        for side in (1, -1):
            names = [each.name for each in (road.left if side > 0 else road.right)]
            if names:
                outer = abs(road.edges(s, side, names[-1])[1])
                steps = int(outer) + 2
                for i in range(steps):
                    beside = pose.beside(side * outer * i / (steps - 1))
                    points.append((beside.x, beside.y))
    return points


def _corners(box: dict[str, Any]) -> np.ndarray:
    cos, sin = math.cos(box["yaw"]), math.sin(box["yaw"])
    local = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (box["length"] / 2, box["width"] / 2)
    return local @ np.array([[cos, sin], [-sin, cos]]) + (box["x"], box["y"])


def _touch(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two boxes overlap seen from above (separating axes)."""
    p, q = _corners(a), _corners(b)
    for yaw in (a["yaw"], a["yaw"] + math.pi / 2, b["yaw"], b["yaw"] + math.pi / 2):
        axis = np.array([math.cos(yaw), math.sin(yaw)])
        if (p @ axis).max() <= (q @ axis).min() or (q @ axis).max() <= (p @ axis).min():
            return False
    return True
