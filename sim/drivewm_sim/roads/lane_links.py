"""Which lanes follow which in the direction of travel: road links, lane links and junction connections.

A piece is one lane of one lane section. Lanes with negative ids lead along s, those with positive ids against
it, whatever their type. ASAM OpenDRIVE 1.6, 8.2, 9.4 and 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drivewm.errors import InputError
from drivewm_sim.roads.opendrive import OpenDrive, Road

DRIVEN = frozenset(
    {"driving", "bidirectional", "biking", "entry", "exit", "onRamp", "offRamp", "connectingRamp"}
)
"""Lane types that have a direction of travel."""


class Piece(NamedTuple):
    """The stable name of a lane piece."""

    road: str
    section: int  # index of the lane section, along s
    lane: int


_Ways = dict[tuple[str, str, int], list[tuple[str, str, int]]]
"""Junction, incoming road, its lane -> connecting road, its end, its lane."""


def lane_links(document: OpenDrive) -> dict[Piece, tuple[Piece, ...]]:
    """For every piece, those that follow it, each in its own direction of travel; none at the map's edge.

    Links of sidewalks and shoulders to a lane that is numbered the other way round are left out.
    """
    ways: _Ways = {}
    for junction in document.junctions:
        for connection in junction.connections:
            for lane, to in connection.lane_links:
                way = (connection.connecting_road, connection.contact_point, to)
                ways.setdefault((junction.id, connection.incoming_road, lane), []).append(way)
    return {
        Piece(road.id, section, lane): tuple(dict.fromkeys(_following(document, ways, road, section, lane)))
        for road in document.roads
        for section in range(len(road.sections))
        for lane in road.sections[section].lanes
        if lane != 0
    }


def _following(document: OpenDrive, ways: _Ways, road: Road, section: int, lane: int) -> Iterator[Piece]:
    for contact, follower in _linked(document, ways, road, section, lane):
        to = f"road {follower.road}, lane {follower.lane}"
        where = f"{document.name}, road {road.id}: lane {lane} leads to {to}"
        lanes = document.roads[document.road_row[follower.road]].sections[follower.section].lanes
        if follower.lane not in lanes or follower.lane == 0:
            raise InputError(f"{where}, which has none at that end; correct the lane link")
        if (contact == "start") == (follower.lane < 0):
            yield follower
        elif lanes[follower.lane].type in DRIVEN:
            raise InputError(f"{where} at its {contact}, against its traffic; correct the lane link")


def _linked(
    document: OpenDrive, ways: _Ways, road: Road, section: int, lane: int
) -> Iterator[tuple[str, Piece]]:
    """What is linked where a piece ends in its direction of travel: the end it is met at, and it."""
    forward = lane < 0
    piece = road.sections[section].lanes[lane]
    to = piece.successor if forward else piece.predecessor
    beyond = section + 1 if forward else section - 1
    link = road.successor if forward else road.predecessor
    if 0 <= beyond < len(road.sections):
        if to is not None:
            yield "start" if forward else "end", Piece(road.id, beyond, to)
        return
    if link is None:
        return
    if link.kind == "junction":
        entries = ways.get((link.id, road.id, lane), [])
    else:
        entries = [] if to is None else [(link.id, link.contact or "start", to)]
    for name, contact, entered in entries:
        if name not in document.road_row:
            raise InputError(
                f"{document.name}, road {road.id}: lane {lane} leads to road {name}, which is missing;"
                " correct the link"
            )
        last = len(document.roads[document.road_row[name]].sections) - 1
        yield contact, Piece(name, 0 if contact == "start" else last, entered)
