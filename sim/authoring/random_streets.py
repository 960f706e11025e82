"""Streets and junctions of a random town: lanes, parking, zebras, lights, signs. Used by random_town.py."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from geometry import Path, along
from network import Arm, Junction, Knots, Lane, Move, Network, Road, lane
from random_layout import Chain, Layout, Node

CROSSWALK = 3.0  # m from an arm's end to the middle of the crosswalk
STOP = 5.75  # m from an arm's end to the stop line
CLEAR_OF_END = 16.0  # m from a road's end to where vehicles may park at full width
CLEAR_OF_ZEBRA = 8.0  # m from a crosswalk's middle to the first parked vehicle
TAPER = 4.0
YELLOW, RED = 3.0, 4.0  # s; all-red clears the junction
NAMES = ("Mill", "Station", "Church", "Garden", "River", "Hill", "Park", "Market", "Bridge", "Field")


@dataclass(frozen=True, kw_only=True)
class Character:
    """What the streets of one town have in common. Shares are chances of one arm, street or junction."""

    drive: tuple[float, float]  # m, width of a lane: from, to
    walk: tuple[float, float]
    speeds: tuple[float, ...]  # km/h
    parking: float  # share of the sides of streets
    park: float  # m, width of a parking lane
    zebras: float  # at arms without lights
    midblock: float
    lights: float  # at junctions of four arms
    signed: float  # junctions without lights where a street gives way
    corner: float  # m, radius of the sidewalk's outer edge at corners
    height: float  # m, of the hills


@dataclass(frozen=True, kw_only=True)
class Street:
    """The profile of one line of the lattice."""

    lanes: tuple[str, ...]  # each way, from the middle outwards
    drive: float  # m, each
    walk: float
    speed: float

    @property
    def kerb(self) -> float:
        return self.drive * len(self.lanes)


@dataclass(kw_only=True)
class Built:
    """A chain as a road; where vehicles may park, by side."""

    road: Road
    street: Street
    chain: Chain
    rows: dict[int, list[tuple[float, float]]]


@dataclass(kw_only=True)
class Streets:
    """A town's network with what its sidecar says of traffic."""

    net: Network
    built: list[Built] = field(default_factory=list)
    signals: list[dict[str, Any]] = field(default_factory=list)
    give_way: list[dict[str, Any]] = field(default_factory=list)


def build(net: Network, plan: Layout, character: Character, chance: random.Random) -> Streets:
    """Roads along the chains of a layout, joined at its junctions."""
    profiles = _profiles(plan, character, chance)
    reach = {node: _reach(plan, node, profiles, character) for node in plan.junctions}
    height = {node: round(chance.uniform(0, character.height), 2) for node in plan.junctions}
    town = Streets(net=net)
    zebras = {}
    for index, chain in enumerate(plan.chains):
        path, spot = _path(chain, reach, profiles[chain.line], chance), None
        middle = _longest_straight(path)
        if profiles[chain.line].lanes == ("drive",) and middle[1] - middle[0] > 44.0:
            spot = sum(middle) / 2 if chance.random() < character.midblock else None
        z = height[chain.start[0]], height[chain.end[0] if chain.end else chain.start[0]]
        name = f"{NAMES[index % len(NAMES)]} Street"
        town.built.append(_road(net, name, chain, path, z, profiles[chain.line], character, spot, chance))
        zebras[index] = spot
    for node in plan.junctions:
        _junction(town, plan, node, character, chance)
    for index, spot in zebras.items():
        if spot is not None:
            net.crosswalk(town.built[index].road, spot, _kerbs(town.built[index].road, spot))
    return town


def _profiles(plan: Layout, character: Character, chance: random.Random) -> dict[tuple[str, int], Street]:
    lines = sorted({chain.line for chain in plan.chains})
    made = {}
    for line in lines:
        wide = line == plan.main
        made[line] = Street(
            lanes=("inner", "outer") if wide else ("drive",),
            drive=round(max(chance.uniform(*character.drive), 3.0 if wide else 0.0), 2),
            walk=round(chance.uniform(*character.walk), 2),
            speed=50.0 if wide else chance.choice(character.speeds),
        )
    return made


def _reach(plan: Layout, node: Node, profiles: dict[tuple[str, int], Street], character: Character) -> float:
    """Metres from a junction's middle to where its arms end, so that the sharpest corner has its radius."""
    streets = [profiles[c.line] for c in plan.chains if node in (c.start[0], c.end[0] if c.end else None)]
    widest = max(street.kerb + street.walk for street in streets)
    return (widest + character.corner) * math.tan((math.pi / 2 + abs(plan.lean)) / 2)


def _path(chain: Chain, reach: dict[Node, float], street: Street, chance: random.Random) -> Path:
    """From junction to junction; a straight street may swing aside and back once."""
    points = [_towards(chain.points[0], chain.points[1], reach[chain.start[0]]), *chain.points[1:]]
    if chain.end:
        points[-1] = _towards(points[-1], points[-2], reach[chain.end[0]])
        long = math.dist(points[0], points[-1])
        if len(points) == 2 and len(street.lanes) == 1 and long > 70.0 and chance.random() < 0.25:
            aside = math.copysign(chance.uniform(4.0, 7.0), chance.random() - 0.5)
            (x, y), dx, dy = points[0], points[1][0] - points[0][0], points[1][1] - points[0][1]
            swing = [(0.22, 0.0), (0.42, aside / long), (0.58, aside / long), (0.78, 0.0)]
            points[1:1] = [(x + u * dx - v * dy, y + u * dy + v * dx) for u, v in swing]
            return along(points, 22.0)
    return along(points, chance.uniform(14.0, 20.0) if len(points) > 2 else 0.0)


def _towards(a: tuple[float, float], b: tuple[float, float], metres: float) -> tuple[float, float]:
    share = metres / math.dist(a, b)
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def straights(path: Path) -> list[tuple[float, float]]:
    """Where a path runs straight: from, to."""
    found, s = [], 0.0
    for piece in path.pieces:
        if piece.curvature == 0:
            found.append((s, s + piece.length))
        s += piece.length
    return found


def _longest_straight(path: Path) -> tuple[float, float]:
    return max(straights(path), key=lambda span: span[1] - span[0])


def _rows(path: Path, zebra: float | None, chance: random.Random) -> list[tuple[float, float]]:
    """Where vehicles may park: on straight stretches, away from ends and from the zebra."""
    rows: list[tuple[float, float]] = []
    for start, end in straights(path):
        low, high = max(start + 2, CLEAR_OF_END), min(end - 2, path.length - CLEAR_OF_END)
        parts = [(low, high)]
        if zebra is not None and low < zebra < high:
            parts = [(low, zebra - CLEAR_OF_ZEBRA), (zebra + CLEAR_OF_ZEBRA, high)]
        elif high - low > 50.0 and chance.random() < 0.4:
            cut = chance.uniform(low + 14.0, high - 14.0)
            parts = [(low, cut - 6.0), (cut + 6.0, high)]
        for a, b in parts:
            a, b = a + chance.uniform(0, 6), b - chance.uniform(0, 6)
            if b - a > 7.0 and (not rows or a - rows[-1][1] > 2 * TAPER + 0.5):
                rows.append((round(a, 2), round(b, 2)))
    return rows


def _park(rows: list[tuple[float, float]], width: float, length: float) -> Knots:
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    for start, end in rows:
        knots += [(start - TAPER, 0.0), (start, width), (end, width), (end + TAPER, 0.0)]
    return (*knots, (length, 0.0))


def _lanes(street: Street, rows: list[tuple[float, float]], park: float, length: float) -> list[Lane]:
    marks = ["broken"] * (len(street.lanes) - 1) + ["solid" if rows else "curb"]
    lanes = [
        lane(name, "driving", street.drive, mark) for name, mark in zip(street.lanes, marks, strict=True)
    ]
    if rows:
        lanes.append(lane("park", "parking", _park(rows, park, length), "curb"))
    return [*lanes, lane("walk", "sidewalk", street.walk)]


def _road(
    net: Network, name: str, chain: Chain, path: Path, z: tuple[float, float], street: Street,
    character: Character, zebra: float | None, chance: random.Random,
) -> Built:  # fmt: skip
    rows = {
        side: _rows(path, zebra, chance) if chance.random() < character.parking else [] for side in (1, -1)
    }
    road = net.road(
        name,
        path,
        left=_lanes(street, rows[1], character.park, path.length),
        right=_lanes(street, rows[-1], character.park, path.length),
        height=((0.0, z[0], 0.0), (path.length, z[1], 0.0)),
        speed=street.speed,
        centre_mark="solid" if len(street.lanes) > 1 else "broken",
    )
    return Built(road=road, street=street, chain=chain, rows=rows)


def _kerbs(road: Road, s: float) -> tuple[float, float]:
    return road.edges(s, 1, "walk")[0], road.edges(s, -1, "walk")[0]


def _junction(town: Streets, plan: Layout, node: Node, character: Character, chance: random.Random) -> None:
    """Three or four arms with their moves; lights or signs, and crosswalks."""
    arms: dict[int, tuple[Arm, Street]] = {}
    for built in town.built:
        if built.chain.start[0] == node:
            arms[built.chain.start[1]] = Arm(built.road, "start"), built.street
        if built.chain.end and built.chain.end[0] == node:
            arms[built.chain.end[1]] = Arm(built.road, "end"), built.street
    ways = sorted(arms)
    speed = min(street.speed for _, street in arms.values())
    name = f"Junction {node[0]}.{node[1]}"
    made = town.net.junction(name, _moves(ways, arms), speed)
    lit = len(ways) == 4 and chance.random() < character.lights
    if lit:
        town.signals += _lights(town.net, made, [arms[d] for d in ways], chance)
        return
    for arm, street in arms.values():
        if len(street.lanes) == 1 and chance.random() < character.zebras:
            s = arm.s + CROSSWALK * arm.inward
            town.net.crosswalk(arm.road, s, _kerbs(arm.road, s))
    major = plan.main is not None and any(len(street.lanes) > 1 for _, street in arms.values())
    if len(ways) == 3:
        yielding = [d for d in ways if (d + 2) % 4 not in ways]
    elif major:
        yielding = [d for d in ways if len(arms[d][1].lanes) == 1]
    else:
        first = chance.randrange(2)
        yielding = [d for d in ways if d % 2 == first]
    if major or chance.random() < character.signed:
        for d in yielding:
            town.net.give_way(arms[d][0], 1.0, " ".join(arms[d][1].lanes))
        roads = [arms[d][0].road.id for d in yielding]
        town.give_way.append({"junction": made.id, "yielding_roads": roads})


def _moves(ways: list[int], arms: dict[int, tuple[Arm, Street]]) -> list[Move]:
    """Everybody may turn everywhere: right from the outer lane, left from the inner; sidewalks at corners."""
    moves = []
    for index, d in enumerate(ways):
        for offset in range(1, len(ways)):
            to = ways[(index + offset) % len(ways)]
            (source, from_), (target, onto) = arms[d], arms[to]
            turn = (to - d) % 4  # 1 right, 2 straight on, 3 left
            pick = {1: slice(-1, None), 2: slice(None), 3: slice(0, 1)}[turn]
            walk = ["walk"] if offset == 1 else []
            lanes = " ".join([*from_.lanes[pick], *walk]), " ".join([*onto.lanes[pick], *walk])
            moves.append((source, lanes[0], target, lanes[1]))
    return moves


def _lights(
    net: Network, made: Junction, arms: list[tuple[Arm, Street]], chance: random.Random
) -> list[dict[str, Any]]:
    """Two phases, street by street; people walk beside the traffic that has green."""
    green = round(chance.uniform(18.0, 28.0))
    half = green + YELLOW + RED
    offset = round(chance.uniform(0.0, 2 * half))
    lights, zebras = [], []
    for arm, street in arms:
        s = arm.s + CROSSWALK * arm.inward
        zebras.append(net.crosswalk(arm.road, s, _kerbs(arm.road, s)))
        lights.append(net.light(arm, STOP, " ".join(street.lanes)))
    rows = []
    for first, street_name in enumerate(("along x", "along y")):
        begin = (offset + first * half) % (2 * half)
        shown = [lights[first], lights[first + 2]]
        over = [zebras[1 - first], zebras[3 - first]]
        across = 2 * max(arms[k][1].kerb for k in (1 - first, 3 - first))
        clear = math.ceil(across)  # s, at 1 m/s
        people = min(green - 4.0, half - clear)
        programme = {"cycle": 2 * half, "green_from": begin}
        net.controller(made, f"{made.name} {street_name}", shown)
        rows.append(
            {"name": f"{made.name}, vehicles {street_name}", "signal_ids": shown, "crosswalk_ids": []}
            | programme
            | {"green": float(green), "yellow": YELLOW}
        )
        rows.append(
            {"name": f"{made.name}, people {street_name}", "signal_ids": [], "crosswalk_ids": over}
            | programme
            | {"green": people, "yellow": float(clear)}
        )
    return rows
