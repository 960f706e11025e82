"""The rooms of an evaluation as one page: tables, charts, and the worst cases drawn."""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path
from typing import Any

from drivewm import __version__
from drivewm.timing import TimeGrid
from drivewm_eval.motion import Forecaster
from drivewm_eval.motion_page import motion_page
from drivewm_eval.motion_record import MotionRecord
from drivewm_eval.page_parts import Row, figure, figures, heading, note, number, table
from drivewm_eval.reliability import reliability_svg
from drivewm_eval.report import write_page
from drivewm_eval.room_tables import flat, is_about_nobody

DRAWN_APART = ("coverage", "reliability", "nll")
"""Figures of the calibration room that have a table or a diagram of their own."""


def write_room_report(
    path: Path, found: dict[str, Any], record: MotionRecord, forecaster: Forecaster | None, grid: TimeGrid
) -> None:
    """Writes the page of what `rooms.examine` found; `record` watched the motion room. Atomic.

    `forecaster` is the model, asked again for the cases; None where the baselines alone were examined.
    A room that was not examined is not there; one without anybody to judge says so.
    """
    sections = []
    for name, figures_of in found["rooms"].items():
        if is_about_nobody(figures_of):
            inside = note("Nobody to judge in these episodes.")
        elif name == "motion":
            inside = motion_page(figures_of, record, forecaster, grid)
        elif name == "calibration":
            inside = calibration_page(figures_of)
        else:
            inside = plain_table(figures_of)
        sections.append(f'<section id="{html.escape(name)}"><h2>{html.escape(name)}</h2>{inside}</section>')
    episodes = "episode" if found["drives"] == 1 else "episodes"
    seen = found["seen_in_training"]
    summary = (
        f"{found['drives']} simulated {episodes} of {', '.join(found['towns'])}, as the car knew them, "
        f"judged by what truly followed; {seen} of them served to train or choose it. drivewm {__version__}."
    )
    parts = {
        "title": html.escape(f"{found['forecaster']} in the evaluation rooms"),
        "summary": html.escape(summary),
        "style": (resources.files("drivewm_eval") / "page" / "rooms.css").read_text(encoding="utf-8"),
        "rooms": "".join(sections),
    }
    write_page(path, "rooms.html", parts)


def calibration_page(found: dict[str, Any]) -> str:
    """Reliability diagrams, coverage by kind and horizon, likelihood, calibration error."""
    joint = {name: curve for name, curve in found["reliability"].items() if name.startswith("joint")}
    apart = {name: curve for name, curve in found["reliability"].items() if name not in joint}
    drawn = [
        figure(reliability_svg(joint), "Joint modes: right where a mode is the nearest to what all did."),
        figure(reliability_svg(apart), "Candidates: right where one is the nearest to what its agent did."),
    ]
    about = (
        "Dots on the dashed line: what was said with a probability came true as often. `all` are all modes, "
        "`top` the most probable alone. The greater a dot, the more it stands for; the smallest are few."
    )
    rest = {name: value for name, value in found.items() if name not in DRAWN_APART}
    return "".join(
        [
            heading("Reliability"),
            note(about),
            figures(drawn),
            heading("Coverage by kind and horizon"),
            note(
                "How often the truth lies in the region that should hold it in 50 % and in 90 % of the cases."
            ),
            _coverage(found),
            heading("Negative log-likelihood (nats a step, lower is better)"),
            _by_kind(found["nll"]),
            heading("Agents, calibration error"),
            plain_table(rest),
        ]
    )


def _coverage(found: dict[str, Any]) -> str:
    by_kind = found["coverage"]
    levels = list(dict.fromkeys(name for at in by_kind.values() for shares in at.values() for name in shares))
    bodies = [
        (
            f"{kind} ({found['agents'][kind]})",
            [(seconds, [number(shares[level], 2) for level in levels]) for seconds, shares in at.items()],
        )
        for kind, at in by_kind.items()
    ]
    return table(["", *(f"in {level.replace('%', ' %')}" for level in levels)], bodies)


def _by_kind(found: dict[str, dict[str, float]]) -> str:
    kinds = list(dict.fromkeys(kind for values in found.values() for kind in values))
    rows: list[Row] = [(name, [number(values.get(k)) for k in kinds]) for name, values in found.items()]
    return table(["", *kinds], [("", rows)])


def plain_table(found: dict[str, Any]) -> str:
    """A row for each figure."""
    rows: list[Row] = [
        (name.replace("_", " "), ["–" if value == "None" else value]) for name, value in flat(found)
    ]
    return table(["", ""], [("", rows)])
