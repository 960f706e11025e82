"""CARLA's own Traffic Manager, unmodified, drives through a real CARLA town on the stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from killable import DEAD_LOCK, run_killable

pytestmark = pytest.mark.alone

TOWN = "Town10HD"
OFF_M = 0.5


def test_traffic_manager_keeps_20_vehicles_within_half_a_metre_of_their_lanes(
    shared_data: Path, record_property: pytest.RecordProperty
) -> None:
    pytest.importorskip("carla", reason="the carla client is not installed")
    maps = shared_data / "carla_towns"
    if not (maps / f"{TOWN}.xodr.gz").is_file():
        pytest.skip(f"{TOWN} (../shared/data/carla_towns) is not on this machine")
    ended = run_killable("carla_lanes.py", TOWN, 1000, "--maps", maps, limit_s=120.0)
    record_property("tries", ended.tries)
    assert ended.status == 0, ended.output + ended.errors
    figures = json.loads(ended.output.splitlines()[-1])
    assert figures["vehicles"] == figures["left"] == 20
    assert figures["moved_20_m"] >= 15
    assert figures["most_m"] <= OFF_M, figures


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """A program that notes each try in a file, beside the real ones' stead."""
    (folder / "program.py").write_text(f"import sys, time\nopen('tries', 'a').write('x')\n{text}\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("killable.TRIES", 3)
    return str(folder / "program.py")


def test_a_dead_lock_is_tried_again_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = f"sys.exit({DEAD_LOCK} if len(open('tries').read()) < 2 else 0)"
    with pytest.warns(match="dead-locked in try 1 of 3"):
        ended = run_killable(program(tmp_path, monkeypatch, again), limit_s=60.0)
    assert (ended.status, ended.tries) == (0, 2)


def test_a_crash_of_the_client_is_told_from_a_dead_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = program(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 11)")
    with (
        pytest.warns(match="crashed in try 3"),
        pytest.raises(pytest.fail.Exception, match="libcarla crashed"),
    ):
        run_killable(crashes, limit_s=60.0)


def test_what_hangs_is_killed_and_that_is_no_failure_of_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = program(tmp_path, monkeypatch, "time.sleep(600)")
    with (
        pytest.warns(match="dead-locked"),
        pytest.raises(pytest.fail.Exception, match="nothing was measured"),
    ):
        run_killable(hangs, limit_s=1.0)
    assert len(Path("tries").read_text()) == 3


def test_a_failure_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run_killable(program(tmp_path, monkeypatch, "sys.exit(1)"), limit_s=60.0)
    assert (ended.status, ended.tries) == (1, 1)
