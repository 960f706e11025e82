"""Episodes at rest: what is written is read back, and what was changed is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm.errors import InputError
from drivewm.types import LineKind, RoadMap
from drivewm_datasets.columns import hash_columns, read_columns, write_columns
from drivewm_datasets.episode import (
    Branches,
    Episode,
    parent_hash,
    read_branches,
    read_episode,
    read_road_map,
    verify_episode,
    write_episode,
)
from drivewm_datasets.store import read_recordings


def make_episode(frames: int = 25, agents: int = 3) -> Episode:
    """`agents` people walk east at 1, 2, 3, ... m/s, seen at 10 Hz; the last drives the ego car."""
    frame = np.repeat(np.arange(frames), agents)
    who = np.tile(np.arange(agents), frames)
    types = np.where(who == agents - 1, "ego_vehicle", "pedestrian")
    truth = {
        "frame": frame,
        "t_s": frame * 0.1,
        "agent_id": np.array([f"a{w}" for w in who]),
        "agent_type": types,
        "x_m": (who + 1) * frame * 0.1,
        "y_m": 3.0 * who,
        "z_m": np.zeros(len(frame)),
        "length_m": np.where(types == "pedestrian", np.nan, 4.5),
        "width_m": np.where(types == "pedestrian", np.nan, 1.9),
        "intent": np.where(frame < 5, "wait", "cross"),
    }
    return Episode(
        dataset="toy",
        scene="street",
        truth=truth,
        perceived={name: values[::2] for name, values in truth.items()},
        frames={
            "frame": np.arange(frames),
            "t_s": np.arange(frames) * 0.1,
            "bev": np.random.default_rng(0).integers(0, 255, (frames, 2, 4, 3)).astype(np.uint8),
            "ego_speed_mps": np.full(frames, 3.0),
        },
        road_map=RoadMap(
            points=np.array([[[0.0, 0], [10, 0], [0, 0]], [[0, 5], [5, 5], [9, 6]]]),
            valid=np.array([[True, True, False], [True, True, True]]),
            kind=np.array([LineKind.LANE_CENTER, LineKind.CROSSWALK]),
        ),
        ego_id=f"a{agents - 1}",
        provenance={"seed": 7, "version": "0.1.0", "host": "here", "wall_time_s": 1.5},
    )


def test_an_episode_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    episode = make_episode()
    write_episode(tmp_path / "e", episode)
    again = read_episode(tmp_path / "e")
    for table in ("truth", "perceived", "frames"):
        wrote, read = getattr(episode, table), getattr(again, table)
        assert list(wrote) == list(read)
        for name in wrote:
            np.testing.assert_array_equal(read[name], wrote[name])
            assert read[name].dtype.kind == wrote[name].dtype.kind
    assert (again.dataset, again.scene, again.ego_id) == ("toy", "street", "a2")
    assert again.provenance == episode.provenance
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]  # no draft is left


def test_the_road_map_is_read_back_without_its_padding(tmp_path: Path) -> None:
    episode = make_episode()
    wide = replace(
        episode.road_map,
        points=np.pad(episode.road_map.points, ((0, 1), (0, 4), (0, 0))),
        valid=np.pad(episode.road_map.valid, ((0, 1), (0, 4))),
        kind=np.append(episode.road_map.kind, 0),
        elevation=np.pad(np.full((2, 3), 2.5), ((0, 1), (0, 4))),
    )
    write_episode(tmp_path / "e", replace(episode, road_map=wide))
    read = read_road_map(tmp_path / "e")
    np.testing.assert_array_equal(read.points, episode.road_map.points)
    np.testing.assert_array_equal(read.valid, episode.road_map.valid)
    assert read.kind.tolist() == [LineKind.LANE_CENTER, LineKind.CROSSWALK]
    assert read.elevation is not None
    assert read.elevation[read.valid].tolist() == [2.5] * 5


def branched_episode() -> Episode:
    """Two branches from frame 10, in each of which one agent goes on for three frames."""
    rows = {
        "branch": np.repeat([0, 1], 3),
        "moment_frame": np.full(6, 10),
        "plan": np.repeat(["keep", "brake"], 3),
    }
    after, commands = np.tile([11, 12, 13], 2), np.tile([10, 11, 12], 2)
    tracks = {
        **rows,
        "frame": after,
        "t_s": 0.1 * after,
        "agent_id": np.full(6, "a2"),
        "agent_type": np.full(6, "ego_vehicle"),
        "x_m": 0.3 * after,
        "y_m": np.zeros(6),
    }
    frames = {**rows, "frame": commands, "t_s": 0.1 * commands, "ego_acceleration_mps2": np.zeros(6)}
    return replace(make_episode(), branches=Branches(tracks=tracks, frames=frames))


def test_branches_are_read_back_and_hashed_and_leave_the_parents_tables_alone(tmp_path: Path) -> None:
    plain = write_episode(tmp_path / "plain", make_episode())
    digest = write_episode(tmp_path / "e", branched_episode())
    assert verify_episode(tmp_path / "e") == digest != plain
    assert parent_hash(tmp_path / "e") == plain
    wrote, read = branched_episode().branches, read_branches(tmp_path / "e")
    assert wrote is not None
    assert read is not None
    assert read.count == 2
    for table in ("tracks", "frames"):
        for name, values in getattr(wrote, table).items():
            np.testing.assert_array_equal(getattr(read, table)[name], values)
    assert read_branches(tmp_path / "plain") is None
    (recording,) = read_recordings(tmp_path / "e")  # branches are no rows of the recording
    assert len(recording.xy) == 75


def test_a_row_group_of_branches_is_a_branch(tmp_path: Path) -> None:
    write_episode(tmp_path / "e", branched_episode())
    metadata = pq.ParquetFile(tmp_path / "e" / "branches.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 3]


@pytest.mark.parametrize(
    ("table", "column", "values", "said"),
    [
        ("tracks", "frame", np.tile([10, 11, 12], 2), "row 0 lies before the branch departs"),
        ("tracks", "branch", np.repeat([1, 0], 3), "rows must be in order of branch"),
        ("frames", "t_s", np.tile([1.2, 1.1, 1.0], 2), "rows must be in order of branch and time"),
        ("frames", "plan", None, "branch_frames lacks the columns plan"),
    ],
)
def test_branches_that_break_the_contract_are_the_writers_error(
    tmp_path: Path, table: str, column: str, values: np.ndarray | None, said: str
) -> None:
    episode = branched_episode()
    assert episode.branches is not None
    columns = {k: v for k, v in getattr(episode.branches, table).items() if k != column}
    changed = columns if values is None else columns | {column: values}
    with pytest.raises(ValueError, match=said):
        write_episode(
            tmp_path / "e", replace(episode, branches=replace(episode.branches, **{table: changed}))
        )


def test_damaged_branches_are_named(tmp_path: Path) -> None:
    write_episode(tmp_path / "e", branched_episode())
    columns = read_columns(tmp_path / "e" / "branches.parquet")
    columns["plan"][0] = "fly"
    write_columns(tmp_path / "e" / "branches.parquet", columns)
    with pytest.raises(InputError, match=r"e: branches\.parquet has content hash"):
        verify_episode(tmp_path / "e")
    (tmp_path / "e" / "branch_frames.parquet").unlink()
    with pytest.raises(InputError, match=r"e: (branches|branch_frames)\.parquet"):
        read_branches(tmp_path / "e")


def test_an_empty_map_and_an_empty_perceived_table_are_an_episode(tmp_path: Path) -> None:
    episode = make_episode()
    blind = {name: values[:0] for name, values in episode.perceived.items()}
    digest = write_episode(tmp_path / "e", replace(episode, perceived=blind, road_map=RoadMap.empty()))
    assert verify_episode(tmp_path / "e") == digest
    assert len(read_road_map(tmp_path / "e").kind) == 0


def test_the_hash_is_of_what_happened_not_of_when_and_where(tmp_path: Path) -> None:
    episode = make_episode()
    first = write_episode(tmp_path / "a", episode)
    elsewhere = {**episode.provenance, "host": "there", "wall_time_s": 99.0, "created_at": "2030-01-01"}
    assert write_episode(tmp_path / "b", replace(episode, provenance=elsewhere)) == first
    assert write_episode(tmp_path / "b", episode) == first  # written over
    assert write_episode(tmp_path / "c", replace(episode, provenance={**elsewhere, "seed": 8})) != first


def test_the_callers_number_types_do_not_change_the_hash(tmp_path: Path) -> None:
    episode = make_episode()
    truth = {**episode.truth, "frame": episode.truth["frame"].astype(np.int32)}
    truth["agent_id"] = truth["agent_id"].astype(object)
    first = write_episode(tmp_path / "a", episode)
    assert write_episode(tmp_path / "b", replace(episode, truth=truth)) == first


@pytest.mark.parametrize("table", ["truth", "perceived", "frames"])
def test_one_changed_value_changes_the_hash(tmp_path: Path, table: str) -> None:
    episode = make_episode()
    columns = {name: values.copy() for name, values in getattr(episode, table).items()}
    name = "ego_speed_mps" if table == "frames" else "x_m"
    columns[name][-1] = np.nextafter(columns[name][-1], np.inf)
    changed = replace(episode, **{table: columns})
    assert write_episode(tmp_path / "a", episode) != write_episode(tmp_path / "b", changed)


def test_a_moved_map_point_changes_the_hash(tmp_path: Path) -> None:
    episode = make_episode()
    moved = replace(episode.road_map, points=episode.road_map.points + 0.1)
    first = write_episode(tmp_path / "a", episode)
    assert write_episode(tmp_path / "b", replace(episode, road_map=moved)) != first


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(width=64), st.just(float("nan"))), min_size=1, max_size=30),
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4), min_size=30, max_size=30
    ),
    group=st.integers(1, 31),
)
def test_row_groups_and_compression_do_not_change_the_hash(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], names: list[str], group: int
) -> None:
    folder = tmp_path_factory.mktemp("hash")
    text = np.array(names[: len(values)], dtype=object)
    columns = {"x": np.array(values), "name": text, "n": np.arange(len(values), dtype=np.int32)}
    write_columns(folder / "a.parquet", columns)
    table = pq.read_table(folder / "a.parquet")
    pq.write_table(
        table.select(["n", "x", "name"]), folder / "b.parquet", row_group_size=group, compression="gzip"
    )
    expected = hash_columns(columns)
    assert hash_columns(read_columns(folder / "a.parquet")) == expected
    assert hash_columns(read_columns(folder / "b.parquet")) == expected


def test_moving_a_character_between_two_texts_changes_the_hash() -> None:
    assert hash_columns({"a": np.array(["ab", "c"])}) != hash_columns({"a": np.array(["a", "bc"])})


def test_a_row_group_is_a_second_and_each_file_is_a_tracks_table_by_itself(tmp_path: Path) -> None:
    write_episode(tmp_path / "e", make_episode(frames=25, agents=3))
    file = pq.ParquetFile(tmp_path / "e" / "truth.parquet")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert groups == [30, 30, 15]  # 10, 10 and 5 frames of 3 agents
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert set(file.read()["scene"].to_pylist()) == {"street"}


def test_an_unknown_size_is_null_to_other_programs(tmp_path: Path) -> None:
    write_episode(tmp_path / "e", make_episode(frames=2, agents=2))
    lengths = pq.ParquetFile(tmp_path / "e" / "truth.parquet").read()["length_m"]
    assert lengths.to_pylist() == [None, 4.5, None, 4.5]


def test_a_recording_of_an_episode_has_its_map_and_its_ego(tmp_path: Path) -> None:
    write_episode(tmp_path / "run" / "e0", make_episode())
    (recording,) = read_recordings(tmp_path / "run")
    assert recording.ego_id == "a2"
    assert recording.road_map.kind.tolist() == [LineKind.LANE_CENTER, LineKind.CROSSWALK]
    assert recording.source == tmp_path / "run" / "e0"
    assert recording.agent_ids == ("a0", "a1", "a2")
    assert recording.xy[recording.agent == 1][10].tolist() == [2.0, 3.0]  # 2 m/s for 1 s


def damage_truth(folder: Path) -> None:
    columns = read_columns(folder / "truth.parquet")
    columns["x_m"] = columns["x_m"] + 1e-9
    write_columns(folder / "truth.parquet", columns)


def cut_frames(folder: Path) -> None:
    file = folder / "frames.parquet"
    file.write_bytes(file.read_bytes()[:-40])


def lose_map(folder: Path) -> None:
    (folder / "map.parquet").unlink()


def lose_description(folder: Path) -> None:
    (folder / "episode.json").unlink()


def edit_seed(folder: Path) -> None:
    file = folder / "episode.json"
    file.write_text(file.read_text().replace('"seed": 7', '"seed": 8'))


def spoil_description(folder: Path) -> None:
    (folder / "episode.json").write_text("{")


def rename_scene(folder: Path) -> None:
    columns = read_columns(folder / "perceived.parquet")
    columns["scene"][:] = "avenue"
    write_columns(folder / "perceived.parquet", columns)


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (damage_truth, "truth.parquet"),
        (cut_frames, "frames.parquet"),
        (lose_map, "map.parquet"),
        (lose_description, "episode.json"),
        (edit_seed, "episode.json"),
        (spoil_description, "episode.json"),
        (rename_scene, "perceived.parquet"),
    ],
)
def test_a_damaged_episode_is_named(tmp_path: Path, harm: object, named: str) -> None:
    folder = tmp_path / "episode_0007"
    write_episode(folder, make_episode())
    harm(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=rf"episode_0007.*{named}.*collect") as caught:
        verify_episode(folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_episode_is_refused_or_skipped_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_episode(tmp_path / "good", make_episode())
    write_episode(tmp_path / "lost", replace(make_episode(), scene="other"))
    lose_description(tmp_path / "lost")
    with pytest.raises(InputError, match="lost"):
        read_recordings(tmp_path)
    assert [r.scene for r in read_recordings(tmp_path, damaged="skip")] == ["street"]
    assert "lost" in caplog.text


def test_an_episode_of_another_schema_says_which_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "episode_0007"
    write_episode(folder, make_episode())
    about = json.loads((folder / "episode.json").read_text())
    (folder / "episode.json").write_text(json.dumps({**about, "schema": 3}))
    with pytest.raises(InputError, match="episode_0007 has episode schema 3, this version reads 1"):
        read_episode(folder)


def test_another_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="papers exists and is no episode"):
        write_episode(tmp_path / "papers", make_episode())
    assert (tmp_path / "papers" / "thesis.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_episode_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write_episode(tmp_path / "e", make_episode())

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(pa.parquet.ParquetWriter, "write_table", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_episode(tmp_path / "e", make_episode(frames=3))
    monkeypatch.undo()
    assert verify_episode(tmp_path / "e") == digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


def test_rows_out_of_time_are_the_writers_error(tmp_path: Path) -> None:
    episode = make_episode()
    backwards = {name: values[::-1] for name, values in episode.truth.items()}
    with pytest.raises(ValueError, match="truth: rows must be in order of time"):
        write_episode(tmp_path / "e", replace(episode, truth=backwards))
    assert not list(tmp_path.iterdir())
