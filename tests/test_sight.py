"""Line of sight past boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_builders import make_boxes, random_boxes
from shapely import LineString, Point
from shapely import affinity as turned
from shapely import box as rectangle

from drivewm_sim.roads.boxes import no_boxes
from drivewm_sim.street.sight import CELL_M, hidden_by_boxes, make_static_grid, segment_hits_box

WALL = (10.0, 0.0, 0.0, 0.0, 1.0, 6.0, 2.0)  # x 9.5 to 10.5, y -3 to 3, 2 m high


@pytest.mark.parametrize(
    ("eye", "target", "blocked"),
    [
        ((0, 0, 1.5), (20, 0, 1.0), True),
        ((0, 0, 1.5), (9, 0, 1.0), False),  # before the wall
        ((0, 4, 1.5), (20, 4, 1.0), False),  # past its end
        ((0, 0, 3.0), (20, 0, 2.5), False),  # over it
        ((0, 0, 3.0), (20, 0, 0.5), True),  # 1.75 m where the wall is
        ((0, 0, 12.0), (11, 0, 1.5), True),  # into the roof, out of the back: 2.93 m and 1.98 m high there
        ((0, 0, 1.5), (10, 0, 1.0), False),  # the target's own box
        ((10, 0, 1.5), (20, 0, 1.0), False),  # the eye's own box
        ((0, 3, 1.5), (20, 3, 1.0), False),  # along its face: contact does not block
        ((10.2, 5, 1.5), (10.2, -5, 1.5), True),  # straight along y
    ],
)
def test_a_wall_two_metres_high_blocks_what_goes_in_and_out_of_it(
    eye: tuple[float, ...], target: tuple[float, ...], blocked: bool
) -> None:
    boxes = make_boxes(WALL)
    grid = make_static_grid(boxes)
    for a, b in ((eye, target), (target, eye)):
        assert segment_hits_box(*map(float, a), *map(float, b), *WALL) is blocked
        assert hidden_by_boxes(grid, boxes, *map(float, a), *map(float, b)) is blocked


def test_a_town_without_boxes_hides_nothing() -> None:
    assert not hidden_by_boxes(make_static_grid(no_boxes()), no_boxes(), 0.0, 0.0, 1.0, 50.0, 9.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_seen_from_above_a_tall_box_blocks_as_shapely_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, yaw = *rng.uniform(-5, 5, 2), rng.uniform(-4, 4)
    length, width = rng.uniform(0.2, 8, 2)
    a, b = rng.uniform(-10, 10, (2, 2))
    outline = rectangle(x - length / 2, y - width / 2, x + length / 2, y + width / 2)
    outline = turned.rotate(outline, yaw, use_radians=True)
    ends_outside = not (outline.contains(Point(a)) or outline.contains(Point(b)))
    crossed = LineString([a, b]).intersection(outline).length > 1e-9
    assert segment_hits_box(*a, 1.0, *b, 2.0, x, y, 0.0, yaw, length, width, 9.0) is (
        ends_outside and crossed
    )


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_in_space_a_box_blocks_whatever_passes_a_point_inside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    yaw, size = rng.uniform(-4, 4), rng.uniform(0.5, 5, 3)
    a, b = rng.uniform(-6, 6, (2, 3))
    along = np.linspace(a, b, 4001)
    c, s = np.cos(yaw), np.sin(yaw)
    offset = np.stack([c * along[:, 0] + s * along[:, 1], c * along[:, 1] - s * along[:, 0], along[:, 2]], -1)
    inside = (np.abs(offset[:, :2]) < size[:2] / 2).all(1) & (offset[:, 2] > 0) & (offset[:, 2] < size[2])
    blocked = segment_hits_box(*a, *b, 0.0, 0.0, 0.0, yaw, *size)
    if inside.sum() != 0 or not blocked:  # a corner cut between two samples is seen by neither
        assert blocked is bool(inside.any() and not inside[0] and not inside[-1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_walking_the_cells_finds_what_trying_every_box_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 60, 60.0)
    grid = make_static_grid(boxes)
    for _ in range(60):
        a, b = rng.uniform(-90, 90, (2, 3))
        a[2], b[2] = rng.uniform(0, 4, 2)
        if rng.random() < 0.3:  # along a row of cells, on its edge
            b[rng.integers(2)] = a[0] = grid.x + CELL_M * rng.integers(12)
        every = any(segment_hits_box(*a, *b, *(column[k] for column in boxes[:7])) for k in range(60))
        assert hidden_by_boxes(grid, boxes, *a, *b) is every
