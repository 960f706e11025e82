"""The motion room on a page: its table, errors by horizon and by situation, the worst cases drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from drivewm.baselines import constant_velocity
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind
from drivewm_datasets.drive import forecast_kinds
from drivewm_datasets.drive_scenes import Moment, moment_at
from drivewm_eval.case_drawing import case_svg
from drivewm_eval.error_curves import FAN, MODEL_JOINT, MODEL_LIKELY, STRAIGHT, ErrorCurves
from drivewm_eval.line_chart import line_chart_svg
from drivewm_eval.motion import BASELINES, INTERACTING, Forecaster
from drivewm_eval.motion_record import DRAWN, MotionRecord
from drivewm_eval.page_parts import Cell, Row, figure, figures, heading, note, number, share, table
from drivewm_eval.room_tables import MOTION
from drivewm_eval.worst_cases import A_DRIVE, Case, worst

NAMES = {"cv": "constant velocity", "kalman": "Kalman filter", "fan": "fan of six ways"}
NEAR_M = 20.0
BELOW = {
    "joint below the fan by": (MODEL_JOINT, FAN),
    "joint below constant velocity by": (MODEL_JOINT, STRAIGHT),
    "likely below constant velocity by": (MODEL_LIKELY, STRAIGHT),
}
KEY = (
    '<p class="note"><i class="key past"></i>past, as the car knew it<i class="key truth"></i>what it did'
    '<i class="key modes"></i>joint modes, strong as they are probable; a full dot ends the one counted'
    '<i class="key likely"></i>most likely<i class="key straight"></i>constant velocity</p>'
    '<p class="note">Orange: pedestrians, green: cyclists, grey: vehicles, blue: the car itself; hollow '
    "bodies are out of its sight. North is up.</p>"
)


def motion_page(
    found: dict[str, Any], record: MotionRecord, forecaster: Forecaster | None, grid: TimeGrid
) -> str:
    """Everything of the room: `found` are its figures, `record` what was kept while it ran."""
    return "".join(
        [
            _table(found),
            _by_horizon(record),
            _by_situation(record.curves),
            _worst(record, forecaster, grid),
        ]
    )


def in_order(groups: Iterable[str]) -> list[str]:
    """Those who have to do with a vehicle first, the others as they come."""
    return sorted(groups, key=lambda group: group != INTERACTING)


def _table(found: dict[str, Any]) -> str:
    bodies = []
    for group in in_order(found):
        by_name = found[group]
        said = {name: row for name, row in by_name.items() if name != "gain"}
        best = {key: min(row[key] for row in said.values()) for key in MOTION.values()}
        rows: list[Row] = []
        for name, row in said.items():
            marks = [(number(row[key]), row[key] == best[key]) for key in MOTION.values()]
            cells = [Cell(text=text, mark="best" if is_best else "") for text, is_best in marks]
            rows.append((NAMES.get(name, name), [*cells, str(row["agents"])]))
        for name in BASELINES:
            if gain := by_name["gain"].get(name):
                below = [_share(gain.get(key)) for key in MOTION.values()]
                rows.append((f"model below {NAMES[name]} by", [*below, ""]))
        bodies.append((group, rows))
    about = (
        "Metres, means over the agents of all moments; in joint figures one mode serves all agents of the "
        "group in a moment. minADE is the best of all candidates an agent has, and the model has the most. "
        "The best of each column is blue; where the model is worse than a baseline, red."
    )
    return note(about) + table(["", *MOTION, "agents"], bodies)


def _share(gain: float | None) -> Cell:
    return Cell(text=share(gain), mark="worse" if gain is not None and gain < 0 else "")


def _by_horizon(record: MotionRecord) -> str:
    if record.horizon is None:
        return ""
    drawn = []
    for group in in_order(record.curves.groups()):
        lines = record.curves.by_horizon(group)
        svg = line_chart_svg(record.horizon, lines, f"Error by horizon: {group}", "metres")
        ends = "; ".join(f"{name} {line[-1]:.2f} m" for name, line in lines.items())
        drawn.append(figure(svg, f"{group}. After {record.horizon[-1]:g} s: {ends}."))
    modes = " and ".join(f"{record.modes[w]} of the {w}" for w in ("model", "fan") if w in record.modes)
    about = (
        f"The best joint mode (of {modes}) is the one of least mean error over the steps and all agents of "
        "the group in the moment, so its last point is above the joint minFDE, which has a winner of its own."
    )
    return heading("Error by horizon") + note(about) + figures(drawn)


def _by_situation(curves: ErrorCurves) -> str:
    lines = [line for line in (MODEL_JOINT, FAN, MODEL_LIKELY, STRAIGHT) if _has(curves, line)]
    below = {name: pair for name, pair in BELOW.items() if pair[0] in lines}
    bodies = []
    for group in in_order(curves.groups()):
        rows: list[Row] = []
        for name, found in curves.by_situation(group).items():
            gains = [1 - found.ade[a] / found.ade[b] if found.ade[b] else None for a, b in below.values()]
            cells: list[Cell | str] = [
                *(number(found.ade[line]) for line in lines),
                *(_share(gain) for gain in gains),
            ]
            rows.append((name.replace("_", " "), [*cells, str(found.agents), str(found.drives)]))
        bodies.append((group, rows))
    about = (
        "Mean distance over all steps, metres, in the drives of each situation. Agents are counted anew in "
        "every moment, so that those of one drive are no independent cases: look at the number of drives."
    )
    head = ["", *lines, *below, "agents", "drives"]
    return heading("Error by situation") + note(about) + table(head, bodies)


def _has(curves: ErrorCurves, line: str) -> bool:
    return any(line in sums for sums in curves.total.values())


def _worst(record: MotionRecord, forecaster: Forecaster | None, grid: TimeGrid) -> str:
    cases = worst(record.cases)
    title = heading(f"The worst cases: {DRAWN}")
    if forecaster is None:
        return title + note("No model was examined, so there is no case of its own to draw.")
    if not cases:
        return title + note("Nobody to judge.")
    moments = [moment_at(record.drives[c.drive], c.frame, grid) for c in cases]
    forecasts = forecaster([m.scene for m in moments])
    drawn = []
    for place, (case, moment, forecast) in enumerate(zip(cases, moments, forecasts, strict=True), start=1):
        straight, _ = constant_velocity(moment.scene.tracks, forecast.horizon)
        svg = case_svg(moment, forecast, case.row, case.mode, straight[case.row])
        drawn.append(figure(svg, f"{place}. {caption(case, moment, forecast)}"))
    errors = np.array([c.joint for c in record.cases])
    about = (
        f"The {len(cases)} greatest errors of the best joint mode among {len(errors)}, whose median is "
        f"{np.median(errors):.2f} m: of a drive at most {A_DRIVE}, of different people, each at its worst."
    )
    return title + note(about) + KEY + figures(drawn)


def caption(case: Case, moment: Moment, forecast: Forecast) -> str:
    """Where, when, who, how far off, and what was missing."""
    tracks, drive = moment.scene.tracks, moment.drive
    meets = " who crosses or means to" if moment.meeting[case.row] else ""
    known = int(tracks.valid[case.row].sum())
    lacks = [f"no {part}" for part in forecast.without]
    lacks.append(f"{known} of {tracks.valid.shape[1]} past places known")
    unknown = _unknown_near(moment, case)
    if unknown:
        lacks.append(f"{unknown} within {NEAR_M:g} m unknown to the car")
    return (
        f"{'/'.join(drive.name)} at {moment.scene.t_s:.1f} s, agent {tracks.ids[case.row]}, "
        f"{Kind(int(tracks.kind[case.row])).name.lower()}{meets}, {drive.scenario.replace('_', ' ')}: "
        f"joint {case.joint:.2f} m, most likely {case.likely:.2f} m, "
        f"constant velocity {case.straight:.2f} m. Missing: {', '.join(lacks)}."
    )


def _unknown_near(moment: Moment, case: Case) -> int:
    """How many truly are within 20 m, of the kinds that are forecast, of whom the car does not know."""
    true, frame = moment.drive.true, moment.frame
    away = np.linalg.norm(true.pose[:, frame, :2] - true.pose[case.who, frame, :2], axis=-1)
    near = true.there[:, frame] & forecast_kinds(true) & (away < NEAR_M)
    near[[moment.drive.ego, *moment.there.who[moment.there.who >= 0]]] = False
    return int(near.sum())
