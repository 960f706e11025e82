"""The protocol `scenes`: what trains is never what is tested, whatever data sets stand beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from street import recording, write_scenes

from drivewm.errors import InputError
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_datasets.plans import plan_runs
from drivewm_datasets.protocols import SCENES, held_out, without_copies
from drivewm_datasets.store import read_recordings
from drivewm_eval.evaluate import scenes_of

GRID = TimeGrid()


@given(st.integers(1, 60), st.integers(0, 20))
def test_a_fifth_of_each_set_is_held_out_and_no_other_set_changes_which(mine: int, theirs: int) -> None:
    names = [("mine", f"scene{i}") for i in range(mine)]
    others = [("theirs", f"scene{i}") for i in range(theirs)]
    alone = held_out(names)
    assert len(alone) == max(1, round(0.2 * mine))
    assert held_out([*others, *names[::-1]]) & set(names) == alone


def test_of_two_copies_of_a_scene_one_is_in_neither_part() -> None:
    """Scene eth of ETH/UCY comes mistimed and corrected: one once tested what the other had trained."""
    copies = [("eth_ucy", "biwi_eth"), ("eth_ucy", "biwi_eth_true0p4s")]
    others = [("eth_ucy", f"scene{i}") for i in range(8)]
    kept = without_copies([*copies, *others])
    assert kept == {copies[1], *others}
    assert held_out([*copies, *others]) == held_out(kept) < kept
    assert without_copies([copies[0], ("theirs", "biwi_eth_true0p4s")]) >= {copies[0]}, "no copy of its own"


def test_what_training_leaves_out_is_what_is_scored(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "data", scenes=10, wiggle=0.05)
    every = {"/".join(r.name) for r in read_recordings(data)}
    (plan,) = plan_runs(
        data=[data], out=tmp_path / "run", preset="nano", protocol=SCENES, seeds=[0], steps=1,
        learning_rate=None, latent=None, licence="", name=None,
    )  # fmt: skip
    training, validation = plan.material()
    learned = {"/".join(item.name) for item in (*training, *validation)}
    scored = set(scenes_of(read_recordings(data), SCENES, GRID, 0.4))
    assert len(scored) == 2
    assert learned == every - scored


def test_only_agents_of_the_kind_are_scored_though_all_are_forecast(tmp_path: Path) -> None:
    mixed = recording(tmp_path, seconds=9.6)
    kinds = mixed.kind.copy()
    kinds[0] = int(Kind.VEHICLE)
    mixed = replace(mixed, kind=kinds)
    (everybody,) = scenes_of([mixed], None, GRID, 0.4).values()
    for kind, wanted in (("vehicle", [0]), ("pedestrian", list(range(1, len(kinds))))):
        (scored,) = scenes_of([mixed], None, GRID, 0.4, kind).values()
        assert {int(a) for window in scored for a in window.agents} == set(wanted)
        assert all(len(w.future) == len(w.agents) for w in scored)
        total = sum(len(w.agents) for w in scored)
        assert total == sum(int(np.isin(w.agents, wanted).sum()) for w in everybody)
    with pytest.raises(InputError, match="nothing to score: no cyclist has"):
        scenes_of([mixed], None, GRID, 0.4, "cyclist")
