"""Directors: every situation finds a place, shows what it is named after, and is the same again by seed.

The ego of these runs drives its route at constant speed, whatever happens: what others do is theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.signals import Aspect, aspect
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street import drivers, driving, seeing, state, walkers, walking, walks_arrivals
from drivewm_sim.street.directors import Phase, direct, enter, no_directors
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.placing import Stage, furnished, scripted_crossing, time_for
from drivewm_sim.street.scripts import Scripts, no_scripts, play
from drivewm_sim.street.sight import make_static_grid
from drivewm_sim.street.situations import SITUATIONS, descriptions, labels, stage
from drivewm_sim.street.situations.bus_runner import BusRunner
from drivewm_sim.street.situations.cast import Situation
from drivewm_sim.street.situations.dart_out import DartOut
from drivewm_sim.street.situations.group_split import GroupSplit
from drivewm_sim.street.situations.jaywalk import Jaywalk
from drivewm_sim.street.situations.turn_back import TurnBack
from drivewm_sim.street.state import Controller, Model

SPEED = 9.0  # m/s of the ego
ON_ROAD = (Intent.CROSSING, Intent.RUNNING, Intent.PAUSING, Intent.HESITATING, Intent.TURNING_BACK)
HOME = {
    "dart_out": "school", "jaywalk": "roundabout", "distracted": "plaza", "turn_back": "school",
    "group_split": "roundabout", "hesitation": "arterial", "turning": "roundabout", "bus_runner": "arterial",
    "cyclist_conflict": "school", "red_walker": "grid", "hidden_crosser": "arterial",
    "slow_finisher": "arterial",
}  # fmt: skip


def route_from(town: Town, entry: int, pick: int, least_m: float = 350.0) -> tuple[int, ...]:
    """A drive through a town from one of its entries."""
    lanes, out, rng = town.street.lanes, [entry], np.random.default_rng(pick)
    while sum(lanes.length[out]) < least_m:
        following = lanes.next[lanes.next_start[out[-1]] : lanes.next_start[out[-1] + 1]]
        following = following[lanes.use[following] == 0]
        if len(following) == 0:
            break
        out.append(int(rng.choice(following)))
    return tuple(out)


def scene_in(name: str, entry: int = 0, pick: int = 0, seed: int = 0) -> Stage:
    town = load_town(name)
    entries = [int(e) for e in town.street.entries if town.street.lanes.use[e] == 0]
    route = route_from(town, entries[entry % len(entries)], pick)
    reach = float(town.street.lanes.length[list(route)].sum()) - 15.0
    return Stage(
        town=town, route=route, start_s=6.0, seed=seed, reach_m=min(reach, 300.0), next_uid=uids(),
        speed_mps=SPEED,
    )  # fmt: skip


def uids() -> Callable[[], int]:
    """The uids of an episode's actors and props."""
    return itertools.count(1_000_000).__next__


@dataclass
class Run:
    """One situation on an otherwise empty street."""

    town: Town
    route: tuple[int, ...]
    seed: int
    cars: ndarray
    people: ndarray
    scripts: Scripts
    directors: ndarray
    tick: int
    along: float  # of the ego
    held: ndarray
    grid: Any
    logged: list[dict[str, Any]] = field(default_factory=list)

    def copy(self) -> Run:
        return replace(
            self, cars=self.cars.copy(), people=self.people.copy(), directors=self.directors.copy(),
            held=self.held.copy(), scripts=Scripts(*(c.copy() for c in self.scripts)), logged=[],
        )  # fmt: skip

    def place_ego(self) -> None:
        lanes, s, k = self.town.street.lanes, self.along, 0
        while s > lanes.length[self.route[k]] and k + 1 < len(self.route):
            s -= lanes.length[self.route[k]]
            k += 1
        ego, lane = self.cars[self.cars["uid"] == 0], self.route[k]
        x, y, yaw = line_point(lanes.lines, lane, s, 0.0)
        path = np.full(state.PATH, -1)
        rest = self.route[k + 1 :][: state.PATH]
        path[: len(rest)] = rest
        values = {"x": x, "y": y, "z": line_height(lanes.lines, lane, s), "yaw": yaw, "lane": lane, "s": s,
                  "path": path, "speed": SPEED, "offset": 0.0,
                  "came_from": self.route[k - 1] if k else -1}  # fmt: skip
        for name, value in values.items():
            ego[name] = value
        self.cars[self.cars["uid"] == 0] = ego

    def step(self) -> None:
        street = self.town.street
        cars, people = self.cars.view(np.recarray), self.people.view(np.recarray)
        occ = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
        direct(self.directors.view(np.recarray), cars, people, street.walks, street.signals, self.tick)
        drivers.decide(cars, people, occ, street, self.grid, self.held, self.seed, self.tick)
        walkers.decide(people, cars, occ, street, self.grid, self.seed, self.tick)
        for half in (1, 2):
            driving.integrate(cars, street, 0.05)
            walking.integrate(people, cars, occ, street, self.seed, self.tick, 0.05)
            play(cars, people, self.scripts, 0.1 * self.tick + 0.05 * half)
            self.along += 0.05 * SPEED
            self.place_ego()
        self.people = walks_arrivals.depart(self.people, street)
        self.tick += 1
        self.log(occ)

    def log(self, occ: Any) -> None:
        row, walks = self.directors[0], self.town.street.walks
        cars = self.cars.view(np.recarray)
        ego = cars[cars.uid == 0][0]
        actors = {}
        for p in self.people[self.people["director"] == 0]:
            inside = p["edge"] == row["crossing"] and (
                walks.kerb_in[row["crossing"]] < p["s"] < walks.kerb_out[row["crossing"]]
            )
            seen = seeing.clear(
                ego["x"], ego["y"], ego["z"] + 1.2, p["x"], p["y"], p["z"] + 0.7 * p["height"], 0, -1,
                cars, occ, self.town.street, self.grid,
            )  # fmt: skip
            actors[int(p["uid"])] = {
                "intent": Intent(int(p["intent"])), "road": bool(inside), "s": float(p["s"]), "seen": seen,
                "x": float(p["x"]), "y": float(p["y"]), "edge": int(p["edge"]),
            }  # fmt: skip
        to = next(
            (row["to"][j] - ego["s"] for j in range(32) if row["lane"][j] == ego["lane"]), math.nan
        ) - 0.5 * ego["length"]  # fmt: skip
        self.logged.append({
            "tick": self.tick, "phase": Phase(int(row["phase"])), "actors": actors, "arrival": to / SPEED,
            "vehicles": {int(c["uid"]): (float(c["speed"]), int(c["controller"])) for c in cars},
        })  # fmt: skip

    def run(self, seconds: float) -> Run:
        for _ in range(round(10 * seconds)):
            self.step()
        return self


def begin(name: str, parameters: Situation | None = None, tick: int = 0, scene: Stage | None = None) -> Run:
    """A staged situation with the ego at the start of its route."""
    scene = replace(scene or staged_scene(name), next_uid=uids())
    found = stage(name, 0, scene, parameters)
    assert found is not None
    town = furnished(scene.town, found.boxes)
    ego = {
        "uid": 0, "controller": int(Controller.EXTERNAL), "model": int(Model.CAR), "lane": scene.route[0],
        "length": 4.5, "width": 1.9, "height": 1.5, "speed": SPEED, "past_speed": np.full(state.PAST, SPEED),
        "desired": 1.0, "headway": 1.4, "reaction": 0.6, "change_to": -1, "leader": -1, "reserved": -1,
        "yields_to": -1, "stop_edge": -1, "came_from": -1, "path": np.full(state.PATH, -1), "director": -1,
    }  # fmt: skip
    cars, people = state.insert(state.empty(state.VEHICLE), ego), state.empty(state.PEDESTRIAN)
    held = np.full(int(town.street.lanes.junction.max(initial=-1)) + 1, -1, np.int64)
    run = Run(
        town, scene.route, scene.seed, cars, people, no_scripts(), no_directors(), tick, scene.start_s, held,
        make_static_grid(town.street.boxes),
    )  # fmt: skip
    run.place_ego()
    run.directors, run.cars, run.people, run.scripts = enter(
        found, no_directors(), run.cars, people, no_scripts()
    )
    return run


@cache
def staged_scene(name: str) -> Stage:
    """The first drive in the situation's home town on which it finds a place."""
    for seed, entry in itertools.product(range(4), range(4)):
        scene = scene_in(HOME[name], entry, seed, seed)
        if stage(name, 0, scene) is not None:
            return scene
    raise AssertionError(f"{name} finds no place in {HOME[name]}")


@cache
def played(name: str) -> Run:
    """The situation with usual parameters until it is over; it begins when signals let it happen."""
    for tick in range(0, 900, 60):
        run = begin(name, tick=tick)
        for _ in range(450):
            run.step()
            if run.directors["phase"][0] >= Phase.DONE:
                break
        if run.directors["triggered"][0] >= 0:
            return run.run(2.0)
    raise AssertionError(f"{name} was never triggered")


def since_trigger(run: Run) -> list[dict[str, Any]]:
    return [m for m in run.logged if m["tick"] > run.directors["triggered"][0]]


def entered(run: Run, uid: int) -> int:
    """The tick at which an actor comes onto the carriageway of the situation's crossing."""
    return next(m["tick"] for m in run.logged if uid in m["actors"] and m["actors"][uid]["road"])


def same(a: Run, b: Run) -> bool:
    """Whether two runs have come to the same state, bit by bit."""
    tables = [(getattr(a, name), getattr(b, name)) for name in ("people", "cars", "directors")]
    return all(np.array_equal(x[name], y[name]) for x, y in tables for name in x.dtype.names or ())


def actors(run: Run) -> list[int]:
    return labels(run.directors)[0]["actor_uids"]


every = pytest.mark.parametrize("name", SITUATIONS)


def test_there_are_at_least_ten_situations_and_one_line_says_what_each_is() -> None:
    assert len(SITUATIONS) >= 10
    assert all(len(line) > 20 and line.endswith(".") for line in descriptions().values())


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


def test_a_child_darts_out_unseen_until_three_seconds_before_the_ego_arrives() -> None:
    run = played("dart_out")
    (child,) = actors(run)
    moments = since_trigger(run)
    assert all(not m["actors"][child]["seen"] for m in run.logged if 3.0 < m["arrival"] < 6.0)
    on_road = [m for m in moments if child in m["actors"] and m["actors"][child]["road"]]
    assert 1.2 < on_road[0]["arrival"] < 3.4
    assert all(m["actors"][child]["intent"] == Intent.RUNNING for m in on_road)


def test_a_later_dart_out_is_a_matter_of_its_parameter() -> None:
    at = {}
    for margin in (1.5, 3.0):
        run = begin("dart_out", DartOut(margin_s=(margin, margin), speed_mps=(2.6, 2.6)))
        run.run(28.0)
        (child,) = actors(run)
        step = next(m for m in run.logged if m["actors"].get(child, {"road": False})["road"])
        at[margin] = step["arrival"]
        assert abs(step["arrival"] - margin) < 0.5
    assert at[3.0] - at[1.5] == pytest.approx(1.5, abs=0.3)


def test_where_nothing_hides_a_child_a_van_is_parked_at_the_kerb() -> None:
    scene = scene_in("roundabout")
    found = stage("dart_out", 0, scene)
    assert found is not None
    van, (child,) = found.boxes, found.people
    assert len(van.x) == 1
    assert math.hypot(van.x[0] - child["x"], van.y[0] - child["y"]) < 7.0
    spots_lane = found.director["lane"][0]
    lines = scene.street.lanes.lines
    rows = slice(lines.start[spots_lane], lines.start[spots_lane + 1])
    assert np.hypot(lines.x[rows] - van.x[0], lines.y[rows] - van.y[0]).min() > 0.5 * 1.9 + 1.2


def test_a_jaywalker_takes_a_gap_where_nothing_is_marked() -> None:
    run = played("jaywalk")
    (adult,) = actors(run)
    kind = run.town.street.walks.kind[run.directors["crossing"][0]]
    assert kind in (EdgeKind.MIDBLOCK, EdgeKind.SHARED)
    step = next(m for m in run.logged if m["actors"].get(adult, {"road": False})["road"])
    assert not 0.0 < step["arrival"] < 2.0


def test_a_larger_critical_gap_makes_a_jaywalker_wait() -> None:
    at = []
    for gap in (2.2, 7.0):
        parameters = Jaywalk(arrival_s=(8.5, 8.5), critical_gap_s=(gap, gap), far_side=0.0)
        run = begin("jaywalk", parameters).run(32.0)
        at.append(entered(run, actors(run)[0]))
    assert at[1] > at[0]


def test_a_distracted_walker_does_not_stop_at_the_kerb() -> None:
    run = played("distracted")
    (walker,) = actors(run)
    until = [m["actors"][walker] for m in since_trigger(run) if m["tick"] <= entered(run, walker)]
    assert not any(a["intent"] in (Intent.WAITING, Intent.HESITATING, Intent.PAUSING) for a in until)
    step = next(m for m in run.logged if m["tick"] == entered(run, walker))
    assert 0.5 < step["arrival"] < 5.0


def test_who_turns_back_returns_to_the_kerb_it_came_from() -> None:
    run = played("turn_back")
    (walker,) = actors(run)
    moments = [m["actors"][walker] for m in since_trigger(run) if walker in m["actors"]]
    turned = next(k for k, a in enumerate(moments) if a["intent"] == Intent.TURNING_BACK)
    start, far = moments[0], moments[turned]
    back = next(a for a in moments[turned:] if not a["road"])
    assert far["road"]
    assert abs(back["s"] - start["s"]) < 1.5 < abs(far["s"] - start["s"])


def test_a_share_of_the_way_says_where_one_turns_back() -> None:
    furthest = []
    for share in (0.25, 0.6):
        run = begin("turn_back", TurnBack(turn_back_at=(share, share))).run(25.0)
        walks, edge = run.town.street.walks, run.directors["crossing"][0]
        turned = next(
            a for m in run.logged for a in m["actors"].values() if a["intent"] == Intent.TURNING_BACK
        )
        width = walks.kerb_out[edge] - walks.kerb_in[edge]
        done = min(abs(turned["s"] - walks.kerb_in[edge]), abs(turned["s"] - walks.kerb_out[edge]))
        furthest.append(done / width)
    assert furthest[0] == pytest.approx(0.25, abs=0.1)


def test_part_of_a_group_crosses_while_the_rest_stays_at_the_kerb() -> None:
    run = begin("group_split", GroupSplit(size=(4, 4))).run(30.0)
    everybody = actors(run)
    assert len(everybody) == 4
    assert len({p["leader"] for p in run.people[np.isin(run.people["uid"], everybody)]}) <= 1
    over = [
        [a["s"] for a in m["actors"].values()]
        for m in run.logged
        if any(a["road"] for a in m["actors"].values())
        and any(a["intent"] == Intent.WAITING for a in m["actors"].values())
    ]
    assert max(max(s) - min(s) for s in over) > 2.5
    first = {entered(run, uid) for uid in everybody}
    assert max(first) - min(first) > 20  # ticks


def test_who_hesitates_sets_off_and_stops_short_for_the_ego() -> None:
    """Whether the ego comes close enough is a matter of a second: most drives must show it."""
    shown = 0
    for drive in range(6):
        scene = scene_in("school", drive, drive, drive)
        run = begin("hesitation", scene=scene).run(45.0)
        (walker,) = actors(run)
        moments = [m["actors"][walker] for m in since_trigger(run) if walker in m["actors"]]
        intents = [a["intent"] for a in moments]
        if Intent.HESITATING not in intents:
            continue
        first = intents.index(Intent.HESITATING)
        start, stop = moments[0], moments[first]
        assert math.hypot(stop["x"] - start["x"], stop["y"] - start["y"]) > 0.1
        assert set(intents[first:]) & {Intent.CROSSING, Intent.RUNNING}
        shown += 1
    assert shown >= 4


def test_the_ego_turns_into_an_arm_that_somebody_crosses() -> None:
    run = played("turning")
    lanes = run.town.street.lanes
    row = run.directors[0]
    before = int(row["lane"][1])
    bend = lanes.lines.yaw[lanes.lines.start[before + 1] - 1] - lanes.lines.yaw[lanes.lines.start[before]]
    assert abs(bend) > 0.6 or lanes.junction[row["lane"][0]] >= 0
    meets = [m for m in run.logged if abs(m["arrival"]) < 4.0]
    assert any(a["road"] for m in meets for a in m["actors"].values())


def test_other_vehicles_that_turn_serve_where_the_ego_goes_straight() -> None:
    """The director then watches whoever has chosen the turn."""
    town = load_town("grid")
    lanes = town.street.lanes
    for entry in map(int, town.street.entries):
        route = [entry]
        while lanes.next_start[route[-1] + 1] > lanes.next_start[route[-1]]:
            following = lanes.next[lanes.next_start[route[-1]] : lanes.next_start[route[-1] + 1]]
            bends = [
                abs(lanes.lines.yaw[lanes.lines.start[k + 1] - 1] - lanes.lines.yaw[lanes.lines.start[k]])
                for k in following
            ]
            route.append(int(following[int(np.argmin(bends))]))
        scene = Stage(town=town, route=tuple(route), start_s=6.0, seed=1, reach_m=250.0, next_uid=uids())
        found = stage("turning", 0, scene)
        if found is not None and found.director["target"] == -1:
            assert lanes.junction[found.director["lane"][1]] >= 0
            assert found.director["lane"][1] not in route
            return
    raise AssertionError("every straight way through the grid turns")


def test_somebody_runs_for_the_bus_that_waits_and_then_leaves() -> None:
    run = played("bus_runner")
    (runner,), (bus,) = actors(run), labels(run.directors)[0]["prop_uids"]
    step = next(m for m in run.logged if m["tick"] == entered(run, runner))
    assert step["actors"][runner]["intent"] == Intent.RUNNING
    assert step["vehicles"][bus] == (0.0, Controller.SCRIPTED)
    stop = run.town.bus_stops[0]
    last = [m for m in run.logged if runner in m["actors"]][-1]["actors"][runner]
    assert last["edge"] == stop.edge
    run.run(6.0)
    assert run.cars["speed"][run.cars["uid"] == bus][0] > 1.0


def test_a_bus_that_need_not_wait_leaves_earlier() -> None:
    found = [
        stage("bus_runner", 0, staged_scene("bus_runner"), BusRunner(patience_s=(s, s))) for s in (1.0, 9.0)
    ]
    after = [f.director["prop_after"][0] for f in found if f is not None]
    assert after[1] - after[0] == pytest.approx(8.0)


def test_a_cyclist_ahead_of_the_ego_brakes_for_somebody_who_overlooks_it() -> None:
    run = played("cyclist_conflict")
    cyclist, (walker,) = int(run.directors["target"][0]), actors(run)
    moment = next(m for m in run.logged if m["tick"] == entered(run, walker))
    assert moment["arrival"] > 1.0  # the ego is behind
    speeds = [m["vehicles"][cyclist][0] for m in run.logged if cyclist in m["vehicles"]]
    trigger = int(run.directors["triggered"][0])
    assert min(speeds[trigger:]) < 0.75 * speeds[trigger - 5]


def test_a_red_walker_is_on_the_road_while_people_have_red_and_the_ego_comes() -> None:
    run = played("red_walker")
    (walker,) = actors(run)
    street, edge = run.town.street, run.directors["crossing"][0]
    moment = next(m for m in run.logged if m["tick"] == entered(run, walker))
    assert aspect(street.signals, street.walks.signal[edge], 0.1 * moment["tick"])[0] == Aspect.RED
    assert 0.0 < moment["arrival"] < 6.0


def test_a_stopped_vehicle_hides_the_crosser_until_shortly_before_the_ego_arrives() -> None:
    run = played("hidden_crosser")
    (crosser,), (stopped,) = actors(run), labels(run.directors)[0]["prop_uids"]
    moments = [m for m in since_trigger(run) if crosser in m["actors"] and m["actors"][crosser]["road"]]
    assert not moments[0]["actors"][crosser]["seen"]
    shown = next(m for m in moments if m["actors"][crosser]["seen"])
    assert 0.5 < shown["arrival"] < 4.0
    assert moments[0]["vehicles"][stopped][0] == 0.0
    assert run.cars["controller"][run.cars["uid"] == stopped][0] == Controller.REACTIVE


def test_a_slow_finisher_starts_on_green_and_is_still_on_the_road_when_vehicles_have_green() -> None:
    run = played("slow_finisher")
    (elder,) = actors(run)
    street, edge = run.town.street, run.directors["crossing"][0]
    people_group = street.walks.signal[edge]
    lanes = street.lanes
    lane = street.walks.over_lane[street.walks.over_start[edge]]
    groups = {
        int(lanes.signal[k]) for k in (lane, *lanes.next[lanes.next_start[lane] : lanes.next_start[lane + 1]])
    }
    (vehicles,) = groups - {-1}
    ticks = [m["tick"] for m in run.logged if m["actors"].get(elder, {"road": False})["road"]]
    shown = [
        tuple(aspect(street.signals, group, 0.1 * tick)[0] for group in (people_group, vehicles))
        for tick in ticks
    ]
    assert shown[0][0] == Aspect.GREEN
    assert (Aspect.RED, Aspect.GREEN) in shown


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
