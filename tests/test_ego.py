"""Ego policies: they keep the rules, hold plans, and plan against whatever forecast is plugged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ego_street import Other, StraightStreet, make_frame, straight_route

from drivewm import Predictor
from drivewm.types import Aspect, Kind, RoadMap
from drivewm_sim.ego import RECKLESS, HeldPolicy, RulePolicy
from drivewm_sim.ego_planner import (
    STEPS_S,
    Futures,
    PlannerPolicy,
    PredictorFutures,
    constant_velocity_futures,
)
from drivewm_sim.ego_right_of_way import for_right_of_way
from drivewm_sim.ego_route import Crossing, GiveWay, LineRoute, StopLine, ego_state
from drivewm_sim.ego_rules import FREE, HARD, look
from drivewm_sim.ego_way import choose_way
from drivewm_sim.lines import make_lines
from drivewm_sim.plans import steering
from drivewm_sim.roads.towns import load_town
from drivewm_sim.simulator import EgoCommand, Frame, Intent, Scenario

SCENARIO = Scenario(ego_speed_mps=8.0)
WALL = Other(x=110.0, y=0.0, kind=Kind.VEHICLE, intent=Intent.DRIVING)


def drive(policy: object, simulator: StraightStreet, seconds: float) -> tuple[list[Frame], list[EgoCommand]]:
    frames, commands = [simulator.reset(SCENARIO, 0)], []
    for _ in range(round(seconds * 10)):
        commands.append(policy.command(frames[-1]))  # type: ignore[attr-defined]
        frames.append(simulator.step(commands[-1]))
    return frames, commands


def front(frame: Frame) -> float:
    return float(frame.truth.pose[0, 0]) + 2.25


def speed(frame: Frame) -> float:
    return float(np.hypot(*frame.truth.velocity[0]))


def signalled_route() -> LineRoute:
    return straight_route(stop_lines=(StopLine(s=110.0, signal=1),))


# -- the route --


def test_locating_a_point_of_the_route_gives_its_s_and_d_back() -> None:
    route = choose_way(load_town("crossing").street, 1).route
    s, d = np.array([5.0, 60.0, 120.0]), np.array([-1.0, 0.0, 2.5])
    found = route.locate(route.points(s, d)[:, :2])
    np.testing.assert_allclose(found[0], s, atol=0.02)
    np.testing.assert_allclose(found[1], d, atol=0.02)


def test_a_zebra_of_the_street_is_a_crossing_of_the_route() -> None:
    (crossing,) = choose_way(load_town("crossing").street, 1).route.crossings
    assert 2.0 < crossing.s_out - crossing.s_in < 6.0


def test_the_ego_is_found_on_its_route() -> None:
    ego = ego_state(make_frame(x=60.0, y=0.5, speed=7.0), straight_route())
    assert (ego.s, ego.d, ego.speed) == pytest.approx((60.0, 0.5, 7.0))


@pytest.mark.parametrize("shown", list(Aspect))
def test_a_stop_line_shows_what_its_signal_shows_and_green_without_signals(shown: Aspect) -> None:
    line = StopLine(s=10.0, signal=1)
    assert line.aspect(make_frame(signals=(0, int(shown)))) == shown
    assert line.aspect(make_frame()) == Aspect.GREEN


# -- by the rules --


@pytest.mark.parametrize("policy", [RulePolicy, PlannerPolicy])
@pytest.mark.parametrize(("shown", "passes"), [(Aspect.RED, False), (Aspect.GREEN, True)])
def test_a_red_signal_is_stopped_at_and_a_green_one_passed(policy: type, shown: Aspect, passes: bool) -> None:
    simulator = StraightStreet(signals=(2, int(shown)))
    frames, _ = drive(policy(signalled_route(), SCENARIO, 1), simulator, 15.0)
    assert (front(frames[-1]) > 110.0) == passes
    if not passes:
        assert speed(frames[-1]) < 0.3
        assert front(frames[-1]) > 100.0


@pytest.mark.parametrize(
    ("shown", "passes"), [(Aspect.RED, True), (Aspect.YELLOW, True), (Aspect.GREEN, False)]
)
def test_who_waits_at_a_red_light_is_not_given_way_to(shown: Aspect, passes: bool) -> None:
    """The ego used to stop on a junction for them, and nobody moved until their light changed."""
    waits = Other(x=112.0, y=-3.0, intent=Intent.WAITING)
    route = straight_route(crossings=(Crossing(s_in=110.0, s_out=114.0, signal=0),))
    frames, _ = drive(RulePolicy(route, SCENARIO, 1), StraightStreet(waits, signals=(int(shown),)), 15.0)
    assert (front(frames[-1]) > 114.0) == passes


def coming(
    y: float,
    vy: float,
    signals: tuple[int, ...] = (),
    speed: float = 8.0,
    x: float = 75.0,
    signal: int = -1,
    first: bool = True,
) -> float:
    """What right of way leaves an ego at (50, 0) whose lane meets a way northwards along x = 75."""
    others = make_lines([np.array([[75.0, -40.0], [75.0, 20.0]])])
    place = GiveWay(
        stop_s=70.0, s_in=72.5, s_out=77.5, lines=others, line=0, enters=34.0, at_in=37.5, at_out=42.5,
        signal=signal, first=first,
    )  # fmt: skip
    frame = make_frame(
        Other(x=x, y=y, vy=vy, kind=Kind.VEHICLE, intent=Intent.DRIVING), speed=speed, signals=signals
    )
    return for_right_of_way(look(frame, replace(straight_route(), give_ways=(place,))))


def test_the_ego_stops_for_whoever_goes_first() -> None:
    assert -HARD < coming(y=-25.0, vy=8.0) < -0.5
    assert coming(y=0.0, vy=0.1) < -0.5  # all but stands there


def test_who_turns_in_front_of_the_ego_against_the_rules_is_braked_for_once_there() -> None:
    assert coming(y=-10.0, vy=4.0, first=False) == FREE
    assert coming(y=-2.0, vy=4.0, first=False) < -0.5


def test_the_ego_goes_where_nobody_comes() -> None:
    assert coming(y=15.0, vy=8.0) == FREE  # has passed
    assert coming(y=-38.0, vy=2.0) == FREE  # comes later
    assert coming(y=-10.0, vy=0.0) == FREE  # lets the ego go
    assert coming(y=-10.0, vy=8.0, x=79.0) == FREE  # on another lane
    assert coming(y=10.0, vy=-8.0) == FREE  # in the other direction
    assert coming(y=-10.0, vy=8.0, signals=(int(Aspect.RED),), signal=0) == FREE


def test_a_route_that_turns_off_gives_way_to_oncoming_vehicles() -> None:
    street = load_town("grid").street
    ways = [choose_way(street, seed) for seed in range(8)]
    places = [place for way in ways for place in way.route.give_ways]
    assert places
    for place in places:
        assert place.stop_s < place.s_out
        assert place.s_in < place.s_out
        assert place.at_in < place.at_out


def test_the_ego_keeps_to_its_lane_in_a_tight_bend() -> None:
    """It used to cut a bend of 16 m radius by 0.9 m, into the oncoming lane."""
    angle = np.linspace(0.0, np.pi / 2, 60)
    bend = np.column_stack([80.0 + 16.0 * np.sin(angle), 16.0 - 16.0 * np.cos(angle)])
    lines = make_lines([np.concatenate([[[0.0, 0.0]], bend, [[96.0, 60.0]]])])
    route = LineRoute(lines=lines, line=0, cap=np.full(len(lines.x), 20.0))
    x, y, yaw, off = 50.0, 0.0, 0.0, []
    for _ in range(100):
        ego = ego_state(make_frame(x=x, y=y, yaw=yaw, speed=7.0), route)
        off.append(abs(ego.d))
        yaw += 0.7 * steering(ego, route, 0.0)
        x, y = x + 0.7 * np.cos(yaw), y + 0.7 * np.sin(yaw)
    assert max(off) < 0.5


def test_the_road_caps_the_speed() -> None:
    frames, _ = drive(RulePolicy(straight_route(cap=5.0), SCENARIO, 1), StraightStreet(), 12.0)
    assert speed(frames[-1]) == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("policy", [RulePolicy, PlannerPolicy])
def test_nobody_drives_into_a_standing_vehicle(policy: type) -> None:
    frames, _ = drive(policy(straight_route(), SCENARIO, 1), StraightStreet(WALL), 15.0)
    if policy is RulePolicy:
        assert front(frames[-1]) < WALL.x - 2.25
    gap = [np.hypot(f.truth.pose[0, 0] - WALL.x, f.truth.pose[0, 1]) for f in frames]
    beside = [abs(f.truth.pose[0, 1]) for f, g in zip(frames, gap, strict=True) if g < 4.5]
    assert min(beside, default=9.0) > 1.9


# -- held plans --


def test_held_plans_come_and_go_and_most_brake_in_an_emergency() -> None:
    hits = 0
    for seed in range(40):
        simulator = StraightStreet(WALL, speed=8.0)
        frames, _ = drive(HeldPolicy(straight_route(), SCENARIO, seed), simulator, 15.0)
        inside = [abs(f.truth.pose[0, 0] - WALL.x) < 4.4 and abs(f.truth.pose[0, 1]) < 1.8 for f in frames]
        hits += any(inside)
    assert hits <= 40 * 3 * RECKLESS


def test_held_plans_vary_the_speed_and_a_seed_repeats_them() -> None:
    def speeds(seed: int) -> list[float]:
        return [
            speed(f)
            for f in drive(HeldPolicy(straight_route(2000.0), SCENARIO, seed), StraightStreet(), 30.0)[0]
        ]

    assert speeds(1) == speeds(1) != speeds(2)
    assert min(map(min, map(speeds, range(6)))) < 2.5
    assert max(map(max, map(speeds, range(6)))) > 10.0


# -- planning --


def stepping_out(frames: Sequence[Frame]) -> Futures:
    """The one other agent is forecast to stand on the lane from 1 s on."""
    futures = constant_velocity_futures(frames)
    futures.position[0, 1] = np.where(STEPS_S[:, None] < 1.0, frames[-1].truth.pose[1, :2], [85.0, 0.0])
    return futures


def test_the_planner_acts_on_the_forecast_that_is_plugged_in() -> None:
    """Somebody stands beside the road. Only who is told that he will step out gives way."""
    someone = Other(x=85.0, y=-4.0)
    calm, _ = drive(PlannerPolicy(straight_route(), SCENARIO, 1), StraightStreet(someone), 3.0)
    wary, _ = drive(PlannerPolicy(straight_route(), SCENARIO, 1, stepping_out), StraightStreet(someone), 3.0)
    assert min(map(speed, calm)) > 7.0
    assert speed(wary[-1]) < 5.0 or abs(wary[-1].truth.pose[0, 1]) > 1.0


def test_an_unlikely_future_weighs_less() -> None:
    someone = Other(x=85.0, y=-4.0)

    def unlikely(frames: Sequence[Frame]) -> Futures:
        bad, good = stepping_out(frames), constant_velocity_futures(frames)
        position = np.concatenate([bad.position, good.position])
        return Futures(position=position, probability=np.array([0.001, 0.999]))

    frames, _ = drive(PlannerPolicy(straight_route(), SCENARIO, 1, unlikely), StraightStreet(someone), 2.0)
    assert min(map(speed, frames)) > 7.0


def test_constant_velocity_goes_on_as_now() -> None:
    futures = constant_velocity_futures([make_frame(Other(x=60.0, y=3.0, vx=0.5, vy=-1.0))])
    assert futures.position.shape == (1, 2, 12, 2)
    np.testing.assert_allclose(futures.position[0, 1, -1], [60.0 + 0.5 * 4.8, 3.0 - 4.8])
    assert futures.probability.tolist() == [1.0]


def test_a_bundle_can_be_the_forecast() -> None:
    predictor = Predictor.load("nano")
    forecast = PredictorFutures(predictor, RoadMap.empty())
    frames = [
        make_frame(Other(x=60.0 + 0.13 * i, y=3.0, vx=1.3), index=i, x=50.0 + 0.8 * i) for i in range(9)
    ]
    forecast(frames[:5])
    futures = forecast(frames)
    assert futures.position.shape == (6, 2, 12, 2)
    assert futures.probability.sum() == pytest.approx(1.0, abs=1e-4)
    ahead = futures.probability @ futures.position[:, 1, 4]  # at 2 s, 2.6 m on if he walks straight
    assert np.hypot(*(ahead - [frames[-1].truth.pose[1, 0] + 2.6, 3.0])) < 1.0
