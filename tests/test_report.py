"""The page and the picture say what the frames hold, and nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_road_map, make_tracks

from drivewm.errors import InputError
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, LineKind, RoadMap
from drivewm_eval.animation import write_animation
from drivewm_eval.draw import (
    ReportFrame,
    box_corners,
    crosswalk_stripes,
    ellipse,
    extent,
    mode_opacity,
    roadway_probability,
)
from drivewm_eval.report import Report, write_report

HORIZONS = np.asarray(TimeGrid().horizons)
UTM = (534_200.25, 5_211_900.5)


def make_frames(
    count: int = 3, agents: int = 2, origin: tuple[float, float] = (0.0, 0.0)
) -> list[ReportFrame]:
    """Pedestrians walking east at 1 m/s, a frame every 0.1 s; mode 0 goes on, mode 1 stays."""
    frames = []
    for step in range(count):
        tracks = make_tracks(agents=agents, speed=1.0, origin=(origin[0] + 0.1 * step, origin[1]))
        now = tracks.position[:, 0]
        on = now[:, None] + HORIZONS[:, None] * np.array([1.0, 0.0])
        modes = np.stack([on, np.broadcast_to(now[:, None], on.shape)])
        covariance = np.broadcast_to(np.diag([0.25, 0.04]), (*modes.shape, 2))
        forecast = Forecast(
            t_s=0.1 * step,
            ids=tracks.ids,
            kind=tracks.kind,
            valid=np.ones(agents, bool),
            horizon=HORIZONS,
            position=modes,
            covariance=covariance,
            mode_probability=np.array([0.7, 0.3]),
            marginal_position=modes[::-1],
            marginal_covariance=covariance,
            marginal_probability=np.tile([[0.4], [0.6]], agents),
            source=("model",) * agents,
        )
        known = np.ones(on.shape[:2], bool)
        frame = ReportFrame(
            t_s=0.1 * step,
            tracks=tracks,
            forecast=forecast,
            constant_velocity=on,
            future=on,
            future_valid=known,
        )
        frames.append(frame)
    return frames


def make_report(frames: list[ReportFrame], **changes: Any) -> Report:
    shown: dict[str, Any] = {
        "title": "A street",
        "summary": "Two people walk.",
        "frames": frames,
        "road_map": make_road_map(),
        "metrics": {"model": {"ADE, m": 0.2, "cover": 0.5}, "constant velocity": {"ADE, m": 0.4}},
        "better": {"ADE, m": "low"},
        "made": {"Seed": "7"},
        "limits": "One street.",
    }
    return Report(**{**shown, **changes})


def page_of(tmp_path: Path, report: Report) -> str:
    write_report(tmp_path / "report.html", report)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """The scene a browser would read from the page."""
    found = re.search(r'<script type="application/json" id="scene-data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def metres(path: list[int], data: dict[str, Any]) -> np.ndarray:
    """Undoes the page's encoding: first point and steps in centimetres from an origin."""
    return np.cumsum(np.reshape(path, (-1, 2)), axis=0) / 100 + data["origin"]


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("origin", [(0.0, 0.0), UTM])
def test_the_page_holds_every_position_to_the_centimetre(tmp_path: Path, origin: tuple[float, float]) -> None:
    frames = make_frames(origin=origin)
    data = data_of(page_of(tmp_path, make_report(frames, road_map=RoadMap.empty())))
    assert [frame["t"] for frame in data["frames"]] == [0.0, 0.1, 0.2]
    for frame, stored in zip(frames, data["frames"], strict=True):
        assert frame.forecast is not None
        assert frame.future is not None
        for row in range(2):
            agent = stored["forecast"]["agents"][row]
            now = np.asarray(stored["xy"][row]) / 100 + data["origin"]
            np.testing.assert_allclose(now, frame.tracks.position[row, 0], atol=0.0051)
            np.testing.assert_allclose(
                metres(stored["trail"][row], data), frame.tracks.position[row], atol=0.0051
            )
            np.testing.assert_allclose(metres(stored["future"][row], data), frame.future[row], atol=0.0051)
            for mode in range(2):
                expected = frame.forecast.position[mode, row]
                np.testing.assert_allclose(metres(agent["joint"][mode], data), expected, atol=0.0051)
            assert stored["speed"] == [100, 100]
        assert stored["forecast"]["probability"] == [700, 300]


def test_marginal_candidates_come_most_probable_first(tmp_path: Path) -> None:
    data = data_of(page_of(tmp_path, make_report(make_frames(1))))
    agent = data["frames"][0]["forecast"]["agents"][1]
    assert agent["chance"] == [600, 400]
    assert metres(agent["marginal"][0], data)[-1] == pytest.approx([4.8, 2.0])
    assert metres(agent["marginal"][1], data)[-1] == pytest.approx([0.0, 2.0])


def test_the_unknown_future_and_unseen_agents_are_left_out(tmp_path: Path) -> None:
    frame = make_frames(1)[0]
    assert frame.future_valid is not None
    frame.future_valid[0, 5:] = False
    frame.tracks.valid[1, 0] = False
    frame.tracks.pose[1, 0] = frame.tracks.velocity[1, 0] = 0.0
    data = data_of(page_of(tmp_path, make_report([frame])))
    assert [agent["id"] for agent in data["agents"]] == ["0"]
    assert metres(data["frames"][0]["future"][0], data).shape == (5, 2)


def test_an_agent_the_forecast_leaves_out_has_none(tmp_path: Path) -> None:
    frame = make_frames(1)[0]
    assert frame.forecast is not None
    frame.forecast.valid[0] = False
    agents = data_of(page_of(tmp_path, make_report([frame])))["frames"][0]["forecast"]["agents"]
    assert agents[0] is None
    assert agents[1]["source"] == "model"


def test_no_text_can_become_script_or_markup(tmp_path: Path) -> None:
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>{{data}}&amp;\u2028'
    frame = make_frames(1)[0]
    object.__setattr__(frame.tracks, "ids", (evil, "1"))
    object.__setattr__(frame, "notes", (evil, ""))
    page = page_of(
        tmp_path,
        make_report(
            [frame], title=evil, summary=evil, metrics={evil: {evil: 1.0}}, made={evil: evil}, limits=evil
        ),
    )
    plain = page_of(tmp_path, make_report(make_frames(1), metrics={"a": {"b": 1.0}}))
    assert [tag for tag, _ in Elements(page).tags] == [tag for tag, _ in Elements(plain).tags]
    data = data_of(page)
    assert data["agents"][0]["id"] == evil
    assert data["frames"][0]["note"] == [evil, ""]


def test_the_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_report(make_frames()))
    elements = Elements(page).tags
    assert not [attrs for _, attrs in elements if {"src", "href", "srcset", "data", "action"} & set(attrs)]
    assert not re.search(r"https?:|@import|url\(", page)
    policy = [attrs["content"] for tag, attrs in elements if tag == "meta" and "http-equiv" in attrs]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_the_table_marks_the_best_and_shows_a_dash_for_what_is_missing(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_report(make_frames(1)))
    assert '<th scope="row">model</th><td class="best">0.200</td><td>0.500</td>' in page
    assert '<th scope="row">constant velocity</th><td>0.400</td><td>–</td>' in page


def test_nothing_to_show_is_a_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one frame"):
        write_report(tmp_path / "report.html", make_report([]))
    with pytest.raises(InputError, match="at least one frame"):
        write_animation(tmp_path / "scene.gif", [], RoadMap.empty())
    assert list(tmp_path.iterdir()) == []


def test_a_frame_refuses_futures_of_another_number_of_agents() -> None:
    with pytest.raises(ValueError, match="constant_velocity must have one row for each of 2 agents, got 3"):
        ReportFrame(t_s=0.0, tracks=make_tracks(agents=2), constant_velocity=np.zeros((3, 12, 2)))


def test_the_animation_has_an_image_a_frame_and_a_moving_person(tmp_path: Path) -> None:
    from PIL import Image

    write_animation(tmp_path / "scene.gif", make_frames(5), make_road_map(), fps=10.0, width=320)
    with Image.open(tmp_path / "scene.gif") as image:
        assert (image.n_frames, image.size, image.info["duration"]) == (5, (320, 180), 100)
        first = np.asarray(image.convert("RGB"), int)
        image.seek(4)
        last = np.asarray(image.convert("RGB"), int)
    clock = 30  # rows at the top in which only the time changes
    assert np.abs(first - last)[clock:].max() > 100
    assert [path.name for path in tmp_path.iterdir()] == ["scene.gif"]


def test_a_crosswalk_seven_metres_wide_has_seven_bars_along_the_lane() -> None:
    stripes = crosswalk_stripes(make_road_map())
    assert len(stripes) == 7
    spans = np.array([stripe.max(axis=0) - stripe.min(axis=0) for stripe in stripes])
    np.testing.assert_allclose(spans, [[4.0, 0.5]] * 7, atol=1e-9)
    middles = sorted(float(stripe[:, 1].mean()) for stripe in stripes)
    np.testing.assert_allclose(middles, [-3, -2, -1, 0, 1, 2, 3], atol=1e-9)


def test_a_crosswalk_of_two_points_is_three_metres_wide() -> None:
    line = RoadMap(
        points=np.array([[[0.0, -3.0], [0.0, 3.0]]]),
        valid=np.ones((1, 2), bool),
        kind=np.array([int(LineKind.CROSSWALK)]),
    )
    spans = np.array([np.ptp(stripe, axis=0) for stripe in crosswalk_stripes(line)])
    np.testing.assert_allclose(spans, [[3.0, 0.5]] * 6, atol=1e-9)


def test_a_car_facing_north_is_as_long_as_it_is_north_to_south() -> None:
    corners = box_corners(np.array([10.0, 20.0, np.pi / 2]), np.array([4.0, 2.0]))
    np.testing.assert_allclose(corners, [[9, 22], [11, 22], [11, 18], [9, 18]], atol=1e-9)


def test_the_ellipse_of_a_gaussian_holds_ninety_percent_of_its_draws() -> None:
    covariance = np.array([[2.0, 0.9], [0.9, 0.8]])
    major, minor, angle = ellipse(covariance)
    draws = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 20_000)
    c, s = np.cos(angle), np.sin(angle)
    along, across = draws @ [c, s], draws @ [-s, c]
    assert major > minor
    assert np.mean((along / major) ** 2 + (across / minor) ** 2 <= 1) == pytest.approx(0.9, abs=0.01)


def test_more_probable_modes_are_drawn_more_strongly() -> None:
    np.testing.assert_allclose(mode_opacity(np.array([0.5, 0.25, 0.0])), [0.9, 0.51, 0.12])


def test_the_roadway_probability_is_that_of_the_modes_that_enter_a_lane() -> None:
    """Agent 0 stands 4 m from the road's middle and steps into it in the mode of probability 0.3 only."""
    frame = make_frames(1)[0]
    assert frame.forecast is not None
    position = np.zeros_like(frame.forecast.position)
    position[..., 1] = 4.0
    position[1, 0, 8:, 1] = 3.0
    object.__setattr__(frame.forecast, "position", position)
    inside = roadway_probability(frame.forecast, make_road_map())
    assert inside is not None
    np.testing.assert_allclose(inside, [0.3, 0.0])
    assert roadway_probability(frame.forecast, RoadMap.empty()) is None


def test_the_view_holds_people_and_ego_but_not_a_distant_car() -> None:
    car = make_tracks(agents=1, kind=Kind.VEHICLE, origin=(500.0, 0.0))
    frames = [ReportFrame(t_s=0.0, tracks=make_tracks(agents=2)), ReportFrame(t_s=0.1, tracks=car)]
    np.testing.assert_allclose(extent(frames, RoadMap.empty()), [-15.0, -8.0, 15.0, 10.0])
    assert extent([ReportFrame(t_s=0.1, tracks=car, ego_id="0")], RoadMap.empty())[2] > 500.0


def test_a_crowd_along_a_long_street_is_shown_about_its_crosswalk() -> None:
    crowd = make_tracks(agents=100, heading=-np.pi / 2, origin=(-150.0, 0.0), spacing=3.0)
    view = extent([ReportFrame(t_s=0.0, tracks=crowd)], make_road_map())
    np.testing.assert_allclose(view, [10.0 - 40.0, -8.0, 10.0 + 40.0, 8.0], atol=1e-9)
