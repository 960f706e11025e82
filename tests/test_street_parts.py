"""Small parts of the street: who is where, who touches whom, what a script does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import rotate, translate
from shapely.geometry import Point, box

from drivewm_sim.street import state
from drivewm_sim.street.contacts import boxes_touch, disc_touches_box
from drivewm_sim.street.occupancy import BUCKETS, bucket, occupy
from drivewm_sim.street.scripts import add_script, along_path, no_scripts, play

_M = st.floats(-8, 8)
_ANGLE = st.floats(-math.pi, math.pi)
_SIZE = st.floats(0.3, 12)


def _shape(x: float, y: float, yaw: float, length: float, width: float):
    return translate(rotate(box(-length / 2, -width / 2, length / 2, width / 2), yaw, use_radians=True), x, y)


@given(_M, _M, _ANGLE, _SIZE, _SIZE, _ANGLE, _SIZE, _SIZE)
def test_boxes_touch_where_shapely_says_so(x, y, yaw, length, width, yaw2, length2, width2) -> None:
    first, second = _shape(0, 0, yaw, length, width), _shape(x, y, yaw2, length2, width2)
    apart = first.distance(second)
    overlap = first.intersection(second).area
    if apart < 1e-6 and overlap < 1e-6:
        return  # a graze: either answer is right
    assert boxes_touch(0.0, 0.0, yaw, length, width, x, y, yaw2, length2, width2) == (apart == 0)


@given(_M, _M, st.floats(0.1, 1), _ANGLE, _SIZE, _SIZE)
def test_a_disc_touches_a_box_where_shapely_says_so(x, y, radius, yaw, length, width) -> None:
    distance = Point(x, y).distance(_shape(0, 0, yaw, length, width))
    if abs(distance - radius) > 1e-6:
        assert disc_touches_box(x, y, radius, 0.0, 0.0, yaw, length, width) == (distance < radius)


def _crowd(seed: int) -> tuple[np.recarray, np.recarray]:
    rng = np.random.default_rng(seed)
    cars = np.zeros(40, state.VEHICLE).view(np.recarray)
    people = np.zeros(90, state.PEDESTRIAN).view(np.recarray)
    cars["uid"], people["uid"] = np.arange(40), np.arange(100, 190)
    cars["lane"], cars["s"] = rng.integers(0, 20, 40), rng.integers(0, 5, 40)
    people["crossing"] = rng.integers(-1, 5, 90)
    for rows in (cars, people):
        rows["x"], rows["y"] = rng.uniform(-300, 300, (2, len(rows)))
    return cars, people


@given(st.integers(0, 2**31))
def test_everybody_is_listed_once_where_they_are(seed: int) -> None:
    cars, people = _crowd(seed)
    occ = occupy(cars, people, 20, 5)
    for lane in range(20):
        rows = occ.lane_rows[occ.lane_first[lane] : occ.lane_first[lane + 1]]
        expected = sorted(np.flatnonzero(cars["lane"] == lane), key=lambda i: (cars["s"][i], cars["uid"][i]))
        assert list(rows) == expected
    for edge in range(5):
        rows = occ.crossing_rows[occ.crossing_first[edge] : occ.crossing_first[edge + 1]]
        assert list(rows) == list(np.flatnonzero(people["crossing"] == edge))
    buckets = np.array([bucket(x, y) for x, y in zip(people["x"], people["y"], strict=True)])
    for cell in range(BUCKETS):
        rows = occ.person_rows[occ.person_first[cell] : occ.person_first[cell + 1]]
        assert list(rows) == list(np.flatnonzero(buckets == cell))


def test_an_agent_is_inserted_in_uid_order_with_a_free_memory() -> None:
    rows = state.empty(state.PEDESTRIAN)
    for uid in (5, 2, 9):
        rows = state.insert(rows, {"uid": uid, "x": 10.0 * uid})
    assert list(rows["uid"]) == [2, 5, 9]
    assert list(rows["x"]) == [20, 50, 90]
    assert (rows["seen_uid"] == state.NOBODY).all()
    with pytest.raises(ValueError, match="uid 5 is there already"):
        state.insert(rows, {"uid": 5})
    with pytest.raises(ValueError, match="no such fields: speeed"):
        state.insert(rows, {"uid": 6, "speeed": 1.0})


def test_sources_never_share_a_uid() -> None:
    uids = [state.uid_of(source, n, 7) for source in range(7) for n in range(50)]
    assert len(set(uids)) == len(uids)
    assert min(uids) == 1


def test_a_dummy_at_5_km_per_h_is_where_the_script_says() -> None:
    path = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [4.0, 6.0, 1.0]])
    scripts, row = add_script(no_scripts(), along_path(path, lambda t: 5 / 3.6), begin=2.0)
    cars = np.zeros(0, state.VEHICLE).view(np.recarray)
    people = state.insert(
        state.empty(state.PEDESTRIAN),
        {"uid": 1, "controller": int(state.Controller.SCRIPTED), "script": row},
    ).view(np.recarray)
    for time_s, x, y in ((0.0, 0, 0), (2.0, 0, 0), (3.0, 5 / 3.6, 0), (5.6, 4, 1.0), (20.0, 4, 6)):
        play(cars, people, scripts, time_s)
        assert (people["x"][0], people["y"][0]) == pytest.approx((x, y), abs=1e-9)
    assert (people["vx"][0], people["vy"][0]) == (0, 0)
    play(cars, people, scripts, 3.0)
    assert people["vx"][0] == pytest.approx(5 / 3.6)
    assert people["yaw"][0] == 0


def test_an_accelerating_script_covers_half_a_t_squared() -> None:
    pose = along_path(np.array([[0.0, 0.0, 0.0], [0.0, 100.0, 0.0]]), lambda t: 2.0 * t)
    assert pose[60, 1] == pytest.approx(9.0)
    assert pose[60, 3] == pytest.approx(math.pi / 2)
