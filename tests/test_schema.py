"""The tracks table: which values are read, and as what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivewm.errors import InputError
from drivewm.history import MAX_SPEED_MPS, TrackHistory
from drivewm.types import Kind
from drivewm_datasets import cleaning
from drivewm_datasets.checks import MAX_AGENTS_PER_FRAME, check
from drivewm_datasets.columns import to_arrow
from drivewm_datasets.recording import CONTEXT
from drivewm_datasets.schema import Labels, TracksTable, kind_of, tracks_table


def walk(frames: int = 12, agents: int = 2, **changed: np.ndarray) -> dict[str, np.ndarray]:
    """Pedestrians walking east at 1.25 m/s, seen at 2.5 Hz, frame by frame."""
    frame = np.repeat(np.arange(frames), agents)
    who = np.tile(np.arange(agents), frames)
    rows = len(frame)
    columns = {
        "dataset": np.full(rows, "toy"),
        "scene": np.full(rows, "street"),
        "frame": frame,
        "t_s": frame * 0.4,
        "agent_id": np.array([f"p{w}" for w in who]),
        "agent_type": np.full(rows, "pedestrian"),
        "x_m": frame * 0.5,
        "y_m": 2.0 * who,
    }
    return {**columns, **changed}


def table_of(columns: dict[str, np.ndarray]) -> TracksTable:
    return tracks_table(to_arrow(columns), "toy.parquet")


def refusal(columns: dict[str, np.ndarray]) -> str:
    """The one line with which the table is refused."""
    with pytest.raises(InputError) as caught:
        check(table_of(columns))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("toy.parquet: ")
    return message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pedestrian", Kind.PEDESTRIAN),
        ("Skater", Kind.PEDESTRIAN),
        ("motorcycle", Kind.CYCLIST),
        ("golf_cart", Kind.VEHICLE),
        ("ego_vehicle", Kind.VEHICLE),
        ("misc", CONTEXT),
        ("static", CONTEXT),
        ("hovercraft", CONTEXT),
    ],
)
def test_finer_types_are_of_the_three_kinds_or_context(name: str, kind: int) -> None:
    assert kind_of(name) == kind


def test_rows_are_sorted_by_agent_then_time() -> None:
    columns = walk(frames=3, agents=2)
    assert check(table_of(columns)).tolist() == [0, 2, 4, 1, 3, 5]
    shuffled = {name: values[[5, 0, 3, 2, 1, 4]] for name, values in columns.items()}
    assert check(table_of(shuffled)).tolist() == [1, 3, 5, 4, 2, 0]


def test_every_missing_column_is_listed() -> None:
    columns = walk()
    del columns["t_s"], columns["agent_id"]
    with pytest.raises(InputError, match=r"toy.parquet: missing columns t_s, agent_id; .*drivewm import"):
        table_of(columns)


def test_a_column_that_appears_twice_is_refused() -> None:
    table = to_arrow(walk())
    with pytest.raises(InputError, match="column x_m appears 2 times"):
        tracks_table(table.append_column("x_m", table["x_m"]), "toy.parquet")


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        table_of(walk(frames=0))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("x_m", pa.array(["1.5", "left"]), "row 1: x_m must be a number, came 'left'"),
        ("t_s", pa.array([0, 1], pa.timestamp("s")), r"column t_s must hold numbers, came timestamp\[s\]"),
        ("frame", pa.array([1.0, 1.5]), "row 1: frame must be an integer, came 1.5"),
        ("frame", pa.array([1, None]), "row 1: frame is null"),
        ("agent_id", pa.array(["a", None]), "row 1: agent_id is null"),
        ("agent_type", pa.array([1.5, 2.5]), "column agent_type must be text, came double"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(name: str, values: pa.Array, said: str) -> None:
    table = to_arrow(walk(frames=2, agents=1))
    table = table.set_column(table.column_names.index(name), name, values)
    with pytest.raises(InputError, match=f"toy.parquet: {said}"):
        tracks_table(table, "toy.parquet")


def test_text_encodings_and_number_widths_read_the_same() -> None:
    plain = to_arrow(walk(length_m=np.full(24, 0.5), width_m=np.full(24, np.nan)))
    other = plain
    for name, kind in [
        ("dataset", pa.dictionary(pa.int8(), pa.string())),
        ("agent_id", pa.large_string()),
        ("agent_type", pa.dictionary(pa.int16(), pa.string())),
        ("frame", pa.int32()),
        ("length_m", pa.float32()),
        ("x_m", pa.string()),
    ]:
        other = other.set_column(other.column_names.index(name), name, other[name].cast(kind))
    halves = pa.concat_tables([other.slice(0, 7), other.slice(7)])  # two chunks
    one, two = tracks_table(plain, "a"), tracks_table(halves, "b")
    for name in ("frame", "t_s", "x_m", "y_m", "length_m", "width_m"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for name in ("dataset", "agent_id", "agent_type"):
        left, right = getattr(one, name), getattr(two, name)
        assert left.names == right.names
        np.testing.assert_array_equal(left.code, right.code)


def test_labels_sort_as_their_text_does() -> None:
    labels = table_of(walk(frames=1, agents=3, agent_id=np.array(["b", "c", "a"]))).agent_id
    assert isinstance(labels, Labels)
    assert labels.names == ("a", "b", "c")
    assert labels.code.tolist() == [1, 2, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x_m", "y_m", "t_s"])
def test_a_value_that_is_not_finite_is_named_by_row(name: str, value: float) -> None:
    columns = walk()
    columns[name] = np.where(np.arange(24) == 17, value, columns[name])
    assert f"row 17: {name} is {value:g}, expected a finite number" in refusal(columns)


@pytest.mark.parametrize("value", [0.0, -1.5, np.inf])
def test_a_size_that_is_not_above_zero_is_refused_and_null_is_not(value: float) -> None:
    width = np.full(24, np.nan)
    check(table_of(walk(width_m=width)))
    width[3] = value
    assert f"row 3: width_m is {value:g}, expected metres above zero or null" in refusal(walk(width_m=width))


def test_an_agent_twice_in_a_frame_is_refused() -> None:
    columns = walk()
    columns["agent_id"][7] = "p0"
    assert "row 7: agent p0 is twice in frame 3 of scene street of data set toy" in refusal(columns)


def test_the_same_id_in_two_scenes_or_data_sets_is_two_agents() -> None:
    columns = walk(frames=4, agents=4, agent_id=np.full(16, "1"))
    columns["dataset"] = np.tile(["a", "a", "b", "b"], 4)
    columns["scene"] = np.tile(["s", "t", "s", "t"], 4)
    order = check(table_of(columns))
    assert order.reshape(4, 4)[:, 0].tolist() == [0, 1, 2, 3]


def test_time_that_runs_backwards_within_an_agent_is_refused() -> None:
    columns = walk(agents=1)
    columns["t_s"][5] = 1.0
    message = refusal(columns)
    assert "row 5: unsorted time: t_s is 1 at frame 5 of agent p0, expected more than the 1.6" in message


def test_two_frames_at_one_time_are_refused() -> None:
    columns = walk(agents=1)
    columns["t_s"][5] = columns["t_s"][4]
    assert "row 5: unsorted time" in refusal(columns)


def crowd(agents: int) -> dict[str, np.ndarray]:
    return walk(frames=2, agents=agents)


def test_a_frame_may_hold_a_thousand_and_twenty_four_agents_and_no_more() -> None:
    check(table_of(crowd(MAX_AGENTS_PER_FRAME)))
    message = refusal(crowd(MAX_AGENTS_PER_FRAME + 1))
    assert "row 1024: frame 0 of scene street of data set toy has 1025 agents, at most 1024" in message


def scaled(factor: float) -> dict[str, np.ndarray]:
    columns = walk()
    return {**columns, "x_m": columns["x_m"] * factor, "y_m": columns["y_m"] * factor}


@pytest.mark.parametrize("factor", [100.0, 1000.0, 30.0])
def test_pedestrians_at_absurd_speed_say_the_units_are_wrong(factor: float) -> None:
    message = refusal(scaled(factor))
    assert "scene street of data set toy has a median pedestrian speed of" in message
    assert f"{1.25 * factor:g} m/s" in message
    assert "positions must be metres; pass --scale" in message


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.001])
def test_walking_running_and_standing_people_are_in_metres(factor: float) -> None:
    check(table_of(scaled(factor)))


def test_fast_cars_and_skaters_say_nothing_about_units() -> None:
    for kind in ("car", "skater"):
        check(table_of({**scaled(10), "agent_type": np.full(24, kind)}))


def test_only_the_scene_in_other_units_is_named() -> None:
    columns = scaled(1)
    columns["scene"] = np.tile(["good", "pixels"], 12)
    columns["x_m"] = np.where(columns["scene"] == "pixels", columns["x_m"] * 40, columns["x_m"])
    assert "scene pixels of" in refusal(columns)


def jumps(x: list[float], limit: float = 15.0) -> tuple[list[int], int]:
    """The rows left out and the lasting jumps on a line of positions at 10 Hz; 2 m a step are possible."""
    rows = len(x)
    xy = np.column_stack([x, np.zeros(rows)])
    wrong, lasting = cleaning.jumps(np.zeros(rows, np.int64), np.arange(rows) * 0.1, xy, np.full(rows, limit))
    return np.flatnonzero(wrong).tolist(), lasting


@pytest.mark.parametrize(
    ("x", "left_out", "lasting"),
    [
        ([0, 0.1, 0.2, 0.3], [], 0),
        ([0, 0.1, 9.0, 0.3, 0.4], [2], 0),  # out and back
        ([0, 0.1, 9.0, 9.1, 9.2], [2], 1),  # an identity switch: believed from its second row on
        ([0, 0.1, 9.0, 20.0, 20.1], [2, 3], 1),  # the first of two jumps was never confirmed
        ([0, 0.1, 9.0, 0.3, 9.2, 9.3], [2, 4], 1),  # out, back, and out for good
        ([0, 0.1, 4.0, 8.0, 12.0], [2, 3, 4], 0),  # a slide that no row confirms
        ([0, 9, 0, 9, 0], [1, 3], 0),  # to and fro: every second row
        ([9, 0, 0.1], [1], 1),  # a bad first row: the track goes on from the third
        ([0, 1.9, 3.8], [], 0),  # 15 m/s and half a metre of error
        ([5], [], 0),
    ],
)
def test_a_jump_is_left_out_until_the_next_row_confirms_it(
    x: list[float], left_out: list[int], lasting: int
) -> None:
    assert jumps(x) == (left_out, lasting)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.5, 5.0, 9.0, 30.0]), min_size=1, max_size=12), st.integers(0, 12)
)
def test_what_is_left_out_never_depends_on_later_rows(x: list[float], seen: int) -> None:
    whole, _ = jumps(x)
    so_far, _ = jumps(x[:seen])
    assert so_far == [row for row in whole if row < seen]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.5, 5.0, 9.0, 30.0]), min_size=1, max_size=12))
def test_a_recording_leaves_out_what_the_car_leaves_out(x: list[float]) -> None:
    car = TrackHistory()
    refused = [i for i, at in enumerate(x) if not car.add(i * 0.1, (at, 0.0, 0.0), Kind.PEDESTRIAN)]
    assert jumps(x, MAX_SPEED_MPS[Kind.PEDESTRIAN])[0] == refused


def test_two_agents_beside_each_other_in_the_table_are_no_jump() -> None:
    xy = np.array([[0.0, 0], [0.1, 0], [90, 0], [0, 5], [0.1, 5]])
    agent = np.array([0, 0, 1, 2, 2])
    wrong, lasting = cleaning.jumps(agent, np.array([0, 0.1, 0, 0, 0.1]), xy, np.full(5, 15.0))
    assert not wrong.any()
    assert lasting == 0


def test_only_the_agent_that_jumps_loses_a_row() -> None:
    x = np.array([[0.0, 0.1, 0.2], [0.0, 50.0, 0.2], [7.0, 7.1, 7.2], [0.0, 50.0, 50.1]])
    agent = np.repeat(np.arange(4), 3)
    xy = np.column_stack([x.ravel(), np.zeros(12)])
    wrong, lasting = cleaning.jumps(agent, np.tile([0, 0.1, 0.2], 4), xy, np.full(12, 15.0))
    assert np.flatnonzero(wrong).tolist() == [4, 10]
    assert lasting == 1


@pytest.mark.parametrize("change", [lambda c: c, lambda c: {n: v[::-1] for n, v in c.items()}])
def test_the_order_of_rows_in_the_file_does_not_decide_what_is_refused(
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
) -> None:
    check(table_of(change(walk())))
    assert "median pedestrian speed" in refusal(change(scaled(100)))
