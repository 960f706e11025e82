"""The rooms of an evaluation: what is examined, on what, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from drives import crossed_before
from street import write_scenes
from toy_street import make_episode

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm_datasets.drive import Drive
from drivewm_datasets.episode import write_episode
from drivewm_eval.motion import INTERACTING
from drivewm_eval.rooms import ROOMS, examine, subject_of

FRAMES = 80


def street() -> Drive:
    """The ego stands; one walker crosses evenly in front of it, another walks far away and stops at 3 s."""
    return crossed_before(FRAMES)


def test_motion_is_judged_by_group_and_an_even_walk_is_no_surprise_to_constant_velocity() -> None:
    figures = examine([street()], subject_of(None), ["motion"])
    found = figures["rooms"]["motion"]
    assert found[INTERACTING]["cv"]["joint_min_ade"] == pytest.approx(0.0, abs=1e-6)
    # The one who stops is in the group of all pedestrians alone: nobody drives near.
    assert found["pedestrians"]["cv"]["agents"] == 2 * found[INTERACTING]["cv"]["agents"]
    assert found["pedestrians"]["cv"]["joint_min_ade"] > 0.1
    assert "vehicles" not in found, "the ego is never scored"


def test_an_unknown_room_and_a_model_that_is_not_there_are_refused() -> None:
    with pytest.raises(InputError, match=", ".join(ROOMS)):
        examine([street()], subject_of(None), ["attic"])
    with pytest.raises(InputError, match="--weights"):
        examine([street()], subject_of(None), ["permanence"])


def test_rooms_want_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scenes(tmp_path / "tables", 1)
    assert main(["evaluate", "--data", str(tmp_path / "tables"), "--rooms", "motion"]) == 2
    assert "no episode" in capsys.readouterr().err
    assert (
        main(["evaluate", "--data", str(tmp_path / "tables"), "--rooms", "motion", "--baseline", "cv"]) == 2
    )
    assert "--rooms" in capsys.readouterr().err


def test_the_command_trains_on_episodes_and_examines_in_every_room(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_episode(tmp_path / "data" / name, replace(make_episode(), scene=name))
    run, out = tmp_path / "run", tmp_path / "rooms.json"
    data = ["--data", str(tmp_path / "data")]
    assert main(["train", *data, "--out", str(run), "--preset", "base", "--steps", "2"]) == 0
    rooms = [room for room in ROOMS if room != "common-sense"]  # it has tests of its own, and takes longer
    assert main(["evaluate", *data, "--weights", str(run), "--rooms", *rooms, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert list(figures["rooms"]) == rooms
    assert figures["seen_in_training"] == 2
    assert figures["rooms"]["counterfactuals"]["moments"] == 2
