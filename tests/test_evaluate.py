"""Who is scored, on what, by how many guesses, and how sure a comparison is."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundles import make_bundle
from rich.console import Console
from street import recording, walkers_table, write_scenes

from drivewm.checkpoint import save_bundle
from drivewm.cli import main
from drivewm.cli.evaluate import print_figures
from drivewm.errors import InputError
from drivewm.forecast_table import anchors_of
from drivewm.timing import TimeGrid
from drivewm_datasets.material import Material
from drivewm_datasets.plans import RunPlan, nano
from drivewm_datasets.protocols import TEST_SCENES, VALIDATION_FROM, folds
from drivewm_datasets.run_all import run_all
from drivewm_datasets.store import read_recordings
from drivewm_eval.evaluate import (
    Entrant,
    baseline_entrant,
    evaluate,
    fold_runs,
    scenes_of,
    table_entrant,
    weights_entrant,
)
from drivewm_eval.paired import blocks, drawn_means, interval

GRID = TimeGrid()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of three people, 10 s at 2.5 Hz."""
    return write_scenes(tmp_path_factory.mktemp("street"), scenes=2, wiggle=0.05)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle: 3 joint modes, 5 candidates; one scene trained it, the other chose it."""
    folder = tmp_path_factory.mktemp("bundle")
    bundle = make_bundle(folder)
    save_bundle(folder, replace(bundle, trained_on=(("test", "scene0"),), validated_on=(("test", "scene1"),)))
    return folder


def judged(street: Path, entrant: Entrant, protocol: str | None = None) -> dict[str, Any]:
    return evaluate(scenes_of(read_recordings(street), None, GRID, 0.4), entrant, GRID, protocol)


def with_modes(street: Path, weights: Path, out: Path, head: str, modes: int) -> Path:
    command = ["predict", "--data", str(street), "--out", str(out), "--weights", str(weights)]
    assert main([*command, "--head", head, "--modes", str(modes)]) == 0
    return out


def test_the_number_of_guesses_is_stated_of_every_entrant(
    street: Path, weights: Path, tmp_path: Path
) -> None:
    model = judged(street, weights_entrant(str(weights), None)[0])
    assert (model["candidates"], model["joint_modes"]) == (5, 3)
    straight = model["constant_velocity"]
    assert (straight["candidates"], straight["joint_modes"]) == (1, 1)
    joint = with_modes(street, weights, tmp_path / "joint.parquet", "joint", 2)
    alone = judged(street, table_entrant([joint], GRID))
    assert (alone["candidates"], alone["joint_modes"]) == (2, 2)
    assert f"{joint} holds 2 joint modes" in alone["notes"]
    marginal = with_modes(street, weights, tmp_path / "marginal.parquet", "marginal", 4)
    both = judged(street, table_entrant([joint, marginal], GRID))
    assert (both["candidates"], both["joint_modes"]) == (4, 2)
    assert judged(street, table_entrant([marginal], GRID))["joint_modes"] is None


def test_the_table_says_the_best_of_how_many(street: Path, weights: Path) -> None:
    console = Console(width=160, file=io.StringIO())
    print_figures(console, judged(street, weights_entrant(str(weights), None)[0]))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "best of 5" in said
    assert "joint of 3" in said


def test_a_long_name_takes_two_lines_and_no_figure_is_cut(street: Path, weights: Path) -> None:
    """A name of 42 characters once left `0.550/1.…` of the figures in a file 140 wide."""
    figures = judged(street, weights_entrant(str(weights), None)[0])
    summary = next(iter(figures["scenes"].values()))
    long = "citr/p2p_bi__bidirection_no_vehicle_3v7_01_" + "x" * 30
    figures["scenes"] = {long: summary}
    console = Console(width=140, file=io.StringIO())
    print_figures(console, figures)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    assert f"{summary['top1_ade']:.3f}/{summary['top1_fde']:.3f}" in said


def test_more_guesses_than_the_field_has_are_noted_under_the_protocol(street: Path) -> None:
    many = replace(baseline_entrant("cv", GRID), candidates=21, joint_modes=20)
    assert [note for note in judged(street, many, "eth-ucy")["notes"] if "not comparable" in note] == [
        "21 candidates an agent: more than the 20 of the protocol's published figures, not comparable"
    ]
    assert judged(street, many)["notes"] == []


def test_scenes_that_trained_or_chose_the_model_are_noted(street: Path, weights: Path) -> None:
    assert judged(street, weights_entrant(str(weights), None)[0])["notes"] == [
        "test/scene0: in the training data of tiny0, by its name",
        "test/scene1: in the data that chose and calibrated tiny0, by its name",
    ]


def test_progress_counts_every_window_once_a_scorer(street: Path) -> None:
    scenes = scenes_of(read_recordings(street), None, GRID, 0.4)
    heard: list[tuple[int, int]] = []
    evaluate(
        scenes, baseline_entrant("cv", GRID), GRID, None, lambda done, total: heard.append((done, total))
    )
    total = 2 * sum(map(len, scenes.values()))
    assert heard[-1] == (total, total)
    assert len(heard) > 2  # more often than once a scene


def test_a_table_without_a_stated_head_is_judged_by_its_modes_and_noted(
    street: Path, weights: Path, tmp_path: Path
) -> None:
    for head in ("joint", "marginal"):
        path = with_modes(street, weights, tmp_path / f"{head}.parquet", head, 3)
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
        entrant = table_entrant([path], GRID)
        assert f"{path} does not state its head (metadata drivewm.head): taken as {head}" in entrant.notes
        assert (entrant.joint_modes is None) == (head == "marginal")


def test_anchors_are_the_rows_of_one_scene_and_time_whatever_their_order() -> None:
    table = pa.table(
        {
            "dataset": ["b", "a", "b", "b", "a", "b"],
            "scene": ["s", "s", "s", "r", "s", "s"],
            "t_s": [10.0, 2.0, 9.5, 1.0, 2.0 + 1e-9, 10.0],
            "row": [0, 1, 2, 3, 4, 5],
        }
    )
    found = [(name, rows["row"].to_pylist()) for name, rows in anchors_of(table)]
    assert found == [
        (("b", "s", 9.5), [2]),
        (("b", "s", 10.0), [0, 5]),
        (("b", "r", 1.0), [3]),
        (("a", "s", 2.0), [1, 4]),
    ]


def test_a_table_without_rows_has_no_anchors() -> None:
    text = pa.array([], pa.string())
    table = pa.table({"dataset": text, "scene": text, "t_s": pa.array([], pa.float64())})
    assert list(anchors_of(table)) == []


def finished(root: Path, seeds: dict[str, list[int]]) -> Path:
    for fold, listed in seeds.items():
        for seed in listed:
            (root / fold / f"seed{seed}").mkdir(parents=True)
            (root / fold / f"seed{seed}" / "config.json").write_text("{}")
    return root


def test_folds_with_other_seeds_are_refused_by_name(tmp_path: Path) -> None:
    same = finished(tmp_path / "same", {fold: [0, 2] for fold in TEST_SCENES})
    runs = fold_runs(str(same), list(TEST_SCENES))
    assert runs is not None
    assert [path.name for path in runs["hotel"]] == ["seed0", "seed2"]
    other = finished(tmp_path / "other", {fold: [0, 1 if fold == "hotel" else 2] for fold in TEST_SCENES})
    with pytest.raises(InputError, match=r"fold eth has no finished run of seed1, another fold has"):
        fold_runs(str(other), list(TEST_SCENES))


def test_a_protocol_scene_in_two_data_sets_is_refused_by_name(tmp_path: Path) -> None:
    listed = [replace(recording(tmp_path), scene=scene) for scene in VALIDATION_FROM]
    assert [fold.name for fold in folds(listed)] == list(TEST_SCENES)
    twice = [*listed, replace(listed[0], dataset="other")]
    with pytest.raises(InputError, match=r"scene biwi_eth .* in the data sets test .* and other"):
        folds(twice)


def test_a_protocol_scene_without_windows_is_refused_by_name(tmp_path: Path) -> None:
    short, long = (recording(tmp_path, seconds=seconds) for seconds in (4.0, 9.6))
    listed = [replace(short if s == "biwi_hotel" else long, scene=s) for s in VALIDATION_FROM]
    with pytest.raises(InputError, match="nothing to score in hotel"):
        scenes_of(listed, "eth-ucy", GRID, 0.4)


def overlapping(rng: np.random.Generator, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of mean zero whose windows share 19 of 20 frames, and numbers of agents."""
    frames = rng.normal(size=windows + 19)
    agents = rng.integers(1, 6, size=windows).astype(float)
    return np.convolve(frames, np.ones(20) / 20, "valid") * agents, agents


@pytest.mark.parametrize("windows", [70, 300, 900])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(windows: int) -> None:
    """Overlapping windows of no true difference, as few as those of scene eth."""
    rng = np.random.default_rng(windows)
    inside = 0
    for _ in range(300):
        parts = blocks(*overlapping(rng, windows))
        low, high = interval(drawn_means([parts], rng), len(parts[0]))
        assert low is not None
        assert high is not None
        inside += low < 0 < high
    assert 0.915 < inside / 300 <= 0.99


def test_a_scene_of_few_blocks_is_wider_than_its_spread_says() -> None:
    """Four blocks -1, 1, -1, 1: standard error 0.577, two degrees of freedom, so 4.30 times that."""
    low, high = interval(drawn_means([(np.array([-1.0, 1, -1, 1]), np.ones(4))], np.random.default_rng(0)), 4)
    assert low == pytest.approx(-2.48, rel=0.05)
    assert high == pytest.approx(2.48, rel=0.05)


def test_scenes_are_independent_and_neighbouring_blocks_are_not() -> None:
    """The same blocks are surer as four scenes than as one where two neighbours agree."""
    total, agents = np.array([-1.0, -1.0, 1.0, 1.0]), np.ones(4)
    rng = np.random.default_rng(0)
    together = np.std(np.clip(drawn_means([(total, agents)], rng), -9, 9))
    apart = np.std(np.clip(drawn_means([(t[None], np.ones(1)) for t in total], rng), -9, 9))
    assert apart < 0.8 * together


@dataclass(frozen=True, kw_only=True)
class StubPlan(RunPlan):
    """A run that is refused when it reads its data, or that reads for a minute."""

    refused: bool

    def material(
        self, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[list[Material], list[Material]]:
        if self.refused:
            raise InputError("the training scenes hold nobody")
        time.sleep(60)
        return [], []


def test_a_run_that_fails_stops_those_beside_it_at_once(tmp_path: Path) -> None:
    plans = [
        StubPlan(
            label=f"seed {i}", data=(), fold=None, run=tmp_path / str(i), config=nano("nano"), refused=i == 1
        )
        for i in range(3)
    ]
    began = time.perf_counter()
    with pytest.raises(InputError, match="seed 1: the training scenes hold nobody"):
        run_all(plans, jobs=2, device="cpu", resume=False)
    assert time.perf_counter() - began < 40


def test_one_scene_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(walkers_table(), data / "a.parquet")
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
    assert not (tmp_path / "run").exists()


def test_evaluate_writes_the_numbers_of_guesses(street: Path, weights: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(weights, tmp_path / "bundle")
    file = tmp_path / "new" / "figures.json"
    assert main(["evaluate", "--data", str(street), "--weights", str(bundle), "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert (figures["candidates"], figures["joint_modes"]) == (5, 3)
