"""A network as OpenDRIVE 1.6 text. Used by make_towns.py.

Crosswalk outlines are closed (first corner repeated) and stand directly under their object, as CARLA reads
them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from network import Junction, Lane, Link, Network, Road

GEO = "+proj=tmerc +lat_0=48 +lon_0=11 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"


def number(value: float, digits: int = 9) -> str:
    """Decimal text that does not depend on the last bits."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def write_xodr(network: Network) -> str:
    """The whole document."""
    root = ET.Element("OpenDRIVE")
    points = [(road.path.pose(road.length * k / 20)) for road in network.roads for k in range(21)]
    header = ET.SubElement(
        root,
        "header",
        revMajor="1",
        revMinor="6",
        name=network.name,
        version="1",
        date="2025-01-01T00:00:00",
        north=number(max(p.y for p in points) + 20, 1),
        south=number(min(p.y for p in points) - 20, 1),
        east=number(max(p.x for p in points) + 20, 1),
        west=number(min(p.x for p in points) - 20, 1),
    )
    ET.SubElement(header, "geoReference").text = "GEO"
    roads = {road.id: road for road in network.roads}
    for road in network.roads:
        _road(root, road, roads)
    for mark, name, signals in network.controllers:
        controller = ET.SubElement(root, "controller", name=name, id=mark, sequence="0")
        for signal in signals:
            ET.SubElement(controller, "control", signalId=signal, type="0")
    for junction in network.junctions:
        _junction(root, junction)
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode").replace(">GEO<", f"><![CDATA[{GEO}]]><")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {network.comment} -->\n{text}\n'


def _road(root: ET.Element, road: Road, roads: dict[str, Road]) -> None:
    element = ET.SubElement(
        root,
        "road",
        name=road.name,
        length=number(road.length),
        id=road.id,
        junction=road.junction,
        rule="RHT",
    )
    link = ET.SubElement(element, "link")
    for tag, to in (("predecessor", road.predecessor), ("successor", road.successor)):
        if to is not None:
            contact = {"contactPoint": to.contact} if to.contact else {}
            ET.SubElement(link, tag, {"elementType": to.kind, "elementId": to.id, **contact})
    kind = ET.SubElement(element, "type", s="0", type="town")
    ET.SubElement(kind, "speed", max=number(road.speed), unit="km/h")
    _plan(element, road)
    profile = ET.SubElement(element, "elevationProfile")
    for a, b, c, d, s in road.height_cubics():
        _cubic(profile, "elevation", "s", s, (a, b, c, d))
    lanes = ET.SubElement(element, "lanes")
    starts = road.cuts()
    ends = [*starts[1:], road.length]
    for start, end in zip(starts, ends, strict=True):
        _section(lanes, road, start, end, roads)
    if road.crosswalks:
        _crosswalks(element, road)
    if road.signals:
        _signals(element, road)


def _plan(element: ET.Element, road: Road) -> None:
    plan = ET.SubElement(element, "planView")
    s, pose = 0.0, road.path.start
    for piece in road.path.pieces:
        geometry = ET.SubElement(
            plan,
            "geometry",
            s=number(s),
            x=number(pose.x),
            y=number(pose.y),
            hdg=number(pose.heading, 12),
            length=number(piece.length),
        )
        if piece.curvature:
            ET.SubElement(geometry, "arc", curvature=number(piece.curvature, 12))
        else:
            ET.SubElement(geometry, "line")
        s, pose = s + piece.length, pose.ahead(piece.length, piece.curvature)


def _cubic(parent: ET.Element, tag: str, key: str, start: float, cubic: Sequence[float]) -> None:
    names = ("a", "b", "c", "d")
    ET.SubElement(
        parent, tag, {key: number(start), **{n: number(c, 12) for n, c in zip(names, cubic, strict=True)}}
    )


def _section(lanes: ET.Element, road: Road, start: float, end: float, roads: dict[str, Road]) -> None:
    section = ET.SubElement(lanes, "laneSection", s=number(start))
    middle = (start + end) / 2
    if road.left:
        left = ET.SubElement(section, "left")
        for lane_id, each in reversed(road.present(middle, 1)):
            _lane(left, road, lane_id, each, start, end, roads)
    centre = ET.SubElement(ET.SubElement(section, "center"), "lane", id="0", type="none", level="false")
    _mark(centre, road.centre_mark)
    right = ET.SubElement(section, "right")
    for lane_id, each in road.present(middle, -1):
        _lane(right, road, lane_id, each, start, end, roads)


def _lane(
    side: ET.Element, road: Road, lane_id: int, each: Lane, start: float, end: float, roads: dict[str, Road]
) -> None:
    element = ET.SubElement(side, "lane", id=str(lane_id), type=each.type, level="false")
    before = _neighbour(road, lane_id, each, start, -1, roads)
    after = _neighbour(road, lane_id, each, end, 1, roads)
    if before is not None or after is not None:
        link = ET.SubElement(element, "link")
        if before is not None:
            ET.SubElement(link, "predecessor", id=str(before))
        if after is not None:
            ET.SubElement(link, "successor", id=str(after))
    for offset, cubic in _widths(each, start, end):
        _cubic(element, "width", "sOffset", offset, cubic)
    _mark(element, each.mark)


def _neighbour(
    road: Road, lane_id: int, each: Lane, s: float, step: int, roads: dict[str, Road]
) -> int | None:
    """The id that a lane has beyond s, in the next section or on the next road."""
    side = 1 if lane_id > 0 else -1
    if 1e-6 < s < road.length - 1e-6:
        return _named(road.present(s + step * 1e-3, side), each.name)
    link: Link | None = road.successor if step > 0 else road.predecessor
    if road.lane_links:
        return road.lane_links[lane_id][0 if step < 0 else 1]
    if link is None or link.kind == "junction":
        return None
    other = roads[link.id]
    return _named(other.present(0.0 if link.contact == "start" else other.length, side), each.name)


def _named(lanes: list[tuple[int, Lane]], name: str) -> int | None:
    return next((lane_id for lane_id, each in lanes if each.name == name), None)


def _widths(each: Lane, start: float, end: float) -> list[tuple[float, tuple[float, float, float, float]]]:
    """Cubics over a section: constant, or smooth steps between two widths."""
    cuts = [start, *(s for s, _ in each.width if start + 1e-6 < s < end - 1e-6)]
    return [(cut - start, _width_cubic(each, cut)) for cut in cuts]


def _width_cubic(each: Lane, s: float) -> tuple[float, float, float, float]:
    for (s0, w0), (s1, w1) in zip(each.width[:-1], each.width[1:], strict=True):
        if s0 - 1e-6 <= s < s1 - 1e-6 and w0 != w1:
            e, h, rise = s - s0, s1 - s0, w1 - w0
            second, third = 3 * rise / h**2, -2 * rise / h**3
            return (
                w0 + e * e * (second + third * e),
                e * (2 * second + 3 * third * e),
                second + 3 * third * e,
                third,
            )
    return each.width_at(s), 0.0, 0.0, 0.0


def _mark(element: ET.Element, kind: str) -> None:
    ET.SubElement(
        element,
        "roadMark",
        sOffset="0",
        type=kind,
        weight="standard",
        color="standard",
        width="0.12",
        laneChange="both" if kind == "broken" else "none",
    )


def _crosswalks(element: ET.Element, road: Road) -> None:
    objects = ET.SubElement(element, "objects")
    for zebra in road.crosswalks:
        made = ET.SubElement(
            objects,
            "object",
            id=zebra.id,
            name="crosswalk",
            type="crosswalk",
            s=number(zebra.s),
            t=number(zebra.t),
            zOffset="0",
            hdg="0",
            pitch="0",
            roll="0",
            orientation="none",
            length=number(zebra.along),
            width=number(zebra.across),
        )
        outline = ET.SubElement(made, "outline", id="0", closed="true")
        u, v = zebra.along / 2, zebra.across / 2
        for a, b in ((-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)):
            ET.SubElement(outline, "cornerLocal", u=number(a), v=number(b), z="0", height="0")


def _signals(element: ET.Element, road: Road) -> None:
    signals = ET.SubElement(element, "signals")
    for signal in road.signals:
        made = ET.SubElement(
            signals,
            "signal",
            name=signal.name,
            id=signal.id,
            s=number(signal.s),
            t=number(signal.t),
            zOffset="2",
            hOffset="0",
            roll="0",
            pitch="0",
            orientation="+" if signal.along else "-",
            dynamic="yes" if signal.dynamic else "no",
            country="OpenDRIVE",
            type=signal.type,
            subtype="-1",
            value="-1",
            text="",
            height="1",
            width="0.4",
        )
        ET.SubElement(made, "validity", fromLane=str(signal.lanes[0]), toLane=str(signal.lanes[1]))


def _junction(root: ET.Element, junction: Junction) -> None:
    element = ET.SubElement(root, "junction", id=junction.id, name=junction.name)
    for index, each in enumerate(junction.connections):
        connection = ET.SubElement(
            element,
            "connection",
            id=str(index),
            incomingRoad=each.incoming,
            connectingRoad=each.connecting,
            contactPoint="start",
        )
        for old, new in each.links:
            ET.SubElement(connection, "laneLink", {"from": str(old), "to": str(new)})
    for controller in junction.controllers:
        ET.SubElement(element, "controller", id=controller, type="0", sequence="0")
