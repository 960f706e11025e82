"""Which way one faces: by its motion where that is sure, on wheels by the lane where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_road_map
from hypothesis import given
from hypothesis import strategies as st

from drivewm.features import Lines, split_lines
from drivewm.lane_direction import angle_to_lane, road_yaw
from drivewm.tracks import tracks_from_positions
from drivewm.types import Kind

LINES = split_lines(make_road_map())  # eastward at y = -1.75, westward at y = 1.75
TIMES = -0.4 * np.arange(6)


def yaw_of(path: np.ndarray, kind: Kind, lines: Lines = LINES) -> tuple[float, bool]:
    """Heading of one agent with places newest first, and whether it is known."""
    tracks = tracks_from_positions(
        position=path[None],
        valid=np.ones((1, len(path)), bool),
        times=TIMES,
        kind=np.array([int(kind)]),
        size=np.zeros((1, 2)),
        ids=("a",),
        road_yaw=road_yaw(path[:1], np.array([int(kind)]), lines),
    )
    return float(tracks.yaw[0, 0]), bool(tracks.heading_valid[0])


def waits_at(y: float, seed: int) -> np.ndarray:
    """A track of somebody who stands, with the noise of a lidar's tracker."""
    return np.array([5.0, y]) + np.random.default_rng(seed).normal(0.0, 0.12, (6, 2))


@given(st.integers(0, 10_000))
def test_a_car_that_waits_faces_along_its_lane_whatever_the_noise(seed: int) -> None:
    assert yaw_of(waits_at(-1.75, seed), Kind.VEHICLE) == (0.0, True)
    assert yaw_of(waits_at(1.75, seed), Kind.VEHICLE) == (pytest.approx(np.pi), True)


def test_where_it_truly_moved_counts_more_than_the_lane() -> None:
    """1.6 m to the north in two seconds, across the eastward lane."""
    across = np.stack([np.full(6, 5.0), -1.75 - 0.32 * np.arange(6)], axis=-1)
    assert yaw_of(across, Kind.VEHICLE) == (pytest.approx(np.pi / 2), True)
    creeps = np.stack([np.full(6, 5.0), -1.75 - 0.2 * np.arange(6)], axis=-1)  # 1 m is not sure
    assert yaw_of(creeps, Kind.VEHICLE) == (0.0, True)


def test_without_a_lane_nearby_the_little_motion_there_is_must_do() -> None:
    creeps = np.stack([np.full(6, 5.0), 30.0 - 0.2 * np.arange(6)], axis=-1)
    for lines in (LINES, Lines.none()):
        assert yaw_of(creeps, Kind.VEHICLE, lines) == (pytest.approx(np.pi / 2), True)
    assert yaw_of(np.tile([5.0, 30.0], (6, 1)), Kind.VEHICLE) == (0.0, False)


def test_people_face_where_they_walk() -> None:
    """The newest half metre counts, not the newest noise; lanes do not."""
    walks = np.stack([np.full(6, 5.0), -1.75 - 0.2 * np.arange(6)], axis=-1)
    walks[1] += [-0.3, 0.1]  # 0.32 m off, to the west
    assert yaw_of(walks, Kind.PEDESTRIAN)[0] == pytest.approx(np.pi / 2, abs=0.01)


def test_the_lane_is_that_of_the_heading_rule_of_the_road() -> None:
    place = np.array([[5.0, -1.0], [5.0, 1.0], [5.0, 6.0]])
    yaw = road_yaw(place, np.full(3, int(Kind.VEHICLE)), LINES)
    assert np.isnan(yaw[2])
    pose = np.column_stack([place[:2], yaw[:2]])
    np.testing.assert_allclose(angle_to_lane(pose, make_road_map()), 0.0, atol=1e-9)
