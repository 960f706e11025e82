"""The statistics of a street: small streets whose figures can be computed on paper."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm import cli
from drivewm.errors import InputError
from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_datasets.schema import tracks_table
from drivewm_datasets.store import read_recordings, recordings_of
from drivewm_eval.street import companions, density, gaps, interactions, smoothness, speeds, table, targets
from drivewm_eval.street.crossings import crossings
from drivewm_eval.street.estimate import Sample, difference, mean, pool, quantile, share, spread, wilson
from drivewm_eval.street.logit import fit_logit
from drivewm_eval.street.motion import Motion, on_clock
from drivewm_eval.street.two_sample import area_under_roc, tell_apart
from drivewm_eval.street.window_features import MOTION_FEATURES, NAMES, windows_of
from drivewm_eval.street.yielding import yielding

Path2 = list[tuple[float, float, float]]
"""Way points: time (s), x, y (m); straight and even in between."""


def street_table(
    agents: dict[str, tuple[str, Path2]], hz: float = 10.0, scene: str = "s", **extra: dict[str, str]
) -> pa.Table:
    """A tracks table of agents by id, each with its type and way; `extra` columns hold a text by agent id."""
    rows: dict[str, list] = {name: [] for name in ("frame", "t_s", "agent_id", "agent_type", "x_m", "y_m")}
    for agent_id, (agent_type, way) in agents.items():
        t, x, y = np.array(way, float).T
        frames = np.arange(np.ceil(t[0] * hz - 1e-9), np.floor(t[-1] * hz + 1e-9) + 1).astype(int)
        rows["frame"] += frames.tolist()
        rows["t_s"] += (frames / hz).tolist()
        rows["agent_id"] += [agent_id] * len(frames)
        rows["agent_type"] += [agent_type] * len(frames)
        rows["x_m"] += np.interp(frames / hz, t, x).tolist()
        rows["y_m"] += np.interp(frames / hz, t, y).tolist()
    count = len(rows["frame"])
    more = {name: [label[agent_id] for agent_id in rows["agent_id"]] for name, label in extra.items()}
    return pa.table({"dataset": ["test"] * count, "scene": [scene] * count, **rows, **more})


def street(agents: dict[str, tuple[str, Path2]], hz: float = 10.0, scene: str = "s") -> Recording:
    return recordings_of(tracks_table(street_table(agents, hz, scene), "test"))[0]


def motion(agents: dict[str, tuple[str, Path2]], hz: float = 10.0, step: float = 0.5) -> Motion:
    return on_clock(street(agents, hz), step)


def straight(begin: tuple[float, float], velocity: tuple[float, float], t0: float, t1: float) -> Path2:
    """From `begin` at time t0 on at an even velocity."""
    (x, y), (vx, vy) = begin, velocity
    return [(t0, x, y), (t1, x + vx * (t1 - t0), y + vy * (t1 - t0))]


# ---- the clock


@settings(max_examples=20, deadline=None)
@given(hz=st.sampled_from([2.0, 2.5, 10.0, 12.5, 29.97, 50.0]), speed=st.floats(0.4, 2.0))
def test_the_walking_speed_is_the_same_at_every_rate_of_recording(hz: float, speed: float) -> None:
    walk = {"p": ("pedestrian", straight((0, 0), (speed, 0), 0, 12))}
    figure = mean(speeds.walking_speed([motion(walk, hz, step=1.0)]))
    assert figure.value == pytest.approx(speed)


def test_nothing_is_measured_across_a_hole() -> None:
    way = straight((0, 0), (1, 0), 0, 4)
    table_ = street_table({"p": ("pedestrian", way)})
    keep = [not 1.0 < t < 3.0 for t in table_["t_s"].to_pylist()]
    m = on_clock(recordings_of(tracks_table(table_.filter(pa.array(keep)), "test"))[0])
    assert m.tick.tolist() == [0, 1, 2, 6, 7, 8]
    assert m.follows.tolist() == [False, True, True, False, True, True]


def test_velocity_looks_backward_only() -> None:
    before = motion({"p": ("pedestrian", [(0, 0, 0), (2, 2, 0), (4, 2, 0)])})
    turned = motion({"p": ("pedestrian", [(0, 0, 0), (2, 2, 0), (4, 2, 9)])})
    assert np.array_equal(before.velocity[:5], turned.velocity[:5])
    assert turned.speed[5] > 1


def test_who_sits_or_skates_does_not_count_as_on_foot() -> None:
    way = straight((0, 0), (1, 0), 0, 5)
    m = motion({"a": ("pedestrian_sitting", way), "b": ("skater", way), "c": ("pedestrian", way)})
    assert speeds.walking_speed([m]).value.tolist() == pytest.approx([1.0] * 10)


# ---- figures and their intervals


def test_the_rows_of_one_agent_count_as_one_observation() -> None:
    values = [np.concatenate([np.full(100, 1.0), np.full(100, 2.0)])]
    one = mean(pool(values, [np.repeat([0, 1], 100)]))
    many = mean(pool(values, [np.arange(200)]))
    assert one.value == many.value == 1.5
    assert (one.blocks, many.blocks, one.count) == (2, 200, 200)
    assert one.low is not None
    assert many.low is not None
    assert one.low < many.low


def test_from_ten_scenes_on_a_block_is_a_scene() -> None:
    ten = pool([np.ones(4)] * 10, [np.arange(4)] * 10)
    nine = pool([np.ones(4)] * 9, [np.arange(4)] * 9)
    assert (ten.blocks, nine.blocks) == (10, 36)


def test_a_share_nobody_ever_showed_may_still_not_be_zero() -> None:
    never = share(Sample(value=np.zeros(20), block=np.arange(20)))
    assert (never.value, never.low) == (0.0, 0.0)
    assert never.high == pytest.approx(wilson(0.0, 20)[1])
    assert never.high > 0.1


def test_figures_of_nothing_are_none() -> None:
    empty = pool([], [])
    assert [f.value for f in (mean(empty), spread(empty), share(empty), quantile(empty, 0.5))] == [None] * 4


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=40), p=st.floats(0, 1))
def test_a_quantile_lies_in_its_interval(values: list[float], p: float) -> None:
    figure = quantile(Sample(value=np.array(values), block=np.arange(len(values))), p)
    assert figure.value == pytest.approx(np.quantile(values, p))
    if figure.low is not None and figure.high is not None:
        assert figure.low <= figure.value <= figure.high


def test_the_interval_of_a_mean_covers_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        level = rng.normal(0, 1, 30)  # what an agent's rows share
        values = np.repeat(level, 10) + rng.normal(0, 0.3, 300)
        figure = mean(Sample(value=values, block=np.repeat(np.arange(30), 10)))
        assert figure.low is not None
        assert figure.high is not None
        hits += figure.low <= 0 <= figure.high
    assert 178 <= hits <= 199


# ---- walking


def test_half_a_walk_spent_standing_is_half_the_time_standing() -> None:
    m = motion({"p": ("pedestrian", [(0, 0, 0), (5, 6, 0), (10, 6, 0)])})
    assert share(speeds.standing([m])).value == 0.5
    assert mean(speeds.walking_speed([m])).value == pytest.approx(1.2)


def test_speeds_by_age_are_told_apart_by_the_label(tmp_path: Path) -> None:
    agents = {
        "a": ("pedestrian", straight((0, 0), (1.4, 0), 0, 5)),
        "b": ("pedestrian", straight((0, 9), (1, 0), 0, 5)),
    }
    pq.write_table(street_table(agents, age={"a": "child", "b": "elderly"}), tmp_path / "s.parquet")
    figures = table.statistics(read_recordings(tmp_path))
    assert figures["walking speed, median, child (m/s)"].value == pytest.approx(1.4)
    assert figures["walking speed, median, elderly (m/s)"].value == pytest.approx(1.0)


def side_by_side(seconds: float, apart: float = 1.0, faster: float = 0.0) -> Motion:
    """Two who walk along x for a while and a third far away, all seen for 10 s."""
    return motion(
        {
            "a": ("pedestrian", straight((0, 0), (1.2, 0), 0, 10)),
            "b": (
                "pedestrian",
                [(0, 0, apart), (seconds, (1.2 + faster) * seconds, apart), (10, 12, apart + 30)],
            ),
            "c": ("pedestrian", straight((0, 50), (1.5, 0), 0, 10)),
        }
    )


@pytest.mark.parametrize(
    ("seconds", "apart", "faster", "grouped"),
    [(5, 1.0, 0.0, 2), (2, 1.0, 0.0, 0), (5, 1.6, 0.0, 0), (5, 1.0, 0.35, 0)],
)
def test_a_group_is_close_and_alike_for_three_seconds(
    seconds: float, apart: float, faster: float, grouped: int
) -> None:
    m = side_by_side(seconds, apart, faster)
    assert companions.in_group([m], [companions.together(m)]).value.sum() == grouped


def test_groups_are_slower_by_the_difference_of_their_mean_speeds() -> None:
    m = side_by_side(5)
    grouped, single = companions.walking_speeds([m], [companions.together(m)])
    assert difference(mean(grouped), mean(single)).value == pytest.approx(1.2 - 1.5)


def test_density_counts_the_others_within_five_metres() -> None:
    ways = {
        name: ("pedestrian", straight((0, y), (1, 0), 0, 4)) for name, y in zip("abc", (0, 4, 8), strict=True)
    }
    m = motion(ways)
    assert mean(density.people_nearby([m])).value == pytest.approx((1 + 2 + 1) / 3)
    assert mean(density.people_present([m])).value == 3


# ---- meetings: a car along the x axis that is at 0 at time `car_s`; somebody along the y axis


def meeting(
    person: Path2, *, car_s: float, car_mps: float = 10.0, extra: dict[str, tuple[str, Path2]] | None = None
) -> Motion:
    car = straight((-car_mps * car_s, 0), (car_mps, 0), 0, 20)
    return motion({"p": ("pedestrian", person), "v": ("car", car), **(extra or {})})


def crossing_at(t_s: float, speed: float = 1.0) -> Path2:
    """Somebody who walks evenly and is on the car's line at this time."""
    return straight((0, -speed * t_s), (0, speed), 0, 20)


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


# ---- bodies


def test_even_motion_has_no_acceleration_and_a_circle_its_own_curvature() -> None:
    m = motion({"v": ("car", straight((0, 0), (8, 3), 0, 10))})
    assert smoothness.acceleration([m], Kind.VEHICLE).value == pytest.approx(0, abs=1e-9)
    assert smoothness.jerk([m], Kind.VEHICLE).value == pytest.approx(0, abs=1e-8)
    ring: Path2 = [(t, 20 * np.cos(t / 4), 20 * np.sin(t / 4)) for t in np.arange(0, 10.05, 0.1)]
    bend = smoothness.curvature([motion({"v": ("car", ring)})], Kind.VEHICLE).value
    assert bend == pytest.approx(1 / 20, rel=0.01)


def test_braking_at_two_metres_per_second_squared_is_measured_as_that() -> None:
    way: Path2 = [(t, 20 * t - t**2, 0) for t in np.arange(0, 8.05, 0.1)]
    accelerated = smoothness.acceleration([motion({"v": ("car", way)})], Kind.VEHICLE).value
    assert accelerated == pytest.approx(2.0, abs=1e-6)


def test_a_jump_of_a_walker_is_counted_at_the_recorded_rate() -> None:
    smooth = street({"p": ("pedestrian", straight((0, 0), (1.2, 0), 0, 5))})
    jumped = street({"p": ("pedestrian", [(0, 0, 0), (2.4, 2.9, 0), (2.5, 4.0, 0), (5, 7, 0)])})
    assert smoothness.jumps([smooth], Kind.PEDESTRIAN).value.sum() == 0
    assert smoothness.jumps([jumped], Kind.PEDESTRIAN).value.sum() == 1


def test_a_vehicle_that_stops_twice_in_a_minute_has_two_stops() -> None:
    way: Path2 = [(0, 0, 0), (10, 80, 0), (20, 80, 0), (30, 160, 0), (40, 160, 0), (60, 320, 0)]
    m = motion({"v": ("car", way)})
    assert speeds.stops_per_minute([m]).value.tolist() == pytest.approx([2.0])
    assert share(speeds.stopped([m])).value == pytest.approx(1 / 3, abs=0.01)


# ---- the table


def test_every_target_names_a_quantity_of_the_table_and_is_a_range() -> None:
    names = set(table.statistics([street({"p": ("pedestrian", crossing_at(5))})]))
    for town, ranges in targets.TARGETS.items():
        assert set(ranges) <= names, town
        assert all(r.low <= r.high for r in ranges.values())


def test_few_observations_are_shown_but_not_judged() -> None:
    figures = table.statistics([meeting_recording()])
    rows = {row.name: row for row in table.rows(figures, targets.TARGETS["street"])}
    assert rows["accepted gap, p50 (s)"].verdict == "few"
    assert rows["people at once"].verdict == ""
    assert rows["pedestrian position jumps"].verdict == "in"
    hit, judged = table.share_in_range(list(rows.values()))
    assert 0 < hit <= judged < len(rows)


def meeting_recording() -> Recording:
    return street({"p": ("pedestrian", crossing_at(5)), "v": ("car", straight((-80, 0), (10, 0), 0, 20))})


def test_the_command_prints_and_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agents = {"p": ("pedestrian", crossing_at(5)), "v": ("car", straight((-80, 0), (10, 0), 0, 20))}
    pq.write_table(street_table(agents), tmp_path / "s.parquet")
    out = tmp_path / "out" / "figures.json"
    command = ["street", "--data", str(tmp_path / "s.parquet"), "--targets", "plaza", "--json", str(out)]
    assert cli.main([*command, "--beside", str(tmp_path / "s.parquet")]) == 0
    assert "walking speed, mean" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["rows"][0]["figure"]["value"] == pytest.approx(1.0)
    assert len(written["beside"]) == 1


# ---- real or simulated?


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


# ---- the calibration's own figures


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "mean_mps", "sd_mps", "standing"),
    [("citr", 1.25, 0.26, 0.013), ("nuscenes_mini", 1.24, 0.27, 0.25), ("kitti_tracking", 1.37, 0.29, 0.07)],
)
def test_real_walking_speeds_are_those_of_the_calibration(
    shared_data: Path, name: str, mean_mps: float, sd_mps: float, standing: float
) -> None:
    motions = [on_clock(r, speeds.SPEED_STEP_S) for r in read_recordings(shared_data / name)]
    walking = speeds.walking_speed(motions)
    assert mean(walking).value == pytest.approx(mean_mps, abs=0.006)
    assert spread(walking).value == pytest.approx(sd_mps, abs=0.006)
    assert share(speeds.standing(motions)).value == pytest.approx(standing, abs=0.006)


@pytest.mark.shared_data
def test_real_gaps_are_near_those_of_the_calibration(shared_data: Path) -> None:
    motions = [on_clock(r) for r in read_recordings(shared_data / "citr")]
    offered = [gaps.offers(m, crossings(m)) for m in motions]
    accepted, rejected = gaps.accepted_gaps(motions, offered), gaps.rejected_gaps(motions, offered)
    half, slope = gaps.gap_choice(accepted, rejected)
    got = [quantile(accepted, 0.15), quantile(accepted, 0.5), quantile(rejected, 0.5), half, slope]
    assert [f.value for f in got] == pytest.approx([3.6, 4.2, 1.9, 3.1, 3.8], abs=0.3)
