"""Cubic pieces over a length: the widths, lane offsets and heights of OpenDRIVE (1.6, 8.4 and 9)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class Profile:
    """Piece i is a + b ds + c ds^2 + d ds^3 from start[i] on, ds = s - start[i]; zero without pieces."""

    start: Float[ndarray, "n"]  # m, ascending
    coefficients: Float[ndarray, "n 4"]  # a, b, c, d

    def __call__(self, s: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        if len(self.start) == 0:
            return np.zeros_like(s)
        piece = np.clip(np.searchsorted(self.start, s, side="right") - 1, 0, None)
        ds = s - self.start[piece]
        a, b, c, d = self.coefficients[piece].T
        return a + ds * (b + ds * (c + ds * d))


def read_profile(elements: Iterable[ET.Element], start: str = "s") -> Profile:
    """The profile of elements with attributes a, b, c, d and `start`; zero before the first of them."""
    rows = [[float(e.attrib[k]) for k in (start, "a", "b", "c", "d")] for e in elements]
    rows.sort(key=lambda row: row[0])  # stable: of two records at one s, the later one holds
    if rows and rows[0][0] > 1e-6:
        rows.insert(0, [0.0] * 5)
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Profile(table[:, 0], table[:, 1:])
