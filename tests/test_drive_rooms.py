"""Consistency, stability and lead times against scenes whose figures can be worked out on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_road_map
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity, box
from street_moments import GRID, at, make_drive, straight

from drivewm.types import Kind
from drivewm_eval import calibration, consistency, crossing_lead, stability
from drivewm_eval.drivable import DrivableArea

FAR = straight(140, (500.0, 500.0), (0.0, 0.0))


# ---- overlap and the road


def test_boxes_overlap_once_they_share_more_than_ten_centimetres() -> None:
    size, yaw = np.array([[4.0, 2.0], [4.0, 2.0]]), np.zeros(2)
    assert consistency.overlapping(np.array([[0.0, 0.0], [3.8, 0.0]]), yaw, size).sum() == 2
    assert not consistency.overlapping(np.array([[0.0, 0.0], [3.95, 0.0]]), yaw, size).any()
    turned = np.array([0.0, np.pi / 2])  # 2 m long ahead, 1 m to the side of it
    assert not consistency.overlapping(np.array([[0.0, 0.0], [2.95, 0.0]]), turned, size).any()


@given(st.integers(0, 10_000))
def test_boxes_overlap_where_those_of_shapely_do(seed: int) -> None:
    """Shrunk by 5 cm a side both rules are the same."""
    rng = np.random.default_rng(seed)
    place, yaw, size = rng.uniform(-2, 2, (2, 2)), rng.uniform(-4, 4, 2), rng.uniform(0.5, 4, (2, 2))
    bodies = []
    for (x, y), angle, (length, width) in zip(place, yaw, size, strict=True):
        whole = box(-length / 2, -width / 2, length / 2, width / 2)
        bodies.append(affinity.translate(affinity.rotate(whole, angle, (0, 0), use_radians=True), x, y))
    ours = bool(consistency.overlapping(place, yaw, size)[0, 1])
    if ours:
        assert bodies[0].intersects(bodies[1])
    else:
        assert bodies[0].intersection(bodies[1]).area < 0.1 * 8


def test_two_who_walk_into_each_other_overlap_and_side_by_side_not() -> None:
    meet = make_drive(
        np.stack([straight(140, (0, 0), (1, 0)), straight(140, (6, 0), (-1, 0)), FAR]), [0, 0, 2]
    )
    side = make_drive(
        np.stack([straight(140, (0, 0), (1, 0)), straight(140, (0, 2), (1, 0)), FAR]), [0, 0, 2]
    )
    for drive, share in ((meet, 2 / 3), (side, 0.0)):
        moment, forecast = at(drive, 10)
        figures = consistency.overlap([moment], [forecast])
        assert figures["joint"] == pytest.approx(share)
        assert figures["independent"] == pytest.approx(share)


def test_who_stands_in_another_now_is_not_the_forecasts_fault() -> None:
    drive = make_drive(np.stack([FAR, FAR, FAR + 50]), [0, 0, 2])
    moment, forecast = at(drive, 10)
    assert consistency.overlap([moment], [forecast])["joint"] == 0.0


def test_two_tracks_of_one_person_are_one_body() -> None:
    """A track that was lost and the one born after it lead to the same place: that is right."""
    meet = np.stack([straight(140, (0, 0), (1, 0)), straight(140, (6, 0), (-1, 0)), FAR])
    drive = make_drive(meet, [0, 0, 2])
    moment, forecast = at(drive, 10)
    one = replace(moment, there=replace(moment.there, who=np.array([0, 0, 2])))
    assert consistency.overlap([moment], [forecast])["truth"] == pytest.approx(2 / 3)
    assert consistency.overlap([one], [forecast])["joint"] == 0.0
    assert consistency.overlap([one], [forecast])["truth"] == 0.0


def test_modes_that_give_way_overlap_less_than_independent_draws() -> None:
    """One of two passes first in each mode: drawn independently both go in a quarter of the cases."""
    drive = make_drive(
        np.stack([straight(140, (0, 0), (1, 0)), straight(140, (3, -3), (0, 1)), FAR]), [0, 0, 2]
    )
    moment, forecast = at(drive, 10)
    path = np.repeat(forecast.position, 2, axis=0)
    for mode in (0, 1):
        path[mode, mode] = moment.scene.tracks.position[mode, 0]  # this one waits
    forecast = replace(
        forecast,
        position=path,
        covariance=np.repeat(forecast.covariance, 2, axis=0),
        mode_probability=np.full(2, 0.5),
        marginal_position=path,
        marginal_covariance=np.repeat(forecast.covariance, 2, axis=0),
        marginal_probability=np.full((2, 3), 0.5),
    )
    figures = consistency.overlap([moment], [forecast], draws=400)
    assert figures["joint"] == 0.0
    assert figures["independent"] == pytest.approx(2 / 3 / 4, abs=0.04)
    assert figures["shuffled"] == pytest.approx(2 / 3 / 4, abs=0.04)


def test_lanes_are_as_wide_as_their_boundaries_are_away() -> None:
    area = DrivableArea(make_road_map())  # lanes 3.5 m wide at y = -1.75 and 1.75
    points = np.array([[0.0, 3.4], [0.0, 3.6], [0.0, -3.4], [60.0, 0.0]])
    assert area.holds(points).tolist() == [True, False, True, False]
    assert area.reaches(points).tolist() == [False, False, False, False]
    assert area.reaches(np.array([[0.0, 1.0]])).all()


def test_a_car_that_leaves_the_road_within_the_maps_reach_is_counted() -> None:
    """At 2 m/s across from y = -1.75 it is beyond the kerb (3.5 m) after 2.6 s; the hull ends there too."""
    road = make_road_map()
    points = np.concatenate([road.points, road.points[:1] + np.array([0.0, 40.0])])
    road = replace(
        road, points=points, valid=np.concatenate([road.valid, road.valid[:1]]), kind=np.append(road.kind, 0)
    )
    drive = make_drive(
        np.stack([straight(140, (0, -2.75), (0, 2)), straight(140, (0, -1.75), (2, 0)), FAR]), [2, 2, 2],
        road_map=road,
    )  # fmt: skip
    moment, forecast = at(drive, 5)
    figures = consistency.off_road([moment], [forecast])
    # From y = -1.75 at 0.8 m a step: outside from the 7th step on; six of 24 places.
    assert figures["joint"] == pytest.approx(6 / 24)
    assert figures["most_likely"] == pytest.approx(6 / 24)
    assert figures["vehicles"] == 2


# ---- stability


@pytest.mark.parametrize("gap", [1, 4])
def test_a_straight_walk_forecast_straight_does_not_jitter(gap: int) -> None:
    drive = make_drive(np.stack([straight(140, (0, 0), (1.3, 0.2)), FAR]), [0, 2])
    pairs = [at(drive, frame) for frame in range(20, 40, gap)]
    figures = stability.jitter([m.scene for m, _ in pairs], [f for _, f in pairs])
    assert figures["pedestrian"]["joint"] == pytest.approx(0.0, abs=1e-6)
    assert figures["pedestrian"]["pairs"] == len(pairs) - 1


def test_a_forecast_that_moves_aside_by_a_metre_jitters_by_a_metre() -> None:
    drive = make_drive(np.stack([straight(140, (0, 0), (1.0, 0.0)), FAR]), [0, 2])
    (first, old), (second, new) = at(drive, 20), at(drive, 24)
    new = replace(new, position=new.position + np.array([0.0, 1.0]))
    figures = stability.jitter([first.scene, second.scene], [old, new])
    assert figures["pedestrian"]["joint"] == pytest.approx(1.0)
    assert figures["pedestrian"]["most_likely"] == pytest.approx(0.0, abs=1e-6)


def test_modes_in_another_order_do_not_jitter() -> None:
    drive = make_drive(np.stack([straight(140, (0, 0), (1.0, 0.0)), FAR]), [0, 2])
    (first, old), (second, new) = at(drive, 20), at(drive, 24)
    two = [
        replace(
            f,
            position=np.concatenate(
                [f.position + np.array([0.0, 3.0 * s]), f.position - np.array([0.0, 3.0 * s])]
            ),
            covariance=np.repeat(f.covariance, 2, axis=0),
            mode_probability=np.full(2, 0.5),
        )
        for f, s in ((old, 1), (new, -1))
    ]
    figures = stability.jitter([first.scene, second.scene], two)
    # The curve to the first step starts from the same place: it is not exactly parallel, but read at steps.
    assert figures["pedestrian"]["joint"] == pytest.approx(0.0, abs=1e-6)


def _turner() -> np.ndarray:
    """East at 1.2 m/s for 5 s, then north."""
    east = straight(50, (0, 0), (1.2, 0.0))
    return np.concatenate([east, straight(90, tuple(east[-1] + [0.0, 0.12]), (0.0, 1.2))])


def test_a_turn_and_a_stop_are_found_where_they_are() -> None:
    walk = straight(50, (9, 9), (1.2, 0.0))
    stopper = np.concatenate([walk, np.repeat(walk[-1:], 90, axis=0)])
    found = stability.events(make_drive(np.stack([_turner(), stopper, FAR]), [0, 0, 2]))
    assert [(e.agent, e.what) for e in found] == [(0, "turn"), (1, "stop")]
    assert all(45 <= e.begin <= 50 <= e.end <= 53 for e in found)


def test_a_late_forecast_is_later_than_constant_velocity() -> None:
    drive = make_drive(np.stack([_turner(), FAR]), [0, 2])
    pairs = [at(drive, frame) for frame in range(20, 100)]
    prompt = stability.reactions(drive, [m for m, _ in pairs], [f for _, f in pairs])
    lagging = [
        replace(f, marginal_position=pairs[max(i - 10, 0)][1].marginal_position + _moved(pairs, i))
        for i, (_, f) in enumerate(pairs)
    ]
    late = stability.reactions(drive, [m for m, _ in pairs], lagging)
    assert late[0]["delay_s"] == pytest.approx(prompt[0]["delay_s"] + 1.0, abs=0.11)
    table = stability.reaction_delay([*prompt, *late])
    assert table["pedestrian turn"]["events"] == 2
    assert table["pedestrian turn"]["back"] == 1.0


def _moved(pairs: list, i: int) -> np.ndarray:
    """From where all were ten ticks before to where they are: old velocities at the new place."""
    old, new = (pairs[j][0].scene.tracks.position[:, 0] for j in (max(i - 10, 0), i))
    return (new - old)[:, None]


# ---- crossing lead


def _person(score: list[float], start: float | None) -> crossing_lead.Watched:
    """A tick every 0.4 s from 0 on; it steps on the road at `start` seconds."""
    time = 0.4 * np.arange(len(score))
    return crossing_lead.Watched(
        time=time,
        score=np.array([score], float),
        off_road=time < (np.inf if start is None else start),
        starts=np.array([] if start is None else [start]),
        end=20.0,
    )


def test_the_lead_is_counted_from_the_last_interruption() -> None:
    """On at 0.4, off at 1.2, on from 1.6 until it crosses at 3.2: known 1.6 s before."""
    person = _person([0, 1, 1, 0, 1, 1, 1, 1, 1], 3.2)
    assert crossing_lead.lead(person, 0, 0.5, 3.2, 4.8, 0.4) == pytest.approx(1.6)
    assert crossing_lead.lead(_person([1] * 7 + [0], 3.2), 0, 0.5, 3.2, 4.8, 0.4) == 0.0
    assert crossing_lead.lead(_person([1] * 4, 3.2), 0, 0.5, 3.2, 4.8, 0.4) is None


def test_an_alarm_that_stays_on_is_a_new_claim_every_horizon() -> None:
    """10 s of alarm without a crossing: claims at 0, 4.8 and 9.6 s; a crossing at 6 s makes one true."""
    assert crossing_lead.false_claims(_person([1] * 26, None), 0, 0.5, 4.8) == 3
    assert crossing_lead.false_claims(_person([1] * 15, 6.0), 0, 0.5, 4.8) == 1


def test_the_threshold_is_the_lowest_that_the_false_alarms_allow() -> None:
    """One says 0.6 and never crosses, one 0.5, then 0.8, and does: without false alarms only 0.8 counts."""
    people = [_person([0.6] * 26, None), _person([0.5] * 6 + [0.8] * 2, 3.2)]
    strict = crossing_lead.crossing_lead(people, 0, false_per_minute=0.0)
    assert strict["mean_s"] == pytest.approx(0.8)
    assert strict["threshold"] == pytest.approx(0.8)
    loose = crossing_lead.crossing_lead(people, 0, false_per_minute=30.0)
    assert loose["mean_s"] == pytest.approx(3.2)


def test_a_walk_straight_into_the_lane_is_foreseen_at_constant_velocity() -> None:
    """From y = -8.5 at 1 m/s the lane (y > -3.5) begins 5 s ahead: alarmed from just after the start on."""
    frames = 140
    walk = straight(frames, (0, -8.5), (0.0, 1.0))
    on = (walk[:, 1] > -3.5) & (walk[:, 1] < 3.5)
    drive = make_drive(np.stack([walk, FAR]), [0, 2], on_road=np.stack([on, np.zeros(frames, bool)]),
                       road_map=make_road_map())  # fmt: skip
    moments, forecasts = zip(*(at(drive, f) for f in range(4, frames, 4)), strict=True)
    area = DrivableArea(drive.road_map)
    scores = [crossing_lead.straight_score(m, f, area) for m, f in zip(moments, forecasts, strict=True)]
    none = [crossing_lead.forecast_score(m, f) for m, f in zip(moments, forecasts, strict=True)]
    people = crossing_lead.watched(moments, [scores, none])
    figures = crossing_lead.crossing_lead(people, 0)
    assert figures["crossings"] == 1
    assert figures["mean_s"] == pytest.approx(4.7, abs=0.2)
    assert crossing_lead.crossing_lead(people, 1)["missed"] == 1.0


# ---- calibration


def test_the_figures_of_a_straight_street() -> None:
    """All walk straight: constant velocity is right, its regions are too wide, Kalman is found to suit."""
    walks = [straight(140, (3.0 * i, 0), (0, 1.0 + 0.1 * i)) for i in range(4)]
    drive = make_drive(np.stack([*walks, FAR]), [0, 0, 0, 1, 2])
    moments, forecasts = zip(*(at(drive, f) for f in range(30, 80, 10)), strict=True)
    tuned = calibration.tuned_kalman(moments, np.asarray(GRID.horizons))
    figures = calibration.calibration(moments, forecasts, tuned)
    assert figures["agents"] == {"pedestrian": 15, "cyclist": 5, "vehicle": 0}  # the ego is not judged
    assert figures["coverage"]["pedestrian"]["4.8 s"] == {"50%": 1.0, "90%": 1.0}
    assert figures["ece"]["joint top"] == pytest.approx(0.0)
    assert figures["nll"]["kalman"]["pedestrian"] < figures["nll"]["constant velocity"]["pedestrian"]
    assert figures["nll"]["model"] == figures["nll"]["constant velocity"]
    assert set(tuned) == {Kind.PEDESTRIAN, Kind.CYCLIST}
