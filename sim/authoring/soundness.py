"""What is wrong with a town's files, in words: the checks of the shipped towns, for any town.

Used by make_random_towns.py. Needs shapely and the simulator's own reader.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from shapely import Polygon, STRtree, unary_union
from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry

from drivewm_sim.roads.lane_links import Piece, lane_links
from drivewm_sim.roads.opendrive import Road, load_opendrive

LARGEST = 250_000  # bytes of a map
MEET_M, MEET_RAD = 0.01, 0.01
TOUCH_M2 = 1e-3
REFUGE_M = 3.5  # from an island to the crosswalk on its other side
ZEBRA_M = 5.0  # from a parked vehicle to a crosswalk


class Files:
    """A map and its sidecar as read back, with the ground that lanes and boxes cover."""

    def __init__(self, xodr: Path) -> None:
        self.bytes = xodr.stat().st_size
        self.document = load_opendrive(xodr)
        self.links = lane_links(self.document)
        self.sidecar: dict[str, Any] = json.loads(xodr.with_suffix(".json").read_text(encoding="utf-8"))

    def road(self, piece: Piece) -> Road:
        return self.document.roads[self.document.road_row[piece.road]]

    def type(self, piece: Piece) -> str:
        return self.road(piece).sections[piece.section].lanes[piece.lane].type

    def line(self, piece: Piece, across: float) -> np.ndarray:
        """x, y, z and direction of travel along a lane; across 0 is its inner edge, 1 its outer."""
        road = self.road(piece)
        section = road.sections[piece.section]
        s = np.linspace(section.s, section.end, int(section.end - section.s) + 2)
        s = np.sort(np.append(s, [section.s + 1e-3, section.end - 1e-3]))
        inner, outer = road.lane_edges(section, piece.lane, s)
        xy, _ = road.point(s, inner + across * (outer - inner))
        table = np.column_stack([xy, road.elevation(s)])[:: 1 if piece.lane < 0 else -1]
        step = np.diff(table[:, :2], axis=0)
        heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        return np.column_stack([table, np.append(heading, heading[-1])])

    @cached_property
    def grounds(self) -> dict[Piece, BaseGeometry]:
        """Each lane's ground."""
        found = {}
        for piece in self.links:
            inner, outer = self.line(piece, 0), self.line(piece, 1)
            found[piece] = Polygon(np.concatenate([inner[:, :2], outer[::-1, :2]])).buffer(0.001)
        return found

    def surface(self, *types: str) -> BaseGeometry:
        return unary_union([ground for piece, ground in self.grounds.items() if self.type(piece) in types])

    def boxes(self, *kinds: str) -> list[Polygon]:
        """Ground plans of boxes of these kinds."""
        return [ground_plan(box) for box in self.sidecar["boxes"] if box["kind"] in kinds]

    @cached_property
    def crosswalks(self) -> dict[str, Polygon]:
        return {crosswalk.id: Polygon(crosswalk.outline[:, :2]) for crosswalk in self.document.crosswalks}


def ground_plan(box: dict[str, Any]) -> Polygon:
    cos, sin = math.cos(box["yaw"]), math.sin(box["yaw"])
    local = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (box["length"] / 2, box["width"] / 2)
    return Polygon(local @ np.array([[cos, sin], [-sin, cos]]) + (box["x"], box["y"]))


def faults(xodr: Path) -> list[str]:
    """Everything wrong with a map and the sidecar beside it, at most one line a kind of fault."""
    files = Files(xodr)
    checks = (
        _size,
        _joints,
        _sidewalks,
        _exits,
        _streets_apart,
        _boxes,
        _parked,
        _crossings,
        _doors,
        _lights,
    )
    return [fault for check in checks if (fault := next(check(files), None)) is not None]


def _size(files: Files) -> Iterator[str]:
    if files.bytes >= LARGEST:
        yield f"the map has {files.bytes} bytes"


def _joints(files: Files) -> Iterator[str]:
    """Linked lanes meet, at both edges."""
    for piece, ahead in files.links.items():
        for other in ahead:
            for across in (0.0, 1.0):
                end, start = files.line(piece, across)[-1], files.line(other, across)[0]
                turned = abs(math.remainder(end[3] - start[3], 2 * math.pi))
                if np.abs(end[:3] - start[:3]).max() >= MEET_M or turned >= MEET_RAD:
                    yield f"{piece} and {other} do not meet"


def _sidewalks(files: Files) -> Iterator[str]:
    """Every sidewalk goes on or leaves the map."""
    for piece, ahead in files.links.items():
        if files.type(piece) == "sidewalk" and not ahead:
            road = files.road(piece)
            if (road.successor if piece.lane < 0 else road.predecessor) is not None:
                yield f"the sidewalk {piece} ends"


def _exits(files: Files) -> Iterator[str]:
    """From every entering lane two ways off the map can be reached, or all where streets have one lane."""
    driving = [piece for piece in files.links if files.type(piece) == "driving"]
    led_to = {other for ahead in files.links.values() for other in ahead}
    exits = {piece for piece in driving if not files.links[piece]}
    wide = files.sidecar["town_type"] == "arterial"
    for entry in (piece for piece in driving if piece not in led_to):
        reached: set[Piece] = set()
        waiting = [entry]
        while waiting:
            piece = waiting.pop()
            if piece not in reached:
                reached.add(piece)
                waiting += files.links[piece]
        others = {piece for piece in exits if piece.road != entry.road}
        if len(exits & reached) < 2 if wide else not others <= reached:
            yield f"{entry} does not reach {sorted(others - reached)}"


def _streets_apart(files: Files) -> Iterator[str]:
    """Roads overlap inside their own junction only."""
    plain = [piece for piece in files.links if files.road(piece).junction is None]
    grounds = [files.grounds[piece].buffer(-0.05) for piece in plain]
    for i, j in STRtree(grounds).query(grounds, predicate="intersects").T:
        if plain[i].road < plain[j].road:
            yield f"{plain[i]} lies over {plain[j]}"


def _boxes(files: Files) -> Iterator[str]:
    """Nothing stands on a lane of vehicles, no house on a sidewalk, no box in another."""
    ground = files.surface("driving", "biking")
    walks = files.surface("sidewalk")
    plans = files.boxes("parked", "building", "shelter", "furniture", "pole")
    for plan in plans:
        if plan.intersection(ground).area >= TOUCH_M2 or plan.intersection(walks).area >= TOUCH_M2:
            yield f"a box at {plan.centroid} stands on a lane"
    for i, j in STRtree(plans).query(plans, predicate="intersects").T:
        if i < j and plans[i].intersection(plans[j]).area >= TOUCH_M2:
            yield f"two boxes overlap at {plans[i].centroid}"


def _parked(files: Files) -> Iterator[str]:
    strips = files.surface("parking").buffer(0.02)
    zebras = unary_union(list(files.crosswalks.values()))
    for plan in files.boxes("parked"):
        if not strips.contains(plan) or plan.distance(zebras) < ZEBRA_M:
            yield f"a vehicle at {plan.centroid} parks outside the lane for it or near a zebra"


def _crossings(files: Files) -> Iterator[str]:
    """A crosswalk joins two sidewalks, or one and an island from which another goes on."""
    walks = files.surface("sidewalk").buffer(0.02)
    island = files.surface("median").buffer(0.02)
    for mark, plan in files.crosswalks.items():
        corners = np.array(plan.exterior.coords[:4])
        ends = [Point((corners[i] + corners[(i + 1) % 4]) / 2) for i in range(4)]
        beyond = [island.distance(other) for key, other in files.crosswalks.items() if key != mark]
        refuge = any(island.contains(end) for end in ends) and min(beyond, default=math.inf) < REFUGE_M
        if sum(walks.contains(end) for end in ends) + refuge != 2:
            yield f"crosswalk {mark} does not join two sidewalks"


def _doors(files: Files) -> Iterator[str]:
    """A door lies beside a sidewalk, neither on it nor in a house."""
    walks = files.surface("sidewalk")
    solid = [plan.buffer(-0.05) for plan in files.boxes("building", "shelter")]
    for door in files.sidecar["doors"]:
        place = Point(door["x"], door["y"])
        if not 0.2 < walks.distance(place) < 3.0 or any(plan.contains(place) for plan in solid):
            yield f"the door {door} does not open to a sidewalk"


def _lights(files: Files) -> Iterator[str]:
    """Every light has a programme; people who begin at the end of green cross at a metre a second."""
    programmed = sorted(mark for row in files.sidecar["signals"] for mark in row["signal_ids"])
    if programmed != sorted(mark for mark, signal in files.document.signals.items() if signal.dynamic):
        yield "lights and programmes do not fit"
    for row in files.sidecar["signals"]:
        for mark in row["crosswalk_ids"]:
            corners = files.crosswalks[mark].exterior.coords
            if row["yellow"] < math.dist(corners[1], corners[2]):
                yield f"people have {row['yellow']} s for crosswalk {mark}"
