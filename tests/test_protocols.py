"""The ETH/UCY protocol, against the field's own counts and constant-velocity figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from street import recording, write_scenes

from drivewm.baselines import BASELINES
from drivewm.errors import InputError
from drivewm.timing import TimeGrid
from drivewm_datasets.protocols import TEST_SCENES, VALIDATION_FROM, Window, cut, folds, windows
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import scene_at
from drivewm_datasets.store import read_recordings
from drivewm_eval.evaluate import scenes_of

GRID = TimeGrid()
# Windows and pedestrians by scene, and constant velocity and Kalman ADE/FDE, MP1.
COUNTS = {
    "eth": (70, 181),
    "hotel": (301, 1053),
    "univ": (947, 24334),
    "zara1": (602, 2253),
    "zara2": (921, 5833),
}
CONSTANT_VELOCITY = {
    "eth": (0.995, 2.234),
    "hotel": (0.323, 0.617),
    "univ": (0.524, 1.165),
    "zara1": (0.431, 0.960),
    "zara2": (0.326, 0.728),
}
KALMAN = {
    "eth": (0.954, 2.161),
    "hotel": (0.254, 0.490),
    "univ": (0.570, 1.221),
    "zara1": (0.468, 1.006),
    "zara2": (0.355, 0.764),
}


def test_twenty_five_frames_hold_six_windows(tmp_path: Path) -> None:
    walkers = recording(tmp_path, hz=2.5, seconds=9.6)
    found = list(windows(walkers, 2))
    assert len(found) == 6
    np.testing.assert_allclose([w.t_s for w in found], 2.8 + 0.4 * np.arange(6))
    np.testing.assert_allclose(found[0].future[0, 0], [1.2 * 3.2, 0.0])


def test_an_agent_that_misses_one_of_twenty_frames_is_not_scored(tmp_path: Path) -> None:
    walkers = recording(tmp_path, hz=2.5, seconds=7.6, agents=2)
    gone = (walkers.agent == 1) & (walkers.frame == 10)
    holed = walkers.where(~gone)
    assert [w.agents.tolist() for w in windows(holed, 1)] == [[0]]
    assert list(windows(holed, 2)) == []


def test_the_cut_separates_training_from_validation_without_overlap(tmp_path: Path) -> None:
    walkers = recording(tmp_path, hz=2.5, seconds=8.0)
    before, after = cut(walkers, 0, 10), cut(walkers, 10, 10**6)
    assert before.frames.tolist() == list(range(10))
    assert after.frames.tolist() == list(range(10, 21))
    assert len(before.t_s) + len(after.t_s) == len(walkers.t_s)


def test_a_folder_without_the_scenes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"biwi_eth.*missing"):
        folds(read_recordings(write_scenes(tmp_path / "data")))


def test_no_fold_trains_or_validates_on_its_test_scene(shared_data: Path) -> None:
    for fold in folds(read_recordings(shared_data / "eth_ucy")):
        test = {r.scene for r in fold.test}
        assert test == set(TEST_SCENES[fold.name])
        assert not test & {r.scene for r in (*fold.train, *fold.validation)}
        for trained, held in zip(fold.train, fold.validation, strict=True):
            assert trained.frames.max() < VALIDATION_FROM[trained.scene] <= held.frames.min()


@pytest.fixture(scope="module")
def recordings(shared_data: Path) -> list[Recording]:
    return read_recordings(shared_data / "eth_ucy")


def errors(listed: list[Window], baseline: str) -> np.ndarray:
    """Distance at every step of every scored agent of the windows."""
    out = []
    for w in listed:
        tracks = scene_at(w.recording, w.t_s, GRID, w.agents).tracks
        path, _ = BASELINES[baseline](tracks, np.asarray(GRID.horizons))
        out.append(np.linalg.norm(path - w.future, axis=-1))
    return np.concatenate(out)


@pytest.mark.shared_data
def test_the_baseline_rows_of_the_field_are_reproduced_to_three_decimals(recordings: list[Recording]) -> None:
    """These rows are the proof that windows, agents, frames and averages are the field's own."""
    for name, listed in scenes_of(recordings, "eth-ucy", GRID, 0.4).items():
        for baseline, expected in (("cv", CONSTANT_VELOCITY), ("kalman", KALMAN)):
            distance = errors(listed, baseline)
            assert (len(listed), len(distance)) == COUNTS[name]
            row = round(float(distance.mean()), 3), round(float(distance[:, -1].mean()), 3)
            assert row == expected[name], (baseline, name)


@pytest.mark.shared_data
def test_the_mp0_average_and_counts_are_the_fields(recordings: list[Recording]) -> None:
    found = {n: errors(listed, "cv") for n, listed in scenes_of(recordings, "eth-ucy-mp0", GRID, 0.4).items()}
    assert [len(distance) for distance in found.values()] == [364, 1197, 24334, 2356, 5910]
    assert round(float(np.mean([d.mean() for d in found.values()])), 3) == 0.534
    assert round(float(np.mean([d[:, -1].mean() for d in found.values()])), 3) == 1.148
