"""Worse seen pasts, and what forecasts make of them, on moments whose figures can be worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import make_bundle
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from street_moments import GRID, at, make_drive, straight

from drivewm.baselines import baseline_forecast
from drivewm.cli.rooms import print_rooms
from drivewm.forecaster import TorchForecaster
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.degradation import FIGURES, Tally, degradation
from drivewm_eval.motion import Sums
from drivewm_eval.rooms import examine, subject_of
from drivewm_eval.worse_seen import AXES, changed, worse_seen

FRAMES = 100
EGO = straight(FRAMES, (500.0, 500.0), (3.0, 0.0))
EVERYWHERE = [(axis, level) for axis, of_axis in AXES.items() for level in of_axis.levels]


def crowd(rows: int = 20, columns: int = 20, speed: float = 1.0, apart: float = 4.0) -> Moment:
    """Pedestrians on a square grid, walking east, and the ego far away."""
    place = [(apart * i, apart * j) for i in range(rows) for j in range(columns)]
    walks = [straight(FRAMES, xy, (speed, 0.0)) for xy in place]
    return at(make_drive(np.stack([*walks, EGO]), [Kind.PEDESTRIAN] * len(walks) + [Kind.VEHICLE]), 40)[0]


def two(apart: float = 2.0, kinds: tuple[Kind, Kind] = (Kind.PEDESTRIAN, Kind.PEDESTRIAN)) -> Moment:
    """Side by side eastwards at 1 and at 1.5 m/s, so that they were `apart` m and more from each other."""
    walks = [straight(FRAMES, (0.0, 0.0), (1.0, 0.0)), straight(FRAMES, (-2.0, apart), (1.5, 0.0))]
    return at(make_drive(np.stack([*walks, EGO]), [*kinds, Kind.VEHICLE]), 40)[0]


# ---- scenes


@pytest.mark.parametrize("axis", AXES)
def test_level_0_is_the_clean_scene_and_has_exactly_its_forecast(axis: str, tmp_path: Path) -> None:
    moment = crowd(2, 3)
    worse = worse_seen(moment, axis, 0.0)
    for name in ("pose", "velocity", "valid", "heading_valid"):
        np.testing.assert_array_equal(getattr(worse.tracks, name), getattr(moment.scene.tracks, name))
    assert not changed(moment.scene, worse).any()
    forecaster = TorchForecaster(make_bundle(tmp_path))
    clean, again = forecaster([moment.scene])[0], forecaster([worse])[0]
    np.testing.assert_array_equal(clean.position, again.position)
    np.testing.assert_array_equal(clean.most_likely, again.most_likely)


@pytest.mark.parametrize(("axis", "level"), EVERYWHERE)
def test_nothing_but_the_past_of_others_is_touched(axis: str, level: float) -> None:
    moment = crowd(2, 3, apart=2.0)
    truth = moment.future.copy()
    worse = worse_seen(moment, axis, level)
    np.testing.assert_array_equal(moment.future, truth)
    np.testing.assert_array_equal(worse.tracks.pose[-1], moment.scene.tracks.pose[-1])  # the ego
    assert worse.tracks.ids == moment.scene.tracks.ids
    assert worse.tracks.valid[:, 0].all()
    worse.tracks.validate()
    assert worse.road_map is moment.scene.road_map
    assert worse.ego_pose is moment.scene.ego_pose


def test_noise_has_its_standard_deviation_and_is_the_same_but_larger_at_a_higher_level() -> None:
    moment = crowd()
    clean = moment.scene.tracks.position[:-1]
    low, high = (worse_seen(moment, "noise", sd).tracks.position[:-1] - clean for sd in (0.1, 0.4))
    assert low.std() == pytest.approx(0.1, rel=0.03)
    np.testing.assert_allclose(high, 4 * low)
    slots = np.corrcoef(low[..., 0].T)  # of one agent independent from slot to slot
    assert np.abs(slots - np.eye(len(slots))).max() < 0.2


def test_velocity_and_heading_come_from_the_noisy_positions() -> None:
    """Velocity is the displacement over 0.4 s (slot 3), so that its noise has sd 0.1 * sqrt(2) / 0.4 m/s."""
    moment = crowd()
    tracks = worse_seen(moment, "noise", 0.1).tracks
    np.testing.assert_allclose(tracks.velocity[:, 0], (tracks.position[:, 0] - tracks.position[:, 3]) / 0.4)
    error = tracks.velocity[:-1, 0] - moment.scene.tracks.velocity[:-1, 0]
    assert error.std() == pytest.approx(0.1 * np.sqrt(2) / 0.4, rel=0.05)
    assert np.ptp(tracks.yaw[:-1, 0]) > 0.5


def test_drop_out_keeps_now_and_misses_its_share_of_the_rest() -> None:
    moment = crowd()
    before = np.ones((400, 10), bool)
    for chance in (0.25, 0.5, 0.75):
        tracks = worse_seen(moment, "drop_out", chance).tracks
        valid = tracks.valid[:-1]
        assert valid[:, 0].all()
        assert 1 - valid[:, 1:].mean() == pytest.approx(chance, abs=0.02)
        assert not (valid & ~before).any(), "what is missing at a lower level is missing"
        kept = moment.scene.tracks.position[:-1][valid]
        np.testing.assert_array_equal(tracks.position[:-1][valid], kept)
        before = valid


def test_two_neighbours_exchange_exactly_their_older_history() -> None:
    moment = two()
    clean, worse = moment.scene.tracks.position, worse_seen(moment, "switches", 1.0).tracks.position
    own = (clean[:2] == worse[:2]).all(axis=(0, 2))
    since = int(np.argmin(own))
    assert since >= 1
    np.testing.assert_array_equal(worse[:2, :since], clean[:2, :since])
    np.testing.assert_array_equal(worse[:2, since:], clean[1::-1, since:])
    assert changed(moment.scene, worse_seen(moment, "switches", 1.0)).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "moment",
    [two(apart=2.6), two(kinds=(Kind.PEDESTRIAN, Kind.CYCLIST))],
    ids=["too far apart", "of two kinds"],
)
def test_who_has_no_like_neighbour_keeps_the_past(moment: Moment) -> None:
    assert not changed(moment.scene, worse_seen(moment, "switches", 1.0)).any()


def test_who_was_lost_exchanges_nothing() -> None:
    moment = two()
    lost = np.array([0, 5, 0])
    tracks = moment.scene.tracks
    there = replace(moment.there, unseen=lost)
    scene = replace(moment.scene, tracks=replace(tracks, unseen_s=0.1 * lost))
    moment = replace(moment, there=there, scene=scene)
    assert not changed(moment.scene, worse_seen(moment, "switches", 1.0)).any()


@given(st.integers(20, 50))
def test_the_share_of_a_kind_exchanges_in_disjoint_pairs_of_neighbours(frame: int) -> None:
    """Of 40 pedestrians 2 m apart two, four and eight exchange, the same ones and more; the cars stay."""
    walks = [straight(FRAMES, (2.0 * i, 2.0 * j), (1.0, 0.0)) for i in range(8) for j in range(5)]
    drive = make_drive(np.stack([*walks, EGO - 40, EGO]), [0] * 40 + [2, 2])
    moment = at(drive, frame)[0]
    before = np.zeros(42, bool)
    for share, count in ((0.05, 2), (0.1, 4), (0.2, 8)):
        worse = worse_seen(moment, "switches", share)
        who = changed(moment.scene, worse)
        assert who.sum() == count
        assert not who[40:].any()
        assert (who >= before).all()
        oldest = np.flatnonzero(moment.scene.tracks.valid[0])[-1]
        now, then = (t.position[who] for t in (moment.scene.tracks, worse.tracks))
        apart = np.linalg.norm(now[:, oldest] - then[:, oldest], axis=-1)
        assert apart == pytest.approx(2.0), "from a neighbour beside or in front"
        before = who


# ---- figures


def straight_on(scenes: Sequence[Scene]) -> list[Forecast]:
    return [baseline_forecast("cv", scene, GRID) for scene in scenes]


def figures_of(*drives: Drive) -> dict[str, Any]:
    return degradation(drives, straight_on, GRID, every_s=2.0, bev=False)


def test_constant_velocity_goes_wrong_as_its_noisy_velocity_does() -> None:
    """At 4.8 s: n0 (1 + 4.8/0.4) - n3 4.8/0.4, of sd 0.1 sqrt(13^2 + 12^2) = 1.77 m an axis.

    That is about sd sqrt(2) / 0.4 s times the horizon (1.70 m). The mean distance is sqrt(pi/2) times
    that: 2.22 m.
    """
    by_level = figures_of(crowd().drive)["noise"]["pedestrians"]
    assert by_level["0"]["cv"]["top1_fde"] == pytest.approx(0.0, abs=1e-6)
    expected = np.sqrt(np.pi / 2) * 0.1 * np.hypot(13, 12)
    assert by_level["0.1"]["cv"]["top1_fde"] == pytest.approx(expected, rel=0.05)
    assert by_level["0.4"]["cv"]["top1_fde"] == pytest.approx(4 * expected, rel=0.05)
    assert by_level["0.1"]["model"]["joint_min_ade"] == pytest.approx(by_level["0.1"]["cv"]["top1_ade"])


def test_the_same_agents_are_counted_at_every_level_and_some_of_them_are_affected() -> None:
    found = figures_of(crowd(8, 5, apart=2.0).drive)
    for axis, by_group in found.items():
        assert list(by_group) == ["pedestrians"], "the ego is not judged"
        rows = by_group["pedestrians"].values()
        assert len({row["agents"] for row in rows}) == 1
        affected = [row["affected"] / row["agents"] for row in rows]
        assert affected[0] == 0
        assert affected == sorted(affected)
        if axis == "switches":
            assert affected == pytest.approx(AXES[axis].levels)


def test_ratios_are_over_level_0_of_all_and_of_the_affected() -> None:
    """Errors of 1 and 3 m; the first, with another past, becomes 2 m: 5/4 of all, 2 of the affected."""

    def tally(errors: list[float], affected: list[bool]) -> Tally:
        return Tally("pedestrians", {"cv": Sums(dict.fromkeys(FIGURES["cv"], errors))}, affected)

    clean, worse = tally([1.0, 3.0], [False, False]), tally([2.0, 3.0], [True, False])
    row = worse.figures(clean)
    assert (row["agents"], row["affected"]) == (2, 1)
    assert row["cv"]["top1_ade"] == 2.5
    assert row["ratio"]["cv"]["top1_ade"] == 1.25
    assert row["ratio_of_affected"]["cv"]["top1_ade"] == 2.0
    assert clean.figures(clean)["ratio_of_affected"]["cv"]["top1_ade"] is None, "nobody is affected"
    perfect = tally([0.0, 0.0], [False, False])
    assert worse.figures(perfect)["ratio"]["cv"]["top1_ade"] is None, "nothing to divide by"


def test_a_drive_has_the_same_figures_whenever_it_is_examined() -> None:
    one, other = crowd(3, 3, apart=2.0).drive, replace(crowd(4, 2, apart=2.0).drive, scene="other")
    alone, both = figures_of(one), figures_of(other, one)
    assert figures_of(one) == alone
    for axis, by_group in figures_of(other).items():
        for level, row in by_group["pedestrians"].items():
            rows = [row, alone[axis]["pedestrians"][level]]
            count = sum(r["agents"] for r in rows)
            mean = sum(r["agents"] * r["cv"]["top1_ade"] for r in rows) / count
            assert both[axis]["pedestrians"][level]["cv"]["top1_ade"] == pytest.approx(mean)


def test_without_a_model_constant_velocity_stands_alone_in_the_table() -> None:
    figures = examine([crowd(3, 3).drive], subject_of(None), ["degradation"])
    console = Console(record=True, width=200)
    print_rooms(console, figures)
    text = console.export_text()
    assert "degradation by noise (sd in m)" in text
    assert "pedestrians" in text
    assert "model" not in figures["rooms"]["degradation"]["noise"]["pedestrians"]["0.1"]
