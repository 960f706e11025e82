"""The page of the evaluation rooms: its figures, the choice of its cases, and what stands on it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_road_map
from drives import EGO, cast, crossed_before, drive, path
from hypothesis import given
from hypothesis import strategies as st
from street import write_scenes
from toy_street import make_episode

from drivewm.baselines import baseline_forecast
from drivewm.cli import main
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import moment_at
from drivewm_datasets.episode import write_episode
from drivewm_eval import error_curves, motion_page
from drivewm_eval.case_drawing import HIGH, WIDE, Pen, case_svg, view_of
from drivewm_eval.error_curves import FAN, MODEL_JOINT, MODEL_LIKELY, STRAIGHT, ErrorCurves, GroupErrors
from drivewm_eval.line_chart import line_chart_svg
from drivewm_eval.motion import BASELINES, INTERACTING, motion
from drivewm_eval.motion_record import MotionRecord
from drivewm_eval.room_report import write_room_report
from drivewm_eval.room_tables import flat, is_about_nobody
from drivewm_eval.rooms import Subject, examine, subject_of
from drivewm_eval.worst_cases import Case, worst

GRID = TimeGrid()
HORIZON = np.asarray(GRID.horizons)
FRAMES = 80
EAST, NORTH = np.array([2.0, 0.0]), np.array([0.0, 1.0])


def street(scenario: str = "street", scene: str = "made") -> Drive:
    """The ego stands; one crosses evenly before it, another walks far away at 1 m/s and stops at 3 s."""
    made = crossed_before(FRAMES, make_road_map())
    return replace(made, scenario=scenario, scene=scene)


def beside(scenes: list[Scene]) -> list[Forecast]:
    """A model by hand of two joint modes: 2 m east of constant velocity (0.7), 1 m north of it (0.3).

    The candidates are the same the other way round, the northern one with probability 0.8.
    """
    out = []
    for scene in scenes:
        straight = baseline_forecast("cv", scene, GRID)
        path = np.concatenate([straight.position + EAST, straight.position + NORTH])
        covariance = np.repeat(straight.covariance, 2, axis=0)
        agents = scene.tracks.agents
        out.append(
            replace(
                straight,
                position=path,
                covariance=covariance,
                mode_probability=np.array([0.7, 0.3]),
                marginal_position=path[::-1],
                marginal_covariance=np.full_like(covariance, 1e-4) * np.eye(2),
                marginal_probability=np.repeat([[0.8], [0.2]], agents, axis=1),
                without=("map", "plan"),
            )
        )
    return out


def watched(drives: list[Drive]) -> tuple[dict[str, Any], MotionRecord]:
    record = MotionRecord()
    return motion(drives, beside, GRID, watcher=record), record


# ---- errors by horizon and situation


def test_the_curves_of_a_forecast_by_hand_are_its_errors() -> None:
    """Who walks evenly is missed by 1 m at every step in the northern mode, by 0 at constant velocity."""
    _, record = watched([street()])
    lines = record.curves.by_horizon(INTERACTING)
    assert list(lines) == [MODEL_JOINT, MODEL_LIKELY, STRAIGHT, FAN]
    for line, metres in ((MODEL_JOINT, 1.0), (MODEL_LIKELY, 1.0), (STRAIGHT, 0.0), (FAN, 0.0)):
        np.testing.assert_allclose(lines[line], np.full(len(HORIZON), metres), atol=1e-6)


def test_the_error_of_who_stops_grows_with_the_horizon() -> None:
    """At 2.2 s it goes at 1 m/s and stops at 3 s: constant velocity is off by h - 0.8 m from there on."""
    made = street()
    moment = moment_at(made, 22, GRID)
    said = {name: baseline_forecast(name, moment.scene, GRID) for name in BASELINES}
    (found,) = (e for e in error_curves.group_errors(moment, said) if e.group == "pedestrians")
    assert found.mode is None, "there was no model"
    far = moment.scene.tracks.ids.index("far")
    error = found.by_line[STRAIGHT][found.rows.tolist().index(far)]
    np.testing.assert_allclose(error, np.maximum(HORIZON - 0.8, 0.0), atol=1e-6)


def test_curves_and_situations_are_parts_of_the_figures_of_the_room() -> None:
    """Steps averaged, the curves are the table's ADE; situations weighed by agents are the curves."""
    drives = [street(), street("jaywalk", "other")]
    drives[1] = replace(drives[1], true=drives[0].true, seen=drives[0].seen)
    found, record = watched(drives)
    assert found["pedestrians"]["model"]["joint_min_ade"] > 0.3
    for group in record.curves.groups():
        lines = record.curves.by_horizon(group)
        situations = record.curves.by_situation(group)
        table = found[group]
        assert lines[MODEL_JOINT].mean() == pytest.approx(table["model"]["joint_min_ade"])
        assert lines[MODEL_LIKELY].mean() == pytest.approx(table["model"]["top1_ade"])
        assert lines[MODEL_LIKELY][-1] == pytest.approx(table["model"]["top1_fde"])
        assert lines[STRAIGHT].mean() == pytest.approx(table["cv"]["joint_min_ade"])
        assert lines[FAN].mean() == pytest.approx(table["fan"]["joint_min_ade"])
        assert sum(s.agents for s in situations.values()) == table["model"]["agents"]
        assert {name: s.drives for name, s in situations.items()} == {"street": 1, "jaywalk": 1}


def test_a_situation_is_the_mean_over_its_own_agents() -> None:
    curves = ErrorCurves()
    for situation, number, error in (
        ("street", 0, [[1.0, 3.0]]),
        ("street", 1, [[3.0, 5.0], [2.0, 4.0]]),
        ("jaywalk", 2, [[8.0, 8.0]]),
    ):
        errors = GroupErrors(
            group="people", rows=np.arange(len(error)), by_line={STRAIGHT: np.array(error)}, mode=None
        )
        curves.add(situation, number, errors)
    found = curves.by_situation("people")
    assert list(found) == ["street", "jaywalk"]
    assert (found["street"].ade[STRAIGHT], found["street"].agents, found["street"].drives) == (3.0, 3, 2)
    assert (found["jaywalk"].ade[STRAIGHT], found["jaywalk"].agents) == (8.0, 1)
    np.testing.assert_allclose(curves.by_horizon("people")[STRAIGHT], [3.5, 5.0])


# ---- the worst cases


def case(drive: int, who: int, joint: float, frame: int = 0) -> Case:
    return Case(drive=drive, frame=frame, row=who, who=who, mode=0, joint=joint, likely=0.0, straight=0.0)


def test_of_a_drive_at_most_two_people_are_drawn_each_at_the_worst_moment() -> None:
    given_cases = [
        case(0, who=1, joint=9.0),
        case(0, who=1, joint=8.0, frame=10),  # the same person a second later
        case(0, who=2, joint=7.0),
        case(0, who=3, joint=6.0),  # a third of the drive
        case(1, who=1, joint=5.0),
        case(2, who=1, joint=5.0),
        case(1, who=2, joint=10.0),
    ]
    chosen = worst(given_cases)
    assert [(c.drive, c.who, c.joint) for c in chosen] == [
        (1, 2, 10.0),
        (0, 1, 9.0),
        (0, 2, 7.0),
        (1, 1, 5.0),
        (2, 1, 5.0),
    ]
    assert worst(given_cases, count=2) == chosen[:2]
    assert worst(reversed(given_cases)) == chosen
    assert worst([]) == []


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_nobody_left_out_is_worse_than_who_was_chosen_unless_the_drive_is_full(listed: list) -> None:
    every = [case(d, w, float(e), frame=i) for i, (d, w, e) in enumerate(listed)]
    chosen = worst(every, count=6)
    of_drive = Counter(c.drive for c in chosen)
    assert len(chosen) <= 6
    assert max(of_drive.values(), default=0) <= 2
    assert len({(c.drive, c.who) for c in chosen}) == len(chosen)
    for left in set(every) - set(chosen):
        better = [c for c in chosen if c.joint < left.joint]
        same = any((c.drive, c.who) == (left.drive, left.who) for c in chosen)
        assert not better or same or of_drive[left.drive] == 2


def test_the_error_of_a_case_is_that_of_the_mode_drawn() -> None:
    _, record = watched([street()])
    assert {c.mode for c in record.cases} <= {0, 1}
    for found in record.cases:
        moment = moment_at(record.drives[0], found.frame, GRID)
        (forecast,) = beside([moment.scene])
        off = np.linalg.norm(forecast.position[found.mode, found.row] - moment.future[0, found.row], axis=-1)
        assert found.joint == pytest.approx(off.mean())
        assert found.who == moment.there.who[found.row]


# ---- drawings


def test_a_view_holds_its_points_and_is_four_to_three() -> None:
    np.testing.assert_allclose(view_of(np.array([[0.0, 0.0], [2.0, 0.0]])), [1 - 40 / 3, -10, 1 + 40 / 3, 10])
    points = np.array([[-40.0, 5.0], [20.0, 7.0]])
    view = view_of(points)
    assert (view[:2] < points.min(0)).all()
    assert (view[2:] > points.max(0)).all()
    assert (view[2] - view[0]) / (view[3] - view[1]) == pytest.approx(WIDE / HIGH)


def test_north_is_up_and_east_to_the_right() -> None:
    pen = Pen(np.array([0.0, 0.0, 4.0, 3.0]))  # 120 pixels a metre
    pen.line(np.array([[0.0, 0.0], [4.0, 3.0]]), (0, 0, 0), 1.0)
    assert 'd="M0.0 360.0L480.0 0.0"' in pen.parts[0]


def test_only_what_may_be_seen_of_a_long_lane_is_drawn() -> None:
    pen = Pen(np.array([0.0, 0.0, 4.0, 3.0]))
    lane = np.column_stack([np.arange(-100.0, 101.0, 10.0), np.ones(21)])
    (piece,) = pen.pieces(lane)
    np.testing.assert_allclose(piece[:, 0], [-10.0, 0.0, 10.0])
    assert pen.pieces(lane + 50 * NORTH) == []


def test_a_case_is_drawn_with_every_mode_and_what_happened() -> None:
    moment = moment_at(street(), 22, GRID)
    (forecast,) = beside([moment.scene])
    row = moment.scene.tracks.ids.index("far")
    svg = case_svg(moment, forecast, row, 0, baseline_forecast("cv", moment.scene, GRID).position[0, row])
    elements = Elements(svg)
    strokes = Counter(a.get("stroke") for tag, a in elements.tags if tag == "path")
    assert strokes["#e2570e"] == 2  # the joint modes
    assert strokes["#7b4fa3"] == 1  # the most likely
    dashed = [a for tag, a in elements.tags if a.get("stroke-dasharray") == "4 4"]
    assert len(dashed) == 1, "what it did; nobody else is near"
    assert elements.open == []


def test_a_chart_has_a_dot_a_step_and_its_names_apart() -> None:
    lines = {"one": np.array([0.0, 2.0]), "two <b>": np.array([1.0, 1.99])}
    svg = line_chart_svg(np.array([1.0, 2.0]), lines, "a chart", "metres")
    elements = Elements(svg)
    assert sum(tag == "circle" for tag, _ in elements.tags) == 4
    assert "<b>" not in svg
    heights = [float(a["y"] or 0) for tag, a in elements.tags if tag == "text" and "fill" in a]
    assert abs(heights[0] - heights[1]) >= 15.0 - 1e-6
    assert "one: 2.00 metres after 2 s" in svg


# ---- the page


class Elements(HTMLParser):
    """Every start tag with its attributes; what was never closed, or closed in the wrong order."""

    VOID = frozenset({"meta", "path", "circle", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open[-1:] == [tag]
        self.open.pop()

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


class ByHand(Subject):
    """The model by hand, for rooms that need no network."""

    def forecast(self, scenes: Any) -> list[Forecast]:
        return beside(scenes)


BY_HAND = ByHand(name="by hand", model=None, grid=GRID)


def page_of(folder: Path, drives: list[Drive], *, rooms: dict[str, Any] | None = None) -> str:
    found, record = watched(drives)
    figures = {
        "forecaster": "by <hand>",
        "towns": ["nowhere"],
        "drives": len(drives),
        "seen_in_training": 0,
        "rooms": {"motion": found} if rooms is None else rooms,
    }
    write_room_report(folder / "report.html", figures, record, beside, GRID)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return (folder / "report.html").read_text()


def test_the_page_is_well_formed_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = page_of(tmp_path, [street(), street("jaywalk", "other")])
    elements = Elements(page)
    assert elements.open == []
    assert not [a for _, a in elements.tags if {"src", "href", "srcset", "data", "action"} & set(a)]
    assert set(re.findall(r"https?:[^\"]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<script", page)
    assert "by &lt;hand&gt;" in page
    assert "<hand>" not in page


def test_a_chart_a_group_and_a_drawing_a_case(tmp_path: Path) -> None:
    """Two drives of two pedestrians each: two groups have somebody, four people are drawn."""
    page = page_of(tmp_path, [street(), street("jaywalk", "other")])
    elements = Elements(page)
    assert elements.count("figure") == elements.count("figcaption") == elements.count("svg") == 2 + 4
    assert elements.count("table") == 2
    assert "hand/made at " in page
    assert "agent far, pedestrian, jaywalk: joint " in page
    assert "agent crossing, pedestrian who crosses or means to, street: joint " in page
    assert "Missing: no map, no plan, " in page


def test_only_the_rooms_asked_for_are_there(tmp_path: Path) -> None:
    rooms = {
        "permanence": {"hidden": 3, "existence_rate": 0.5},
        "crossing": {"model": {"crossings": 0, "mean_s": None}},
    }
    page = page_of(tmp_path, [street()], rooms=rooms)
    assert re.findall(r'<section id="([\w-]+)"', page) == ["permanence", "crossing"]
    assert '<th scope="row">existence rate</th><td>0.5</td>' in page
    assert page.count("Nobody to judge") == 1
    assert "<figure" not in page


def test_calibration_is_drawn_and_its_coverage_has_a_table(tmp_path: Path) -> None:
    drives = [street(scene=name) for name in "ab"]
    rooms = examine(drives, BY_HAND, ["calibration"])["rooms"]
    page = page_of(tmp_path, drives, rooms=rooms)
    elements = Elements(page)
    assert elements.open == []
    assert elements.count("figure") == 2
    assert "Joint modes: right where" in page
    assert '<th scope="row">4.8 s</th>' in page
    assert "reliability: " not in page, "curves are drawn, not printed"


def test_a_room_with_nobody_to_judge_says_so(tmp_path: Path) -> None:
    alone = cast({EGO: path((-10.0, 0.0), (0.0, 0.0), FRAMES)}, {EGO: Kind.VEHICLE})
    empty = drive(alone, alone)
    found = examine([empty, empty], BY_HAND, ["motion", "calibration", "consistency"])["rooms"]
    assert all(is_about_nobody(figures) for figures in found.values())
    page = page_of(tmp_path, [empty], rooms=found)
    assert page.count("Nobody to judge") == 3
    assert Elements(page).open == []


def test_without_a_model_there_are_curves_but_no_cases() -> None:
    record = MotionRecord()
    found = examine([street()], subject_of(None), ["motion"], watcher=record)["rooms"]["motion"]
    assert list(record.curves.by_horizon("pedestrians")) == [STRAIGHT, FAN]
    page = motion_page.motion_page(found, record, None, GRID)
    assert "No model was examined" in page
    assert page.count("<figure") == 2


def test_nothing_is_kept_of_rooms_without_a_report() -> None:
    """The watcher changes no figure."""
    found, _ = watched([street()])
    assert motion([street()], beside, GRID) == found


def test_figures_in_rows_carry_the_names_of_what_they_are_part_of() -> None:
    rows = flat({"a": {"b": {"c": 1.23456}, "n": 2}, "d": None})
    assert rows == [("a: b: c", "1.235"), ("a: n", "2"), ("d", "None")]
    assert not is_about_nobody({"a": {"n": 0}, "d": 0.1})
    assert is_about_nobody({"a": {"n": 0, "m": None}, "d": {}})


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_episode(tmp_path / "data" / name, replace(make_episode(), scene=name))
    data = ["--data", str(tmp_path / "data"), "--rooms", "motion"]
    assert main(["evaluate", *data, "--report", str(tmp_path / "page")]) == 0
    assert [file.name for file in (tmp_path / "page").iterdir()] == ["report.html"]
    assert 'id="motion"' in (tmp_path / "page" / "report.html").read_text()


def test_a_report_is_of_rooms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scenes(tmp_path / "tables", 1)
    data = ["--data", str(tmp_path / "tables"), "--report", str(tmp_path / "page")]
    assert main(["evaluate", *data, "--baseline", "cv"]) == 2
    assert "--rooms" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
