"""Foreign recordings to tracks tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm_datasets.columns import read_columns
from drivewm_datasets.importers import FORMATS, ImportOptions
from drivewm_datasets.importers.eth_ucy import frame_step, read_eth_ucy
from drivewm_datasets.importers.sdd import read_sdd
from drivewm_datasets.importers.tracks import read_tracks
from drivewm_datasets.store import read_recordings
from drivewm_datasets.write_table import write_table

NONE = ImportOptions()

ETH = "780.0\t1.0\t8.46\t3.59\n790\t1\t9.57\t3.79\n\n790 2 13.64 5.8\n8.1e2  1  10.67,3.99\n"
SDD = (
    '3 100 200 110 220 0 0 0 0 "Pedestrian"\n'
    '3 102 200 112 220 3 0 1 1 "Pedestrian"\n'
    '3 104 200 114 220 6 1 0 1 "Pedestrian"\n'
    '8 0 0 30 10 3 0 0 0 "Biker"\n'
    '9 0 50 30 60 3 0 0 0 "Cart"\n'
)
CSV = (
    "dataset,scene,frame,t_s,agent_id,agent_type,x_m,y_m,length_m,remark\n"
    "toy,0001,0,0.0,007,pedestrian,1.0,2,,near\n"
    "toy,0001,1,0.1,007,pedestrian,1.1,2,,far\n"
    "toy,0001,1,0.1,8,car,5,5,4.5,far\n"
)


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_eth_ucy_text_of_any_spacing_is_read_at_two_and_a_half_hertz(tmp_path: Path) -> None:
    columns = read_eth_ucy(write(tmp_path / "biwi_eth.txt", ETH), NONE).columns
    assert columns["frame"].tolist() == [780, 790, 790, 810]
    assert columns["t_s"].tolist() == [0, 0.4, 0.4, 1.2]
    assert columns["agent_id"].tolist() == ["1", "1", "2", "1"]
    assert columns["x_m"].tolist() == [8.46, 9.57, 13.64, 10.67]
    assert columns["y_m"].tolist() == [3.59, 3.79, 5.8, 3.99]
    assert set(columns["scene"]) == {"biwi_eth"}
    assert set(columns["dataset"]) == {"eth_ucy"}


@pytest.mark.parametrize(
    ("frames", "step"), [([0, 6, 12, 18], 6), ([10, 20, 60, 70, 80], 10), ([5, 5, 5], 1), ([3, 4], 1)]
)
def test_the_most_common_step_between_frames_is_one_annotation(frames: list[int], step: int) -> None:
    assert frame_step(np.array(frames)) == step


def test_frames_a_second_and_scale_can_be_given_for_eth_ucy(tmp_path: Path) -> None:
    options = ImportOptions(fps=25, scale=0.5, dataset="mine", scene="square")
    imported = read_eth_ucy(write(tmp_path / "a.txt", ETH), options)
    assert imported.columns["t_s"].tolist() == [0, 0.4, 0.4, 1.2]  # 10 and 30 frames at 25 a second
    assert imported.columns["x_m"][0] == 4.23
    assert (imported.name, imported.columns["dataset"][0]) == ("square", "mine")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("800 1 1.0", "line 3: expected four numbers `frame id x y`, came '800 1 1.0'"),
        ("800 1 1.0 2.0 3.0", "line 3: expected four numbers"),
        ("800 one 1.0 2.0", "line 3: expected four numbers"),
        ("800 1 nan 2.0", "line 3: expected finite numbers"),
        ("800.5 1 1.0 2.0", "line 3: frame and id must be whole numbers, came 800.5 and 1"),
    ],
)
def test_a_bad_line_of_eth_ucy_text_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = write(tmp_path / "a.txt", f"780 1 8 3\n790 1 9 3\n{line}\n810 1 9 3\n")
    with pytest.raises(InputError, match=f"a.txt: {said}"):
        read_eth_ucy(file, NONE)


def test_sdd_boxes_become_centres_in_metres_with_y_up(tmp_path: Path) -> None:
    file = write(tmp_path / "deathCircle" / "video2" / "annotations.txt", SDD)
    imported = read_sdd(file, ImportOptions(scale=0.04))
    columns = imported.columns
    assert imported.name == "deathCircle_video2"
    assert columns["agent_id"].tolist() == ["3", "3", "8", "9"]
    assert columns["agent_type"].tolist() == ["pedestrian", "pedestrian", "cyclist", "cart"]
    assert columns["t_s"].tolist() == [0, 0.1, 0.1, 0.1]
    # Box (100, 200) to (110, 220): centre (105, 210) pixels, 4 cm each, rows counted downwards.
    np.testing.assert_allclose(columns["x_m"], [4.2, 4.28, 0.6, 0.6])
    np.testing.assert_allclose(columns["y_m"], [-8.4, -8.4, -0.2, -2.2])
    assert imported.skipped == {"lost (out of view)": 1}
    assert "length_m" not in columns


def test_a_left_turn_in_the_image_stays_a_left_turn_in_the_scene(tmp_path: Path) -> None:
    """Rightwards and then up the image is a left turn: counter-clockwise, a positive cross product."""
    file = write(
        tmp_path / "annotations.txt",
        "".join(
            f'1 {x} {y} {x} {y} {i} 0 0 0 "Biker"\n' for i, (x, y) in enumerate([(0, 50), (10, 50), (10, 40)])
        ),
    )
    columns = read_sdd(file, ImportOptions(scale=1)).columns
    (ax, ay), (bx, by) = np.diff(np.column_stack([columns["x_m"], columns["y_m"]]), axis=0)
    assert ax * by - ay * bx == 100


def test_sdd_needs_a_scale(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"annotations.txt: pixels need --scale"):
        read_sdd(write(tmp_path / "annotations.txt", SDD), NONE)


@pytest.mark.parametrize(
    "line", ['3 1 2 3 4 5 0 0 "Biker"', '3 1 2 x 4 5 0 0 0 "Biker"', '3 1 2 3 4 5 0 0 0 "Bik']
)
def test_a_bad_line_of_annotations_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"annotations.txt: line 6: expected `track_id xmin"):
        read_sdd(write(tmp_path / "annotations.txt", SDD + line + "\n"), ImportOptions(scale=1))


def test_a_csv_keeps_text_as_text_and_leaves_other_columns_behind(tmp_path: Path) -> None:
    columns = read_tracks(write(tmp_path / "a.csv", CSV), NONE).columns
    assert columns["agent_id"].tolist() == ["007", "007", "8"]
    assert columns["scene"].tolist() == ["0001"] * 3
    np.testing.assert_array_equal(columns["length_m"], [np.nan, np.nan, 4.5])
    assert "remark" not in columns


def test_a_tracks_table_without_time_and_names_takes_them_from_the_options(tmp_path: Path) -> None:
    text = "frame,agent_id,agent_type,x_m,y_m,vx_mps\n0,1,pedestrian,10,20,3\n5,1,pedestrian,20,20,3\n"
    options = ImportOptions(dataset="mine", scene="gate", fps=10, scale=0.1)
    columns = read_tracks(write(tmp_path / "a.csv", text), options).columns
    assert columns["t_s"].tolist() == [0, 0.5]
    np.testing.assert_allclose(columns["x_m"], [1, 2])
    np.testing.assert_allclose(columns["vx_mps"], [0.3, 0.3])
    assert (columns["dataset"][0], columns["scene"][0]) == ("mine", "gate")


def test_importing_a_tracks_table_changes_no_value(tmp_path: Path) -> None:
    columns = read_tracks(write(tmp_path / "a.csv", CSV), NONE).columns
    write_table(tmp_path / "in" / "a.parquet", columns)
    assert main(["import", str(tmp_path / "in"), "--format", "tracks", "--out", str(tmp_path / "out")]) == 0
    again = read_columns(tmp_path / "out" / "a.parquet")
    assert list(again) == list(read_columns(tmp_path / "in" / "a.parquet"))
    for name, values in columns.items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.parametrize(
    ("form", "files", "more", "scenes"),
    [
        ("eth-ucy", {"a.txt": ETH, "b.txt": ETH}, [], ["a", "b"]),
        (
            "sdd",
            {"q/video0/annotations.txt": SDD, "q/video1/annotations.txt": SDD},
            ["--scale", "0.04"],
            ["q_video0", "q_video1"],
        ),
        ("tracks", {"a.csv": CSV, "b.csv": CSV.replace("0001", "0002")}, [], ["0001", "0002"]),
    ],
)
def test_a_folder_is_imported_and_read_back(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    files: dict[str, str],
    more: list[str],
    scenes: list[str],
) -> None:
    for name, text in files.items():
        write(tmp_path / "in" / name, text)
    figures = tmp_path / "figures.json"
    out = tmp_path / "out"
    arguments = [str(tmp_path / "in"), "--format", form, "--out", str(out), "--json", str(figures)]
    assert main(["import", *arguments, *more]) == 0
    recordings = read_recordings(out)
    assert [recording.scene for recording in recordings] == scenes
    total = json.loads(figures.read_text())["total"]
    assert total["scenes"] == 2
    assert total["rows"] == sum(len(recording.t_s) for recording in recordings)
    assert total["agents"] == sum(len(recording.agent_ids) for recording in recordings)
    assert "total" in capsys.readouterr().out
    assert not [entry for entry in out.iterdir() if entry.name.startswith(".")]


def test_every_format_is_in_the_registry_under_its_name() -> None:
    assert list(FORMATS) == ["tracks", "eth-ucy", "sdd"]
    assert all(form.name == name for name, form in FORMATS.items())


@pytest.mark.shared_data
def test_eth_ucy_text_gives_the_recordings_of_the_published_table(shared_data: Path, tmp_path: Path) -> None:
    """The table written as raw text and imported again agrees in every frame, time, id and position."""
    for scene in ("biwi_hotel", "biwi_eth_true0p4s"):
        source = read_columns(shared_data / "eth_ucy" / f"{scene}.parquet")
        names = ("frame", "agent_id", "x_m", "y_m")
        rows = zip(*(source[name].tolist() for name in names), strict=True)
        text = "".join(f"{frame:.1f}\t{agent}\t{x!r}\t{y!r}\n" for frame, agent, x, y in rows)
        write(tmp_path / f"{scene}.txt", text)
    assert main(["import", str(tmp_path), "--format", "eth-ucy", "--out", str(tmp_path / "out")]) == 0
    for recording in read_recordings(tmp_path / "out"):
        (expected,) = read_recordings(shared_data / "eth_ucy" / f"{recording.scene}.parquet")
        assert recording.agent_ids == expected.agent_ids
        np.testing.assert_array_equal(recording.frame, expected.frame)
        # The published table rounds its times to 4 decimals.
        np.testing.assert_allclose(recording.t_s, expected.t_s, rtol=0, atol=5e-5 + 1e-9)
        np.testing.assert_array_equal(recording.xy, expected.xy)
