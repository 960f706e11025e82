"""The OpenDRIVE reader gives what CARLA's own map gives, lane by lane and metre by metre.

CARLA is left-handed: y and yaw change sign. `carla.Map` needs no server.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray
from opendrive_builders import document_xml, road_xml

import drivewm_sim
from drivewm.frames import wrap_angle
from drivewm_sim.roads.lane_links import DRIVEN, lane_links
from drivewm_sim.roads.opendrive import LaneSection, OpenDrive, Road, read_opendrive, read_text

carla = pytest.importorskip("carla", reason="the carla client is not installed")

SHIPPED = sorted((Path(drivewm_sim.__file__).parent / "towns").glob("*.xodr"))
REAL = ["Town01", "Town02", "Town04", "Town06", "Town07", "Town10HD"]


@cache
def both_maps(path: Path) -> tuple[OpenDrive, Any]:
    text = read_text(path)
    return read_opendrive(text, path.name), carla.Map(path.stem, text)


@pytest.fixture(
    params=[
        *(pytest.param(path, id=path.stem) for path in SHIPPED),
        *(pytest.param(name, id=name, marks=pytest.mark.shared_data) for name in REAL),
    ]
)
def maps(request: pytest.FixtureRequest) -> tuple[OpenDrive, Any]:
    """Each town, read by us and by CARLA."""
    if isinstance(request.param, Path):
        return both_maps(request.param)
    folder = request.getfixturevalue("shared_data") / "carla_towns"
    return both_maps(folder / f"{request.param}.xodr.gz")


def theirs(carla_map: Any, road: Road, lane: int, s: Float[ndarray, "n"]) -> SimpleNamespace:
    """CARLA's waypoints, turned right-handed. Its yaw points in the direction of travel."""
    found = [carla_map.get_waypoint_xodr(int(road.id), lane, float(v)) for v in s]
    assert None not in found
    transforms = [waypoint.transform for waypoint in found]
    return SimpleNamespace(
        xyz=np.array([(p.location.x, -p.location.y, p.location.z) for p in transforms]),
        yaw=-np.radians([p.rotation.yaw for p in transforms]),
        width=np.array([waypoint.lane_width for waypoint in found]),
        sections={waypoint.section_id for waypoint in found},
    )


def assert_lane_agrees(carla_map: Any, road: Road, index: int, lane: int) -> None:
    section = road.sections[index]
    margin = min(2e-3, (section.end - section.s) / 4)
    s = np.append(np.arange(section.s + margin, section.end - margin, 1.0), section.end - margin)
    other = theirs(carla_map, road, lane, s)
    inner, outer = road.lane_edges(section, lane, s)
    xy, heading = road.point(s, (inner + outer) / 2)
    where = f"road {road.id}, section {index}, lane {lane}"
    assert other.sections == {index}
    np.testing.assert_allclose(xy, other.xyz[:, :2], atol=0.01, err_msg=where)
    np.testing.assert_allclose(road.elevation(s), other.xyz[:, 2], atol=0.01, err_msg=where)
    np.testing.assert_allclose(np.abs(outer - inner), other.width, atol=0.01, err_msg=where)
    # CARLA adds dt/ds to the road's heading as if it were an angle; so do we, to compare.
    turned = heading + drift(road, section, lane, s) + (np.pi if lane > 0 else 0.0)
    assert np.abs(wrap_angle(turned - other.yaw)).max() < 0.01, where


def drift(road: Road, section: LaneSection, lane: int, s: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """dt/ds of a lane's centre."""
    half = min(1e-3, (section.end - section.s) / 8)
    after, before = (np.mean(road.lane_edges(section, lane, v), 0) for v in (s + half, s - half))
    return (after - before) / (2 * half)


def test_lane_centres_headings_heights_and_widths_are_carla_s(maps: tuple[OpenDrive, Any]) -> None:
    document, carla_map = maps
    for road in document.roads:
        for index, section in enumerate(road.sections):
            for lane in set(section.lanes) - {0}:
                assert_lane_agrees(carla_map, road, index, lane)


def test_driven_lanes_lead_where_carla_says(maps: tuple[OpenDrive, Any]) -> None:
    """Shoulders and the like are left out: CARLA also follows their links against the lanes' direction."""
    document, carla_map = maps
    for piece, following in lane_links(document).items():
        road = document.roads[document.road_row[piece.road]]
        section = road.sections[piece.section]
        if section.lanes[piece.lane].type not in DRIVEN:
            continue
        s = section.end - 1e-3 if piece.lane < 0 else section.s + 1e-3
        waypoint = carla_map.get_waypoint_xodr(int(road.id), piece.lane, s)
        beyond = {(str(w.road_id), w.section_id, w.lane_id) for w in waypoint.next(2e-3)}
        assert {tuple(other) for other in following} == beyond, piece


def test_lane_changes_are_allowed_where_carla_allows_them(maps: tuple[OpenDrive, Any]) -> None:
    document, carla_map = maps
    for road in document.roads:
        for section in road.sections:
            s = (section.s + section.end) / 2
            for lane in section.lanes:
                for side, other in (("Left", lane - np.sign(lane)), ("Right", lane + np.sign(lane))):
                    if lane * other == 0 or other not in section.lanes:
                        continue
                    if {section.lanes[lane].type, section.lanes[other].type} != {"driving"}:
                        continue
                    allowed = str(carla_map.get_waypoint_xodr(int(road.id), lane, s).lane_change)
                    assert section.may_change(lane, other, s) == (allowed in (side, "Both"))


def test_crosswalks_are_carla_s(maps: tuple[OpenDrive, Any]) -> None:
    """But for three habits of CARLA, in which we follow the standard.

    It forgets zOffset. On a slope it pitches the outline, even along t, where the standard keeps it level:
    heights are compared on level roads. And it measures t from lane 0, not from the reference line: on the
    two crosswalks of the real towns where that matters (Town06, road 939) ours lies over the middle of the
    carriageway that it crosses, CARLA's 4 m beside it.
    """
    document, carla_map = maps
    polygons = closed_polygons(carla_map.get_crosswalks())
    assert len(polygons) == len(document.crosswalks)
    for crosswalk in document.crosswalks:
        road, s = document.roads[document.road_row[crosswalk.road]], np.array([crosswalk.s])
        aside = road.point(s, road.lane_offset(s))[0][0] - road.point(s)[0][0]
        expected = crosswalk.outline + np.append(aside, -crosswalk.z_offset)
        level = abs(np.diff(road.elevation(s + np.array([0.0, 0.1])))[0]) < 1e-5
        compared = 3 if level else 2
        gaps = [(p - expected)[:, :compared] for p in polygons if p.shape == expected.shape]
        assert sum(np.abs(gap).max() < 0.01 for gap in gaps) == 1, crosswalk.id


def closed_polygons(points: Any) -> list[Float[ndarray, "n 3"]]:
    """CARLA's flat list: each polygon repeats its first corner at its end. Returned right-handed and open."""
    corners = [(p.x, -p.y, p.z) for p in points]
    out: list[Float[ndarray, "n 3"]] = []
    while corners:
        end = next(i for i in range(1, len(corners)) if np.allclose(corners[i], corners[0], atol=1e-4))
        out.append(np.array(corners[:end]))
        corners = corners[end + 1 :]
    return out


@pytest.mark.parametrize(
    "shape",
    [
        '<spiral curvStart="0" curvEnd="0.05"/>',
        '<spiral curvStart="-0.04" curvEnd="0.03"/>',
        '<poly3 a="0" b="0" c="0.004" d="-2e-5"/>',
        '<paramPoly3 pRange="arcLength" aU="0" bU="1" cU="0" dU="-2e-5" aV="0" bV="0" cV="6e-3" dV="-1e-5"/>',
        '<paramPoly3 pRange="normalized" aU="0" bU="50" cU="3" dU="-8" aV="0" bV="0" cV="25" dV="-9"/>',
    ],
)
def test_curves_that_no_town_has_are_carla_s_too(shape: str) -> None:
    """The towns are made of lines and arcs."""
    length = 48.46124  # of the last shape, where its parameter reaches 1; the others may be of any length
    text = document_xml(road_xml(length=length, shape=shape, start=(30.0, -20.0, 0.7)))
    (road,) = read_opendrive(text, "curve").roads
    for lane in (1, -1):
        assert_lane_agrees(carla.Map("curve", text), road, 0, lane)
