"""Meetings of people and vehicles: crossings, gaps, yielding, computed on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from way_points import Path2, crossing_at, motion, straight, street_table

from drivewm_datasets.schema import tracks_table
from drivewm_datasets.store import read_recordings, recordings_of
from drivewm_eval.street import gaps, interactions, table
from drivewm_eval.street.crossings import crossings, without_signals
from drivewm_eval.street.estimate import Sample, quantile
from drivewm_eval.street.logit import fit_logit
from drivewm_eval.street.motion import Motion, on_clock
from drivewm_eval.street.yielding import yielding


def meeting(
    person: Path2, *, car_s: float, car_mps: float = 10.0, extra: dict[str, tuple[str, Path2]] | None = None
) -> Motion:
    """Somebody, and a car along the x axis that is at 0 at time `car_s`; `extra` agents beside them."""
    car = straight((-car_mps * car_s, 0), (car_mps, 0), 0, 20)
    return motion({"p": ("pedestrian", person), "v": ("car", car), **(extra or {})})


@settings(max_examples=25, deadline=None)
@given(person_s=st.floats(4, 10), car_s=st.floats(4, 10), turn=st.floats(-3, 3))
def test_the_crossing_point_and_both_times_are_found_whatever_the_direction(
    person_s: float, car_s: float, turn: float
) -> None:
    c, s = np.cos(turn), np.sin(turn)
    turned = {}
    for name, type_, way in (
        ("p", "pedestrian", crossing_at(person_s)),
        ("v", "car", straight((-8 * car_s, 0), (8, 0), 0, 20)),
    ):
        turned[name] = (type_, [(t, c * x - s * y + 100, s * x + c * y - 50) for t, x, y in way])
    (found,) = crossings(motion(turned))
    assert found.point == pytest.approx([100, -50], abs=1e-6)
    assert (found.pedestrian_s, found.vehicle_s) == pytest.approx((person_s, car_s))
    assert found.angle == pytest.approx(np.pi / 2)


def test_somebody_on_a_bridge_crosses_no_path() -> None:
    agents = {"p": ("pedestrian", crossing_at(5)), "v": ("car", straight((-50, 0), (10, 0), 0, 20))}
    flat = street_table(agents)
    z = [5.0 if name == "p" else 0.0 for name in flat["agent_id"].to_pylist()]
    (above,) = recordings_of(tracks_table(flat.append_column("z_m", pa.array(z)), "test"))
    assert crossings(on_clock(above)) == []
    assert len(crossings(motion(agents))) == 1


def test_a_parked_car_and_one_alongside_are_not_crossed() -> None:
    parked = {"p": ("pedestrian", crossing_at(5)), "v": ("car", straight((0, 0), (0.01, 0), 0, 20))}
    along = {
        "p": ("pedestrian", straight((0, -0.5), (1.2, 0.1), 0, 20)),
        "v": ("car", straight((-50, 0), (10, 0), 0, 20)),
    }
    assert crossings(motion(parked)) == crossings(motion(along)) == []


@pytest.mark.parametrize(("car_s", "pet"), [(8.0, [3.0]), (3.5, [1.5]), (12.0, [])])
def test_post_encroachment_is_the_time_between_the_two(car_s: float, pet: list[float]) -> None:
    m = meeting(crossing_at(5), car_s=car_s)
    assert interactions.post_encroachment([crossings(m)]).value.tolist() == pytest.approx(pet)


def test_an_accepted_gap_is_counted_from_three_metres_off_the_line() -> None:
    """At 1 m/s the person is 3 m off at 5 - 3 = 2 s; the car passes at 8 s: 6 s."""
    m = meeting(crossing_at(5), car_s=8)
    offered = [gaps.offers(m, crossings(m))]
    assert gaps.accepted_gaps([m], offered).value.tolist() == pytest.approx([6.0], abs=0.01)
    assert gaps.rejected_gaps([m], offered).value.tolist() == []


def test_who_waits_rejects_one_gap_and_accepts_the_next_when_setting_out() -> None:
    """Stands 2 m off the line from 3 s to 7 s, crosses at 9 s; cars pass at 4.5 s and 12 s."""
    person: Path2 = [(0, 0, -5), (3, 0, -2), (7, 0, -2), (9, 0, 0), (14, 0, 5)]
    second = {"w": ("car", straight((-120, 0), (10, 0), 0, 20))}
    m = meeting(person, car_s=4.5, extra=second)
    offered = [gaps.offers(m, crossings(m))]
    # Within 3 m of the line at 2 s, the first car then 2.5 s away; sets out at 7 s, the second 5 s away.
    assert gaps.rejected_gaps([m], offered).value.tolist() == pytest.approx([2.5], abs=0.01)
    assert gaps.accepted_gaps([m], offered).value.tolist() == pytest.approx([5.0], abs=0.01)


def test_only_the_next_vehicle_of_a_lane_gives_the_gap() -> None:
    later = {"w": ("car", straight((-100, 0), (10, 0), 0, 20))}
    m = meeting(crossing_at(5), car_s=8, extra=later)
    accepted = gaps.accepted_gaps([m], [gaps.offers(m, crossings(m))])
    assert accepted.value.tolist() == pytest.approx([6.0], abs=0.01)


@pytest.mark.parametrize(("x", "counts"), [(0.0, False), (3.9, False), (4.1, True)])
def test_where_a_signal_decides_nobody_chooses_a_gap(x: float, counts: bool) -> None:
    """The way with the signal leads over the road x metres further on than the person crosses."""
    m = meeting(crossing_at(5), car_s=8)
    signalled = np.array([[[x, -5.0], [x, 5.0]]])
    assert bool(without_signals(crossings(m), signalled)) == counts
    assert len(without_signals(crossings(m), table.NOWHERE)) == 1


def test_the_logit_finds_the_curve_its_data_came_from() -> None:
    rng = np.random.default_rng(0)
    gap = rng.uniform(0, 8, 4000)
    taken = rng.random(4000) < 1 / (1 + np.exp(-1.5 * (gap - 3.5)))
    accepted = Sample(value=gap[taken], block=np.arange(int(taken.sum())))
    rejected = Sample(value=gap[~taken], block=np.arange(int((~taken).sum())))
    half, slope = gaps.gap_choice(accepted, rejected)
    assert half.value == pytest.approx(3.5, abs=0.1)
    assert slope.value == pytest.approx(1.5, abs=0.15)
    assert half.low is not None
    assert half.high is not None
    assert half.low < 3.5 < half.high


def test_the_logit_stays_finite_where_one_gap_parts_taken_from_left() -> None:
    x = np.array([1.0, 2.0, 4.0, 5.0])
    beta = fit_logit(np.column_stack([np.ones(4), x]), np.array([0.0, 0, 1, 1]), np.ones(4), gaps.RIDGE)
    assert np.isfinite(beta).all()
    assert -beta[0] / beta[1] == pytest.approx(3.0, abs=0.05)


def test_a_driver_yields_who_slows_below_sixty_per_cent_before_passing() -> None:
    """The person comes within 3 m at 4 s, when the car is 40 m off at 10 m/s."""
    person: Path2 = [(0, 0, -7), (5, 0, -2), (9, 0, -2), (11, 0, 0), (20, 0, 9)]
    gave_way: Path2 = [(0, -80, 0), (4, -40, 0), (8, -8, 0), (12, -6, 0), (16, 10, 0), (20, 40, 0)]
    drove_on = straight((-80, 0), (10, 0), 0, 20)
    for way, expected in ((gave_way, [1.0]), (drove_on, [0.0])):
        m = motion({"p": ("pedestrian", person), "v": ("car", way)})
        offered = [gaps.offers(m, crossings(m))]
        assert yielding([m], offered, (6.0, 14.0)).value.tolist() == expected
        assert yielding([m], offered, (2.0, 6.0)).value.tolist() == []


def test_who_crosses_far_ahead_of_a_car_asks_nobody_to_yield() -> None:
    m = meeting(crossing_at(5), car_s=11)
    assert yielding([m], [gaps.offers(m, crossings(m))], (6.0, 14.0)).value.tolist() == []


def test_time_to_reach_is_exact_head_on_and_infinite_when_leaving() -> None:
    offset = np.array([[10.0, 0.0], [10.0, 0.0], [10.0, 3.0], [1.0, 0.0]])
    velocity = np.array([[-2.0, 0.0], [2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
    times = interactions.time_to_reach(offset, velocity, reach=2.0)
    assert times.tolist() == pytest.approx([4.0, np.inf, np.inf, 0.0])


def test_a_car_bearing_down_on_somebody_standing_has_its_least_time_to_collision() -> None:
    """Its last tick at 5 m/s has the car 7.5 m away; they touch at 1.4 m: (7.5 - 1.4) / 5 = 1.22 s."""
    car: Path2 = [(0, -50, 0), (8.72, -6.4, 0), (12, -6.4, 0)]
    m = motion({"p": ("pedestrian", straight((0, 0), (0, 0), 0, 12)), "v": ("car", car)})
    (least,) = interactions.least_time_to_collision([m]).value
    assert least == pytest.approx(1.22)


def test_distance_to_a_vehicle_is_to_its_box() -> None:
    """A person 2 m beside the middle of a car 1.9 m wide is 1.05 m from it."""
    beside = {
        "p": ("pedestrian", straight((0, 2), (4, 0), 0, 5)),
        "v": ("car", straight((0, 0), (4, 0), 0, 5)),
    }
    assert interactions.speed_near_people([motion(beside)], (1.0, 1.1)).value.tolist() == pytest.approx(
        [4.0] * 10
    )
    assert len(interactions.speed_near_people([motion(beside)], (1.1, 10.0)).value) == 0


@pytest.mark.shared_data
def test_real_gaps_are_near_those_of_the_calibration(shared_data: Path) -> None:
    motions = [on_clock(r) for r in read_recordings(shared_data / "citr")]
    offered = [gaps.offers(m, crossings(m)) for m in motions]
    accepted, rejected = gaps.accepted_gaps(motions, offered), gaps.rejected_gaps(motions, offered)
    half, slope = gaps.gap_choice(accepted, rejected)
    got = [quantile(accepted, 0.15), quantile(accepted, 0.5), quantile(rejected, 0.5), half, slope]
    assert [f.value for f in got] == pytest.approx([3.6, 4.2, 1.9, 3.1, 3.8], abs=0.3)
