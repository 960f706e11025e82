"""Where the streets of a random town run: a lattice with gaps, leaned and turned. Used by random_town.py.

A node of the lattice with three or four arms becomes a junction, one with two is passed by a street that goes
straight on or bends; arms that leave the lattice lead off the map.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import accumulate, pairwise

Node = tuple[int, int]  # column, row
Step = tuple[Node, int]  # from a node into a direction of COMPASS
Point = tuple[float, float]

COMPASS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, north, west, south
SIZES = ((2, 2), (3, 2), (2, 3), (3, 3), (4, 2), (4, 3))
SPAN = 260.0  # m, of the lattice at most
CONNECTIONS = 84  # ways through all junctions at most: the map stays below 250 kB
LEAN = math.radians(10)  # of the streets along y at most


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A street from junction to junction, or from a junction off the map."""

    nodes: tuple[Node, ...]  # passed, the junction at its start first
    start: Step
    end: Step | None  # the direction in which it leaves its last junction backwards; None: off the map
    points: tuple[Point, ...]  # corners, junction middles included; metres
    line: tuple[str, int]  # the line of the lattice on which it starts: row or column, number


@dataclass(frozen=True, kw_only=True)
class Layout:
    chains: tuple[Chain, ...]
    junctions: dict[Node, tuple[int, ...]]  # directions of the arms, counter-clockwise
    main: tuple[str, int] | None  # a line without gaps that leaves the map at both ends
    lean: float  # radians by which the streets along y are off a right angle


def line_of(step: Step) -> tuple[str, int]:
    (column, row), direction = step
    return ("column", column) if direction % 2 else ("row", row)


def layout(chance: random.Random) -> Layout:
    """A connected layout with two junctions and three ways off the map at least."""
    for _ in range(1000):
        columns, rows = chance.choice(SIZES)
        main = None
        if chance.random() < 0.25:
            main = ("row", chance.randrange(rows)) if chance.random() < 0.5 else None
            main = main or ("column", chance.randrange(columns))
        arms = _arms(chance, columns, rows, main)
        if arms is not None:
            return _drawn(chance, columns, rows, arms, main)
    raise ValueError("no layout found in 1000 draws")


def _ahead(node: Node, direction: int) -> Node:
    return node[0] + COMPASS[direction][0], node[1] + COMPASS[direction][1]


def _arms(
    chance: random.Random, columns: int, rows: int, main: tuple[str, int] | None
) -> dict[Node, set[int]] | None:
    """Directions that are open at each node, gaps cleaned up; None where nothing usable is left."""
    nodes = [(i, j) for i in range(columns) for j in range(rows)]
    gaps, leaving = chance.uniform(0.05, 0.4), chance.uniform(0.3, 0.7)
    arms: dict[Node, set[int]] = {node: set() for node in nodes}
    for node in nodes:
        for direction in range(4):
            other, kept = _ahead(node, direction), line_of((node, direction)) == main
            if other not in arms:
                if chance.random() < leaving or kept:
                    arms[node].add(direction)
            elif direction < 2 and (chance.random() > gaps or kept):
                arms[node].add(direction)
                arms[other].add(direction + 2)
    while lonely := [node for node in nodes if len(arms[node]) == 1]:
        (direction,) = arms[lonely[0]]
        arms[lonely[0]].clear()
        arms.get(_ahead(lonely[0], direction), set()).discard((direction + 2) % 4)
    arms = {node: open_ for node, open_ in arms.items() if open_}
    return arms if _usable(arms) else None


def _usable(arms: dict[Node, set[int]]) -> bool:
    leaving = sum(_ahead(node, d) not in arms for node, open_ in arms.items() for d in open_)
    ways = sum(len(open_) * (len(open_) - 1) for open_ in arms.values() if len(open_) > 2)
    junctions = sum(len(open_) > 2 for open_ in arms.values())
    if not (3 <= leaving <= 9 and junctions >= 2 and ways <= CONNECTIONS):
        return False
    reached: set[Node] = set()
    waiting = [next(iter(arms))]
    while waiting:
        node = waiting.pop()
        if node in arms and node not in reached:
            reached.add(node)
            waiting += [_ahead(node, d) for d in arms[node]]
    return len(reached) == len(arms)


def _pitches(chance: random.Random, count: int) -> list[float]:
    """Places of `count` streets side by side, around 0."""
    pitches = [chance.uniform(60.0, 130.0) for _ in range(count - 1)]
    over = sum(pitches) / SPAN
    places = [0.0, *accumulate(max(60.0, pitch / max(over, 1.0)) for pitch in pitches)]
    return [place - places[-1] / 2 for place in places]


def _drawn(
    chance: random.Random, columns: int, rows: int, arms: dict[Node, set[int]], main: tuple[str, int] | None
) -> Layout:
    xs, ys = _pitches(chance, columns), _pitches(chance, rows)
    lean = chance.uniform(-LEAN, LEAN) if chance.random() < 0.5 else 0.0
    turn = chance.uniform(-math.pi, math.pi) if chance.random() < 0.5 else 0.0

    def place(x: float, y: float) -> Point:
        x, y = x + y * math.sin(lean), y * math.cos(lean)
        return x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)

    junctions = {node: tuple(sorted(open_)) for node, open_ in arms.items() if len(open_) > 2}
    chains, taken = [], set()
    for node in junctions:
        for direction in junctions[node]:
            if (node, direction) in taken:
                continue
            passed, last = _followed(arms, junctions, (node, direction))
            off = last[0] not in arms
            corners = [(xs[i], ys[j]) for i, j in passed]
            corners += (
                _off_the_map(chance, corners[-1], last[1]) if off else [(xs[last[0][0]], ys[last[0][1]])]
            )
            end = None if off else (last[0], (last[1] + 2) % 4)
            taken |= {(node, direction)} | ({end} if end else set())
            chains.append(
                Chain(
                    nodes=tuple(passed),
                    start=(node, direction),
                    end=end,
                    points=tuple(_corners_only([place(*corner) for corner in corners])),
                    line=line_of((node, direction)),
                )
            )
    return Layout(chains=tuple(chains), junctions=junctions, main=main, lean=lean)


def _followed(
    arms: dict[Node, set[int]], junctions: dict[Node, tuple[int, ...]], step: Step
) -> tuple[list[Node], Step]:
    """Nodes passed from a junction on, and the next junction (or what is off the map) with the way there."""
    node, direction = step
    passed = [node]
    while True:
        node = _ahead(node, direction)
        if node not in arms or node in junctions:
            return passed, (node, direction)
        passed.append(node)
        (direction,) = arms[node] - {(direction + 2) % 4}


def _off_the_map(chance: random.Random, last: Point, direction: int) -> list[Point]:
    """Straight for 45 to 80 m, or with a bend after some of it."""
    heading = direction * math.pi / 2
    far, bend = chance.uniform(45.0, 80.0), 0.0
    if chance.random() < 0.3 and far > 60.0:
        bend = math.copysign(chance.uniform(math.radians(8), math.radians(24)), chance.random() - 0.5)
    elbow = (last[0] + 0.55 * far * math.cos(heading), last[1] + 0.55 * far * math.sin(heading))
    end = (
        elbow[0] + 0.45 * far * math.cos(heading + bend),
        elbow[1] + 0.45 * far * math.sin(heading + bend),
    )
    return [elbow, end] if bend else [end]


def _corners_only(points: list[Point]) -> list[Point]:
    """Without the points that lie on the straight way between their neighbours."""
    kept = [points[0]]
    for point, after in pairwise(points[1:]):
        a = math.atan2(point[1] - kept[-1][1], point[0] - kept[-1][0])
        b = math.atan2(after[1] - point[1], after[0] - point[0])
        if abs(math.remainder(b - a, 2 * math.pi)) > 1e-6:
            kept.append(point)
    return [*kept, points[-1]]
