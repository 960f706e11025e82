"""Neighbour search against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from drivewm_sim.roads.near import Near


@pytest.mark.parametrize("seed", range(3))
def test_a_query_finds_exactly_the_points_within_the_radius(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    points, queries = numbers.uniform(-20.0, 20.0, (80, 3)), numbers.uniform(-25.0, 25.0, (50, 3))
    radius = (0.7, 4.0, 60.0)[seed]
    query, point = Near(points, radius).pairs(queries)
    plain = [
        (i, k) for i in range(50) for k in range(80) if np.hypot(*(queries[i] - points[k])[:2]) <= radius
    ]
    assert list(zip(query.tolist(), point.tolist(), strict=True)) == plain


def test_nothing_is_near_to_no_points() -> None:
    query, point = Near(np.zeros((0, 2)), 1.0).pairs(np.zeros((4, 2)))
    assert len(query) == len(point) == 0
