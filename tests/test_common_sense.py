"""The common-sense room: pairs that differ by the edit alone, scores that are compared among their like."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from belief_drives import CAR, WALKER, make_drive
from bundles import make_bundle
from conftest import make_road_map, make_scene

from drivewm.baselines import kinematic_forecast
from drivewm.bev import CURRENT
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_eval.common_sense import SCORES, common_sense, table
from drivewm_eval.forecast_solidity import broken_modes
from drivewm_eval.impossible import AFTER, PAST, VIOLATIONS, Pair
from drivewm_eval.matched import stratified_auroc, stratum

EASY = ("teleport", "through_vehicle", "through_obstacle", "ghost", "reversal", "wrong_way")


def first_pair(violation: str, **drive: float) -> Pair:
    return next(VIOLATIONS[violation](make_drive(**drive), np.random.default_rng(0)))  # type: ignore[arg-type]


def way(pair: Pair, member: str) -> np.ndarray:
    drive = getattr(pair, member)
    name = getattr(pair, f"watched_{member}")[0]
    return drive.seen.pose[drive.seen.ids.index(name)]


@pytest.mark.parametrize("violation", EASY)
def test_pairs_come_out_the_same_for_the_same_seed_and_agree_before_the_edit(violation: str) -> None:
    drive = make_drive()
    twice = [list(islice(VIOLATIONS[violation](drive, np.random.default_rng(3)), 2)) for _ in range(2)]
    for one, other in zip(*twice, strict=True):
        assert one.frame == other.frame
        np.testing.assert_array_equal(one.impossible.seen.pose, other.impossible.seen.pose)
        assert one.possible.signals == one.impossible.signals
        assert PAST <= one.frame < drive.frames - AFTER


def test_a_teleport_moves_by_two_to_six_metres_at_once_and_the_grid_follows() -> None:
    pair = first_pair("teleport")
    before, after = way(pair, "possible"), way(pair, "impossible")
    shift = np.linalg.norm((after - before)[:, :2], axis=-1)
    assert (shift[: pair.frame] == 0).all()
    assert 2 <= shift[pair.frame] <= 6
    np.testing.assert_allclose(shift[pair.frame :], shift[pair.frame])
    old, new = (d.grid(pair.frame) for d in (pair.possible, pair.impossible))
    assert None not in (old, new)
    assert not np.array_equal(old.features, new.features)
    assert abs(old.features[0].sum() - new.features[0].sum()) < 20


@pytest.mark.parametrize("violation", ["through_vehicle", "through_obstacle"])
def test_the_walker_is_the_same_and_what_stands_there_is_not(violation: str) -> None:
    pair = first_pair(violation)
    np.testing.assert_array_equal(way(pair, "possible"), way(pair, "impossible"))
    for drive in (pair.possible, pair.impossible):
        assert len(drive.seen.ids) + len(drive.road_map.kind) == 3 + len(make_road_map().kind) + 1
    assert pair.possible.grid(pair.frame) is not None


def test_a_reversed_car_is_where_it_was() -> None:
    pair = first_pair("reversal")
    path, frame = way(pair, "impossible"), pair.frame
    np.testing.assert_array_equal(path[frame + 10, :2], path[frame - 10, :2])
    np.testing.assert_array_equal(path[frame - 20, :2], way(pair, "possible")[frame - 20, :2])


def test_wrong_way_is_the_same_stretch_backwards() -> None:
    pair = first_pair("wrong_way")
    forth, back = (way(pair, m)[pair.frame - 20 : pair.frame + AFTER, 0] for m in ("possible", "impossible"))
    assert (np.diff(forth) < 0).all()
    assert (np.diff(back) > 0).all()


def test_a_ghost_stands_where_its_match_is_a_body_that_was_hidden() -> None:
    pair = first_pair("ghost")
    np.testing.assert_array_equal(way(pair, "possible"), way(pair, "impossible"))
    before, now = (pair.possible.grid(pair.frame - 4), pair.possible.grid(pair.frame))
    open_ground = pair.impossible.grid(pair.frame - 4)
    assert None not in (before, now)
    free = CURRENT.index("free")
    assert before.features[free].sum() < open_ground.features[free].sum() - 100
    assert now.features[0].sum() > open_ground.features[0].sum()


def test_who_never_comes_out_is_erased_and_his_ground_free() -> None:
    drive = make_drive()
    there, pose = drive.seen.there.copy(), drive.seen.pose.copy()
    there[WALKER, 40:50], pose[WALKER, 40:50] = False, 0
    hidden = replace(drive, seen=replace(drive.seen, there=there, pose=pose))
    pair = next(VIOLATIONS["never_out"](hidden, np.random.default_rng(0)))
    assert pair.frame == 52
    assert not pair.impossible.seen.there[WALKER, 40:].any()
    assert pair.watched_possible == pair.watched_impossible == ("walker",)
    shown, erased = (d.grid(60) for d in (pair.possible, pair.impossible))
    assert None not in (shown, erased)
    assert erased.features[0].sum() < shown.features[0].sum()


# Scores.


def test_auroc_compares_only_agents_of_like_speed() -> None:
    """Fast agents all score higher; among their like the strange ones are no different."""
    speed = np.repeat([0.1, 10.0], 20)
    score = speed + np.tile([0.0, 1.0], 20)
    bins = stratum(np.zeros(40, np.int64), speed, np.zeros(40, np.int64))
    strange = stratum(np.zeros(2, np.int64), np.array([10.0, 10.0]), np.zeros(2, np.int64))
    assert stratified_auroc(np.array([10.0, 11.0]), strange, score, bins) == pytest.approx(0.5)
    assert stratified_auroc(np.array([12.0, 12.0]), strange, score, bins) == 1.0


# The forecasts themselves.


def test_a_straight_path_through_a_standing_car_breaks_solidity() -> None:
    drive = make_drive()
    scene = make_scene(agents=2)
    tracks = scene.tracks
    pose, velocity = np.zeros_like(tracks.pose), np.zeros_like(tracks.velocity)
    pose[0, :, 0], velocity[0, :, 0] = -4.0, 1.5  # walks along x; the car stands at 0, across
    pose[1, :, 2] = np.pi / 2
    tracks = replace(
        tracks,
        pose=pose,
        velocity=velocity,
        valid=np.ones_like(tracks.valid),
        kind=np.array([Kind.PEDESTRIAN, Kind.VEHICLE], np.int64),
        size=drive.seen.size[[WALKER, CAR]],
        size_valid=np.ones(2, bool),
        heading_valid=np.ones(2, bool),
    )
    through = replace(scene, tracks=tracks)
    broken = broken_modes(through, kinematic_forecast(through, TimeGrid()))
    assert broken.vehicle.tolist() == [[True]]
    assert broken.obstacle.tolist() == [[False]]
    pose[0, :, 1] = 3.0  # beside its nose
    beside = replace(scene, tracks=replace(tracks, pose=pose))
    assert broken_modes(beside, kinematic_forecast(beside, TimeGrid())).vehicle.tolist() == [[False]]


def test_the_room_gives_figures_for_every_violation_asked_for(tmp_path: Path) -> None:
    forecaster = TorchForecaster(make_bundle(tmp_path))
    drives = [make_drive(frames=84, noise=0.03, seed=s) for s in range(2)]
    some = ("teleport", "through_vehicle", "never_out")
    figures = common_sense(drives, forecaster, violations=some, pairs=1)
    assert figures["violations"]["never_out"] == {"pairs": 0}  # nobody was hidden
    for violation in some[:2]:
        figure = figures["violations"][violation]
        assert figure["pairs"] == 1
        for score in (*SCORES, "nll", "cv"):
            assert 0 <= figure[score]["pairs_right"] <= 1
    assert figures["violations"]["teleport"]["cv"]["pairs_right"] == 1
    assert figures["violations"]["through_vehicle"]["solid"]["pairs_right"] == 1
    assert figures["forecasts"]["pedestrian_modes"] > 0
    assert table(figures).row_count == 4
