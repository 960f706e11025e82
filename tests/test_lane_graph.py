"""Lanes: what follows what, how fast, who goes first, where to stop. In every town, and by example."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from all_towns import everywhere
from opendrive_builders import document_xml, lane_xml, road_xml, section_xml

from drivewm.errors import InputError
from drivewm.types import LineKind
from drivewm_sim.lines import line_point
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.lanes import LATERAL_MPS2
from drivewm_sim.roads.movements import movements
from drivewm_sim.roads.right_of_way import ring_lanes
from drivewm_sim.roads.signals import Signals
from drivewm_sim.roads.swept import EXTENSION_M
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town
from drivewm_sim.roads.walk_graph import EdgeKind


def followers(lanes: LaneGraph) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(len(lanes.length)), np.diff(lanes.next_start)), lanes.next


def rows_of(start: np.ndarray, k: int) -> range:
    return range(start[k], start[k + 1])


# Small examples.

SIDEWALKS = (lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2.0))


@cache
def bend() -> Town:
    """100 m straight, then a quarter circle to the left of radius 20 m; lanes 3 m wide, 50 km/h."""
    links = '<link><predecessor id="{0}"/><successor id="{0}"/></link>'
    lanes = section_xml(lane_xml(1, inside=links.format(1)), lane_xml(-1, inside=links.format(-1)))
    straight = road_xml(
        lanes,
        id="a",
        inside='<link><successor elementType="road" elementId="b" contactPoint="start"/></link>',
    )
    curve = road_xml(
        lanes,
        id="b",
        length=10 * math.pi,
        shape='<arc curvature="0.05"/>',
        start=(100.0, 0.0, 0.0),
        inside='<link><predecessor elementType="road" elementId="a" contactPoint="end"/></link>',
    )
    return compile_town("bend", document_xml(straight, curve))


def test_centres_lie_half_a_width_beside_the_reference_line_in_the_direction_of_travel() -> None:
    lanes = bend().street.lanes
    assert lanes.lane.tolist() == [1, -1, 1, -1]
    assert line_point(lanes.lines, 1, 30.0, 0.0) == pytest.approx((30.0, -1.5, 0.0))
    assert line_point(lanes.lines, 0, 30.0, 0.0) == pytest.approx((70.0, 1.5, math.pi))
    assert lanes.length == pytest.approx([100.0, 100.0, 18.5 * math.pi / 2, 21.5 * math.pi / 2], abs=0.01)


def test_lanes_follow_over_the_join_of_two_roads_and_the_map_is_entered_at_its_ends() -> None:
    lanes = bend().street.lanes
    assert followers(lanes)[0].tolist() == [1, 2]
    assert followers(lanes)[1].tolist() == [3, 0]
    assert bend().street.entries.tolist() == [1, 2]


def test_drivers_slow_down_for_a_bend_on_the_lane_before_it() -> None:
    lanes = bend().street.lanes
    bend_speed = math.sqrt(LATERAL_MPS2 * 21.5)
    middle = lanes.lines.start[3] + 15
    assert lanes.cap[middle] == pytest.approx(bend_speed, rel=0.02)
    before = lanes.cap[lanes.lines.start[1] : lanes.lines.start[2]]
    # v^2 = v0^2 + 2 b s, 20 m before the bend.
    assert before[-21] == pytest.approx(math.sqrt(before[-1] ** 2 + 2 * 1.5 * 20), rel=0.01)
    assert before[-1] < 1.5 * bend_speed
    assert (np.diff(before) <= 1e-9).all()


def test_without_a_record_the_limit_is_50_km_h() -> None:
    assert bend().street.lanes.limit == pytest.approx(13.9)


def test_one_may_change_to_the_lane_beside_where_the_marking_says_so() -> None:
    mark = '<roadMark sOffset="0" type="broken" laneChange="{}"/>'
    section = section_xml(
        lane_xml(-1, inside=mark.format("decrease")), lane_xml(-2), lane_xml(-3, "biking", 1.5)
    )
    lanes = compile_town("lanes", document_xml(road_xml(section))).street.lanes
    assert lanes.lane.tolist() == [-1, -2, -3]
    assert lanes.right.tolist() == [1, -1, -1]  # from -1 to -2, and never to the cycle lane
    assert lanes.left.tolist() == [-1, -1, -1]  # not back


def cross(extra: str = "", sidecar: dict | None = None) -> LaneGraph:
    """Two one-way streets cross: a eastwards, b northwards; lanes 2 m right of the reference lines."""
    one = section_xml(
        lane_xml(-1, width=4.0, inside='<link><predecessor id="-1"/><successor id="-1"/></link>')
    )
    to = '<link><{0} elementType="junction" elementId="J"/></link>'
    through = (
        '<link><predecessor elementType="road" elementId="{0}" contactPoint="end"/>'
        '<successor elementType="road" elementId="{1}" contactPoint="start"/></link>'
    )
    roads = []
    for i, (x, y, heading) in {"a": (1, 0, 0.0), "b": (0, 1, math.pi / 2)}.items():
        ends, inside = through.format(i, f"{i}2"), 'junction="J"'
        roads += [
            road_xml(one, id=i, length=50, start=(-70 * x, -70 * y, heading), inside=to.format("successor")),
            road_xml(
                one, id=f"{i}x", length=40, start=(-20 * x, -20 * y, heading), attributes=inside, inside=ends
            ),
            road_xml(
                one, id=f"{i}2", length=50, start=(20 * x, 20 * y, heading), inside=to.format("predecessor")
            ),
        ]
    ways = "".join(
        f'<connection id="{i}" incomingRoad="{i}" connectingRoad="{i}x" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        for i in "ab"
    )
    junction = f'<junction id="J" name="">{ways}{extra}</junction>'
    return compile_town("cross", document_xml(*roads, junction), sidecar).street.lanes


def test_crossing_lanes_conflict_over_a_vehicles_width() -> None:
    lanes = cross()
    assert lanes.conflict_lane.tolist() == [4, 1]
    # The centres cross at (2, -2): 22 m along a's lane, 18 m along b's; bodies are 1 m wide to each side.
    assert lanes.conflict_in[0] == pytest.approx(22 - 1.15, abs=0.6)
    assert lanes.conflict_out[0] == pytest.approx(22 + 1.15, abs=0.6)
    assert lanes.conflict_other_in[0] == pytest.approx(18 - 1.15, abs=0.6)
    assert (lanes.conflict_in[1], lanes.conflict_out[1]) == (
        lanes.conflict_other_in[0],
        lanes.conflict_other_out[0],
    )


def test_who_comes_from_the_right_goes_first() -> None:
    lanes = cross()  # a drives east, b north: b comes from a's right
    assert lanes.conflict_priority.tolist() == [-1, 1]


def test_a_priority_record_and_the_sidecar_overrule_right_before_left() -> None:
    assert cross('<priority high="ax" low="bx"/>').conflict_priority.tolist() == [1, -1]
    told = {"schema": 1, "give_way": [{"junction": "J", "yielding_roads": ["b"]}]}
    assert cross(sidecar=told).conflict_priority.tolist() == [1, -1]


def test_vehicles_stop_before_the_junction() -> None:
    lanes = cross()
    assert lanes.stop_s.tolist() == pytest.approx([49.5, 40, 50, 49.5, 40, 50])


PROGRAMME = {"signal_ids": ["7"], "cycle": 60, "green_from": 0, "green": 9, "yellow": 3}


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({}, "expected schema 1"),
        ({"schema": 1, "towntype": "grid"}, "unknown towntype"),
        ({"schema": 1, "town_type": "village"}, "expected a town_type"),
        ({"schema": 1, "boxes": [{"kind": "cloud"}]}, r"boxes\[0\]: expected a kind"),
        ({"schema": 1, "boxes": [{"kind": "pole", "x": "1"}]}, "expected x to be a number"),
        ({"schema": 1, "demand": {"child_share": 2}}, "expected 0 to 1"),
        ({"schema": 1, "signals": [{"cycle": 10, "green_from": 0, "green": 9, "yellow": 3}]}, "do not fit"),
        ({"schema": 1, "signals": [PROGRAMME]}, "no dynamic signal 7"),
        ({"schema": 1, "bus_stops": [{"road": "z", "lane": -1, "s": 3}]}, "no such lane"),
        ({"schema": 1, "doors": [{"x": 900, "y": 0}]}, "from every sidewalk"),
        ({"schema": 1, "give_way": [{"junction": "K", "yielding_roads": []}]}, "no junction K"),
    ],
)  # fmt: skip
def test_a_sidecar_that_cannot_be_right_is_one_clear_line(sidecar: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        cross(sidecar=sidecar)
    assert "\n" not in str(caught.value)


def test_a_map_without_lanes_and_a_town_that_does_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="lanes of type driving"):
        compile_town("field", document_xml(road_xml(section_xml(lane_xml(-1, "sidewalk")))))
    with pytest.raises(InputError, match="no town 'nowhere'; there are"):
        load_town("nowhere")
    with pytest.raises(InputError, match=r"nowhere\.xodr: expected an OpenDRIVE file"):
        load_town("nowhere.xodr")


# Every town.


@everywhere
def test_every_lane_starts_where_the_one_before_it_ends(town: Town) -> None:
    lanes, lines = town.street.lanes, town.street.lanes.lines
    a, b = followers(lanes)
    end, begin = lines.start[a + 1] - 1, lines.start[b]
    assert np.hypot(lines.x[end] - lines.x[begin], lines.y[end] - lines.y[begin]).max() < 0.02
    assert np.abs(lines.z[end] - lines.z[begin]).max() < 0.02
    turned = np.abs((lines.yaw[end] - lines.yaw[begin] + math.pi) % (2 * math.pi) - math.pi)
    assert turned.max() < 0.01
    assert lanes.length.min() > 0.01


@everywhere
def test_prev_mirrors_next_and_neighbours_run_side_by_side(town: Town) -> None:
    lanes = town.street.lanes
    a, b = followers(lanes)
    back = np.repeat(np.arange(len(lanes.length)), np.diff(lanes.prev_start))
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == set(
        zip(lanes.prev.tolist(), back.tolist(), strict=True)
    )
    for sides, towards in ((lanes.left, 1), (lanes.right, -1)):
        for k in np.flatnonzero(sides >= 0):
            x, y, yaw = line_point(lanes.lines, k, 0.5 * lanes.length[k], 0.0)
            ox, oy, _ = line_point(lanes.lines, sides[k], 0.5 * lanes.length[sides[k]], 0.0)
            assert towards * (math.cos(yaw) * (oy - y) - math.sin(yaw) * (ox - x)) > 0.5


@everywhere
def test_no_bend_is_taken_faster_than_tyres_allow_and_no_slowing_is_harsh(town: Town) -> None:
    lanes = town.street.lanes
    assert lanes.cap.min() > 1.0
    assert lanes.cap.max() <= 36.0
    for k, step in enumerate(lanes.lines.step):
        cap = lanes.cap[lanes.lines.start[k] : lanes.lines.start[k + 1]]
        assert (cap[:-1] ** 2 - cap[1:] ** 2 <= 2 * 1.5 * step + 1e-6).all()
    a, b = followers(lanes)
    fastest = np.zeros(len(lanes.length))
    np.maximum.at(fastest, a, lanes.cap[lanes.lines.start[b]])
    last = lanes.cap[lanes.lines.start[1:] - 1]
    assert (last[a] <= fastest[a] + 1e-6).all()


@everywhere
def test_conflicts_mirror_each_other_with_opposite_priority(town: Town) -> None:
    lanes = town.street.lanes
    seen = {}
    for k in range(len(lanes.length)):
        for row in rows_of(lanes.conflict_start, k):
            other = int(lanes.conflict_lane[row])
            here = (float(lanes.conflict_in[row]), float(lanes.conflict_out[row]))
            there = (float(lanes.conflict_other_in[row]), float(lanes.conflict_other_out[row]))
            assert -EXTENSION_M <= here[0] <= here[1] <= lanes.length[k] + EXTENSION_M
            seen[k, other] = (here, there, int(lanes.conflict_priority[row]))
    for (k, other), (here, there, first) in seen.items():
        assert seen[other, k] == (there, here, -first)
        assert other not in lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]


@everywhere
def test_merging_lanes_conflict_to_their_end(town: Town) -> None:
    lanes = town.street.lanes
    follows = [
        set(lanes.next[i:j].tolist()) for i, j in zip(lanes.next_start, lanes.next_start[1:], strict=False)
    ]
    for k in range(len(lanes.length)):
        for row in rows_of(lanes.conflict_start, k):
            if follows[k] & follows[int(lanes.conflict_lane[row])]:
                assert lanes.conflict_out[row] == pytest.approx(lanes.length[k])


@everywhere
def test_lanes_and_crossings_know_of_each_other(town: Town) -> None:
    lanes, walks = town.street.lanes, town.street.walks
    edges = np.repeat(np.arange(len(walks.length)), np.diff(walks.over_start))
    owners = np.repeat(np.arange(len(lanes.length)), np.diff(lanes.crossing_start))
    theirs = sorted(zip(walks.over_lane.tolist(), edges.tolist(), walks.over_at.tolist(), strict=True))
    ours = sorted(zip(owners.tolist(), lanes.crossing.tolist(), lanes.crossing_at.tolist(), strict=True))
    assert ours == theirs
    assert (lanes.crossing_in <= lanes.crossing_out).all()
    at = {(int(k), int(e)): s for k, e, s in zip(walks.over_lane, edges, walks.over_s, strict=True)}
    for k, edge, a, b in zip(owners, lanes.crossing, lanes.crossing_in, lanes.crossing_out, strict=True):
        assert a - 1e-6 <= at[int(k), int(edge)] <= b + 1e-6


@everywhere
def test_stop_lines_lie_before_the_marked_crossing_at_the_junction(town: Town) -> None:
    lanes, walks = town.street.lanes, town.street.walks
    assert (lanes.stop_s <= lanes.length).all()
    assert (lanes.stop_s >= 0).all()
    for k in np.flatnonzero(lanes.stop_s < lanes.length):
        ahead = lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]
        assert (lanes.junction[ahead] >= 0).any()
        for row in rows_of(lanes.crossing_start, k):
            marked = walks.kind[lanes.crossing[row]] in (EdgeKind.ZEBRA, EdgeKind.SIGNAL)
            if marked:  # nobody who stands at the line stands on it
                assert not lanes.crossing_in[row] < lanes.stop_s[k] < lanes.crossing_out[row]
        for j in ahead:
            first = lanes.crossing_in[rows_of(lanes.crossing_start, j)]
            kinds = walks.kind[lanes.crossing[rows_of(lanes.crossing_start, j)]]
            for s in first[(kinds == EdgeKind.ZEBRA) | (kinds == EdgeKind.SIGNAL)]:
                assert lanes.length[k] - lanes.stop_s[k] + s >= 1.0 - 1e-6 or lanes.stop_s[k] == 0


def together(signals: Signals, a: int, b: int) -> bool:
    """Whether two groups are ever not red at the same time."""
    time = np.arange(0.0, max(signals.cycle[a], signals.cycle[b]) * 2, 0.25)
    shown = [
        (time - signals.green_from[g]) % signals.cycle[g] < signals.green[g] + signals.yellow[g]
        for g in (a, b)
    ]
    return bool((shown[0] & shown[1]).any())


@everywhere
def test_signals_never_let_crossing_through_traffic_go_at_once(town: Town) -> None:
    lanes, signals = town.street.lanes, town.street.signals
    moves = movements(lanes)
    for k in range(len(lanes.length)):
        for row in rows_of(lanes.conflict_start, k):
            other = int(lanes.conflict_lane[row])
            a, b = (int(lanes.signal[moves.entry[j]]) for j in (k, other))
            between = abs(math.sin(moves.heading[k] - moves.heading[other]))
            if min(a, b) >= 0 and moves.turn[k] == moves.turn[other] == 0 and between > 0.7:
                assert not together(signals, a, b)


@everywhere
def test_people_are_never_green_while_traffic_sets_off_over_their_crossing(town: Town) -> None:
    lanes, walks, signals = town.street.lanes, town.street.walks, town.street.signals
    for edge in np.flatnonzero(walks.signal >= 0):
        assert walks.kind[edge] == EdgeKind.SIGNAL
        for row in rows_of(walks.over_start, edge):
            k = int(walks.over_lane[row])
            after = lanes.next[lanes.next_start[k] : lanes.next_start[k + 1]]
            if lanes.length[k] - walks.over_s[row] < 10 and lanes.junction[k] < 0:
                for j in after[lanes.signal[after] >= 0]:
                    assert not together(signals, int(walks.signal[edge]), int(lanes.signal[j]))


def test_entering_a_roundabout_gives_way_to_the_ring() -> None:
    lanes = load_town("roundabout").street.lanes
    ring = ring_lanes(lanes)
    assert ring.sum() >= 4
    mixed = 0
    for k in np.flatnonzero(ring):
        for row in rows_of(lanes.conflict_start, k):
            if not ring[lanes.conflict_lane[row]]:
                assert lanes.conflict_priority[row] == 1
                mixed += 1
    assert mixed >= 4


def test_the_grid_has_lights_at_all_arms_and_nobody_else_has_the_right_of_way() -> None:
    lanes = load_town("grid").street.lanes
    moves = movements(lanes)
    inside = np.flatnonzero((lanes.junction >= 0) & (moves.entry == np.arange(len(lanes.length))))
    assert (lanes.signal[inside] >= 0).all()


def test_compiling_twice_gives_the_same_arrays() -> None:
    one, other = load_town("grid").street, load_town.__wrapped__("grid").street
    for part, again in zip(one.lanes[1:] + one.walks[1:], other.lanes[1:] + other.walks[1:], strict=True):
        np.testing.assert_array_equal(part, again)


@everywhere
def test_the_road_map_holds_lanes_sidewalks_crosswalks_and_heights(town: Town) -> None:
    road_map = town.road_map
    assert road_map.elevation is not None
    assert {int(LineKind.LANE_CENTER), int(LineKind.LANE_BOUNDARY), int(LineKind.SIDEWALK)} <= set(
        road_map.kind.tolist()
    )
    assert not road_map.points[~road_map.valid].any()
    assert not road_map.elevation[~road_map.valid].any()
    stops = int((road_map.kind == LineKind.STOP_LINE).sum())
    assert stops == int((town.street.lanes.stop_s < town.street.lanes.length).sum())
