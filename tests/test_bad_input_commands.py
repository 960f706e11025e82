"""Bad input to predict, evaluate and train: one clear line, exit code 2, nothing half written.

What `import` and the reader say of the same tables is in test_bad_input_data.py, what `evaluate` says of
forecast tables in test_bad_input_forecasts.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from bundles import make_bundle
from refusals import Capture, assert_refused, evaluate, files_in, predict
from street import write_scenes
from test_bad_input_data import CASES, good, save

from drivewm.cli import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with random weights: 3 joint modes, 5 candidates."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of three people, 8 s at 2.5 Hz."""
    return write_scenes(tmp_path_factory.mktemp("street"), scenes=2, seconds=8.0, wiggle=0.05)


@pytest.fixture(params=CASES)
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, str]:
    """A folder with a good and a bad file, what must be said of the bad one, and the remedy."""
    make, came, remedy = CASES[request.param]
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a.parquet", {**good(), "scene": np.full(60, "a")})
    make(folder / "bad.parquet")
    return folder, came, remedy


def test_predict_names_what_is_wrong_and_leaves_nothing(
    bad: tuple[Path, str, str], weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder, came, remedy = bad
    before = files_in(tmp_path)
    code = predict(folder, tmp_path / "out" / "f.parquet", weights, "--json", str(tmp_path / "f.json"))
    assert_refused(code, capsys, f"{folder / 'bad.parquet'}: ", came, remedy)
    assert files_in(tmp_path) == before


def test_evaluate_names_what_is_wrong_and_leaves_nothing(
    bad: tuple[Path, str, str], tmp_path: Path, capsys: Capture
) -> None:
    folder, came, remedy = bad
    before = files_in(tmp_path)
    code = evaluate(folder, "--baseline", "cv", "--json", tmp_path / "figures.json")
    assert_refused(code, capsys, f"{folder / 'bad.parquet'}: ", came, remedy)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("case", ["missing columns", "NaN position", "truncated Parquet", "wrong units"])
def test_train_names_what_is_wrong_and_leaves_nothing(case: str, tmp_path: Path, capsys: Capture) -> None:
    make, came, remedy = CASES[case]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "bad.parquet")
    code = main(["train", "--data", str(tmp_path / "in"), "--out", str(tmp_path / "run"), "--steps", "1"])
    captured = capsys.readouterr()  # the progress bar has begun on standard output
    assert code == 2
    assert len(captured.err.splitlines()) == 1
    assert "bad.parquet" in captured.err
    assert came in captured.err
    assert remedy in captured.err
    assert not (tmp_path / "run").exists()


def test_an_older_forecast_table_outlives_a_failed_run(
    weights: Path, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "f.parquet"
    assert predict(street, out, weights) == 0
    capsys.readouterr()
    kept = out.read_bytes()
    (tmp_path / "in").mkdir()
    CASES["NaN position"][0](tmp_path / "in" / "bad.parquet")
    assert_refused(predict(tmp_path / "in", out, weights), capsys, "x_m is nan")
    assert out.read_bytes() == kept
    assert files_in(tmp_path) == ["f.parquet", "in", "in/bad.parquet"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "holds no Parquet file and no episode"),
        (lambda path: path.write_text("1 2 3 4\n"), "drivewm import"),
    ],
    ids=["no folder", "an empty folder", "a text file"],
)
def test_a_folder_without_recordings_is_named(
    make: Callable[[Path], Any], said: str, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    make(tmp_path / "in")
    assert_refused(
        predict(tmp_path / "in", tmp_path / "f.parquet", weights), capsys, str(tmp_path / "in"), said
    )
    assert_refused(evaluate(tmp_path / "in", "--baseline", "cv"), capsys, str(tmp_path / "in"), said)
    assert not (tmp_path / "f.parquet").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--modes", "4"], "--modes must be 1 to 3 for the joint head"),
        (["--modes", "0"], "--modes must be 1 to 3"),
        (["--head", "marginal", "--modes", "6"], "--modes must be 1 to 5 for the marginal head"),
        (["--every", "0"], "--every must be at least 0.01 seconds, got 0"),
        (["--every", "-0.4"], "--every must be at least 0.01 seconds"),
        (["--every", "nan"], "--every must be at least 0.01 seconds, got nan"),
        (["--every", "inf"], "--every must be at least 0.01 seconds, got inf"),
    ],
)
def test_predict_refuses_options_it_cannot_meet(
    options: list[str], said: str, street: Path, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert_refused(predict(street, tmp_path / "f.parquet", weights, *options), capsys, said)
    assert files_in(tmp_path) == []


def test_predict_refuses_an_out_it_cannot_write(
    street: Path, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("mine")
    assert_refused(predict(street, tmp_path, weights), capsys, f"--out {tmp_path} is a folder; name a file")
    code = predict(street, tmp_path / "file" / "f.parquet", weights)
    assert_refused(code, capsys, f"--out: nothing can be written in {tmp_path / 'file'} (Not a directory)")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "exactly one of --weights, --baseline and --forecasts"),
        (["--baseline", "cv", "--weights", "nano"], "exactly one of"),
        (["--baseline", "cv", "--forecasts", "f.parquet"], "exactly one of"),
        (["--baseline", "cv", "--every", "0"], "--every must be at least 0.01 seconds"),
        (["--baseline", "cv", "--every", "100"], None),
        (["--forecasts", "nowhere.parquet"], "nowhere.parquet: no such file"),
    ],
)
def test_evaluate_refuses_options_it_cannot_meet(
    options: list[str], said: str | None, street: Path, capsys: Capture
) -> None:
    code = evaluate(street, *options)
    if said is None:  # one window, at the first frame, where nobody has a past
        said = "nothing to score"
    assert_refused(code, capsys, said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", "0"], "--steps must be at least 1"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--learning-rate", "-1"], "--learning-rate must lie between 0 and 1"),
        (["--seeds", "0", "3", "0"], "--seeds names 0 twice"),
        (["--seeds", "-1"], "--seeds must lie between 0 and 2^63 - 1, got -1"),
        (["--latent", "nan"], "--latent must be a weight of 0 or more, got nan"),
        (["--latent", "-0.5"], "--latent must be a weight of 0 or more, got -0.5"),
        (["--latent", "inf"], "--latent must be a weight of 0 or more, got inf"),
        (["--protocol", "eth-ucy"], "biwi_eth"),
    ],
)
def test_train_refuses_options_it_cannot_meet(
    options: list[str], said: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    code = main(["train", "--data", str(street), "--out", str(tmp_path / "run"), *options])
    captured = capsys.readouterr()
    assert code == 2
    assert len(captured.err.splitlines()) == 1
    assert said in captured.err
    assert files_in(tmp_path) == []


def test_train_touches_no_file_or_folder_that_is_in_use(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("mine")
    for out, said in ((tmp_path / "file", "is a file"), (tmp_path, "is not empty; pass --resume")):
        assert_refused(main(["train", "--data", str(street), "--out", str(out)]), capsys, said)
    assert files_in(tmp_path) == ["file"]


NOWHERE = "/proc/x"  # a place where nobody can make a file, root neither


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "--data", "DATA", "--out", "TMP/f.parquet"],
        ["evaluate", "--data", "DATA", "--baseline", "cv"],
        ["train", "--data", "DATA", "--out", "TMP/run"],
        ["import", "DATA", "--format", "tracks", "--out", "TMP/tables"],
        ["collect", "--episodes", "1", "--out", "TMP/episodes"],
        ["street", "--data", "DATA"],
        ["bench", "endurance"],
        ["demo", "--out", "TMP/demo"],
        ["export", "--weights", "WEIGHTS", "--out", "TMP/exported"],
    ],
    ids=lambda argv: argv[0],
)
def test_figures_that_cannot_be_written_are_refused_before_the_work(
    argv: list[str], street: Path, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    places = {"DATA": str(street), "TMP": str(tmp_path), "WEIGHTS": str(weights)}
    for name, place in places.items():
        argv = [word.replace(name, place) for word in argv]
    for json_file, said in (
        (str(tmp_path), f"--json {tmp_path} is a folder; name a file"),
        (NOWHERE, "--json: nothing can be written in /proc"),
        (os.devnull, f"--json {os.devnull} is no regular file"),
    ):
        assert_refused(main([*argv, "--json", json_file]), capsys, said)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "--data", "DATA", "--out", f"{NOWHERE}.parquet"],
        ["train", "--data", "DATA", "--out", f"{NOWHERE}/run"],
        ["import", "DATA", "--format", "tracks", "--out", NOWHERE],
        ["collect", "--episodes", "1", "--out", NOWHERE],
        ["demo", "--out", NOWHERE],
        ["export", "--weights", "WEIGHTS", "--out", NOWHERE],
    ],
    ids=lambda argv: argv[0],
)
def test_an_out_that_cannot_be_written_is_refused_before_the_work(
    argv: list[str], street: Path, weights: Path, capsys: Capture
) -> None:
    argv = [str(weights) if word == "WEIGHTS" else word.replace("DATA", str(street)) for word in argv]
    assert_refused(main(argv), capsys, "--out: nothing can be written in /proc")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/srv/f.json"), "error: /srv/f.json: Permission denied"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (OSError("Couldn't deserialize thrift\nmore"), "error: Couldn't deserialize thrift"),
    ],
)
def test_what_the_file_system_refuses_is_one_line(
    error: OSError, said: str, street: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("drivewm_datasets.store.read_recordings", refuse)
    assert_refused(evaluate(street, "--baseline", "cv"), capsys, said)


def test_a_reader_that_has_seen_enough_ends_the_command_without_a_traceback(street: Path) -> None:
    code = "import sys; from drivewm.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "evaluate", "--data", str(street), "--baseline", "cv"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait() == 1


def cut_weights(bundle: Path) -> None:
    file = bundle / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def cut_config(bundle: Path) -> None:
    file = bundle / "config.json"
    file.write_text(file.read_text()[:100])


def other_format(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps({**config, "format": 99}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "no bundle at"),
        (lambda bundle: (bundle / "config.json").unlink(), "no bundle at"),
        (lambda bundle: (bundle / "weights.safetensors").unlink(), "missing; the bundle is incomplete"),
        (cut_weights, "does not match the hash in config.json; the bundle is damaged, copy it again"),
        (cut_config, "not a readable bundle configuration"),
        (other_format, "bundle format 99, this version reads 1"),
    ],
    ids=["none", "no config", "no weights", "cut weights", "cut config", "another format"],
)
def test_a_damaged_bundle_is_named(
    damage: Callable[[Path], Any], said: str, weights: Path, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    bundle = shutil.copytree(weights, tmp_path / "bundle")
    damage(bundle)
    before = files_in(tmp_path)
    assert_refused(predict(street, tmp_path / "f.parquet", bundle), capsys, str(bundle), said)
    assert_refused(evaluate(street, "--weights", bundle), capsys, str(bundle), said)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "--bogus", "1"],
        ["predict"],
        ["predict", "--data", "x", "--out", "y", "--head", "both"],
        ["evaluate"],
        ["evaluate", "--data", "x", "--baseline", "prophet"],
        ["evaluate", "--data", "x", "--every", "often"],
        ["train", "--data", "x"],
        ["demo", "--seed", "lucky"],
        ["fly"],
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_a_short_message(argv: list[str], capsys: Capture) -> None:
    try:
        code: object = main(argv)
    except SystemExit as left:
        code = left.code
    captured = capsys.readouterr()
    assert code == 2
    assert 1 <= len(captured.err.splitlines()) <= 25
    assert "Traceback" not in captured.err


def dirty() -> dict[str, np.ndarray]:
    """`good()` with a jump of agent 1 at frame 10, a bird, and somebody seen once."""
    columns = good(frames=70)
    there = (columns["frame"] == 10) & (columns["agent_id"] == "1")
    columns["x_m"] = np.where(there, 500.0, columns["x_m"])
    extra = {name: values[:1] for name, values in columns.items()}
    bird = {**extra, "agent_id": np.array(["bird"]), "agent_type": np.array(["bird"])}
    birds = {n: np.repeat(v, 70) for n, v in bird.items()} | {
        "frame": np.arange(70),
        "t_s": np.arange(70) / 10,
    }
    once = {**extra, "agent_id": np.array(["once"]), "frame": np.array([40]), "t_s": np.array([4.0])}
    parts = (columns, birds, once)
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


def test_the_dirt_of_real_recordings_is_counted_and_said(
    weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The same scene name in two data sets is two scenes; each has the same dirt."""
    (tmp_path / "in").mkdir()
    for dataset in ("toy", "other"):
        columns = dirty()
        save(
            tmp_path / "in" / f"{dataset}.parquet",
            {**columns, "dataset": np.full(len(columns["frame"]), dataset)},
        )
    out, figures = tmp_path / "f.parquet", tmp_path / "f.json"
    assert predict(tmp_path / "in", out, weights, "--json", str(figures)) == 0
    said = capsys.readouterr().out
    expected = {"isolated jump": 2, "one-frame track (kept)": 2, "type of no kind (context)": 2}
    for reason, count in expected.items():
        assert f"note: {reason}: {count} in 2 scenes" in said
    assert json.loads(figures.read_text())["skipped"] == expected
    table = pq.read_table(out)
    assert set(table["dataset"].to_pylist()) == {"toy", "other"}
    assert set(table["agent_id"].to_pylist()) == {"0", "1", "2", "once"}
    assert np.abs(table["x_m"].to_numpy()).max() < 200  # the jump moved nobody
    once = table.filter(pc.equal(table["agent_id"], "once"))
    assert set(once["source"].to_pylist()) == {"kinematic"}
    assert evaluate(tmp_path / "in", "--baseline", "cv", "--json", figures) == 0
    said = capsys.readouterr().out
    notes = json.loads(figures.read_text())["notes"]
    for reason, count in expected.items():
        assert f"note: {reason}: {count} in 2 scenes" in said
        assert f"{reason}: {count} in 2 scenes" in notes


def test_clean_recordings_have_no_notes(weights: Path, street: Path, tmp_path: Path, capsys: Capture) -> None:
    assert predict(street, tmp_path / "f.parquet", weights) == 0
    assert "note:" not in capsys.readouterr().out
