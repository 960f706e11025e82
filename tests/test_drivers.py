"""Drivers: what they see, whom they follow and give way to, and how their vehicles move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from street_builders import cars, crossroads, nobody, people, straight_street

from drivewm_sim.lines import line_point
from drivewm_sim.roads.boxes import Boxes, BoxKind
from drivewm_sim.roads.town import Demand, Street
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street import drivers, driving, state, vehicle_arrivals
from drivewm_sim.street.ahead import choose_next
from drivewm_sim.street.contacts import touch
from drivewm_sim.street.giving_way import yield_probability
from drivewm_sim.street.junctions import junction_ends, meet, room_for_all
from drivewm_sim.street.lane_change import neighbours
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.seeing import clear, note, seen_for
from drivewm_sim.street.sight import make_static_grid
from drivewm_sim.street.state import Cause, Controller, Model

PHYSICS_S = 0.05


class Watch:
    """Steps vehicles (people stay as they are unless `walk`), and keeps every step of what they did."""

    def __init__(
        self, street: Street, rows: ndarray, on_foot: ndarray | None = None, walk: bool = False
    ) -> None:
        self.street, self.cars, self.walk = street, rows, walk
        self.people = nobody() if on_foot is None else on_foot
        self.grid = make_static_grid(street.boxes)
        self.held = np.full(int(max(street.lanes.junction.max(), 0)) + 1, -1)
        self.tick = 0
        self.steps: list[ndarray] = []

    def run(self, seconds: float, seed: int = 5) -> ndarray:
        """The rows after so many seconds."""
        for _ in range(round(seconds * 10)):
            occ = occupy(self.cars, self.people, len(self.street.lanes.length), len(self.street.walks.length))
            drivers.decide(self.cars, self.people, occ, self.street, self.grid, self.held, seed, self.tick)
            for _ in range(2):
                driving.integrate(self.cars, self.street, PHYSICS_S)
                self.steps.append(self.cars.copy())
                if self.walk:
                    for name, speed in (("x", "vx"), ("y", "vy")):
                        self.people[name] += self.people[speed] * PHYSICS_S
                    self.people["along"] += np.hypot(self.people["vx"], self.people["vy"]) * PHYSICS_S
            self.tick += 1
        return self.cars

    def column(self, name: str, row: int = 0) -> ndarray:
        return np.array([step[name][row] for step in self.steps])


LONG = straight_street(length=1500.0, zebra_at=None)
ZEBRA = straight_street()
CORNER = crossroads()


def front(rows: ndarray, i: int = 0) -> float:
    return float(rows["s"][i] + rows["length"][i] / 2)


def test_a_follower_keeps_the_equilibrium_gap_of_the_intelligent_driver_model() -> None:
    """s = (s0 + v T) / sqrt(1 - (v / v0)^4), Treiber et al. (2000)."""
    rows = Watch(LONG, cars(LONG, {"s": 100, "speed": 8, "desired": 8 / 13.9}, {"s": 60, "speed": 8})).run(90)
    v = rows["speed"][0]
    gap = rows["s"][0] - rows["s"][1] - 4.5
    assert rows["speed"][1] == pytest.approx(v, abs=0.05)
    assert gap == pytest.approx((2.0 + v * 1.4) / math.sqrt(1 - (v / 13.9) ** 4), abs=0.3)


def test_an_emergency_stop_takes_the_distance_that_physics_says() -> None:
    """From v: the brakes build up 60 m/s^3 x t, then 8 m/s^2."""
    rows = cars(LONG, {"s": 100, "speed": 13.9, "command": -8.0, "intent": int(Intent.BRAKING)})
    while rows["speed"][0] > 0:
        driving.integrate(rows, LONG, PHYSICS_S)
    build_up = 8 / 60
    slower = 13.9 - 0.5 * 8 * build_up
    expected = 13.9 * build_up - 60 * build_up**3 / 6 + slower**2 / 16
    assert rows["s"][0] - 100 == pytest.approx(expected, abs=0.4)


def test_drivers_stop_shortly_before_the_line_on_red_and_go_on_green() -> None:
    street = straight_street(zebra_at=None, signal_at=200.0, programme=(60.0, 30.0, 25.0, 3.0))
    watch = Watch(street, cars(street, {"s": 80, "speed": 13}))
    rows = watch.run(25)
    assert rows["speed"][0] < 0.05
    assert 198.5 < front(rows) < 200.0
    assert rows["intent"][0] == Intent.QUEUING
    assert watch.run(20)["lane"][0] == 4


def test_a_driver_too_near_the_line_when_it_turns_yellow_drives_on() -> None:
    street = straight_street(zebra_at=None, signal_at=200.0, programme=(60.0, -22.0, 22.0, 3.0))
    near, far = (Watch(street, cars(street, {"s": s, "speed": 13})) for s in (180, 110))
    assert near.run(5)["lane"][0] == 4
    assert far.run(15)["lane"][0] == 0
    assert far.column("acceleration").min() > -4.0


@pytest.mark.parametrize(("speed", "share"), [(8.94, 0.75), (16.54, 0.17)])
def test_yielding_falls_with_the_approach_speed_as_published(speed: float, share: float) -> None:
    assert yield_probability(0.75, speed) == pytest.approx(share, abs=0.005)


def test_of_many_drivers_the_published_share_gives_way_to_one_who_waits() -> None:
    waiting = {"crossing": 4, "along": 1.2, "intent": int(Intent.WAITING), "vx": 0.0, "vy": 0.0}
    stops = 0
    for uid in range(1, 101):
        row = {"uid": uid, "s": 168, "speed": 8.9, "desired": 8.9 / 13.9, "yields": 0.75, "reaction": 0.4}
        watch = Watch(ZEBRA, cars(ZEBRA, row), people(ZEBRA, waiting))
        stops += watch.run(2.0)["yields_to"][0] == 1001
    assert 0.62 < stops / 100 < 0.88


def test_drivers_do_not_give_way_at_midblock_but_brake_for_those_on_the_road() -> None:
    street = straight_street(kind=EdgeKind.MIDBLOCK)
    waiting = {"crossing": 4, "along": 1.2, "intent": int(Intent.WAITING), "vx": 0.0, "vy": 0.0}
    gone = Watch(street, cars(street, {"s": 150, "speed": 10, "yields": 0.3}), people(street, waiting)).run(8)
    assert front(gone) > 205
    watch = Watch(
        street,
        cars(street, {"s": 150, "speed": 10}),
        people(street, {"crossing": 4, "along": 2.0, "free_speed": 0.3}),
    )
    assert front(watch.run(8)) < 199.0


def _hidden_child(reaction: float, s: float = 165.0) -> Watch:
    """A pedestrian sets off from behind a parked van at x = 200, ahead of a car at 8 m/s at s."""
    box = [[194.5], [-4.7], [0.0], [0.0], [5.4], [2.0], [2.3]]
    street = straight_street(boxes=Boxes(*(np.array(v) for v in box), np.array([int(BoxKind.PARKED)])))
    rows = cars(street, {"s": s, "speed": 8, "desired": 8 / 13.9, "reaction": reaction})
    return Watch(street, rows, people(street, {"crossing": 4, "along": 0.0}), walk=True)


def test_who_steps_out_from_behind_a_van_is_braked_for_one_reaction_after_being_seen() -> None:
    for reaction in (0.4, 1.0):
        watch = _hidden_child(reaction)
        first_seen = first_braked = -1
        for tick in range(40):
            watch.run(0.1)
            if first_seen < 0 and seen_for(watch.cars, 0, 1001, tick) >= 0:
                first_seen = tick
            if first_braked < 0 and watch.cars["yields_to"][0] == 1001:
                first_braked = tick
        assert first_seen > 0, "it was hidden at first"
        assert first_braked - first_seen == pytest.approx(10 * reaction, abs=1)


def test_hard_braking_for_somebody_hidden_until_late_is_put_down_to_that() -> None:
    watch = _hidden_child(0.6, s=176.0)
    watch.run(4)
    braking = [s for s in watch.steps if s["intent"][0] == Intent.BRAKING]
    assert braking
    assert braking[0]["cause"][0] == Cause.OCCLUDED


def test_a_scripted_dummy_on_the_road_is_braked_for() -> None:
    dummy = {"edge": 0, "s": 180.0, "d": 3.0, "controller": int(Controller.SCRIPTED), "vx": 0.0, "vy": 0.0}
    rows = Watch(ZEBRA, cars(ZEBRA, {"s": 120, "speed": 12}), people(ZEBRA, dummy)).run(12)
    assert front(rows) < 180.0
    assert rows["speed"][0] < 0.1


def test_one_who_gives_way_takes_a_long_gap_and_leaves_a_short_one() -> None:
    """From the south (lane 6) straight on over the main road; somebody comes from the east (lane 0)."""
    street = crossroads(major=True)
    straight_on = {}
    for lane in (0, 6):
        straight_on[lane] = np.full(state.PATH, -1)
        straight_on[lane][0] = street.lanes.next[street.lanes.next_start[lane] + 1]
    for distance, goes in ((25.0, False), (100.0, True)):
        rows = cars(
            street,
            {"lane": 6, "s": 106.0, "path": straight_on[6], "stood": 2.0, "waited": 2.0},
            {"lane": 0, "s": 110.0 - distance, "speed": 11.0, "path": straight_on[0]},
        )
        watch = Watch(street, rows)
        watch.run(12)
        over = [np.flatnonzero(watch.column("lane", row) == lane)[0] for row, lane in ((0, 3), (1, 5))]
        assert (over[0] < over[1]) == goes


def test_four_who_come_at_once_all_get_over() -> None:
    rows = cars(CORNER, *({"lane": lane, "s": 60.0, "speed": 10.0} for lane in (0, 2, 4, 6)))
    after = Watch(CORNER, rows).run(40)
    assert set(after["lane"]) <= {1, 3, 5, 7}


def test_a_faster_driver_overtakes_in_the_next_lane_smoothly() -> None:
    street = straight_street(length=900.0, lanes_each=2, zebra_at=None)
    watch = Watch(street, cars(street, {"s": 90, "speed": 6, "desired": 6 / 13.9}, {"s": 40, "speed": 12}))
    rows = watch.run(25)
    assert rows["lane"][1] == 1
    assert rows["s"][1] > rows["s"][0]
    y = watch.column("y", 1)
    moving = np.flatnonzero((y > -5.1) & (y < -1.9))
    assert 2.5 < (moving[-1] - moving[0]) * PHYSICS_S < 5.0


def test_before_changing_lanes_drivers_look_back_past_the_junction_behind_them() -> None:
    """Two lanes on after a junction of 8 m: the one behind is three lanes of the graph away."""
    street = straight_street(lanes_each=2, zebra_at=None, signal_at=200.0)
    rows = cars(street, {"lane": 9, "s": 5.0}, {"lane": 0, "s": 190.0, "speed": 10.0})
    occ = occupy(rows, nobody(), len(street.lanes.length), len(street.walks.length))
    lane = int(street.lanes.next[street.lanes.next_start[4]])  # where lane 0 goes on
    ahead, behind, back = neighbours(0, lane, 5.0, rows, occ, street.lanes)
    assert (ahead, behind) == (-1, 1)
    assert back == pytest.approx(5.0 + 8.0 + 10.0, abs=0.1)


def test_who_comes_too_fast_for_a_bend_no_longer_chooses_it() -> None:
    lanes = CORNER.lanes
    rows = cars(CORNER, *({"uid": uid, "s": lanes.length[0] - 10.0} for uid in range(1, 41)))
    turn = np.abs(lanes.lines.yaw[lanes.lines.start[1:] - 1] - lanes.lines.yaw[lanes.lines.start[:-1]])
    for speed, straight_on in ((2.0, False), (13.0, True)):
        rows["speed"] = speed
        chosen = [choose_next(0, i, rows, lanes, 5) for i in range(len(rows))]
        assert (turn[chosen] < 0.1).all() == straight_on


def test_no_place_in_a_junction_is_kept_for_one_who_queues() -> None:
    """Else those who wait for it, and the one in front who waits for them, wait for ever."""
    stop = float(CORNER.lanes.stop_s[0])
    standing = {"s": stop - 3.0, "controller": int(Controller.SCRIPTED)}
    behind = {"s": stop - 12.0, "speed": 4.0}
    watch = Watch(CORNER, cars(CORNER, standing, behind))
    watch.run(6.0)
    assert (watch.column("reserved", 1) < 0).all()
    alone = Watch(CORNER, cars(CORNER, behind))
    alone.run(6.0)
    assert (alone.column("reserved") == 0).any()


def test_nobody_enters_a_junction_for_a_place_that_another_will_need() -> None:
    """Beyond the junction there are 11.75 m before the first that stands; a car and its gap take 7 m."""
    lanes = CORNER.lanes
    over = int(lanes.next[lanes.next_start[0] + 1])  # straight on
    out = int(lanes.next[lanes.next_start[over]])
    path = np.array([over, out] + [-1] * (state.PATH - 2))
    me = {"s": float(lanes.stop_s[0]) - 3.0, "path": path}
    stands = {"lane": out, "s": 14.0}
    moves = {"lane": over, "s": 12.0, "speed": 6.0, "path": np.array([out] + [-1] * (state.PATH - 1))}
    for before, room in (([stands], True), ([stands, moves], False), ([moves], True)):
        rows = cars(CORNER, me, *before)
        occ = occupy(rows, nobody(), len(lanes.length), len(CORNER.walks.length))
        met = meet(rows, lanes, 1)
        end = junction_ends(0, 0, met, rows, lanes)
        assert room_for_all(0, 0, end, met, rows, occ, lanes) == room


def test_a_crash_is_put_down_to_what_the_faster_driver_brakes_for() -> None:
    braking = {"s": 100.0, "speed": 5.0, "intent": int(Intent.BRAKING), "cause": int(Cause.DISTRACTED)}
    for first, cause in ((braking, Cause.DISTRACTED), ({"s": 100.0, "speed": 5.0}, Cause.MISJUDGED)):
        rows = cars(LONG, {"s": 104.0}, first)
        occ = occupy(rows, nobody(), len(LONG.lanes.length), len(LONG.walks.length))
        assert touch(rows, nobody(), occ, 50) == 1
        assert rows["cause"].tolist() == [cause, cause]


@pytest.mark.parametrize(("seen_s", "cause"), [(1.8, Cause.DELAY), (2.6, Cause.MISJUDGED)])
def test_both_saw_in_time_only_if_the_driver_could_have_stopped_from_its_speed(
    seen_s: float, cause: Cause
) -> None:
    """By hand: from 11 m/s it takes 0.6 s of reaction and 11 / 6 s of braking, 2.4 s; 1.4 m/s are left."""
    free = np.full(state.MEMORY - 1, -1)
    seen = {"seen_first": np.full(state.MEMORY, 100 - round(10 * seen_s)), "seen_last": np.full(8, 100)}
    ring = {"past_speed": np.full(state.PAST, 11.0), "seen_uid": np.r_[1001, free], **seen}
    rows = cars(LONG, {"s": 100.0, "speed": 1.4, **ring})
    person = people(LONG, {"x": 102.3, "y": rows["y"][0], "seen_uid": np.r_[rows["uid"][0], free], **seen})
    occ = occupy(rows, person, len(LONG.lanes.length), len(LONG.walks.length))
    assert touch(rows, person, occ, 100) == 1
    assert rows["cause"][0] == person["cause"][0] == cause


def test_cyclists_keep_right_and_cars_pass_them_only_with_room() -> None:
    for width, passes in ((3.5, False), (5.5, True)):
        street = straight_street(length=900.0, width=width, zebra_at=None)
        cyclist = {"s": 80, "speed": 5, "model": int(Model.BICYCLE), "length": 1.8, "width": 0.6,
                   "offset": 0.8 - width / 2}  # fmt: skip
        watch = Watch(street, cars(street, cyclist, {"s": 40, "speed": 10}))
        rows = watch.run(30)
        assert (rows["s"][1] > rows["s"][0]) == passes
        beside = [
            abs(s["offset"][1] - s["offset"][0]) - (1.85 + 0.6) / 2
            for s in watch.steps
            if abs(s["s"][1] - s["s"][0]) < 3.0
        ]
        assert not beside or min(beside) > 1.0


def test_a_vehicle_hides_what_is_behind_it_and_memory_lasts_a_second() -> None:
    rows = cars(ZEBRA, {"s": 100}, {"s": 112, "height": 2.3})
    occ = occupy(rows, nobody(), len(ZEBRA.lanes.length), len(ZEBRA.walks.length))
    grid = make_static_grid(ZEBRA.boxes)
    eye, beyond = (100.0, -1.75, 1.2), (130.0, -1.75, 1.2)
    assert not clear(*eye, *beyond, 1, -1, rows, occ, ZEBRA, grid)
    assert clear(*eye, *beyond, 1, 2, rows, occ, ZEBRA, grid)
    assert clear(*eye, 130.0, 1.75, 1.2, 1, -1, rows, occ, ZEBRA, grid)
    for tick in range(5, 15, 2):
        note(rows, 0, 77, tick, True)
    assert seen_for(rows, 0, 77, 13) == pytest.approx(0.8)
    assert seen_for(rows, 0, 77, 22) > 0
    assert seen_for(rows, 0, 77, 24) == -1.0
    assert seen_for(rows, 0, 78, 13) == -1.0


def test_a_vehicle_steered_from_outside_drives_its_circle_and_finds_its_lane() -> None:
    rows = cars(ZEBRA, {"s": 100, "speed": 5, "controller": int(Controller.EXTERNAL), "steer": 0.05})
    x, y = rows["x"][0], rows["y"][0]
    rows["curvature"] = 0.05
    lr = driving.REAR_AXLE * 4.5
    rows["yaw"] = -math.asin(lr * 0.05)  # so that its centre sets off along x
    for _ in range(round(math.pi * 20 / 5 / PHYSICS_S)):
        driving.integrate(rows, ZEBRA, PHYSICS_S)
    assert rows["x"][0] == pytest.approx(x, abs=0.4)
    assert rows["y"][0] == pytest.approx(y + 40.0, abs=0.4)
    rows = cars(ZEBRA, {"s": 100, "speed": 5, "offset": 3.4, "controller": int(Controller.EXTERNAL)})
    rows["yaw"] = math.pi
    driving.integrate(rows, ZEBRA, PHYSICS_S)
    assert rows["lane"][0] == 1


def _flow(street: Street, seconds: float, demand: Demand, seed: int = 2) -> tuple[list[ndarray], state.World]:
    """Every step of a street with arrivals and departures."""
    count = vehicle_arrivals.sources(street)
    held = np.full(int(max(street.lanes.junction.max(), 0)) + 1, -1)
    spawners = state.Spawners(vehicle_arrivals.first_due(street, demand, seed), np.zeros(count, np.int64))
    world = state.World(0, state.empty(state.VEHICLE), state.empty(state.PEDESTRIAN), spawners, held)
    steps = []
    for tick in range(round(seconds * 10)):
        world = vehicle_arrivals.arrive(world._replace(tick=tick), street, demand, seed)
        watch = Watch(street, world.vehicles.view(np.recarray))
        watch.tick, watch.held = tick, held
        watch.run(0.1, seed)
        steps += watch.steps
        world = vehicle_arrivals.depart(world, street)
    return steps, world


def _overlap(a: Any, b: Any) -> bool:
    """Whether two boxes overlap (separating axes), shrunk by 2 cm."""

    def corners(row: Any) -> ndarray:
        c, s = math.cos(row["yaw"]), math.sin(row["yaw"])
        u, v = row["length"] / 2 - 0.02, row["width"] / 2 - 0.02
        return np.array(
            [
                [row["x"] + c * p - s * q, row["y"] + s * p + c * q]
                for p, q in ((u, v), (u, -v), (-u, -v), (-u, v))
            ]
        )

    p, q = corners(a), corners(b)
    for box in (p, q):
        for edge in np.diff(box[:3], axis=0):
            axis = np.array([-edge[1], edge[0]])
            if (p @ axis).max() < (q @ axis).min() or (q @ axis).max() < (p @ axis).min():
                return False
    return True


@pytest.fixture(scope="module", params=["first come", "main road", "signals"])
def busy(request: pytest.FixtureRequest) -> tuple[list[ndarray], state.World]:
    # No buses: the stop lines of this small junction lie where a turning bus must swing.
    street = crossroads(major=request.param == "main road", signals=request.param == "signals")
    return _flow(street, 300.0, Demand(vehicles_per_hour=330.0, cyclist_share=0.1, large_share=0.0))


def test_nobody_overlaps_at_a_busy_crossroads(busy: tuple[list[ndarray], state.World]) -> None:
    for rows in busy[0][::5]:
        for i in range(len(rows)):
            for j in range(i):
                if math.hypot(rows["x"][i] - rows["x"][j], rows["y"][i] - rows["y"][j]) < 12.0:
                    assert not _overlap(rows[i], rows[j])


def test_nobody_exceeds_what_vehicles_can_do(busy: tuple[list[ndarray], state.World]) -> None:
    before: dict[int, Any] = {}
    for rows in busy[0]:
        now = {int(row["uid"]): row for row in rows}
        for uid in now.keys() & before.keys():
            a, b = before[uid], now[uid]
            assert -8.0 <= b["acceleration"] <= 3.0
            assert abs(b["curvature"]) <= (0.5 if b["model"] == Model.BICYCLE else 0.2)
            assert b["speed"] ** 2 * abs(b["curvature"]) <= 4.0
            assert (
                math.hypot(b["x"] - a["x"], b["y"] - a["y"]) <= max(a["speed"], b["speed"]) * PHYSICS_S + 0.03
            )
            if Intent.BRAKING not in (a["intent"], b["intent"]):
                assert abs(b["acceleration"] - a["acceleration"]) / PHYSICS_S <= 10.0
        before = now


def test_nobody_waits_for_ever(busy: tuple[list[ndarray], state.World]) -> None:
    assert max((rows["stood"].max() for rows in busy[0] if len(rows)), default=0.0) < 90.0
    assert busy[1].spawners.arrived.sum() > 60


def test_the_same_seed_gives_the_same_bits_whatever_the_order_in_which_agents_came() -> None:
    fields = [
        {"uid": 3 + k, "lane": lane, "s": 50.0 + k, "speed": 9.0} for k, lane in enumerate((0, 2, 4, 6, 0))
    ]
    fields[4]["s"] = 20.0
    forth, back = cars(CORNER, *fields), cars(CORNER, *fields[::-1])
    assert forth.tobytes() == back.tobytes()
    a, b = Watch(CORNER, forth).run(20), Watch(CORNER, back).run(20)
    assert a.tobytes() == b.tobytes()


def test_arrivals_are_as_many_as_demanded_and_find_room() -> None:
    demand = Demand(vehicles_per_hour=600.0)
    _, world = _flow(LONG, 120.0, demand)
    assert 20 <= world.spawners.arrived.sum() <= 60  # 2 entries, 40 expected
    assert len(np.unique(world.vehicles["uid"])) == len(world.vehicles)
    same, other = (vehicle_arrivals.vehicle(LONG, 0, 10.0, Model.VAN, 1, uid)["reaction"] for uid in (5, 6))
    assert same != other
    assert same == vehicle_arrivals.vehicle(LONG, 0, 10.0, Model.VAN, 1, 5)["reaction"]


def test_who_has_driven_off_the_map_is_gone() -> None:
    rows = cars(LONG, {"s": 1495.0, "speed": 10.0})
    assert not vehicle_arrivals.off_the_map(rows, LONG)[0]
    rows = Watch(LONG, rows).run(1.0)
    assert vehicle_arrivals.off_the_map(rows, LONG)[0]


@pytest.mark.parametrize("model", list(Model))
@pytest.mark.parametrize("s", [0.5, 4.0, 7.0, 8.0, 12.0, 30.0])
def test_an_entry_that_is_full_has_no_room_for_any_model(model: Model, s: float) -> None:
    """Who waits outside is not even drawn while the entry is full, so that must never turn anybody away."""
    lane = int(LONG.entries[0])
    rows = cars(LONG, {"lane": lane, "s": s, "speed": 3.0})
    agent = vehicle_arrivals.vehicle(LONG, lane, 0.0, model, 1, 7)
    agent["s"] = 0.5 * agent["length"] + 0.2
    agent["x"], agent["y"], _ = line_point(LONG.lanes.lines, lane, agent["s"], 0.0)
    agent["z"] = 0.0
    full = vehicle_arrivals._is_full(rows, LONG.lanes.lines, lane)
    assert full == (s < 0.5 * 4.5 + 5.8)  # as long as a car; 4 m behind it and 1.8 m of a bicycle
    if full:
        assert vehicle_arrivals._entry_speed(rows, agent, LONG) < 0.0


def test_a_vehicle_stays_on_the_centre_of_its_lane_through_a_bend() -> None:
    path = np.full(state.PATH, -1)
    path[0] = CORNER.lanes.next[CORNER.lanes.next_start[0]]
    watch = Watch(CORNER, cars(CORNER, {"s": 70.0, "speed": 9.0, "path": path}))
    watch.run(14)
    assert watch.cars["lane"][0] == 3  # out to the north
    assert np.abs(watch.column("offset")).max() < 0.5
    x, y, _ = line_point(CORNER.lanes.lines, 3, watch.cars["s"][0], watch.cars["offset"][0])
    assert (x, y) == pytest.approx((watch.cars["x"][0], watch.cars["y"][0]), abs=0.05)


def test_a_town_without_entries_is_filled_once_and_stays_full() -> None:
    closed = LONG._replace(entries=np.zeros(0, np.int64))
    demand = Demand(vehicles_per_hour=500.0)
    spawners = state.Spawners(vehicle_arrivals.first_due(closed, demand, 3), np.zeros(1, np.int64))
    empty = state.World(
        0, state.empty(state.VEHICLE), state.empty(state.PEDESTRIAN), spawners, np.full(1, -1)
    )
    world = vehicle_arrivals.fill(empty, closed, demand, 3)
    filled = len(world.vehicles)
    assert 15 <= filled <= 45  # 3 km at 0.0143 a metre, with 16 m between them at least: 35
    near = np.abs(np.diff(np.sort(world.vehicles["s"][world.vehicles["lane"] == 0])))
    assert near.min() > 8.0
    world = world._replace(vehicles=world.vehicles[: filled // 3])
    for tick in range(0, 1000, 10):
        world = vehicle_arrivals.arrive(world._replace(tick=tick), closed, demand, 3)
    assert len(world.vehicles) > 0.6 * filled
