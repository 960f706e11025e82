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


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page shows."""

    title: str
    summary: str  # a sentence under the title
    frames: Sequence[ReportFrame]  # in order of time
    road_map: RoadMap
    metrics: Mapping[str, Mapping[str, float]]  # predictor -> figure (with its unit) -> value
    better: Mapping[str, Literal["low", "high"]] = field(
        default_factory=dict
    )  # figure -> the end to mark as best
    metrics_note: str = ""  # what the figures were measured on
    made: Mapping[str, str] = field(
        default_factory=dict
    )  # how to make the page again: command, seed, bundle, ...
    limits: str = ""  # what must not be concluded from the page


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
        "data": _json_in_html(scene_data(report.frames, report.road_map)),
        "metrics": _table(report.metrics, report.better),
        "metrics_note": html.escape(report.metrics_note),
        "made": "".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in report.made.items()
        ),
        "limits": html.escape(report.limits),
    }
    template = (page / "page.html").read_text(encoding="utf-8")
    # One pass, so that text which looks like a placeholder stays text.
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _json_in_html(data: Any) -> str:
    """Compact JSON in which nothing can end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(metrics: Mapping[str, Mapping[str, float]], better: Mapping[str, Literal["low", "high"]]) -> str:
    """The rows of the metrics table; the best of each figure is marked, ties all of them."""
    figures = list(dict.fromkeys(figure for row in metrics.values() for figure in row))
    best = {}
    for figure, end in better.items():
        values = [row[figure] for row in metrics.values() if figure in row and np.isfinite(row[figure])]
        if len(values) > 1:
            best[figure] = min(values) if end == "low" else max(values)
    head = "".join(f'<th scope="col">{html.escape(figure)}</th>' for figure in figures)
    lines = [f'<thead><tr><th scope="col">Predictor</th>{head}</tr></thead><tbody>']
    for name, row in metrics.items():
        cells = []
        for figure in figures:
            value = row.get(figure)
            mark = ' class="best"' if figure in best and value == best[figure] else ""
            cells.append(f"<td{mark}>{_number(value)}</td>")
        lines.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    return "".join([*lines, "</tbody>"])


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, (int, np.integer)) else f"{value:.3f}"


def scene_data(frames: Sequence[ReportFrame], road_map: RoadMap) -> dict[str, Any]:
    """What the player reads: lengths in whole centimetres from `origin`, angles in thousandths of a radian.

    A path is `[x, y, dx, dy, dx, dy, ...]`: its first point, then steps. Probabilities are in thousandths.
    """
    view = extent(frames, road_map)
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
        out["constant_velocity"] = [_path(frame.constant_velocity[i], origin) for i in rows]
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
    agents: list[dict[str, Any] | None] = []
    for i in (row_of.get(name) for name in names):
        if i is None:
            agents.append(None)
            continue
        chance = forecast.marginal_probability[:, i]
        shown = np.argsort(-chance, kind="stable")[:MARGINAL_SHOWN]
        agent: dict[str, Any] = {
            "joint": [_path(path, origin) for path in forecast.position[:, i]],
            "marginal": [_path(path, origin) for path in forecast.marginal_position[shown, i]],
            "chance": _thousandths(chance[shown]),
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


def _path(points: Float[ndarray, "n 2"], origin: Float[ndarray, "2"]) -> list[int]:
    """First point, then steps between rounded points, so that rounding does not add up."""
    whole = _cm(points, origin)
    return np.concatenate([whole[:1], np.diff(whole, axis=0)]).ravel().tolist()


def _thousandths(values: Float[ndarray, "n"]) -> list[int]:
    return np.rint(1000 * np.asarray(values)).astype(int).tolist()
