"""Pedestrians of the street: ways, gaps, groups, bodies, each against numbers worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from street_builders import cars, crossroads, people, straight_street

from drivewm_sim.roads.boxes import Boxes, BoxKind
from drivewm_sim.roads.town import Demand, Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import DECISION_S, PHYSICS_S, Intent
from drivewm_sim.street import groups, passing, routes, state, walkers, walking, walks_arrivals
from drivewm_sim.street.contacts import BODY_RADIUS_M
from drivewm_sim.street.gaps import expected
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.sight import make_static_grid
from drivewm_sim.street.state import Age, Cause, Spawners

ZEBRA = 4  # the strip over the road of `straight_street`; 10 m long, kerbs at 1.5 and 8.5 m
STREET = straight_street()
CALM = {"hesitation": 0.0, "look_time": 0.3, "goal_s": 10.0}
AT_KERB = {**CALM, "crossing": ZEBRA, "along": 1.1, "intent": int(Intent.WAITING), "waited": 1.0}


def live(
    street: Street, crowd: ndarray, traffic: ndarray, seconds: float, seed: int = 1, start: int = 0
) -> list[ndarray]:
    """The people after every physics step; vehicles keep their speed and react to nobody."""
    grid, out = make_static_grid(street.boxes), []
    for tick in range(start, start + round(seconds / DECISION_S)):
        occ = occupy(traffic, crowd, len(street.lanes.length), len(street.walks.length))
        walkers.decide(crowd, traffic, occ, street, grid, seed, tick)
        for _ in range(2):
            walking.integrate(crowd, traffic, occ, street, seed, tick, PHYSICS_S)
            out.append(crowd.copy())
        traffic.s += traffic.speed * DECISION_S
        traffic.x += np.cos(traffic.yaw) * traffic.speed * DECISION_S
        traffic.y += np.sin(traffic.yaw) * traffic.speed * DECISION_S
    return out


def walkers_of(street: Street, *rows: dict[str, Any]) -> ndarray:
    """People 1, 2, ... by `walks_arrivals.walker`; rows hold the place and what differs from a calm adult."""
    out = state.empty(state.PEDESTRIAN)
    for uid, row in enumerate(rows, start=1):
        row = {"edge": 0, "s": 0.0, "d": 0.0, "forward": True, **row}
        place = {k: row.pop(k) for k in ("edge", "s", "d", "forward")}
        traits = {**walks_arrivals.traits(1, uid, Age.ADULT), **CALM, "free_speed": 1.3, "hurry": 0.0}
        traits |= {"turn_back_at": 2.0, "distracted": False, "look": 1.0, "compliance": 1.0}
        if "way" in row:
            row["way"] = np.array([*row["way"], *[-1] * (state.WAY - len(row["way"]))])
        out = state.insert(out, walks_arrivals.walker(street, uid, *place.values(), traits, **row))
    return out.view(np.recarray)


def town_people(street: Street, seconds: float, per_hour: float, seed: int = 3) -> list[ndarray]:
    """A street with arrivals and departures; the people after every physics step."""
    spawners = Spawners(np.zeros(1), np.zeros(1, np.int64))
    where, demand = walks_arrivals.places(street), Demand(pedestrians_per_hour=per_hour)
    crowd = walks_arrivals.under_way(state.empty(state.PEDESTRIAN), spawners, street, where, demand, seed, 0)
    out = []
    for tick in range(round(seconds / DECISION_S)):
        out += live(street, crowd.view(np.recarray), cars(street), DECISION_S, seed, tick)
        crowd = walks_arrivals.depart(crowd, street)
        crowd = walks_arrivals.arrive(crowd, spawners, street, where, demand, seed, tick + 1, 0)
    return out


def same(a: ndarray, b: ndarray) -> bool:
    """Equal bit by bit; the padding between fields does not count."""
    return all(a[name].tobytes() == b[name].tobytes() for name in state.PEDESTRIAN.names or ())


def test_free_speeds_and_ages_are_those_of_the_published_figures() -> None:
    speeds = {
        age: np.array([walks_arrivals.traits(5, uid, age)["free_speed"] for uid in range(1500)])
        for age in Age
    }
    assert speeds[Age.ADULT].mean() == pytest.approx(1.36, abs=0.04)
    assert speeds[Age.ADULT].std() == pytest.approx(0.25, abs=0.03)
    assert speeds[Age.ELDERLY].mean() == pytest.approx(1.16, abs=0.03)


def test_of_all_people_45_in_100_walk_in_groups() -> None:
    sizes = np.array([walks_arrivals.group_size((k + 0.5) / 5000) for k in range(5000)])
    assert sizes[sizes > 1].sum() / sizes.sum() == pytest.approx(0.45, abs=0.01)


def test_the_shortest_way_goes_over_the_zebra_and_back_is_as_long() -> None:
    # From 190 m on the south-west sidewalk: 10 m to the zebra, 10 m over it, 30 m along the north-east one.
    walks = STREET.walks
    found = routes.reach(walks, 0, 190.0, 1.0, 1.0, -1, 1, 1)
    crowd = people(STREET, {"edge": 0, "s": 190.0, "crossing": -1})
    assert routes.follow(crowd, 0, walks, found, 3, 30.0, 1.0)
    assert crowd.forward[0]
    assert crowd.way[0].tolist()[:3] == [ZEBRA, 3, -1]
    node = walks.tail[3]
    least = 10.0 + 10.0 + routes.ZEBRA_S
    assert least <= found.cost[node] <= least + 10.0 * routes.TASTE_SHARE
    assert found.crossings[node] == 1


def test_a_pedestrian_walks_over_the_zebra_to_the_goal() -> None:
    crowd = walkers_of(STREET, {"s": 180.0, "way": [ZEBRA, 3], "goal_s": 20.0, "side": -0.3})
    steps = live(STREET, crowd, cars(STREET), 45.0)
    arrived = next(k for k, step in enumerate(steps) if walks_arrivals.at_goal(step.view(np.recarray))[0])
    # 20 m, 10 m and 20 m, less the corners that one cuts, at 1.3 m/s.
    assert arrived * PHYSICS_S == pytest.approx(48.0 / 1.3, abs=4.0)
    assert {int(step.intent[0]) for step in steps} >= {Intent.WALKING, Intent.APPROACHING, Intent.CROSSING}


@pytest.mark.parametrize(("seconds", "goes"), [(2.0, False), (8.0, True)])
def test_a_pedestrian_waits_for_a_car_that_comes_in_2_s_and_goes_before_one_in_8_s(
    seconds: float, goes: bool
) -> None:
    traffic = cars(STREET, {"lane": 0, "s": 200.0 - 2.25 - 10.0 * seconds, "speed": 10.0})
    steps = live(STREET, people(STREET, AT_KERB), traffic, 0.6)
    assert (steps[-1].intent[0] == Intent.CROSSING) == goes


def test_a_pedestrian_goes_once_the_car_has_passed() -> None:
    traffic = cars(STREET, {"lane": 0, "s": 175.0, "speed": 10.0})
    steps = live(STREET, people(STREET, AT_KERB), traffic, 5.0)
    started = next(k for k, s in enumerate(steps) if s.intent[0] == Intent.CROSSING) * PHYSICS_S
    assert 2.3 < started < 4.0


@pytest.mark.parametrize("speed", [2.5, 6.0])
def test_who_sets_out_behind_a_passing_car_does_not_step_back_for_it(speed: float) -> None:
    """Its front has passed and its body goes by while one is still beside the lane it drives on."""
    traffic = cars(STREET, {"lane": 0, "s": 197.0, "speed": speed})
    steps = live(STREET, people(STREET, AT_KERB), traffic, 6.0)
    intents = [int(step.intent[0]) for step in steps]
    assert Intent.CROSSING in intents
    assert not {Intent.TURNING_BACK, Intent.HESITATING} & set(intents)


def test_a_car_that_slows_down_enough_or_stands_is_taken_to_yield() -> None:
    # 6 m/s and -2 m/s^2: it stops within 9 m.
    assert expected(20.0, 4.5, 6.0, -2.0) == math.inf
    assert expected(8.0, 4.5, 6.0, -2.0) < 3.0
    assert expected(5.0, 4.5, 0.0, 0.0) == math.inf
    assert expected(20.0, 4.5, 10.0, 0.0) == pytest.approx(2.0)
    assert expected(-6.0, 4.5, 10.0, 0.0) == math.inf  # has passed


def test_a_vehicle_hidden_by_a_box_is_not_considered() -> None:
    # A parked van beside the lane, 10 m before the zebra, between the kerb and a car 25 m away.
    van = Boxes(*(np.array([v]) for v in (190.0, -4.0, 0.0, 0.0, 6.0, 2.2, 2.5)), np.array([BoxKind.PARKED]))
    for boxes, goes in ((van, True), (None, False)):
        street = straight_street(boxes=boxes)
        traffic = cars(street, {"lane": 0, "s": 175.0, "speed": 10.0})
        steps = live(street, people(street, AT_KERB), traffic, 0.3)
        assert (steps[-1].intent[0] == Intent.CROSSING) == goes
        if goes:
            assert steps[-1].cause[0] == Cause.OCCLUDED


def test_who_does_not_look_steps_out_and_that_is_labelled() -> None:
    traffic = cars(STREET, {"lane": 0, "s": 200.0 - 2.25 - 22.0, "speed": 10.0})
    steps = live(STREET, people(STREET, {**AT_KERB, "look": 0.0, "distracted": True}), traffic, 0.4)
    assert steps[-1].intent[0] == Intent.CROSSING
    assert steps[-1].cause[0] == Cause.DISTRACTED


def test_red_waits_and_green_goes() -> None:
    street = crossroads(signals=True, zebras=True)
    crossing = int(np.flatnonzero(street.walks.kind == EdgeKind.SIGNAL)[0])
    group = int(street.walks.signal[crossing])
    green = float(street.signals.green_from[group])
    row = {**AT_KERB, "crossing": crossing, "along": float(street.walks.kerb_in[crossing]) - 0.4}
    for time, goes in ((green - 15.0, False), (green + 1.0, True), (green + 20.0, False)):
        tick = round((time % street.signals.cycle[group]) / DECISION_S)
        steps = live(street, people(street, row), cars(street), 0.6, start=tick)
        assert (steps[-1].intent[0] == Intent.CROSSING) == goes


def test_a_group_stays_together_over_the_crossing() -> None:
    way = {"s": 150.0, "way": [ZEBRA, 3], "goal_s": 60.0, "leader": 1}
    rows = [{**way, "d": d, "side": d, "free_speed": v} for d, v in ((-0.6, 1.2), (0.0, 1.4), (0.6, 1.1))]
    steps = live(STREET, walkers_of(STREET, *rows), cars(STREET), 55.0)
    for step in (steps[400], steps[-1]):
        across = np.hypot(step.x[:, None] - step.x, step.y[:, None] - step.y)
        assert across.max() < 3.0


@pytest.mark.parametrize("waits", [1, 2])  # uid: the first of the group, or the other
def test_who_is_ahead_of_the_group_waits_for_the_others(waits: int) -> None:
    """A signal parts groups. Whoever was over the road first used to walk on, until 30 m lay between them."""
    ahead = {"s": 30.0, "goal_s": 190.0, "leader": 1}
    behind = {**ahead, "s": 18.0, "halt": 20.0}
    rows = [ahead, behind] if waits == 1 else [behind, ahead]
    steps = live(STREET, walkers_of(STREET, *rows), cars(STREET), 60.0)
    apart = np.array([abs(step.s[0] - step.s[1]) for step in steps])
    assert apart[:380].max() < 20.0
    assert steps[380].intent[waits - 1] == Intent.STANDING
    assert apart[-1] < 8.0
    assert steps[-1].s.min() > 50.0


def test_two_strips_ahead_of_the_first_is_ahead_not_behind() -> None:
    first = {"s": 190.0, "way": [ZEBRA, 3], "goal_s": 60.0, "leader": 1}
    crowd = walkers_of(STREET, first, {**first, "edge": 3, "s": 5.0, "way": []})
    groups.note_lags(crowd, STREET.walks, 2)
    assert crowd.lag[1] < -10.0


def test_who_is_pushed_about_at_the_kerb_keeps_facing_the_road() -> None:
    crowd = walkers_of(
        STREET, *({**AT_KERB, "edge": ZEBRA, "s": 1.1, "vx": 0.0, "vy": 0.0, "d": d} for d in (0.0, 0.4))
    )
    yaw = crowd.yaw.copy()
    steps = live(STREET, crowd, cars(STREET, {"s": 185.0, "speed": 8.0}), 1.0)
    for step in steps:
        np.testing.assert_allclose(step.yaw, yaw, atol=0.1)


def test_two_who_meet_head_on_pass_without_touching() -> None:
    rows = [
        {"s": 40.0, "way": [], "goal_s": 200.0, "side": 0.0},
        {"s": 60.0, "way": [], "goal_s": 0.0, "side": 0.0, "forward": False},
    ]
    steps = live(STREET, walkers_of(STREET, *rows), cars(STREET), 16.0)
    assert min(math.hypot(*(s[k][0] - s[k][1] for k in "xy")) for s in steps) > 0.45
    assert steps[-1].s[0] > steps[-1].s[1] + 10.0


@pytest.mark.slow
def test_nobody_exceeds_what_a_body_can_do_or_walks_through_another() -> None:
    steps = town_people(crossroads(signals=True, zebras=True), 120.0, per_hour=1500.0)
    assert np.mean([len(s) for s in steps]) > 60
    nearest, speeds, accelerations = math.inf, [], []
    for before, after in pairwise(steps):
        _, a, b = np.intersect1d(before["uid"], after["uid"], return_indices=True)
        old, new = before[a], after[b]
        moved = np.hypot(new["x"] - old["x"], new["y"] - old["y"])
        assert moved.max() <= 3.5 * PHYSICS_S
        change = np.hypot(new["vx"] - old["vx"], new["vy"] - old["vy"]) / PHYSICS_S
        turn = np.abs((new["yaw"] - old["yaw"] + np.pi) % (2 * np.pi) - np.pi) / PHYSICS_S
        assert change.max() <= 4.0
        assert turn.max() <= 4.0
        speeds.append(moved / PHYSICS_S)
        accelerations.append(change)
        apart = np.hypot(new["x"][:, None] - new["x"], new["y"][:, None] - new["y"])
        nearest = min(nearest, (apart + 9.0 * np.eye(len(new))).min())
    assert nearest > 0.35
    assert np.quantile(np.concatenate(accelerations), 0.99) < 1.8
    walking_speeds = np.concatenate(speeds)
    assert walking_speeds[walking_speeds > 0.3].mean() == pytest.approx(1.28, abs=0.1)


def test_the_same_seed_gives_the_same_walks_whatever_the_order_of_entry() -> None:
    rows = [{"s": 10.0 * k, "side": 0.1 * k, "way": [ZEBRA, 3], "goal_s": 60.0} for k in range(8)]
    crowd = walkers_of(STREET, *rows)
    shuffled = state.empty(state.PEDESTRIAN)
    for k in (5, 2, 7, 0, 1, 6, 3, 4):
        row = {name: crowd[name][k] for name in state.PEDESTRIAN.names or ()}
        shuffled = state.insert(shuffled, row)
    a = live(STREET, crowd, cars(STREET), 20.0)[-1]
    b = live(STREET, shuffled.view(np.recarray), cars(STREET), 20.0)[-1]
    assert same(a, b)


def test_somebody_added_200_m_away_changes_nobody() -> None:
    rows = [{"s": 10.0 * k, "side": 0.1 * k, "goal_s": 199.0} for k in range(5)]
    far = {"edge": 3, "s": 199.0, "goal_s": 0.0, "forward": False}
    alone = live(STREET, walkers_of(STREET, *rows), cars(STREET), 10.0)[-1]
    more = live(STREET, walkers_of(STREET, *rows, far), cars(STREET), 10.0)[-1]
    assert same(more[:5], alone)


def test_who_cannot_get_on_turns_round() -> None:
    # A hoarding over the whole sidewalk at 60 m.
    wall = Boxes(
        *(np.array([v]) for v in (60.0, -5.0, 0.0, 0.0, 1.0, 3.4, 2.0)), np.array([BoxKind.FURNITURE])
    )
    street = straight_street(boxes=wall)
    steps = live(street, walkers_of(street, {"s": 50.0, "goal_s": 150.0}), cars(street), 90.0)
    assert max(s.s[0] for s in steps) < 59.5
    assert steps[-1].s[0] < 5.0 or walks_arrivals.at_goal(steps[-1].view(np.recarray))[0]


def test_a_box_on_the_sidewalk_is_passed_by() -> None:
    pole = Boxes(*(np.array([v]) for v in (60.0, -5.2, 0.0, 0.0, 0.6, 0.6, 2.0)), np.array([BoxKind.POLE]))
    street = straight_street(boxes=pole)
    steps = live(street, walkers_of(street, {"s": 50.0, "goal_s": 80.0, "side": -0.2}), cars(street), 20.0)
    beyond = [max(abs(s.x[0] - 60.0), abs(s.y[0] + 5.2)) - 0.3 for s in steps]
    assert min(beyond) > 0.15
    assert max(s.s[0] for s in steps) > 75.0


def test_a_car_that_stands_on_a_plaza_is_walked_round() -> None:
    """Away from crossings nobody minded vehicles, though they come to where people walk."""
    kinds = STREET.walks.kind.copy()
    kinds[0] = EdgeKind.PLAZA
    plaza = STREET._replace(walks=STREET.walks._replace(kind=kinds, width=STREET.walks.width * 2.0))
    stands = cars(plaza, {"s": 60.0, "x": 60.0, "y": -5.2})
    crowd = walkers_of(plaza, {"s": 50.0, "goal_s": 80.0, "side": 0.0})
    steps = live(plaza, crowd, stands, 30.0)
    beyond = [
        np.hypot(max(abs(s.x[0] - 60.0) - 2.25, 0.0), max(abs(s.y[0] + 5.2) - 0.925, 0.0)) for s in steps
    ]
    assert min(beyond) > BODY_RADIUS_M
    assert max(s.s[0] for s in steps) > 75.0


def test_whose_walk_ends_behind_a_bench_has_arrived_before_it() -> None:
    """Pushed about along the bench they seemed to get on, and stood there for minutes."""
    pusher = {"edge": 0, "s": 100.0, "goal_s": 100.0, "goal_d": 1.5, "want_x": 0.0, "want_y": 1.5, "vx": 0.4}
    row = people(STREET, {**pusher, "intent": int(Intent.WALKING), "pace": 1.0, "ahead_x": 1.0})
    along = people(
        STREET,
        {
            **pusher,
            "intent": int(Intent.WALKING),
            "pace": 1.0,
            "ahead_x": 1.0,
            "way": np.r_[1, np.full(state.WAY - 1, -1)],
        },
    )
    for _ in range(60):
        assert passing.gets_on(0, 3.0, row, 1)
        assert passing.gets_on(0, 3.0, along, 1)
    assert routes.reached(0, row)
    assert along["stalled"][0] == 0.0


def test_who_stood_about_near_shared_space_walks_on_when_the_halt_is_over() -> None:
    """Eight metres before it they stood for hours, and who wanted out of the door behind them never could."""
    row = people(STREET, {"edge": 0, "s": 100.0, "intent": int(Intent.STANDING), "kerb": 7.0, "pace": 1.0})
    walkers._along_the_street(0, True, row, 1, 3)
    assert row["intent"][0] == Intent.WALKING
