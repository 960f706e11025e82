"""Points to bird's-eye features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm.bev import BevGrid, BevSpec, bev_features, dequantise, quantise
from drivewm.errors import InputError
from drivewm_sim.sensors.bev_fast import bev_features_fast

SPEC = BevSpec()  # x -16 to 48 m, y -32 to 32 m, cells of 0.5 m
SENSOR = np.array([0.0, 0.25, 1.8])  # above the middle of a row of cells


def features(*points: tuple[float, float, float], spec: BevSpec = SPEC) -> dict[str, np.ndarray]:
    """The channels made of a few points."""
    grid = bev_features(np.array(points, np.float32).reshape(-1, 3), SENSOR, spec)
    return dict(zip(spec.channels, grid.features, strict=True))


def random_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """A cloud on and off the grid, part of it road, part of it on the edges of cells, some of it broken."""
    points = rng.uniform((-30, -45, -0.2), (70, 45, 4), (count, 3)).astype(np.float32)
    points[rng.random(count) < 0.4, 2] = 0.0
    on_edges = rng.random(count) < 0.2
    points[on_edges] = np.round(points[on_edges] * 2) / 2
    points[rng.random(count) < 0.02, rng.integers(3)] = np.nan
    return points


def test_x_is_forward_along_the_first_axis_and_y_left_along_the_second() -> None:
    channels = features((10.2, 3.3, 1.25))
    cell = (52, 70)  # (10.2 + 16) / 0.5 = 52.4, (3.3 + 32) / 0.5 = 70.6
    assert np.argwhere(channels["occupancy"]).tolist() == [list(cell)]
    assert channels["height"][cell] == 1.25
    assert channels["density"][cell] == pytest.approx(np.log(2))


@given(i=st.integers(0, 127), j=st.integers(0, 127))
def test_a_point_at_the_centre_of_a_cell_falls_into_that_cell(i: int, j: int) -> None:
    spec = dataclasses.replace(SPEC, max_range=100.0)
    x, y = (low + (index + 0.5) * spec.resolution for low, index in ((-16.0, i), (-32.0, j)))
    assert np.argwhere(features((x, y, 1.0), spec=spec)["occupancy"]).tolist() == [[i, j]]


def test_the_highest_return_and_the_number_of_returns_of_a_cell() -> None:
    channels = features(*[(5.1, 0.1, z) for z in (0.5, 2.0, 1.0)], *[(9.1, 0.1, 1.0)] * 400)
    assert channels["height"][42, 64] == 2.0
    assert channels["density"][42, 64] == pytest.approx(np.log(4))
    assert channels["density"][50, 64] == pytest.approx(np.log(256))  # capped


@pytest.mark.parametrize("z", [0.0, 0.25, 3.0, 7.0])
def test_neither_the_road_nor_a_bridge_above_is_an_obstacle(z: float) -> None:
    channels = features((10.2, 3.3, z))
    assert not channels["occupancy"].any()
    assert not channels["density"].any()


def test_a_ray_that_meets_the_road_frees_the_cells_from_where_it_is_a_metre_high() -> None:
    free = features((20.2, 0.25, 0.0))["free"]  # below 1 m from 20.2 * 0.8 / 1.8 = 8.98 m on
    ahead = -16 + (np.flatnonzero(free[:, 64]) + 0.5) * 0.5  # y 0 to 0.5: straight ahead of the sensor
    assert (ahead.min(), ahead.max()) == (9.25, 20.25)
    assert len(ahead) == 23  # without a gap
    assert not free[:, :64].any()
    assert not free[:, 65:].any()


def test_a_ray_that_meets_an_obstacle_frees_the_cells_before_it_only() -> None:
    channels = features((20.2, 0.25, 0.5))
    assert channels["occupancy"][72, 64] == 1
    assert channels["free"][71, 64] == 1
    assert not channels["free"][72:].any()


def test_a_ray_over_everybodys_head_frees_nothing() -> None:
    assert not features((20.2, 0.25, 2.5), (20.2, 3.0, 1.2))["free"].any()


def test_a_cell_with_a_return_is_never_free() -> None:
    channels = features((30.2, 0.25, 0.0), (20.2, 0.25, 1.5))
    assert channels["free"][71, 64] == 1
    assert channels["free"][72, 64] == 0
    assert channels["free"][73, 64] == 1


def test_past_sweeps_have_channels_by_age_and_a_missing_one_is_not_valid() -> None:
    new, old = np.array([[10.2, 0.2, 1.0]], np.float32), np.array([[8.2, 0.2, 1.0]], np.float32)
    grid = bev_features(new, SENSOR, SPEC, past=[(old, 0.41)])
    assert SPEC.channels[4:] == ("past_0.2", "past_0.4", "past_0.8")
    assert grid.valid.tolist() == [True] * 4 + [False, True, False]
    assert np.argwhere(grid.features[5]).tolist() == [[48, 64]]
    assert not grid.features[[4, 6]].any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 800))
def test_the_fast_pass_equals_the_reference_bit_by_bit(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points, old = random_points(rng, count), random_points(rng, count // 2)
    spec = BevSpec(x_range=(-8.0, 40.0), y_range=(-16.0, 24.0), resolution=0.4, free_directions=300)
    origin = np.array([1.3, -0.2, rng.choice([0.8, 1.8])])
    past = [(old, 0.2), (old[::2].copy(), 0.8)]
    slow, fast = (f(points, origin, spec, past) for f in (bev_features, bev_features_fast))
    np.testing.assert_array_equal(fast.features, slow.features)
    np.testing.assert_array_equal(fast.valid, slow.valid)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_points_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = random_points(rng, 300)
    shuffled = rng.permutation(points)
    np.testing.assert_array_equal(
        bev_features(points, SENSOR, SPEC).features, bev_features(shuffled, SENSOR, SPEC).features
    )


def test_quantising_keeps_yes_and_no_and_the_rest_to_half_a_unit() -> None:
    grid = bev_features(random_points(np.random.default_rng(3), 5000), SENSOR, SPEC)
    back = dequantise(quantise(grid))
    np.testing.assert_array_equal(back.features[[0, 3, 4]], grid.features[[0, 3, 4]])
    assert np.abs(back.features[1] - grid.features[1]).max() <= 1.5 / 255 + 1e-6  # heights to 3 m
    assert np.abs(back.features[2] - grid.features[2]).max() <= np.log(256) / 510 + 1e-6
    batch = BevGrid(features=grid.features[None], valid=grid.valid[None], spec=SPEC)
    np.testing.assert_array_equal(quantise(batch).code[0], quantise(grid).code)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resolution": 0.0}, "must be positive"),
        ({"x_range": (0.0, 10.2)}, "x_range must span whole cells of 0.5 m"),
        ({"obstacle_heights": (2.0, 1.0)}, "must rise"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BevSpec(**wrong)  # type: ignore[arg-type]
