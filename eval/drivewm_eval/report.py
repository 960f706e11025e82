"""A replay and its figures as one HTML page that needs nothing but a browser."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import DEFAULT_SIZE, Forecast, Kind, LineKind, RoadMap
from drivewm_eval.draw import (
    LANE_WIDTH_M,
    SIDEWALK_WIDTH_M,
    ReportFrame,
    crosswalk_stripes,
    ellipse,
    extent,
    is_closed,
    polylines,
    roadway_probability,
)

MARGINAL_SHOWN = 6
"""Of each agent's marginal candidates, the most probable so many are drawn: the page stays small."""


Metrics = Mapping[str, Mapping[str, float]]
"""Predictor -> figure (with its unit) -> value."""
Better = Mapping[str, Literal["low", "high"]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page shows."""

    title: str
    summary: str  # a sentence under the title
    frames: Sequence[ReportFrame]  # in order of time
    road_map: RoadMap
    metrics: Metrics
    by_group: Mapping[str, Metrics] = field(default_factory=dict)  # the same figures for some agents only
    better: Better = field(default_factory=dict)  # figure -> the end to mark as best
    metrics_note: str = ""  # what the figures were measured on
    made: Mapping[str, str] = field(
        default_factory=dict
    )  # how to make the page again: command, seed, bundle, ...
    limits: str = ""  # what must not be concluded from the page
    view: Float[ndarray, "4"] | None = None  # opens on x and y minimum, then maximum; default `draw.extent`


def write_report(path: Path, report: Report) -> None:
    """Writes the page: no script, style, font or image comes from anywhere else. Atomic."""
    if not report.frames:
        raise InputError("a report needs at least one frame, got none; simulate or record longer")
    page = resources.files("drivewm_eval") / "page"
    parts = {
        "title": html.escape(report.title),
        "summary": html.escape(report.summary),
        "style": (page / "style.css").read_text(encoding="utf-8"),
        "player": (page / "player.js").read_text(encoding="utf-8"),
        "data": _json_in_html(scene_data(report.frames, report.road_map, report.view)),
        "metrics": _table({"": report.metrics, **report.by_group}, report.better),
        "metrics_note": html.escape(report.metrics_note),
        "made": "".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in report.made.items()
        ),
        "limits": html.escape(report.limits),
    }
    write_page(path, "page.html", parts)


def write_page(path: Path, template: str, parts: Mapping[str, str]) -> None:
    """A template of `page/` with the parts in its places, markup as it is. Atomic."""
    page = (resources.files("drivewm_eval") / "page" / template).read_text(encoding="utf-8")
    # One pass, so that text which looks like a placeholder stays text.
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _json_in_html(data: Any) -> str:
    """Compact JSON in which nothing can end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(groups: Mapping[str, Metrics], better: Better) -> str:
    """The rows of the metrics table, a body with a heading for each group that has a name.

    The best of each figure is marked within its group, ties all of them.
    """
    every = [row for metrics in groups.values() for row in metrics.values()]
    figures = list(dict.fromkeys(figure for row in every for figure in row))
    head = "".join(f'<th scope="col">{html.escape(figure)}</th>' for figure in figures)
    parts = [f'<thead><tr><th scope="col">Predictor</th>{head}</tr></thead>']
    for name, metrics in groups.items():
        if metrics:
            parts += [
                "<tbody>",
                _heading(name, len(figures) + 1),
                *_rows(metrics, figures, better),
                "</tbody>",
            ]
    return "".join(parts)


def _heading(name: str, columns: int) -> str:
    cell = f'<th scope="rowgroup" colspan="{columns}">{html.escape(name)}</th>'
    return f'<tr class="group">{cell}</tr>' if name else ""


def _rows(
    metrics: Metrics, figures: Sequence[str], better: Mapping[str, Literal["low", "high"]]
) -> list[str]:
    best = {}
    for figure, end in better.items():
        values = [row[figure] for row in metrics.values() if figure in row and np.isfinite(row[figure])]
        if len(values) > 1:
            best[figure] = min(values) if end == "low" else max(values)
    lines = []
    for name, row in metrics.items():
        cells = []
        for figure in figures:
            value = row.get(figure)
            mark = ' class="best"' if figure in best and value == best[figure] else ""
            cells.append(f"<td{mark}>{_number(value)}</td>")
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    return lines


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, (int, np.integer)) else f"{value:.3f}"


def scene_data(
    frames: Sequence[ReportFrame], road_map: RoadMap, view: Float[ndarray, "4"] | None = None
) -> dict[str, Any]:
    """What the player reads: lengths in whole centimetres from `origin`, angles in thousandths of a radian.

    A path is `[x, y, dx, dy, dx, dy, ...]`: its first point, then steps. Probabilities are in thousandths.
    """
    view = extent(frames, road_map) if view is None else view
    origin = np.round((view[:2] + view[2:]) / 2)
    agents: dict[str, dict[str, Any]] = {}
    for frame in frames:
        for i in frame.present:
            agents.setdefault(frame.tracks.ids[i], _agent(frame, int(i)))
    number = {name: index for index, name in enumerate(agents)}
    return {
        "origin": origin.tolist(),
        "view": _cm(view.reshape(2, 2), origin).ravel().tolist(),
        "lane_width": round(100 * LANE_WIDTH_M),
        "sidewalk_width": round(100 * SIDEWALK_WIDTH_M),
        "map": _map(road_map, origin),
        "agents": list(agents.values()),
        "frames": [_frame(frame, road_map, origin, number) for frame in frames],
    }


def _agent(frame: ReportFrame, i: int) -> dict[str, Any]:
    tracks = frame.tracks
    kind = Kind(int(tracks.kind[i]))
    size = tracks.size[i] if tracks.size_valid[i] else DEFAULT_SIZE[kind]
    return {
        "id": tracks.ids[i],
        "kind": kind.name.lower(),
        "size": [round(100 * float(side)) for side in size],
        "ego": tracks.ids[i] == frame.ego_id,
    }


def _map(road_map: RoadMap, origin: Float[ndarray, "2"]) -> dict[str, Any]:
    lines = {
        kind.name.lower(): [_path(line, origin) for line in polylines(road_map, kind)] for kind in LineKind
    }
    closed = [int(is_closed(line)) for line in polylines(road_map, LineKind.SIDEWALK)]
    stripes = [_path(stripe, origin) for stripe in crosswalk_stripes(road_map)]
    return {**lines, "sidewalk_closed": closed, "stripes": stripes}


def _frame(
    frame: ReportFrame, road_map: RoadMap, origin: Float[ndarray, "2"], number: Mapping[str, int]
) -> dict[str, Any]:
    tracks, rows = frame.tracks, frame.present
    speed = np.hypot(tracks.velocity[rows, 0, 0], tracks.velocity[rows, 0, 1])
    out: dict[str, Any] = {
        "t": round(frame.t_s, 3),
        "agent": [number[tracks.ids[i]] for i in rows],
        "xy": _cm(tracks.position[rows, 0], origin).tolist(),
        "yaw": _thousandths(tracks.yaw[rows, 0]),
        "speed": np.rint(100 * speed).astype(int).tolist(),  # cm/s
        "trail": [_path(tracks.position[i][tracks.valid[i]], origin) for i in rows],
    }
    if frame.notes:
        out["note"] = [frame.notes[i] for i in rows]
    if frame.constant_velocity is not None:
        out["constant_velocity"] = _path(frame.constant_velocity[rows], origin)
    if frame.future is not None and frame.future_valid is not None:
        out["future"] = [_path(frame.future[i][frame.future_valid[i]], origin) for i in rows]
    if frame.forecast is not None:
        names = [tracks.ids[i] for i in rows]
        out["forecast"] = _forecast(frame.forecast, road_map, origin, names)
    return out


def _forecast(
    forecast: Forecast, road_map: RoadMap, origin: Float[ndarray, "2"], names: Sequence[str]
) -> dict[str, Any]:
    """The forecasts of the named agents, in their order; null for one the forecast leaves out."""
    row_of = {name: i for i, name in enumerate(forecast.ids) if forecast.valid[i]}
    roadway = roadway_probability(forecast, road_map)
    best = int(forecast.mode_probability.argmax())
    rings = ellipse(forecast.covariance[best, :, -1])
    joint = _path(np.moveaxis(forecast.position, 1, 0), origin)
    shown = np.argsort(-forecast.marginal_probability, axis=0, kind="stable")[:MARGINAL_SHOWN]  # M A
    who = np.arange(len(forecast.ids))
    chance = forecast.marginal_probability[shown, who]
    marginal = _path(np.moveaxis(forecast.marginal_position[shown, who], 1, 0), origin)
    agents: list[dict[str, Any] | None] = []
    for i in (row_of.get(name) for name in names):
        if i is None:
            agents.append(None)
            continue
        agent: dict[str, Any] = {
            "joint": joint[i],
            "marginal": marginal[i],
            "chance": _thousandths(chance[:, i]),
            "ring": [*np.rint(100 * rings[i, :2]).astype(int).tolist(), *_thousandths(rings[i, 2:])],
            "source": forecast.source[i],
        }
        if roadway is not None:
            agent["roadway"] = _thousandths(roadway[i : i + 1])[0]
        agents.append(agent)
    return {
        "probability": _thousandths(forecast.mode_probability),
        "horizon": round(float(forecast.horizon[-1]), 3),
        "candidates": int(forecast.marginal_position.shape[0]),
        "agents": agents,
    }


def _cm(points: Float[ndarray, "*b 2"], origin: Float[ndarray, "2"]) -> ndarray:
    return np.rint(100 * (points - origin)).astype(np.int64)


def _path(points: Float[ndarray, "*b n 2"], origin: Float[ndarray, "2"]) -> list[Any]:
    """First point, then steps between rounded points, so that rounding does not add up; nested as `*b` is."""
    whole = _cm(points, origin)
    steps = np.concatenate([whole[..., :1, :], np.diff(whole, axis=-2)], axis=-2)
    return steps.reshape(*points.shape[:-2], 2 * points.shape[-2]).tolist()


def _thousandths(values: Float[ndarray, "n"]) -> list[int]:
    return np.rint(1000 * np.asarray(values)).astype(int).tolist()
