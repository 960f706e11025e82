"""The benchmarks: what they count, and that what they time is the simulator. No time is asserted."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from drivewm.cli import main
from drivewm.errors import InputError
from drivewm_eval.bench import limits, stops
from drivewm_eval.bench.busy import busy_street, times
from drivewm_eval.bench.endurance import Contacts, Overlaps, endure, limits_of, vehicles_due, walks_due
from drivewm_eval.bench.parts import sight_cost, tick_apart, tick_costs
from drivewm_eval.bench.scaling import Size, growth
from drivewm_eval.bench.stand_in import stand_in
from drivewm_eval.bench.tiles import affected, tiled_map, tiled_town
from drivewm_sim.roads.towns import load_town, town_text
from drivewm_sim.simulator import Intent
from drivewm_sim.street import state, traffic, vehicle_arrivals
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.state import PEDESTRIAN, VEHICLE, Cause, Model, Spawners, World

TOWN = "crossing"


def run(setting: traffic.Setting, world: World, seconds: float) -> World:
    for _ in range(round(seconds / 0.1)):
        traffic.step(world, no_scripts(), setting)
        world = traffic.come_and_go(world, setting)
    return world


@pytest.fixture(scope="module")
def setting() -> traffic.Setting:
    return traffic.make_setting(load_town(TOWN), seed=3)


@pytest.fixture(scope="module")
def world(setting: traffic.Setting) -> World:
    """The crossing after 20 s; copy before stepping on."""
    return run(setting, traffic.first_world(setting), 20.0)


def same(a: World, b: World) -> bool:
    return all(
        np.array_equal(getattr(a, rows)[name], getattr(b, rows)[name])
        for rows in ("vehicles", "pedestrians")
        for name in getattr(a, rows).dtype.names
    )


def vehicle(**fields: float) -> np.ndarray:
    """One row of VEHICLE."""
    return state.insert(state.empty(VEHICLE), {"uid": 1, **fields}).view(np.recarray)


def person(**fields: float) -> np.ndarray:
    """One row of PEDESTRIAN."""
    return state.insert(state.empty(PEDESTRIAN), {"uid": 2, **fields}).view(np.recarray)


# Copies of a town


def test_copies_of_a_town_have_as_many_times_the_lanes_doors_and_walks() -> None:
    one, three = load_town("school"), tiled_town("school", 3)
    assert len(three.street.lanes.length) == 3 * len(one.street.lanes.length)
    assert len(three.street.entries) == 3 * len(one.street.entries)
    assert len(three.street.boxes.x) == 3 * len(one.street.boxes.x)
    assert len(three.street.door_edge) == 3 * len(one.street.door_edge)
    assert three.demand == times(one.demand, 1.0, 3.0)
    assert np.sort(np.tile(one.street.lanes.length, 3)) == pytest.approx(np.sort(three.street.lanes.length))


def test_no_way_leads_from_one_copy_to_another() -> None:
    town = tiled_town(TOWN, 2)
    lanes, walks = town.street.lanes, town.street.walks
    half = len(lanes.length) // 2
    owner = np.repeat(np.arange(len(lanes.length)), np.diff(lanes.next_start))
    assert ((owner < half) == (lanes.next < half)).all()
    middle = 0.5 * (lanes.lines.x.min() + lanes.lines.x.max())
    assert ((walks.node_x[walks.tail] < middle) == (walks.node_x[walks.head] < middle)).all()


def test_every_id_of_a_copied_map_is_its_own() -> None:
    root = ET.fromstring(tiled_map(town_text("grid"), [(0.0, 0.0), (500.0, 0.0)]))
    for tag in ("road", "junction", "signal", "object", "controller"):
        ids = [e.get("id") for e in root.iter(tag) if tag != "controller" or e.find("control") is not None]
        assert len(ids) == len(set(ids)) > 0
    roads = {e.get("id") for e in root.iterfind("road")}
    assert {e.get("incomingRoad") for e in root.iter("connection")} <= roads


def test_a_vehicle_more_in_an_unconnected_part_changes_nobody_else_within_ten_seconds() -> None:
    """The stranger's uid is lower than those of the others, so that all their rows move."""
    town = tiled_town(TOWN, 2, gap_m=300.0)
    setting = traffic.make_setting(town, seed=5)
    world = run(setting, traffic.first_world(setting), 15.0)
    middle = 0.5 * (town.street.lanes.lines.x.min() + town.street.lanes.lines.x.max())
    here = set(world.vehicles["uid"][world.vehicles["x"] < middle].tolist())
    here |= set(world.pedestrians["uid"][world.pedestrians["x"] < middle].tolist())
    changed = [
        affected(setting, world, stranger(setting, world, lane), 10.0) for lane in far_lanes(setting, middle)
    ]
    assert len(here) > 20
    assert all(here.isdisjoint(uids) for uids in changed)
    assert any(uids for uids in changed), "in its own part it matters to somebody"


def far_lanes(setting: traffic.Setting, middle: float) -> list[int]:
    """The lanes east of `middle`, in the other copy."""
    lines = setting.street.lanes.lines
    return [lane for lane in range(len(setting.street.lanes.length)) if lines.x[lines.start[lane]] > middle]


def stranger(setting: traffic.Setting, world: World, lane: int) -> dict[str, object]:
    """A slow car where the lane is emptiest."""
    lanes, cars = setting.street.lanes, world.vehicles[world.vehicles["lane"] == lane]
    s = np.linspace(10.0, lanes.length[lane] - 10.0, 30)
    away = np.abs(s[:, None] - cars["s"]).min(axis=1, initial=1e3)
    agent = vehicle_arrivals.vehicle(
        setting.street, lane, float(s[away.argmax()]), Model.CAR, setting.seed, setting.reserved_uid(0)
    )
    return vehicle_arrivals.placed(agent, setting.street, 1.0)


# Speed


def test_the_parts_that_are_timed_make_up_the_simulators_tick(setting: traffic.Setting, world: World) -> None:
    whole, apart = state.copy(world), state.copy(world)
    for _ in range(20):
        traffic.step(whole, no_scripts(), setting)
        tick_apart(apart, setting, lambda _: None)
        whole, apart = traffic.come_and_go(whole, setting), traffic.come_and_go(apart, setting)
    assert same(whole, apart)


def test_every_part_has_a_cost(setting: traffic.Setting, world: World) -> None:
    costs, after = tick_costs(state.copy(world), setting, 10)
    assert after.tick == world.tick + 11
    assert {"occupy", "decide, drivers", "decide, pedestrians", "contacts", "come and go"} <= set(costs)
    assert min(costs.values()) >= 0.0
    assert sight_cost(world, setting) > 0.0


def test_a_busy_street_holds_as_many_as_were_asked_for() -> None:
    street = busy_street(load_town(TOWN), 1, vehicles=6, pedestrians=20)
    assert street.vehicles >= 0.75 * 6
    assert street.pedestrians >= 0.75 * 20
    assert street.setting.demand == times(load_town(TOWN).demand, street.traffic, street.walking)


def test_cost_in_proportion_to_agents_has_the_exponent_one() -> None:
    def size(agents: float, cost: float) -> Size:
        return Size(
            tiles=1, agents=agents, vehicles=0.0, tick_us=0.5 * cost, come_and_go_us=0.5 * cost, agent_us=1.0
        )

    assert growth([size(10, 50), size(100, 500), size(1000, 5000)]) == pytest.approx(1.0)
    assert growth([size(10, 1), size(100, 100)]) == pytest.approx(2.0)


# Endurance


def test_a_vehicle_beyond_its_limits_is_noted_with_its_tick() -> None:
    extremes = limits.no_extremes()
    was, now = vehicle(speed=10.0), vehicle(speed=9.0, acceleration=-10.0, curvature=0.06, x=1.0)
    limits.watch_vehicles(was, now, 7, extremes)
    found = limits_of(extremes)
    assert found["vehicle_braking_mps2"].worst == pytest.approx(10.0)
    assert found["vehicle_lateral_mps2"].worst == pytest.approx(0.06 * 81)
    assert found["vehicle_jerk_outside_braking_mps3"].worst == pytest.approx(100.0)
    over = {name for name, extreme in found.items() if extreme.over}
    assert over == {"vehicle_braking_mps2", "vehicle_lateral_mps2", "vehicle_jerk_outside_braking_mps3"}
    assert {found[name].tick for name in over} == {7}
    assert {found[name].uid for name in over} == {1}


def test_the_jerk_of_an_emergency_is_no_fault() -> None:
    extremes = limits.no_extremes()
    braking = {"intent": int(Intent.BRAKING)}
    limits.watch_vehicles(vehicle(speed=10.0), vehicle(speed=9.5, acceleration=-6.0, **braking), 0, extremes)
    assert limits_of(extremes)["vehicle_jerk_outside_braking_mps3"].worst == 0.0
    assert limits.jerk_percentile(extremes, 0.99) == 0.0


def test_a_bicycle_may_turn_more_sharply_than_a_car() -> None:
    for model, over in ((Model.BICYCLE, 0), (Model.CAR, 1)):
        extremes = limits.no_extremes()
        limits.watch_vehicles(vehicle(), vehicle(curvature=0.3, model=int(model)), 0, extremes)
        assert extremes.over.sum() == over


def test_a_vehicle_that_backs_out_does_not_jump() -> None:
    """Its speed is negative: the metres moved were once held against less than nothing."""
    extremes = limits.no_extremes()
    limits.watch_vehicles(vehicle(speed=-0.8), vehicle(speed=-0.8, x=-0.08), 0, extremes)
    assert limits_of(extremes)["vehicle_jump_m"].worst == pytest.approx(0.0, abs=1e-9)


def test_a_pedestrian_who_jumps_is_noted() -> None:
    extremes = limits.no_extremes()
    limits.watch_pedestrians(person(vx=1.0), person(vx=1.0, x=0.15), 3, extremes)
    found = limits_of(extremes)
    assert found["pedestrian_jump_m"].worst == pytest.approx(0.05)
    assert [name for name, extreme in found.items() if extreme.over] == ["pedestrian_jump_m"]


def test_two_people_in_one_place_overlap_once_however_long_they_stay() -> None:
    people = state.empty(PEDESTRIAN)
    for uid, x in ((1, 0.0), (2, 5.0), (3, 5.25), (4, 5.0)):
        people = state.insert(people, {"uid": uid, "x": x, "z": 6.0 if uid == 4 else 0.0})
    overlaps = Overlaps()
    overlaps.watch(people)
    overlaps.watch(people)
    assert overlaps.count == 1
    assert overlaps.nearest_m == pytest.approx(0.25)


def test_a_contact_counts_once_with_its_cause() -> None:
    cars = vehicle(touched=2, model=int(Model.VAN), speed=3.0)
    people = person(touched=1, cause=int(Cause.OCCLUDED))
    nothing = Spawners(np.zeros(0), np.zeros(0, np.int64))
    contacts = Contacts()
    for time_s in (4.0, 4.1, 9.0):
        contacts.watch(World(0, cars, people, nothing, np.zeros(0, np.int64)), time_s)
    assert [contact.t_s for contact in contacts.listed] == [4.0, 9.0]
    assert contacts.kinds == {"van, pedestrian": 2}
    assert contacts.causes == {"occluded": 2}
    assert not contacts.in_sight


def test_who_moves_has_not_stood_and_who_waits_in_a_queue_does_not_count() -> None:
    standing = stops.Standing(1.0)
    uid, counts = np.array([3, 5, 8]), np.array([True, True, False])
    place = np.zeros((3, 2))
    standing.seconds(0.0, uid, place, counts)
    place[1, 0] = 2.0
    assert standing.seconds(10.0, uid, place, counts).tolist() == [10.0, 0.0, 0.0]
    assert standing.seconds(15.0, uid[1:], place[1:], counts[1:]).tolist() == [5.0, 0.0]


def test_those_before_a_signal_and_those_behind_them_are_in_its_queue() -> None:
    lanes = load_town("grid").street.lanes
    to_signal = stops.metres_to_signal(lanes)
    guarded = int(np.flatnonzero(lanes.signal >= 0)[0])
    before = int(lanes.prev[lanes.prev_start[guarded]])
    assert to_signal[before] == pytest.approx(lanes.length[before])
    nowhere = int(np.flatnonzero(np.isinf(to_signal))[0])
    cars = state.empty(VEHICLE)
    for k, (lane, leader) in enumerate(((before, -1), (nowhere, 1), (nowhere, -1), (nowhere, 2))):
        path = np.full(state.PATH, -1)
        s = float(lanes.length[lane])
        cars = state.insert(cars, {"uid": k + 1, "lane": lane, "s": s, "leader": leader, "path": path})
    assert stops.in_signal_queue(cars, lanes, to_signal).tolist() == [True, True, False, True]


def test_the_clocks_of_arrivals_call_as_many_as_come_where_there_is_room(setting: traffic.Setting) -> None:
    world = traffic.first_world(setting)
    begun = Spawners(*(column.copy() for column in world.spawners))
    there = set(world.pedestrians["uid"].tolist())
    came = 0
    for _ in range(600):
        traffic.step(world, no_scripts(), setting)
        world = traffic.come_and_go(world, setting)
        fresh = set(world.pedestrians["uid"].tolist()) - there
        came, there = came + len(fresh), there | fresh
    arrived = (world.spawners.arrived - begun.arrived)[: setting.walk_source].sum()
    assert 0 <= vehicles_due(begun, setting, 60.0) - arrived <= 2
    assert 0 <= walks_due(begun, setting, 60.0) - came <= 3


def test_endurance_tells_of_a_town(setting: traffic.Setting) -> None:
    told: list[int] = []
    run = endure(load_town(TOWN), 30.0 / 3600.0, 3, told.append)
    assert sum(told) == 300
    assert run.hours == pytest.approx(30.0 / 3600.0)
    assert run.vehicles > 1
    assert run.pedestrians > 10
    assert len(run.speed_quarters) == 4
    assert run.limits["pedestrian_speed_mps"].worst > 0.0
    assert 0.0 <= run.longest_stop.seconds <= 30.0
    assert run == endure(load_town(TOWN), 30.0 / 3600.0, 3), "the same seed, the same figures"
    json.dumps(asdict(run))


def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    told = ["bench", "endurance", "--town", TOWN, "school", "--hours", "0.005", "--json", str(file)]
    assert main(told) == 0
    figures = json.loads(file.read_text())
    assert set(figures["towns"]) == {TOWN, "school"}
    assert figures["towns"][TOWN]["hours"] == pytest.approx(0.005)
    assert "vehicles served" in capsys.readouterr().out


# A CARLA server


def test_a_stand_in_is_measured_without_and_with_a_lidar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("carla", reason="the carla client is not installed")
    file = tmp_path / "figures.json"
    told = ["bench", "simulator", "--backend", "carla", "--seconds", "10", "--json", str(file)]
    assert main(told) == 0
    figures = json.loads(file.read_text())
    assert (figures["server"], figures["town"]) == ("stand-in", "grid")
    assert (figures["vehicles"], figures["walkers"]) == (30, 60)
    assert figures["plain"]["ticks"] == figures["with_lidar"]["ticks"] == 200
    assert 0.0 < figures["ticks_per_s_with_lidar"] < figures["ticks_per_s"] <= figures["plain"]["best"]
    assert 20_000 < figures["points_per_turn"] <= 32 * 1024
    assert figures["with_lidar"]["server_ms"] > figures["plain"]["server_ms"] > 0.0
    assert "ticks per s" in capsys.readouterr().out


def test_a_given_server_is_left_as_it_was(tmp_path: Path) -> None:
    carla = pytest.importorskip("carla", reason="the carla client is not installed")
    file = tmp_path / "figures.json"
    with stand_in("school") as server:
        client = carla.Client("127.0.0.1", server.port)
        world = client.get_world()
        before = {actor.id for actor in world.get_actors()}
        told = ["--backend", "carla", "--port", str(server.port), "--seconds", "10", "--json", str(file)]
        assert main(["bench", "simulator", *told]) == 0
        assert not world.get_settings().synchronous_mode
        assert {actor.id for actor in world.get_actors()} == before
    figures = json.loads(file.read_text())
    assert (figures["server"], figures["town"]) == (f"given, 127.0.0.1:{server.port}", "school")
    assert figures["plain"]["server_ms"] is None


def test_a_stand_in_ends_with_what_needed_it() -> None:
    with suppress(ZeroDivisionError), stand_in("crossing") as server:
        assert server.cpu_s()
        raise ZeroDivisionError
    assert server.cpu_s() is None


def test_a_stand_in_that_cannot_start_says_why() -> None:
    with pytest.raises(InputError, match=r"did not start: error: .*atlantis"), stand_in("atlantis"):
        pass


def test_where_no_server_answers_that_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("carla", reason="the carla client is not installed")
    assert main(["bench", "simulator", "--backend", "carla", "--port", "1"]) == 2
    assert "no CARLA server answers at 127.0.0.1:1" in capsys.readouterr().err


def test_without_the_client_no_server_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "carla", None)
    assert main(["bench", "simulator", "--backend", "carla"]) == 2
    assert "carla is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["simulator", "--port", "2000"], "add --backend carla"),
        (["endurance", "--backend", "carla"], "endurance has no --backend carla"),
        (["simulator", "--town", "grid", "school"], "one --town"),
        (["endurance", "--town", "atlantis"], "no town 'atlantis'"),
        (["endurance", "--town", "grid", "school", "grid"], "--town names grid twice"),
        (["endurance", "--hours", "0"], "--hours"),
        (["simulator", "--seconds", "1"], "--seconds"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    told: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *told]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1
