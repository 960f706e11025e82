"""Who went out of sight is still there: believed in, and found where they come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from drives import EGO, cast, drive, path

from drivewm.baselines import kinematic_forecast
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import Drive
from drivewm_eval.permanence import existence_figures, permanence, returns

GRID = TimeGrid()
KINDS = {EGO: Kind.VEHICLE, "walker": Kind.PEDESTRIAN}
FRAMES, LOST, BACK = 80, 30, 45


def behind_a_van() -> Drive:
    """A walker at 1 m/s is not seen between frames 30 and 45, and stops behind the van at frame 35."""
    walker = path((0.0, 5.0), (1.0, 0.0), FRAMES)
    walker[35:] = walker[35]
    paths = {EGO: path((-10.0, 0.0), (0.0, 0.0), FRAMES), "walker": walker}
    seen_walker = np.ones(FRAMES, bool)
    seen_walker[LOST + 1 : BACK] = False
    true = cast(paths, KINDS)
    return drive(true, cast(paths, KINDS, there={"walker": seen_walker}))


def sure(probability: float) -> object:
    def forecaster(scenes: Sequence[Scene]) -> list[Forecast]:
        made = [kinematic_forecast(scene, GRID) for scene in scenes]
        return [replace(f, existence=np.full(len(f.ids), probability)) for f in made]

    return forecaster


def test_a_gap_in_sight_is_a_return() -> None:
    (found,) = returns(behind_a_van())
    assert (found.lost, found.seen) == (LOST, BACK)


def test_constant_velocity_walks_on_behind_the_van() -> None:
    figures = permanence([behind_a_van()], sure(1.0), GRID)  # type: ignore[arg-type]
    # Carried on from 3.0 m at frame 30 to frame 45 it is at 4.5 m; the walker stands at 3.5 m.
    assert figures["returns"] == 1
    assert figures["return_error_cv_m"] == pytest.approx(1.0)
    assert figures["return_error_m"] == pytest.approx(1.0), "the forecaster here is constant velocity too"
    assert figures["hidden"] > 0
    assert figures["existence_ece"] == pytest.approx(0.0), "they were sure, and the walker was there"


def test_half_sure_of_what_is_always_there_is_off_by_half() -> None:
    figures = permanence([behind_a_van()], sure(0.5), GRID)  # type: ignore[arg-type]
    assert figures["existence_ece"] == pytest.approx(0.5)
    assert figures["existence_brier"] == pytest.approx(0.25)


def test_beliefs_that_come_true_as_often_as_they_say_are_calibrated() -> None:
    believed = np.repeat([0.25, 0.75], 400)
    there = np.tile(np.arange(400) % 4, 2) < np.repeat([1, 3], 400)
    assert existence_figures(believed, there)["existence_ece"] == pytest.approx(0.0)
