"""People without a track: peaks of the occupancy, held for a while, against those who are truly there."""

from __future__ import annotations

import numpy as np
import pytest

from drivewm.bev import BevSpec, occupancy_spec
from drivewm_eval.hidden_people import Peak, Sightings, held, peaks, recall_at
from drivewm_eval.walkable import cell_centers

SPEC = occupancy_spec(BevSpec())


def peak(frame: int, x: float, score: float) -> Peak:
    return Peak(frame=frame, place=np.array([x, 0.0]), score=score)


def test_a_peak_lies_at_the_centre_of_its_cell() -> None:
    probability = np.zeros(SPEC.shape[1:])
    probability[20, 40] = 0.8
    probability[20, 41] = 0.3  # lower beside it: no peak of its own
    ((place, score),) = peaks(probability, SPEC)
    assert score == 0.8
    assert place == pytest.approx(cell_centers(SPEC)[20, 40])
    assert place == pytest.approx([-16.0 + 20.5, -32.0 + 40.5])


def test_a_claim_must_stand_for_three_ticks_and_is_worth_its_weakest() -> None:
    ticks = [[peak(0, 5.0, 0.9)], [peak(1, 5.4, 0.5)], [peak(2, 5.8, 0.8)], [peak(3, 20.0, 0.9)]]
    assert [len(kept) for kept in held(ticks)] == [0, 0, 1, 0]
    assert held(ticks)[2][0].score == 0.5


def test_ticks_further_apart_are_fewer_for_as_long() -> None:
    """Grids come every 0.4 s: three of them in a row once asked for 0.8 s, and each counted as an alarm."""
    ticks = [[peak(0, 5.0, 0.9)], [peak(4, 5.4, 0.5)], [peak(8, 20.0, 0.9)]]
    assert [len(kept) for kept in held(ticks, every=4)] == [0, 1, 0]
    wrong = [peak(frame, 5.0, 0.6) for frame in range(0, 16, 4)]
    one_alarm = Sightings(claims=wrong, found={1: 0.5}, missed=set(), minutes=1.0, every=4)
    assert recall_at([one_alarm])["false_alarms_a_minute"] == 1


def test_recall_is_read_at_the_allowed_number_of_false_alarms() -> None:
    wrong = [peak(frame, 5.0, 0.6) for frame in range(4)] + [peak(30, 9.0, 0.4)]  # two alarms: 0.6 and 0.4
    found = Sightings(claims=wrong, found={1: 0.5, 2: 0.7}, missed={3}, minutes=1.0)
    at_one = recall_at([found], a_minute=1.0)
    assert at_one["threshold"] == 0.4, "one alarm a minute is allowed: the second strongest bounds it"
    assert at_one["recall"] == pytest.approx(2 / 3)
    assert recall_at([found], a_minute=0.0)["recall"] == pytest.approx(1 / 3)
