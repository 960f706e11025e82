"""arterial: two lanes each way on a slope, two side streets that give way. Used by make_towns.py.

Two crossings have refuge islands, one between them has lights; a bus stops at the kerb.
"""

from __future__ import annotations

from geometry import along
from network import Arm, Lane, Network, Road, lane
from scenery import Scenery

MEDIAN, DRIVE, WALK = 1.25, 3.25, 3.0  # m on each side of the middle line
KERB = MEDIAN + 2 * DRIVE
SIDE, PARK = 3.25, 2.2
RADIUS = 6.0  # m, of the kerbs at corners
REACH = SIDE + RADIUS  # m along the arterial from a side street's middle to where the junction ends
GRADE = 0.02
HALF = 200.0
SOUTH_X, NORTH_X = -90.0, 100.0  # the side streets
LIGHT_X = 5.0  # the signalised crossing
SPEED, SIDE_SPEED = 50.0, 30.0

# Vehicles, then people: the refuge is wide enough to wait on, so people clear one carriageway of 6.5 m.
CYCLE, GREEN, YELLOW, PEOPLE, CLEAR = 68.0, 36.0, 3.0, 16.0, 7.0
PEOPLE_FROM = GREEN + YELLOW + 4.0


def _half() -> list[Lane]:
    return [
        lane("median", "median", MEDIAN, "solid"),
        lane("inner", "driving", DRIVE, "broken"),
        lane("outer", "driving", DRIVE, "curb"),
        lane("walk", "sidewalk", WALK),
    ]


def _main(net: Network, start: float, end: float) -> Road:
    height = ((0.0, GRADE * start, GRADE), (end - start, GRADE * end, GRADE))
    path = along([(start, 0.0), (end, 0.0)])
    return net.road(
        "Long Road", path, left=_half(), right=_half(), height=height, speed=SPEED, centre_mark="none"
    )


def _side(net: Network, name: str, x: float, way: int) -> Road:
    """A side street that leaves towards way (+1 north, -1 south), vehicles parked on its right."""
    path = along([(x, way * (KERB + RADIUS)), (x, way * 120.0)])
    z = GRADE * x
    drive = lane("drive", "driving", SIDE, "curb")
    park = ((0.0, 0.0), (16.0, 0.0), (21.0, PARK), (70.0, PARK), (75.0, 0.0), (path.length, 0.0))
    right = [lane("drive", "driving", SIDE, "solid"), lane("park", "parking", park, "curb")]
    height = ((0.0, z, 0.0), (path.length, z, 0.0))
    walk = lane("walk", "sidewalk", WALK)
    return net.road(name, path, left=[drive, walk], right=[*right, walk], height=height, speed=SIDE_SPEED)


def _tee(net: Network, name: str, ahead: Arm, right: Arm, back: Arm) -> str:
    """A side street (`right`) that gives way, between two arms of the arterial; gives back the junction's id.

    Seen from it, `ahead` follows counter-clockwise and `back` lies clockwise.
    """
    both = "inner outer"
    moves = [
        (back, both, ahead, both),
        (ahead, f"{both} walk", back, f"{both} walk"),
        (back, "outer walk", right, "drive walk"),
        (ahead, "inner", right, "drive"),
        (right, "drive walk", ahead, "outer walk"),
        (right, "drive", back, "inner"),
    ]
    made = net.junction(name, moves, SIDE_SPEED)
    kerbs = (right.road.edges(3.5, 1, "walk")[0], right.road.edges(3.5, -1, "walk")[0])
    net.crosswalk(right.road, 3.5, kerbs, 3.0)
    net.give_way(right, 6.0, "drive")
    return made.id


def _refuge_crossing(net: Network, road: Road, s: float) -> tuple[str, str]:
    """A crosswalk over each carriageway, the median between them."""
    spans = [(road.edges(s, side, "inner")[0], road.edges(s, side, "outer")[1]) for side in (-1, 1)]
    return net.crosswalk(road, s, spans[0]), net.crosswalk(road, s, spans[1])


def make() -> tuple[Network, str]:
    net = Network(
        name="arterial",
        comment="Two lanes each way, 400 m at 2 %, two refuge crossings, one with lights, a bus stop.",
    )
    west = _main(net, -HALF, SOUTH_X - REACH)
    middle = _main(net, SOUTH_X + REACH, LIGHT_X - 4.0)
    east = _main(net, LIGHT_X + 4.0, NORTH_X - REACH)
    last = _main(net, NORTH_X + REACH, HALF)
    south, north = _side(net, "South Lane", SOUTH_X, -1), _side(net, "North Lane", NORTH_X, 1)
    tees = [
        _tee(net, "South Lane", Arm(middle, "start"), Arm(south, "start"), Arm(west, "end")),
        _tee(net, "North Lane", Arm(east, "end"), Arm(north, "start"), Arm(last, "start")),
    ]
    lanes = "median inner outer walk"
    before, after = Arm(middle, "end"), Arm(east, "start")
    crossing = net.junction("Crossing", [(before, lanes, after, lanes), (after, lanes, before, lanes)], SPEED)
    halves = [net.roads[-2], net.roads[-1]]
    zebras = [net.crosswalk(r, 4.0, (r.edges(4, -1, "inner")[0], r.edges(4, -1, "outer")[1])) for r in halves]
    lights = [net.light(arm, 0.5, "inner outer") for arm in (before, after)]
    net.controller(crossing, "Crossing", lights)
    _refuge_crossing(net, middle, 42.0)
    _refuge_crossing(net, last, 45.0)
    stop = 48.0
    scene = Scenery(network=net, seed=2)
    scene.box("shelter", east, stop - 8.0, -(KERB + WALK + 0.9), (4.0, 1.4, 2.6))
    _surroundings(scene, [west, middle, east, last], [south, north])
    programme = {"cycle": CYCLE, "green_from": 0.0, "green": GREEN, "yellow": YELLOW}
    people = {"cycle": CYCLE, "green_from": PEOPLE_FROM, "green": PEOPLE, "yellow": CLEAR}
    signals = [
        {"name": "Crossing, vehicles", "signal_ids": lights, "crosswalk_ids": [], **programme},
        {"name": "Crossing, people", "signal_ids": [], "crosswalk_ids": zebras, **people},
    ]
    demand = {
        "vehicles_per_hour": 350.0,
        "cyclist_share": 0.05,
        "large_share": 0.12,
        "pedestrians_per_hour": 800.0,
        "child_share": 0.06,
        "elderly_share": 0.18,
    }
    return net, scene.sidecar(
        town_type="arterial",
        demand=demand,
        signals=signals,
        bus_stops=[{"road": east.id, "lane": -3, "s": stop}],
        give_way=[
            {"junction": tee, "yielding_roads": [road.id]}
            for tee, road in zip(tees, (south, north), strict=True)
        ],
    )


def _surroundings(scene: Scenery, main: list[Road], sides: list[Road]) -> None:
    for road in sides:
        scene.parked_row(road, -1, 21.0, 70.0, filled=0.8)
    for road in main:
        for side in (1, -1):
            scene.lamps(road, side, 10.0, road.length - 8.0)
            high = (9.0, 20.0)
            scene.building_row(
                road, side, 0.0, road.length, setback=3.0, front=(14.0, 28.0), height=high, doors=2
            )
    for road in sides:
        for side in (1, -1):
            scene.building_row(road, side, 4.0, road.length - 2.0, setback=1.5)
