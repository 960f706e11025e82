"""A street from above, for debugging by looking: a sheet of moments (PNG) or a film (GIF).

Of a recording, or of a simulator's frames with their map: lanes, crosswalks, every agent as its box with a
heading, two seconds of trail, people in the colour of their intent where it is known, ids if wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm.timing import MAX_HOLE_S
from drivewm.tracks import tracks_from_positions
from drivewm.types import DEFAULT_SIZE, Kind, RoadMap, Tracks
from drivewm_datasets.recording import CONTEXT, Recording
from drivewm_datasets.sampling import anchor_times, sample_agent
from drivewm_eval.animation import EGO, GROUND, PAINT, SMOOTH, TRUTH, Canvas, Colour, draw_map, write_gif
from drivewm_eval.draw import ReportFrame, box_corners, extent

if TYPE_CHECKING:
    from PIL import Image

    from drivewm_sim.simulator import Frame

TRAIL_S = 2.0
TRAIL_STEP_S = 0.2
LEAST_PIXELS = 5.0
"""Nobody is drawn smaller."""
INTENT_PAINT: dict[str, Colour] = {
    "approaching": (204, 134, 0),
    "waiting": (196, 30, 58),
    "crossing": (0, 122, 61),
    "pausing": (150, 60, 170),
    "hesitating": (150, 60, 170),
    "turning back": (150, 60, 170),
    "retreating": (150, 60, 170),
    "running": (0, 150, 160),
    "yielding": (0, 122, 61),
    "braking": (196, 30, 58),
}
"""Colour by intent; whoever does the usual thing (walking, driving) has the colour of its kind."""

Notes = Mapping[tuple[float, str], str]
"""An intent by time (seconds, rounded to milliseconds) and agent id."""


def moments_of_recording(
    recording: Recording,
    *,
    every: float = 1.0,
    begin: float = 0.0,
    seconds: float = np.inf,
    notes: Notes | None = None,
    headings: Notes | None = None,
) -> list[ReportFrame]:
    """Moments of a recording `every` seconds, from `begin` seconds after its first frame on.

    `headings` (radians as text, keyed like `notes`) turn the boxes of those whose motion shows no heading.
    """
    start = float(recording.t_s.min()) if len(recording.t_s) else 0.0
    times = anchor_times(recording, every)
    times = times[(times >= start + begin - 1e-6) & (times <= start + begin + seconds + 1e-6)]
    return [_moment(recording, float(t_s), notes, headings or {}) for t_s in times]


def moments_of_frames(frames: Sequence[Frame], *, every: int = 1) -> list[ReportFrame]:
    """Every n-th of a simulator's frames, as truth has it; trails come from the frames before."""
    out = []
    for place in range(0, len(frames), every):
        frame = frames[place]
        past = [f for f in frames[: place + 1] if frame.time_s - f.time_s <= TRAIL_S + 1e-6][::-1]
        agents = frame.truth
        row_of = [{uid: row for row, uid in enumerate(f.truth.uid.tolist())} for f in past]
        pose = np.zeros((len(agents.uid), len(past), 3))
        velocity = np.zeros((len(agents.uid), len(past), 2))
        valid = np.zeros(pose.shape[:2], bool)
        for i, uid in enumerate(agents.uid.tolist()):
            for k, f in enumerate(past):
                row = row_of[k].get(uid)
                if row is not None:
                    pose[i, k], velocity[i, k], valid[i, k] = f.truth.pose[row], f.truth.velocity[row], True
        tracks = Tracks(
            pose=pose,
            velocity=velocity,
            valid=valid,
            size=np.asarray(agents.size, np.float64),
            size_valid=np.asarray((agents.size > 0).all(axis=1)),
            kind=np.asarray(agents.kind, np.int64),
            ids=tuple(map(str, agents.uid.tolist())),
            times=np.array([f.time_s - frame.time_s for f in past]),
            heading_valid=np.ones(len(agents.uid), bool),
        )
        intents = tuple(_intent_name(intent) for intent in agents.intent.tolist())
        out.append(ReportFrame(t_s=frame.time_s, tracks=tracks, ego_id=str(frame.ego_uid), notes=intents))
    return out


def write_sheet(
    path: Path,
    moments: Sequence[ReportFrame],
    road_map: RoadMap,
    *,
    columns: int = 2,
    width: int = 900,
    view: Float[ndarray, "4"] | None = None,
    around: str | None = None,
    reach: float = 30.0,
    ids: bool = False,
) -> None:
    """Writes a PNG with all moments, row by row, each `width` pixels wide and 16:9. Atomic.

    What is seen: `view` (x and y minimum, then maximum, metres), or `reach` metres to both sides of the
    agent with the id `around`, or else the part of the street where the people are.
    """
    from PIL import Image

    images = _images(moments, road_map, width, view, around, reach, ids)
    rows = -(-len(images) // columns)
    wide, high = images[0].size
    gap = 4
    sheet = Image.new("RGB", (columns * (wide + gap) - gap, rows * (high + gap) - gap), (255, 255, 255))
    for place, image in enumerate(images):
        sheet.paste(image, (place % columns * (wide + gap), place // columns * (high + gap)))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    sheet.save(part, "PNG")
    os.replace(part, path)


def write_film(
    path: Path,
    moments: Sequence[ReportFrame],
    road_map: RoadMap,
    *,
    fps: float = 10.0,
    width: int = 900,
    view: Float[ndarray, "4"] | None = None,
    around: str | None = None,
    reach: float = 30.0,
    ids: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Writes a GIF, one image a moment, that repeats for ever. Atomic. View: see `write_sheet`."""
    write_gif(path, _images(moments, road_map, width, view, around, reach, ids, advance), fps)


def _images(
    moments: Sequence[ReportFrame],
    road_map: RoadMap,
    width: int,
    view: Float[ndarray, "4"] | None,
    around: str | None,
    reach: float,
    ids: bool,
    advance: Callable[[], None] = lambda: None,
) -> list[Image.Image]:
    from PIL import Image

    if not moments:
        raise InputError("a picture needs at least one moment, got none; choose an earlier --begin")
    fixed = extent(moments, road_map) if view is None else view
    full = (width * SMOOTH, width * 9 // 16 * SMOOTH)
    street: Image.Image | None = None
    images = []
    for moment in moments:
        seen = fixed if around is None else _around(moment, around, reach, fixed)
        if street is None or around is not None:
            street = Image.new("RGB", full, GROUND)
            draw_map(Canvas(street, seen), road_map)
        image = street.copy()
        canvas = Canvas(image, seen)
        for i in moment.present.tolist():
            _draw_trail(canvas, moment, i)
        for i in moment.present.tolist():
            _draw_body(canvas, moment, i)
        _draw_text(canvas, moment, full, ids)
        images.append(image.reduce(SMOOTH))
        advance()
        fixed = seen
    return images


def _moment(recording: Recording, t_s: float, notes: Notes | None, headings: Notes) -> ReportFrame:
    agents = recording.agents_at(t_s)
    agents = agents[recording.kind[agents] != CONTEXT]
    ages = np.arange(0.0, TRAIL_S + 1e-9, TRAIL_STEP_S)
    holes = np.full(len(ages), MAX_HOLE_S + 1e-6)
    samples = [sample_agent(recording, int(a), t_s - ages, holes, until=t_s) for a in agents]
    shape = (len(agents), len(ages))
    ids = tuple(recording.agent_ids[a] for a in agents)
    tracks = tracks_from_positions(
        position=np.array([s[0][:, :2] for s in samples]).reshape(*shape, 2),
        valid=np.array([s[1] for s in samples], bool).reshape(shape),
        times=-ages,
        kind=recording.kind[agents],
        size=recording.size[agents],
        ids=ids,
    )
    for row, agent_id in enumerate(ids):
        heading = headings.get((round(t_s, 3), agent_id))
        if heading and not tracks.heading_valid[row]:
            tracks.pose[row, :, 2], tracks.heading_valid[row] = float(heading), True
    told = tuple((notes or {}).get((round(t_s, 3), agent_id), "") for agent_id in ids) if notes else ()
    return ReportFrame(
        t_s=t_s, tracks=tracks, ego_id=recording.ego_id, notes=tuple(note.replace("_", " ") for note in told)
    )


def _intent_name(intent: int) -> str:
    from drivewm_sim.simulator import Intent

    return Intent(intent).name.lower().replace("_", " ")


def _around(
    moment: ReportFrame, agent_id: str, reach: float, last: Float[ndarray, "4"]
) -> Float[ndarray, "4"]:
    """The view about an agent; the last one while it is not there."""
    if agent_id not in moment.tracks.ids:
        return last
    middle = moment.tracks.position[moment.tracks.ids.index(agent_id), 0]
    half = np.array([reach, reach * 9 / 16])
    return np.concatenate([middle - half, middle + half])


def _paint(moment: ReportFrame, i: int) -> Colour:
    if moment.tracks.ids[i] == moment.ego_id:
        return EGO
    note = moment.notes[i] if moment.notes else ""
    return INTENT_PAINT.get(note, PAINT[int(moment.tracks.kind[i])])


def _draw_trail(canvas: Canvas, moment: ReportFrame, i: int) -> None:
    canvas.line(moment.tracks.position[i][moment.tracks.valid[i]], _paint(moment, i), 1.5, 0.55)


def _draw_body(canvas: Canvas, moment: ReportFrame, i: int) -> None:
    """A box for vehicles and cyclists, a disc for people; a white nose points where the agent is heading."""
    tracks, colour = moment.tracks, _paint(moment, i)
    size = tracks.size[i] if tracks.size_valid[i] else DEFAULT_SIZE[int(tracks.kind[i])]
    size = np.maximum(size, LEAST_PIXELS * SMOOTH / canvas.scale)
    rim = 1.6 * SMOOTH / canvas.scale
    c, s = np.cos(tracks.yaw[i, 0]), np.sin(tracks.yaw[i, 0])
    turn = np.array([[c, s], [-s, c]])
    here = tracks.position[i, 0]
    if tracks.kind[i] == Kind.PEDESTRIAN:
        angle = np.linspace(0, 2 * np.pi, 24)
        disc = np.column_stack([np.cos(angle), np.sin(angle)]) / 2
        canvas.area(here + disc * (size[0] + rim), (255, 255, 255))
        canvas.area(here + disc * size[0], colour)
        if tracks.heading_valid[i]:
            nose = np.array([[0.0, 0.0], [0.75 * size[0], 0.0]]) @ turn
            canvas.line(here + nose, colour, 1.5)
        return
    canvas.area(box_corners(tracks.pose[i, 0], size + rim), (255, 255, 255))
    canvas.area(box_corners(tracks.pose[i, 0], size), colour)
    if tracks.heading_valid[i]:
        wedge = np.array([[0.42, 0.0], [0.14, 0.3], [0.14, -0.3]]) * size
        canvas.area(here + wedge @ turn, (255, 255, 255), 0.8)


def _draw_text(canvas: Canvas, moment: ReportFrame, full: tuple[int, int], ids: bool) -> None:
    """The time, what the colours mean, and beside every agent its id (if wanted) and unusual intent."""
    from PIL import ImageFont

    font: Any = ImageFont.load_default(15 * SMOOTH)
    small: Any = ImageFont.load_default(10 * SMOOTH)
    shown: dict[str, Colour] = {}
    for i in moment.present.tolist():
        note = moment.notes[i] if moment.notes else ""
        colour = _paint(moment, i)
        special = note in INTENT_PAINT and moment.tracks.ids[i] != moment.ego_id
        usual = "ego" if moment.tracks.ids[i] == moment.ego_id else Kind(moment.tracks.kind[i]).name.lower()
        label = " ".join(
            part for part in (moment.tracks.ids[i] if ids else "", note if special else "") if part
        )
        ((x, y),) = canvas.pixels(moment.tracks.position[i, :1])
        if not (0 <= x < full[0] and 0 <= y < full[1]):
            continue
        shown[note if special else usual] = colour
        if label:
            canvas.pen.text((x + 5 * SMOOTH, y - 14 * SMOOTH), label, fill=colour, font=small)
    edge = 12 * SMOOTH
    canvas.pen.text((edge, edge), f"{moment.t_s:.1f} s", fill=TRUTH, font=font)
    x, base = float(edge), full[1] - 28 * SMOOTH
    for name, colour in sorted(shown.items()):
        canvas.pen.ellipse((x, base + 5 * SMOOTH, x + 9 * SMOOTH, base + 14 * SMOOTH), fill=colour)
        canvas.pen.text((x + 13 * SMOOTH, base), name, fill=TRUTH, font=font)
        x += 31 * SMOOTH + canvas.pen.textlength(name, font=font)
    bar = 10.0 * canvas.scale  # 10 m
    y = edge + 10 * SMOOTH
    canvas.pen.line((full[0] - edge - bar, y, full[0] - edge, y), fill=TRUTH, width=2 * SMOOTH)
    canvas.pen.text((full[0] - edge - bar, y + 3 * SMOOTH), "10 m", fill=TRUTH, font=small)
