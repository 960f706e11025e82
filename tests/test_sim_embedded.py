"""The embedded backend as a whole: a street that is alive, bounded, repeatable and branches exactly."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm.types import Kind
from drivewm_sim import walking
from drivewm_sim.ego import POLICIES
from drivewm_sim.embedded import PERCEPTION_M, EmbeddedSimulator
from drivewm_sim.simulator import DECISION_S, Agents, EgoCommand, Frame, Intent, Scenario
from drivewm_sim.town import load_town

SCENARIO = Scenario(warm_up_s=20.0)


def play(seed: int, seconds: float, policy: str = "rule", scenario: Scenario = SCENARIO) -> list[Frame]:
    simulator, driver = EmbeddedSimulator(), POLICIES[policy](load_town("crossing").graph, scenario, seed)
    frames = [simulator.reset(scenario, seed)]
    while len(frames) <= seconds / DECISION_S and not frames[-1].finished:
        frames.append(simulator.step(driver.command(frames[-1])))
    return frames


def same(a: Agents, b: Agents) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Agents))


@pytest.fixture(scope="module")
def episodes() -> list[list[Frame]]:
    return [play(seed, 30.0, policy) for seed in range(6) for policy in ("rule", "random")]


def steps(episodes: list[list[Frame]], kind: Kind) -> tuple[np.ndarray, ...]:
    """Distance, speed before and after, and change of velocity of every step of every agent of a kind."""
    rows = []
    for frames in episodes:
        for a, b in pairwise(frames):
            _, i, j = np.intersect1d(a.truth.uid, b.truth.uid, return_indices=True)
            i, j = i[a.truth.kind[i] == kind], j[a.truth.kind[i] == kind]
            moved = np.hypot(*(b.truth.pose[j, :2] - a.truth.pose[i, :2]).T)
            change = np.hypot(*(b.truth.velocity[j] - a.truth.velocity[i]).T)
            before, after = np.hypot(*a.truth.velocity[i].T), np.hypot(*b.truth.velocity[j].T)
            rows.append(np.stack([moved, before, after, change]))
    return tuple(np.concatenate(rows, axis=1))


def test_no_pedestrian_jumps_or_accelerates_beyond_a_human(episodes: list[list[Frame]]) -> None:
    moved, _, _, change = steps(episodes, Kind.PEDESTRIAN)
    assert moved.max() <= walking.MAX_SPEED * DECISION_S
    assert change.max() <= walking.MAX_ACCELERATION * DECISION_S + 1e-9


def test_no_vehicle_jumps_or_accelerates_beyond_a_car(episodes: list[list[Frame]]) -> None:
    moved, before, after, _ = steps(episodes, Kind.VEHICLE)
    assert np.all(moved <= np.maximum(before, after) * DECISION_S + 1e-6)
    rate = (after - before) / DECISION_S
    assert rate.min() >= -8.0 - 1e-6
    assert rate.max() <= 2.0 + 1e-6


def test_people_walk_as_fast_as_measured_people_do(episodes: list[list[Frame]]) -> None:
    speeds = np.concatenate([
        np.hypot(*f.truth.velocity[(f.truth.kind == Kind.PEDESTRIAN) & (f.truth.intent == Intent.WALKING)].T)
        for frames in episodes for f in frames[::10]
    ])  # fmt: skip
    assert 1.20 < speeds.mean() < 1.42
    assert 0.20 < speeds.std() < 0.34


def test_the_crossing_is_used_and_drivers_give_way(episodes: list[list[Frame]]) -> None:
    names = [e.name for frames in episodes for f in frames for e in f.events]
    assert names.count("crossing_finished") >= len(episodes)
    assert names.count("yield") >= len(episodes)


def test_the_street_is_as_busy_as_asked_for(episodes: list[list[Frame]]) -> None:
    vehicles = np.mean([(f.truth.kind == Kind.VEHICLE).sum() for frames in episodes for f in frames[::10]])
    people = np.mean([(f.truth.kind == Kind.PEDESTRIAN).sum() for frames in episodes for f in frames[::10]])
    assert 5 < vehicles < 15
    assert 12 < people < 30


def test_the_rule_following_ego_touches_nobody(episodes: list[list[Frame]]) -> None:
    for frames in episodes[::2]:
        assert not [e for f in frames for e in f.events if e.name == "contact" and e.other == f.ego_uid]


def test_the_car_perceives_exactly_those_within_sixty_metres(episodes: list[list[Frame]]) -> None:
    frame = episodes[0][50]
    away = np.hypot(*(frame.truth.pose[:, :2] - frame.truth.pose[frame.truth.uid == frame.ego_uid, :2]).T)
    assert np.array_equal(frame.perceived.uid, frame.truth.uid[away <= PERCEPTION_M])
    assert len(frame.perceived.uid) < len(frame.truth.uid)


def test_uids_are_unique_ordered_and_never_used_again(episodes: list[list[Frame]]) -> None:
    gone: set[int] = set()
    previous: set[int] = set()
    for frame in episodes[0]:
        assert np.all(np.diff(frame.truth.uid) > 0)
        present = set(frame.truth.uid.tolist())
        assert not present & gone
        gone |= previous - present
        previous = present


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    a, b, c = play(5, 5.0), play(5, 5.0), play(6, 5.0)
    assert all(same(x.truth, y.truth) and x.events == y.events for x, y in zip(a, b, strict=True))
    assert not same(a[-1].truth, c[-1].truth)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**62), before=st.integers(0, 60), again=st.integers(1, 40))
def test_a_restored_snapshot_replays_bit_by_bit(seed: int, before: int, again: int) -> None:
    simulator = EmbeddedSimulator()
    simulator.reset(Scenario(warm_up_s=5.0), seed)
    for k in range(before):
        simulator.step(EgoCommand(acceleration=np.sin(k), curvature=0.001 * k))
    snapshot = simulator.snapshot()
    commands = [EgoCommand(acceleration=np.cos(k)) for k in range(again)]
    first = [simulator.step(c) for c in commands]
    simulator.restore(snapshot)
    second = [simulator.step(c) for c in commands]
    assert all(same(x.truth, y.truth) and x.events == y.events for x, y in zip(first, second, strict=True))


def test_branches_differ_where_the_ego_does_and_agree_before() -> None:
    simulator = EmbeddedSimulator()
    simulator.reset(SCENARIO, 3)
    snapshot = simulator.snapshot()
    gone = [simulator.step(EgoCommand(acceleration=1.0)) for _ in range(20)]
    start = simulator.restore(snapshot)
    braked = [simulator.step(EgoCommand(acceleration=-4.0)) for _ in range(20)]
    assert start.index == 0
    assert gone[-1].truth.pose[0, 0] - braked[-1].truth.pose[0, 0] > 5.0


def test_the_ego_does_what_it_is_told() -> None:
    simulator = EmbeddedSimulator()
    frame = simulator.reset(Scenario(warm_up_s=0.0, vehicles_per_hour=0.0, pedestrians_per_hour=0.0), 1)
    assert frame.truth.uid.tolist() == [frame.ego_uid]
    x, v = frame.truth.pose[0, 0], frame.truth.velocity[0, 0]
    for _ in range(20):
        frame = simulator.step(EgoCommand(acceleration=1.0))
    assert v == pytest.approx(9.0)
    assert frame.truth.pose[0, 0] - x == pytest.approx(9.0 * 2 + 0.5 * 1.0 * 2**2)  # two seconds
    assert frame.truth.velocity[0, 0] == pytest.approx(11.0)
    before = frame.truth.pose[0, 2]
    frame = simulator.step(EgoCommand(curvature=0.1))
    assert frame.truth.pose[0, 2] - before == pytest.approx(0.1 * 11.0 * 0.1)  # curvature x distance


def test_a_command_that_is_no_number_is_refused() -> None:
    simulator = EmbeddedSimulator()
    with pytest.raises(RuntimeError, match="reset"):
        simulator.step(EgoCommand())
    simulator.reset(Scenario(warm_up_s=0.0), 1)
    with pytest.raises(ValueError, match="finite"):
        simulator.step(EgoCommand(acceleration=float("nan")))
