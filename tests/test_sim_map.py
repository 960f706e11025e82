"""The map reader and the compiled road graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_builders import street, street_xml

from drivewm.errors import InputError
from drivewm.types import LineKind
from drivewm_sim.lines import line_length, line_point, project
from drivewm_sim.opendrive import read_opendrive
from drivewm_sim.town import load_town, town_text

GRAPH = load_town("crossing").graph


def test_an_arc_of_radius_100_turns_a_quarter_circle_to_the_left() -> None:
    quarter = 50 * np.pi
    (road,) = read_opendrive(street_xml(quarter, None, '<arc curvature="0.01"/>'), "arc")
    points, heading = road.point(np.array([0.0, quarter]))
    np.testing.assert_allclose(points, [[0, 0], [100, 100]], atol=1e-9)
    np.testing.assert_allclose(heading, [0, np.pi / 2])


def test_lane_centres_lie_half_a_width_beside_the_reference_line() -> None:
    graph = street().graph
    assert line_point(graph.routes, 1, 100.0, 0.0) == pytest.approx((100.0, -1.5, 0.0))
    assert line_point(graph.routes, 0, 100.0, 0.0) == pytest.approx((900.0, 1.5, np.pi))  # against s
    assert line_point(graph.walks, 0, 100.0, 0.0) == pytest.approx((100.0, 4.5, 0.0))


def test_the_zebra_joins_the_sidewalks_and_crosses_both_lanes() -> None:
    graph = street().graph
    assert set(graph.zebra_walk[0]) == {0, 1}
    np.testing.assert_allclose(graph.zebra_s[0], [500, 500])
    assert graph.zebra_width[0] == pytest.approx(4.0)
    np.testing.assert_allclose(graph.zebra_in[0], [498, 498], atol=0.11)
    np.testing.assert_allclose(graph.zebra_out[0], [502, 502], atol=0.11)


def test_linked_lanes_are_joined_over_the_two_roads_of_the_town() -> None:
    assert len(GRAPH.routes.step) == 2
    # 180 m straight, then 80 m of a bend of radius 150 m: 1.625 m further out or in.
    assert line_length(GRAPH.routes, 0) == pytest.approx(180 + 80 * (150 + 1.625) / 150, abs=0.01)
    assert line_length(GRAPH.routes, 1) == pytest.approx(180 + 80 * (150 - 1.625) / 150, abs=0.01)


def test_the_speed_cap_of_a_bend_keeps_the_sideways_acceleration_at_two() -> None:
    assert GRAPH.route_cap.min() == pytest.approx(np.sqrt(2.0 * (150 - 1.625)), rel=0.01)


@settings(max_examples=60, deadline=None)
@given(s=st.floats(5, 250), d=st.floats(-6, 6), route=st.integers(0, 1))
def test_projecting_a_point_onto_a_route_inverts_placing_it(s: float, d: float, route: int) -> None:
    x, y, _ = line_point(GRAPH.routes, route, s, d)
    assert project(GRAPH.routes, route, x, y) == pytest.approx((s, d), abs=0.05)


def test_the_road_map_holds_every_kind_of_line_with_points_two_metres_apart() -> None:
    road_map = load_town("crossing").road_map
    kinds = {
        int(LineKind.LANE_CENTER),
        int(LineKind.LANE_BOUNDARY),
        int(LineKind.CROSSWALK),
        int(LineKind.SIDEWALK),
    }
    assert set(road_map.kind.tolist()) == kinds
    for points, valid, kind in zip(road_map.points, road_map.valid, road_map.kind, strict=True):
        gap = np.hypot(*np.diff(points[valid], axis=0).T)
        assert gap.max() < 2.3 or kind == LineKind.CROSSWALK
        assert not points[~valid].any()


@pytest.mark.parametrize("name", ["crossing"])
def test_lane_centres_agree_with_carla_within_a_centimetre(name: str) -> None:
    carla = pytest.importorskip("carla", reason="the carla client is not installed")
    carla_map = carla.Map(name, town_text(name))
    for road in read_opendrive(town_text(name), name):
        for lane in (2, 1, -1, -2):
            s = np.arange(0.5, road.length, 1.0)
            inner, outer = road.lane_edges(road.sections[0], lane, s)
            points, _ = road.point(s, (inner + outer) / 2)
            theirs = [carla_map.get_waypoint_xodr(int(road.id), lane, float(v)).transform.location for v in s]
            np.testing.assert_allclose(
                points, [(p.x, -p.y) for p in theirs], atol=0.01
            )  # CARLA is left-handed
    corners = {(round(p.x, 3), round(-p.y, 3)) for p in carla_map.get_crosswalks()}
    ours = {
        tuple(np.round(c, 3))
        for r in read_opendrive(town_text(name), name)
        for w in r.crosswalks
        for c in w.outline
    }
    assert corners == ours


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<OpenDRIVE><road", "expected OpenDRIVE XML"),
        ("<OpenDRIVE/>", "found none"),
        (street_xml(geometry='<spiral curvStart="0" curvEnd="1"/>'), "<spiral> cannot be read"),
        (street_xml().replace('hdg="0" length', 'hdg="east" length'), "no number"),
    ],
)
def test_a_map_that_cannot_be_read_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_opendrive(text, "town.xodr")
    assert "town.xodr" in str(caught.value)
    assert "\n" not in str(caught.value)
