"""The statistics of a street: small streets whose figures can be computed on paper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from way_points import Path2, crossing_at, motion, straight, street, street_table

from drivewm import cli
from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_datasets.schema import tracks_table
from drivewm_datasets.store import read_recordings, recordings_of
from drivewm_eval.street import companions, density, smoothness, speeds, table, targets
from drivewm_eval.street.estimate import Sample, difference, mean, pool, quantile, share, spread, wilson
from drivewm_eval.street.motion import Motion, on_clock

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


def test_the_command_draws_the_scene_it_is_told_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(street_table({"p": ("pedestrian", crossing_at(5))}), tmp_path / "s.parquet")
    picture = tmp_path / "a.png"
    command = ["street", "--data", str(tmp_path / "s.parquet"), "--picture", str(picture), "--scene"]
    assert cli.main([*command, "elsewhere"]) == 2
    said = capsys.readouterr()
    assert "--scene 'elsewhere' is not in the data; there are s" in said.err
    assert said.out == ""  # before the work
    assert cli.main([*command, "s"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


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
