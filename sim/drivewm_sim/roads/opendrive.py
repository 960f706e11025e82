"""OpenDRIVE in: roads, lane sections, lanes, junctions, signals and objects, as the document states them.

s runs along a road's reference line in metres, t to its left. Right-hand traffic only: lanes with negative
ids are driven along s, those with positive ids against it. Superelevation, crossfall and road shapes are left
out, as CARLA does. Chapters of ASAM OpenDRIVE 1.6: 8 roads, 9 lanes, 10 junctions, 12 signals.
"""

from __future__ import annotations

import gzip
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.roads.curves import ReferenceLine, read_geometry
from drivewm_sim.roads.objects import (
    Crosswalk,
    MapObject,
    Signal,
    SignalReference,
    read_crosswalk,
    read_object,
    read_signal,
    read_signal_reference,
)
from drivewm_sim.roads.profiles import Profile, read_profile

T = TypeVar("T")

_METRES_PER_SECOND = {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704}


@dataclass(frozen=True, kw_only=True)
class Lane:
    id: int  # positive to the left of the reference line, negative to the right, 0 the line itself
    type: str  # driving, bidirectional, biking, sidewalk, shoulder, parking, median, ...
    width: Profile  # over metres since the section's start
    predecessor: int | None  # lane id towards smaller s
    successor: int | None
    lane_change: tuple[
        tuple[float, str], ...
    ]  # at the outer edge: metres since the section's start, and both,
    # increase (towards greater ids only), decrease or none; before the first record: both
    speed: tuple[tuple[float, float], ...]  # metres since the section's start, limit in m/s


@dataclass(frozen=True, kw_only=True)
class LaneSection:
    s: float
    end: float
    lanes: dict[int, Lane]  # by id, from left to right, lane 0 included

    def may_change(self, lane: int, to: int, s: float) -> bool:
        """Whether the marking between two neighbouring lanes allows a change from one to the other at s."""
        inner = self.lanes[min(lane, to, key=abs)]  # a marking belongs to the lane on its inner side
        allowed = "both"
        for start, right in inner.lane_change:
            if start <= s - self.s:
                allowed = right
        return allowed == "both" or allowed == ("increase" if to > lane else "decrease")


@dataclass(frozen=True, kw_only=True)
class RoadLink:
    kind: str  # road or junction
    id: str
    contact: str | None  # start or end of that road; None for junctions


@dataclass(frozen=True, kw_only=True)
class RoadType:
    s: float
    type: str  # town, rural, motorway, ...
    speed: float | None  # m/s; None: none stated, inf: no limit


@dataclass(frozen=True, kw_only=True)
class Road:
    id: str
    name: str
    length: float
    junction: str | None  # id of the junction that the road lies in
    line: ReferenceLine
    lane_offset: Profile  # t of lane 0
    sections: tuple[LaneSection, ...]
    types: tuple[RoadType, ...]
    predecessor: RoadLink | None
    successor: RoadLink | None
    crosswalks: tuple[Crosswalk, ...]
    objects: tuple[MapObject, ...]  # all others
    signals: tuple[Signal, ...]
    signal_references: tuple[SignalReference, ...]

    def point(
        self, s: Float[ndarray, "n"], t: Float[ndarray, "n"] | float = 0.0
    ) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        """Position in the scene at (s, t), and heading of the reference line there."""
        return self.line.point(s, t)

    def elevation(self, s: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
        """Height in metres; the same across the road."""
        return self.line.elevation(s)

    def lane_edges(
        self, section: LaneSection, lane: int, s: Float[ndarray, "n"]
    ) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
        """t of a lane's inner and outer edge, at s within the section (both ends included)."""
        side = 1 if lane > 0 else -1
        # The lane offset may jump where a section begins: each section keeps its own up to its very end.
        inner = self.lane_offset(np.clip(s, section.s + 1e-6, section.end - 1e-6))
        for index in range(side, lane, side):
            inner = inner + side * section.lanes[index].width(s - section.s)
        return inner, inner + side * section.lanes[lane].width(s - section.s)

    def speed_limit(self, section: LaneSection, lane: int, s: float) -> float | None:
        """Legal speed in m/s: the lane's own, else the road's; None: none stated, inf: no limit."""
        limit = None
        for record in self.types:
            if record.s <= s:
                limit = record.speed
        for start, speed in section.lanes[lane].speed:
            if start <= s - section.s:
                limit = speed
        return limit


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One way through a junction, in the direction of travel."""

    id: str
    incoming_road: str
    connecting_road: str
    contact_point: str  # the end of the connecting road at which it is entered: start or end
    lane_links: tuple[tuple[int, int], ...]  # lane of the incoming road, lane of the connecting road


@dataclass(frozen=True, kw_only=True)
class Junction:
    id: str
    name: str
    connections: tuple[Connection, ...]
    controllers: tuple[str, ...]  # ids
    priorities: tuple[tuple[str, str], ...]  # connecting roads: the first goes before the second


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Signals that show the same."""

    id: str
    name: str
    sequence: int | None  # its place among the controllers of a junction
    signals: tuple[str, ...]  # ids, each once


@dataclass(frozen=True, kw_only=True)
class OpenDrive:
    """A document; everything in document order."""

    name: str  # stands in error messages
    geo_reference: str  # PROJ string; may be empty
    roads: tuple[Road, ...]
    junctions: tuple[Junction, ...]
    controllers: tuple[Controller, ...]

    @cached_property
    def road_row(self) -> dict[str, int]:
        """Row in `roads` by id."""
        return {road.id: row for row, road in enumerate(self.roads)}

    @cached_property
    def junction_row(self) -> dict[str, int]:
        """Row in `junctions` by id."""
        return {junction.id: row for row, junction in enumerate(self.junctions)}

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """All signals by id."""
        return {signal.id: signal for road in self.roads for signal in road.signals}

    @cached_property
    def crosswalks(self) -> tuple[Crosswalk, ...]:
        return tuple(crosswalk for road in self.roads for crosswalk in road.crosswalks)


def load_opendrive(path: Path) -> OpenDrive:
    """The document of a file, plain or compressed (.gz)."""
    return read_opendrive(read_text(path), path.name)


def read_text(path: Path) -> str:
    """The text of a map file, plain or compressed (.gz)."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected an OpenDRIVE file (.xodr or .xodr.gz), {error}") from None


def read_opendrive(text: str, name: str) -> OpenDrive:
    """The document; `name` stands in error messages."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InputError(f"{name}: expected OpenDRIVE XML, {error}; export the map again") from None
    roads = tuple(_told(_road, element, name) for element in root.iterfind("road"))
    if not roads:
        raise InputError(f"{name}: expected an OpenDRIVE document with roads, found none")
    ids = [road.id for road in roads]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise InputError(f"{name}: expected each road id once, found {twice} again; number the roads anew")
    return OpenDrive(
        name=name,
        geo_reference=(root.findtext("header/geoReference") or "").strip(),
        roads=roads,
        junctions=tuple(_told(_junction, element, name) for element in root.iterfind("junction")),
        controllers=tuple(_told(_controller, element, name) for element in root.iterfind("controller")),
    )


def _told(reader: Callable[[ET.Element, str], T], element: ET.Element, name: str) -> T:
    """What a reader makes of an element; its errors name the file and the element."""
    where = f"{name}, {element.tag} {element.get('id')}"
    try:
        return reader(element, where)
    except KeyError as error:
        raise InputError(f"{where}: expected an attribute {error}, found none") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: an attribute is no number ({error})") from None


def _road(element: ET.Element, where: str) -> Road:
    if element.get("rule") == "LHT":
        raise InputError(f"{where}: expected right-hand traffic, found rule LHT; mirror the map")
    line = ReferenceLine(
        tuple(read_geometry(g, where) for g in element.iterfind("planView/geometry")),
        read_profile(element.iterfind("elevationProfile/elevation")),
    )
    if not line.geometries:
        raise InputError(f"{where}: no planView geometry; describe its reference line")
    id, length = element.attrib["id"], float(element.attrib["length"])
    found = element.findall("objects/object")
    zebras = [e for e in found if e.get("type") == "crosswalk"]
    return Road(
        id=id,
        name=element.get("name", ""),
        length=length,
        junction=None if element.get("junction", "-1") == "-1" else element.attrib["junction"],
        line=line,
        lane_offset=read_profile(element.iterfind("lanes/laneOffset")),
        sections=_sections(element, length, where),
        types=tuple(_road_type(e, where) for e in element.iterfind("type")),
        predecessor=_road_link(element.find("link/predecessor")),
        successor=_road_link(element.find("link/successor")),
        crosswalks=tuple(read_crosswalk(e, id, line, where) for e in zebras),
        objects=tuple(read_object(e, id, line) for e in found if e.get("type") != "crosswalk"),
        signals=tuple(read_signal(e, id) for e in element.iterfind("signals/signal")),
        signal_references=tuple(
            read_signal_reference(e, id) for e in element.iterfind("signals/signalReference")
        ),
    )


def _sections(element: ET.Element, length: float, where: str) -> tuple[LaneSection, ...]:
    found = sorted(element.iterfind("lanes/laneSection"), key=lambda e: float(e.attrib["s"]))
    if not found:
        raise InputError(f"{where}: no laneSection; describe its lanes")
    starts = [float(e.attrib["s"]) for e in found]
    ends = [*starts[1:], length]
    return tuple(_section(*row, where) for row in zip(found, starts, ends, strict=True))


def _section(element: ET.Element, s: float, end: float, where: str) -> LaneSection:
    found = [
        _lane(e, where) for side in ("left", "center", "right") for e in element.iterfind(f"{side}/lane")
    ]
    lanes = {lane.id: lane for lane in sorted(found, key=lambda lane: -lane.id)}
    missing = set(range(min(lanes, default=0), max(lanes, default=0) + 1)) - set(lanes) - {0}
    if missing or len(lanes) < len(found):
        raise InputError(
            f"{where}: expected lanes numbered without gaps from the centre at s = {s:g} m,"
            f" found {[lane.id for lane in found]}"
        )
    return LaneSection(s=s, end=end, lanes=lanes)


def _lane(element: ET.Element, where: str) -> Lane:
    if element.find("width") is None and element.find("border") is not None:
        raise InputError(f"{where}: lane {element.get('id')} is given by <border>; write its <width> instead")
    return Lane(
        id=int(element.attrib["id"]),
        type=element.get("type", "none"),
        width=read_profile(element.iterfind("width"), "sOffset"),
        predecessor=_lane_link(element.find("link/predecessor")),
        successor=_lane_link(element.find("link/successor")),
        lane_change=tuple(
            (float(e.attrib["sOffset"]), e.get("laneChange", "both")) for e in element.iterfind("roadMark")
        ),
        speed=tuple((float(e.attrib["sOffset"]), _speed(e, where)) for e in element.iterfind("speed")),
    )


def _lane_link(element: ET.Element | None) -> int | None:
    return None if element is None else int(element.attrib["id"])


def _road_link(element: ET.Element | None) -> RoadLink | None:
    if element is None:
        return None
    kind = element.get("elementType", "road")
    contact = element.get("contactPoint", "start") if kind == "road" else None
    return RoadLink(kind=kind, id=element.attrib["elementId"], contact=contact)


def _road_type(element: ET.Element, where: str) -> RoadType:
    speed = element.find("speed")
    limit = None if speed is None or speed.get("max") == "undefined" else _speed(speed, where)
    return RoadType(s=float(element.attrib["s"]), type=element.attrib["type"], speed=limit)


def _speed(element: ET.Element, where: str) -> float:
    unit = element.get("unit", "m/s")
    if unit not in _METRES_PER_SECOND:
        known = ", ".join(_METRES_PER_SECOND)
        raise InputError(f"{where}: expected a speed in one of {known}, found {unit}")
    limit = element.attrib["max"]
    return math.inf if limit == "no limit" else float(limit) * _METRES_PER_SECOND[unit]


def _junction(element: ET.Element, where: str) -> Junction:
    kind = element.get("type", "default")
    if kind != "default":
        raise InputError(f"{where}: expected a junction with connecting roads, found type {kind}")
    return Junction(
        id=element.attrib["id"],
        name=element.get("name", ""),
        connections=tuple(_connection(e) for e in element.iterfind("connection")),
        controllers=tuple(e.attrib["id"] for e in element.iterfind("controller")),
        priorities=tuple((e.attrib["high"], e.attrib["low"]) for e in element.iterfind("priority")),
    )


def _connection(element: ET.Element) -> Connection:
    links = element.iterfind("laneLink")
    return Connection(
        id=element.attrib["id"],
        incoming_road=element.attrib["incomingRoad"],
        connecting_road=element.attrib["connectingRoad"],
        contact_point=element.get("contactPoint", "start"),
        lane_links=tuple((int(e.attrib["from"]), int(e.attrib["to"])) for e in links),
    )


def _controller(element: ET.Element, where: str) -> Controller:
    sequence = element.get("sequence")
    return Controller(
        id=element.attrib["id"],
        name=element.get("name", ""),
        sequence=int(sequence) if sequence else None,
        signals=tuple(dict.fromkeys(e.attrib["signalId"] for e in element.iterfind("control"))),
    )
