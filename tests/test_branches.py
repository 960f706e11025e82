"""Plans and branches: what the ego could have done instead, exact and within what a car can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ego_street import Other, StraightStreet, make_frame, straight_route
from hypothesis import given
from hypothesis import strategies as st

from drivewm.types import Kind
from drivewm_datasets.episode import Branches, parent_hash, read_about, read_branches, read_episode
from drivewm_sim.branches import APART, Branching, Drive, branch_out, choose_moments, verify_moment
from drivewm_sim.collect import EpisodeJob, EpisodeResult, run_job
from drivewm_sim.ego_route import ego_state
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.plans import (
    CURVATURE_RATE,
    JERK,
    LATERAL_MPS2,
    PLANS,
    limited,
    plan_driver,
    plan_start,
    planned_path,
)
from drivewm_sim.simulator import DECISION_S, EgoCommand, Event, Frame, Scenario, Simulator

SCENARIO = Scenario(warm_up_s=20.0, duration_s=9.0)
WALKER = Other(x=70.0, y=3.0)


def record(simulator: Simulator, seconds: float, seed: int = 1, scenario: Scenario = SCENARIO) -> Drive:
    """An episode of an ego that brakes and steers a little now and then."""
    drive, frame = Drive(), simulator.reset(scenario, seed)
    for row in range(round(seconds / DECISION_S)):
        drive.snapshots[row] = simulator.snapshot()
        drive.frames.append(frame)
        drive.commands.append(
            EgoCommand(acceleration=float(np.sin(row / 5)), curvature=0.002 * (row % 3 - 1))
        )
        frame = simulator.step(drive.commands[-1])
    return drive


def drive_plan(plan: str, *others: Other, speed: float = 8.0) -> tuple[list[Frame], list[EgoCommand]]:
    simulator = StraightStreet(*others, speed=speed)
    frames, commands = [simulator.reset(SCENARIO, 0)], []
    driver = plan_driver(plan, frames[0], EgoCommand(), straight_route())
    for _ in range(48):
        commands.append(driver(frames[-1]))
        frames.append(simulator.step(commands[-1]))
    return frames, commands


def ego(frames: Sequence[Frame], column: int) -> np.ndarray:
    return np.array([f.truth.pose[0, column] for f in frames])


def speeds(frames: Sequence[Frame]) -> np.ndarray:
    return np.array([np.hypot(*f.truth.velocity[0]) for f in frames])


# -- plans --


def test_each_plan_does_what_its_name_says() -> None:
    end = {plan: speeds(drive_plan(plan)[0])[-1] for plan in PLANS}
    assert end["keep"] == pytest.approx(8.0, abs=0.05)
    assert end["swerve"] == pytest.approx(8.0, abs=0.05)
    assert end["brake"] == pytest.approx(0.0, abs=0.05)
    assert end["creep"] == pytest.approx(2.0, abs=0.5)
    assert end["accelerate"] == pytest.approx(13.0, abs=0.5)


@pytest.mark.parametrize(("walker_y", "side"), [(3.0, -1), (-3.0, 1)])
def test_a_swerve_passes_away_from_who_is_near_and_comes_back(walker_y: float, side: int) -> None:
    frames, _ = drive_plan("swerve", Other(x=75.0, y=walker_y))
    y = side * ego(frames, 1)
    assert 1.2 < y.max() < 1.8
    assert y.min() > -0.3
    assert abs(y[-1]) < 0.5


def test_a_car_that_stands_stays_where_it_is_under_keep() -> None:
    frames, _ = drive_plan("keep", speed=0.0)
    assert ego(frames, 0)[-1] == pytest.approx(50.0, abs=0.05)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("speed", [0.0, 3.0, 8.0, 14.0])
def test_plans_keep_within_jerk_curvature_and_lateral_acceleration(plan: str, speed: float) -> None:
    frames, commands = drive_plan(plan, WALKER, speed=speed)
    acceleration = np.array([0.0, *(c.acceleration for c in commands)])
    curvature = np.array([0.0, *(c.curvature for c in commands)])
    assert np.abs(np.diff(acceleration)).max() <= JERK * DECISION_S + 1e-9
    assert np.abs(np.diff(curvature)).max() <= CURVATURE_RATE * DECISION_S + 1e-9
    assert (speeds(frames[:-1]) ** 2 * np.abs(curvature[1:])).max() <= LATERAL_MPS2 + 1e-9


@given(
    wanted=st.tuples(st.floats(-20, 20), st.floats(-1, 1)),
    before=st.tuples(st.floats(-8, 4), st.floats(-0.2, 0.2)),
    speed=st.floats(0, 40),
)
def test_a_command_within_limits_is_never_far_from_the_one_before(
    wanted: tuple[float, float], before: tuple[float, float], speed: float
) -> None:
    last = EgoCommand(acceleration=before[0], curvature=before[1])
    got = limited(EgoCommand(acceleration=wanted[0], curvature=wanted[1]), last, speed)
    assert abs(got.acceleration - before[0]) <= JERK * DECISION_S + 1e-9
    assert got.curvature * got.curvature <= 0.2**2 + 1e-12
    assert abs(got.curvature) * speed**2 <= LATERAL_MPS2 + 1e-6


@pytest.mark.parametrize("plan", PLANS)
def test_the_path_a_plan_is_expected_to_take_is_the_one_it_takes(plan: str) -> None:
    frames, _ = drive_plan(plan, WALKER)
    route, times = straight_route(), np.array([1.2, 2.4, 4.8])
    start = plan_start(frames[0], route)
    path, speed = planned_path(plan, start, EgoCommand(), ego_state(frames[0], route), route, 0.0, times)
    driven = np.array([frames[round(t / DECISION_S)].truth.pose[0, :2] for t in times])
    np.testing.assert_allclose(path[:, 0], driven[:, 0], atol=0.5)
    np.testing.assert_allclose(path[:, 1], driven[:, 1], atol=0.3)
    assert speed[-1] == pytest.approx(speeds(frames)[-1], abs=0.5)


def test_an_unknown_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="no plan 'fly'; there are keep, brake"):
        drive_plan("fly")


# -- moments --


def quiet_drive(rows: int, busy: Sequence[int] = (), eventful: Sequence[int] = ()) -> Drive:
    """Nobody about, except a pedestrian 10 m ahead in the `busy` frames and events in the `eventful`."""
    frames = [
        make_frame(
            *([Other(x=60.0, y=1.0)] if row in busy else []),
            index=row,
            events=(Event("yield", 3),) if row in eventful else (),
        )
        for row in range(rows)
    ]
    return Drive(frames=frames, commands=[EgoCommand()] * rows, snapshots=dict.fromkeys(range(8, rows, 4)))


def test_moments_are_apart_ordered_and_have_a_recorded_future() -> None:
    for seed in range(20):
        rows = choose_moments(quiet_drive(200), 5, 48, seed)
        assert len(rows) == 5
        assert np.diff(rows).min() >= APART
        assert rows[0] >= 8
        assert rows[-1] + 48 <= 199


def test_moments_are_the_same_for_a_seed_and_others_for_another() -> None:
    chosen = [choose_moments(quiet_drive(200), 3, 48, seed) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(("busy", "eventful", "share"), [(range(8, 48), (), 9), ((), (24,), 5)])
def test_moments_favour_pedestrians_ahead_and_events(
    busy: Sequence[int], eventful: Sequence[int], share: int
) -> None:
    """Of 40 candidates 10 weigh `share` times as much as the other 30."""
    drive = quiet_drive(168 + 48, busy, eventful)
    inside = [row in range(8, 48) for seed in range(400) for row in choose_moments(drive, 1, 48, seed)]
    assert len(inside) == 400
    assert np.mean(inside) == pytest.approx(share * 10 / (share * 10 + 30), abs=0.08)


def test_an_episode_shorter_than_a_branch_has_no_moment() -> None:
    assert choose_moments(quiet_drive(50), 5, 48, 1) == []
    simulator = StraightStreet()
    drive = record(simulator, 3.0)
    assert branch_out(simulator, drive, straight_route(), Branching(moments=2), 1) is None


# -- branches --


@pytest.fixture(scope="module")
def street() -> tuple[EmbeddedSimulator, Drive]:
    simulator = EmbeddedSimulator()
    return simulator, record(simulator, 8.0)


def test_a_branch_that_repeats_the_recorded_commands_is_the_recording(
    street: tuple[EmbeddedSimulator, Drive],
) -> None:
    simulator, drive = street
    for row in (0, 9, 30):
        verify_moment(simulator, drive, row, 48)


def test_a_branch_that_does_not_repeat_them_is_noticed(street: tuple[EmbeddedSimulator, Drive]) -> None:
    simulator, drive = street
    commands = list(drive.commands)
    commands[20] = EgoCommand(acceleration=-3.0)
    with pytest.raises(RuntimeError, match="frame 21, repeated from frame 9, is not the recorded one"):
        verify_moment(
            simulator, Drive(frames=drive.frames, commands=commands, snapshots=drive.snapshots), 9, 48
        )


def test_branches_of_a_moment_depart_together_and_part() -> None:
    simulator = StraightStreet(Other(x=90.0, y=5.0, vy=-1.0))
    drive = record(simulator, 9.0)
    branches = branch_out(simulator, drive, straight_route(), Branching(moments=2), 1)
    assert branches is not None
    assert branches.count == 2 * len(PLANS)
    ends = {}
    for branch in range(branches.count):
        rows, frames = (t["branch"] == branch for t in (branches.tracks, branches.frames))
        moment = int(branches.frames["moment_frame"][frames][0])
        plan = str(branches.frames["plan"][frames][0])
        assert plan == PLANS[branch % 5]
        assert branches.frames["frame"][frames].tolist() == list(range(moment, moment + 48))
        assert np.unique(branches.tracks["frame"][rows]).tolist() == list(range(moment + 1, moment + 49))
        recorded = drive.frames[moment].truth.pose[0, 0]
        assert branches.frames["ego_x_m"][frames][0] == recorded
        own = rows & (branches.tracks["agent_type"] == "ego_vehicle")
        ends[moment, plan] = branches.tracks["x_m"][own][-1] - recorded
    for moment, _ in ends:
        assert ends[moment, "brake"] < ends[moment, "creep"] < ends[moment, "keep"]
        assert ends[moment, "keep"] < ends[moment, "accelerate"]


def test_a_branch_ends_where_the_route_does() -> None:
    simulator = StraightStreet(end=110.0)
    drive = record(simulator, 9.0)
    branching = Branching(moments=1, plans=("keep", "accelerate"))
    branches = branch_out(simulator, drive, straight_route(), branching, 3)
    assert branches is not None
    counts = np.bincount(branches.frames["branch"].astype(int))
    assert counts[1] < counts[0] <= 48


# -- stored --


def job(out: Path, **changes: object) -> EpisodeJob:
    usual = {"name": "e", "out": out, "scenario": SCENARIO, "policy": "rule", "seed": 5}
    return EpisodeJob(**(usual | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, EpisodeResult, EpisodeResult]:
    """One episode collected without branches, and with."""
    folder = tmp_path_factory.mktemp("branches")
    plain = run_job(job(folder / "plain"))
    branched = run_job(job(folder / "branched", branching=Branching(moments=2, verify=True)))
    return folder / "plain" / "e", folder / "branched" / "e", plain, branched


def test_branching_leaves_the_episode_as_it_is(
    pair: tuple[Path, Path, EpisodeResult, EpisodeResult],
) -> None:
    plain, branched, without, with_branches = pair
    about = read_about(plain), read_about(branched)
    for table in ("truth", "perceived", "frames", "map"):
        assert about[0]["tables"][table] == about[1]["tables"][table]
    assert with_branches.hash != without.hash
    assert parent_hash(branched) == without.hash == parent_hash(plain)


def test_branches_are_read_back_with_their_provenance(
    pair: tuple[Path, Path, EpisodeResult, EpisodeResult],
) -> None:
    plain, branched, _, result = pair
    assert read_branches(plain) is None
    branches = read_branches(branched)
    assert isinstance(branches, Branches)
    assert (result.branches, branches.count) == (10, 10)
    episode = read_episode(branched)
    about = episode.provenance["branches"]
    assert about["moments"] == sorted(set(branches.frames["moment_frame"].tolist()))
    assert about["plans"] == list(PLANS)
    assert about["horizon_s"] == 4.8
    assert set(episode.truth) | {"branch", "moment_frame", "plan"} == set(branches.tracks)


def test_others_react_to_what_the_ego_does_and_to_nothing_else(
    pair: tuple[Path, Path, EpisodeResult, EpisodeResult],
) -> None:
    """In the first step nobody can have noticed; later somebody has."""
    branches = read_branches(pair[1])
    assert branches is not None
    tracks = branches.tracks
    others = (tracks["agent_type"] != "ego_vehicle") & (tracks["moment_frame"] == tracks["moment_frame"][0])
    first = others & (tracks["frame"] == tracks["moment_frame"] + 1)
    by_plan = {plan: tracks["x_m"][first & (tracks["plan"] == plan)].tolist() for plan in PLANS}
    assert all(x == by_plan["keep"] for x in by_plan.values())


def test_verify_finds_a_backend_that_does_not_branch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    step = EmbeddedSimulator.step
    calls = iter(range(10**6))

    def drifting(self: EmbeddedSimulator, command: EgoCommand) -> Frame:
        push = 1e-3 * next(calls)
        return step(self, EgoCommand(acceleration=command.acceleration - push, curvature=command.curvature))

    monkeypatch.setattr(EmbeddedSimulator, "step", drifting)
    with pytest.raises(RuntimeError, match="does not branch exactly"):
        run_job(job(tmp_path, branching=Branching(moments=1, verify=True)))


def test_the_types_of_the_three_kinds_are_told_apart() -> None:
    from drivewm_sim.episode_tables import tracks_columns

    frame = make_frame(Other(x=1.0, y=1.0, kind=Kind.CYCLIST), Other(x=2.0, y=1.0))
    assert tracks_columns([frame], [frame.truth])["agent_type"].tolist() == [
        "ego_vehicle", "cyclist", "pedestrian",
    ]  # fmt: skip


def test_branches_are_said_in_json(pair: tuple[Path, Path, EpisodeResult, EpisodeResult]) -> None:
    tables = json.loads((pair[1] / "episode.json").read_text())["tables"]
    assert tables["branch_frames"]["rows"] == pair[3].branch_frames == 10 * 48
