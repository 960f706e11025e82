"""What a part is worth: arms beside the whole, rates chosen on validation, figures over seeds."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from refusals import Capture, assert_refused, files_in
from toy_street import make_episode

from drivewm.checkpoint import load_bundle
from drivewm.cli import main
from drivewm.errors import DivergedError, InputError
from drivewm.model import ModelConfig
from drivewm.training import TrainConfig
from drivewm_datasets.augment import PEDESTRIANS
from drivewm_datasets.episode import write_episode
from drivewm_datasets.fitting import RunConfig
from drivewm_datasets.plans import PRESETS
from drivewm_eval import ablation_runs
from drivewm_eval.ablation import ARMS, Outcome, Run, Spread, arms_of, chosen_rate, config_of, notes, table_of
from drivewm_eval.forks import call_all
from drivewm_eval.motion import INTERACTING


def outcome(
    arm: str, rate: float, seed: int, choice: float, error: float | None = None, **more: Any
) -> Outcome:
    """A run with this validation error; judged where there is a test error (joint minADE of pedestrians)."""
    rooms: Mapping[str, Any] = {}
    if error is not None:
        rooms = {"motion": {INTERACTING: {"model": {"joint_min_ade": error}, "cv": {"joint_min_ade": 2.0}}}}
    run = Run(arm=arm, rate=rate, seed=seed)
    return Outcome(
        run=run, recipe="r", validation={"choice": choice}, rooms=dict(rooms), **{"cpu_minutes": 1.0, **more}
    )


def test_the_spread_is_the_mean_and_the_standard_deviation_of_a_sample() -> None:
    """1, 2 and 6: mean 3, squares 4 + 1 + 9 = 14, over two 7."""
    assert Spread.of([1.0, 2.0, None, 6.0]) == Spread(mean=3.0, sd=math.sqrt(7), values=(1.0, 2.0, 6.0))
    assert Spread.of([4.0]) == Spread(mean=4.0, sd=None, values=(4.0,))
    assert Spread.of([None]) is None


def test_the_rate_is_chosen_by_validation_and_not_by_test() -> None:
    swept = [
        outcome("map", 1e-3, 0, 5.0, 0.1),
        outcome("map", 2e-3, 0, 4.0, 0.9),
        outcome("map", 4e-3, 0, 6.0),
    ]
    assert chosen_rate(swept) == 2e-3


def test_a_rate_at_which_the_training_diverged_is_never_chosen() -> None:
    lost = replace(outcome("map", 4e-3, 0, 0.0), validation={}, diverged="not finite", cpu_minutes=None)
    assert chosen_rate([lost, outcome("map", 1e-3, 0, 9.0), outcome("map", 2e-3, 0, math.nan)]) == 1e-3
    assert chosen_rate([lost]) is None


def test_a_sweep_whose_best_rate_is_its_last_is_noted() -> None:
    swept = [outcome("map", rate, 0, 1e-3 / rate) for rate in (1e-3, 2e-3, 4e-3)]
    assert notes("map", swept) == ["map: the best rate, 0.004, is the largest of --rates"]
    assert notes("map", swept[:1]) == [], "there was no choice"
    middle = [outcome("map", 1e-3, 0, 5.0), outcome("map", 2e-3, 0, 4.0), outcome("map", 4e-3, 0, 6.0)]
    assert notes("map", middle) == []


def test_an_arm_is_compared_with_the_whole_seed_by_seed() -> None:
    """Errors .4 and .6 against .3 and .4: .1 and .2 more, .15 on average."""
    whole = [outcome("whole", 2e-3, 0, 4.0, 0.3), outcome("whole", 2e-3, 1, 4.0, 0.4)]
    less = [outcome("map", 1e-3, 0, 5.0, 0.4), outcome("map", 1e-3, 1, 5.0, 0.6)]
    swept = {"whole": whole[:1], "map": [replace(less[0], rooms={})]}
    table = table_of(swept, {"whole": whole, "map": less}, minutes=15)
    row = table["arms"]["map"]
    assert row["rate"] == 1e-3
    assert row["figures"]["pedestrians_joint_min_ade"]["mean"] == pytest.approx(0.5)
    assert row["figures"]["vehicles_top1_fde"] is None, "there were no vehicles"
    assert row["minus_whole"]["pedestrians_joint_min_ade"]["mean"] == pytest.approx(0.15)
    assert row["minus_whole"]["pedestrians_joint_min_ade"]["sd"] == pytest.approx(math.sqrt(0.005))
    assert table["constant_velocity"]["pedestrians_joint_min_ade"] == 2.0
    assert len(table["runs"]) == 4, "the run of the sweep that is kept stands there once, judged"
    assert all(run["rooms"] for run in table["runs"])


def test_an_arm_that_diverged_at_every_rate_has_a_row_without_figures_and_a_complaint() -> None:
    whole = [outcome("whole", 2e-3, 0, 4.0, 0.3)]
    lost = replace(outcome("map", 2e-3, 0, 0.0), validation={}, diverged="not finite", cpu_minutes=None)
    table = table_of({"whole": whole, "map": [lost]}, {"whole": whole, "map": []}, minutes=15)
    assert table["arms"]["map"]["rate"] is None
    assert table["arms"]["map"]["figures"] == {}
    assert table["complaints"] == ["map rate 0.002 seed 0: not finite"]


def test_a_run_over_its_minutes_is_named_and_kept() -> None:
    late = outcome("whole", 2e-3, 0, 4.0, 0.3, cpu_minutes=16.0)
    table = table_of({"whole": [late]}, {"whole": [late]}, minutes=15)
    assert table["complaints"] == [
        "whole rate 0.002 seed 0: took 16.0 CPU minutes, more than 15; ask for fewer --steps"
    ]
    assert table["arms"]["whole"]["figures"]["pedestrians_joint_min_ade"]["mean"] == 0.3


def test_an_outcome_survives_being_written_down() -> None:
    known = outcome("map", 1e-3, 2, 5.0, 0.25, effective_rank=11.5, judged_on="t")
    assert Outcome.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_an_arm_differs_from_the_whole_in_its_part_alone() -> None:
    """All learn for the same number of steps; `latent` has no guard either; nano has no grid to leave out."""
    assert ARMS["latent"] == ("latent", "collapse")
    assert arms_of("base") == tuple(ARMS)
    assert set(ARMS) - set(arms_of("nano")) == {"bev"}
    whole = config_of("nano", Run(arm="whole", rate=1e-3, seed=4), 90)
    assert (whole.train.steps, whole.train.learning_rate, whole.train.seed) == (90, 1e-3, 4)
    for arm in arms_of("nano"):
        assert config_of("nano", Run(arm=arm, rate=1e-3, seed=4), 90).train.steps == 90
    latent = config_of("nano", Run(arm="latent", rate=1e-3, seed=4), 90)
    assert latent.train.objective == replace(whole.train.objective, latent=0.0, collapse=0.0)
    assert latent.model == whole.model


def test_calls_side_by_side_give_their_results_by_name_and_the_first_refusal_ends_them() -> None:
    heard: list[tuple[str, int]] = []
    calls = {name: (lambda tell, n=n: (tell(n), n * n)[1]) for n, name in enumerate("abc")}
    assert call_all(calls, 2, lambda name, step: heard.append((name, step))) == {"a": 0, "b": 1, "c": 4}
    assert sorted(heard) == [("a", 0), ("b", 1), ("c", 2)]

    def refuse(tell: Any) -> None:
        raise InputError("not this one")

    for jobs in (1, 2):
        with pytest.raises(InputError, match=r"^d: not this one$"):
            call_all({"d": refuse}, jobs, lambda name, step: None)
    with pytest.raises(InputError, match="status 7"):
        call_all({"e": lambda tell: os._exit(7)}, 2, lambda name, step: None)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders with one toy episode each, and one whose episode has no branches."""
    folder = tmp_path_factory.mktemp("episodes")
    made = make_episode()
    for name in ("data", "validation", "test"):
        write_episode(folder / name / "e", replace(made, scene=name))
    write_episode(folder / "plain" / "e", replace(made, scene="plain", branches=None))
    return folder


def tiny_preset(name: str) -> RunConfig:
    """`nano` as a model that learns in no time."""
    model = ModelConfig(
        dim=16, heads=2, layers=1, joint_modes=3, candidates=4, polylines=8, use_signals=True, use_plan=True,
        plan_width=8, reaction_layers=1, street_heads=True,
    )  # fmt: skip
    return RunConfig(name=name, model=model, train=TrainConfig(), augmentation=PEDESTRIANS, batch_agents=16)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "nano", tiny_preset)


def command(episodes: Path, out: Path, *more: str | Path) -> list[str]:
    parts = [x for name in ("data", "validation", "test") for x in (f"--{name}", str(episodes / name))]
    quick = ["--steps", "2", "--rates", "0.001", "--seeds", "0", "1", "--jobs", "1"]
    return ["ablate", *parts, *quick, "--out", str(out), *map(str, more)]


@dataclass(frozen=True)
class Done:
    """An ablation of the plan with one job: its folder, its figures, what it said."""

    out: Path
    table: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def done(episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, said = tmp_path_factory.mktemp("done"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setitem(PRESETS, "nano", tiny_preset)
        assert main(command(episodes, folder / "out", "--arms", "plan", "--json", folder / "f.json")) == 0
    return Done(folder / "out", json.loads((folder / "f.json").read_text()), said.getvalue())


def test_an_ablation_ends_in_a_table_of_arms_beside_constant_velocity(done: Done) -> None:
    assert "nano without one part at a time, 2 steps" in " ".join(done.said.split())
    assert "velocity" in done.said
    assert list(done.table["arms"]) == ["whole", "plan"]
    for arm, row in done.table["arms"].items():
        assert row["rate"] == 0.001
        assert row["seeds"] == [0, 1]
        assert len(row["figures"]["pedestrians_joint_min_ade"]["values"]) == 2
        assert row["figures"]["effective_rank"]["mean"] > 1
        assert (row["figures"]["counterfactual_gain"] is None) == (arm == "plan"), "it hears of no plan"
    # The toy's car comes evenly.
    assert done.table["constant_velocity"]["vehicles_top1_fde"] == pytest.approx(0.0, abs=1e-6)
    assert len(done.table["runs"]) == 4


def test_every_run_is_a_bundle_with_its_figures(done: Done) -> None:
    for run in done.table["runs"]:
        folder = done.out / run["run"]["arm"] / "rate_0.001" / f"seed{run['run']['seed']}"
        assert load_bundle(folder).provenance["steps"] == 2
        assert json.loads((folder / "figures.json").read_text()) == run


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_going_on_with_what_is_finished_makes_nothing_anew(
    done: Done, tiny: None, episodes: Path, tmp_path: Path
) -> None:
    before, found = times(done.out), tmp_path / "again.json"
    assert main(command(episodes, done.out, "--arms", "plan", "--json", found, "--resume")) == 0
    assert times(done.out) == before
    assert json.loads(found.read_text()) == done.table


def test_runs_of_another_recipe_or_judged_on_others_are_refused(
    done: Done, tiny: None, episodes: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = times(done.out)
    assert_refused(main(command(episodes, done.out)), capsys, "is not empty", "--resume")
    other = main(command(episodes, done.out, "--resume", "--steps", "3"))
    assert_refused(other, capsys, "other settings or data", "another --out")
    elsewhere = main(command(episodes, done.out, "--resume", "--test", _copy(tmp_path)))
    assert_refused(elsewhere, capsys, "judged on other episodes", "--test")
    assert times(done.out) == before


def _copy(folder: Path) -> Path:
    write_episode(folder / "other" / "e", replace(make_episode(), scene="other"))
    return folder / "other"


def test_a_rate_that_diverges_ends_neither_the_sweep_nor_the_others(
    tiny: None, episodes: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ablation_runs.run_training

    def fragile(training: Any, validation: Any, config: RunConfig, *more: Any, **named: Any) -> Any:
        if config.train.learning_rate > 0.01:
            raise DivergedError("the loss is not finite at step 1")
        return train(training, validation, config, *more, **named)

    monkeypatch.setattr(ablation_runs, "run_training", fragile)
    found = tmp_path / "f.json"
    more = ["--arms", "whole", "--rates", "0.02", "0.001", "--seeds", "0", "--json", str(found)]
    assert main(command(episodes, tmp_path / "out", *more)) == 1
    captured = capsys.readouterr()
    assert "error: whole rate 0.02 seed 0: the loss is not finite" in captured.err
    row = json.loads(found.read_text())["arms"]["whole"]
    assert row["rate"] == 0.001
    assert row["sweep"]["0.02"] == "the loss is not finite at step 1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arms", "wings"], "'wings' is unknown; there are whole, map"),
        (["--arms", "bev"], "nano does not have it"),
        (["--seeds"], "--seeds must name at least one"),
        (["--seeds", "1", "1"], "--seeds names 1 twice"),
        (["--rates"], "--rates must name at least one"),
        (["--rates", "0.001", "0.0010000001"], "--rates names a rate twice"),
        (["--rates", "-1"], "between 0 and 1"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--minutes", "nan"], "--minutes must be positive"),
        (["--test", "PLAIN"], "--test: the episodes hold no branches"),
        (["--data", "PLAIN"], "leave out the arm branches"),
        (["--test", "DATA"], "toy/data is in --data and in --test"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    options: list[str], said: str, tiny: None, episodes: Path, tmp_path: Path, capsys: Capture
) -> None:
    folders = {"PLAIN": str(episodes / "plain"), "DATA": str(episodes / "data")}
    given = command(episodes, tmp_path / "out", *(folders.get(o, o) for o in options))
    code = main(given)
    assert_refused(code, capsys, said)
    assert files_in(tmp_path) == []


def test_two_jobs_share_what_was_read_and_give_the_figures_of_one(
    done: Done, episodes: Path, tmp_path: Path
) -> None:
    """In a process of its own: this one has computed with torch, whose threads do not survive a fork."""
    given = command(episodes, tmp_path / "out", "--jobs", "2", "--json", tmp_path / "f.json")
    code = (
        "import sys; from test_ablation import PRESETS, main, tiny_preset\n"
        "PRESETS['nano'] = tiny_preset; sys.exit(main(sys.argv[1:]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, *given, "--arms", "whole"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent,
    )
    whole = json.loads((tmp_path / "f.json").read_text())["arms"]["whole"]
    assert whole["figures"] == done.table["arms"]["whole"]["figures"]
