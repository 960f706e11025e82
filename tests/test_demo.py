"""The demo makes what it promises, twice the same, and touches nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bundles import make_bundle
from conftest import make_road_map
from refusals import assert_refused, files_in
from test_report import make_frames, make_report, page_of

from drivewm.baselines import kinematic_forecast
from drivewm.cli import demo as command
from drivewm.cli import main
from drivewm.timing import TimeGrid
from drivewm.types import Kind, RoadMap
from drivewm_datasets.protocols import Window
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import scene_at
from drivewm_datasets.store import read_recordings
from drivewm_eval.animation import write_animation
from drivewm_eval.demo import drive, labels_of, view_of_crossing
from drivewm_eval.draw import lane_distance
from drivewm_eval.groups import AT_THE_ROADWAY, members, summarize_groups
from drivewm_eval.replay import Label, replay
from drivewm_eval.scores import WindowScore

GRID = TimeGrid()
SECONDS = 1.5


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo of 1.5 s with one further seed, beside it figures.json."""
    out = tmp_path_factory.mktemp("demo") / "out"
    run_demo(out, weights)
    return out


def run_demo(out: Path, weights: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "FURTHER_SEEDS", (900_001,))
        patch.setattr(command, "FURTHER_S", 8.0)
        options = ["--seconds", str(SECONDS), "--json", str(out.with_name("figures.json"))]
        assert main(["demo", "--out", str(out), "--weights", str(weights), *options]) == 0


def test_the_demo_leaves_its_four_outputs_and_no_draft(made: Path) -> None:
    top = sorted(path.name for path in made.iterdir())
    assert top == ["demo.gif", "episode", "forecasts.parquet", "report.html"]


def test_the_page_and_the_picture_show_the_seconds_asked_for(made: Path) -> None:
    """Frames from 2.8 s, when everybody has a past, to 4.3 s: 16 at 10 Hz, every second one on the page."""
    from PIL import Image

    page = (made / "report.html").read_text()
    found = re.search(r'<script type="application/json" id="scene-data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    frames = data["frames"]
    assert [frame["t"] for frame in frames] == pytest.approx(np.arange(2.8, 4.31, 0.2))
    sources = [agent["source"] for frame in frames for agent in frame["forecast"]["agents"]]
    assert sources.count("model") > 0.8 * len(sources)  # the rest: just appeared, or too far from the middle
    ego = next(i for i, agent in enumerate(data["agents"]) if agent["ego"])
    for frame in frames:  # what really happened is known to the end of the forecast
        assert len(frame["future"][frame["agent"].index(ego)]) == 12 * 2
    with Image.open(made / "demo.gif") as image:
        assert image.n_frames == 16


def test_the_table_forecasts_the_stored_episode(made: Path) -> None:
    (recording,) = read_recordings(made / "episode")
    assert (recording.dataset, recording.scene) == ("drivewm_sim", "seed_27")
    table = pq.read_table(made / "forecasts.parquet")
    assert np.unique(table["t_s"].to_numpy()) == pytest.approx([2.8, 3.2, 3.6, 4.0])
    assert set(table["agent_id"].to_pylist()) <= set(recording.agent_ids)
    assert set(table["scene"].to_pylist()) == {"seed_27"}


def test_every_group_stands_beside_constant_velocity(made: Path) -> None:
    figures = json.loads(made.with_name("figures.json").read_text())
    assert list(figures["groups"]) == [AT_THE_ROADWAY, "pedestrians", "cyclists", "vehicles"]
    for group in figures["groups"].values():
        assert list(group) == ["model", "constant velocity"]
        ours, theirs = group.values()
        assert ours["n_agents"] == theirs["n_agents"] > 0
        assert theirs["min_ade"] == theirs["top1_ade"] == theirs["joint_min_ade"]  # it has one guess
    assert (
        figures["groups"]["pedestrians"]["model"]["n_agents"]
        > figures["groups"][AT_THE_ROADWAY]["model"]["n_agents"]
    )


def test_a_second_run_gives_the_same_and_leaves_the_rest_alone(made: Path, weights: Path) -> None:
    (made / "notes.txt").write_text("mine")
    names = ("report.html", "demo.gif", "forecasts.parquet", "episode/episode.json")
    before = {name: (made / name).read_bytes() for name in names}
    run_demo(made, weights)
    assert {name: (made / name).read_bytes() for name in names} == before
    assert (made / "notes.txt").read_text() == "mine"
    (made / "notes.txt").unlink()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seconds", "0"], "--seconds must lie between 1 and 120, got 0"),
        (["--seconds", "nan"], "--seconds must lie between"),
        (["--seed", "-1"], "--seed must lie between 0"),
        (["--weights", "nowhere"], "no bundle at nowhere"),
    ],
)
def test_the_demo_refuses_what_it_cannot_meet(
    options: list[str], said: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--weights", str(weights)] if "--weights" not in options else []
    code = main(["demo", "--out", str(tmp_path / "out"), *given, *options])
    assert_refused(code, capsys, said)
    assert files_in(tmp_path) == []


def test_the_demo_replaces_nothing_that_is_not_its_own(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "out" / "episode").mkdir(parents=True)
    (tmp_path / "out" / "episode" / "pilot.txt").write_text("mine")
    for out, said in (("file", "is a file; name a folder"), ("out", "exists and is no episode")):
        code = main(["demo", "--out", str(tmp_path / out), "--weights", str(weights)])
        assert_refused(code, capsys, said)
    assert files_in(tmp_path) == ["file", "out", "out/episode", "out/episode/pilot.txt"]


def test_the_default_crossing_is_lively() -> None:
    """Seed 27: several people cross, drivers give way, nobody is touched. Change the seed if this changes."""
    events = drive(command.Demo().seed, 31.6).events
    assert events["crossing_started"] >= 5
    assert events["yield"] >= 5
    assert events["contact"] == 0


def at_the_crossing() -> Recording:
    """Two frames of a street (lanes at y = -1.75 and 1.75) with somebody of every group."""
    who = {
        "in the lane": (Kind.PEDESTRIAN, 10.0, 0.5),
        "at the kerb": (Kind.PEDESTRIAN, 10.0, 3.9),  # 2.15 m from the lane's middle, its edge is at 1.75
        "on the sidewalk": (Kind.PEDESTRIAN, 10.0, 4.1),
        "cyclist": (Kind.CYCLIST, -5.0, 1.75),
        "car": (Kind.VEHICLE, 30.0, 1.75),
        "ego": (Kind.VEHICLE, -20.0, -1.75),
    }
    count = len(who)
    x, y = (np.array([place[axis] for place in who.values()]) for axis in (1, 2))
    return Recording(
        dataset="test",
        scene="street",
        agent_ids=tuple(who),
        agent_types=("some",) * count,
        kind=np.array([int(place[0]) for place in who.values()]),
        size=np.ones((count, 2)),
        agent=np.repeat(np.arange(count), 2),
        frame=np.tile([0, 1], count),
        t_s=np.tile([0.0, 0.4], count),
        xy=np.column_stack([np.repeat(x, 2), np.repeat(y, 2) + np.tile([0.0, 50.0], count)]),
        z=np.zeros(2 * count),
        road_map=make_road_map(),
        ego_id="ego",
    )  # fmt: skip


def window_of(recording: Recording, agents: list[int]) -> Window:
    return Window(
        recording=recording, t_s=0.0, agents=np.array(agents), future=np.zeros((len(agents), 12, 2))
    )


def test_who_is_at_the_roadway_is_decided_where_they_are_now() -> None:
    """A moment later everybody is 50 m to the north, which changes nothing; the ego is in no group."""
    found = members(window_of(at_the_crossing(), [0, 1, 2, 3, 4, 5]))
    assert found[AT_THE_ROADWAY].tolist() == [True, True, False, False, False, False]
    assert found["pedestrians"].tolist() == [True, True, True, False, False, False]
    assert found["cyclists"].tolist() == [False, False, False, True, False, False]
    assert found["vehicles"].tolist() == [False, False, False, False, True, False]


def test_nobody_is_at_the_roadway_of_a_map_without_lanes() -> None:
    found = members(window_of(replace(at_the_crossing(), road_map=RoadMap.empty()), [2, 0]))
    assert found[AT_THE_ROADWAY].tolist() == [False, False]


def test_a_group_has_the_mean_of_its_own_agents_and_only_groups_with_anybody_are_there() -> None:
    window = window_of(at_the_crossing(), [0, 2, 4])
    score = WindowScore(values={"min_ade": np.array([1.0, 3.0, 8.0])}, agents=3)
    other = WindowScore(values={"min_ade": np.array([5.0, 5.0, 8.0])}, agents=3)
    groups = summarize_groups([window, window], [score, other])
    assert {name: (group["min_ade"], group["n_agents"]) for name, group in groups.items()} == {
        AT_THE_ROADWAY: (3.0, 2),
        "pedestrians": (3.5, 4),
        "vehicles": (8.0, 2),
    }


def test_the_distance_to_a_lane_is_that_to_its_nearest_piece() -> None:
    points = np.array([[[0.0, 0.0], [10.0, 5.75]], [[53.0, 5.75], [0.0, -1.75]]])
    np.testing.assert_allclose(lane_distance(points, make_road_map()), [[1.75, 4.0], [5.0, 0.0]])
    assert np.isinf(lane_distance(points, RoadMap.empty())).all()


def test_a_replay_shows_the_true_heading_and_future_and_leaves_the_forecast_alone() -> None:
    """A label says how one truly faces. The map's frame has four images a second."""
    recording = at_the_crossing()
    scene = scene_at(recording, 0.0, GRID)
    forecast = kinematic_forecast(scene, GRID)
    labels = {(0.0, "car"): Label("yielding", 3.0)}
    (frame,) = replay(recording, [scene], [forecast], GRID, labels)
    # Standing cars face along their lane, westward, but the labelled one as its label says.
    assert frame.tracks.yaw[:, 0].tolist() == [0, 0, 0, np.pi, 3.0, 0]
    assert scene.tracks.yaw[4, 0] == np.pi
    assert frame.notes == ("", "", "", "", "yielding", "")
    assert frame.ego_id == "ego"
    assert frame.forecast is forecast
    assert frame.future is not None
    assert frame.future_valid is not None
    np.testing.assert_allclose(frame.future[0, 0], [10.0, 50.5])  # at 0.4 s, the only step on record
    assert frame.future_valid.sum(axis=1).tolist() == [1] * 6


def test_the_labels_of_an_episode_are_its_intents_and_headings() -> None:
    shown = drive(26, 1.0)
    labels = labels_of(shown.episode)
    truth = shown.episode.truth
    assert len(labels) == len(truth["frame"])
    row = int(np.flatnonzero(truth["agent_type"] == "ego_vehicle")[3])
    label = labels[(0.3, str(truth["agent_id"][row]))]
    assert label == Label("driving", float(truth["heading_rad"][row]))


def test_the_view_is_about_the_crosswalk() -> None:
    np.testing.assert_allclose(view_of_crossing(make_road_map()), [-16.0, -14.0, 36.0, 14.0])
    assert view_of_crossing(RoadMap.empty()) is None


def test_the_best_is_marked_within_each_group(tmp_path: Path) -> None:
    far = {"model": {"ADE, m": 3.0}, "constant velocity": {"ADE, m": 2.0}}
    page = page_of(tmp_path, make_report(make_frames(1), by_group={"<vehicles>": far}))
    assert '<th scope="rowgroup" colspan="3">&lt;vehicles&gt;</th>' in page
    assert '<th scope="row">model</th><td class="best">0.200</td>' in page
    assert '<th scope="row">model</th><td>3.000</td>' in page
    assert '<th scope="row">constant velocity</th><td class="best">2.000</td>' in page


def test_page_and_picture_open_on_the_view_they_are_given(tmp_path: Path) -> None:
    """The same street seen from further away: what moves covers fewer pixels."""
    from PIL import Image

    view = np.array([-100.0, -60.0, 100.0, 60.0])
    page = page_of(tmp_path, make_report(make_frames(1), view=view))
    assert '"view":[-10000,-6000,10000,6000]' in page
    told: list[int] = []
    options: dict[str, Any] = {"width": 320, "advance": told.append}
    coloured = {}
    for name, chosen in (("near", None), ("far", view)):
        write_animation(tmp_path / f"{name}.gif", make_frames(2), make_road_map(), view=chosen, **options)
        with Image.open(tmp_path / f"{name}.gif") as image:
            pixels = np.asarray(image.convert("RGB"), int)[30:150]
        coloured[name] = int((np.ptp(pixels, axis=-1) > 100).sum())
    assert told == [1, 1, 1, 1]
    assert coloured["far"] < 0.6 * coloured["near"]
