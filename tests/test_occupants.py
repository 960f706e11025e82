"""The occupancy that the model learns: the right cells of the right layer, and the way come to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_street import toy_drive

from drivewm.bev import OCCUPANCY_TIMES_S, BevSpec, occupancy_spec
from drivewm.frames import from_frame
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_datasets.occupants import draw_occupants
from drivewm_datasets.street_windows import StreetPart, window_at
from drivewm_datasets.windows import TimeLayout

SPEC = BevSpec()  # cells of occupancy are 1 m, from (-16, -32)
WALKS, DRIVES, UNTRACKED = 0, 1, 2
TIMES = len(OCCUPANCY_TIMES_S)


def part_with(
    kind: Kind, place: tuple[float, float, float], ego: tuple[float, float, float] = (0.0, 0.0, 0.0),
    *, size: tuple[float, float] = (0.5, 0.5), tracked: bool = True, per_second: float = 0.0,
) -> StreetPart:  # fmt: skip
    """One other agent at `place` in the ego's frame, which moves `per_second` metres ahead of the ego."""
    window = window_at(toy_drive(), TimeLayout(TimeGrid(), 4), 24)
    assert window is not None
    assert window.street is not None
    at = np.array(place) + np.array([[per_second, 0, 0]]) * np.array(OCCUPANCY_TIMES_S)[:, None]
    frame = np.array(ego)
    xy = from_frame(at[:, :2], np.broadcast_to(frame, (TIMES, 3)))
    others = np.concatenate([xy, at[:, 2:] + frame[2]], axis=-1)[None]
    return replace(
        window.street,
        ego_pose=frame,
        others=others.astype(np.float32),
        others_valid=np.ones((1, TIMES), bool),
        others_kind=np.array([int(kind)]),
        others_size=np.array([size]),
        others_tracked=np.array([tracked]),
    )


def cells(occupied: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(i) for i in cell) for cell in np.argwhere(occupied)]


@given(
    x=st.floats(-15.9, 47.9).filter(lambda v: abs(v - round(v)) > 0.01),
    y=st.floats(-31.9, 31.9).filter(lambda v: abs(v - round(v)) > 0.01),
    ego=st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(-3, 3)),
)
def test_a_pedestrian_is_in_exactly_its_cell(x: float, y: float, ego: tuple[float, float, float]) -> None:
    """Wherever the ego stands and however it is turned."""
    occupied, _ = draw_occupants(part_with(Kind.PEDESTRIAN, (x, y, 0.0), ego), SPEC)
    cell = (int(np.floor(x + 16)), int(np.floor(y + 32)))
    assert cells(occupied[WALKS, 0]) == [cell]
    assert not occupied[DRIVES].any()
    assert not occupied[UNTRACKED].any()


def test_who_has_no_track_is_in_the_third_layer_too() -> None:
    occupied, _ = draw_occupants(part_with(Kind.PEDESTRIAN, (10.5, 4.5, 0.0), tracked=False), SPEC)
    assert cells(occupied[UNTRACKED, 0]) == cells(occupied[WALKS, 0]) == [(26, 36)]


def test_a_vehicle_fills_its_footprint() -> None:
    """4 m by 2 m across the ego's way, its middle at a corner of four cells: 2 by 4 cells and no other."""
    part = part_with(Kind.VEHICLE, (10.0, 4.0, np.pi / 2), size=(3.96, 1.96))
    occupied, _ = draw_occupants(part, SPEC)
    assert cells(occupied[DRIVES, 0]) == [(i, j) for i in (25, 26) for j in (34, 35, 36, 37)]
    assert not occupied[WALKS].any()


def test_a_long_bus_has_no_holes() -> None:
    occupied, _ = draw_occupants(part_with(Kind.VEHICLE, (10.5, 0.5, 0.0), size=(11.96, 2.5)), SPEC)
    rows = {i for i, j in cells(occupied[DRIVES, 0]) if j == 32}
    assert rows == set(range(20, 33))


def test_the_flow_is_the_way_come_since_now_in_the_egos_frame() -> None:
    """2 m/s ahead of an ego that heads north: after 2 s 4 m further, and the flow says so."""
    part = part_with(Kind.PEDESTRIAN, (5.5, 0.5, 0.0), (3.0, 7.0, np.pi / 2), per_second=2.0)
    occupied, flow = draw_occupants(part, SPEC)
    later = OCCUPANCY_TIMES_S.index(2.0)
    assert cells(occupied[WALKS, 0]) == [(21, 32)]
    assert cells(occupied[WALKS, later]) == [(25, 32)]
    np.testing.assert_allclose(flow[WALKS, later, 25, 32], [4.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(flow[WALKS, 0, 21, 32], [0.0, 0.0], atol=1e-6)
    assert not flow[~occupied].any()


def test_who_was_not_there_now_has_come_no_way() -> None:
    part = part_with(Kind.PEDESTRIAN, (5.5, 0.5, 0.0), per_second=2.0)
    there = np.ones((1, TIMES), bool)
    there[0, 0] = False
    occupied, flow = draw_occupants(replace(part, others_valid=there), SPEC)
    assert not occupied[WALKS, 0].any()
    assert occupied[WALKS, 1:].any(axis=(1, 2)).all()
    assert not flow.any()


@pytest.mark.parametrize("place", [(500.0, 0.0, 0.0), (-16.5, 0.0, 0.0), (0.0, 32.5, 0.0), (48.5, 3.0, 0.0)])
def test_who_is_off_the_grid_is_not_drawn(place: tuple[float, float, float]) -> None:
    occupied, _ = draw_occupants(part_with(Kind.PEDESTRIAN, place), SPEC)
    assert not occupied.any()


def test_mirroring_the_street_mirrors_the_drawing() -> None:
    """Off the cells' borders: a point on a border belongs to the cell on its left in both."""
    part = part_with(Kind.VEHICLE, (10.3, 4.2, 0.4), (5.0, 3.0, 0.9), size=(4.4, 1.7), per_second=3.0)
    occupied, flow = draw_occupants(part, SPEC)
    mirrored, mirrored_flow = draw_occupants(part.mirror(), SPEC)
    np.testing.assert_array_equal(mirrored, occupied[..., ::-1])
    np.testing.assert_allclose(mirrored_flow, flow[..., ::-1, :] * [1, -1], atol=1e-4)


@given(yaw=st.floats(-3, 3))
def test_turning_the_street_turns_nothing_in_the_egos_frame(yaw: float) -> None:
    part = part_with(Kind.PEDESTRIAN, (10.3, 4.2, 0.4), (5.0, 3.0, 0.9), per_second=1.1)
    (one, flow), (other, other_flow) = draw_occupants(part, SPEC), draw_occupants(part.turned(yaw), SPEC)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(flow, other_flow, atol=1e-3)


def test_the_people_of_a_drive_stand_where_they_truly_are() -> None:
    """At 2.5 s the ego is at (-7.5, -1.75). "1" at (10, -5.5) is in cell (17, -4) of its frame, "2", whom it
    has never seen, at (15, 6) in cell (22, 7); the ego itself is nobody."""
    window = window_at(toy_drive(), TimeLayout(TimeGrid(), 4), 25)
    assert window is not None
    assert window.street is not None
    occupied, _ = draw_occupants(window.street, SPEC)
    assert cells(occupied[WALKS, 0]) == [(16 + 17, 32 - 4), (16 + 22, 32 + 7)]
    assert cells(occupied[UNTRACKED, 0]) == [(16 + 22, 32 + 7)]
    ego = (16, 32)
    assert not occupied[:, 0, ego[0], ego[1]].any()
    assert occupied.shape[2:] == occupancy_spec(SPEC).shape[1:]
