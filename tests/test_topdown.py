"""The street from above: what is drawn is where it should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_road_map
from street import recording

from drivewm.errors import InputError
from drivewm.types import Kind
from drivewm_eval.animation import EGO, PAINT
from drivewm_eval.topdown import (
    INTENT_PAINT,
    moments_of_frames,
    moments_of_recording,
    write_film,
    write_sheet,
)
from drivewm_sim.simulator import AGENT_TYPES, Agents, Frame, Intent

Image = pytest.importorskip("PIL.Image")

VIEW = np.array([-16.0, -9.0, 16.0, 9.0])


def frames(count: int = 5) -> list[Frame]:
    """The ego along x in the right lane, and somebody who crosses at x = 10 m."""
    out = []
    for index in range(count):
        t_s = 0.1 * index
        agents = Agents(
            uid=np.array([1, 7]),
            kind=np.array([int(Kind.VEHICLE), int(Kind.PEDESTRIAN)]),
            type=np.array([AGENT_TYPES.index("car"), AGENT_TYPES.index("pedestrian")]),
            pose=np.array([[5 * t_s - 8, -1.75, 0], [10, t_s, np.pi / 2]]),
            velocity=np.array([[5.0, 0.0], [0.0, 1.0]]),
            elevation=np.zeros(2),
            size=np.array([[4.5, 1.9], [0.5, 0.5]]),
            height=np.array([1.5, 1.7]),
            truth_uid=np.array([1, 7]),
            intent=np.array([int(Intent.DRIVING), int(Intent.CROSSING)]),
            age=np.zeros(2, np.int64),
        )
        out.append(Frame(index=index, time_s=t_s, ego_uid=1, truth=agents, perceived=agents))
    return out


def pixel(path: Path, x: float, y: float, width: int = 800) -> tuple[int, int, int]:
    """The colour of the first image of a sheet at a place of the street, seen through VIEW."""
    scale = width / 32.0
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((round((x + 16) * scale), round((9 - y) * scale)))


def near(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= 12


def test_agents_are_drawn_where_they_are_in_the_colour_of_what_they_do(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    write_sheet(path, moments_of_frames(frames(1)), make_road_map(), columns=1, width=800, view=VIEW)
    assert near(pixel(path, -9.5, -1.75), EGO)
    assert near(pixel(path, 10.0, 0.0), INTENT_PAINT["crossing"])
    assert not near(pixel(path, -9.5, 1.75), EGO)


def test_a_recording_without_intents_shows_people_in_the_colour_of_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    seen = recording(tmp_path, agents=1, speed=0.0, hz=10.0)
    write_sheet(path, moments_of_recording(seen), seen.road_map, columns=1, width=800, view=VIEW)
    assert near(pixel(path, 0.0, 0.0), PAINT[int(Kind.PEDESTRIAN)])


def test_trails_reach_two_seconds_back_and_no_further() -> None:
    (moment,) = moments_of_frames(frames(31))[-1:]
    assert moment.tracks.times.min() == pytest.approx(-2.0)
    assert moment.tracks.position[0, -1] == pytest.approx([5 * 1.0 - 8, -1.75])


def test_a_recording_and_its_frames_have_the_same_trail(tmp_path: Path) -> None:
    seen = recording(tmp_path, agents=2, hz=10.0, seconds=4)
    moment = moments_of_recording(seen, every=1.0)[-1]
    assert moment.t_s == pytest.approx(4.0)
    assert moment.tracks.position[0, -1] == pytest.approx([1.2 * 2.0, 0.0])


def test_a_sheet_holds_every_moment_and_a_film_every_frame(tmp_path: Path) -> None:
    moments = moments_of_frames(frames(5))
    write_sheet(tmp_path / "a.png", moments, make_road_map(), columns=2, width=320)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (2 * 320 + 4, 3 * 180 + 2 * 4)
    write_film(tmp_path / "a.gif", moments, make_road_map(), width=320, around="7", reach=10, ids=True)
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.n_frames, film.size) == (5, (320, 180))


def test_no_moment_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one moment"):
        write_sheet(tmp_path / "a.png", [], make_road_map())
