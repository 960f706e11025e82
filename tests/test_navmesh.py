"""The navigation mesh of every town, as a reader that knows only the file format sees it."""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from all_towns import everywhere
from opendrive_builders import document_xml, lane_xml, road_xml, section_xml
from shapely import LineString, Point, Polygon
from shapely.affinity import rotate, translate

from drivewm_sim.carla_server.navmesh import navmesh
from drivewm_sim.carla_server.walkable import BODY_RADIUS, walkable_ground
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph

SIDEWALK, CROSSWALK, ROAD = 1, 2, 3


@dataclass(frozen=True)
class Mesh:
    """What a file says. Points are x, height and y in CARLA's frame, as Detour keeps them."""

    bounds: tuple[np.ndarray, np.ndarray]
    points: np.ndarray
    corners: list[list[int]]
    neighbours: list[list[int]]  # numbers of polygons; -1: none
    area: list[int]
    flags: list[int]
    triangles: list[list[tuple[int, int, int, int]]]  # places among a polygon's corners, and edge flags

    def outline(self, k: int) -> Polygon:
        """In the scene's frame."""
        return Polygon(self.points[self.corners[k]][:, [0, 2]] * (1, -1))

    def reached(self, start: int, flags: int = 0xFFFF) -> set[int]:
        """Polygons to which ways lead that use nothing but polygons with one of the flags."""
        seen, todo = {start}, [start]
        while todo:
            for k in self.neighbours[todo.pop()]:
                if k >= 0 and k not in seen and self.flags[k] & flags:
                    seen.add(k)
                    todo.append(k)
        return seen


def read(data: bytes) -> Mesh:
    """The single tile of a navigation mesh set; everything in it is checked against its length."""
    magic, version, tiles = struct.unpack_from("<3i", data, 0)
    origin = np.array(struct.unpack_from("<3f", data, 12))
    width, height, most_tiles, most_polygons = struct.unpack_from("<2f2i", data, 24)
    reference, size = struct.unpack_from("<Ii", data, 40)
    assert (magic, version, tiles, most_tiles) == (0x4D534554, 1, 1, 1)
    assert size == len(data) - 48
    assert reference == most_polygons  # the tile's salt is 1, its number 0, and no polygon is meant
    head = struct.unpack_from("<5iI9i3f", data, 48)
    polygons, points, links, details, detail_points, triangles, nodes, jumps, base = head[6:15]
    low, high = np.array(struct.unpack_from("<6f", data, 48 + 72)).reshape(2, 3)
    assert head[:6] == (0x444E4156, 7, 0, 0, 0, 0)
    assert (details, detail_points, nodes, jumps, base) == (polygons, 0, 0, 0, polygons)
    assert polygons <= most_polygons
    np.testing.assert_allclose(
        [*origin, width, height], [*low, high[0] - low[0], high[2] - low[2]], rtol=1e-6
    )
    at = 48 + 100
    table = np.frombuffer(data, "<f4", 3 * points, at).reshape(-1, 3).astype(np.float64)
    at += 12 * points
    rows = [struct.unpack_from("<I6H6HHBB", data, at + 32 * k) for k in range(polygons)]
    at += 32 * polygons + 12 * links
    pieces = [struct.unpack_from("<IIBB", data, at + 12 * k) for k in range(polygons)]
    at += 12 * polygons
    assert at + 4 * triangles == len(data)
    assert links >= sum(n > 0 for row in rows for n in row[7:13])
    return Mesh(
        bounds=(low, high),
        points=table,
        corners=[list(row[1 : 1 + row[14]]) for row in rows],
        neighbours=[[n - 1 for n in row[7 : 7 + row[14]]] for row in rows],
        area=[row[15] for row in rows],
        flags=[row[13] for row in rows],
        triangles=[
            [struct.unpack_from("<4B", data, at + 4 * (first + k)) for k in range(count)]
            for _, first, _, count in pieces
        ],
    )


@pytest.fixture
def mesh(town: Town) -> Mesh:
    """Of the town, read once."""
    if town.name not in _READ:
        _READ[town.name] = read(navmesh(town))
    return _READ[town.name]


_READ: dict[str, Mesh] = {}


def finder(mesh: Mesh) -> shapely.STRtree:
    return shapely.STRtree([mesh.outline(k) for k in range(len(mesh.corners))])


def at(mesh: Mesh, tree: shapely.STRtree, x: float, y: float, reach: float = 0.3) -> int:
    """The polygon at a place, or the nearest."""
    k, distance = tree.query_nearest(Point(x, y), return_distance=True, all_matches=False)
    assert distance[0] < reach, f"no polygon at {x:.2f}, {y:.2f}"
    return int(k[0])


def height(mesh: Mesh, k: int, x: float, y: float) -> float:
    """On the triangle of a polygon that a place lies on, or lies least beside."""
    best = (-math.inf, math.nan)
    for i, j, m, _ in mesh.triangles[k]:
        a, b, c = mesh.points[[mesh.corners[k][corner] for corner in (i, j, m)]]
        w = np.linalg.solve(np.array([[a[0], b[0], c[0]], [a[2], b[2], c[2]], [1, 1, 1]]), [x, -y, 1.0])
        best = max(best, (float(w.min()), float(w @ [a[1], b[1], c[1]])))
    return best[1]


def place(walks: WalkGraph, edge: int, share: float) -> tuple[float, float, float]:
    a, b = walks.lines.start[edge], walks.lines.start[edge + 1] - 1
    at_row = share * (b - a)
    row = np.arange(b - a + 1)
    x, y, z = (np.interp(at_row, row, column[a : b + 1]) for column in walks.lines[2:5])
    return float(x), float(y), float(z)


# Every town


@everywhere
def test_neighbours_share_an_edge_and_know_each_other(mesh: Mesh) -> None:
    assert len(mesh.corners) > 20
    for k, (corners, neighbours) in enumerate(zip(mesh.corners, mesh.neighbours, strict=True)):
        for i, other in enumerate(neighbours):
            if other < 0:
                continue
            edge = (corners[i], corners[(i + 1) % len(corners)])
            beyond = mesh.corners[other]
            j = beyond.index(edge[1])
            assert beyond[(j + 1) % len(beyond)] == edge[0]
            assert mesh.neighbours[other][j] == k


@everywhere
def test_no_edge_is_shared_by_polygons_that_do_not_know_it(mesh: Mesh) -> None:
    """Edges without a neighbour lie on the border of everything: the edges of a hole or of the outside."""
    edges = {
        (corners[i], corners[(i + 1) % len(corners)])
        for corners, neighbours in zip(mesh.corners, mesh.neighbours, strict=True)
        for i in range(len(corners))
        if neighbours[i] < 0
    }
    assert not any((b, a) in edges for a, b in edges)


@everywhere
def test_polygons_are_convex_and_run_as_detour_expects(mesh: Mesh) -> None:
    """Clockwise in its x and z; three to six corners, all of them within the tile's bounds."""
    low, high = mesh.bounds
    assert ((mesh.points > low) & (mesh.points < high)).all()
    for corners in mesh.corners:
        assert 3 <= len(set(corners)) == len(corners) <= 6
        ring = mesh.points[corners][:, [0, 2]]
        step = np.roll(ring, -1, axis=0) - ring
        after = np.roll(step, -1, axis=0)
        turn = step[:, 0] * after[:, 1] - step[:, 1] * after[:, 0]
        assert (turn < 1e-3).all()
        assert turn.min() < -1e-4


@everywhere
def test_polygons_cover_the_ground_once(town: Town, mesh: Mesh) -> None:
    """Corners lie on a grid of 5 cm, so areas agree to a few centimetres along the outlines."""
    ground = walkable_ground(town.street)
    for area in (SIDEWALK, CROSSWALK, ROAD):
        regions = [part.areas[kind] for part in ground for kind in part.areas if kind == area]
        outlines = [mesh.outline(k) for k in range(len(mesh.corners)) if mesh.area[k] == area]
        total = sum(outline.area for outline in outlines)
        border = sum(region.length for region in regions)
        assert abs(total - sum(region.area for region in regions)) < 0.02 * border + 1e-9
        assert abs(total - shapely.union_all(outlines).area) < 1e-6 * total + 1e-9


@everywhere
def test_kinds_of_ground_have_the_flags_of_carla(mesh: Mesh) -> None:
    assert set(mesh.area) <= {SIDEWALK, CROSSWALK, ROAD}
    assert mesh.flags == [1 << area for area in mesh.area]


@everywhere
def test_triangles_fill_their_polygons_and_mark_their_outer_edges(mesh: Mesh) -> None:
    """The client reads through a null pointer where the marks are missing."""
    for k, triangles in enumerate(mesh.triangles):
        size = len(mesh.corners[k])
        ring = mesh.points[mesh.corners[k]][:, [0, 2]]
        total = sum(Polygon(ring[[a, b, c]]).area for a, b, c, _ in triangles)
        assert total == pytest.approx(mesh.outline(k).area, rel=1e-6)
        marked = set()
        for a, b, c, flags in triangles:
            assert Polygon(ring[[a, b, c]]).area > 1e-4
            for bit, (i, j) in enumerate(((a, b), (b, c), (c, a))):
                assert bool(flags >> 2 * bit & 3) == ((j - i) % size in (1, size - 1))
                if flags >> 2 * bit & 3:
                    marked.add(frozenset((i, j)))
        assert marked == {frozenset((i, (i + 1) % size)) for i in range(size)}


@everywhere
def test_every_crossing_joins_both_sides_of_its_road(town: Town, mesh: Mesh) -> None:
    """Over marked crossings without stepping on plain road; over the others, nothing but road is needed."""
    walks, tree = town.street.walks, finder(mesh)
    for edge in np.flatnonzero(walks.kind >= EdgeKind.ZEBRA):
        here, middle, there = (
            at(mesh, tree, *place(walks, int(edge), s / walks.length[edge])[:2])
            for s in (
                0.5 * walks.kerb_in[edge],
                0.5 * (walks.kerb_in[edge] + walks.kerb_out[edge]),
                0.5 * (walks.kerb_out[edge] + walks.length[edge]),
            )
        )
        own = ROAD if walks.kind[edge] == EdgeKind.MIDBLOCK else CROSSWALK
        assert mesh.area[here] == mesh.area[there] == SIDEWALK
        assert mesh.area[middle] <= own
        assert there in mesh.reached(here, 1 << SIDEWALK | 1 << CROSSWALK | 1 << own)


@everywhere
def test_ways_lead_wherever_the_walk_graph_leads(town: Town, mesh: Mesh) -> None:
    walks, tree = town.street.walks, finder(mesh)
    polygon = [at(mesh, tree, x, y) for x, y in zip(walks.node_x, walks.node_y, strict=True)]
    reached: dict[int, set[int]] = {}
    for a, b in zip(walks.tail.tolist(), walks.head.tolist(), strict=True):
        if polygon[a] not in reached:
            found = mesh.reached(polygon[a])
            reached.update(dict.fromkeys(found, found))
        assert polygon[b] in reached[polygon[a]]


@everywhere
def test_the_mesh_lies_at_the_height_of_the_streets(town: Town, mesh: Mesh) -> None:
    walks, tree = town.street.walks, finder(mesh)
    for edge in range(len(walks.length)):
        for share in np.linspace(0, 1, max(int(walks.length[edge] / 2), 2)):
            x, y, z = place(walks, edge, float(share))
            assert height(mesh, at(mesh, tree, x, y), x, y) == pytest.approx(z, abs=0.1)


@everywhere
def test_sidewalks_keep_off_lanes_and_clear_of_boxes(town: Town, mesh: Mesh) -> None:
    """Except close to the middle of strips, which is kept even where a map puts something there."""
    walks, lines, boxes = town.street.walks, town.street.lanes.lines, town.street.boxes
    middles = []
    for edge in range(len(walks.length)):
        points = [place(walks, edge, s)[:2] for s in np.linspace(0, 1, 60)]
        middles.append(
            LineString(points).buffer(0.4 if walks.kind[edge] < EdgeKind.ZEBRA else 0.5 * walks.width[edge])
        )
    spared = shapely.union_all(middles).buffer(0.2)
    sidewalk = shapely.union_all([mesh.outline(k) for k in range(len(mesh.area)) if mesh.area[k] == SIDEWALK])
    lanes = shapely.points(lines.x[::3], lines.y[::3])
    assert not (shapely.contains(sidewalk, lanes) & ~shapely.intersects(spared, lanes)).any()
    for k in range(len(boxes.x)):
        along, across = 0.5 * boxes.length[k], 0.5 * boxes.width[k]
        outline = shapely.box(-along, -across, along, across)
        outline = translate(rotate(outline, boxes.yaw[k], (0, 0), use_radians=True), boxes.x[k], boxes.y[k])
        near = outline.buffer(BODY_RADIUS - 0.1).intersection(sidewalk)
        assert near.difference(spared).area < 0.01


@everywhere
def test_the_same_street_gives_the_same_bytes(town: Town) -> None:
    assert navmesh(town) == navmesh(town)


# Small examples: a straight street of 60 m along x, lanes 3 m, sidewalks 2 m.

ZEBRA = (
    '<objects><object id="z" type="crosswalk" s="30" t="0"><outline>'
    + "".join(f'<cornerLocal u="{u}" v="{v}"/>' for u, v in [(-2, -3), (2, -3), (2, 3), (-2, 3)])
    + "</outline></object></objects>"
)


def straight(*lanes: str, objects: str = "") -> Mesh:
    text = document_xml(road_xml(section_xml(*lanes), length=60.0, inside=objects))
    return read(navmesh(compile_town("street", text)))


def test_north_is_negative_in_carla() -> None:
    mesh = straight(lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1))
    north = np.array(mesh.points)[:, 2]
    assert north.min() == pytest.approx(-(5.0 - BODY_RADIUS), abs=0.05)
    assert north.max() == pytest.approx(-(3.0 + BODY_RADIUS), abs=0.05)


def test_a_zebra_of_four_metres_gives_a_crosswalk_from_kerb_to_kerb() -> None:
    mesh = straight(
        lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2.0), objects=ZEBRA
    )
    crosswalk = shapely.union_all(
        [mesh.outline(k) for k in range(len(mesh.area)) if mesh.area[k] == CROSSWALK]
    )
    expected = (30 - 2 + BODY_RADIUS, -3.0, 30 + 2 - BODY_RADIUS, 3.0)
    np.testing.assert_allclose(crosswalk.bounds, expected, atol=0.06)
    assert crosswalk.area == pytest.approx(6 * (4 - 2 * BODY_RADIUS), rel=0.03)


def test_a_bridge_is_not_linked_with_the_street_below() -> None:
    lanes = (lane_xml(2, "sidewalk", 2.0), lane_xml(1), lane_xml(-1), lane_xml(-2, "sidewalk", 2.0))
    high = '<elevationProfile><elevation s="0" a="8" b="0" c="0" d="0"/></elevationProfile>'
    below = road_xml(section_xml(*lanes), id="1", length=60.0)
    above = road_xml(section_xml(*lanes), id="2", length=60.0, start=(30.0, -30.0, math.pi / 2), inside=high)
    mesh = read(navmesh(compile_town("bridge", document_xml(below, above))))
    level = [round(float(mesh.points[corners, 1].mean())) for corners in mesh.corners]
    assert set(level) == {0, 8}
    for k, neighbours in enumerate(mesh.neighbours):
        assert all(level[other] == level[k] for other in neighbours if other >= 0)
    whole = [shapely.union_all([mesh.outline(k) for k in range(len(level)) if level[k] == z]) for z in (0, 8)]
    assert whole[0].area == pytest.approx(whole[1].area, rel=0.02)


def test_where_nobody_can_walk_the_file_holds_no_tile() -> None:
    fast = '<type s="0" type="motorway"><speed max="120" unit="km/h"/></type>'
    data = navmesh(compile_town("motorway", document_xml(road_xml(length=60.0, inside=fast))))
    assert len(data) == 40
    assert struct.unpack_from("<3i", data) == (0x4D534554, 1, 0)


# The unmodified client


@contextmanager
def client_on(town: str, files: Path) -> Iterator[tuple[Any, Any]]:
    """The carla module and a world in synchronous mode, 20 ticks a second."""
    carla = pytest.importorskip("carla")
    code = "import sys; from drivewm.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "carla-server", "--port", "0", "--map", town]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            ready = re.match(r"ready: .* on [\d.]+:(\d+),", server.stdout.readline())
            assert ready, "the server did not start"
            client = carla.Client("127.0.0.1", int(ready[1]))
            client.set_timeout(20.0)
            client.set_files_base_folder(str(files))
            world = client.get_world()
            settings = world.get_settings()
            settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
            world.apply_settings(settings)
            yield carla, world
        finally:
            server.terminate()


def walked(carla: Any, world: Any, seconds: float, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Paths of 20 walkers, [ticks, walkers, 2] in the scene's frame, and the speeds that they were given."""
    world.set_pedestrians_seed(7)
    world.set_pedestrians_cross_factor(factor)
    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)  # or people wait where vehicles have green
    world.freeze_all_traffic_lights(True)
    looks = world.get_blueprint_library().filter("walker.*")[0]
    mind = world.get_blueprint_library().find("controller.ai.walker")
    bodies: list[Any] = []
    while len(bodies) < 20:
        place = world.get_random_location_from_navigation() + carla.Location(z=1.0)
        bodies += [b for b in [world.try_spawn_actor(looks, carla.Transform(place))] if b is not None]
    world.tick()
    minds = [world.spawn_actor(mind, carla.Transform(), attach_to=body) for body in bodies]
    world.tick()
    speeds = np.linspace(1.0, 2.0, len(bodies))
    for controller, speed in zip(minds, speeds.tolist(), strict=True):
        controller.start()
        controller.go_to_location(world.get_random_location_from_navigation())
        controller.set_max_speed(speed)
    paths = []
    for _ in range(round(seconds / 0.05)):
        world.tick()
        seen = world.get_snapshot()
        places = [seen.find(body.id).get_transform().location for body in bodies]
        paths.append([(place.x, -place.y) for place in places])
    for controller in minds:
        controller.stop()
    return np.array(paths), speeds


def crossings(mesh: Mesh, paths: np.ndarray, areas: set[int]) -> int:
    """How many walkers are seen well inside ground of these kinds."""
    region = shapely.union_all([mesh.outline(k) for k in range(len(mesh.area)) if mesh.area[k] in areas])
    inside = shapely.contains(region.buffer(-0.3), shapely.points(paths[::5]))
    return int(inside.any(axis=0).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["school", "grid"])
def test_walkers_of_the_unmodified_client_cross_and_keep_walking(
    town: Town, mesh: Mesh, tmp_path: Path
) -> None:
    with client_on(town.name, tmp_path) as (carla, world):
        paths, speeds = walked(carla, world, seconds=60.0, factor=1.0)
    assert crossings(mesh, paths, {CROSSWALK, ROAD}) >= 5
    speed = np.hypot(*np.diff(paths, axis=0).transpose(2, 0, 1)) / 0.05
    np.testing.assert_allclose(speed.max(axis=0), speeds, rtol=0.05)
    assert np.median(speed / speeds) > 0.98
    eight = np.lib.stride_tricks.sliding_window_view(speed, 160, axis=0).mean(axis=-1)
    assert (eight > 0.3 * speeds).all()  # turning round and passing each other costs time, but nobody stays
    tree = finder(mesh)
    distance = tree.query_nearest(shapely.points(paths[::20].reshape(-1, 2)), return_distance=True)[1]
    assert distance.max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["school"])
def test_without_a_cross_factor_they_cross_on_zebras_alone(town: Town, mesh: Mesh, tmp_path: Path) -> None:
    with client_on(town.name, tmp_path) as (carla, world):
        paths, _ = walked(carla, world, seconds=60.0, factor=0.0)
    assert crossings(mesh, paths, {CROSSWALK}) >= 1
    assert crossings(mesh, paths, {ROAD}) == 0
