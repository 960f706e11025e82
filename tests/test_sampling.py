"""Recordings to the model's clock: exact where recorded, never over holes, never ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from street import recording

from drivewm.timing import TimeGrid
from drivewm_datasets.sampling import anchor_times, future_at, sample_agent, scene_at, with_whole_future

GRID = TimeGrid()


def test_the_published_protocol_fills_the_eight_slots_of_two_and_a_half_hertz(tmp_path: Path) -> None:
    """At 2.5 Hz the slots at 0.1 and 0.2 s stay empty; the others hold the last eight frames."""
    walkers = recording(tmp_path, hz=2.5)
    tracks = scene_at(walkers, 4.0, GRID).tracks
    filled = np.array(GRID.ages)[tracks.valid[0]]
    np.testing.assert_allclose(filled, [0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8])
    np.testing.assert_allclose(tracks.position[0, tracks.valid[0], 0], 1.2 * (4.0 - filled))


def test_ten_hertz_fills_every_slot(tmp_path: Path) -> None:
    assert scene_at(recording(tmp_path, hz=10.0), 4.0, GRID).tracks.valid.all()


def test_a_walker_at_one_point_two_metres_per_second_has_that_velocity_and_heading(tmp_path: Path) -> None:
    tracks = scene_at(recording(tmp_path, hz=10.0, speed=1.2), 4.0, GRID).tracks
    np.testing.assert_allclose(np.hypot(*tracks.velocity[:, 0].T), 1.2)
    np.testing.assert_allclose(tracks.yaw[:, 0], [0.0, 1.0, 2.0], atol=1e-9)
    assert tracks.heading_valid.all()


def test_a_hole_longer_than_0_65_s_is_not_interpolated(tmp_path: Path) -> None:
    """Frames at 2.0 and 3.0 s only: nothing in between is known, and nothing is invented."""
    walkers = recording(tmp_path, hz=2.5, agents=1)
    keep = (walkers.t_s <= 2.0) | (walkers.t_s >= 3.2 - 1e-9)
    holed = walkers.where(keep)
    times = np.array([1.8, 2.0, 2.4, 2.8, 3.2])
    _, valid = sample_agent(holed, 0, times, np.full(5, 0.65), until=np.inf)
    assert valid.tolist() == [True, True, False, False, True]


@given(future=st.floats(-1e3, 1e3), anchor=st.integers(8, 20))
@settings(max_examples=25, deadline=None)
def test_editing_the_future_leaves_the_scene_of_now_alone(
    tmp_path_factory: pytest.TempPathFactory, future: float, anchor: int
) -> None:
    walkers = recording(tmp_path_factory.mktemp("causal"), hz=2.5)
    now = anchor / 2.5
    later = walkers.t_s > now + 1e-9
    edited = replace(walkers, xy=np.where(later[:, None], walkers.xy + future, walkers.xy))
    before, after = scene_at(walkers, now, GRID).tracks, scene_at(edited, now, GRID).tracks
    np.testing.assert_array_equal(before.pose, after.pose)
    np.testing.assert_array_equal(before.velocity, after.velocity)


def test_the_first_frame_is_an_anchor_and_then_the_nearest_to_every_step(tmp_path: Path) -> None:
    """30 Hz, every 0.4 s: anchors at frames 0, 12, 24, ...; 2 Hz, every 0.4 s: every frame, each once."""
    fast = anchor_times(recording(tmp_path, hz=30.0, seconds=2.0), 0.4)
    np.testing.assert_allclose(fast, [0, 0.4, 0.8, 1.2, 1.6, 2.0])
    slow = anchor_times(recording(tmp_path, hz=2.0, seconds=2.0), 0.4)
    np.testing.assert_allclose(slow, [0, 0.5, 1.0, 1.5, 2.0])


def test_only_agents_with_past_and_whole_future_are_scored(tmp_path: Path) -> None:
    walkers = recording(tmp_path, hz=2.5, seconds=6.0)
    agents, future = with_whole_future(walkers, 0.8, GRID)
    assert len(agents) == 3
    np.testing.assert_allclose(future[0, :, 0], 1.2 * (0.8 + np.array(GRID.horizons)))
    assert len(with_whole_future(walkers, 0.0, GRID)[0]) == 0  # one position is no past
    assert len(with_whole_future(walkers, 1.6, GRID)[0]) == 0  # the track ends 4.4 s later
    _, known = future_at(walkers, 1.6, GRID, np.array([0]))
    assert known[0].tolist() == [True] * 11 + [False]
