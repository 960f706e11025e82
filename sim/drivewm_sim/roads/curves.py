"""Reference lines: the planView shapes of OpenDRIVE as functions of arc length, one after the other.

Formulas: ASAM OpenDRIVE 1.6, chapter 7. A shape lives in its own frame: it starts at the origin along +x
(poly3 and paramPoly3 may start a little beside it).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.frames import rotate
from drivewm_sim.roads.profiles import Profile

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANELS = 8  # of 16 nodes: below 1e-12 m for curves that turn up to some full circles


class Shape(Protocol):
    """A piece of reference line in its own frame."""

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        """Position and heading after `ds` metres."""
        ...


@dataclass(frozen=True)
class Line:
    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        return np.stack([ds, np.zeros_like(ds)], -1), np.zeros_like(ds)


@dataclass(frozen=True)
class Arc:
    curvature: float  # 1/m, left positive, not zero

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        turned = ds * self.curvature
        return np.stack([np.sin(turned), 1 - np.cos(turned)], -1) / self.curvature, turned


@dataclass(frozen=True)
class Spiral:
    """An Euler spiral: the curvature changes evenly along it."""

    start: float  # 1/m, left positive
    end: float
    length: float

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        def heading(s: ndarray) -> ndarray:
            return s * (self.start + (self.end - self.start) / (2 * self.length) * s)

        x = _integral(lambda s: np.cos(heading(s)), ds)
        y = _integral(lambda s: np.sin(heading(s)), ds)
        return np.stack([x, y], -1), heading(ds)


@dataclass(frozen=True)
class ParamPoly3:
    """Cubics u(p) along and v(p) across the start's heading; poly3 is the case u = p.

    p is found from the arc length, as the standard leaves p undefined between the ends of a normalized range.
    """

    u: Float[ndarray, "4"]  # coefficients of 1, p, p^2, p^3
    v: Float[ndarray, "4"]
    per_metre: float  # first guess of dp/ds: 1, or 1 / length when p runs from 0 to 1

    def at(self, ds: Float[ndarray, "n"]) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        p = ds * self.per_metre
        for _ in range(6):  # Newton on the arc length; converges quadratically from a good guess
            p = p - (_integral(self._speed, p) - ds) / self._speed(p)
        du, dv = self._slope(p)
        powers = p[:, None] ** np.arange(4)
        return np.stack([powers @ self.u, powers @ self.v], -1), np.arctan2(dv, du)

    def _slope(self, p: ndarray) -> tuple[ndarray, ndarray]:
        (_, ub, uc, ud), (_, vb, vc, vd) = self.u, self.v
        return ub + p * (2 * uc + p * 3 * ud), vb + p * (2 * vc + p * 3 * vd)

    def _speed(self, p: ndarray) -> ndarray:
        return np.hypot(*self._slope(p))


def _integral(function: Callable[[ndarray], ndarray], end: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """Integral of a function from 0 to each end: Gauss-Legendre, 16 nodes in each of a few panels."""
    nodes = ((np.arange(_PANELS)[:, None] + (_NODES + 1) / 2) / _PANELS).ravel()
    weights = np.tile(_WEIGHTS / (2 * _PANELS), _PANELS)
    return end * (function(end[:, None] * nodes) @ weights)


def _arc(element: ET.Element, _: float) -> Shape:
    curvature = float(element.attrib["curvature"])
    return Arc(curvature) if abs(curvature) > 1e-12 else Line()


def _spiral(element: ET.Element, length: float) -> Shape:
    return Spiral(float(element.attrib["curvStart"]), float(element.attrib["curvEnd"]), length)


def _poly3(element: ET.Element, _: float) -> Shape:
    return ParamPoly3(np.array([0.0, 1.0, 0.0, 0.0]), _coefficients(element, ""), 1.0)


def _param_poly3(element: ET.Element, length: float) -> Shape:
    per_metre = 1.0 if element.get("pRange") == "arcLength" else 1 / length
    return ParamPoly3(_coefficients(element, "U"), _coefficients(element, "V"), per_metre)


def _coefficients(element: ET.Element, suffix: str) -> Float[ndarray, "4"]:
    return np.array([float(element.attrib[key + suffix]) for key in "abcd"])


SHAPES: dict[str, Callable[[ET.Element, float], Shape]] = {
    "line": lambda element, length: Line(),
    "arc": _arc,
    "spiral": _spiral,
    "poly3": _poly3,
    "paramPoly3": _param_poly3,
}
"""Readers of <geometry> children by tag; a new kind of curve joins here."""


@dataclass(frozen=True)
class Geometry:
    """One shape and where it starts: s along the road, position and heading in the scene."""

    s: float
    x: float
    y: float
    heading: float
    length: float
    shape: Shape


@dataclass(frozen=True)
class ReferenceLine:
    """The line that s and t are measured from: shapes one after the other, and their height."""

    geometries: tuple[Geometry, ...]
    elevation: Profile

    @cached_property
    def _starts(self) -> Float[ndarray, "g"]:
        return np.array([g.s for g in self.geometries])

    def point(
        self, s: Float[ndarray, "n"], t: Float[ndarray, "n"] | float = 0.0
    ) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n"]]:
        """Position in the scene at (s, t), and the line's heading there; the end shapes go on beyond."""
        piece = np.clip(np.searchsorted(self._starts, s, side="right") - 1, 0, None)
        position, heading = np.zeros((len(s), 2)), np.zeros(len(s))
        for index in np.unique(piece):
            geometry, rows = self.geometries[index], piece == index
            local, turned = geometry.shape.at(s[rows] - geometry.s)
            start = np.array([geometry.x, geometry.y])
            position[rows] = rotate(local, np.full(len(local), geometry.heading)) + start
            heading[rows] = geometry.heading + turned
        left = np.stack([-np.sin(heading), np.cos(heading)], -1)
        return position + left * np.broadcast_to(t, s.shape)[:, None], heading


def read_geometry(element: ET.Element, where: str) -> Geometry:
    """One <geometry>; `where` stands in error messages."""
    child = next((c for c in element if c.tag != "userData"), None)
    tag = "nothing" if child is None else child.tag
    if child is None or tag not in SHAPES:
        raise InputError(
            f"{where}: geometry <{tag}> cannot be read; convert it to one of {', '.join(SHAPES)}"
        )
    s, x, y, heading, length = (float(element.attrib[key]) for key in ("s", "x", "y", "hdg", "length"))
    return Geometry(s, x, y, heading, length, SHAPES[tag](child, length))
