"""How surprised the model is: bodies, free ground and lanes by hand, then tails and how they combine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from belief_drives import make_drive
from conftest import make_road_map
from hypothesis import given
from hypothesis import strategies as st

from drivewm.baselines import kinematic_forecast
from drivewm.belief import Belief, chunk_ends
from drivewm.density import VARIANCE_FLOOR, floored, log_density
from drivewm.evidence import SIGNALS, Evidence, evidence, sigma_points
from drivewm.frames import rotate
from drivewm.free_ground import depth_in_free_ground
from drivewm.lane_direction import angle_to_lane
from drivewm.solidity import depth_in_boxes, depth_in_outlines, obstacle_edges
from drivewm.surprise import ALL_SIGNALS, Normality, combined, fit_normality, surprise
from drivewm.timing import TimeGrid
from drivewm.types import LineKind, RoadMap, Scene
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import scene_of
from drivewm_datasets.street_windows import present_at

CAR = np.array([4.0, 2.0])
SURE, UNSURE = np.array(True), np.array(False)
SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0], [0.0, 0.0]])
NAME = {name: e for e, name in enumerate(SIGNALS)}


def belief_at(drive: Drive, frame: int) -> Belief:
    """Constant velocity believes; its latents say nothing."""
    grid = TimeGrid()
    scene = scene_of(drive, frame, grid, present_at(drive, frame), plan=None, bev=True)
    agents = scene.tracks.agents
    return Belief(
        scene=scene,
        forecast=kinematic_forecast(scene, grid),
        latent=np.zeros((agents, 4), np.float32),
        foreseen=np.zeros((1, agents, 4, 4), np.float32),
        foreseen_s=chunk_ends(grid, 4),
    )


def evidence_at(drive: Drive, frame: int) -> Evidence:
    return evidence(belief_at(drive, frame), [belief_at(drive, frame - back) for back in (12, 8, 4)])


# Bodies.


def test_the_middle_of_a_car_is_half_its_width_deep() -> None:
    point = np.array([[0.0, 0.0], [0.0, 0.75], [1.5, 0.0], [0.0, 1.1], [3.0, 0.0]])
    depth = depth_in_boxes(point, np.zeros(3), CAR, SURE)
    np.testing.assert_allclose(depth, [1.0, 0.25, 0.5, 0.0, 0.0])


def test_a_car_of_unknown_heading_is_the_disc_that_fits_whatever_it_is() -> None:
    point = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 0.75]])
    np.testing.assert_allclose(depth_in_boxes(point, np.zeros(3), CAR, UNSURE), [1.0, 0.0, 0.25])


@given(st.floats(-3, 3), st.floats(-50, 50), st.floats(-2, 2), st.floats(-1, 1))
def test_turning_and_moving_a_box_with_its_point_keeps_the_depth(
    yaw: float, shift: float, x: float, y: float
) -> None:
    point = np.array([[x, y]])
    moved = rotate(point, np.array(yaw)) + shift
    there = depth_in_boxes(moved, np.array([shift, shift, yaw]), CAR, SURE)
    np.testing.assert_allclose(there, depth_in_boxes(point, np.zeros(3), CAR, SURE), atol=1e-9)


def make_obstacle(outline: np.ndarray) -> RoadMap:
    return RoadMap(
        points=outline[None],
        valid=np.ones((1, len(outline)), bool),
        kind=np.array([int(LineKind.OBSTACLE)]),
    )


def test_depth_in_an_outline_is_the_distance_to_its_nearest_edge() -> None:
    edges = obstacle_edges(make_obstacle(SQUARE))
    point = np.array([[2.0, 1.0], [0.5, 1.0], [2.0, 1.9], [-0.1, 1.0], [5.0, 5.0]])
    np.testing.assert_allclose(depth_in_outlines(point, edges), [1.0, 0.5, 0.1, 0.0, 0.0], atol=1e-12)


def test_lanes_and_crosswalks_are_no_obstacles() -> None:
    edges = obstacle_edges(make_road_map())
    assert len(edges) == 0
    assert depth_in_outlines(np.array([[10.0, 0.0]]), edges) == 0


# Lanes.


def test_a_car_against_its_lane_is_half_a_turn_off_and_one_beside_the_street_in_no_lane() -> None:
    pose = np.array([[0.0, -1.75, 0.0], [0.0, -1.75, np.pi], [0.0, 1.75, 0.1], [0.0, 9.0, 0.0]])
    angle = angle_to_lane(pose, make_road_map())
    np.testing.assert_allclose(angle[:3], [0.0, np.pi, np.pi - 0.1])
    assert np.isnan(angle[3])


# Free ground.


def test_open_ground_is_deep_and_the_ground_under_a_body_is_not_free() -> None:
    drive = make_drive()
    scene = belief_at(drive, 40).scene
    assert scene.bev is not None
    assert scene.ego_pose is not None
    place = np.array([drive.seen.pose[1, 40, :2], [20.0, -15.0], [200.0, 0.0]])
    np.testing.assert_allclose(depth_in_free_ground(place, scene.bev, scene.ego_pose), [0.0, 3.0, 0.0])


# Evidence.


def test_who_walks_on_at_constant_velocity_gives_no_evidence_against_it() -> None:
    seen = evidence_at(make_drive(), 60)
    row = seen.ids.index("walker")
    expected = np.log(2 * np.pi * ((0.45 * 0.4**2 / 2 + 0.05) ** 2 + VARIANCE_FLOOR))
    assert seen.value[row, NAME["position_0.4"]] == pytest.approx(expected, abs=1e-6)
    assert not seen.known[row, NAME["appeared"]]  # who was there before did not appear
    for name in ("ghost", "gone", "solid"):
        assert seen.known[row, NAME[name]]
        assert seen.value[row, NAME[name]] == 0


def test_the_ego_is_never_judged() -> None:
    seen = evidence_at(make_drive(), 60)
    row = seen.ids.index("ego")
    assert not seen.known[row].any()
    assert not seen.latent_known[row]


def test_a_car_keeps_to_its_lane() -> None:
    seen = evidence_at(make_drive(), 60)
    assert seen.value[seen.ids.index("car"), NAME["lane"]] == pytest.approx(0, abs=1e-9)
    assert not seen.known[seen.ids.index("walker"), NAME["lane"]]


def vanish(drive: Drive, row: int, frame: int) -> Drive:
    there, pose = drive.seen.there.copy(), drive.seen.pose.copy()
    there[row, frame:], pose[row, frame:] = False, 0
    return replace(drive, seen=replace(drive.seen, there=there, pose=pose))


def test_who_vanishes_is_gone_only_where_the_ground_is_seen_free() -> None:
    drive = vanish(make_drive(), 1, 50)
    still_there = evidence_at(drive, 60)  # the lidar goes on seeing the body
    row = still_there.ids.index("walker")
    assert still_there.hidden[row]
    assert still_there.value[row, NAME["gone"]] < 0.2
    open_ground = replace(drive, bev=tuple(make_empty(drive) for _ in range(drive.frames)))
    assert evidence_at(open_ground, 60).value[row, NAME["gone"]] == pytest.approx(3.0)


def make_empty(drive: Drive) -> bytes:
    from drivewm.bev import CURRENT, BevGrid, BevSpec, quantise
    from drivewm_datasets.drive import pack

    spec = BevSpec()
    features = np.zeros(spec.shape, np.float32)
    features[CURRENT.index("free")] = 1.0
    return pack(quantise(BevGrid(features=features, valid=np.ones(len(features), bool), spec=spec)).code)


def test_who_walks_into_the_car_breaks_solidity_by_as_much_as_he_is_inside() -> None:
    drive = make_drive()
    pose = drive.seen.pose.copy()
    pose[1] = pose[2]  # inside the car, all the way
    inside = evidence_at(replace(drive, seen=replace(drive.seen, pose=pose)), 60)
    assert inside.value[inside.ids.index("walker"), NAME["solid"]] == pytest.approx(0.95)


def test_without_a_grid_or_a_past_what_they_would_tell_is_unknown() -> None:
    drive = replace(make_drive(), bev=None, bev_spec=None)
    seen = evidence(belief_at(drive, 60), [])
    walker = seen.known[seen.ids.index("walker")]
    assert {name for name in SIGNALS if walker[NAME[name]]} == {"solid"}


@given(st.floats(0.1, 4), st.floats(0.1, 4), st.floats(-0.9, 0.9))
def test_sigma_points_have_the_mean_and_spread_they_stand_for(sx: float, sy: float, rho: float) -> None:
    covariance = np.array([[sx * sx, rho * sx * sy], [rho * sx * sy, sy * sy]])
    points = sigma_points(np.array([1.0, 2.0]), covariance)
    np.testing.assert_allclose(points.mean(axis=0), [1.0, 2.0])
    np.testing.assert_allclose((points - points[0]).T @ (points - points[0]) / 2, covariance, atol=1e-9)


def test_density_is_that_of_a_normal_with_five_centimetres_of_noise() -> None:
    covariance = floored(np.eye(2)[None, None] * (1 - VARIANCE_FLOOR))
    density = log_density(np.zeros((1, 2)), np.zeros((1, 1, 2)), covariance, np.ones((1, 1)))
    np.testing.assert_allclose(density, -np.log(2 * np.pi))


# Nats.


def make_evidence(value: np.ndarray, *, kind: int = 0, seed: int = 0) -> Evidence:
    agents = len(value)
    rng = np.random.default_rng(seed)
    return Evidence(
        t_s=0.0,
        ids=tuple(str(a) for a in range(agents)),
        kind=np.full(agents, kind),
        speed=np.ones(agents),
        hidden=np.zeros(agents, bool),
        value=np.repeat(value[:, None], len(SIGNALS), axis=1),
        known=np.ones((agents, len(SIGNALS)), bool),
        latent=rng.normal(size=(agents, 4)),
        latent_known=np.ones(agents, bool),
    )


NORMAL = fit_normality([make_evidence(np.random.default_rng(0).exponential(2.0, 20000))])
"""Normal values are exponential with mean 2."""


@pytest.fixture
def normality() -> Normality:
    return NORMAL


def test_a_value_that_one_in_a_hundred_reaches_is_worth_log_a_hundred(normality: Normality) -> None:
    values = np.array([2 * np.log(10), 2 * np.log(100), 2 * np.log(1e6)])
    nats, known = normality.nats(make_evidence(values))
    assert known.all()
    # An exponential tail goes on for ever: also one in a million is measured rightly.
    np.testing.assert_allclose(nats[:, NAME["position_0.4"]], np.log([10, 100, 1e6]), rtol=0.12)


def test_what_says_nothing_is_worth_nothing(normality: Normality) -> None:
    assert normality.nats(make_evidence(np.zeros(1)))[0][0, NAME["ghost"]] == 0


@given(st.lists(st.floats(0, 50), min_size=2, max_size=2))
def test_a_larger_signal_never_surprises_less(values: list[float]) -> None:
    low, high = (NORMAL.nats(make_evidence(np.array([v])))[0][0, :-1] for v in sorted(values))
    assert (high >= low - 1e-9).all()


def test_normality_survives_the_disk(normality: Normality, tmp_path: Path) -> None:
    normality.save(tmp_path / "normal.npz")
    some = make_evidence(np.array([0.5, 3.0, 40.0]))
    loaded = Normality.load(tmp_path / "normal.npz")
    np.testing.assert_array_equal(normality.nats(some)[0], loaded.nats(some)[0])


@given(st.lists(st.floats(0, 300), min_size=1, max_size=8))
def test_the_harmonic_mean_lies_between_the_mean_and_the_largest(nats: list[float]) -> None:
    value = np.array([nats])
    whole = combined(value, np.ones(value.shape, bool))[0]
    assert value.mean() - 1e-9 <= whole <= value.max() + 1e-9
    assert whole >= value.max() - np.log(len(nats)) - 1e-9


def test_unknown_signals_neither_surprise_nor_reassure() -> None:
    nats, known = np.array([[5.0, 0.0], [5.0, 99.0]]), np.array([[True, False], [True, False]])
    np.testing.assert_allclose(combined(nats, known), [5.0, 5.0])
    assert combined(nats, np.zeros((2, 2), bool)).tolist() == [0.0, 0.0]


def test_one_impossible_agent_surprises_in_the_scene(normality: Normality) -> None:
    calm = surprise(make_evidence(np.ones(10)), normality)
    odd = surprise(make_evidence(np.array([1.0] * 9 + [100.0])), normality)
    assert odd.scene > calm.scene + 10
    assert odd.agent.argmax() == 9
    assert odd.of(ALL_SIGNALS[:1])[9] > 20


def test_an_empty_street_surprises_nobody(normality: Normality) -> None:
    assert surprise(make_evidence(np.zeros(0)), normality).scene == 0.0


def test_a_scene_without_anybody_has_no_evidence() -> None:
    drive = make_drive()
    nobody = replace(drive, seen=replace(drive.seen, there=np.zeros_like(drive.seen.there)))
    grid = TimeGrid()
    scene: Scene = scene_of(nobody, 60, grid, present_at(nobody, 60), plan=None, bev=True)
    assert scene.tracks.agents == 0
    assert evidence_at(nobody, 60).value.shape == (0, len(SIGNALS))
