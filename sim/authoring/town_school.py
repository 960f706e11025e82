"""school: narrow streets, rows of parked cars and vans, a school with a zebra. Used by make_towns.py."""

from __future__ import annotations

from geometry import Path, along
from network import Arm, Knots, Lane, Network, Road, lane, simple_moves
from scenery import VANS, Scenery

DRIVE, WALK, PARK = 2.75, 2.5, 2.1
REACH = DRIVE + 5.0  # m from a junction's middle to where its arms end: kerbs of 5 m radius
TAPER = 4.0
WEST, EAST, NORTH = -60.0, 60.0, 92.0  # the side streets, and the street behind
EDGE = 150.0
SPEED = 30.0
ZEBRA = 52.0  # m along the street before the school
YARD = (32.0, 78.0)  # the school's yard along that street, south of it

Rows = tuple[tuple[float, float], ...]  # where vehicles park: from, to


def _park(rows: Rows, length: float) -> Knots:
    """A parking lane of full width along the rows."""
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    for start, end in rows:
        knots += [(start - TAPER, 0.0), (start, PARK), (end, PARK), (end + TAPER, 0.0)]
    return (*knots, (length, 0.0))


def _lanes(rows: Rows, length: float) -> list[Lane]:
    lanes = [lane("drive", "driving", DRIVE, "solid" if rows else "curb")]
    if rows:
        lanes.append(lane("park", "parking", _park(rows, length), "curb"))
    return [*lanes, lane("walk", "sidewalk", WALK)]


def _street(net: Network, name: str, path: Path, left: Rows, right: Rows) -> tuple[Road, Rows, Rows]:
    made = net.road(
        name,
        path,
        left=_lanes(left, path.length),
        right=_lanes(right, path.length),
        speed=SPEED,
        centre_mark="none",
    )
    return made, left, right


def _streets(net: Network) -> list[tuple[Road, Rows, Rows]]:
    """School Street west, before the school, east; the loop behind, west and east; the street north."""
    far = EDGE - EAST - REACH
    loop = NORTH - REACH, EAST - REACH  # from the school street to the bend, from there to the middle
    half = sum(loop)
    return [
        _street(net, "School Street", along([(-EDGE, 0), (WEST - REACH, 0)]), (), ((16.0, far - 14.0),)),
        _street(
            net,
            "School Street",
            along([(WEST + REACH, 0), (EAST - REACH, 0)]),
            ((11.0, ZEBRA - 7.0), (ZEBRA + 11.0, 92.0)),
            ((11.0, ZEBRA - 11.0), (ZEBRA + 7.0, 92.0)),
        ),
        _street(net, "School Street", along([(EAST + REACH, 0), (EDGE, 0)]), ((12.0, far - 16.0),), ()),
        _street(
            net,
            "Back Street",
            along([(WEST, REACH), (WEST, NORTH), (-REACH, NORTH)], 18.0),
            ((12.0, loop[0] - 24.0),),
            ((loop[0] + 16.0, half - 16.0),),
        ),
        _street(
            net,
            "Back Street",
            along([(EAST, REACH), (EAST, NORTH), (REACH, NORTH)], 18.0),
            (),
            ((12.0, loop[0] - 24.0),),
        ),
        _street(net, "North Street", along([(0, NORTH + REACH), (0, EDGE + 10)]), (), ((12.0, 44.0),)),
    ]


def make() -> tuple[Network, str]:
    net = Network(
        name="school",
        comment="Residential streets, 300 m across, 30 km/h, rows of parked vehicles, a school with a zebra.",
    )
    streets = _streets(net)
    west, front, east, back_west, back_east, north = (road for road, _, _ in streets)
    corners = [
        ("West Corner", [Arm(front, "start"), Arm(back_west, "start"), Arm(west, "end")], back_west),
        ("East Corner", [Arm(east, "start"), Arm(back_east, "start"), Arm(front, "end")], back_east),
        ("North Corner", [Arm(back_east, "end"), Arm(north, "start"), Arm(back_west, "end")], north),
    ]
    give_way = []
    for name, arms, yielding in corners:
        made = net.junction(name, simple_moves(arms), SPEED)
        net.give_way(arms[1], 1.0, "drive")
        give_way.append({"junction": made.id, "yielding_roads": [yielding.id]})
    kerbs = (front.edges(ZEBRA, 1, "walk")[0], front.edges(ZEBRA, -1, "walk")[0])
    net.crosswalk(front, ZEBRA, kerbs)
    scene = Scenery(network=net, seed=3)
    for road, left, right in streets:
        for side, rows in ((1, left), (-1, right)):
            for start, end in rows:
                dense = 0.95 if road is front else 0.85
                scene.parked_row(road, side, start, end, filled=dense, kinds=VANS)
    _school(scene, front)
    for road in (west, front, east, back_west, back_east, north):
        for side in (1, -1):
            yard = road is front and side < 0
            rows = [(6.0, YARD[0]), (YARD[1], road.length - 3.0)] if yard else [(6.0, road.length - 3.0)]
            for start, end in rows:
                _houses(scene, road, side, start, end)
    demand = {
        "vehicles_per_hour": 180.0,
        "cyclist_share": 0.12,
        "large_share": 0.1,
        "pedestrians_per_hour": 900.0,
        "child_share": 0.45,
        "elderly_share": 0.1,
    }
    return net, scene.sidecar(town_type="school", demand=demand, give_way=give_way)


def _houses(scene: Scenery, road: Road, side: int, start: float, end: float) -> None:
    """Small houses behind front gardens."""
    sizes = {"depth": (8.0, 11.0), "front": (9.0, 15.0), "height": (5.0, 9.0)}
    scene.building_row(road, side, start, end, setback=3.0, gap=(2.0, 6.0), **sizes)


def _school(scene: Scenery, road: Road) -> None:
    """South of the street: a long house behind a yard, a fence, a wide gate that is a row of doors."""
    fence = road.edges(30.0, -1, "walk")[1] - 0.6
    scene.box("building", road, sum(YARD) / 2, fence - 22.0, (44.0, 14.0, 10.0))
    gate = (46.0, 66.0)
    for start, end in ((YARD[0], gate[0]), (gate[1], YARD[1])):
        scene.box("furniture", road, (start + end) / 2, fence, (end - start, 0.3, 1.6))
    for k in range(8):
        scene.door(road, gate[0] + 0.5 + 2.7 * k, fence)
