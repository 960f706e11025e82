"""A street to be looked at: the moments of a replay and the shapes they are drawn with.

Everything is in the scene frame (metres, radians); `report` and `animation` turn it into pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import Forecast, Kind, LineKind, RoadMap, Tracks

LANE_WIDTH_M = 3.5
"""A road map has no lane widths: every lane is drawn, and taken as roadway, this wide."""
SIDEWALK_WIDTH_M = 3.0
"""A sidewalk given as a line, not as an area, is drawn this wide."""
WIDEST_M = (80.0, 45.0)
"""No replay opens on more of the street than this: a person would be a speck."""
STRIPE_M = 0.5
"""Width of the bars of a crosswalk, and of the gaps between them."""
COVERAGE = 0.9
"""Share of outcomes the uncertainty ellipse claims to hold."""


@dataclass(frozen=True, kw_only=True)
class ReportFrame:
    """One moment of a replay. Axes: A agents, G steps of the known future."""

    t_s: float
    tracks: Tracks  # newest first: column 0 is now, the others are the trail
    ego_id: str | None = None
    forecast: Forecast | None = None  # the model's; matched to the agents by id
    constant_velocity: Float[ndarray, "A F 2"] | None = None  # its single path, in the order of `tracks`
    future: Float[ndarray, "A G 2"] | None = None  # where the agents really went; zero where unknown
    future_valid: Bool[ndarray, "A G"] | None = None
    notes: tuple[str, ...] = ()  # one line an agent (its intent, say), or none at all

    def __post_init__(self) -> None:
        agents = self.tracks.agents
        for name in ("constant_velocity", "future", "future_valid"):
            value = getattr(self, name)
            if value is not None and len(value) != agents:
                raise ValueError(f"{name} must have one row for each of {agents} agents, got {len(value)}")
        if (self.future is None) != (self.future_valid is None):
            raise ValueError("future and future_valid come together")
        if self.notes and len(self.notes) != agents:
            raise ValueError(f"notes must be one for each of {agents} agents, got {len(self.notes)}")

    @property
    def present(self) -> Int[ndarray, "B"]:
        """The agents that are seen now."""
        return np.flatnonzero(self.tracks.valid[:, 0])


def polylines(road_map: RoadMap, kind: LineKind) -> list[Float[ndarray, "L 2"]]:
    """The lines of one kind, without padding."""
    rows = np.flatnonzero(road_map.kind == kind)
    lines = [road_map.points[row][road_map.valid[row]] for row in rows]
    return [line for line in lines if len(line) >= 2]


def is_closed(line: Float[ndarray, "L 2"]) -> bool:
    """Whether a polyline ends where it begins, and so bounds an area."""
    return len(line) >= 4 and bool(np.allclose(line[0], line[-1], atol=0.05))


def _direction_near(lines: Sequence[ndarray], point: Float[ndarray, "2"]) -> Float[ndarray, "2"] | None:
    """The unit direction of the segment whose middle is nearest to a point; none without lines."""
    if not lines:
        return None
    start = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate([np.diff(line, axis=0) for line in lines])
    length = np.hypot(step[:, 0], step[:, 1])
    offset = start + step / 2 - point
    distance = np.hypot(offset[:, 0], offset[:, 1])
    nearest = np.where(length > 1e-6, distance, np.inf).argmin()
    return step[nearest] / max(length[nearest], 1e-6)


def _outline(line: Float[ndarray, "L 2"]) -> Float[ndarray, "V 2"]:
    """The corners of a crosswalk: its polygon, or a band 3 m wide about a line of two points."""
    if len(line) > 2:
        return line[:-1] if is_closed(line) else line
    along = (line[1] - line[0]) / max(float(np.hypot(*(line[1] - line[0]))), 1e-6)
    left = 1.5 * np.array([-along[1], along[0]])
    return np.array([line[0] - left, line[1] - left, line[1] + left, line[0] + left])


def crosswalk_stripes(road_map: RoadMap) -> list[Float[ndarray, "4 2"]]:
    """The painted bars of every crosswalk, each a quadrilateral, parallel to the nearest lane.

    Crosswalks are taken as convex. Without lanes the bars lie across the crosswalk's longer axis.
    """
    lanes = polylines(road_map, LineKind.LANE_CENTER)
    stripes = []
    for line in polylines(road_map, LineKind.CROSSWALK):
        corners = _outline(line)
        centre = corners.mean(axis=0)
        along = _direction_near(lanes, centre)
        if along is None:
            along = np.linalg.svd(corners - centre)[2][-1]  # the shorter axis
        axes = np.stack([along, [-along[1], along[0]]])  # rows: along the bars, from bar to bar
        flat = (corners - centre) @ axes.T
        low, high = flat[:, 1].min(), flat[:, 1].max()
        count = max(int((high - low) / STRIPE_M + 1) // 2, 1)
        first = (low + high) / 2 - (count - 1) * STRIPE_M
        for middle in first + 2 * STRIPE_M * np.arange(count):
            ends = _span_at(flat, middle)
            half = STRIPE_M / 2
            bar = [
                (ends[0], middle - half),
                (ends[1], middle - half),
                (ends[1], middle + half),
                (ends[0], middle + half),
            ]
            stripes.append(np.array(bar) @ axes + centre)
    return stripes


def _span_at(corners: Float[ndarray, "V 2"], level: float) -> tuple[float, float]:
    """First coordinates at which a convex outline crosses a level of the second."""
    after = np.roll(corners, -1, axis=0)
    rise = after[:, 1] - corners[:, 1]
    share = (level - corners[:, 1]) / np.where(np.abs(rise) > 1e-9, rise, np.inf)
    hit = (np.abs(rise) > 1e-9) & (share >= 0) & (share <= 1)
    where = (corners[:, 0] + share * (after[:, 0] - corners[:, 0]))[hit]
    return (float(where.min()), float(where.max())) if len(where) else (0.0, 0.0)


def box_corners(pose: Float[ndarray, "*b 3"], size: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 4 2"]:
    """The corners of oriented boxes: front left, front right, rear right, rear left."""
    c, s = np.cos(pose[..., 2, None]), np.sin(pose[..., 2, None])
    forward = np.array([0.5, 0.5, -0.5, -0.5]) * size[..., :1]
    left = np.array([0.5, -0.5, -0.5, 0.5]) * size[..., 1:]
    return pose[..., None, :2] + np.stack([c * forward - s * left, s * forward + c * left], axis=-1)


def ellipse(covariance: Float[ndarray, "*b 2 2"]) -> Float[ndarray, "*b 3"]:
    """Half axes in metres (longer first) and direction of the ellipse that holds 90 % of a Gaussian."""
    value, vector = np.linalg.eigh(covariance)
    half = np.sqrt(np.maximum(value[..., ::-1], 0.0) * -2.0 * np.log(1.0 - COVERAGE))
    angle = np.arctan2(vector[..., 1, 1], vector[..., 0, 1])
    return np.concatenate([half, angle[..., None]], axis=-1)


def mode_opacity(probability: Float[ndarray, "*b"]) -> Float[ndarray, "*b"]:
    """How strongly modes (first axis) are drawn: the most probable 0.9, an impossible one 0.12."""
    return 0.12 + 0.78 * probability / np.maximum(probability.max(axis=0), 1e-9)


def lane_distance(points: Float[ndarray, "*b 2"], road_map: RoadMap) -> Float[ndarray, "*b"]:
    """Metres from each point to the nearest lane centre; infinite on a map without lanes.

    Heights are not looked at: a footbridge counts as roadway.
    """
    flat = points.reshape(-1, 2)
    near = np.full(len(flat), np.inf)
    for lane in polylines(road_map, LineKind.LANE_CENTER):
        start, step = lane[:-1], np.diff(lane, axis=0)
        square = np.maximum((step**2).sum(axis=-1), 1e-9)
        share = np.clip(((flat[:, None] - start) * step).sum(axis=-1) / square, 0.0, 1.0)
        offset = flat[:, None] - start - share[..., None] * step
        near = np.minimum(near, (offset**2).sum(axis=-1).min(axis=-1))
    return np.sqrt(near).reshape(points.shape[:-1])


def roadway_probability(forecast: Forecast, road_map: RoadMap) -> Float[ndarray, "A"] | None:
    """The chance that an agent is in a lane at any step of the forecast; none on a map without lanes.

    The sum of the probabilities of the joint modes in which its centre comes within half a lane
    width of a lane centre.
    """
    if not polylines(road_map, LineKind.LANE_CENTER):
        return None
    inside = (lane_distance(forecast.position, road_map) <= LANE_WIDTH_M / 2).any(axis=-1)
    return (forecast.mode_probability[:, None] * inside).sum(axis=0)


def extent(frames: Sequence[ReportFrame], road_map: RoadMap, margin: float = 8.0) -> Float[ndarray, "4"]:
    """What is worth seeing: x and y minimum, then maximum, of the people, cyclists and ego, in metres.

    Where there are only vehicles, of all of them. At least 30 m by 16 m; at most 80 m by 45 m, then
    about the crosswalk nearest to where the ego (or everyone) is on average, or without one about there.
    """
    everyone, people, ego = [np.zeros((0, 2))], [np.zeros((0, 2))], [np.zeros((0, 2))]
    for frame in frames:
        now = frame.tracks.position[frame.present, 0]
        is_ego = np.array([frame.tracks.ids[i] == frame.ego_id for i in frame.present], bool)
        everyone.append(now)
        people.append(now[is_ego | (frame.tracks.kind[frame.present] != Kind.VEHICLE)])
        ego.append(now[is_ego])
    # The first that is not empty; a point at the origin where nobody is ever seen.
    points, centres = (
        next(p for p in (*(np.concatenate(group) for group in groups), np.zeros((1, 2))) if len(p))
        for groups in ((people, everyone), (ego, everyone))
    )
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.maximum((high - low) / 2 + margin, [15.0, 8.0])
    most = np.array(WIDEST_M) / 2
    about = centres.mean(axis=0)
    crossings = [_outline(line).mean(axis=0) for line in polylines(road_map, LineKind.CROSSWALK)]
    if crossings:
        about = min(crossings, key=lambda crossing: float(np.hypot(*(crossing - about))))
    middle = np.where(half > most, about, (low + high) / 2)
    half = np.minimum(half, most)
    return np.concatenate([middle - half, middle + half])
