"""plaza: a slow carriageway without kerbs swings across a square open to people. Used by make_towns.py."""

from __future__ import annotations

from geometry import Path, along
from network import Lane, Network, Road, lane
from scenery import Scenery

DRIVE, WALK, SQUARE = 3.0, 3.0, 11.0  # m, widths; the square on each side of the carriageway
WIDEN = 18.0  # m over which a sidewalk widens into the square
SPEED = 10.0
FURNITURE = (  # length along the carriageway, width, height
    (1.8, 0.6, 0.8),  # a bench
    (1.6, 1.6, 0.9),  # a planter
    (2.4, 0.8, 1.1),  # a bicycle stand
)


def _access(net: Network, name: str, path: Path) -> Road:
    lanes = [lane("drive", "driving", DRIVE, "curb"), lane("walk", "sidewalk", WALK)]
    return net.road(name, path, left=lanes, right=lanes, speed=SPEED)


def _square_lanes(length: float) -> list[Lane]:
    widths = ((0.0, WALK), (WIDEN, SQUARE), (length - WIDEN, SQUARE), (length, WALK))
    return [lane("drive", "driving", DRIVE), lane("walk", "sidewalk", widths)]


def make() -> tuple[Network, str]:
    net = Network(
        name="plaza",
        comment="A square of 150 m with a carriageway of 20 km/h and no kerbs, between two streets.",
    )
    west = _access(net, "West Street", along([(-150, -22), (-80, -22)]))
    path = along([(-80, -22), (-27, -22), (27, 22), (80, 22)], 40.0)
    square = net.road(
        "Square",
        path,
        left=_square_lanes(path.length),
        right=_square_lanes(path.length),
        speed=SPEED,
        centre_mark="none",
    )
    east = _access(net, "East Street", along([(80, 22), (150, 22)]))
    net.follow(west, square)
    net.follow(square, east)
    net.crosswalk(west, 58.0, (-DRIVE, DRIVE))
    net.crosswalk(east, 12.0, (-DRIVE, DRIVE))
    scene = Scenery(network=net, seed=5)
    _furnish(scene, square)
    for road in (west, east):
        for side in (1, -1):
            scene.building_row(road, side, 1.0, road.length - 1.0, setback=1.0, doors=2)
    for side in (1, -1):
        scene.building_row(square, side, 2.0, path.length - 2.0, setback=1.0, front=(12.0, 18.0), doors=3)
        _frontage(scene, square, side)
    demand = {
        "vehicles_per_hour": 150.0,
        "cyclist_share": 0.25,
        "large_share": 0.05,
        "pedestrians_per_hour": 2200.0,
        "child_share": 0.1,
        "elderly_share": 0.15,
    }
    return net, scene.sidecar(town_type="plaza", demand=demand)


def _furnish(scene: Scenery, road: Road) -> None:
    """Benches, planters and stands in a row beside the carriageway and one before the houses, and two kiosks.

    Between the rows more than 5 m stay free.
    """
    edge = DRIVE + SQUARE - 1.6
    for side in (1, -1):
        kiosk = road.length * (0.35 if side > 0 else 0.7)
        scene.box("furniture", road, kiosk, side * edge, (4.0, 2.6, 2.8))
        s = WIDEN + 4.0
        while s < road.length - WIDEN - 4.0:
            for row in (DRIVE + 1.6, edge):
                size = FURNITURE[int(scene.between(0, len(FURNITURE)))]
                place = s + scene.between(-1.5, 1.5)
                if scene.chance.random() < 0.7 and (row < edge or abs(place - kiosk) > 8.0):
                    scene.box("furniture", road, place, side * row, size)
            s += scene.between(9.0, 13.0)


def _frontage(scene: Scenery, road: Road, side: int) -> None:
    """Doors along the bends, where no straight house front lies at the edge of the square."""
    for k in range(6):
        s = road.length * (0.25 + 0.1 * k)
        scene.door(road, s, side * (DRIVE + SQUARE + 0.5))
