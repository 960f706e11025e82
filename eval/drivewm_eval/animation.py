"""A replay as an animated GIF, for places that show a picture but run no script."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.types import DEFAULT_SIZE, Kind, LineKind, RoadMap
from drivewm_eval.draw import (
    LANE_WIDTH_M,
    SIDEWALK_WIDTH_M,
    ReportFrame,
    box_corners,
    crosswalk_stripes,
    ellipse,
    extent,
    is_closed,
    mode_opacity,
    polylines,
)

if TYPE_CHECKING:
    from PIL import Image

Colour = tuple[int, int, int]
GROUND, SIDEWALK, ROAD, EDGE = (240, 238, 232), (227, 223, 213), (207, 210, 214), (255, 255, 255)
CENTER, STRIPE, OBSTACLE, TRUTH, STEADY = (
    (223, 226, 229),
    (251, 251, 250),
    (185, 179, 166),
    (21, 24, 28),
    (125, 132, 141),
)
EGO: Colour = (11, 79, 179)
PAINT: dict[int, Colour] = {
    Kind.PEDESTRIAN: (226, 87, 14),
    Kind.CYCLIST: (15, 138, 102),
    Kind.VEHICLE: (90, 107, 133),
}
SMOOTH = 2
"""Frames are drawn this much larger and then shrunk, so that edges are smooth."""


class Canvas:
    """An image with metres for coordinates, x east and y north, and lengths in pixels of the result."""

    def __init__(self, image: Image.Image, view: Float[ndarray, "4"]) -> None:
        from PIL import ImageDraw

        self.pen = ImageDraw.Draw(image, "RGBA")
        self.scale = min(image.width / (view[2] - view[0]), image.height / (view[3] - view[1]))
        self._middle = (view[:2] + view[2:]) / 2
        self._centre = np.array([image.width, image.height]) / 2

    def pixels(self, points: Float[ndarray, "n 2"]) -> list[tuple[float, float]]:
        out = self._centre + (points - self._middle) * self.scale * np.array([1.0, -1.0])
        return [(float(x), float(y)) for x, y in out]

    def line(self, points: Float[ndarray, "n 2"], colour: Colour, width: float, alpha: float = 1.0) -> None:
        if len(points) > 1:
            fill = (*colour, round(255 * alpha))
            self.pen.line(self.pixels(points), fill=fill, width=max(round(width * SMOOTH), 1), joint="curve")

    def band(self, points: Float[ndarray, "n 2"], colour: Colour, width_m: float) -> None:
        self.line(points, colour, width_m * self.scale / SMOOTH + 1)

    def area(self, points: Float[ndarray, "n 2"], colour: Colour, alpha: float = 1.0) -> None:
        self.pen.polygon(self.pixels(points), fill=(*colour, round(255 * alpha)))

    def dashes(
        self, points: Float[ndarray, "n 2"], colour: Colour, dash: float, gap: float, alpha: float
    ) -> None:
        """A dashed line; dash and gap in pixels of the result."""
        if len(points) < 2:
            return
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        metre = SMOOTH / self.scale
        for begin in np.arange(0.0, length[-1], (dash + gap) * metre):
            at = np.linspace(begin, min(begin + dash * metre, length[-1]), 3)
            piece = np.column_stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)])
            self.line(piece, colour, 1.5, alpha)


def write_animation(
    path: Path,
    frames: Sequence[ReportFrame],
    road_map: RoadMap,
    *,
    fps: float = 10.0,
    width: int = 800,
    view: Float[ndarray, "4"] | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Writes a GIF, one image a frame, 16:9, that repeats for ever. Atomic.

    `view` is what is seen, x and y minimum, then maximum (default `draw.extent`); `advance` is told of
    every frame drawn.

    Drawn are the joint modes, opaque as they are probable, the 90 % ellipse at the end of the most
    probable, what really happened (dashed) and constant velocity (grey).
    """
    from PIL import Image

    if not frames:
        raise InputError("an animation needs at least one frame, got none; simulate or record longer")
    view = extent(frames, road_map) if view is None else view
    kinds = sorted({int(kind) for frame in frames for kind in frame.tracks.kind[frame.present]})
    full = (width * SMOOTH, width * 9 // 16 * SMOOTH)
    street = Image.new("RGB", full, GROUND)
    draw_map(Canvas(street, view), road_map)
    images = []
    for frame in frames:
        image = street.copy()
        canvas = Canvas(image, view)
        for i in frame.present:
            _draw_forecast(canvas, frame, int(i))
        for i in frame.present:
            _draw_agent(canvas, frame, int(i))
        _draw_caption(canvas, frame, full, kinds)
        images.append(image.reduce(SMOOTH))
        advance(1)
    write_gif(path, images, fps)


def draw_map(canvas: Canvas, road_map: RoadMap) -> None:
    for line in polylines(road_map, LineKind.SIDEWALK):
        if is_closed(line):
            canvas.area(line, SIDEWALK)
        else:
            canvas.band(line, SIDEWALK, SIDEWALK_WIDTH_M)
    lanes = polylines(road_map, LineKind.LANE_CENTER)
    for line in lanes:
        canvas.band(line, ROAD, LANE_WIDTH_M)
    for line in lanes:
        canvas.dashes(line, CENTER, 6, 8, 1.0)
    for line in polylines(road_map, LineKind.LANE_BOUNDARY):
        canvas.line(line, EDGE, 1.5)
    for stripe in crosswalk_stripes(road_map):
        canvas.area(stripe, STRIPE)
    for line in polylines(road_map, LineKind.STOP_LINE):
        canvas.line(line, STRIPE, 3)
    for line in polylines(road_map, LineKind.OBSTACLE):
        if len(line) > 2:
            canvas.area(line, OBSTACLE)
        canvas.line(line, OBSTACLE, 1.5)


def _paint(frame: ReportFrame, i: int) -> Colour:
    return EGO if frame.tracks.ids[i] == frame.ego_id else PAINT[int(frame.tracks.kind[i])]


def _draw_forecast(canvas: Canvas, frame: ReportFrame, i: int) -> None:
    tracks, colour = frame.tracks, _paint(frame, i)
    now = tracks.position[i, :1]
    canvas.line(tracks.position[i][tracks.valid[i]], colour, 1.5, 0.35)
    if frame.constant_velocity is not None:
        canvas.line(np.concatenate([now, frame.constant_velocity[i]]), STEADY, 1, 0.9)
    forecast = frame.forecast
    if forecast is not None and tracks.ids[i] in forecast.ids:
        row = forecast.ids.index(tracks.ids[i])
        if forecast.valid[row]:
            for mode, alpha in enumerate(mode_opacity(forecast.mode_probability)):
                canvas.line(np.concatenate([now, forecast.position[mode, row]]), colour, 2.2, float(alpha))
            best = int(forecast.mode_probability.argmax())
            major, minor, angle = ellipse(forecast.covariance[best, row, -1])
            turn = np.linspace(0, 2 * np.pi, 40)
            c, s = np.cos(angle), np.sin(angle)
            ring = np.column_stack([major * np.cos(turn), minor * np.sin(turn)]) @ np.array([[c, s], [-s, c]])
            canvas.area(ring + forecast.position[best, row, -1], colour, 0.07)
    if frame.future is not None and frame.future_valid is not None:
        known = frame.future[i][frame.future_valid[i]]
        canvas.dashes(np.concatenate([now, known]), TRUTH, 4, 4, 0.85)


def _draw_agent(canvas: Canvas, frame: ReportFrame, i: int) -> None:
    tracks, colour = frame.tracks, _paint(frame, i)
    least = 7 * SMOOTH / canvas.scale  # nobody is drawn smaller than 7 pixels
    size = tracks.size[i] if tracks.size_valid[i] else DEFAULT_SIZE[int(tracks.kind[i])]
    size = np.maximum(size, least)
    rim = 2.4 * SMOOTH / canvas.scale
    if tracks.kind[i] == Kind.PEDESTRIAN:
        turn = np.linspace(0, 2 * np.pi, 24)
        disc = np.column_stack([np.cos(turn), np.sin(turn)]) / 2
        for grown, fill in ((rim, EDGE), (0.0, colour)):
            canvas.area(tracks.position[i, 0] + disc * (size[0] + grown), fill)
        return
    for grown, fill in ((rim, EDGE), (0.0, colour)):
        canvas.area(box_corners(tracks.pose[i, 0], size + grown), fill)
    wedge = np.array([[0.38, 0.0], [0.14, 0.28], [0.14, -0.28]]) * size
    c, s = np.cos(tracks.yaw[i, 0]), np.sin(tracks.yaw[i, 0])
    canvas.area(tracks.position[i, 0] + wedge @ np.array([[c, s], [-s, c]]), EDGE, 0.8)


def _draw_caption(canvas: Canvas, frame: ReportFrame, full: tuple[int, int], kinds: Sequence[int]) -> None:
    from PIL import ImageFont

    font: Any = ImageFont.load_default(15 * SMOOTH)
    edge, base = 14 * SMOOTH, full[1] - 28 * SMOOTH
    caption = f"{frame.t_s:.1f} s"
    if frame.forecast is not None:
        caption += "   forecasts solid, in the colour of each"
    canvas.pen.text((edge, edge), caption, fill=TRUTH, font=font)
    entries: list[tuple[str, Colour]] = [(Kind(kind).name.lower(), PAINT[kind]) for kind in kinds]
    entries += [("ego", EGO)] if frame.ego_id is not None else []
    entries += [("constant velocity", STEADY), ("what happened (dashed)", TRUTH)]
    x: float = edge
    for text, colour in entries:
        canvas.pen.ellipse((x, base + 5 * SMOOTH, x + 8 * SMOOTH, base + 13 * SMOOTH), fill=colour)
        canvas.pen.text((x + 13 * SMOOTH, base), text, fill=TRUTH, font=font)
        x += 13 * SMOOTH + canvas.pen.textlength(text, font=font) + 18 * SMOOTH


def write_gif(path: Path, images: Sequence[Image.Image], fps: float) -> None:
    """One palette for all images: then what does not move is the same in each and costs nothing."""
    from PIL import Image

    width, height = images[0].size
    sample = Image.new("RGB", (width, 3 * height))  # so that a colour of the beginning or end is kept too
    for place, image in enumerate((images[0], images[len(images) // 2], images[-1])):
        sample.paste(image, (0, place * height))
    palette = sample.quantize(128)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    pause = max(round(100 / fps), 2) * 10  # GIF counts hundredths of a second; browsers slow down below two
    held = io.BytesIO()
    small[0].save(held, "GIF", save_all=True, append_images=small[1:], duration=pause, loop=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(held.getvalue())
    os.replace(temporary, path)
