"""Kinematic forecasts against paths computed by hand."""

from __future__ import annotations

import numpy as np
from conftest import make_scene, make_tracks

from drivewm.baselines import BASELINES, constant_turn_rate, constant_velocity, kalman, kinematic_forecast
from drivewm.timing import TimeGrid
from drivewm.tracks import tracks_from_positions

HORIZON = np.asarray(TimeGrid().horizons)


def test_constant_velocity_goes_on_straight() -> None:
    """1.5 m/s along x for 4.8 s is 7.2 m."""
    path, _ = constant_velocity(make_tracks(agents=1, speed=1.5), HORIZON)
    np.testing.assert_allclose(path[0, -1], [7.2, 0.0], atol=1e-9)


def test_all_baselines_agree_on_a_straight_walk() -> None:
    tracks = make_tracks(agents=2, speed=1.3, heading=0.7)
    straight, _ = constant_velocity(tracks, HORIZON)
    for model in BASELINES.values():
        np.testing.assert_allclose(model(tracks, HORIZON)[0], straight, atol=1e-6)


def test_constant_turn_rate_stays_on_the_circle() -> None:
    """Radius 5 m at 0.2 rad/s: the forecast lies within a decimetre of the same circle."""
    ages = np.asarray(TimeGrid().ages)
    angle = -0.2 * ages
    position = 5 * np.stack([np.sin(angle), 1 - np.cos(angle)], -1)
    tracks = tracks_from_positions(
        position=position[None],
        valid=np.ones((1, len(ages)), bool),
        times=-ages,
        kind=np.zeros(1, np.int64),
        size=np.zeros((1, 2)),
        ids=("0",),
    )
    path, _ = constant_turn_rate(tracks, HORIZON)
    radius = np.hypot(path[0, :, 0], path[0, :, 1] - 5)
    assert np.abs(radius - 5).max() < 0.25
    straight, _ = constant_velocity(tracks, HORIZON)
    assert abs(np.hypot(straight[0, -1, 0], straight[0, -1, 1] - 5) - 5) > 1.0


def test_the_kalman_filter_smooths_a_noisy_step() -> None:
    """Seven steady steps and a last jump of 10 cm: the filter believes less than the whole jump."""
    tracks = make_tracks(agents=1, speed=1.0)
    pose = tracks.pose.copy()
    pose[0, 0, 1] += 0.1
    noisy = tracks_from_positions(
        position=pose[..., :2],
        valid=tracks.valid,
        times=tracks.times,
        kind=tracks.kind,
        size=tracks.size,
        ids=tracks.ids,
    )
    filtered, straight = kalman(noisy, HORIZON)[0], constant_velocity(noisy, HORIZON)[0]
    assert 0 < filtered[0, -1, 1] < straight[0, -1, 1]


def test_the_kalman_covariance_grows_with_the_horizon() -> None:
    _, covariance = kalman(make_tracks(agents=1), HORIZON)
    assert (np.diff(covariance[0, :, 0, 0]) > 0).all()


def test_a_single_position_stays_where_it_is() -> None:
    tracks = make_tracks(agents=1, speed=2.0)
    valid = np.zeros_like(tracks.valid)
    valid[:, 0] = True
    lone = tracks_from_positions(
        position=tracks.position,
        valid=valid,
        times=tracks.times,
        kind=tracks.kind,
        size=tracks.size,
        ids=tracks.ids,
    )
    for model in BASELINES.values():
        np.testing.assert_allclose(model(lone, HORIZON)[0][0], np.zeros((12, 2)), atol=1e-9)


def test_a_kinematic_forecast_is_one_mode_that_says_so() -> None:
    forecast = kinematic_forecast(make_scene(agents=4), TimeGrid())
    forecast.validate()
    assert forecast.source == ("kinematic",) * 4
    assert forecast.mode_probability.tolist() == [1.0]
