"""A simulated town is measured like a recording: by one command, stretch by stretch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from drivewm import cli
from drivewm.types import Kind
from drivewm_eval.street import table, watch
from drivewm_sim.roads.towns import load_town
from drivewm_sim.simulator import DECISION_S
from drivewm_sim.street import traffic
from drivewm_sim.street.scripts import no_scripts

TOWN = load_town("crossing")


def test_what_is_watched_is_where_everybody_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WARM_UP_S", 1.0)
    (seen,) = watch.watch(TOWN, 2.0 / 3600.0, seed=3)
    setting = traffic.make_setting(TOWN, 3)
    world, scripts = traffic.first_world(setting), no_scripts()
    for _ in range(15):
        traffic.step(world, scripts, setting)
        world = traffic.come_and_go(world, setting)
    recording = seen.recording
    now = recording.frame == 4  # half a second after the warm-up
    places = {
        recording.agent_ids[a]: xy for a, xy in zip(recording.agent[now], recording.xy[now], strict=True)
    }
    true = {
        str(row["uid"]): (row["x"], row["y"]) for rows in (world.vehicles, world.pedestrians) for row in rows
    }
    assert places.keys() == true.keys()
    for agent_id, xy in places.items():
        assert xy == pytest.approx(true[agent_id])
    on_foot = {
        name
        for name, kind in zip(recording.agent_ids, recording.kind, strict=True)
        if kind == Kind.PEDESTRIAN
    }
    assert seen.ages.keys() == on_foot
    assert set(seen.ages.values()) <= {"adult", "child", "elderly"}


def test_stretches_follow_each_other_and_all_ticks_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "STRETCH_S", 2.0)
    told: list[int] = []
    hours = 5.0 / 3600.0
    seen = [one.recording for one in watch.watch(TOWN, hours, seed=3, advance=told.append)]
    assert [round(len(r.frames) * DECISION_S, 3) for r in seen] == [2.0, 2.0, 1.0]
    assert len({r.scene for r in seen}) == 3
    assert sum(told) == watch.ticks_of(hours)
    last, first = seen[0], seen[1]
    ends = {
        last.agent_ids[a]: xy
        for a, xy in zip(last.agent[last.frame == 19], last.xy[last.frame == 19], strict=True)
    }
    begins = {
        first.agent_ids[a]: xy
        for a, xy in zip(first.agent[first.frame == 0], first.xy[first.frame == 0], strict=True)
    }
    shared = ends.keys() & begins.keys()
    assert len(shared) > 10
    assert max(np.hypot(*(begins[k] - ends[k])) for k in shared) < 2.0


def test_the_command_measures_a_town_by_its_own_targets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    command = ["street", "--town", "plaza", "--hours", "0.004", "--seed", "5", "--json", str(out)]
    assert cli.main(command) == 0
    assert "walking speed, median, child" in capsys.readouterr().out
    first = json.loads(out.read_text())
    assert (first["town"], first["hours"], first["seed"], first["targets"]) == ("plaza", 0.004, 5, "plaza")
    assert {row["verdict"] for row in first["rows"]} >= {"in", ""}
    assert cli.main(command) == 0
    assert json.loads(out.read_text()) == first


def test_recordings_measured_one_by_one_and_together_say_the_same() -> None:
    scenes = [seen.recording for seed in (1, 2) for seen in watch.watch(TOWN, 5.0 / 3600.0, seed=seed)]
    parts = [table.observe(scene) for scene in scenes]
    together = table.statistics(scenes)
    assert table.figures(parts) == together
    counts = [part["walking"].value for part in parts]
    assert together["walking speed, mean (m/s)"].value == pytest.approx(float(np.concatenate(counts).mean()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name either recordings (--data) or a town to simulate (--town)"),
        (["--data", ".", "--town", "grid"], "name either recordings"),
        (["--town", "grid", "--hours", "0"], "--hours must lie above 0"),
        (["--town", "grid", "--seed", "-1"], "--seed must lie between"),
        (["--town", "nowhere"], "nowhere"),
        (["--town", "grid", "--picture", "a.png"], "--picture draws a recording of --data"),
        (["--data", ".", "--scene", "a"], "--scene is what --picture draws"),
        (["--town", "grid", "--beside", "nowhere"], "nowhere: no such file or folder"),
        (["--town", "grid", "--against", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["street", *options]) == 2
    assert said in capsys.readouterr().err
