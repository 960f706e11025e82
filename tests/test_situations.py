"""Every situation shows what it is named after."""

from __future__ import annotations

import math

import numpy as np
import pytest
from staged import actors, begin, entered, played, scene_in, since_trigger, staged_scene, uids

from drivewm.types import Aspect
from drivewm_sim.roads.signals import aspect
from drivewm_sim.roads.towns import load_town
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.simulator import Intent
from drivewm_sim.street.placing import Stage
from drivewm_sim.street.situations import labels, stage
from drivewm_sim.street.situations.bus_runner import BusRunner
from drivewm_sim.street.situations.dart_out import DartOut
from drivewm_sim.street.situations.group_split import GroupSplit
from drivewm_sim.street.situations.jaywalk import Jaywalk
from drivewm_sim.street.situations.turn_back import TurnBack
from drivewm_sim.street.state import Controller


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


def test_a_group_without_room_before_one_crossing_stands_before_another() -> None:
    """Members for whom there was no place used to end the collection with an AssertionError."""
    found = stage("group_split", 0, scene_in("arterial", 3, 3, 3))
    assert found is not None
    assert len({(p["edge"], p["s"], p["d"]) for p in found.people}) == len(found.people) >= 3


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
