"""Collection: the same bytes whoever makes them, resumable, and clear about bad arguments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivewm.cli import main
from drivewm_datasets.episode import read_about, read_branches, read_episode, verify_episode
from drivewm_sim.manifest import Manifest, ManifestWriter, read_manifest
from drivewm_sim.roads.towns import town_text

SMALL = ["--seconds", "0.5", "--seed", "7"]


def collect(out: Path, *options: str) -> int:
    return main(["collect", *SMALL, "--out", str(out), *options])


def hashes(out: Path) -> dict[str, str]:
    manifest = json.loads((out / "manifest.json").read_text())
    return {name: episode["hash"] for name, episode in manifest["episodes"].items()}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("collect") / "out"
    assert collect(out, "--episodes", "3") == 0
    return out


def test_two_ray_workers_give_the_hashes_of_one(collected: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    assert collect(tmp_path / "two", "--episodes", "3", "--workers", "2", "--engine", "ray") == 0
    assert hashes(tmp_path / "two") == hashes(collected)


def test_without_ray_auto_takes_plain_processes(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivewm_sim.fleet.ray_installed", lambda: False)
    assert collect(tmp_path / "two", "--episodes", "3", "--workers", "2") == 0
    assert hashes(tmp_path / "two") == hashes(collected)


def test_two_plain_processes_give_the_hashes_of_one(collected: Path, tmp_path: Path) -> None:
    assert collect(tmp_path / "two", "--episodes", "3", "--workers", "2", "--engine", "processes") == 0
    assert hashes(tmp_path / "two") == hashes(collected)


def test_the_stored_episodes_are_what_the_manifest_says(collected: Path) -> None:
    found = hashes(collected)
    assert list(found) == ["seed7_000000", "seed7_000001", "seed7_000002"]
    assert len(set(found.values())) == 3
    assert {name: verify_episode(collected / name) for name in found} == found


def test_an_episode_holds_truth_perception_commands_and_the_map(collected: Path) -> None:
    episode = read_episode(collected / "seed7_000000")
    assert episode.ego_id == "0"
    assert episode.truth["agent_type"][episode.truth["agent_id"] == "0"].tolist() == ["ego_vehicle"] * 5
    assert {"ego_vehicle", "car", "pedestrian"} <= set(episode.truth["agent_type"])
    assert len(episode.perceived["x_m"]) < len(episode.truth["x_m"])
    np.testing.assert_allclose(episode.frames["t_s"], [0.0, 0.1, 0.2, 0.3, 0.4])
    assert {
        "ego_x_m",
        "ego_y_m",
        "ego_heading_rad",
        "ego_acceleration_mps2",
        "ego_curvature",
    } <= episode.frames.keys()
    assert episode.road_map.valid.any()
    assert episode.provenance["scenario"]["town"] == "crossing"


def test_another_seed_gives_other_episodes(collected: Path, tmp_path: Path) -> None:
    assert collect(tmp_path / "other", "--episodes", "1", "--seed", "8") == 0
    assert not set(hashes(tmp_path / "other").values()) & set(hashes(collected).values())


def test_resume_keeps_whole_episodes_and_makes_damaged_and_missing_ones_again(
    collected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert collect(out, "--episodes", "2") == 0
    intact = out / "seed7_000000" / "truth.parquet"
    before = intact.stat().st_mtime_ns
    damaged = out / "seed7_000001" / "truth.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (out / ".seed7_000002.1.draft").mkdir()  # what a killed run leaves
    (out / ".seed7_000001.1.old").mkdir()
    (out / ".manifest.json.1").write_text("{")
    assert collect(out, "--episodes", "3", "--resume") == 0
    assert hashes(out) == hashes(collected)
    assert verify_episode(out / "seed7_000001") == hashes(collected)["seed7_000001"]
    assert intact.stat().st_mtime_ns == before
    assert not list(out.glob(".*"))


def test_the_figures_add_up(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    assert collect(tmp_path / "out", "--episodes", "2", "--policy", "mixed", "--json", str(figures)) == 0
    got = json.loads(figures.read_text())
    assert (got["episodes"], got["frames"], got["seconds_simulated"]) == (2, 10, 1.0)
    assert set(got["cpu_ms_per_frame"]) == {"simulate", "branch", "tables", "write"}


def test_mixed_takes_every_driver_in_turn(tmp_path: Path) -> None:
    assert collect(tmp_path / "out", "--episodes", "4", "--policy", "mixed", "--predictor", "nano") == 0
    about = [read_about(tmp_path / "out" / name)["provenance"] for name in hashes(tmp_path / "out")]
    assert [a["policy"] for a in about] == ["rule", "random", "held", "planner"]
    assert ["predictor" in a for a in about] == [False, False, False, True]


def test_branches_are_counted_and_verified(tmp_path: Path) -> None:
    options = ("--seconds", "3", "--branches", "2", "--branch-seconds", "0.8", "--verify")
    figures = tmp_path / "figures.json"
    assert collect(tmp_path / "out", "--episodes", "1", *options, "--json", str(figures)) == 0
    assert json.loads(figures.read_text())["branches"] == 10
    branches = read_branches(tmp_path / "out" / "seed7_000000")
    assert branches is not None
    assert np.bincount(branches.frames["branch"]).tolist() == [8] * 10


def test_a_large_collection_writes_its_manifest_rarely_and_whole_in_the_end(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (episode, *_) = read_manifest(collected).episodes.values()
    writer = ManifestWriter(Manifest({}), tmp_path)
    writer.flush()
    for index in range(300):
        writer.add(replace(episode, name=f"e{index}"))
    assert len(read_manifest(tmp_path).episodes) < 300
    writer.flush()
    assert len(read_manifest(tmp_path).episodes) == 300


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--episodes", "1", "--backend", "carla", "--port", "1"], "no CARLA server answers at 127.0.0.1:1"),
        (["--episodes", "0"], "--episodes must be at least 1"),
        (["--episodes", "1", "--workers", "0"], "--workers must be at least 1"),
        (["--episodes", "1", "--seconds", "-3"], "--seconds must lie between"),
        (["--episodes", "1", "--seed", "-1"], "--seed must lie between"),
        (["--episodes", "1", "--town", "atlantis"], "no town 'atlantis'; there are"),
        (["--episodes", "1", "--scenario", "storm"], "--scenario 'storm' is unknown; there are street"),
        (["--episodes", "1", "--branches", "-1"], "--branches must not be negative"),
        (["--episodes", "1", "--branches", "2"], "--branch-seconds 4.8 is longer than an episode of 0.5 s"),
        (["--episodes", "1", "--verify"], "--verify repeats the recording from the moments of --branches"),
        (["--episodes", "1", "--branch-seconds", "nan"], "--branch-seconds must lie between"),
        (["--episodes", "1", "--time-limit", "0"], "--time-limit must be positive"),
        (["--episodes", "1", "--engine", "processes", "--address", "auto"], "--address is for Ray"),
        (["--episodes", "1", "--address", "127.0.0.1:1"], "--address 127.0.0.1:1: nobody answers there"),
        (["--episodes", "1", "--address", "moon"], "--address moon: expected host:port"),
        (["--episodes", "1", "--predictor", "nano"], "--predictor is what --policy planner asks"),
        (["--episodes", "1", "--policy", "planner", "--predictor", "oracle"], "no bundle at oracle"),
    ],
)
def test_bad_arguments_end_in_one_line_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    out = tmp_path / "out"
    assert collect(out, *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_folder_in_use_needs_resume_and_resume_needs_the_same_recipe(
    collected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(collected)
    assert collect(collected, "--episodes", "3") == 2
    assert "--resume" in capsys.readouterr().err
    assert collect(collected, "--episodes", "3", "--resume", "--policy", "random") == 2
    assert "policy 'rule', not 'random'" in capsys.readouterr().err
    assert hashes(collected) == before


def test_resuming_in_a_folder_of_something_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    assert collect(tmp_path, "--episodes", "1", "--resume") == 2
    assert "no manifest.json" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_town_of_a_file_is_named_by_its_content_not_by_where_it_lies(tmp_path: Path) -> None:
    made = []
    for place in ("here", "there"):
        file = tmp_path / place / "mine.xodr"
        file.parent.mkdir()
        file.write_text(town_text("crossing"))
        assert collect(tmp_path / place / "out", "--episodes", "1", "--town", str(file)) == 0
        (town,) = json.loads((tmp_path / place / "out" / "manifest.json").read_text())["recipe"]["town"]
        assert town.startswith("mine.xodr:")
        made.append(hashes(tmp_path / place / "out"))
    assert made[0] == made[1]
