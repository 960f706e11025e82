"""A plan that is driven through somebody asks nobody how he would react: such branches teach nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from street_moments import make_drive, straight

from drivewm.types import Kind
from drivewm_datasets.collisions import reactions, runs_into
from drivewm_datasets.drive import Branch, Drive

FRAMES = 49
AWAY = straight(FRAMES, (500.0, 500.0), (0.0, 0.0))


def branch(plan: str, people: np.ndarray, ego: np.ndarray) -> Branch:
    """Both stay until the end; everybody faces east."""
    pose = np.stack([np.column_stack([xy, np.zeros(FRAMES)]) for xy in (people, ego)])
    return Branch(moment=5, plan=plan, pose=pose, there=np.ones((2, FRAMES), bool))


def drive(*branches: Branch) -> Drive:
    size = np.array([[0.5, 0.5], [4.5, 1.9]])
    made = make_drive(np.stack([AWAY, AWAY + 50]), [int(Kind.PEDESTRIAN), int(Kind.VEHICLE)], size=size)
    return replace(made, branches=branches)


WAITS = straight(FRAMES, (10.0, 0.0), (0.0, 0.0))
ON = straight(FRAMES, (0.0, 0.0), (5.0, 0.0))


def test_who_is_driven_through_is_hit() -> None:
    assert runs_into(drive(), branch("keep", WAITS, ON)).tolist() == [True, False]


def test_who_is_passed_at_the_side_is_not() -> None:
    """Half of 1.9 m and half of 0.5 m are 1.2 m, of which 95 % count: 1.14 m."""
    for aside, hit in ((1.1, True), (1.2, False)):
        at = branch("keep", WAITS + np.array([0.0, aside]), ON)
        assert runs_into(drive(), at)[0] == hit


def test_who_is_touched_from_the_start_was_not_run_into() -> None:
    assert not runs_into(drive(), branch("keep", WAITS, ON + np.array([10.0, 0.0]))).any()


def test_who_has_left_cannot_be_hit() -> None:
    at = branch("keep", WAITS, ON)
    there = at.there.copy()
    there[0, 10:] = False
    assert not runs_into(drive(), replace(at, there=there)).any()


def test_only_the_branches_of_a_moment_without_a_crash_are_left() -> None:
    stands = straight(FRAMES, (0.0, 0.0), (0.0, 0.0))
    made = drive(branch("keep", WAITS, ON), branch("brake", WAITS, stands))
    assert [b.plan for b in reactions(made, 5)] == ["brake"]
    assert reactions(made, 6) == []
