"""Real or simulated? The two-sample test tells crowds apart by what differs, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from way_points import crossing_at, street

from drivewm.errors import InputError
from drivewm_datasets.recording import Recording
from drivewm_eval.street.two_sample import area_under_roc, tell_apart
from drivewm_eval.street.window_features import MOTION_FEATURES, NAMES, windows_of


def crowd(speed: float, scenes: int, seed: int, wiggle: float = 0.04) -> list[Recording]:
    """Scenes of 8 people 4 m apart who walk 20 s at about a speed, with a random walk of their velocity."""
    rng = np.random.default_rng(seed)
    out = []
    for place in range(scenes):
        agents = {}
        for i in range(8):
            t = np.arange(0, 20.2, 0.2)
            drift = np.cumsum(rng.normal(0, wiggle, (len(t), 2)), axis=0)
            velocity = np.array([rng.normal(speed, 0.15), 0]) + drift
            xy = np.cumsum(velocity * 0.2, axis=0) + np.array([0, 4 * i])
            agents[f"p{i}"] = (
                "pedestrian",
                [(a, b, c) for a, (b, c) in zip(t.tolist(), xy.tolist(), strict=True)],
            )
        out.append(street(agents, hz=5.0, scene=f"{seed}-{place}"))
    return out


def test_samples_of_one_crowd_cannot_be_told_apart() -> None:
    verdict = tell_apart(windows_of(crowd(1.3, 12, 1)), windows_of(crowd(1.3, 12, 2)))
    assert verdict.auc.value == pytest.approx(0.5, abs=0.1)


def test_faster_walkers_are_told_apart_by_their_speed() -> None:
    verdict = tell_apart(
        windows_of(crowd(1.3, 12, 1)), windows_of(crowd(2.3, 12, 2)), features=MOTION_FEATURES
    )
    assert verdict.auc.value is not None
    assert verdict.auc.value > 0.97
    top = verdict.importance[0]
    assert top.name.startswith("speed")
    assert top.shift < -1


def test_halves_of_the_same_scenes_are_not_told_apart_by_the_scene() -> None:
    """Scenes that differ, cut into two halves by agent: which scene it is says nothing about the half."""
    windows = windows_of([*crowd(1.0, 6, 1), *crowd(1.6, 6, 2)])
    odd = np.array([int(name[-1]) % 2 == 1 for name in windows.agent])
    verdict = tell_apart(windows.where(np.flatnonzero(odd)), windows.where(np.flatnonzero(~odd)))
    assert verdict.auc.value == pytest.approx(0.5, abs=0.12)


def test_the_area_under_the_curve_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    score, y = rng.integers(0, 6, 60).astype(float), (rng.random(60) < 0.4).astype(float)
    ones, zeros = score[y == 1], score[y == 0]
    pairs = (ones[:, None] > zeros).mean() + (ones[:, None] == zeros).mean() / 2
    assert area_under_roc(score, y) == pytest.approx(pairs)


def test_features_do_not_depend_on_where_and_which_way_somebody_walks() -> None:
    here = windows_of(crowd(1.3, 1, 3))
    (scene,) = crowd(1.3, 1, 3)
    c, s = np.cos(2.0), np.sin(2.0)
    turned = replace(scene, xy=scene.xy @ np.array([[c, s], [-s, c]]) + 500)
    assert windows_of([turned]).feature == pytest.approx(here.feature, abs=1e-5)
    assert here.feature.shape[1] == len(NAMES)


def test_recordings_too_slow_for_the_windows_are_refused() -> None:
    slow = street({"p": ("pedestrian", crossing_at(5))}, hz=2.0)
    with pytest.raises(InputError, match=r"recorded every 0\.5 s, expected at most 0\.4 s"):
        windows_of([slow])
