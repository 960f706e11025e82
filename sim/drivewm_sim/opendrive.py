"""OpenDRIVE in: roads, lane sections, lanes and crosswalk objects, with their geometry as functions of s.

Reads what `road_graph` compiles and no more. s runs along a road's reference line in metres, t to its left.
Formulas: ASAM OpenDRIVE 1.6, chapters 7 (geometry), 9 (lanes), 11 (objects).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.frames import rotate


class Shape(Protocol):
    """A piece of reference line in its own frame: starts at the origin along +x."""

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        """Position and heading after `ds` metres."""
        ...


@dataclass(frozen=True)
class Line:
    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        return np.stack([ds, np.zeros_like(ds)], -1), np.zeros_like(ds)


@dataclass(frozen=True)
class Arc:
    curvature: float  # 1/m, left positive, not zero

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        turned = ds * self.curvature
        return np.stack([np.sin(turned), 1 - np.cos(turned)], -1) / self.curvature, turned


def _arc(element: ET.Element) -> Shape:
    curvature = float(element.attrib["curvature"])
    return Arc(curvature) if abs(curvature) > 1e-12 else Line()


SHAPES: dict[str, Callable[[ET.Element], Shape]] = {"line": lambda element: Line(), "arc": _arc}
"""Readers of <geometry> children by tag; a new kind of curve joins here."""


@dataclass(frozen=True)
class Geometry:
    s: float
    x: float
    y: float
    heading: float
    length: float
    shape: Shape


@dataclass(frozen=True)
class Profile:
    """Cubic pieces over s: width, offset, elevation. Zero where there is no piece."""

    start: Float[ndarray, "n"]
    coefficients: Float[ndarray, "n 4"]  # a, b, c, d

    def __call__(self, s: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        if len(self.start) == 0:
            return np.zeros_like(s)
        piece = np.clip(np.searchsorted(self.start, s, side="right") - 1, 0, None)
        ds = (s - self.start[piece])[:, None]
        return (self.coefficients[piece] * ds ** np.arange(4)).sum(-1)


@dataclass(frozen=True)
class Lane:
    id: int  # positive to the left of the reference line, negative to the right
    type: str  # driving, sidewalk, ...
    width: Profile  # over metres since the section's start
    predecessor: int | None
    successor: int | None


@dataclass(frozen=True)
class LaneSection:
    s: float
    end: float
    lanes: dict[int, Lane]


@dataclass(frozen=True)
class RoadLink:
    road: str
    contact: str  # start or end of that road


@dataclass(frozen=True)
class Crosswalk:
    id: str
    outline: Float[ndarray, "n 2"]  # scene frame, not closed


@dataclass(frozen=True)
class Road:
    id: str
    length: float
    geometries: tuple[Geometry, ...]
    lane_offset: Profile
    elevation: Profile
    sections: tuple[LaneSection, ...]
    predecessor: RoadLink | None
    successor: RoadLink | None
    crosswalks: tuple[Crosswalk, ...]

    def point(
        self, s: Float[ndarray, "n"], t: Float[ndarray, "n"] | float = 0.0
    ) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        """Position in the scene and heading of the reference line at (s, t)."""
        return _point(self.geometries, s, t)

    def lane_edges(
        self, section: LaneSection, lane: int, s: Float[ndarray, "n"]
    ) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
        """t of a lane's inner and outer edge."""
        side = 1 if lane > 0 else -1
        inner = self.lane_offset(s)
        for index in range(side, lane, side):
            inner = inner + side * section.lanes[index].width(s - section.s)
        return inner, inner + side * section.lanes[lane].width(s - section.s)


def _point(
    geometries: tuple[Geometry, ...], s: Float[ndarray, "n"], t: Float[ndarray, "n"] | float
) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
    starts = np.array([g.s for g in geometries])
    piece = np.clip(np.searchsorted(starts, s, side="right") - 1, 0, None)
    position, heading = np.zeros((len(s), 2)), np.zeros(len(s))
    for index in np.unique(piece):
        geometry, rows = geometries[index], piece == index
        local, turned = geometry.shape.at(s[rows] - geometry.s)
        position[rows] = rotate(local, np.full(len(local), geometry.heading)) + np.array(
            [geometry.x, geometry.y]
        )
        heading[rows] = geometry.heading + turned
    left = np.stack([-np.sin(heading), np.cos(heading)], -1)
    return position + left * np.broadcast_to(t, s.shape)[:, None], heading


def read_opendrive(text: str, name: str) -> tuple[Road, ...]:
    """The roads of an OpenDRIVE document; `name` stands in error messages."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InputError(f"{name}: expected OpenDRIVE XML, {error}; export the map again") from None
    try:
        roads = tuple(_road(element, name) for element in root.iter("road"))
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: an OpenDRIVE attribute is missing or no number ({error})") from None
    if not roads:
        raise InputError(f"{name}: expected an OpenDRIVE document with roads, found none")
    return roads


def _road(element: ET.Element, name: str) -> Road:
    geometries = tuple(
        _geometry(g, f"{name}, road {element.get('id')}") for g in element.iterfind("planView/geometry")
    )
    if not geometries:
        raise InputError(f"{name}, road {element.get('id')}: no planView geometry")
    length = float(element.attrib["length"])
    sections = sorted(element.iterfind("lanes/laneSection"), key=lambda e: float(e.attrib["s"]))
    ends = [float(e.attrib["s"]) for e in sections[1:]] + [length]
    return Road(
        id=element.attrib["id"],
        length=length,
        geometries=geometries,
        lane_offset=_profile(element.findall("lanes/laneOffset"), "s"),
        elevation=_profile(element.findall("elevationProfile/elevation"), "s"),
        sections=tuple(_section(e, end) for e, end in zip(sections, ends, strict=True)),
        predecessor=_road_link(element.find("link/predecessor")),
        successor=_road_link(element.find("link/successor")),
        crosswalks=tuple(
            _crosswalk(e, geometries)
            for e in element.iterfind("objects/object")
            if e.get("type") == "crosswalk"
        ),
    )


def _geometry(element: ET.Element, where: str) -> Geometry:
    child = next(iter(element), None)
    tag = "nothing" if child is None else child.tag
    if child is None or tag not in SHAPES:
        raise InputError(
            f"{where}: geometry <{tag}> cannot be read; convert it to one of {', '.join(SHAPES)}"
        )
    numbers = {key: float(element.attrib[key]) for key in ("s", "x", "y", "hdg", "length")}
    return Geometry(
        numbers["s"], numbers["x"], numbers["y"], numbers["hdg"], numbers["length"], SHAPES[tag](child)
    )


def _profile(elements: list[ET.Element], start: str) -> Profile:
    rows = sorted([float(e.attrib[start]), *(float(e.attrib[k]) for k in "abcd")] for e in elements)
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Profile(table[:, 0], table[:, 1:])


def _section(element: ET.Element, end: float) -> LaneSection:
    lanes = [_lane(e) for side in ("left", "right") for e in element.iterfind(f"{side}/lane")]
    return LaneSection(float(element.attrib["s"]), end, {lane.id: lane for lane in lanes})


def _lane(element: ET.Element) -> Lane:
    return Lane(
        id=int(element.attrib["id"]),
        type=element.attrib["type"],
        width=_profile(element.findall("width"), "sOffset"),
        predecessor=_lane_link(element.find("link/predecessor")),
        successor=_lane_link(element.find("link/successor")),
    )


def _lane_link(element: ET.Element | None) -> int | None:
    return None if element is None else int(element.attrib["id"])


def _road_link(element: ET.Element | None) -> RoadLink | None:
    if element is None or element.get("elementType") != "road":
        return None
    return RoadLink(element.attrib["elementId"], element.get("contactPoint", "start"))


def _crosswalk(element: ET.Element, geometries: tuple[Geometry, ...]) -> Crosswalk:
    origin, heading = _point(geometries, np.array([float(element.attrib["s"])]), float(element.attrib["t"]))
    corners = [(float(c.attrib["u"]), float(c.attrib["v"])) for c in element.iter("cornerLocal")]
    if len(corners) < 3:
        raise InputError(f"crosswalk object {element.get('id')}: expected an outline of cornerLocal points")
    if corners[0] == corners[-1]:
        corners.pop()
    turned = heading[0] + float(element.get("hdg", "0"))
    outline = rotate(np.array(corners), np.full(len(corners), turned)) + origin[0]
    return Crosswalk(element.attrib["id"], outline)
