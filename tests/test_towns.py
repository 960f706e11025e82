"""The shipped towns: sound maps, lanes that meet, boxes off the road, signals that keep people apart."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely import LineString, Point, Polygon, unary_union
from shapely.geometry.base import BaseGeometry

from drivewm_sim.roads.lane_links import Piece, lane_links
from drivewm_sim.roads.opendrive import OpenDrive, Road, load_opendrive

SIM = Path(__file__).resolve().parents[1] / "sim"
TOWNS = SIM / "drivewm_sim" / "towns"
# Junctions, crosswalks, lanes on which vehicles enter, lights for vehicles.
CLAIMED = {
    "grid": (5, 20, 4, 20),
    "arterial": (3, 8, 6, 2),
    "school": (3, 1, 3, 0),
    "roundabout": (4, 8, 5, 0),
    "plaza": (0, 2, 2, 0),
}
towns = pytest.mark.parametrize("name", CLAIMED)


@cache
def document(name: str) -> OpenDrive:
    return load_opendrive(TOWNS / f"{name}.xodr")


@cache
def sidecar(name: str) -> dict[str, Any]:
    return json.loads((TOWNS / f"{name}.json").read_text(encoding="utf-8"))


@cache
def links(name: str) -> dict[Piece, tuple[Piece, ...]]:
    return lane_links(document(name))


def road_of(name: str, piece: Piece) -> Road:
    return document(name).roads[document(name).road_row[piece.road]]


def lane_type(name: str, piece: Piece) -> str:
    return road_of(name, piece).sections[piece.section].lanes[piece.lane].type


def lane_line(name: str, piece: Piece, across: float) -> np.ndarray:
    """x, y, z and direction of travel along a lane; across 0 is its inner edge, 1 its outer."""
    road = road_of(name, piece)
    section = road.sections[piece.section]
    s = np.linspace(section.s, section.end, int(section.end - section.s) + 2)
    s = np.sort(np.append(s, [section.s + 1e-3, section.end - 1e-3]))
    inner, outer = road.lane_edges(section, piece.lane, s)
    xy, _ = road.point(s, inner + across * (outer - inner))
    table = np.column_stack([xy, road.elevation(s)])[:: 1 if piece.lane < 0 else -1]
    step = np.diff(table[:, :2], axis=0)
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    return np.column_stack([table, np.append(heading, heading[-1])])


def surface(name: str, *types: str) -> BaseGeometry:
    """The ground that lanes of these types cover."""
    parts = []
    for piece in links(name):
        if lane_type(name, piece) in types:
            inner, outer = lane_line(name, piece, 0), lane_line(name, piece, 1)
            parts.append(Polygon(np.concatenate([inner[:, :2], outer[::-1, :2]])).buffer(0.001))
    return unary_union(parts)


def boxes(name: str, *kinds: str) -> Iterator[tuple[dict[str, Any], Polygon]]:
    """Boxes of these kinds with their ground plan."""
    for box in sidecar(name)["boxes"]:
        if box["kind"] in kinds:
            cos, sin = math.cos(box["yaw"]), math.sin(box["yaw"])
            local = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (box["length"] / 2, box["width"] / 2)
            yield box, Polygon(local @ np.array([[cos, sin], [-sin, cos]]) + (box["x"], box["y"]))


def crosswalks(name: str) -> dict[str, Polygon]:
    return {crosswalk.id: Polygon(crosswalk.outline[:, :2]) for crosswalk in document(name).crosswalks}


def entries(name: str) -> list[Piece]:
    """Lanes of vehicles that nothing leads to."""
    led_to = {other for ahead in links(name).values() for other in ahead}
    return [p for p in links(name) if lane_type(name, p) in ("driving", "biking") and p not in led_to]


@towns
def test_a_town_is_what_its_script_says(name: str) -> None:
    junctions, zebras, entering, lights = CLAIMED[name]
    town = document(name)
    dynamic = [signal for signal in town.signals.values() if signal.dynamic]
    assert (len(town.junctions), len(town.crosswalks)) == (junctions, zebras)
    assert (len(entries(name)), len(dynamic)) == (entering, lights)
    assert sidecar(name)["town_type"] == name


@towns
def test_the_file_keeps_to_what_carla_reads(name: str) -> None:
    text = (TOWNS / f"{name}.xodr").read_bytes()
    root = ET.fromstring(text)
    assert len(text) < 250_000
    assert root.find("header").attrib["date"] == "2025-01-01T00:00:00"
    assert root.findtext("header/geoReference").startswith("+proj=tmerc")
    assert all("laneChange" in mark.attrib for mark in root.iter("roadMark"))
    for element in root.iter("object"):
        corners = [(c.attrib["u"], c.attrib["v"]) for c in element.find("outline")]
        assert len(corners) == 5
        assert corners[0] == corners[-1]


@towns
def test_carla_loads_a_town_and_its_topology_covers_every_driving_lane(name: str) -> None:
    carla = pytest.importorskip("carla", reason="the CARLA client (carla==0.9.16) is not installed")
    loaded = carla.Map(name, (TOWNS / f"{name}.xodr").read_text(encoding="utf-8"))
    assert len(loaded.get_crosswalks()) == 5 * CLAIMED[name][1]
    seen = {(str(w.road_id), w.section_id, w.lane_id) for w in loaded.generate_waypoints(1.0)}
    driving = {tuple(p) for p in links(name) if lane_type(name, p) == "driving"}
    assert seen == driving
    for a, b in loaded.get_topology():
        assert math.dist((a.transform.location.x, a.transform.location.y),
                         (b.transform.location.x, b.transform.location.y)) > 0.1  # fmt: skip
    lit = [mark for mark in loaded.get_all_landmarks() if mark.type == "1000001"]
    assert len(lit) == CLAIMED[name][3]


@towns
def test_linked_lanes_meet_within_a_centimetre_and_a_hundredth_of_a_radian(name: str) -> None:
    for piece, ahead in links(name).items():
        for other in ahead:
            for across in (0.0, 0.5, 1.0):
                end, start = lane_line(name, piece, across)[-1], lane_line(name, other, across)[0]
                assert np.abs(end[:3] - start[:3]).max() < 0.01, (piece, other, across)
                assert abs((end[3] - start[3] + math.pi) % (2 * math.pi) - math.pi) < 0.01, (piece, other)


@towns
def test_every_sidewalk_goes_on_or_leaves_the_map(name: str) -> None:
    """Round every corner, so that nobody has to walk on the road."""
    for piece, ahead in links(name).items():
        if lane_type(name, piece) == "sidewalk" and not ahead:
            road = road_of(name, piece)
            assert (road.successor if piece.lane < 0 else road.predecessor) is None, piece


@towns
def test_every_entering_lane_reaches_every_exit_open_to_it(name: str) -> None:
    exits = {p for p, ahead in links(name).items() if lane_type(name, p) == "driving" and not ahead}
    for entry in entries(name):
        reached, waiting = set(), [entry]
        while waiting:
            piece = waiting.pop()
            if piece not in reached:
                reached.add(piece)
                waiting += links(name)[piece]
        if lane_type(name, entry) == "biking":
            assert any(lane_type(name, p) == "biking" and not links(name)[p] for p in reached)
        elif name == "arterial":  # the turns of an outer lane are others than those of an inner one
            assert len(exits & reached) >= 2
        else:
            own = {p for p in exits if p.road == entry.road}
            assert exits - own <= reached


@towns
def test_nothing_stands_on_a_lane_of_vehicles_and_no_house_on_a_sidewalk(name: str) -> None:
    lanes = surface(name, "driving", "biking")
    walks = surface(name, "sidewalk")
    for box, plan in boxes(name, "parked", "building", "shelter", "furniture", "pole"):
        assert plan.intersection(lanes).area < 1e-3, box
        if box["kind"] != "furniture" or name != "plaza":  # benches stand on the square
            assert plan.intersection(walks).area < 1e-3, box


@towns
def test_vehicles_park_in_parking_lanes_and_five_metres_from_every_zebra(name: str) -> None:
    strips = surface(name, "parking").buffer(0.02)
    zebras = unary_union(list(crosswalks(name).values()))
    for box, plan in boxes(name, "parked"):
        assert strips.contains(plan), box
        assert plan.distance(zebras) >= 5.0, box


@towns
def test_boxes_stand_apart(name: str) -> None:
    plans = [plan for _, plan in boxes(name, "parked", "building", "shelter", "pole")]
    for k, plan in enumerate(plans):
        assert all(plan.intersection(other).area < 1e-3 for other in plans[:k])


@towns
def test_a_crossing_joins_two_sidewalks_or_a_sidewalk_and_a_refuge(name: str) -> None:
    walks = surface(name, "sidewalk").buffer(0.02)
    islands = surface(name, "median").buffer(0.02)
    for mark, plan in crosswalks(name).items():
        corners = np.array(plan.exterior.coords[:4])
        sides = [Point((corners[i] + corners[(i + 1) % 4]) / 2) for i in range(4)]
        ends = [p for p in sides if walks.contains(p) or islands.contains(p)]
        assert len(ends) == 2, mark
        assert any(walks.contains(p) for p in ends), mark
        for island in (p for p in ends if not walks.contains(p)):  # another crossing goes on from there
            beyond = [island.distance(other) for key, other in crosswalks(name).items() if key != mark]
            assert min(beyond) < 3.0, mark


@towns
def test_a_refuge_is_at_least_two_metres_deep(name: str) -> None:
    plans = list(crosswalks(name).values())
    gaps = [a.distance(b) for k, a in enumerate(plans) for b in plans[:k]]
    assert all(gap >= 2.0 for gap in gaps)


@towns
def test_doors_open_towards_a_sidewalk_and_not_on_it(name: str) -> None:
    walks = surface(name, "sidewalk")
    solid = [plan.buffer(-0.05) for _, plan in boxes(name, "building", "shelter")]
    for door in sidecar(name)["doors"]:
        place = Point(door["x"], door["y"])
        assert 0.2 < walks.distance(place) < 3.0, door
        assert not any(plan.contains(place) for plan in solid), door


def through(name: str, signal_id: str) -> LineString:
    """The way straight on past a light: the end of its lanes, the junction, the next lanes' beginning."""
    signal = document(name).signals[signal_id]
    ways = []
    for piece, ahead in links(name).items():
        lanes = range(signal.validity[0][0], signal.validity[0][1] + 1)
        if (
            piece.road != signal.road
            or piece.lane not in lanes
            or (piece.lane < 0) != (signal.orientation == "+")
        ):
            continue
        for inside in ahead:
            middle = lane_line(name, inside, 0.5)
            if road_of(name, inside).junction is not None and abs(middle[-1, 3] - middle[0, 3]) < 0.5:
                (beyond,) = links(name)[inside]
                before, after = lane_line(name, piece, 0.5)[-12:], lane_line(name, beyond, 0.5)[:12]
                ways.append(LineString(np.concatenate([before, middle, after])[:, :2]))
    assert ways, signal_id
    return unary_union(ways)


def windows(name: str) -> list[tuple[BaseGeometry, dict[str, Any], bool]]:
    """What each programme holds back (ways, or crossings of people), and whether it is for vehicles."""
    plans = crosswalks(name)
    found = [
        (through(name, mark), row, True) for row in sidecar(name)["signals"] for mark in row["signal_ids"]
    ]
    return found + [(plans[m], row, False) for row in sidecar(name)["signals"] for m in row["crosswalk_ids"]]


def clearance(first: dict[str, Any], then: dict[str, Any]) -> float:
    """Seconds from the end of one's yellow to the other's green; not positive if they overlap."""
    cycle = first["cycle"]
    assert cycle == then["cycle"]
    until = (then["green_from"] - first["green_from"]) % cycle
    return until - first["green"] - first["yellow"]


@pytest.mark.parametrize("name", ["grid", "arterial"])
def test_ways_that_cross_are_never_free_together(name: str) -> None:
    held = windows(name)
    pairs = 0
    for k, (way, row, vehicles) in enumerate(held):
        for other_way, other, other_vehicles in held[:k]:
            if row is other or not (vehicles or other_vehicles) or not way.intersects(other_way):
                continue
            pairs += 1
            assert clearance(row, other) >= (2.0 if vehicles else 0.0), (row, other)
            assert clearance(other, row) >= (2.0 if other_vehicles else 0.0), (row, other)
    assert pairs >= {"grid": 5 * (4 + 8), "arterial": 2}[name]


@pytest.mark.parametrize("name", ["grid", "arterial"])
def test_people_who_begin_at_the_end_of_green_cross_at_a_metre_a_second(name: str) -> None:
    plans = crosswalks(name)
    for row in sidecar(name)["signals"]:
        for mark in row["crosswalk_ids"]:
            corners = plans[mark].exterior.coords
            across = math.dist(corners[1], corners[2])
            assert row["yellow"] >= across / 1.0


@towns
def test_every_light_and_every_controller_belongs_to_a_programme(name: str) -> None:
    programmed = [mark for row in sidecar(name)["signals"] for mark in row["signal_ids"]]
    lights = {mark for mark, signal in document(name).signals.items() if signal.dynamic}
    assert sorted(programmed) == sorted(lights)
    assert {mark for controller in document(name).controllers for mark in controller.signals} == lights


@towns
def test_what_gives_way_leads_into_its_junction(name: str) -> None:
    for row in sidecar(name)["give_way"]:
        junction = document(name).junctions[document(name).junction_row[row["junction"]]]
        assert set(row["yielding_roads"]) < {each.incoming_road for each in junction.connections}


def test_the_bus_stops_at_the_kerb_beside_its_shelter() -> None:
    (stop,) = sidecar("arterial")["bus_stops"]
    road = document("arterial").roads[document("arterial").road_row[stop["road"]]]
    assert road.sections[0].lanes[stop["lane"]].type == "driving"
    assert road.sections[0].lanes[stop["lane"] - 1].type == "sidewalk"
    ((_, shelter),) = boxes("arterial", "shelter")
    assert shelter.distance(Point(road.point(np.array([stop["s"]]), -9.0)[0][0])) < 12.0


def test_the_grid_has_a_hill_and_the_arterial_a_slope() -> None:
    heights = {
        name: np.concatenate([lane_line(name, piece, 0.5)[:, 2] for piece in links(name)]) for name in CLAIMED
    }
    assert np.ptp(heights["grid"]) == pytest.approx(3.0)
    assert np.ptp(heights["arterial"]) == pytest.approx(400 * 0.02)


def test_the_scripts_write_the_shipped_bytes(tmp_path: Path) -> None:
    """Regenerate with `python sim/authoring/make_towns.py`."""
    script = SIM / "authoring" / "make_towns.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(f"{name}.{ending}" for name in CLAIMED for ending in ("xodr", "json"))
    for file in written:
        assert (tmp_path / file).read_bytes() == (TOWNS / file).read_bytes(), file
