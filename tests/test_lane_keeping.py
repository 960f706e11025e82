"""Vehicles in a lane are drawn back to the lanes; nobody else is moved, and nobody far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_road_map, make_scene
from hypothesis import given
from hypothesis import strategies as st

from drivewm.baselines import kinematic_forecast
from drivewm.lane_keeping import keep_to_lanes
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_eval.drivable import DrivableArea

GRID = TimeGrid()
X = 2.0 * np.arange(1, 13)


def on_the_street(aside: list[float] | np.ndarray, **scene: object) -> tuple[Scene, Forecast]:
    """A car in the right lane (middle at y = -1.75) with one mode: so far aside of that, by step."""
    settings: dict[str, object] = {"kind": Kind.VEHICLE, "road_map": make_road_map(), "agents": 1}
    at = make_scene(origin=(0.0, -1.75), **(settings | scene))  # type: ignore[arg-type]
    forecast = kinematic_forecast(at, GRID)
    path = np.stack([X, -1.75 - np.asarray(aside)], axis=-1)
    return at, replace(forecast, position=path[None, None], source=("model",))


def test_who_strays_beside_the_road_is_drawn_back_to_ten_centimetres_inside_the_lane() -> None:
    """The lane is 3.5 m wide: its edge is 1.75 m from its middle."""
    scene, forecast = on_the_street([0.0] * 8 + [1.0, 1.6, 2.0, 3.0])
    out = keep_to_lanes(forecast, scene)
    assert out.position[0, 0, :, 0] == pytest.approx(X)
    assert out.position[0, 0, :, 1] == pytest.approx([-1.75] * 8 + [-2.75, -3.35, -3.4, -3.4])


def test_who_changes_to_the_other_lane_stays_between_the_two() -> None:
    """Halfway, 1.75 m from both middles, he is in both lanes."""
    scene, forecast = on_the_street([0.0] * 6 + [-1.0, -1.7, -1.8, -2.5, -3.5, -3.5])
    moved = keep_to_lanes(forecast, scene).position - forecast.position
    assert np.abs(moved).max() == pytest.approx(0.05)


def test_between_four_and_five_metres_it_is_drawn_back_less_and_less() -> None:
    """6.15 m from the middle, 1.65 m kept: 4.5 m too far, of which half is taken back."""
    scene, forecast = on_the_street([0.0] * 11 + [6.15])
    out = keep_to_lanes(forecast, scene)
    assert out.position[0, 0, -1, 1] == pytest.approx(-1.75 - 6.15 + 4.5 / 2)


@pytest.mark.parametrize(
    ("aside", "scene"),
    [
        ([0.0] * 10 + [3.0, 7.0], {}),  # more than 5 m beside the lane: he goes elsewhere
        ([2.5] * 12, {"kind": Kind.PEDESTRIAN}),
        ([2.5] * 12, {"ego_id": "0"}),
    ],
)
def test_others_are_left_alone(aside: list[float], scene: dict[str, object]) -> None:
    at, forecast = on_the_street(aside, **scene)
    np.testing.assert_array_equal(keep_to_lanes(forecast, at).position, forecast.position)


def test_who_stands_beside_the_road_now_may_stay_there() -> None:
    scene, forecast = on_the_street([2.5] * 12)
    pose = scene.tracks.pose.copy()
    pose[..., 1] = -4.5
    parked = replace(scene, tracks=replace(scene.tracks, pose=pose))
    np.testing.assert_array_equal(keep_to_lanes(forecast, parked).position, forecast.position)


def test_where_the_map_ends_the_road_does_not() -> None:
    scene, forecast = on_the_street([0.0] * 12)
    beyond = replace(forecast, position=forecast.position + np.array([40.0, 0.0]))  # the lane ends at x = 50
    np.testing.assert_array_equal(keep_to_lanes(beyond, scene).position, beyond.position)


def test_without_lanes_nothing_is_known() -> None:
    scene, forecast = on_the_street([2.5] * 12)
    bare = replace(scene, road_map=type(scene.road_map).empty())
    np.testing.assert_array_equal(keep_to_lanes(forecast, bare).position, forecast.position)


@given(st.integers(0, 10_000))
def test_whatever_the_path_it_ends_on_the_road_unless_it_strays_far(seed: int) -> None:
    """Against the area of the lanes that the rooms judge by."""
    rng = np.random.default_rng(seed)
    scene, forecast = on_the_street(np.cumsum(rng.normal(0.0, 0.8, 12)))
    out = keep_to_lanes(forecast, scene).position
    aside = np.abs(forecast.position[..., 1])  # the road is 7 m wide, its middle at y = 0
    if (aside.max(axis=-1) < 3.4 + 4.0).all():
        assert DrivableArea(make_road_map()).holds(out).all()
        again = keep_to_lanes(replace(forecast, position=out), scene).position
        np.testing.assert_allclose(again, out, atol=1e-9)
    elif (aside.max(axis=-1) > 3.4 + 5.0).all():
        np.testing.assert_array_equal(out, forecast.position)
