"""Vehicles where lanes are short, narrow or bent: each of these once ended with bodies in each other."""

from __future__ import annotations

import numpy as np
import pytest
from street_builders import cars, crossroads, nobody, people, straight_street
from test_drivers import Watch

from drivewm_sim.lines import line_point
from drivewm_sim.roads.swept import REAR_AXLE, swing
from drivewm_sim.roads.towns import load_town
from drivewm_sim.simulator import Intent
from drivewm_sim.street import vehicle_arrivals
from drivewm_sim.street.backing import TOW_TICKS, TOWED_S, towed
from drivewm_sim.street.contacts import touch
from drivewm_sim.street.junctions import STUCK_S, first_of_stuck, meet
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.state import PATH, Model


@pytest.mark.parametrize(("behind_m", "gives_up"), [(30.0, True), (90.0, False)])
def test_who_has_not_left_its_lane_gives_up_a_change_when_somebody_fast_comes(
    behind_m: float, gives_up: bool
) -> None:
    """A queue crept while the change had long been decided, and the next lane was free no more."""
    street = straight_street(length=600.0, lanes_each=2, zebra_at=None)
    creeps = {"s": 200.0, "speed": 1.0, "change_to": 1, "aim": 0.3, "offset": 0.1}
    comes = {"lane": 1, "s": 200.0 - behind_m, "speed": 12.0}
    watch = Watch(street, cars(street, creeps, comes))
    watch.run(0.1)
    assert (watch.cars["change_to"][0] == -1) == gives_up
    watch.run(8.0)
    occ = occupy(watch.cars, nobody(), len(street.lanes.length), len(street.walks.length))
    assert touch(watch.cars, nobody(), occ, 0) == 0


def test_an_entry_of_a_few_metres_is_full_while_the_one_before_has_only_just_left_it() -> None:
    street = straight_street(length=200.0, zebra_at=None, signal_at=12.0)
    lane, over = 0, int(street.lanes.next[street.lanes.next_start[0]])
    agent = vehicle_arrivals.vehicle(street, lane, 0.0, Model.BUS, 1, 7)
    agent["s"] = 0.5 * agent["length"] + 0.2
    agent["x"], agent["y"], _ = line_point(street.lanes.lines, lane, agent["s"], 0.0)
    agent["z"] = 0.0
    room = [
        vehicle_arrivals._entry_speed(cars(street, {"lane": over, "s": s, "speed": 7.0}), agent, street)
        for s in (1.0, 3.0)
    ]
    assert max(room) < 0.0  # its rear is at 11 and 13 m of the way, the front of the bus at 12


def test_the_nose_of_a_long_body_runs_outside_of_the_circle_of_its_centre() -> None:
    """By hand for a bus on a circle of 50 m: the rear axle's circle, and from there the front corner."""
    radius, length = 50.0, 12.0
    axle = np.sqrt(radius**2 - (REAR_AXLE * length) ** 2)
    nose = np.hypot(axle, (REAR_AXLE + 0.5) * length)
    assert float(swing(length, np.array(1.0 / radius))) == pytest.approx(nose - radius, abs=0.02)


def test_buses_stay_out_of_the_plaza_whose_lanes_bend_more_than_they_are_wide() -> None:
    plaza, crossing = load_town("plaza").street, load_town("crossing").street
    assert not plaza.lanes.heavy[plaza.entries].any()
    assert crossing.lanes.heavy[crossing.entries].all()


def test_of_those_stuck_in_a_junction_one_moves_after_the_other() -> None:
    street = crossroads()
    inside = np.flatnonzero(street.lanes.junction >= 0)[:2]
    rows = cars(street, *({"lane": int(lane), "s": 2.0, "stood": STUCK_S + 1.0} for lane in inside))
    met = meet(rows, street.lanes, 1)
    assert [first_of_stuck(i, 2 * i, met, rows) for i in (0, 1)] == [True, False]
    rows["stood"] += 10.0
    assert [first_of_stuck(i, 2 * i, met, rows) for i in (0, 1)] == [True, True]


def test_a_turning_vehicle_waits_for_a_body_that_only_its_nose_would_touch() -> None:
    """Beside a straight way this body would be clear by 0.5 m; the nose of one who turns left swings out."""
    street = crossroads()
    lanes = street.lanes
    turn = lanes.lines.yaw[lanes.lines.start[1:] - 1] - lanes.lines.yaw[lanes.lines.start[:-1]]
    left = int(np.argmax(turn))
    way = lanes.length[left]
    x, y, yaw = line_point(lanes.lines, left, 0.6 * way, -(0.925 + 0.5 + 0.3))
    stands = {"x": x, "y": y, "yaw": yaw, "length": 1.0, "width": 1.0}
    other = int(np.flatnonzero((lanes.junction < 0) & (np.diff(lanes.next_start) == 0))[0])
    watch = Watch(street, cars(street, {"lane": left, "s": 0.5}, {"lane": other, "s": 5.0, **stands}))
    watch.cars["controller"][1] = 1
    watch.run(4.0)
    occ = occupy(watch.cars, nobody(), len(lanes.length), len(street.walks.length))
    assert touch(watch.cars, nobody(), occ, 0) == 0


def test_a_driver_who_turns_waits_for_somebody_on_the_road_whom_only_the_nose_would_touch() -> None:
    """They stood half way over the exit, in sight for seconds; had it been straight, all would be clear."""
    street = crossroads()
    lanes = street.lanes
    turn = lanes.lines.yaw[lanes.lines.start[1:] - 1] - lanes.lines.yaw[lanes.lines.start[:-1]]
    right = int(np.argmin(turn))
    van = {"lane": right, "s": 0.5, "speed": 3.0, "model": int(Model.VAN), "length": 5.8, "width": 2.0}
    for beside, waits in ((1.0 + 0.55, True), (1.0 + 1.75, False)):
        x, y, _ = line_point(lanes.lines, right, 0.8 * lanes.length[right], beside)
        person = people(street, {"crossing": -1, "intent": int(Intent.STANDING), "x": x, "y": y, "d": 20.0})
        watch = Watch(street, cars(street, van), person)
        for _ in range(60):
            watch.run(0.1)
            occ = occupy(watch.cars, person, len(lanes.length), len(street.walks.length))
            assert touch(watch.cars, person, occ, watch.tick) == 0
        assert (watch.cars["speed"][0] < 0.1) == waits


@pytest.mark.parametrize(("model", "length"), [(Model.CAR, 4.5), (Model.VAN, 5.8)])
def test_vehicles_neither_cut_a_tight_bend_nor_run_wide_behind_it(model: Model, length: float) -> None:
    """They steered before it began, and back before it ended: 0.3 m off their line, to either side."""
    street = load_town("school").street
    lanes = street.lanes
    turn = lanes.lines.yaw[lanes.lines.start[1:] - 1] - lanes.lines.yaw[lanes.lines.start[:-1]]
    tight = [
        k for k in np.flatnonzero((lanes.junction >= 0) & (np.abs(turn) > 1.0)) if lanes.length[k] < 11.0
    ]
    assert tight
    for bend in tight[:2]:
        before, after = int(lanes.prev[lanes.prev_start[bend]]), int(lanes.next[lanes.next_start[bend]])
        row = {"lane": before, "s": max(lanes.length[before] - 18.0, 3.0), "speed": 5.0}
        path = np.r_[bend, after, np.full(PATH - 2, -1)]
        body = {"model": int(model), "length": length, "width": 2.0}
        watch = Watch(street, cars(street, {**row, **body, "path": path}))
        watch.run(7.0)
        assert watch.cars["lane"][0] not in (before, bend)
        assert np.abs(watch.column("offset")).max() < 0.15


def test_of_two_who_bar_each_others_way_one_backs_out_and_both_get_through() -> None:
    """Noses 1 m before the same point, one from the west, one from the south: once they stood for ever."""
    street = crossroads()
    lanes = street.lanes
    first = lanes.lines.start[:-1]
    turn = lanes.lines.yaw[lanes.lines.start[1:] - 1] - lanes.lines.yaw[first]
    straight = np.flatnonzero((lanes.junction >= 0) & (np.abs(turn) < 0.01))
    east = next(k for k in straight if abs(lanes.lines.yaw[first[k]]) < 0.1)
    north = next(k for k in straight if abs(lanes.lines.yaw[first[k]] - np.pi / 2) < 0.1)
    x, y = lanes.lines.x[first[north]], lanes.lines.y[first[east]]
    places = (x - lanes.lines.x[first[east]], y - lanes.lines.y[first[north]])
    rows = [
        {"lane": int(lane), "s": at - 1.0 - 2.25, "stood": 60.0}
        for lane, at in zip((east, north), places, strict=True)
    ]
    watch = Watch(street, cars(street, *rows))
    for _ in range(300):
        watch.run(0.1)
        occ = occupy(watch.cars, nobody(), len(lanes.length), len(street.walks.length))
        assert touch(watch.cars, nobody(), occ, watch.tick) == 0
    assert min(watch.column("speed", 0).min(), watch.column("speed", 1).min()) < -0.3
    assert (lanes.junction[watch.cars["lane"]] < 0).all()


def test_nobody_drives_onto_the_map_right_before_somebody_on_a_crossing_beyond_a_short_entry() -> None:
    """The crossing lies on the second lane: the driver at 9 m/s saw whoever was on it 10 m before."""
    lanes = load_town("school").street.lanes
    entry = next(k for k in load_town("school").street.entries if lanes.length[k] < 20.0)
    own = lanes.crossing[lanes.crossing_start[entry] : lanes.crossing_start[entry + 1]]
    within = vehicle_arrivals._crossed_within(lanes, int(entry), 70.0)
    following = int(lanes.next[lanes.next_start[entry]])
    beyond = lanes.crossing[lanes.crossing_start[following] : lanes.crossing_start[following + 1]]
    assert len(beyond) > 0
    assert set(own.tolist()) | {int(beyond[0])} <= set(within.tolist())
    assert vehicle_arrivals._crossed_within(lanes, int(entry), 0.0).tolist() == []


def test_who_is_locked_in_a_junction_for_good_is_towed_one_after_the_other() -> None:
    """The one that stands longest, and another only after 20 s, in which the rest may move again."""
    street = crossroads()
    inside = np.flatnonzero(street.lanes.junction >= 0)[:2]
    stood = (TOWED_S + 1.0, TOWED_S + 3.0)
    rows = cars(street, *({"lane": int(k), "s": 2.0, "stood": s} for k, s in zip(inside, stood, strict=True)))
    assert towed(rows, street.lanes.junction, TOW_TICKS).tolist() == [False, True]
    assert not towed(rows, street.lanes.junction, TOW_TICKS + 1).any()
    rows["stood"] = TOWED_S - 1.0
    assert not towed(rows, street.lanes.junction, TOW_TICKS).any()
