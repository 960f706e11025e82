"""Signals, plan and bird's-eye grid as model inputs, and what a forecast says that it had to do without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_road_map, make_scene

from drivewm.bev import BevGrid, BevSpec
from drivewm.context import bev_features, missing, plan_features, signal_features, signal_states
from drivewm.features import INPUT_NAMES, InputSizes, featurize
from drivewm.types import Aspect, EgoPlan, RoadMap, Scene

STEPS = 12
SPEC = BevSpec(x_range=(-8.0, 8.0), y_range=(-8.0, 8.0))
EVERYTHING = InputSizes(polylines=40, signals=True, plan=True, bev=SPEC)


def signalled_map() -> RoadMap:
    """The street of `make_road_map`: its lanes under groups 1 and 0, its crosswalk under group 7."""
    return replace(make_road_map(), signal=np.array([1, 0, -1, -1, 7]))


def straight_plan(steps: int = STEPS, valid: int = STEPS) -> EgoPlan:
    """Along x at 5 m/s from (100, 50), known for the first `valid` steps."""
    known = (np.arange(steps) < valid)[None]
    x = 100 + 2.0 * np.arange(1, steps + 1)
    pose = np.stack([x, np.full(steps, 50.0), np.zeros(steps)], axis=-1)
    return EgoPlan(pose=np.where(known[..., None], pose, 0.0), valid=known)


def grid_of_ones() -> BevGrid:
    return BevGrid(features=np.ones(SPEC.shape, np.float32), valid=np.ones(SPEC.shape[0], bool), spec=SPEC)


def full_scene() -> Scene:
    return replace(
        make_scene(road_map=signalled_map()),
        signals=(Aspect.RED, Aspect.GREEN),
        bev=grid_of_ones(),
        ego_pose=np.array([1.0, 2.0, 0.0]),
        plan=straight_plan(),
    )


def test_a_line_shows_what_its_group_shows_and_nothing_where_it_has_none() -> None:
    """Group 7 is not among the two that are known."""
    state = signal_states(signalled_map(), (Aspect.RED, Aspect.GREEN))
    assert state.tolist() == [Aspect.GREEN, Aspect.RED, -1, -1, -1]
    assert signal_states(signalled_map(), None).tolist() == [-1] * 5
    assert signal_states(make_road_map(), (Aspect.RED,)).tolist() == [-1] * 5


def test_aspects_are_one_hot_and_zero_where_unknown() -> None:
    rows = signal_features(np.array([Aspect.GREEN, -1, Aspect.YELLOW]), 4)
    assert rows.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_every_piece_of_a_line_carries_its_signal() -> None:
    """Each lane of 100 m is six pieces; the first lane is green, the second red."""
    inputs = featurize([full_scene()], sizes=EVERYTHING)
    assert inputs.line_signal is not None
    assert inputs.line_signal[0].sum(axis=0).tolist() == [6, 0, 6]
    lanes = inputs.line_signal[0].any(axis=1)
    assert inputs.line_kind[0, lanes, 0].all()


def test_a_plan_is_written_from_the_scenes_centre() -> None:
    """After two steps of 2 m, at (104, 50), seen from (90, 45): (14, 5), heading east."""
    row = plan_features(straight_plan(), np.array([90.0, 45.0]), STEPS)
    np.testing.assert_allclose(row["plan"][0, 1], [14, 5, 1, 0])
    assert row["plan_mask"].tolist() == [[1] * STEPS]


def test_a_plan_that_ends_early_is_zero_afterwards() -> None:
    row = plan_features(straight_plan(valid=4), np.array([90.0, 45.0]), STEPS)
    assert row["plan_mask"][0].tolist() == [1] * 4 + [0] * 8
    assert not row["plan"][0, 4:].any()


def test_no_plan_is_the_null_plan() -> None:
    for plan in (None, EgoPlan.null(STEPS)):
        row = plan_features(plan, np.array([3.0, 4.0]), STEPS)
        assert row["plan"].shape == (1, STEPS, 4)
        assert not row["plan"].any()
        assert not row["plan_mask"].any()


def test_a_plan_of_another_length_or_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="a plan must have 12 steps, got 5"):
        plan_features(straight_plan(steps=5), np.zeros(2), STEPS)
    valid = np.ones((1, STEPS), bool)
    valid[0, 3] = False
    with pytest.raises(ValueError, match="without holes"):
        EgoPlan(pose=np.zeros((1, STEPS, 3)), valid=valid).validate()


def test_a_missing_grid_is_zeros_that_say_so() -> None:
    row = bev_features(None, None, np.zeros(2), SPEC)
    assert row["bev"].shape == SPEC.shape
    assert not row["bev"].any()
    assert not row["bev_mask"].any()


def test_a_grid_lies_in_the_egos_frame() -> None:
    row = bev_features(grid_of_ones(), np.array([3.0, 4.0, np.pi / 2]), np.array([1.0, 1.0]), SPEC)
    np.testing.assert_allclose(row["bev_pose"], [2, 3, 0, 1], atol=1e-12)
    assert row["bev_mask"].tolist() == [1] * SPEC.shape[0]


def test_a_grid_without_the_egos_pose_or_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the ego's pose"):
        bev_features(grid_of_ones(), None, np.zeros(2), SPEC)
    with pytest.raises(ValueError, match="the grid must be of"):
        bev_features(grid_of_ones(), np.zeros(3), np.zeros(2), BevSpec())


def test_inputs_are_those_that_the_sizes_name() -> None:
    assert tuple(featurize([full_scene()], polylines=8).as_dict()) == INPUT_NAMES
    everything = featurize([full_scene()], sizes=EVERYTHING)
    assert tuple(everything.as_dict()) == EVERYTHING.names
    assert {array.dtype for array in everything.as_dict().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({}, ()),
        ({"road_map": RoadMap.empty()}, ("map",)),
        ({"signals": None}, ("signals",)),
        ({"bev": None}, ("bev",)),
        ({"plan": None}, ("plan",)),
        ({"plan": EgoPlan.null(STEPS)}, ("plan",)),
        (
            {"road_map": RoadMap.empty(), "signals": None, "bev": None, "plan": None},
            ("map", "signals", "bev", "plan"),
        ),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, object], lacks: tuple[str, ...]) -> None:
    scene = replace(full_scene(), **changes)  # type: ignore[arg-type]
    assert missing(scene, signals=True, bev=True, plan=True) == lacks


def test_what_a_model_cannot_use_is_not_missed() -> None:
    assert missing(make_scene(road_map=make_road_map()), signals=False, bev=False, plan=False) == ()
