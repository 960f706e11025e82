"""Strips that people walk on: that they join up, and where they lead over lanes; in every town."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
from all_towns import everywhere
from opendrive_builders import document_xml, lane_xml, road_xml, section_xml

from drivewm_sim.lines import line_point
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.town import Street, Town
from drivewm_sim.roads.towns import load_town, town_names
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph


def components(walks: WalkGraph) -> list[float]:
    """Metres of strips in each connected part, longest first."""
    part = list(range(len(walks.node_x)))

    def root(i: int) -> int:
        while part[i] != i:
            i = part[i]
        return i

    for a, b in zip(walks.tail.tolist(), walks.head.tolist(), strict=True):
        part[root(a)] = root(b)
    metres: Counter[int] = Counter()
    for edge, a in enumerate(walks.tail.tolist()):
        metres[root(a)] += walks.length[edge]
    return sorted(metres.values(), reverse=True)


def over(walks: WalkGraph, edge: int) -> range:
    return range(walks.over_start[edge], walks.over_start[edge + 1])


# Small examples: a straight street of 60 m along x, lanes 3 m, sidewalks 2 m.

ZEBRA = (
    '<objects><object id="z" type="crosswalk" s="30" t="0"><outline>'
    + "".join(f'<cornerLocal u="{u}" v="{v}"/>' for u, v in [(-2, -3), (2, -3), (2, 3), (-2, 3)])
    + "</outline></object></objects>"
)


@cache
def street(*lanes: str, objects: str = "", length: float = 60.0, sidecar: tuple = ()) -> Street:
    text = document_xml(road_xml(section_xml(*lanes), length=length, inside=objects))
    return compile_town("street", text, dict(sidecar) or None).street


SIDEWALKS = (lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2.0))


def test_a_zebra_joins_the_sidewalks_and_leads_over_both_lanes() -> None:
    walks = street(*SIDEWALKS, objects=ZEBRA).walks
    (edge,) = np.flatnonzero(walks.kind == EdgeKind.ZEBRA)
    assert walks.length[edge] == pytest.approx(8.0)  # from the middle of one sidewalk to that of the other
    assert walks.width[edge] == pytest.approx(4.0)
    ends = [(walks.node_x[n], walks.node_y[n]) for n in (walks.tail[edge], walks.head[edge])]
    assert np.allclose(ends, [(30, -4), (30, 4)])
    assert (walks.kerb_in[edge], walks.kerb_out[edge]) == pytest.approx((1.0, 7.0))
    rows = over(walks, edge)
    assert walks.over_at[rows.start : rows.stop] == pytest.approx([2.5, 5.5])
    assert walks.over_half[rows.start : rows.stop] == pytest.approx([1.5, 1.5])
    # Walking north, the near lane's traffic (eastwards) comes from the left.
    assert walks.over_left[rows.start : rows.stop].tolist() == [1, -1]
    assert walks.over_s[rows.start : rows.stop] == pytest.approx([30, 30])


def test_lanes_know_the_stretch_that_a_zebra_takes() -> None:
    lanes = street(*SIDEWALKS, objects=ZEBRA).lanes
    walks = street(*SIDEWALKS, objects=ZEBRA).walks
    for k in (0, 1):
        (row,) = (r for r in range(lanes.crossing_start[k], lanes.crossing_start[k + 1])
                  if walks.kind[lanes.crossing[r]] == EdgeKind.ZEBRA)  # fmt: skip
        assert (lanes.crossing_in[row], lanes.crossing_out[row]) == pytest.approx((28, 32))


@pytest.mark.parametrize(("wide", "from_kerb"), [(2.0, 1.1), (4.0, 1.6)])
def test_beside_traffic_people_leave_the_kerb_free_as_far_as_the_sidewalk_allows(
    wide: float, from_kerb: float
) -> None:
    """0.4 m off the wall; at least 0.5 m to walk on."""
    lanes = (lane_xml(2, "sidewalk", wide), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", wide))
    walks = street(*lanes).walks
    sidewalks = np.flatnonzero(walks.kind == EdgeKind.SIDEWALK)
    assert len(sidewalks) > 0
    for edge in sidewalks:
        ends = [abs(line_point(walks.lines, edge, 0.0, d)[1]) for d in walks.walked[edge]]
        assert sorted(ends) == pytest.approx([3.0 + from_kerb, 3.0 + wide - 0.4])


def test_beside_parked_vehicles_and_on_crossings_people_walk_anywhere() -> None:
    parking = (lane_xml(2, "parking", 2.5), lane_xml(3, "sidewalk", 2.0))
    walks = street(
        *parking[::-1], lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2.0), objects=ZEBRA
    ).walks
    far = [edge for edge in range(len(walks.kind)) if line_point(walks.lines, edge, 0.0, 0.0)[1] > 5.0]
    anywhere = [*far, *np.flatnonzero(walks.kind == EdgeKind.ZEBRA)]
    assert len(anywhere) >= 2
    for edge in anywhere:
        most = 0.5 * walks.width[edge] - 0.4
        assert walks.walked[edge] == pytest.approx([-most, most])


def test_a_median_wide_enough_to_stand_on_makes_two_stages() -> None:
    lanes = (
        lane_xml(3, "sidewalk", 2.0), lane_xml(2), lane_xml(1, "median", 1.0),
        lane_xml(-1, "median", 1.0), lane_xml(-2), lane_xml(-3, "sidewalk", 2.0),
    )  # fmt: skip
    walks = street(*lanes, objects=ZEBRA.replace('v="3"', 'v="4"').replace('v="-3"', 'v="-4"')).walks
    first, second = np.flatnonzero(walks.kind == EdgeKind.ZEBRA)
    (island,) = {walks.tail[first], walks.head[first]} & {walks.tail[second], walks.head[second]}
    assert (walks.node_x[island], walks.node_y[island]) == pytest.approx((30, 0), abs=0.15)
    assert len(over(walks, first)) == len(over(walks, second)) == 1


def test_people_may_cross_where_nothing_is_marked_but_not_close_to_a_zebra() -> None:
    walks = street(*SIDEWALKS, objects=ZEBRA, length=120.0).walks
    midblock = np.flatnonzero(walks.kind == EdgeKind.MIDBLOCK)
    x = np.sort(walks.node_x[walks.tail[midblock]])
    assert 3 <= len(x) <= 6
    assert np.abs(x - 30).min() >= 12
    assert np.diff(x).min() >= 15


def test_an_unmarked_way_goes_through_the_gap_between_two_parked_vans() -> None:
    lanes = (
        lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1),
        lane_xml(-2, "parking", 2.5), lane_xml(-3, "sidewalk", 2.0),
    )  # fmt: skip
    van = {"kind": "parked", "y": -4.25, "z": 0.0, "yaw": 0.0, "length": 6.0, "width": 2.0, "height": 2.5}
    boxes = [{**van, "x": x} for x in (13.0, 20.5, 28.0, 35.5)]  # gaps of 1.5 m, at 16.75, 24.25, 31.75
    text = document_xml(road_xml(section_xml(*lanes), length=60.0))
    walks = compile_town("vans", text, {"schema": 1, "boxes": boxes}).street.walks
    x = walks.node_x[walks.tail[walks.kind == EdgeKind.MIDBLOCK]]
    assert len(x) >= 2
    for box in boxes:
        assert (np.abs(x - box["x"]) >= 3.5 - 1e-6).all()


def test_without_sidewalk_lanes_people_walk_beside_the_road() -> None:
    walks = street(lane_xml(1), lane_xml(-1)).walks
    assert set(np.round(np.abs(walks.node_y[walks.tail]), 3)) == {4.0}  # 1 m beyond the edge at 3 m
    assert {EdgeKind(k) for k in walks.kind} == {EdgeKind.SIDEWALK, EdgeKind.MIDBLOCK}
    assert len(components(walks)) == 1


def test_nobody_walks_along_a_motorway() -> None:
    fast = '<type s="0" type="motorway"><speed max="100" unit="km/h"/></type>'
    assert len(street(lane_xml(1), lane_xml(-1), objects=fast).walks.length) == 0


def test_a_wide_shoulder_is_walked_on() -> None:
    walks = street(
        lane_xml(2, "shoulder", 2.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "shoulder", 2.0)
    ).walks
    assert set(np.round(np.abs(walks.node_y[walks.tail]), 3)) == {4.0}


def test_a_plaza_is_open_ground_that_people_cross_anywhere() -> None:
    lanes = (lane_xml(2, "sidewalk", 8.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 8.0))
    text = document_xml(road_xml(section_xml(*lanes)))
    walks = compile_town("plaza", text, {"schema": 1, "town_type": "plaza"}).street.walks
    assert {EdgeKind(k) for k in walks.kind} == {EdgeKind.PLAZA, EdgeKind.SHARED}
    x = np.sort(walks.node_x[walks.tail[walks.kind == EdgeKind.SHARED]])
    assert np.diff(x) == pytest.approx(8.0)


def test_doors_lie_every_twelve_metres_on_the_side_away_from_the_road() -> None:
    found = street(*SIDEWALKS)
    walks = found.walks
    places = [
        line_point(walks.lines, e, s, d)[:2]
        for e, s, d in zip(found.door_edge, found.door_s, found.door_d, strict=True)
    ]
    assert len(places) >= 8
    assert np.abs([y for _, y in places]) == pytest.approx(5.0)  # the outer edge of the sidewalk


# Every town.


@everywhere
def test_every_strip_begins_and_ends_at_its_nodes(town: Town) -> None:
    walks, lines = town.street.walks, town.street.walks.lines
    for node, at in ((walks.tail, lines.start[:-1]), (walks.head, lines.start[1:] - 1)):
        assert np.hypot(walks.node_x[node] - lines.x[at], walks.node_y[node] - lines.y[at]).max() < 0.02
        assert np.abs(walks.node_z[node] - lines.z[at]).max() < 0.02
    assert walks.length.min() > 0.1
    assert walks.width.min() >= 0.5


@everywhere
def test_nodes_know_their_strips(town: Town) -> None:
    walks = town.street.walks
    for node in range(len(walks.node_x)):
        mine = walks.incident[walks.incident_start[node] : walks.incident_start[node + 1]]
        assert mine.tolist() == np.flatnonzero((walks.tail == node) | (walks.head == node)).tolist()
        assert len(mine) >= 1


@pytest.mark.parametrize("name", town_names())
def test_one_can_walk_from_anywhere_to_anywhere_in_a_shipped_town(town: Town) -> None:
    assert len(components(town.street.walks)) == 1


@everywhere
def test_most_of_every_town_can_be_reached_on_foot(town: Town) -> None:
    metres = components(town.street.walks)
    assert metres[0] > 0.45 * sum(metres)
    assert metres[-1] > 35.0


@everywhere
def test_lanes_lie_between_the_kerbs_in_the_order_met(town: Town) -> None:
    walks = town.street.walks
    for edge in range(len(walks.length)):
        rows = over(walks, edge)
        if walks.kind[edge] < EdgeKind.ZEBRA:
            assert len(rows) == 0
            assert walks.kerb_in[edge] == walks.kerb_out[edge] == 0
            continue
        at = walks.over_at[rows.start : rows.stop]
        assert len(at) > 0
        assert (np.diff(at) >= 0).all()
        assert 0 < walks.kerb_in[edge] < at.min()
        assert at.max() < walks.kerb_out[edge] < walks.length[edge]
        assert set(walks.over_left[rows.start : rows.stop]) <= {-1.0, 1.0}


@everywhere
def test_strips_and_lanes_meet_where_both_say(town: Town) -> None:
    walks, lanes = town.street.walks, town.street.lanes
    for edge in np.flatnonzero(walks.kind >= EdgeKind.ZEBRA):
        for row in over(walks, edge):
            x, y, along = line_point(walks.lines, edge, walks.over_at[row], 0.0)
            lx, ly, yaw = line_point(lanes.lines, walks.over_lane[row], walks.over_s[row], 0.0)
            assert math.hypot(x - lx, y - ly) < 0.05
            if abs(math.sin(yaw - along)) > 0.1:
                assert walks.over_left[row] == -np.sign(math.sin(yaw - along))


@everywhere
def test_unmarked_ways_lead_through_no_box(town: Town) -> None:
    walks, boxes = town.street.walks, town.street.boxes
    for edge in np.flatnonzero(walks.kind >= EdgeKind.MIDBLOCK):
        rows = slice(walks.lines.start[edge], walks.lines.start[edge + 1])
        dx, dy = (walks.lines.x[rows, None] - boxes.x, walks.lines.y[rows, None] - boxes.y)
        along = np.abs(dx * np.cos(boxes.yaw) + dy * np.sin(boxes.yaw)) - 0.5 * boxes.length
        across = np.abs(dy * np.cos(boxes.yaw) - dx * np.sin(boxes.yaw)) - 0.5 * boxes.width
        assert not ((along < 0.2) & (across < 0.2)).any()


@everywhere
def test_doors_lie_on_sidewalks(town: Town) -> None:
    found, walks = town.street, town.street.walks
    assert len(found.door_edge) > 0
    assert (walks.kind[found.door_edge] < EdgeKind.ZEBRA).all()
    assert (found.door_s >= -1e-6).all()
    assert (found.door_s <= walks.length[found.door_edge] + 1e-6).all()
    assert (np.abs(found.door_d) <= 0.5 * walks.width[found.door_edge] + 1e-6).all()


def test_the_arterial_has_islands_and_people_at_its_bus_stop() -> None:
    town = load_town("arterial")
    walks = town.street.walks
    marked = np.flatnonzero((walks.kind == EdgeKind.ZEBRA) | (walks.kind == EdgeKind.SIGNAL))
    ends = Counter([*walks.tail[marked].tolist(), *walks.head[marked].tolist()])
    assert sum(count == 2 for count in ends.values()) >= 3  # nodes between two stages
    (stop,) = town.bus_stops
    x, y, _ = line_point(town.street.lanes.lines, stop.lane, stop.s, 0.0)
    ex, ey, _ = line_point(walks.lines, stop.edge, stop.edge_s, 0.0)
    assert math.hypot(ex - x, ey - y) < 6.0
