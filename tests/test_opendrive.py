"""The OpenDRIVE reader: curves, profiles, lanes, links, objects, signals, and clear refusals."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opendrive_builders import document_xml, lane_xml, road_xml, section_xml

from drivewm.errors import InputError
from drivewm_sim.roads.curves import Arc, Line, ParamPoly3, Shape, Spiral
from drivewm_sim.roads.lane_links import Piece, lane_links
from drivewm_sim.roads.opendrive import OpenDrive, Road, load_opendrive, read_opendrive


def read(*parts: str) -> OpenDrive:
    return read_opendrive(document_xml(*parts), "town.xodr")


def road(*sections: str, **how: object) -> Road:
    (found,) = read(road_xml(*sections, **how)).roads  # type: ignore[arg-type]
    return found


# Curves


def test_an_arc_of_radius_100_turns_a_quarter_circle_to_the_left() -> None:
    quarter = 50 * math.pi
    points, heading = road(length=quarter, shape='<arc curvature="0.01"/>').point(np.array([0.0, quarter]))
    np.testing.assert_allclose(points, [[0, 0], [100, 100]], atol=1e-9)
    np.testing.assert_allclose(heading, [0, np.pi / 2])


def test_a_spiral_ends_where_the_fresnel_integrals_say() -> None:
    """Curvature pi s gives heading pi s^2 / 2; C(1) and S(1) are in Abramowitz and Stegun, table 7.7."""
    points, heading = Spiral(0.0, math.pi, 1.0).at(np.array([1.0]))
    np.testing.assert_allclose(points, [[0.7798934, 0.4382591]], atol=1e-7)
    np.testing.assert_allclose(heading, [math.pi / 2])


def test_a_spiral_of_constant_curvature_is_an_arc() -> None:
    s = np.linspace(0, 100, 7)
    for ours, arc in zip(Spiral(0.02, 0.02, 100.0).at(s), Arc(0.02).at(s), strict=True):
        np.testing.assert_allclose(ours, arc, atol=1e-10)


def test_poly3_is_followed_by_its_arc_length() -> None:
    """v = u^2 / 100: from 0 to u it is u w / 2 + 25 asinh(u / 50) long, w = sqrt(1 + (u / 50)^2)."""
    length = 25 * (math.sqrt(2) + math.asinh(1.0))
    shape = '<poly3 a="0" b="0" c="0.01" d="0"/>'
    points, heading = road(length=length, shape=shape).point(np.array([length]))
    np.testing.assert_allclose(points, [[50, 25]], atol=1e-9)
    np.testing.assert_allclose(heading, [math.pi / 4], atol=1e-9)


def test_param_poly3_is_the_same_curve_in_both_ranges() -> None:
    length = 40.0
    by_length = (
        '<paramPoly3 pRange="arcLength" aU="0" bU="1" cU="0" dU="-1e-5" aV="0" bV="0" cV="4e-3" dV="0"/>'
    )
    normalized = (
        f'<paramPoly3 pRange="normalized" aU="0" bU="{length}" cU="0" dU="{-1e-5 * length**3}"'
        f' aV="0" bV="0" cV="{4e-3 * length**2}" dV="0"/>'
    )
    s = np.linspace(0, length, 9)
    one, other = (road(length=length, shape=shape).point(s) for shape in (by_length, normalized))
    np.testing.assert_allclose(one[0], other[0], atol=1e-9)
    np.testing.assert_allclose(one[1], other[1], atol=1e-9)


SHAPES: list[Shape] = [
    Line(),
    Arc(-0.05),
    Spiral(-0.02, 0.1, 60.0),
    ParamPoly3(np.array([0.0, 1, 0, 0]), np.array([0.5, 0.1, -2e-3, 1e-5]), 1.0),
    ParamPoly3(np.array([0.0, 50, 10, -5]), np.array([0.0, 0, 30, -10]), 1 / 60),
]


@settings(max_examples=30, deadline=None)
@given(row=st.integers(0, len(SHAPES) - 1), s=st.floats(0.1, 59.0))
def test_every_curve_moves_one_metre_a_metre_along_its_heading(row: int, s: float) -> None:
    points, heading = SHAPES[row].at(np.array([s - 1e-4, s, s + 1e-4]))
    ahead = (points[2] - points[0]) / 2e-4
    np.testing.assert_allclose(ahead, [math.cos(heading[1]), math.sin(heading[1])], atol=1e-6)


def test_shapes_follow_one_another_from_where_each_says_it_starts() -> None:
    plan = (
        '<geometry s="0" x="0" y="0" hdg="0" length="10"><line/></geometry>'
        '<geometry s="10" x="10" y="0" hdg="1.5707963267948966" length="5"><line/></geometry>'
    )
    points, _ = road(length=15, plan=plan).point(np.array([4.0, 10.0, 15.0]), 2.0)
    np.testing.assert_allclose(points, [[4, 2], [8, 0], [8, 5]], atol=1e-12)


# Lanes


def test_lane_edges_lie_their_widths_beside_the_reference_line() -> None:
    two = road(section_xml(lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2)))
    s = np.array([50.0])
    assert [e.item() for e in two.lane_edges(two.sections[0], 1, s)] == [0, 3]
    assert [e.item() for e in two.lane_edges(two.sections[0], -2, s)] == [-3, -5]


def test_widths_count_from_their_section_and_heights_from_the_road() -> None:
    growing = '<lane id="-1" type="driving"><width sOffset="0" a="3" b="0.1" c="0" d="0"/></lane>'
    climbing = '<elevationProfile><elevation s="0" a="5" b="0" c="0.01" d="0"/></elevationProfile>'
    one = road(section_xml(lane_xml(-1)), section_xml(growing, s=40), inside=climbing)
    _, outer = one.lane_edges(one.sections[1], -1, np.array([40.0, 50.0]))
    np.testing.assert_allclose(outer, [-3, -4])
    np.testing.assert_allclose(one.elevation(np.array([0.0, 10.0])), [5, 6])


def test_a_lane_offset_that_jumps_between_sections_stays_in_its_section_up_to_the_end() -> None:
    jump = '<laneOffset s="0" a="0" b="0" c="0" d="0"/><laneOffset s="40" a="-4" b="0" c="0" d="0"/>'
    one = road(section_xml(lane_xml(-1)), section_xml(lane_xml(-1), s=40), offsets=jump)
    s = np.array([40.0])
    assert [one.lane_edges(section, -1, s)[0].item() for section in one.sections] == [0, -4]


def test_a_lane_offset_is_zero_before_its_first_record() -> None:
    one = road(offsets='<laneOffset s="30" a="2" b="0" c="0" d="0"/>')
    np.testing.assert_allclose(one.lane_offset(np.array([0.0, 29.0, 30.0, 99.0])), [0, 0, 2, 2])


def test_markings_say_between_which_lanes_one_may_change_and_from_where() -> None:
    marks = (
        '<roadMark sOffset="0" type="broken" laneChange="none"/>'
        '<roadMark sOffset="20" type="broken" laneChange="increase"/>'
        '<roadMark sOffset="60" type="broken"/>'
    )
    (section,) = road(section_xml(lane_xml(-1, inside=marks), lane_xml(-2))).sections
    assert not section.may_change(-2, -1, 10.0)
    assert section.may_change(-2, -1, 30.0)
    assert not section.may_change(-1, -2, 30.0)
    assert section.may_change(-1, -2, 70.0)  # nothing stated means both


def test_the_lane_s_own_speed_limit_goes_before_the_road_s() -> None:
    limits = (
        '<type s="0" type="town"><speed max="36" unit="km/h"/></type>'
        '<type s="50" type="motorway"><speed max="no limit"/></type>'
    )
    slow = lane_xml(-1, inside='<speed sOffset="80" max="10" unit="mph"/>')
    one = road(section_xml(lane_xml(1), slow), inside=limits)
    (section,) = one.sections
    assert one.speed_limit(section, -1, 0.0) == pytest.approx(10.0)
    assert one.speed_limit(section, -1, 60.0) == math.inf
    assert one.speed_limit(section, -1, 90.0) == pytest.approx(4.4704)
    assert one.speed_limit(section, 1, 90.0) == math.inf
    assert road().speed_limit(road().sections[0], 1, 0.0) is None


# Links


def crossroads(contact: str = "start", to: int = -1, junction: str = "") -> tuple[str, ...]:
    """Road "in", of two sections, leads into junction J: over road 2 to road 3, over road 4 to the edge."""
    on = '<link><successor id="-1"/></link>'
    back = '<link><predecessor id="-1"/><successor id="-1"/></link>'
    return (
        road_xml(
            section_xml(lane_xml(-1, inside=on), lane_xml(-2, "sidewalk")),
            section_xml(lane_xml(-1), lane_xml(-2, "sidewalk"), s=50),
            id="in",
            inside='<link><successor elementType="junction" elementId="J"/></link>',
        ),
        road_xml(
            section_xml(lane_xml(-1, inside=back)),
            id="2",
            attributes='junction="J"',
            inside='<link><successor elementType="road" elementId="3" contactPoint="start"/></link>',
        ),
        road_xml(section_xml(lane_xml(-1), lane_xml(1, "sidewalk")), id="3"),
        road_xml(section_xml(lane_xml(-1), lane_xml(1, "sidewalk")), id="4", attributes='junction="J"'),
        f'<junction id="J" name="" {junction}>'
        '<connection id="0" incomingRoad="in" connectingRoad="2" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        f'<connection id="1" incomingRoad="in" connectingRoad="4" contactPoint="{contact}">'
        f'<laneLink from="-1" to="{to}"/><laneLink from="-2" to="1"/></connection>'
        '<controller id="C" type="0"/><priority high="2" low="4"/></junction>',
    )


def test_lanes_lead_through_sections_junctions_and_roads_to_the_edge() -> None:
    links = lane_links(read(*crossroads()))
    assert links[Piece("in", 0, -1)] == (Piece("in", 1, -1),)
    assert links[Piece("in", 1, -1)] == (Piece("2", 0, -1), Piece("4", 0, -1))
    assert links[Piece("2", 0, -1)] == (Piece("3", 0, -1),)
    assert links[Piece("3", 0, -1)] == ()
    # The sidewalk is linked to one that is numbered the other way: nobody's direction of travel leads there.
    assert links[Piece("in", 1, -2)] == ()
    assert len(links) == 9


def test_the_junction_tells_its_connections_priorities_and_controllers() -> None:
    document = read(*crossroads(), '<controller id="C" name="c"><control signalId="S"/></controller>')
    (junction,) = document.junctions
    assert junction.connections[1].connecting_road == "4"
    assert junction.connections[1].lane_links == ((-1, -1), (-2, 1))
    assert junction.priorities == (("2", "4"),)
    assert junction.controllers == ("C",)
    assert document.controllers[0].signals == ("S",)
    assert [r.junction for r in document.roads] == [None, "J", None, "J"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"to": -5}, "lane -1 leads to road 4, lane -5, which has none"),
        ({"contact": "end"}, "at its end, against its traffic"),
    ],
)
def test_a_link_that_cannot_be_driven_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        lane_links(read(*crossroads(**wrong)))  # type: ignore[arg-type]


def test_a_link_to_a_missing_road_is_refused() -> None:
    lost = '<link><successor elementType="road" elementId="9" contactPoint="start"/></link>'
    lane = lane_xml(-1, inside='<link><successor id="-1"/></link>')
    with pytest.raises(InputError, match="road 1: lane -1 leads to road 9, which is missing"):
        lane_links(read(road_xml(section_xml(lane), inside=lost)))


# Objects and signals

_LOCAL = "".join(f'<cornerLocal u="{u}" v="{v}" z="0.1"/>' for u, v in ((-1, -3), (1, -3), (1, 3), (-1, 3)))
_ON_ROAD = "".join(f'<cornerRoad s="{s}" t="{t}" dz="0"/>' for s, t in ((9, -3), (11, -3), (11, 3), (9, 3)))
_CLOSING = '<cornerLocal u="-1" v="-3" z="0.1"/>'


@pytest.mark.parametrize(
    ("outline", "height"),
    [
        (f'<outline id="0">{_LOCAL}</outline>', 2.6),
        (f'<outlines><outline id="0">{_LOCAL}{_CLOSING}</outline></outlines>', 2.6),
        (f"<outlines><outline>{_ON_ROAD}</outline></outlines>", 2.0),
    ],
)
def test_a_crosswalk_s_outline_is_read_in_every_form(outline: str, height: float) -> None:
    """On a road north-bound from (100, 0), 2 m up; its own frame stands 0.5 m above that."""
    inside = (
        '<elevationProfile><elevation s="0" a="2" b="0" c="0" d="0"/></elevationProfile><objects>'
        f'<object id="z" type="crosswalk" s="10" t="0" zOffset="0.5" hdg="0">{outline}</object></objects>'
    )
    (zebra,) = read(road_xml(start=(100, 0, math.pi / 2), inside=inside)).crosswalks
    xy = [[103, 9], [103, 11], [97, 11], [97, 9]]
    np.testing.assert_allclose(zebra.outline, [(x, y, height) for x, y in xy], atol=1e-9)
    assert (zebra.id, zebra.road, zebra.s) == ("z", "1", 10.0)


def test_an_object_stands_at_s_and_t_and_turns_by_hdg_from_the_road() -> None:
    inside = (
        '<objects><object id="p" type="parkingSpace" s="20" t="-5" zOffset="0.2" hdg="0.5" length="5"'
        f' width="2" height="0" orientation="+"><outline>{_LOCAL}</outline></object></objects>'
    )
    one = road(start=(0, 0, 1.0), inside=inside)
    (space,) = one.objects
    assert (space.type, space.length, space.width, space.orientation) == ("parkingSpace", 5, 2, "+")
    assert space.yaw == pytest.approx(1.5)
    at, _ = one.point(np.array([20.0]), -5.0)
    np.testing.assert_allclose(space.position, [*at[0], 0.2])
    assert space.outline is not None
    np.testing.assert_allclose(space.outline.mean(0), [*at[0], 0.3])
    assert one.crosswalks == ()


def test_signals_and_references_tell_for_which_lanes_they_count() -> None:
    signals = (
        '<signals><signal id="S" name="light" s="90" t="-5" dynamic="yes" orientation="+" type="1000001"'
        ' subtype="-1" country="OpenDRIVE" zOffset="3" value="-1">'
        '<validity fromLane="-1" toLane="-2"/></signal>'
        '<signalReference id="S" s="3" t="0" orientation="-"><validity fromLane="1" toLane="1"/>'
        "</signalReference></signals>"
    )
    document = read(road_xml(inside=signals))
    signal = document.signals["S"]
    assert (signal.road, signal.s, signal.t, signal.z_offset, signal.dynamic) == ("1", 90, -5, 3, True)
    assert (signal.type, signal.country, signal.validity) == ("1000001", "OpenDRIVE", ((-2, -1),))
    (reference,) = document.roads[0].signal_references
    assert (reference.signal, reference.orientation, reference.validity) == ("S", "-", ((1, 1),))


# Documents


def test_a_compressed_file_reads_as_the_plain_one(tmp_path: Path) -> None:
    text = document_xml(*crossroads())
    (tmp_path / "a.xodr").write_text(text)
    (tmp_path / "a.xodr.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = load_opendrive(tmp_path / "a.xodr"), load_opendrive(tmp_path / "a.xodr.gz")
    assert plain.road_row == packed.road_row == {"in": 0, "2": 1, "3": 2, "4": 3}
    assert plain.geo_reference == "+proj=tmerc"
    with pytest.raises(InputError, match=r"expected an OpenDRIVE file"):
        load_opendrive(tmp_path / "none.xodr")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<OpenDRIVE><road", "expected OpenDRIVE XML"),
        ("<OpenDRIVE/>", "found none"),
        (document_xml(road_xml(), road_xml()), "each road id once, found 1 again"),
        (document_xml(road_xml(shape="<helix/>")), "road 1: geometry <helix> cannot be read"),
        (document_xml(road_xml(shape="<arc/>")), "road 1: expected an attribute 'curvature'"),
        (document_xml(road_xml(attributes='rule="LHT"')), "road 1: expected right-hand traffic"),
        (document_xml().replace('hdg="0.0"', 'hdg="east"'), "road 1: an attribute is no number"),
        (document_xml(road_xml(section_xml(lane_xml(-2)))), r"numbered without gaps .* found \[0, -2\]"),
        (document_xml().replace("<width", "<border"), "lane 1 is given by <border>; write its <width>"),
        (
            document_xml(road_xml(inside='<type s="0" type="town"><speed max="9" unit="kn"/></type>')),
            "found kn",
        ),
        (document_xml(*crossroads(junction='type="direct"')), "junction J: expected .* found type direct"),
        (
            document_xml(road_xml(inside='<objects><object id="z" type="crosswalk" s="1" t="0"/></objects>')),
            "road 1: crosswalk object z needs an outline",
        ),
    ],
)
def test_a_map_that_cannot_be_read_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_opendrive(text, "town.xodr")
    assert str(caught.value).startswith("town.xodr")
    assert "\n" not in str(caught.value)
