"""Pedestrians of one joint mode step aside for each other; nobody else is moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_tracks
from hypothesis import given
from hypothesis import strategies as st

from drivewm.baselines import kinematic_forecast
from drivewm.personal_space import ROOM, make_room, parted
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene

GRID = TimeGrid()
WIDTH = np.full(2, 0.5)
BOTH = np.ones(2, bool)


def two_in_one_place() -> tuple[np.ndarray, np.ndarray]:
    """Two modes of two steps. In the first step of mode 0 both stand 0.1 m apart, elsewhere far apart."""
    path = np.zeros((2, 2, 2, 2))
    path[:, 1, :, 0] = 5.0
    path[0, :, 0, 0] = [2.0, 2.1]
    return path, np.array([[0.0, 0.0], [4.0, 0.0]])


def test_each_steps_aside_by_half_of_what_is_missing() -> None:
    """1.15 times 0.5 m is 0.575 m; 0.1 m of it is there."""
    path, now = two_in_one_place()
    out = parted(path, now, WIDTH, BOTH)
    assert out[0, :, 0, 0] == pytest.approx([2.05 - 0.575 / 2, 2.05 + 0.575 / 2])
    out[0, :, 0] = path[0, :, 0]
    np.testing.assert_array_equal(out, path)


def test_who_is_not_seen_yields_alone() -> None:
    path, now = two_in_one_place()
    out = parted(path, now, WIDTH, np.array([True, False]))
    assert out[0, :, 0, 0] == pytest.approx([2.0, 2.575])


def test_two_in_the_very_same_place_part_to_the_sides_they_came_from() -> None:
    path, now = two_in_one_place()
    path[0, :, 0] = [2.0, 0.0]
    out = parted(path, now, WIDTH, BOTH)
    assert out[0, :, 0, 0] == pytest.approx([2.0 - 0.2875, 2.0 + 0.2875])


def test_who_touches_now_stays_together() -> None:
    path, _ = two_in_one_place()
    np.testing.assert_array_equal(parted(path, np.array([[0.0, 0.0], [0.3, 0.0]]), WIDTH, BOTH), path)


@given(st.integers(0, 10_000))
def test_a_crowd_ends_further_apart_and_once_apart_it_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    path, now = rng.uniform(0, 6, (3, 8, 4, 2)), 10.0 * np.arange(16).reshape(8, 2)
    width, seen = rng.uniform(0.4, 0.6, 8), rng.random(8) < 0.8
    reach = ROOM * (width[:, None] + width) / 2

    def missing(of: np.ndarray) -> float:
        apart = np.linalg.norm(of[:, :, None] - of[:, None], axis=-1)
        short = np.maximum(reach[..., None] - apart, 0.0)
        return float(short[:, ~np.eye(8, dtype=bool)].sum())

    out = parted(path, now, width, seen)
    assert missing(out) <= 0.35 * missing(path) + 1e-9
    assert np.abs(out - path).max() < 2.0
    if missing(out) < 1e-9:
        np.testing.assert_allclose(parted(out, now, width, seen), out, atol=1e-9)


def walking_into_each_other(kind: list[int], source: str) -> tuple[Scene, Forecast]:
    """Agents who all go to the same place, as a forecast of the model."""
    scene = Scene(tracks=replace(make_tracks(agents=len(kind)), kind=np.array(kind)), t_s=0.0)
    forecast = kinematic_forecast(scene, GRID)
    position = np.broadcast_to(forecast.position[:, :1], forecast.position.shape).copy()
    return scene, replace(forecast, position=position, source=(source,) * len(kind))


def test_only_joint_modes_of_pedestrians_are_changed() -> None:
    """A conflict with a vehicle is what a planner must see: nobody is moved out of its way."""
    walks, drives = int(Kind.PEDESTRIAN), int(Kind.VEHICLE)
    scene, forecast = walking_into_each_other([walks, walks, drives], "model")
    out = make_room(forecast, scene)
    assert np.linalg.norm(out.position[:, 0] - out.position[:, 1], axis=-1).min() > 0.5
    np.testing.assert_array_equal(out.position[:, 2], forecast.position[:, 2])
    np.testing.assert_array_equal(out.marginal_position, forecast.marginal_position)
    for kind, source in (([walks, drives], "model"), ([walks, walks], "kinematic")):
        scene, forecast = walking_into_each_other(kind, source)
        assert make_room(forecast, scene) is forecast
