"""Which pieces of the map a model sees: those about somebody, now and in a while."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from drivewm.features import split_lines
from drivewm.nearby import BOUNDARY_FACTOR, nearby_pieces
from drivewm.types import LineKind, RoadMap

CENTER, BOUNDARY = int(LineKind.LANE_CENTER), int(LineKind.LANE_BOUNDARY)
HERE = np.ones(1, bool)


def pieces(*starts: tuple[float, float]) -> ndarray:
    """Straight pieces of 18 m along x."""
    along = np.column_stack([np.arange(10) * 2.0, np.zeros(10)])
    return np.array(starts)[:, None] + along


def test_two_far_apart_each_see_the_lane_that_they_are_in() -> None:
    """The middle between them is nearest to an empty street: it once was all that was seen."""
    points = pieces((41.0, 0.0), (0.0, 0.0), (82.0, 0.0))
    now = np.array([[9.0, 0.0], [91.0, 0.0]])
    near = nearby_pieces(points, np.full(3, CENTER), now, np.zeros((2, 2)), np.ones(2, bool), 2)
    assert sorted(near.tolist()) == [1, 2]


def test_where_somebody_will_be_counts_and_where_he_comes_from_does_not() -> None:
    """At 10 m/s along x: 40 m ahead comes before 25 m behind."""
    points = pieces((31.0, 0.0), (-34.0, 0.0))
    for speed, first in ((10.0, 0), (-10.0, 1)):
        velocity = np.array([[speed, 0.0]])
        near = nearby_pieces(points, np.full(2, CENTER), np.zeros((1, 2)), velocity, HERE, 2)
        assert near[0] == first


@pytest.mark.parametrize(
    ("side_m", "first"), [(3.0 / BOUNDARY_FACTOR - 0.1, 0), (3.0 / BOUNDARY_FACTOR + 0.1, 1)]
)
def test_a_boundary_counts_as_further_away(side_m: float, first: int) -> None:
    points = pieces((0.0, side_m), (0.0, -3.0))
    kind = np.array([BOUNDARY, CENTER])
    near = nearby_pieces(points, kind, np.array([[9.0, 0.0]]) * 0, np.zeros((1, 2)), HERE, 1)
    assert near.tolist() == [first]


def test_the_absent_and_the_far_do_not_count() -> None:
    points = pieces((0.0, 0.0), (500.0, 0.0))
    now = np.array([[0.0, 0.0], [500.0, 0.0]])
    near = nearby_pieces(points, np.full(2, CENTER), now, np.zeros((2, 2)), np.array([True, False]), 8)
    assert near.tolist() == [0]
    assert len(nearby_pieces(points, np.full(2, CENTER), now, np.zeros((2, 2)), np.zeros(2, bool), 8)) == 0


def test_a_map_is_cut_once_and_again_if_it_changes_in_place() -> None:
    points = np.array([[[0.0, 0.0], [30.0, 0.0]]])
    road = RoadMap(points=points, valid=np.ones((1, 2), bool), kind=np.array([CENTER]))
    once = split_lines(road)
    assert split_lines(road) is once
    points += 1.0
    assert np.allclose(split_lines(road).points, once.points + 1.0)


@given(st.integers(0, 500), st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
def test_moving_the_whole_street_changes_no_choice(seed: int, x: float, y: float) -> None:
    rng = np.random.default_rng(seed)
    points = pieces(*rng.uniform(-80, 80, (30, 2)).tolist())
    kind = rng.integers(0, len(LineKind), 30)
    now, velocity = rng.uniform(-40, 40, (5, 2)), rng.normal(0, 3, (5, 2))
    there = np.array([x, y])
    one = nearby_pieces(points, kind, now, velocity, np.ones(5, bool), 12)
    other = nearby_pieces(points + there, kind, now + there, velocity, np.ones(5, bool), 12)
    assert one.tolist() == other.tolist()
