"""Directors: every situation finds a place, plays and ends, and is the same again by seed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from staged import begin, played, same, scene_in, staged_scene

from drivewm.errors import InputError
from drivewm_sim.roads.towns import load_town
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street import state
from drivewm_sim.street.directors import Phase, enter, no_directors
from drivewm_sim.street.placing import scripted_crossing, time_for
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.situations import SITUATIONS, labels, stage
from drivewm_sim.street.situations.group_split import GroupSplit
from drivewm_sim.street.situations.jaywalk import Jaywalk
from drivewm_sim.street.state import Controller

every = pytest.mark.parametrize("name", SITUATIONS)


def test_there_are_at_least_ten_situations_and_one_line_says_what_each_is() -> None:
    assert len(SITUATIONS) >= 10
    lines = [(idea.__doc__ or "").splitlines()[0] for idea in SITUATIONS.values()]
    assert all(len(line) > 20 and line.endswith(".") for line in lines)


@every
def test_a_situation_is_triggered_plays_and_ends(name: str) -> None:
    run = played(name)
    row = run.directors[0]
    assert row["phase"] == Phase.DONE
    assert run.logged[0]["tick"] <= row["triggered"] < row["ended"]
    (label,) = labels(run.directors)
    assert label["situation"] == name
    assert label["actor_uids"]


@every
def test_actors_stand_until_released_and_are_never_moved(name: str) -> None:
    run = played(name)
    before = [m for m in run.logged if m["tick"] <= run.directors["triggered"][0]]
    assert all(a["intent"] == Intent.STANDING for m in before for a in m["actors"].values())
    for earlier, later in zip(run.logged[:-1], run.logged[1:], strict=True):
        for uid in earlier["actors"].keys() & later["actors"].keys():
            a, b = earlier["actors"][uid], later["actors"][uid]
            assert math.hypot(b["x"] - a["x"], b["y"] - a["y"]) <= 0.36


@every
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    first, second = (begin(name).run(20.0) for _ in range(2))
    assert same(first, second)


@pytest.mark.parametrize("name", ["dart_out", "group_split", "hidden_crosser"])
def test_a_copy_of_the_rows_is_a_snapshot(name: str) -> None:
    run = begin(name)
    while run.directors["triggered"][0] < 0:
        run.step()
    branch = run.copy()
    run.run(8.0)
    branch.run(8.0)
    assert same(run, branch)


def test_another_seed_gives_other_timing() -> None:
    within = set()
    for seed in range(5):
        found = stage("jaywalk", 0, scene_in("roundabout", seed=seed))
        assert found is not None
        within.add(found.director["within_s"])
    assert len(within) == 5


def test_an_ego_that_goes_elsewhere_lets_the_actors_live_their_lives() -> None:
    run = begin("dart_out")
    first = run.directors["lane"][0]
    route = [lane for lane in run.route if lane != first[0]]
    run.route = tuple(route[: route.index(int(first[1])) + 1])  # never comes to the conflict's lane
    run.directors["to"][0] = np.where(first == first[1], 0.0, run.directors["to"][0])
    run.directors["within_s"][0] = 0.0
    run.run(30.0)
    assert run.directors["phase"][0] == Phase.EXPIRED
    assert all(p["intent"] != Intent.STANDING for p in run.people)


def test_a_route_without_a_place_gets_nothing() -> None:
    for name in ("red_walker", "slow_finisher", "bus_runner", "turning"):
        assert stage(name, 0, scene_in("plaza")) is None


def test_a_crossing_that_another_director_uses_is_left_alone() -> None:
    scene = scene_in("school")
    taken: set[int] = set()
    for row in range(4):
        found = stage("jaywalk", row, replace(scene, taken=frozenset(taken)))
        assert found is not None
        assert found.director["crossing"] not in taken
        taken.add(found.director["crossing"])


def test_traffic_that_would_drive_into_a_prop_leaves_before_the_first_frame() -> None:
    run = begin("hidden_crosser")
    prop = run.cars[run.cars["director"] == 0][0]
    other = {name: prop[name] for name in prop.dtype.names or ()}
    other |= {"uid": 5, "controller": int(Controller.REACTIVE), "director": -1, "speed": 9.0}
    found = stage("hidden_crosser", 0, staged_scene("hidden_crosser"))
    assert found is not None
    traffic = state.insert(state.empty(state.VEHICLE), other)
    _, cars, _, _ = enter(found, no_directors(), traffic, state.empty(state.PEDESTRIAN), no_scripts())
    assert 5 not in cars["uid"]


def test_unknown_situations_and_foreign_parameters_are_refused() -> None:
    scene = scene_in("school")
    with pytest.raises(InputError, match="no situation 'flood'; there are dart_out"):
        stage("flood", 0, scene)
    with pytest.raises(InputError, match="dart_out: expected parameters of DartOut"):
        stage("dart_out", 0, scene, Jaywalk())
    with pytest.raises(InputError, match="expected a size from 2 to 6"):
        GroupSplit(size=(1, 9))


def test_a_dummy_goes_over_a_crossing_at_the_speed_of_its_script() -> None:
    street = load_town("school").street
    edge = int(np.flatnonzero(street.walks.kind == EdgeKind.ZEBRA)[0])
    pose, begin_s = scripted_crossing(street, edge, 1.5, 4.0)
    assert begin_s == 4.0
    step = np.hypot(*np.diff(pose[:, :2], axis=0).T)
    assert step[:-1] == pytest.approx(0.075, abs=1e-6)
    assert np.hypot(*(pose[-1] - pose[0])[:2]) == pytest.approx(street.walks.length[edge], abs=1e-3)


def test_setting_off_takes_time() -> None:
    """From standing to 1.2 m/s at 1.2 m/s^2 takes 1 s and 0.6 m; the rest is walked at 1.2 m/s."""
    assert time_for(0.6, 1.2) == pytest.approx(1.0)
    assert time_for(3.0, 1.2) == pytest.approx(3.0)
