"""The ground that vehicles cover in bends, and which bends are for buses and trucks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from street_builders import Plan, crossroads

from drivewm_sim.roads.conflicts import find_conflicts
from drivewm_sim.roads.lane_graph import LaneGraph
from drivewm_sim.roads.swept import ASTRAY_M, LENGTH_M, REAR_AXLE, WIDE_BEND_M, lanes_for_heavy, way_along
from drivewm_sim.roads.towns import load_town


def arc(radius: float, turn: float) -> np.ndarray:
    """Points of a left bend that begins at the origin, heading east."""
    angle = np.linspace(0.0, turn, 400)
    return np.column_stack([radius * np.sin(angle), radius * (1.0 - np.cos(angle)), np.zeros(400)])


def one_lane(points: np.ndarray, following: list[int] | None = None) -> dict[str, Any]:
    return {"points": points, "next": following or []}


def graph(*lanes: dict[str, Any]) -> LaneGraph:
    plan = Plan(lanes=list(lanes))
    plan.edge(plan.node(500.0, 500.0), plan.node(520.0, 500.0))
    return plan.build().lanes


def test_on_a_straight_lane_a_vehicle_covers_its_width() -> None:
    way = way_along(graph(one_lane(np.array([[0.0, 0.0, 0.0], [40.0, 0.0, 0.0]]))), 0, extended=False)
    assert (way.left == 1.0).all()
    assert (way.right == 1.0).all()


def test_in_a_steady_bend_the_corners_run_on_two_circles() -> None:
    """By hand: the rear axle runs on a circle of radius sqrt(R^2 - a^2), a metres behind the box centre."""
    radius, behind = 10.0, REAR_AXLE * LENGTH_M
    axle = math.sqrt(radius**2 - behind**2)
    inside = radius - (axle - 1.0) + ASTRAY_M
    outside = math.hypot(axle + 1.0, behind + 0.5 * LENGTH_M) - radius + ASTRAY_M
    way = way_along(graph(one_lane(arc(radius, 4.0))), 0, extended=False)
    middle = slice(30, 60)
    assert way.left[middle] == pytest.approx(inside, abs=0.08)
    assert way.right[middle] == pytest.approx(outside, abs=0.08)


def test_the_nose_still_stands_out_where_the_lane_is_straight_again() -> None:
    bend = arc(8.0, math.pi / 2)
    onward = bend[-1] + np.column_stack([np.zeros(2), [0.0, 30.0], np.zeros(2)])
    way = way_along(graph({**one_lane(bend, [1]), "junction": 0}, one_lane(onward)), 0, extended=True)
    beyond = way.number * way.step > 8.0 * math.pi / 2
    assert way.right[beyond][0] > 1.3
    assert way.right[beyond][-1] == pytest.approx(1.0 + ASTRAY_M, abs=0.15)


def test_buses_keep_to_lanes_from_which_they_never_meet_a_tight_bend() -> None:
    straight = np.array([[0.0, 0.0, 0.0], [40.0, 0.0, 0.0]])
    wide, tight = arc(WIDE_BEND_M + 5.0, 1.5), arc(8.0, 1.5)
    lanes = graph(
        one_lane(straight, [1, 2]),  # on to either bend
        {**one_lane(straight[-1] + wide), "junction": 0},
        {**one_lane(straight[-1] + tight), "junction": 0},
        one_lane(straight - [60.0, 0.0, 0.0], [2]),  # on to the tight bend only
        one_lane(straight[-1] + wide),  # between junctions nobody keeps off the ground that it sweeps
    )
    assert lanes_for_heavy(lanes).tolist() == [True, True, False, False, False]


def test_turns_that_swing_out_conflict_with_the_lane_beside_their_exit() -> None:
    """On a narrow street a van that turns off needs the mouth of the other lane for a moment."""
    lanes = load_town("school").street.lanes
    conflicts = find_conflicts(lanes)
    before = conflicts.into < -0.6
    assert before.any()
    for lane in np.unique(conflicts.lane[before]):
        approach = lanes.prev[lanes.prev_start[lane] : lanes.prev_start[lane + 1]]
        into = conflicts.into[conflicts.lane == lane].min()
        assert (lanes.stop_s[approach] <= lanes.length[approach] + into).all()


def test_straight_ways_of_wide_crossroads_conflict_only_inside() -> None:
    lanes = crossroads().lanes
    conflicts = find_conflicts(lanes)
    assert (conflicts.into >= -0.5).all()
