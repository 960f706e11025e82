"""Tracks tables on disk to recordings."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from bundles import make_bundle

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm.timing import TimeGrid
from drivewm.types import Kind, Scene
from drivewm_datasets.cleaning import ISOLATED_JUMP, LASTING_JUMP, NO_KIND, ONE_FRAME
from drivewm_datasets.columns import read_columns
from drivewm_datasets.recording import CONTEXT
from drivewm_datasets.sampling import scene_at
from drivewm_datasets.schema import TRACK_REQUIRED
from drivewm_datasets.store import read_recordings
from drivewm_datasets.write_table import write_table


def street(scene: str = "street", dataset: str = "toy", frames: int = 8) -> dict[str, np.ndarray]:
    """A pedestrian at 1 m/s, a car at 10 m/s and an ego car at rest, at 10 Hz."""
    frame = np.repeat(np.arange(frames), 3)
    speed = np.tile([1.0, 10.0, 0.0], frames)
    return {
        "dataset": np.full(3 * frames, dataset),
        "scene": np.full(3 * frames, scene),
        "frame": frame,
        "t_s": frame / 10,
        "agent_id": np.tile(["walker", "car", "us"], frames),
        "agent_type": np.tile(["pedestrian", "car", "ego_vehicle"], frames),
        "x_m": 500_000.0 + speed * frame / 10,
        "y_m": np.tile([0.0, 4.0, 8.0], frames),
        "z_m": np.tile([np.nan, 1.0, 2.0], frames),
        "length_m": np.where(frame < 2, np.nan, np.tile([np.nan, 4.0, 4.9], frames)),
        "width_m": np.tile([np.nan, 1.8, 2.0], frames),
    }


def test_a_written_table_is_read_back_in_the_contracts_types(tmp_path: Path) -> None:
    columns = street()
    shuffled = {name: columns[name] for name in reversed(columns)}
    write_table(tmp_path / "a.parquet", {**shuffled, "frame": columns["frame"].astype(np.int16)})
    again = read_columns(tmp_path / "a.parquet")
    assert list(again)[: len(TRACK_REQUIRED)] == list(TRACK_REQUIRED)
    assert again["frame"].dtype == np.int64
    for name, values in columns.items():
        np.testing.assert_array_equal(again[name], values)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
    assert pq.read_schema(tmp_path / "a.parquet").field("agent_id").type == "string"


def test_a_table_without_a_required_column_is_not_written(tmp_path: Path) -> None:
    columns = street()
    del columns["x_m"]
    with pytest.raises(ValueError, match="x_m"):
        write_table(tmp_path / "a.parquet", columns)
    assert not list(tmp_path.iterdir())


def test_a_recording_holds_each_agent_in_order_of_time(tmp_path: Path) -> None:
    columns = street()
    mixed = np.random.default_rng(3).permutation(24)
    write_table(tmp_path / "a.parquet", {name: values[mixed] for name, values in columns.items()})
    (recording,) = read_recordings(tmp_path / "a.parquet")
    assert recording.name == ("toy", "street")
    assert recording.agent_ids == ("car", "us", "walker")
    assert recording.agent_types == ("car", "ego_vehicle", "pedestrian")
    assert recording.kind.tolist() == [Kind.VEHICLE, Kind.VEHICLE, Kind.PEDESTRIAN]
    assert recording.ego_id == "us"
    walker = recording.agent == 2
    np.testing.assert_allclose(recording.xy[walker, 0], 500_000 + np.arange(8) / 10, rtol=0, atol=1e-9)
    assert recording.xy.dtype == np.float64
    assert recording.t_s[walker].tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert recording.source == tmp_path / "a.parquet"
    assert recording.skipped == Counter()


def test_the_first_known_size_of_an_agent_counts(tmp_path: Path) -> None:
    columns = street()
    columns["length_m"][-2] = 4.4  # the last frame of the car
    write_table(tmp_path / "a.parquet", columns)
    (recording,) = read_recordings(tmp_path)
    assert recording.size.tolist() == [[4.0, 1.8], [4.9, 2.0], [0, 0]]
    assert recording.z[recording.agent == 0].tolist() == [1.0] * 8
    assert recording.z[recording.agent == 2].tolist() == [0.0] * 8


def test_scenes_come_sorted_by_name_from_files_folders_and_lists(tmp_path: Path) -> None:
    both = {n: np.concatenate([street("s2")[n], street("s1")[n]]) for n in street()}
    write_table(tmp_path / "x" / "z.parquet", both)
    write_table(tmp_path / "x" / "a.parquet", street("s3"))
    write_table(tmp_path / "y" / "b.parquet", street("s1", dataset="another"))
    (tmp_path / "x" / "splits.json").write_text("{}")
    (tmp_path / "x" / ".a.parquet.7.draft").write_text("half")
    assert [r.scene for r in read_recordings(tmp_path / "x")] == ["s1", "s2", "s3"]
    names = [r.name for r in read_recordings([tmp_path / "x" / "z.parquet", tmp_path / "y"])]
    assert names == [("another", "s1"), ("toy", "s1"), ("toy", "s2")]


def test_an_isolated_jump_is_left_out_and_counted(tmp_path: Path) -> None:
    columns = street()
    columns["y_m"][12] += 20  # the pedestrian in frame 4: 200 m/s out and back
    write_table(tmp_path / "a.parquet", columns)
    (recording,) = read_recordings(tmp_path)
    assert recording.skipped == Counter({ISOLATED_JUMP: 1})
    assert recording.frame[recording.agent == 2].tolist() == [0, 1, 2, 3, 5, 6, 7]
    assert recording.frame[recording.agent == 0].tolist() == list(range(8))


def test_a_lasting_jump_costs_its_first_row_and_is_counted_apart(tmp_path: Path) -> None:
    columns = street()
    later = (columns["agent_id"] == "walker") & (columns["frame"] >= 4)
    columns["y_m"] = np.where(later, 20.0, columns["y_m"])
    write_table(tmp_path / "a.parquet", columns)
    (recording,) = read_recordings(tmp_path)
    assert recording.skipped == Counter({LASTING_JUMP: 1})
    assert recording.frame[recording.agent == 2].tolist() == [0, 1, 2, 3, 5, 6, 7]


def restless(future_seed: int, until: int = 25) -> dict[str, np.ndarray]:
    """`street()` for 6 s, alike up to frame `until`; after it everybody is somewhere else by the seed.

    The pedestrian jumps in frame `until` itself: whether that lasts, only the future knows.
    """
    columns = street(frames=60)
    walker = columns["agent_id"] == "walker"
    columns["y_m"] = np.where(walker & (columns["frame"] == until), 40.0, columns["y_m"])
    rng = np.random.default_rng(future_seed)
    later = columns["frame"] > until
    for name in ("x_m", "y_m"):
        wander = np.cumsum(rng.normal(0, 0.1, len(later)))
        columns[name] = np.where(later, columns[name] + wander, columns[name])
    if future_seed % 2:  # the jump lasts, and a newcomer appears
        columns["y_m"] = np.where(later & walker, columns["y_m"] + 40.0, columns["y_m"])
        columns["agent_id"] = np.where(
            later & (columns["agent_id"] == "us"), "a newcomer", columns["agent_id"]
        )
    keep = ~later | (rng.random(len(later)) < 0.8) | (columns["agent_id"] == "car")  # the clock stays
    return {name: values[keep] for name, values in columns.items()}


def test_files_alike_up_to_a_moment_give_the_same_scenes_up_to_it(tmp_path: Path) -> None:
    """Whether the pedestrian's jump at 2.5 s lasts shows at 2.6 s: at 2.5 s it is absent either way."""
    grid = TimeGrid()
    scenes: list[list[Scene]] = []
    for seed in (0, 1):
        write_table(tmp_path / f"{seed}.parquet", restless(seed))
        (recording,) = read_recordings(tmp_path / f"{seed}.parquet")
        times = [t for t in recording.frame_times.tolist() if t < 2.5 + 1e-6]
        assert len(times) == 26
        scenes.append([scene_at(recording, t, grid) for t in times])
    for one, other in zip(*scenes, strict=True):
        assert one.tracks.ids == other.tracks.ids
        np.testing.assert_array_equal(one.tracks.pose, other.tracks.pose)
        np.testing.assert_array_equal(one.tracks.size, other.tracks.size)
    assert [scenes[0][i].tracks.ids for i in (24, 25)] == [("car", "us", "walker"), ("car", "us")]


def test_files_alike_up_to_a_moment_give_the_same_forecasts_up_to_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    tables = []
    for seed in (0, 1):
        write_table(tmp_path / f"{seed}.parquet", restless(seed))
        out = tmp_path / f"forecast{seed}.parquet"
        command = [
            "predict",
            "--data",
            str(tmp_path / f"{seed}.parquet"),
            "--out",
            str(out),
            "--every",
            "0.1",
        ]
        assert main([*command, "--weights", str(tmp_path / "bundle")]) == 0
        tables.append(pq.read_table(out).filter(pc.less(pc.field("t_s"), 2.51)))
    one, other = tables
    assert one.num_rows > 26 * 2 * 12
    for name in ("t_s", "agent_id", "mode", "step", "source"):
        assert one[name].to_pylist() == other[name].to_pylist()
    for name in ("x_m", "y_m", "var_xx", "mode_probability"):
        # Scenes are batched with later ones, whose width moves the last bits of a float32.
        np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy(), rtol=0, atol=1e-4)


def test_who_walks_due_west_has_a_yaw_of_minus_pi(tmp_path: Path) -> None:
    columns = street()
    columns["x_m"] = -columns["t_s"]
    write_table(tmp_path / "a.parquet", columns)
    (recording,) = read_recordings(tmp_path)
    yaw = scene_at(recording, 0.7, TimeGrid()).tracks.yaw
    np.testing.assert_allclose(yaw[:, 0], -np.pi)
    assert (yaw < np.pi).all()


def test_a_car_at_thirty_metres_per_second_does_not_jump(tmp_path: Path) -> None:
    columns = street()
    columns["x_m"] = np.where(columns["agent_id"] == "car", 30 * columns["t_s"], columns["x_m"])
    write_table(tmp_path / "a.parquet", columns)
    assert read_recordings(tmp_path)[0].skipped == Counter()


def test_one_frame_tracks_and_odd_types_are_kept_and_counted(tmp_path: Path) -> None:
    columns = street()
    columns["agent_id"] = columns["agent_id"].astype(object)
    columns["agent_id"][0] = "ghost"
    columns["agent_type"] = np.where(columns["agent_id"] == "car", "misc", columns["agent_type"])
    write_table(tmp_path / "a.parquet", columns)
    (recording,) = read_recordings(tmp_path)
    assert recording.agent_ids == ("car", "ghost", "us", "walker")
    assert recording.kind.tolist() == [CONTEXT, Kind.PEDESTRIAN, Kind.VEHICLE, Kind.PEDESTRIAN]
    assert len(recording.t_s) == 24
    assert recording.skipped == Counter({ONE_FRAME: 1, NO_KIND: 1})


def test_the_same_scene_in_two_files_is_refused_and_in_two_data_sets_is_not(tmp_path: Path) -> None:
    write_table(tmp_path / "one.parquet", street())
    write_table(tmp_path / "two.parquet", street(dataset="other"))
    assert len(read_recordings(tmp_path)) == 2
    write_table(tmp_path / "two.parquet", street())
    with pytest.raises(
        InputError, match=r"scene street of data set toy is in both .*one.parquet and .*two.parquet"
    ):
        read_recordings(tmp_path)


def test_a_damaged_file_is_skipped_only_when_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_table(tmp_path / "good.parquet", street())
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "good.parquet").read_bytes()[:500])
    with pytest.raises(InputError, match=r"torn.parquet"):
        read_recordings(tmp_path)
    assert len(read_recordings(tmp_path, damaged="skip")) == 1
    assert "torn.parquet" in caplog.text
    (tmp_path / "good.parquet").unlink()
    with pytest.raises(InputError, match="no recording could be read"):
        read_recordings(tmp_path, damaged="skip")


def test_a_flipped_byte_in_a_written_table_never_passes_for_a_position(tmp_path: Path) -> None:
    """Every page carries a checksum: a table is read as it was written or refused."""
    file = tmp_path / "a.parquet"
    write_table(file, street())
    (expected,) = read_recordings(file)
    content = file.read_bytes()
    refused = 0
    for place in range(4, len(content), 97):
        file.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        try:
            (recording,) = read_recordings(file)
        except InputError:
            refused += 1
            continue
        np.testing.assert_array_equal(recording.xy, expected.xy)
    assert refused > 10


def test_paths_that_hold_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        read_recordings(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no Parquet file"):
        read_recordings(tmp_path)
    with pytest.raises(InputError, match=r"notes.csv: expected a .parquet file.*drivewm import"):
        read_recordings(tmp_path / "notes.csv")


# folder: scenes, agents, rows kept, isolated jumps, lasting jumps, one-frame tracks, agents of no kind
REAL = {
    "citr": (38, 344, 95648, 0, 0, 0, 0),
    "eth_ucy": (9, 2565, 83336, 0, 0, 0, 0),
    "kitti_tracking": (21, 938, 55270, 0, 0, 4, 18),
    "nuscenes_mini": (10, 713, 15092, 0, 0, 16, 0),
    "sdd_raw": (15, 765, 112832, 23, 3, 3, 0),
    "sdd_trajnet": (30, 8494, 169853, 26, 1, 0, 0),
    "vru_thab": (1562, 1562, 488682, 0, 0, 2, 0),
    "wildtrack": (1, 313, 9515, 2, 1, 13, 0),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", REAL)
def test_every_real_recording_is_read_in_seconds(shared_data: Path, folder: str) -> None:
    began = time.perf_counter()
    recordings = read_recordings(shared_data / folder)
    assert time.perf_counter() - began < 20
    skipped = sum((recording.skipped for recording in recordings), Counter())
    came = (
        len(recordings),
        sum(len(recording.agent_ids) for recording in recordings),
        sum(len(recording.t_s) for recording in recordings),
        *(skipped[reason] for reason in (ISOLATED_JUMP, LASTING_JUMP, ONE_FRAME, NO_KIND)),
    )
    assert came == REAL[folder]
