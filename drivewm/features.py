"""Scene to model inputs: the one path that serves training and the car alike.

Pure NumPy. Every agent and polyline is written in its own frame, so that only relative poses carry the
place and direction of the scene: turning or moving the scene turns and moves the forecast.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm import context
from drivewm.bev import BevSpec
from drivewm.frames import rotate, to_frame
from drivewm.nearby import nearby_pieces
from drivewm.types import DEFAULT_SIZE, LineKind, RoadMap, Scene, Tracks

KINDS = 3
HISTORY_CHANNELS = 5  # x, y and velocity x, y in the agent's frame, age
ATTRIBUTES = KINDS + 5  # kind one-hot, length, width, size known, speed, heading known
LINE_POINTS = 10
LINE_SPACING_M = 2.0
LINE_CHANNELS = 4  # x, y and direction x, y in the polyline's frame
LINE_KINDS = len(LineKind)


@dataclass(frozen=True, kw_only=True)
class ModelInputs:
    """Fixed shapes, float32, masks 0 or 1: the very names of the ONNX inputs. Padding is zero.

    Axes: B scenes, A agents, S history slots (newest first), P polylines, L points.
    """

    history: Float[ndarray, "B A S 5"]
    history_mask: Float[ndarray, "B A S"]
    attributes: Float[ndarray, "B A 8"]
    agent_pose: Float[ndarray, "B A 4"]  # x, y, cos yaw, sin yaw; metres from the scene's centre
    agent_velocity: Float[ndarray, "B A 2"]  # m/s in the agent's own frame
    agent_mask: Float[ndarray, "B A"]
    lines: Float[ndarray, "B P L 4"]
    line_mask: Float[ndarray, "B P"]
    line_kind: Float[ndarray, "B P 6"]
    line_pose: Float[ndarray, "B P 4"]
    # Of models that use them; None for others. G ego plans, F steps, C channels of the bird's-eye grid.
    line_signal: Float[ndarray, "B P 3"] | None = None
    plan: Float[ndarray, "B G F 4"] | None = None
    plan_mask: Float[ndarray, "B G F"] | None = None
    bev: Float[ndarray, "B C H W"] | None = None
    bev_mask: Float[ndarray, "B C"] | None = None
    bev_pose: Float[ndarray, "B 4"] | None = None

    def as_dict(self) -> dict[str, ndarray]:
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in named if value is not None}


INPUT_NAMES = tuple(f.name for f in fields(ModelInputs) if f.default is MISSING)
"""The inputs of every model."""
SIGNAL_INPUTS = ("line_signal",)
PLAN_INPUTS = ("plan", "plan_mask")
BEV_INPUTS = ("bev", "bev_mask", "bev_pose")
PER_AGENT = tuple(n for n in INPUT_NAMES if not n.startswith("line"))


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """Which inputs a model takes, and how large."""

    polylines: int = 64
    steps: int = 12  # of a plan
    signals: bool = False
    plan: bool = False
    bev: BevSpec | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the graph's inputs."""
        return (
            *INPUT_NAMES,
            *(SIGNAL_INPUTS if self.signals else ()),
            *(PLAN_INPUTS if self.plan else ()),
            *(BEV_INPUTS if self.bev else ()),
        )


def agent_features(tracks: Tracks, center: Float[ndarray, "A 2"] | Float[ndarray, "2"]) -> dict[str, ndarray]:
    """The per-agent inputs of A agents, without batch axis. `center` becomes the origin of `agent_pose`."""
    frame = np.concatenate([tracks.position[:, 0], tracks.yaw[:, :1]], axis=-1)
    position = to_frame(tracks.position, frame[:, None])
    velocity = rotate(tracks.velocity, -frame[:, None, 2])
    age = np.broadcast_to(-tracks.times, tracks.valid.shape)
    history = np.concatenate([position, velocity, age[..., None]], axis=-1)
    now = velocity[:, 0]
    size = np.where(tracks.size_valid[:, None], tracks.size, DEFAULT_SIZE[tracks.kind])
    attributes = np.concatenate(
        [
            np.eye(KINDS)[tracks.kind],
            size,
            tracks.size_valid[:, None],
            np.hypot(now[:, 0], now[:, 1])[:, None],
            tracks.heading_valid[:, None],
        ],
        axis=-1,
    )
    pose = context.pose_features(frame, center)
    seen = tracks.valid if tracks.unseen_s is None else tracks.valid & (age >= tracks.unseen_s[:, None])
    return {
        "history": np.where(seen[..., None], history, 0.0),
        "history_mask": seen,
        "attributes": attributes,
        "agent_pose": pose,
        "agent_velocity": now,
        "agent_mask": tracks.valid[:, 0],
    }


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A map cut into pieces of 10 points 2 m apart, in the scene frame. Axis: P pieces."""

    points: Float[ndarray, "P L 2"]
    kind: Int[ndarray, "P"]  # LineKind
    of: Int[ndarray, "P"]  # the polyline of the map that the piece is cut from

    @classmethod
    def none(cls) -> Lines:
        nobody = np.zeros(0, np.int64)
        return cls(points=np.zeros((0, LINE_POINTS, 2)), kind=nobody, of=nobody)

    def only(self, rows: Int[ndarray, "N"]) -> Lines:
        """These pieces."""
        return Lines(points=self.points[rows], kind=self.kind[rows], of=self.of[rows])


@dataclass(frozen=True)
class _Cut:
    """The pieces of a map, and what tells whether it is still the map that was cut."""

    road_map: weakref.ref[RoadMap]
    signature: tuple[float, ...]
    lines: Lines


_CUTS: dict[int, _Cut] = {}
_MOST_CUTS = 64


def split_lines(road_map: RoadMap) -> Lines:
    """Polylines as pieces, one beginning where the last ended.

    The last piece of a line is shorter and padded by its last point, which has no direction. The pieces of
    the last maps are kept: a drive asks for those of the same map at every tick.
    """
    signature = (float(road_map.points.sum()), float(road_map.valid.sum()), float(road_map.kind.sum()))
    known = _CUTS.get(id(road_map))
    if known is not None and known.road_map() is road_map and known.signature == signature:
        return known.lines
    lines = _split(road_map)
    if len(_CUTS) >= _MOST_CUTS:
        _CUTS.clear()
    _CUTS[id(road_map)] = _Cut(weakref.ref(road_map), signature, lines)
    return lines


def _split(road_map: RoadMap) -> Lines:
    pieces, of = [], []
    for row, (points, valid) in enumerate(zip(road_map.points, road_map.valid, strict=True)):
        line = _even(points[valid])
        for start in range(0, max(len(line) - 1, 0), LINE_POINTS - 1):
            piece = line[start : start + LINE_POINTS]
            pad = np.repeat(piece[-1:], LINE_POINTS - len(piece), axis=0)
            pieces.append(np.concatenate([piece, pad]))
            of.append(row)
    if not pieces:
        return Lines.none()
    rows = np.asarray(of, np.int64)
    return Lines(points=np.stack(pieces), kind=np.asarray(road_map.kind, np.int64)[rows], of=rows)


def _even(line: Float[ndarray, "N 2"]) -> Float[ndarray, "K 2"]:
    """The line with a point every 2 m (a little less, so that it ends where it ended)."""
    if len(line) < 2:
        return line[:0]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    if along[-1] == 0:
        return line[:0]
    # The margin keeps a length of whole steps from gaining a point by rounding, as when the scene is turned.
    steps = max(1, int(np.ceil(along[-1] / LINE_SPACING_M - 1e-6)))
    at = np.linspace(0.0, along[-1], steps + 1)
    return np.stack([np.interp(at, along, line[:, i]) for i in (0, 1)], axis=-1)


def line_features(
    lines: Lines, near: Int[ndarray, "N"], center: Float[ndarray, "2"], limit: int
) -> dict[str, ndarray]:
    """The map inputs of the chosen pieces, each in its own frame, padded to `limit`."""
    out = {
        "lines": np.zeros((limit, LINE_POINTS, LINE_CHANNELS)),
        "line_mask": np.zeros(limit),
        "line_kind": np.zeros((limit, LINE_KINDS)),
        "line_pose": np.zeros((limit, 4)),
    }
    if len(near) == 0:
        return out
    chosen = lines.points[near]
    middle = chosen[:, LINE_POINTS // 2]
    step = np.diff(chosen, axis=1, append=chosen[:, -1:])
    yaw = np.arctan2(step[:, 0, 1], step[:, 0, 0])
    frame = np.concatenate([middle, yaw[:, None]], axis=-1)
    count = len(near)
    out["lines"][:count] = np.concatenate(
        [to_frame(chosen, frame[:, None]), rotate(step, -frame[:, None, 2])], axis=-1
    )
    out["line_mask"][:count] = 1
    out["line_kind"][:count] = np.eye(LINE_KINDS)[lines.kind[near]]
    out["line_pose"][:count] = context.pose_features(frame, center)
    return out


def scene_center(position: Float[ndarray, "A 2"], present: ndarray) -> Float[ndarray, "2"]:
    """Where the recentred frame has its origin: the mean of the present agents."""
    return position[present].mean(axis=0) if present.any() else np.zeros(2)


def stack_inputs(rows: Sequence[dict[str, ndarray]], agents: int) -> ModelInputs:
    """One batch from per-scene features, agents padded with zeros to `agents`."""
    columns = {}
    for name, first in rows[0].items():
        per_agent = name in PER_AGENT
        shape = (len(rows), agents, *first.shape[1:]) if per_agent else (len(rows), *first.shape)
        batch = np.zeros(shape, np.float32)
        for i, row in enumerate(rows):
            batch[i, : len(row[name])] = row[name]
        columns[name] = batch
    return ModelInputs(**columns)


def scene_features(scene: Scene, sizes: InputSizes) -> dict[str, ndarray]:
    """All inputs of one scene, without batch axis."""
    tracks = scene.tracks
    center = scene_center(tracks.position[:, 0], tracks.valid[:, 0])
    lines = split_lines(scene.road_map)
    now = tracks.position[:, 0], tracks.velocity[:, 0], tracks.valid[:, 0]
    near = nearby_pieces(lines.points, lines.kind, *now, sizes.polylines)
    row = agent_features(tracks, center) | line_features(lines, near, center, sizes.polylines)
    if sizes.signals:
        state = context.signal_states(scene.road_map, scene.signals)[lines.of[near]]
        row["line_signal"] = context.signal_features(state, sizes.polylines)
    if sizes.plan:
        row |= context.plan_features(scene.plan, center, sizes.steps)
    if sizes.bev is not None:
        row |= context.bev_features(scene.bev, scene.ego_pose, center, sizes.bev)
    return row


def featurize(
    scenes: Sequence[Scene],
    *,
    agents: int | None = None,
    polylines: int = 64,
    sizes: InputSizes | None = None,
) -> ModelInputs:
    """One batch of scenes. Agents are padded to `agents` (default: as many as the fullest scene has).

    `sizes` says what the model takes; by default agents and `polylines` pieces of the map.
    """
    sizes = sizes or InputSizes(polylines=polylines)
    rows = [scene_features(scene, sizes) for scene in scenes]
    most = max([1, *(scene.tracks.agents for scene in scenes)])
    if agents is not None and most > agents:
        raise ValueError(f"{most} agents do not fit {agents} slots")
    return stack_inputs(rows, agents or most)
