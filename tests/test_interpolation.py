"""The curve between the forecast steps."""

from __future__ import annotations

import numpy as np
import pytest

from drivewm.interpolation import between_steps

HORIZON = 0.4 * np.arange(1, 13)


def test_a_straight_walk_stays_straight_and_even() -> None:
    """1.5 m/s along x: half a step later the walker is 0.3 m on."""
    path = np.stack([1.5 * HORIZON, np.zeros(12)], -1)
    at = np.array([0.0, 0.2, 1.0, 4.8])
    got = between_steps(path, HORIZON, np.zeros(2), np.array([1.5, 0.0]), at)
    np.testing.assert_allclose(got, np.stack([1.5 * at, np.zeros(4)], -1), atol=1e-12)


def test_the_curve_passes_through_every_step_of_every_mode() -> None:
    path = np.random.default_rng(0).normal(size=(3, 2, 12, 2))
    start = np.zeros((1, 2, 2))
    got = between_steps(path, HORIZON, start, start, HORIZON)
    np.testing.assert_allclose(got, path, atol=1e-9)


def test_a_time_beyond_the_forecast_is_refused() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 4\.8"):
        between_steps(np.zeros((12, 2)), HORIZON, np.zeros(2), np.zeros(2), np.array([5.0]))
