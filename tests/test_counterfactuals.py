"""Counterfactuals are judged on branches: what changed truly, what the forecast changed, who went first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from drives import EGO, cast, drive, path

from drivewm.baselines import kinematic_forecast
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import Branch, Drive
from drivewm_datasets.drive_scenes import moment_at
from drivewm_eval.counterfactuals import answers, counterfactuals
from drivewm_eval.flips import flips_of
from drivewm_eval.precedence import arrival, fine, first_there, meeting_place

GRID = TimeGrid()
KINDS = {EGO: Kind.VEHICLE, "walker": Kind.PEDESTRIAN, "far": Kind.PEDESTRIAN}
MOMENT = 20


def crossing() -> Drive:
    """The ego drives east along y = 0; a walker comes from the south and crosses only if the ego brakes."""
    frames = MOMENT + 50
    paths = {
        EGO: path((-30.0, 0.0), (5.0, 0.0), frames),
        "walker": path((0.0, -6.0), (0.0, 1.0), frames),
        "far": path((0.0, 80.0), (1.0, 0.0), frames),
    }
    true = cast(paths, KINDS)

    def branch(plan: str, ego_mps: float, walker_mps: float) -> Branch:
        t = 0.1 * np.arange(1, 49)[:, None]
        pose = true.pose[:, MOMENT][:, None].repeat(48, 1).copy()
        pose[0, :, 0] += ego_mps * t[:, 0]
        pose[1, :, 1] += walker_mps * t[:, 0]
        pose[2, :, 0] += t[:, 0]
        return Branch(moment=MOMENT, plan=plan, pose=pose, there=np.ones(pose.shape[:2], bool))

    return drive(true, true, branches=[branch("keep", 6.0, 0.0), branch("brake", 0.5, 1.5)])


def as_it_will_be(branch_of: Drive, *, deaf: bool = False) -> object:
    """A forecaster that knows every branch; a deaf one says of each plan what the first one gives."""

    def imagine(scenes: Sequence[Scene]) -> list[list[Forecast]]:
        out = []
        for scene in scenes:
            straight = kinematic_forecast(scene, GRID)
            if scene.plan is None:
                out.append([straight])
                continue
            rows = [branch_of.true.ids.index(name) for name in scene.tracks.ids]
            futures = [b.pose[rows][:, 3::4, :2] for b in branch_of.branches]
            if deaf:
                futures = futures[:1] * len(futures)
            out.append([replace(straight, position=f[None], marginal_position=f[None]) for f in futures])
        return out

    return imagine


def test_a_forecaster_that_knows_the_branches_is_right_in_everything() -> None:
    street = crossing()
    figures = counterfactuals(answers([street], as_it_will_be(street), GRID))  # type: ignore[arg-type]
    assert figures["moments"] == 1
    assert figures["affected"] == 1, "the walker; not the ego itself, not the one far away"
    assert figures["ade_plan_given"] == pytest.approx(0.0, abs=1e-9)
    assert figures["gain"] == pytest.approx(1.0)
    # Without the plan 1 m/s is said; 0 and 1.5 are true, .75 in the middle: errors of 1, .5 and .25 m/s.
    assert figures["gain_of_true_change"] == pytest.approx(1 - 0.25 / 0.75)
    assert figures["unaffected_p95_m"] == 0.0
    assert figures["change_m"] == pytest.approx(1.5 * 2.6)
    assert figures["change_explained_joint"] == figures["change_explained_most_likely"] == pytest.approx(1.0)
    assert (figures["flips"], figures["flips_right"]) == (1, 1.0)
    # If it went under both plans it would be first under both, if it stood under both under none.
    assert figures["flips_that_need_an_answer"] == 1


def test_a_forecaster_that_is_deaf_to_the_plan_gets_the_order_wrong() -> None:
    street = crossing()
    figures = counterfactuals(answers([street], as_it_will_be(street, deaf=True), GRID))  # type: ignore[arg-type]
    # Under "keep" it is right, under "brake" it misses the walker's way: 1.5 m/s over 0.4 .. 4.8 s.
    assert figures["ade_plan_given"] == pytest.approx(0.5 * 1.5 * 2.6)
    assert figures["change_explained_joint"] == figures["change_explained_most_likely"] == pytest.approx(0.0)
    assert (figures["flips"], figures["flips_right"]) == (1, 0.0)


def test_a_flip_without_an_answer_is_seen_without_the_plan() -> None:
    """The walker goes on at 0.8 m/s whatever comes. At 6 m/s the ego is first, at 0.5 it never comes."""
    street = crossing()
    keep, brake = street.branches
    pose = keep.pose.copy()
    pose[1] = brake.pose[1]
    pose[1, :, 1] = -4.0 + 0.8 * 0.1 * np.arange(1, 49)
    keep, brake = replace(keep, pose=pose), replace(brake, pose=np.concatenate([brake.pose[:1], pose[1:]]))
    moment = moment_at(street, MOMENT, GRID, [keep, brake])
    straight = kinematic_forecast(moment.scene, GRID)
    right = replace(straight, marginal_position=moment.future[:1])
    (flip,) = flips_of(moment, [right, right], right, [moment.scene.tracks.ids.index("walker")])
    assert (flip.right, flip.right_hidden, flip.needs_answer) == (True, True, False)


def test_who_goes_first_is_who_is_first_where_the_ways_meet() -> None:
    ego = np.column_stack([np.arange(-10.0, 11.0, 2.0), np.zeros(11)])  # at the origin after 5 steps
    early = np.column_stack([np.zeros(11), np.arange(-4.0, 7.0, 1.0)])  # after 4 steps
    late = np.column_stack([np.zeros(11), np.arange(-8.0, 3.0, 1.0)])  # after 8 steps
    place = meeting_place([ego], [early, late], 1.0)
    assert place is not None
    assert first_there(ego, early, place, 1.0) is True
    assert first_there(ego, late, place, 1.0) is False
    assert meeting_place([ego], [early + np.array([100.0, 0.0])], 1.0) is None


def test_a_fine_path_passes_through_its_points_and_the_meeting_place_lies_on_the_egos_way() -> None:
    way = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    assert np.allclose(fine(way)[::8], way)
    assert arrival(way, np.array([1.0, 0.5]), 0.6) == 1.0
    assert np.isinf(arrival(way, np.array([9.0, 9.0]), 1.0))
    across = np.array([[0.5, -1.0], [0.5, 0.0], [0.5, 1.0]])
    assert meeting_place([way], [across], 1.0) == pytest.approx([0.5, 0.0])
