"""Random towns for training: the same seed draws the same bytes, other seeds other towns, all sound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivewm_sim.roads.towns import load_town
from drivewm_sim.roads.walk_graph import EdgeKind

SCRIPT = Path(__file__).resolve().parents[1] / "sim" / "authoring" / "make_random_towns.py"


def draw(folder: Path, count: int, seed: int, *options: str) -> Path:
    command = [sys.executable, str(SCRIPT), str(count), "--seed", str(seed), "--out", str(folder), "--still"]
    command += options
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three towns of seed 0."""
    return draw(tmp_path_factory.mktemp("towns"), 3, 0)


def test_the_same_seed_writes_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    again = draw(tmp_path, 1, 0)
    for name in ("town_000.xodr", "town_000.json"):
        assert (again / name).read_bytes() == (drawn / name).read_bytes()


def test_other_seeds_and_other_towns_of_a_seed_differ(drawn: Path, tmp_path: Path) -> None:
    other = (draw(tmp_path, 1, 1) / "town_000.xodr").read_bytes()
    assert len({other, *((drawn / f"town_{k:03d}.xodr").read_bytes() for k in range(3))}) == 4


def test_every_town_has_junctions_sidewalks_crossings_and_ways_in(drawn: Path) -> None:
    for k in range(3):
        street = load_town(str(drawn / f"town_{k:03d}.xodr")).street
        assert len(np.unique(street.lanes.junction[street.lanes.junction >= 0])) >= 2
        assert (street.walks.kind == EdgeKind.SIDEWALK).sum() > 10
        assert (street.walks.kind >= EdgeKind.ZEBRA).any() or (street.walks.kind == EdgeKind.MIDBLOCK).any()
        assert len(street.entries) >= 3
        assert len(street.door_edge) > 10


@pytest.fixture(scope="module")
def roundabouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four roundabouts of seed 0."""
    return draw(tmp_path_factory.mktemp("roundabouts"), 4, 0, "--roundabouts")


def test_every_roundabout_is_driven_round_and_crossed_on_foot(roundabouts: Path) -> None:
    for k in range(4):
        street = load_town(str(roundabouts / f"town_{k:03d}.xodr")).street
        arms = len(street.entries)
        assert 3 <= arms <= 5
        assert len(np.unique(street.lanes.junction[street.lanes.junction >= 0])) == arms, "one mouth an arm"
        assert (street.walks.kind == EdgeKind.SIDEWALK).sum() > 3 * arms


def test_roundabouts_differ_and_none_is_the_shipped_one(roundabouts: Path, tmp_path: Path) -> None:
    own = {(roundabouts / f"town_{k:03d}.xodr").read_bytes() for k in range(4)}
    shipped = load_town("roundabout").street.lanes
    assert len(own) == 4
    for k in range(4):
        lanes = load_town(str(roundabouts / f"town_{k:03d}.xodr")).street.lanes
        assert len(lanes.junction) != len(shipped.junction) or not np.allclose(lanes.length, shipped.length)
