"""Changing frames, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivewm.frames import compose, from_frame, invert, rotate, rotate_covariance, to_frame, wrap_angle

metres = st.floats(-1e4, 1e4)
radians = st.floats(-10.0, 10.0)
points = st.tuples(metres, metres).map(lambda point: np.array([point]))  # a batch of one
poses = st.tuples(metres, metres, radians).map(lambda pose: np.array([pose]))


def same_pose(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a[..., :2], b[..., :2], atol=1e-6) and np.allclose(
        wrap_angle(a[..., 2] - b[..., 2]), 0.0, atol=1e-9
    )


def test_a_quarter_turn_sends_east_to_north() -> None:
    np.testing.assert_allclose(rotate(np.array([1.0, 0.0]), np.array(np.pi / 2)), [0.0, 1.0], atol=1e-12)


def test_a_point_three_metres_ahead_of_a_car_facing_north() -> None:
    car = np.array([[10.0, 20.0, np.pi / 2]])
    np.testing.assert_allclose(to_frame(np.array([[10.0, 23.0]]), car), [[3.0, 0.0]], atol=1e-12)


def test_a_point_two_metres_left_of_a_car_facing_west() -> None:
    car = np.array([[10.0, 20.0, np.pi]])
    np.testing.assert_allclose(from_frame(np.array([[0.0, 2.0]]), car), [[10.0, 18.0]], atol=1e-12)


def test_a_trailer_behind_a_car_facing_north_lies_south_of_it() -> None:
    car_scene = np.array([[5.0, 5.0, np.pi / 2]])
    trailer_car = np.array([[-4.0, 0.0, 0.0]])
    np.testing.assert_allclose(compose(car_scene, trailer_car), [[5.0, 1.0, np.pi / 2]], atol=1e-12)


@pytest.mark.parametrize(
    ("angle", "wrapped"), [(np.pi, -np.pi), (-np.pi, -np.pi), (7.0, 7.0 - 2 * np.pi), (0.5, 0.5)]
)
def test_angles_lie_between_minus_pi_and_pi(angle: float, wrapped: float) -> None:
    assert wrap_angle(np.array([angle])) == pytest.approx(np.array([wrapped]))


@given(points, poses)
def test_to_a_frame_and_back_is_the_identity(point: np.ndarray, frame: np.ndarray) -> None:
    np.testing.assert_allclose(from_frame(to_frame(point, frame), frame), point, atol=1e-8)


@given(points, poses)
def test_a_change_of_frame_keeps_distances(point: np.ndarray, frame: np.ndarray) -> None:
    assert np.hypot(*to_frame(point, frame)[0]) == pytest.approx(
        np.hypot(*(point - frame[:, :2])[0]), abs=1e-8
    )


@given(poses)
def test_a_pose_composed_with_its_inverse_is_the_origin(pose: np.ndarray) -> None:
    origin = np.zeros((1, 3))
    assert same_pose(compose(pose, invert(pose)), origin)
    assert same_pose(compose(invert(pose), pose), origin)


@given(poses, poses, poses)
def test_composition_is_associative(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    assert same_pose(compose(compose(a, b), c), compose(a, compose(b, c)))


@given(poses, poses, points)
def test_composing_poses_equals_changing_frames_one_after_the_other(
    a: np.ndarray, b: np.ndarray, point: np.ndarray
) -> None:
    np.testing.assert_allclose(
        from_frame(point, compose(a, b)), from_frame(from_frame(point, b), a), atol=1e-6
    )


def test_an_ellipse_turned_a_quarter_swaps_its_axes() -> None:
    turned = rotate_covariance(np.diag([4.0, 1.0]), np.array(np.pi / 2))
    np.testing.assert_allclose(turned, np.diag([1.0, 4.0]), atol=1e-12)


@given(radians)
def test_a_turned_covariance_keeps_trace_and_determinant(yaw: float) -> None:
    covariance = np.array([[3.0, 0.7], [0.7, 2.0]])
    turned = rotate_covariance(covariance, np.array(yaw))
    assert np.trace(turned) == pytest.approx(5.0)
    assert np.linalg.det(turned) == pytest.approx(6.0 - 0.49)
    np.testing.assert_allclose(turned, turned.T, atol=1e-12)


def test_a_batch_gives_what_its_members_give() -> None:
    random = np.random.default_rng(0)
    point, frame = random.normal(size=(4, 5, 2)), random.normal(size=(4, 5, 3))
    batch = to_frame(point, frame)
    for i in np.ndindex(4, 5):
        alone = to_frame(point[i][None], frame[i][None])
        np.testing.assert_allclose(batch[i], alone[0], atol=1e-12)
