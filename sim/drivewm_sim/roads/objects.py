"""What stands on and beside a road in OpenDRIVE (1.6, chapters 11 and 12): crosswalks, objects, signals."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.frames import rotate
from drivewm_sim.roads.curves import ReferenceLine


@dataclass(frozen=True, kw_only=True)
class Crosswalk:
    id: str
    road: str
    s: float  # along the road, of the object's origin
    z_offset: float  # of the object's frame above the road, already part of a cornerLocal outline
    outline: Float[ndarray, "n 3"]  # scene frame, not closed


@dataclass(frozen=True, kw_only=True)
class MapObject:
    """Any other object: a parking space, a bus stop, a building, a pole, ..."""

    id: str
    road: str
    type: str  # as written; may be empty
    name: str
    s: float
    t: float  # left of the reference line
    hdg: float  # rad, relative to the reference line
    position: Float[ndarray, "3"]  # of the origin, scene frame, zOffset included
    yaw: float  # rad, scene frame, hdg included
    length: float  # m along yaw; 0: not given
    width: float
    height: float
    z_offset: float  # above the reference line
    orientation: str  # "+": valid along s, "-": against it, "none"
    outline: Float[ndarray, "n 3"] | None  # scene frame, not closed


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A sign or a traffic light."""

    id: str
    name: str
    road: str
    s: float
    t: float
    z_offset: float
    h_offset: float  # rad, heading relative to the reference line
    orientation: str  # "+": for traffic along s, "-": against it, "none"
    type: str
    subtype: str
    country: str
    value: float | None
    dynamic: bool  # changes over time, as traffic lights do
    validity: tuple[tuple[int, int], ...]  # lane ids from, to (both included); empty: all lanes


@dataclass(frozen=True, kw_only=True)
class SignalReference:
    """A signal that stands on another road and counts here."""

    signal: str  # id
    road: str
    s: float
    t: float
    orientation: str
    validity: tuple[tuple[int, int], ...]


def read_crosswalk(element: ET.Element, road: str, line: ReferenceLine, where: str) -> Crosswalk:
    """An <object type="crosswalk">; `where` stands in error messages."""
    outline = _outline(element, line)
    if outline is None:
        raise InputError(
            f"{where}: crosswalk object {element.get('id')} needs an outline of at least three cornerLocal or"
            " cornerRoad points; add one"
        )
    return Crosswalk(
        id=element.attrib["id"],
        road=road,
        s=float(element.attrib["s"]),
        z_offset=_number(element, "zOffset"),
        outline=outline,
    )


def read_object(element: ET.Element, road: str, line: ReferenceLine) -> MapObject:
    """Any other <object>."""
    position, heading = _origin(element, line)
    return MapObject(
        id=element.attrib["id"],
        road=road,
        type=element.get("type", ""),
        name=element.get("name", ""),
        s=float(element.attrib["s"]),
        t=float(element.attrib["t"]),
        hdg=_number(element, "hdg"),
        position=position,
        yaw=heading,
        length=_number(element, "length"),
        width=_number(element, "width"),
        height=_number(element, "height"),
        z_offset=_number(element, "zOffset"),
        orientation=element.get("orientation", "none"),
        outline=_outline(element, line),
    )


def read_signal(element: ET.Element, road: str) -> Signal:
    """A <signal>."""
    return Signal(
        id=element.attrib["id"],
        name=element.get("name", ""),
        road=road,
        s=float(element.attrib["s"]),
        t=float(element.attrib["t"]),
        z_offset=_number(element, "zOffset"),
        h_offset=_number(element, "hOffset"),
        orientation=element.get("orientation", "none"),
        type=element.get("type", ""),
        subtype=element.get("subtype", ""),
        country=element.get("country", ""),
        value=float(element.attrib["value"]) if element.get("value") else None,
        dynamic=element.get("dynamic") == "yes",
        validity=_validity(element),
    )


def read_signal_reference(element: ET.Element, road: str) -> SignalReference:
    """A <signalReference>."""
    return SignalReference(
        signal=element.attrib["id"],
        road=road,
        s=float(element.attrib["s"]),
        t=float(element.attrib["t"]),
        orientation=element.get("orientation", "none"),
        validity=_validity(element),
    )


def _validity(element: ET.Element) -> tuple[tuple[int, int], ...]:
    pairs = [(int(v.attrib["fromLane"]), int(v.attrib["toLane"])) for v in element.iterfind("validity")]
    return tuple((min(pair), max(pair)) for pair in pairs)


def _origin(element: ET.Element, line: ReferenceLine) -> tuple[Float[ndarray, "3"], float]:
    """Where an object's own frame lies in the scene, and its heading there."""
    s = np.array([float(element.attrib["s"])])
    xy, heading = line.point(s, float(element.attrib["t"]))
    z = line.elevation(s) + _number(element, "zOffset")
    return np.append(xy[0], z), float(heading[0]) + _number(element, "hdg")


def _outline(element: ET.Element, line: ReferenceLine) -> Float[ndarray, "n 3"] | None:
    """The first outline, inside <outlines> or, as before 1.5, bare; None: fewer than three corners."""
    found = element.find("outlines/outline")
    found = element.find("outline") if found is None else found
    if found is None:
        return None
    local = [[_number(c, key) for key in ("u", "v", "z")] for c in found.iterfind("cornerLocal")]
    road = [[_number(c, key) for key in ("s", "t", "dz")] for c in found.iterfind("cornerRoad")]
    corners = np.array(local or road, np.float64).reshape(-1, 3)
    if len(corners) > 1 and np.abs(corners[0] - corners[-1]).max() < 1e-6:
        corners = corners[:-1]
    if len(corners) < 3:
        return None
    if local:
        origin, heading = _origin(element, line)
        xy = rotate(corners[:, :2], np.full(len(corners), heading))
        return np.column_stack([xy, corners[:, 2]]) + origin
    xy, _ = line.point(corners[:, 0], corners[:, 1])
    return np.column_stack([xy, line.elevation(corners[:, 0]) + corners[:, 2]])


def _number(element: ET.Element, key: str) -> float:
    return float(element.get(key, "0"))
