"""One agent's forecast from above, beside what it did, as SVG."""

from __future__ import annotations

import html

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import DEFAULT_SIZE, Forecast, Kind, LineKind, RoadMap
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.animation import (
    CENTER,
    EDGE,
    EGO,
    GROUND,
    OBSTACLE,
    PAINT,
    ROAD,
    SIDEWALK,
    STEADY,
    STRIPE,
    TRUTH,
    Colour,
)
from drivewm_eval.draw import (
    LANE_WIDTH_M,
    SIDEWALK_WIDTH_M,
    box_corners,
    crosswalk_stripes,
    is_closed,
    mode_opacity,
    polylines,
)

WIDE, HIGH = 480, 360
LEAST_M, MOST_M, MARGIN_M = 10.0, 45.0, 3.0
"""From the middle of the picture to its upper edge; beyond the agent's paths."""
LIKELY: Colour = (123, 79, 163)
BAR_M = 5.0


class Pen:
    """Collects SVG elements; metres for coordinates, x east and y north."""

    def __init__(self, view: Float[ndarray, "4"]) -> None:
        self.parts: list[str] = []
        self.scale = HIGH / (view[3] - view[1])  # pixels a metre
        self.low, self.high = view[:2], view[2:]

    def line(
        self,
        points: Float[ndarray, "n 2"],
        colour: Colour,
        width: float,
        *,
        opacity: float = 1.0,
        dash: str = "",
    ) -> None:
        """Width in pixels."""
        if len(points) < 2:
            return
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        shown = f' stroke-opacity="{opacity:.2f}"' if opacity < 1 else ""
        self.parts.append(
            f'<path d="{self._path(points)}" fill="none" stroke="{_hex(colour)}" stroke-width="{width:.1f}"'
            f"{shown}{dashes}/>"
        )

    def area(self, points: Float[ndarray, "n 2"], colour: Colour, *, hollow: bool = False) -> None:
        fill = f'fill="none" stroke="{_hex(colour)}"' if hollow else f'fill="{_hex(colour)}"'
        self.parts.append(f'<path d="{self._path(points)}Z" {fill}/>')

    def dot(self, point: Float[ndarray, "2"], colour: Colour, radius: float, *, hollow: bool = False) -> None:
        """Radius in pixels."""
        x, y = self._pixels(point[None])[0]
        fill = f'fill="none" stroke="{_hex(colour)}"' if hollow else f'fill="{_hex(colour)}"'
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {fill}/>')

    def sees(self, points: Float[ndarray, "n 2"], beyond: float = 3.0) -> bool:
        """Whether the box around the points comes within `beyond` metres of the view."""
        low, high = points.min(axis=0) - beyond, points.max(axis=0) + beyond
        return bool((low <= self.high).all() and (high >= self.low).all())

    def pieces(self, line: Float[ndarray, "L 2"]) -> list[Float[ndarray, "n 2"]]:
        """The runs of a line's segments that may be seen."""
        low, high = np.minimum(line[:-1], line[1:]) - 3.0, np.maximum(line[:-1], line[1:]) + 3.0
        seen = (low <= self.high).all(axis=1) & (high >= self.low).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
        return [line[a : b + 1] for a, b in edges.reshape(-1, 2).tolist()]

    def _pixels(self, points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        return np.column_stack([points[:, 0] - self.low[0], self.high[1] - points[:, 1]]) * self.scale

    def _path(self, points: Float[ndarray, "n 2"]) -> str:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self._pixels(points).tolist())


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def case_svg(moment: Moment, forecast: Forecast, row: int, mode: int, straight: Float[ndarray, "F 2"]) -> str:
    """The street about one agent (a row of the moment), 4:3, north up.

    Its past as the car knew it, what it truly did (black, dashed), the joint modes (opaque as they are
    probable, `mode` with a full dot at its end), the most likely candidate and constant velocity
    (`straight`). The others as the car knew them, with their past and what they truly did; who is out of
    sight is hollow.
    """
    now, truth = moment.scene.tracks.position[row, 0], moment.future[0, row]
    likely = forecast.most_likely[row]
    shown = np.concatenate([now[None], truth, likely, *forecast.position[:, row]])
    pen = Pen(view_of(shown))
    _draw_map(pen, moment.scene.road_map)
    for other in np.flatnonzero(np.arange(moment.scene.tracks.agents) != row).tolist():
        if pen.sees(moment.scene.tracks.position[other, :1]):
            _draw_path_and_body(pen, moment, other, own=False)
    pen.line(np.vstack([now, straight]), STEADY, 1.5)
    colour = PAINT[int(moment.scene.tracks.kind[row])]
    for k, opacity in enumerate(mode_opacity(forecast.mode_probability).tolist()):
        path = np.vstack([now, forecast.position[k, row]])
        pen.line(path, colour, 2.0, opacity=opacity)
        pen.dot(path[-1], colour, 3.5, hollow=k != mode)
    pen.line(np.vstack([now, likely]), LIKELY, 2.2)
    pen.dot(likely[-1], LIKELY, 3.0)
    _draw_path_and_body(pen, moment, row, own=True)
    pen.dot(truth[-1], TRUTH, 3.0)
    name = html.escape(moment.scene.tracks.ids[row])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="The street about agent {name}">'
        f'<rect width="{WIDE}" height="{HIGH}" fill="{_hex(GROUND)}"/>{"".join(pen.parts)}{_bar(pen)}</svg>'
    )


def view_of(points: Float[ndarray, "n 2"]) -> Float[ndarray, "4"]:
    """What is seen, x and y minimum, then maximum: the points with a margin, 20 to 90 m high."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = (high - low) / 2 + MARGIN_M
    up = float(np.clip(max(half[1], half[0] * HIGH / WIDE), LEAST_M, MOST_M))
    reach = np.array([up * WIDE / HIGH, up])
    return np.concatenate([(low + high) / 2 - reach, (low + high) / 2 + reach])


def _draw_map(pen: Pen, road_map: RoadMap) -> None:
    for line in polylines(road_map, LineKind.SIDEWALK):
        if is_closed(line):
            if pen.sees(line):
                pen.area(line, SIDEWALK)
        else:
            for piece in pen.pieces(line):
                pen.line(piece, SIDEWALK, SIDEWALK_WIDTH_M * pen.scale)
    lanes = [piece for line in polylines(road_map, LineKind.LANE_CENTER) for piece in pen.pieces(line)]
    for piece in lanes:
        pen.line(piece, ROAD, LANE_WIDTH_M * pen.scale)
    for piece in lanes:
        pen.line(piece, CENTER, 1.0, dash="6 8")
    for kind, colour, width in ((LineKind.LANE_BOUNDARY, EDGE, 1.5), (LineKind.STOP_LINE, STRIPE, 3.0)):
        for line in polylines(road_map, kind):
            for piece in pen.pieces(line):
                pen.line(piece, colour, width)
    for stripe in crosswalk_stripes(road_map):
        if pen.sees(stripe):
            pen.area(stripe, STRIPE)
    for line in polylines(road_map, LineKind.OBSTACLE):
        if pen.sees(line):
            if len(line) > 2:
                pen.area(line, OBSTACLE)
            pen.line(line, OBSTACLE, 1.5)


def _draw_path_and_body(pen: Pen, moment: Moment, i: int, *, own: bool) -> None:
    tracks = moment.scene.tracks
    colour = EGO if moment.is_ego[i] else PAINT[int(tracks.kind[i])]
    if moment.known[0, i]:
        what_followed = np.vstack([tracks.position[i, 0], moment.future[0, i]])
        pen.line(what_followed, TRUTH, 2.0 if own else 1.0, opacity=1.0 if own else 0.4, dash="4 4")
    past = tracks.position[i][tracks.valid[i]]
    pen.line(past, TRUTH if own else colour, 2.0 if own else 1.2, opacity=1.0 if own else 0.6)
    size = tracks.size[i] if tracks.size_valid[i] else DEFAULT_SIZE[int(tracks.kind[i])]
    hidden = bool(moment.there.unseen[i] > 0)
    if tracks.kind[i] == Kind.PEDESTRIAN:
        pen.dot(tracks.position[i, 0], colour, max(size[0] / 2 * pen.scale, 4.0), hollow=hidden)
        if own:
            pen.dot(tracks.position[i, 0], TRUTH, max(size[0] / 2 * pen.scale, 4.0) + 2, hollow=True)
        return
    pen.area(box_corners(tracks.pose[i, 0], size), colour, hollow=hidden)


def _bar(pen: Pen) -> str:
    end = WIDE - 14
    begin = end - BAR_M * pen.scale
    return (
        f'<path d="M{begin:.1f} {HIGH - 14}H{end}" stroke="{_hex(TRUTH)}" stroke-width="2"/>'
        f'<text x="{end}" y="{HIGH - 20}" text-anchor="end">{BAR_M:g} m</text>'
    )
