"""grid: 2 x 2 blocks on a hill, five signalised junctions, crosswalks on every arm. Used by make_towns.py."""

from __future__ import annotations

from typing import Any

from geometry import along
from network import Arm, Lane, Network, Road, lane, simple_moves
from scenery import Scenery

PITCH = 95.0  # m from street to street
EDGE = 170.0  # m from the middle to where a street leaves the map
DRIVE, WALK, PARK = 3.25, 3.0, 2.2
KERB = 6.0  # m, radius of the kerbs at corners
REACH = DRIVE + KERB  # m from a junction's middle to where its arms end
HILL = 3.0  # m, the middle junction above the others
CROSSWALK = 3.0  # m from an arm's end to the middle of the crosswalk
STOP = 5.75  # m from an arm's end to the stop line
SPEED = 40.0
COMPASS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, north, west, south

# One cycle: the streets along x, then those along y. 4 s all-red clear the junction; people who begin at the
# end of their green have `CLEAR` seconds for the 6.5 m of carriageway, before the other street gets green.
GREEN, YELLOW, RED = 24.0, 3.0, 4.0
CYCLE = 2 * (GREEN + YELLOW + RED)
PEOPLE, CLEAR = 20.0, 7.0


def _lanes(park: tuple[tuple[float, float], ...] | None) -> list[Lane]:
    """From the middle line outwards."""
    lanes = [lane("drive", "driving", DRIVE, "curb")]
    if park is not None:
        lanes = [lane("drive", "driving", DRIVE, "solid"), lane("park", "parking", park, "curb")]
    return [*lanes, lane("walk", "sidewalk", WALK)]


def _park(start: float, end: float, length: float) -> tuple[tuple[float, float], ...]:
    """A parking lane of full width from start to end."""
    return ((0, 0), (start - 5, 0), (start, PARK), (end, PARK), (end + 5, 0), (length, 0))


def _between(
    net: Network, name: str, a: tuple[float, float], b: tuple[float, float], z: tuple[float, float]
) -> Road:
    path = along([a, b])
    height = ((0.0, z[0], 0.0), (path.length, z[1], 0.0))
    return net.road(name, path, left=_lanes(None), right=_lanes(None), height=height, speed=SPEED)


def _streets(net: Network) -> tuple[list[Road], list[Road], list[Road]]:
    """The four inner streets from the middle outwards, the four stubs outwards, the four corners."""
    inner, stubs, corners = [], [], []
    for x, y in COMPASS:
        near, far = REACH, PITCH - REACH
        inner.append(_between(net, "Inner Street", (x * near, y * near), (x * far, y * far), (HILL, 0)))
    for x, y in COMPASS:
        near = PITCH + REACH
        stubs.append(_between(net, "Outer Street", (x * near, y * near), (x * EDGE, y * EDGE), (0, 0)))
    for (x, y), (u, v) in zip(COMPASS, COMPASS[1:] + COMPASS[:1], strict=True):
        a = (x * PITCH + u * REACH, y * PITCH + v * REACH)
        b = (u * PITCH + x * REACH, v * PITCH + y * REACH)
        path = along([a, (PITCH * (x + u), PITCH * (y + v)), b], 20.0)
        park = _lanes(_park(18.0, 60.0, path.length))
        far = _lanes(_park(path.length - 60.0, path.length - 18.0, path.length))
        corners.append(net.road("Ring Street", path, left=far, right=park, speed=SPEED))
    return inner, stubs, corners


def _junction(net: Network, name: str, arms: list[Arm], offset: float) -> list[dict[str, Any]]:
    """A junction of four arms (east, north, west, south) with its signal programme."""
    made = net.junction(name, simple_moves(arms), SPEED)
    lights, zebras = [], []
    for arm in arms:
        s = arm.s + CROSSWALK * arm.inward
        kerbs = (arm.road.edges(s, 1, "walk")[0], arm.road.edges(s, -1, "walk")[0])
        zebras.append(net.crosswalk(arm.road, s, kerbs))
        lights.append(net.light(arm, STOP, "drive"))
    rows = []
    for street, first in (("along x", 0), ("along y", 1)):
        begin = offset + first * CYCLE / 2
        shown = [lights[first], lights[first + 2]]
        net.controller(made, f"{name} {street}", shown)
        rows.append(_row(f"{name}, vehicles {street}", shown, [], begin, GREEN, YELLOW))
        # People walk beside the traffic that has green, over the arms of the other street.
        over = [zebras[1 - first], zebras[3 - first]]
        rows.append(_row(f"{name}, people {street}", [], over, begin, PEOPLE, CLEAR))
    return rows


def _row(
    name: str, lights: list[str], zebras: list[str], begin: float, green: float, yellow: float
) -> dict[str, Any]:
    return {
        "name": name,
        "signal_ids": lights,
        "crosswalk_ids": zebras,
        "cycle": CYCLE,
        "green_from": begin % CYCLE,
        "green": green,
        "yellow": yellow,
    }


def make() -> tuple[Network, str]:
    net = Network(
        name="grid", comment="Two by two blocks, 340 m across, five signalised junctions, a hill of 3 m."
    )
    inner, stubs, corners = _streets(net)
    signals = _junction(net, "Middle", [Arm(road, "start") for road in inner], 0.0)
    names = ("East", "North", "West", "South")
    for k, name in enumerate(names):
        # The stub lies in the junction's own direction k, the rest follow counter-clockwise.
        arms: list[Arm | None] = [None] * 4
        arms[k] = Arm(stubs[k], "start")
        arms[(k + 1) % 4] = Arm(corners[k], "start")
        arms[(k + 2) % 4] = Arm(inner[k], "end")
        arms[(k + 3) % 4] = Arm(corners[k - 1], "end")
        signals += _junction(net, name, [arm for arm in arms if arm], 12.0 if k % 2 else 40.0)
    scene = Scenery(network=net, seed=1)
    for road in corners:
        for side, start, end in ((-1, 18.0, 60.0), (1, road.length - 60.0, road.length - 18.0)):
            scene.parked_row(road, side, start, end, filled=0.75)
    for road in inner + stubs + corners:
        for side in (1, -1):
            scene.building_row(road, side, 4.0, road.length - 3.0, doors=2)
    for road in inner + stubs:
        scene.lamps(road, -1, 12.0, road.length - 8.0, 28.0)
    demand = {
        "vehicles_per_hour": 200.0,
        "cyclist_share": 0.1,
        "large_share": 0.08,
        "pedestrians_per_hour": 1500.0,
        "child_share": 0.08,
        "elderly_share": 0.15,
    }
    return net, scene.sidecar(town_type="grid", demand=demand, signals=signals)
