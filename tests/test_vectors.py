"""The short cuts of `street.vectors` say what the plain formulas say, to the bit."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import rotate
from shapely.geometry import Point, box

from drivewm_sim.street.vectors import beyond, longer, shortened, wrapped

_M = st.floats(-20, 20)
_LENGTH = st.floats(1e-3, 20)
_SIZE = st.floats(0.1, 12)
_NEARLY_ONE = st.floats(1 - 1e-8, 1 + 1e-8)


@given(_M, _M, _LENGTH)
def test_a_vector_is_longer_where_its_length_says_so(x: float, y: float, than: float) -> None:
    assert longer(x, y, than) == (math.hypot(x, y) > than)


@given(st.floats(-math.pi, math.pi), _LENGTH, _NEARLY_ONE)
def test_so_it_is_where_both_are_all_but_equal(angle: float, than: float, factor: float) -> None:
    x, y = factor * than * math.cos(angle), factor * than * math.sin(angle)
    assert longer(x, y, than) == (math.hypot(x, y) > than)


@given(_M, _M, _LENGTH)
def test_a_shortened_vector_keeps_its_direction(x: float, y: float, most: float) -> None:
    size = math.hypot(x, y)
    assert shortened(x, y, most) == ((x * most / size, y * most / size) if size > most else (x, y))


@given(_M, _M, st.floats(-math.pi, math.pi), _SIZE, _SIZE, st.floats(0, 5))
def test_who_is_near_a_box_is_never_beyond_it(x, y, yaw, length, width, away) -> None:
    shape = rotate(box(-length / 2, -width / 2, length / 2, width / 2), yaw, use_radians=True)
    if shape.distance(Point(x, y)) <= away:
        assert not beyond(x, y, length, width, away)


@given(st.floats(-50, 50))
def test_an_angle_is_wrapped_as_the_remainder_says(angle: float) -> None:
    assert wrapped(angle) == (angle + math.pi) % (2 * math.pi) - math.pi
