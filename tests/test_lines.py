"""Sampled polylines: where s is, and what s a point has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivewm_sim.lines import line_height, line_length, line_point, make_lines, project

_ANGLE = np.linspace(0.0, np.pi / 2, 400)
LINES = make_lines(
    [
        np.array([[0.0, 0.0, 1.0], [100.0, 0.0, 6.0]]),
        np.column_stack([150 * np.sin(_ANGLE), 150 * (1 - np.cos(_ANGLE))]),  # a left bend of radius 150 m
    ]
)


def test_a_straight_line_is_as_long_and_as_high_as_it_was_drawn() -> None:
    assert line_length(LINES, 0) == pytest.approx(100.0)
    assert line_point(LINES, 0, 40.0, 2.0) == pytest.approx((40.0, 2.0, 0.0))
    assert line_height(LINES, 0, 40.0) == pytest.approx(3.0)
    assert line_height(LINES, 0, 500.0) == pytest.approx(6.0)
    assert line_height(LINES, 1, 10.0) == 0.0


def test_a_quarter_circle_is_half_pi_times_its_radius() -> None:
    assert line_length(LINES, 1) == pytest.approx(75 * np.pi, abs=0.01)
    x, y, yaw = line_point(LINES, 1, 75 * np.pi, 0.0)
    assert (x, y) == pytest.approx((150, 150), abs=0.01)
    assert yaw == pytest.approx(np.pi / 2, abs=0.01)


@given(s=st.floats(5, 95), d=st.floats(-6, 6), k=st.integers(0, 1))
def test_projecting_a_point_onto_a_line_inverts_placing_it(s: float, d: float, k: int) -> None:
    x, y, _ = line_point(LINES, k, s, d)
    assert project(LINES, k, x, y) == pytest.approx((s, d), abs=0.05)
