"""Paths of lines and arcs in the plane: what reference lines of roads are made of. Used by make_towns.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Pose:
    x: float
    y: float
    heading: float  # radians

    def beside(self, t: float) -> Pose:
        """The pose `t` metres to the left."""
        return Pose(self.x - t * math.sin(self.heading), self.y + t * math.cos(self.heading), self.heading)

    def ahead(self, length: float, curvature: float = 0.0) -> Pose:
        """The pose after `length` metres of an arc (1/m, left positive)."""
        if curvature == 0:
            return Pose(
                self.x + length * math.cos(self.heading),
                self.y + length * math.sin(self.heading),
                self.heading,
            )
        turned = self.heading + length * curvature
        return Pose(
            self.x + (math.sin(turned) - math.sin(self.heading)) / curvature,
            self.y - (math.cos(turned) - math.cos(self.heading)) / curvature,
            turned,
        )


@dataclass(frozen=True)
class Piece:
    length: float
    curvature: float


@dataclass(frozen=True)
class Path:
    start: Pose
    pieces: tuple[Piece, ...]

    @property
    def length(self) -> float:
        return sum(piece.length for piece in self.pieces)

    def pose(self, s: float) -> Pose:
        pose = self.start
        for piece in self.pieces[:-1]:
            if s <= piece.length:
                return pose.ahead(s, piece.curvature)
            pose, s = pose.ahead(piece.length, piece.curvature), s - piece.length
        return pose.ahead(s, self.pieces[-1].curvature)


def turn_between(a: float, b: float) -> float:
    """From heading a to heading b, in [-pi, pi)."""
    return (b - a + math.pi) % (2 * math.pi) - math.pi


def along(points: list[tuple[float, float]], radius: float = 0.0) -> Path:
    """Straight from point to point, every corner rounded with the same radius."""
    legs = [(math.dist(a, b), math.atan2(b[1] - a[1], b[0] - a[0])) for a, b in pairwise(points)]
    turns = [turn_between(a[1], b[1]) for a, b in pairwise(legs)]
    cut = [0.0, *(radius * math.tan(abs(turn) / 2) for turn in turns), 0.0]
    pieces = []
    for index, (length, _) in enumerate(legs):
        straight = length - cut[index] - cut[index + 1]
        if straight < 0:
            raise ValueError(f"radius {radius} does not fit into the corners of {points}")
        if straight > 0:
            pieces.append(Piece(straight, 0.0))
        if index < len(turns):
            pieces.append(Piece(radius * abs(turns[index]), math.copysign(1 / radius, turns[index])))
    return Path(Pose(*points[0], legs[0][1]), tuple(pieces))


def arc(start: Pose, angle: float, curvature: float) -> Path:
    """Along a circle until the heading has turned by `angle` radians."""
    return Path(start, (Piece(angle / curvature, curvature),))


def join(start: Pose, end: Pose) -> Path:
    """From pose to pose by the widest arc, a straight line before or after it where they are not level."""
    turn = turn_between(start.heading, end.heading)
    cos, sin = math.cos(start.heading), math.sin(start.heading)
    dx, dy = end.x - start.x, end.y - start.y
    forward, left = dx * cos + dy * sin, dy * cos - dx * sin  # the end as seen from the start
    if abs(turn) < 1e-9 and abs(left) < 1e-9 and forward > 0:
        return Path(start, (Piece(forward, 0.0),))
    if abs(turn) < 1e-9:
        raise ValueError(f"no single arc joins {start} and {end}")
    after = left / math.sin(turn)  # metres from where the two directions meet to the end ...
    before = forward - after * math.cos(turn)  # ... and from the start to there
    if min(before, after) <= 0:
        raise ValueError(f"no single arc joins {start} and {end}")
    tangent = min(before, after)
    radius = tangent / math.tan(abs(turn) / 2)
    pieces = [
        Piece(before - tangent, 0.0),
        Piece(radius * abs(turn), math.copysign(1 / radius, turn)),
        Piece(after - tangent, 0.0),
    ]
    return Path(start, tuple(piece for piece in pieces if piece.length > 1e-6))
