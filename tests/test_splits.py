"""The frozen splits: nothing is both learned from and tested on, and collecting one says how it came out."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from drivewm.cli import main
from drivewm.cli.collect import MIXED, Collect
from drivewm.cli.collect_split import compare, part_command
from drivewm.errors import InputError
from drivewm_datasets.drive import MEETING
from drivewm_sim import splits
from drivewm_sim.scenarios import SCENARIOS
from drivewm_sim.splits import Part, interacting, read_split, split_names

PARTS = [(name, part) for name in split_names() for part in read_split(name).parts]
HELD_OUT = {"school", "roundabout"}
DRAWN = {"random", "fresh", "circles", "fresh-circles"}


def test_no_two_parts_share_a_seed() -> None:
    """An episode is named by its seed and number: equal seeds would be equal names."""
    seeds = [part.seed for _, part in PARTS]
    assert len(set(seeds)) == len(seeds) == 14 + 80 + 20 + 24 + 6


def test_the_held_out_towns_are_in_no_other_split() -> None:
    assert {part.town for name, part in PARTS if name not in HELD_OUT | DRAWN} == {
        "crossing",
        "arterial",
        "grid",
        "plaza",
    }
    assert {name: [p.town for n, p in PARTS if n == name] for name in HELD_OUT} == {t: [t] for t in HELD_OUT}


def test_every_part_can_be_collected() -> None:
    for _, part in PARTS:
        assert set(part.scenarios) <= set(SCENARIOS)
        assert part.hash_of_hashes is None or len(part.hash_of_hashes) == 64


def test_towns_that_choose_a_checkpoint_are_not_those_that_it_learned_from() -> None:
    drawn = [read_split(name).drawn for name in sorted(DRAWN)]
    assert [(d.count, d.seed) for d in drawn if d] == [(24, 2), (20, 1), (6, 3), (80, 0)]
    assert [d.roundabouts for d in drawn if d] == [True, False, True, False]
    for name in DRAWN:
        split = read_split(name)
        assert [p.town for p in split.parts] == [f"town_{k:03d}" for k in range(len(split.parts))]
    assert (read_split("random").recipe["branches"], read_split("train").recipe["branches"]) == (10, 3)


def test_a_part_of_a_drawn_town_is_collected_from_its_file(tmp_path: Path) -> None:
    split = read_split("random")
    command = Collect(out=tmp_path, split="random", towns=tmp_path / "towns")
    made = part_command(command, split, split.parts[7])
    assert made.town == (str(tmp_path / "towns" / "town_007.xodr"),)
    assert (made.seed, made.episodes, made.branches, made.out) == (5007, 4, 10, tmp_path / "town_007")


def test_the_definition_names_every_intent_that_counts_as_meeting() -> None:
    assert all(intent in interacting() for intent in MEETING)


def test_a_part_is_the_collection_that_its_options_would_make(tmp_path: Path) -> None:
    split = read_split("school")
    command = part_command(Collect(out=tmp_path, split="school", workers=2), split, split.parts[0])
    command.check()
    assert command.out == tmp_path / "school"
    assert (command.episodes, command.seed, command.workers) == (128, 3010, 2)
    assert (command.policy, command.sensors, command.branches) == ("mixed", "images", 3)
    names = {job.name for job in command._jobs()}
    assert len(names) == 128
    assert {"seed3010_000000", "seed3010_000127"} <= names


def test_every_driver_meets_every_scenario_in_every_town(tmp_path: Path) -> None:
    """All three once turned with the episode's number, so that some pairs never met."""
    towns, scenarios = ("crossing", "plaza"), ("street", "jaywalk")
    command = Collect(out=tmp_path, episodes=16, town=towns, scenario=scenarios, policy="mixed")
    met = {(j.scenario.town, (j.scenario.situations or ("street",))[0], j.policy) for j in command._jobs()}
    assert met == set(product(towns, scenarios, MIXED))


def test_a_hash_is_as_frozen_or_differs_or_was_never_stated() -> None:
    stated = Part(town="plaza", scenarios=("street",), episodes=1, seed=1, hash_of_hashes="ab")
    assert compare(stated, {"hash_of_hashes": "ab"}) == "as frozen"
    assert compare(stated, {"hash_of_hashes": "cd"}) == "differs: another version or CPU"
    unstated = Part(town="plaza", scenarios=("street",), episodes=1, seed=1, hash_of_hashes=None)
    assert compare(unstated, {"hash_of_hashes": "ab"}) == "no hash stated"


def small_splits(tmp_path: Path, hash_of_hashes: str | None) -> dict[str, Any]:
    """One split of two towns with an episode of half a second each."""
    parts = [
        {"town": "crossing", "episodes": 1, "seed": 5, "hash_of_hashes": hash_of_hashes},
        {"town": "plaza", "episodes": 1, "seed": 6, "hash_of_hashes": "0" * 64},
    ]
    return {
        "interacting": "",
        "recipe": {"policy": "rule", "sensors": "none", "seconds": 0.5},
        "scenarios": {"crossing": ["street"], "plaza": ["quiet"]},
        "splits": {"train": {"use": "a test", "parts": parts}},
    }


def test_collecting_a_split_makes_a_folder_a_town_and_tells_what_is_as_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(splits, "_document", lambda: small_splits(tmp_path, None))
    options = ["collect", "--split", "train", "--out", str(tmp_path / "out")]
    assert main([*options, "--json", str(tmp_path / "one.json")]) == 0
    figures = json.loads((tmp_path / "one.json").read_text())["parts"]
    assert {town: got["frozen"] for town, got in figures.items()} == {
        "crossing": "no hash stated",
        "plaza": "differs: another version or CPU",
    }
    assert (tmp_path / "out" / "crossing" / "seed5_000000").is_dir()
    assert (tmp_path / "out" / "plaza" / "seed6_000000").is_dir()
    assert capsys.readouterr().out.count("collected in") == 1

    made = figures["crossing"]["hash_of_hashes"]
    monkeypatch.setattr(splits, "_document", lambda: small_splits(tmp_path, made))
    assert main([*options, "--resume", "--json", str(tmp_path / "two.json")]) == 0
    again = json.loads((tmp_path / "two.json").read_text())["parts"]
    assert again["crossing"]["frozen"] == "as frozen"
    assert again["plaza"]["hash_of_hashes"] == figures["plaza"]["hash_of_hashes"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--episodes is missing: say how many, or name a frozen --split"),
        (
            ["--split", "trian"],
            "no split 'trian'; there are train, random, circles, fresh, "
            "fresh-circles, validation, school, roundabout, seen",
        ),
        (["--split", "train", "--episodes", "3"], "--episodes: the split 'train' decides it"),
        (["--split", "train", "--seed", "3"], "--seed: the split 'train' decides it"),
        (["--split", "train", "--sensors", "none"], "--sensors: the split 'train' decides it"),
        (["--split", "train", "--towns", "here"], "--towns: the towns of the split 'train' are shipped"),
        (["--split", "random"], "make_random_towns.py 80 --seed 0 --out towns`, then --towns towns"),
        (["--split", "circles"], "make_random_towns.py 24 --seed 2 --roundabouts --out towns`"),
        (["--split", "fresh", "--towns", "nowhere"], "nowhere lacks town_000.xodr; `python sim/authoring"),
        (["--episodes", "1", "--towns", "here"], "--towns is for --split"),
        (["--split", "train", "--workers", "0"], "--workers must be at least 1"),
    ],
)
def test_what_does_not_fit_a_split_ends_in_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    out = tmp_path / "out"
    assert main(["collect", "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_unknown_split_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(
        InputError,
        match="there are train, random, circles, fresh, fresh-circles, val",
    ):
        read_split("holdout")
