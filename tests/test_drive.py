"""Drives and their windows: the past as the car knew it, the future as it truly was, under every plan."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_street import BACK, LOST, MOMENT, SPEC, bev_codes, pose_of, toy_drive

from drivewm.bev import QuantisedBev, dequantise
from drivewm.timing import TimeGrid
from drivewm.types import Aspect, Kind
from drivewm_datasets.augment import Augmentation, augment
from drivewm_datasets.collisions import reactions
from drivewm_datasets.drive import Drive, pack, unpack
from drivewm_datasets.drive_scenes import moment_at
from drivewm_datasets.loader import make_batch
from drivewm_datasets.street_windows import (
    NEVER,
    NOT_ASKED,
    StreetPart,
    present_at,
    street_windows,
    window_at,
)
from drivewm_datasets.windows import TimeLayout, TrainingWindow

GRID = TimeGrid()
LAYOUT = TimeLayout(GRID, 4)
EGO, PED, CAR = 0, 1, 2  # rows of the agents of a window up to frame 49


def window(frame: int, branched: bool = False) -> TrainingWindow:
    drive = toy_drive()
    found = window_at(drive, LAYOUT, frame, reactions(drive, frame) if branched else ())
    assert found is not None
    return found


def street(frame: int, branched: bool = False) -> StreetPart:
    part = window(frame, branched).street
    assert part is not None
    return part


def test_a_drive_holds_what_the_episode_says() -> None:
    drive = toy_drive()
    assert (drive.name, drive.town, drive.scenario) == (("toy", "street"), "toytown", "jaywalk")
    assert (drive.frames, drive.ego_id) == (101, "0")
    assert drive.true.ids == ("0", "1", "2", "3")
    assert drive.seen.ids == ("0", "t1", "t3", "t9")
    assert drive.true.kind.tolist() == [Kind.VEHICLE, Kind.PEDESTRIAN, Kind.PEDESTRIAN, Kind.VEHICLE]
    np.testing.assert_allclose(drive.true.pose[1, 20], [10, -6, np.pi / 2])
    assert drive.signals[0] == (Aspect.RED, Aspect.GREEN)
    assert drive.signals[45] == (Aspect.GREEN, Aspect.YELLOW)
    assert [(b.moment, b.plan, b.pose.shape[1]) for b in drive.branches] == [
        (30, "keep", 48),
        (30, "brake", 48),
    ]


def test_a_track_knows_who_it_truly_is_only_where_it_is() -> None:
    seen = toy_drive().seen
    assert seen.truth[1, :LOST].tolist() == [1] * LOST
    assert seen.truth[1, LOST:].tolist() == [-1] * (101 - LOST)
    assert not seen.pose[1, LOST:].any()


def test_grids_are_kept_of_every_fourth_frame_and_no_other() -> None:
    drive = toy_drive()
    assert drive.grid(5) is None
    grid = drive.grid(8)
    assert grid is not None
    whole = QuantisedBev(code=bev_codes()[8], valid=np.ones(SPEC.shape[0], bool), spec=SPEC)
    np.testing.assert_array_equal(grid.features, dequantise(whole).features)
    assert toy_drive(0).grid(8) is None


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_packing_a_grid_loses_nothing(seed: int) -> None:
    code = np.random.default_rng(seed).integers(0, 256, SPEC.shape).astype(np.uint8)
    whole = dequantise(QuantisedBev(code=code, valid=np.ones(SPEC.shape[0], bool), spec=SPEC))
    again = unpack(pack(code), SPEC)
    np.testing.assert_array_equal(again.features, whole.features)
    assert again.valid.all()


def test_someone_lost_is_carried_on_at_the_velocity_last_seen() -> None:
    """Last seen at 4.9 s at y = -4.1, walking north at 1 m/s: half a second later at -3.6."""
    drive = toy_drive()
    there = present_at(drive, 54)
    assert [drive.seen.ids[row] for row in there.rows] == ["0", "t3", "t1"]
    assert there.unseen.tolist() == [0, 0, 5]
    np.testing.assert_allclose(there.place[2], [10, -3.6], atol=1e-9)
    assert there.who.tolist() == [0, 3, 1]


def test_someone_lost_is_dropped_when_a_younger_track_stands_there() -> None:
    drive = toy_drive()
    assert [drive.seen.ids[row] for row in present_at(drive, BACK - 1).rows] == ["0", "t3", "t1"]
    assert [drive.seen.ids[row] for row in present_at(drive, BACK).rows] == ["0", "t3", "t9"]


def test_a_younger_track_far_away_takes_nobodys_place() -> None:
    drive = toy_drive()
    pose = drive.seen.pose.copy()
    pose[3, :, 1] += 5.0
    far = replace(drive, seen=replace(drive.seen, pose=pose))
    assert [far.seen.ids[row] for row in present_at(far, BACK).rows] == ["0", "t3", "t9", "t1"]


def test_nobody_is_carried_on_for_more_than_three_seconds() -> None:
    drive = toy_drive()
    there = drive.seen.there.copy()
    there[3] = False
    without = replace(drive, seen=replace(drive.seen, there=there))
    assert 1 in present_at(without, LOST - 1 + 30).rows
    assert 1 not in present_at(without, LOST - 1 + 31).rows


def changed_after(drive: Drive, frame: int) -> Drive:
    """The same drive up to a frame; afterwards everybody is elsewhere, nobody seen, all signals others."""
    seen, true = drive.seen, drive.true
    later = np.arange(drive.frames) > frame
    return replace(
        drive,
        true=replace(true, pose=np.where(later[:, None], true.pose + 3.0, true.pose)),
        seen=replace(seen, pose=np.where(later[:, None], 0.0, seen.pose), there=seen.there & ~later),
        signals=tuple((0, 0) if after else shown for after, shown in zip(later, drive.signals, strict=True)),
        bev=tuple(b"" if after else grid for after, grid in zip(later, drive.bev or (), strict=True)),
    )


@pytest.mark.parametrize("frame", [0, 12, 40, 52])
def test_the_past_of_a_window_never_looks_ahead(frame: int) -> None:
    """Changing every frame after the anchor changes no input."""
    drive = toy_drive()
    edited = window_at(changed_after(drive, frame), LAYOUT, frame)
    if frame == 0:  # nobody has a past
        assert edited is None
        return
    assert edited is not None
    assert edited.street is not None
    ours = street(frame)
    for name in ("history", "history_valid", "unseen_s", "ego_pose", "line_state", "bev", "ego", "meeting"):
        np.testing.assert_array_equal(getattr(edited.street, name), getattr(ours, name), err_msg=name)
    np.testing.assert_array_equal(edited.origin, window(frame).origin)
    scenes = [moment_at(d, frame, GRID).scene for d in (drive, changed_after(drive, frame))]
    for field in fields(scenes[0].tracks):
        one, other = (getattr(scene.tracks, field.name) for scene in scenes)
        np.testing.assert_array_equal(one, other, err_msg=field.name)


def test_the_recorded_future_is_the_truth_not_what_was_seen() -> None:
    """The pedestrian is lost from 5 s on; its future is known all the same."""
    at = window(40)
    part = street(40)
    steps = 40 + np.arange(4, 49, 4)
    np.testing.assert_allclose(part.future[0, PED] + at.origin, pose_of("1", steps)[:, :2], atol=1e-9)
    np.testing.assert_allclose(part.plan[0, :, :2] + at.origin, pose_of("0", steps)[:, :2], atol=1e-9)
    assert part.plan_names == ("recorded",)


def test_the_future_under_each_branch_is_that_branchs() -> None:
    """The ego keeps on or stands; the pedestrian waits a second or goes at once."""
    at, part = window(MOMENT, branched=True), street(MOMENT, branched=True)
    steps = MOMENT + np.arange(4, 49, 4)
    assert part.plan_names == ("keep", "brake")
    for row, braked in enumerate((False, True)):
        people = pose_of("1", steps, waits=not braked)
        np.testing.assert_allclose(part.future[row, PED] + at.origin, people[:, :2], atol=1e-9)
        planned = pose_of("0", steps, stops=braked)
        np.testing.assert_allclose(part.plan[row, :, :2] + at.origin, planned[:, :2], atol=1e-9)
    assert part.plan_valid.all()
    assert part.future_known.all()


def test_a_moment_and_a_window_agree_on_what_followed() -> None:
    drive = toy_drive()
    moment = moment_at(drive, MOMENT, GRID, reactions(drive, MOMENT))
    part, origin = street(MOMENT, branched=True), window(MOMENT, branched=True).origin
    np.testing.assert_allclose(moment.future, part.future + origin, atol=1e-9)
    np.testing.assert_array_equal(moment.known, part.future_known)
    assert moment.plans == part.plan_names
    assert moment.is_ego.tolist() == [True, False, False]
    assert moment.meeting.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("frame", "step"),
    [
        (4, 8),  # sets off at frame 40, which is the ninth step of 0.4 s: index 8
        (38, 0),  # at the first step it is on the road
        (40, NOT_ASKED),  # already on the road
        (52, NOT_ASKED),  # carried on, on the road
    ],
)
def test_when_a_pedestrian_steps_on_the_road_is_told_by_the_step(frame: int, step: int) -> None:
    row = present_at(toy_drive(), frame).who.tolist().index(1)
    assert street(frame).crossing[row] == step


def test_a_pedestrian_who_stays_off_the_road_never_crosses() -> None:
    drive = toy_drive()
    off = replace(drive, true=replace(drive.true, on_road=np.zeros_like(drive.true.on_road)))
    at = window_at(off, LAYOUT, 20)
    assert at is not None
    assert at.street is not None
    assert at.street.crossing[PED] == NEVER
    assert at.street.crossing[[EGO, CAR]].tolist() == [NOT_ASKED, NOT_ASKED]


def test_the_labels_of_a_window_are_those_of_its_moment() -> None:
    assert street(10).meeting.tolist() == [False, False, False]  # walking
    assert street(24).meeting.tolist() == [False, True, False]  # comes to the kerb
    assert street(24).exists.tolist() == [True, True, True]
    assert street(24).ego == EGO
    assert street(24).others_tracked.tolist() == [True, False, True]  # all but the ego: "1", "2", "3"
    assert set(street(24).line_state.tolist()) == {Aspect.GREEN, Aspect.RED, -1}


def test_a_window_every_so_many_seconds_and_one_a_branched_moment() -> None:
    drive = toy_drive()
    assert len(list(street_windows(drive, LAYOUT, 0.4, branches=True))) == 1
    plain = list(street_windows(drive, LAYOUT, 0.4))
    # 4.8 s of future after each anchor; at frame 0 nobody has a past.
    assert len(plain) == len(range(4, 101 - 48, 4))
    assert all(w.street is not None and w.street.future_known.any() for w in plain)


def test_the_ego_whose_plan_is_given_is_not_asked_for() -> None:
    """Where it goes is then known; with the null plan it is an agent like the others."""
    from drivewm.features import InputSizes

    sizes = InputSizes(polylines=8, plan=True)
    rng = np.random.default_rng(0)
    told, hidden = (
        make_batch([augment(window(20), LAYOUT, Augmentation(drop_plan=p), rng)], LAYOUT, 0, sizes, False)
        for p in (0.0, 1.0)
    )
    assert told.target[0].tolist() == [False, True, True]
    assert hidden.target[0].tolist() == [True, True, True]
    assert told.inputs.plan_mask is not None
    assert hidden.inputs.plan_mask is not None
    assert told.inputs.plan_mask.all()
    assert not hidden.inputs.plan_mask.any()
