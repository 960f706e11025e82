"""Bad input: one clear line naming file, row and remedy, a non-zero exit, nothing half written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm_datasets.store import read_recordings

Columns = dict[str, np.ndarray]


def good(frames: int = 20, agents: int = 3) -> Columns:
    """People walking east at 1.2 m/s, seen at 10 Hz."""
    frame = np.repeat(np.arange(frames), agents)
    who = np.tile(np.arange(agents), frames)
    return {
        "dataset": np.full(len(frame), "toy"),
        "scene": np.full(len(frame), "gate"),
        "frame": frame,
        "t_s": frame / 10,
        "agent_id": who.astype(str),
        "agent_type": np.full(len(frame), "pedestrian"),
        "x_m": 0.12 * frame,
        "y_m": 2.0 * who,
        "length_m": np.full(len(frame), 0.5),
        "width_m": np.full(len(frame), 0.5),
    }


def save(file: Path, columns: Columns) -> None:
    """Plain Parquet, with none of this project's checks on the way."""
    pq.write_table(pa.table({name: pa.array(values.tolist()) for name, values in columns.items()}), file)


def without_columns(file: Path) -> None:
    columns = good()
    del columns["x_m"], columns["t_s"]
    save(file, columns)


def with_value(name: str, value: float) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        columns = good()
        columns[name] = columns[name].astype(float)
        columns[name][31] = value
        save(file, columns)

    return make


def duplicate_row(file: Path) -> None:
    save(file, {name: np.append(values, values[-1]) for name, values in good().items()})


def unsorted_time(file: Path) -> None:
    columns = good()
    columns["t_s"] = columns["t_s"].copy()
    columns["t_s"][columns["frame"] == 9] = 0.75
    save(file, columns)


def no_rows(file: Path) -> None:
    pq.write_table(pa.table({name: pa.array(v.tolist()) for name, v in good().items()}).slice(0, 0), file)


def no_bytes(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    save(file, good())
    file.write_bytes(file.read_bytes()[:-100])


def scrambled_inside(file: Path) -> None:
    """The footer is whole, the pages before it are not."""
    save(file, good())
    content = bytearray(file.read_bytes())
    content[4:1500] = bytes(1496)
    file.write_bytes(bytes(content))


def text_that_is_no_text(file: Path) -> None:
    """A flipped byte in an agent's name, which only its reader can notice."""
    columns = good()
    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    pq.write_table(table, file, compression="none")
    content = file.read_bytes()
    assert b"pedestrian" in content
    file.write_bytes(content.replace(b"pedestrian", b"pede\xb1trian"))


def ten_thousand_agents(file: Path) -> None:
    save(file, good(frames=2, agents=10_000))


def centimetres(file: Path) -> None:
    columns = good()
    save(file, {**columns, "x_m": columns["x_m"] * 100, "y_m": columns["y_m"] * 100})


def text_for_numbers(file: Path) -> None:
    columns = good()
    save(file, {**columns, "x_m": np.where(np.arange(60) == 31, "left", "1.0")})


CASES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    # case: (how the file is made, what came, what to do)
    "missing columns": (without_columns, "missing columns t_s, x_m", "add them"),
    "NaN position": (with_value("x_m", np.nan), "row 31: x_m is nan", "drop the rows"),
    "infinite position": (with_value("y_m", -np.inf), "row 31: y_m is -inf", "drop the rows"),
    "NaN time": (with_value("t_s", np.nan), "row 31: t_s is nan", "drop the rows"),
    "duplicate row": (duplicate_row, "row 60: agent 2 is twice in frame 19", "keep one row"),
    "unsorted time": (unsorted_time, "row 27: unsorted time", "number the frames"),
    "zero size": (with_value("length_m", 0.0), "row 31: length_m is 0", "null"),
    "negative size": (with_value("width_m", -0.5), "row 31: width_m is -0.5", "null"),
    "no rows": (no_rows, "no rows", "remove the file"),
    "no bytes": (no_bytes, "the file is empty (0 bytes)", "write it again"),
    "truncated Parquet": (truncated, "not readable as Parquet", "write it again"),
    "scrambled Parquet": (scrambled_inside, "not readable as Parquet", "write it again"),
    "text that is no text": (text_that_is_no_text, "not readable as Parquet", "write it again"),
    "10,000 agents in a frame": (ten_thousand_agents, "has 10000 agents, at most 1024", "split the scene"),
    "wrong units": (
        centimetres,
        "scene gate of data set toy has a median pedestrian speed of 120 m/s",
        "--scale",
    ),
    "text for numbers": (text_for_numbers, "row 31: x_m must be a number, came 'left'", "correct it"),
}


@pytest.fixture(params=CASES)
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, str]:
    """A bad file between two good ones, what must be said of it, and the remedy."""
    make, came, remedy = CASES[request.param]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "z"):
        columns = good()
        save(folder / f"{name}.parquet", {**columns, "scene": np.full(60, name)})
    make(folder / "bad.parquet")
    return folder, came, remedy


def test_reading_bad_input_names_file_row_and_remedy(bad: tuple[Path, str, str]) -> None:
    folder, came, remedy = bad
    with pytest.raises(InputError) as caught:
        read_recordings(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder / 'bad.parquet'}: ")
    assert came in message
    assert remedy in message


def test_importing_bad_input_ends_with_one_line_and_writes_nothing(
    bad: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, came, remedy = bad
    out = tmp_path / "out"
    assert main(["import", str(folder), "--format", "tracks", "--out", str(out)]) == 2
    assert_one_line(capsys, "bad.parquet", came, remedy)
    assert not out.exists()


def assert_one_line(capsys: pytest.CaptureFixture[str], *said: str) -> None:
    captured = capsys.readouterr().err
    assert len(captured.splitlines()) == 1, captured
    assert captured.startswith("error: ")
    for part in said:
        assert part in captured


def run_import(source: Path, form: str, out: Path, *more: str) -> int:
    return main(["import", str(source), "--format", form, "--out", str(out), *more])


def test_a_failed_import_leaves_the_tables_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    save(tmp_path / "a.parquet", good())
    assert run_import(tmp_path / "a.parquet", "tracks", out) == 0
    before = (out / "a.parquet").read_bytes()
    centimetres(tmp_path / "a.parquet")
    capsys.readouterr()
    assert run_import(tmp_path / "a.parquet", "tracks", out) == 2
    assert_one_line(capsys, "median pedestrian speed")
    assert [entry.name for entry in out.iterdir()] == ["a.parquet"]
    assert (out / "a.parquet").read_bytes() == before


def test_the_scale_that_the_units_error_asks_for_mends_it(tmp_path: Path) -> None:
    centimetres(tmp_path / "a.parquet")
    assert run_import(tmp_path / "a.parquet", "tracks", tmp_path / "out", "--scale", "0.01") == 0
    (recording,) = read_recordings(tmp_path / "out")
    np.testing.assert_allclose(recording.xy[:20, 0], 0.12 * np.arange(20))


def test_an_unknown_format_lists_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_import(tmp_path, "rosbag", tmp_path / "out") == 2
    assert_one_line(capsys, "rosbag", "tracks, eth-ucy, sdd")


def test_a_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_import(tmp_path / "nowhere", "tracks", tmp_path / "out") == 2
    assert_one_line(capsys, "nowhere: no such file or folder")


def test_a_folder_without_a_file_of_the_format_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(tmp_path, "sdd", tmp_path / "out", "--scale", "1") == 2
    assert_one_line(capsys, "holds no file of the format sdd")


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf"])
def test_a_scale_that_is_no_scale_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: str
) -> None:
    save(tmp_path / "a.parquet", good())
    assert run_import(tmp_path, "tracks", tmp_path / "out", f"--scale={scale}") == 2
    assert_one_line(capsys, "--scale must be a finite number above zero")


def test_the_same_scene_in_two_sources_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.parquet", good())
    save(tmp_path / "in" / "b.parquet", good())
    assert run_import(tmp_path / "in", "tracks", tmp_path / "out") == 2
    assert_one_line(capsys, "scene gate of data set toy is in both", "a.parquet", "b.parquet")
    assert not (tmp_path / "out").exists()


def test_one_scene_name_for_many_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.parquet", good())
    save(tmp_path / "in" / "b.parquet", good())
    assert run_import(tmp_path / "in", "tracks", tmp_path / "out", "--scene", "s") == 2
    assert_one_line(capsys, "--scene names one scene")


def test_a_file_where_the_folder_should_be_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.parquet", good())
    (tmp_path / "out").write_text("mine")
    assert run_import(tmp_path / "a.parquet", "tracks", tmp_path / "out") == 2
    assert_one_line(capsys, "is a file; name a folder")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "form", "said"),
    [
        ("a.csv", "frame,x_m\n1\n", "tracks", "not readable as CSV"),
        ("a.csv", "", "tracks", "the file is empty"),
        ("a.csv", "frame,x_m\n1,2\n", "tracks", "missing columns dataset, scene, t_s"),
        ("a.txt", "", "eth-ucy", "the file is empty"),
        ("a.txt", "1 2 3\n", "eth-ucy", "line 1: expected four numbers"),
        ("a.txt", "1 1 0 0\n1 1 0 0\n", "eth-ucy", "row 1: agent 1 is twice in frame 1"),
        ("annotations.txt", "1 2 3\n", "sdd", "pixels need --scale"),
    ],
)
def test_bad_text_is_one_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, form: str, said: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(content)
    assert run_import(tmp_path / "in", form, tmp_path / "out") == 2
    assert_one_line(capsys, name, said)
    assert not (tmp_path / "out").exists()


def test_binary_where_text_is_expected_is_one_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x81" * 50)
    assert run_import(tmp_path / "a.txt", "eth-ucy", tmp_path / "out") == 2
    assert_one_line(capsys, "a.txt", "not readable as text")
