"""Can a joint mode happen? Overlap between its agents, and vehicles that leave the road.

Overlap: bodies are boxes along their motion (as they stand now where they do not move), of their size or
their kind's default. They overlap where they share more than 10 cm along every axis; pairs that do so now
are left out, for the forecast did not put them there, and so are two tracks of one agent (lost, and born
anew), who are one body. Beside the joint modes stand the same agents with
futures drawn independently: candidates by their probability, and the paths of the joint modes shuffled.

Off-road: the share of forecast places of vehicles (but the ego) that lie in no lane, see `drivable`. Vehicles
in no lane now (parked, coming out of a drive) and places beyond the map's reach are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.frames import rotate
from drivewm.types import DEFAULT_SIZE, Forecast, Kind, Scene, Tracks
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.drivable import DrivableArea

SHARED_M = 0.1
"""What two bodies may share without overlapping: so exact are places and sizes."""
MOVES_M = 0.1
"""Over a step of less the direction is that of before."""
DRAWS = 8
Figures = dict[str, float | int | None]


def headings(path: Float[ndarray, "*b F 2"], start: Float[ndarray, "*#b 3"]) -> Float[ndarray, "*b F"]:
    """The direction of motion at each step (radians); that of before where an agent stands."""
    before = np.concatenate([np.broadcast_to(start[..., None, :2], (*path.shape[:-2], 1, 2)), path], axis=-2)
    step = np.diff(before, axis=-2)
    moves = np.hypot(step[..., 0], step[..., 1]) > MOVES_M
    yaw = np.arctan2(step[..., 1], step[..., 0])
    last = np.broadcast_to(start[..., 2], path.shape[:-2])
    out = np.zeros(path.shape[:-1])
    for f in range(path.shape[-2]):
        last = np.where(moves[..., f], yaw[..., f], last)
        out[..., f] = last
    return out


def overlapping(
    place: Float[ndarray, "*b A 2"], yaw: Float[ndarray, "*b A"], size: Float[ndarray, "A 2"]
) -> Bool[ndarray, "*b A A"]:
    """Which agents' boxes share more than 10 cm along every axis of both (separating axes); never itself."""
    half = size / 2
    offset = place[..., None, :, :] - place[..., :, None, :]  # from the first to the second
    turn = yaw[..., None, :] - yaw[..., :, None]
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    mine, theirs = half[:, None], half[None]
    own = np.abs(rotate(offset, -yaw[..., :, None]))  # in the first one's frame
    other = np.abs(rotate(offset, -yaw[..., None, :]))
    reach_own = mine + np.stack(
        [c * theirs[..., 0] + s * theirs[..., 1], s * theirs[..., 0] + c * theirs[..., 1]], -1
    )
    reach_other = theirs + np.stack(
        [c * mine[..., 0] + s * mine[..., 1], s * mine[..., 0] + c * mine[..., 1]], -1
    )
    shared = np.minimum(reach_own - own, reach_other - other).min(axis=-1)
    return (shared > SHARED_M) & ~np.eye(len(size), dtype=bool)


def sizes(tracks: Tracks) -> Float[ndarray, "A 2"]:
    """Length and width of each agent, those of its kind where unknown."""
    return np.where(tracks.size_valid[:, None], tracks.size, DEFAULT_SIZE[tracks.kind])


def two_bodies(scene: Scene, who: Int[ndarray, "A"]) -> Bool[ndarray, "A A"]:
    """Which pairs count: those apart now, and not tracks of the same agent (`who`, -1: nobody)."""
    size, now = sizes(scene.tracks), scene.tracks.pose[:, 0]
    same = (who[:, None] == who) & (who >= 0)
    return ~overlapping(now[:, :2], now[:, 2], size) & ~same


def overlapped(
    path: Float[ndarray, "*b A F 2"], scene: Scene, who: Int[ndarray, "A"]
) -> Bool[ndarray, "*b A"]:
    """Whether each agent overlaps another at some step."""
    size, now = sizes(scene.tracks), scene.tracks.pose[:, 0]
    yaw = headings(path, now)
    hit = overlapping(np.moveaxis(path, -2, -3), np.moveaxis(yaw, -1, -2), size)  # ... F A A
    met = np.asarray((hit.any(axis=-3) & two_bodies(scene, who)).any(axis=-1))
    return met


def drawn_independently(
    path: Float[ndarray, "M A F 2"], probability: Float[ndarray, "M A"], rng: np.random.Generator, draws: int
) -> Float[ndarray, "D A F 2"]:
    """Each agent's path by its probability, whatever the others do."""
    pick = (rng.random((draws, 1, path.shape[1])) > np.cumsum(probability, axis=0)[None]).sum(axis=1)
    return path[np.minimum(pick, len(path) - 1), np.arange(path.shape[1])]


def overlap(moments: Sequence[Moment], forecasts: Sequence[Forecast], draws: int = DRAWS) -> Figures:
    """Expected share of agents that overlap another one: in the joint modes, drawn independently, truly.

    `ratio` is joint over independent. Means over agents that are seen, with those who truly followed alone
    for `truth`. Scenes of fewer than two agents say nothing.
    """
    rng = np.random.default_rng(0)
    total = dict.fromkeys(("joint", "most_likely_mode", "independent", "shuffled", "truth"), 0.0)
    agents, followed = 0, 0
    for moment, forecast in zip(moments, forecasts, strict=True):
        if moment.scene.tracks.agents < 2:
            continue
        weight = forecast.mode_probability
        each = np.repeat(weight[:, None], moment.scene.tracks.agents, axis=1)
        who = moment.there.who
        joint = overlapped(forecast.position, moment.scene, who).sum(axis=1)
        total["joint"] += float(weight @ joint)
        total["most_likely_mode"] += float(joint[weight.argmax()])
        apart = drawn_independently(forecast.marginal_position, forecast.marginal_probability, rng, draws)
        total["independent"] += overlapped(apart, moment.scene, who).sum() / draws
        apart = drawn_independently(forecast.position, each, rng, draws)
        total["shuffled"] += overlapped(apart, moment.scene, who).sum() / draws
        agents += moment.scene.tracks.agents
        known = np.flatnonzero(moment.known[0])
        if len(known) > 1:
            total["truth"] += _truly(moment, known)
            followed += len(known)
    out: Figures = {name: value / agents if agents else None for name, value in total.items()}
    out["truth"] = total["truth"] / followed if followed else None
    out["ratio"] = total["joint"] / total["independent"] if total["independent"] else None
    out["agents"] = agents
    return out


def _truly(moment: Moment, known: Int[ndarray, "N"]) -> float:
    """How many of the agents overlap another one as it happened, by the true headings of the motion."""
    tracks = moment.scene.tracks
    size, now = sizes(tracks)[known], tracks.pose[known, 0]
    path = moment.future[0, known]
    fine = two_bodies(moment.scene, moment.there.who)[np.ix_(known, known)]
    hit = overlapping(np.moveaxis(path, -2, -3), headings(path, now).T, size)
    return float((hit.any(axis=0) & fine).any(axis=-1).sum())


def off_road(moments: Sequence[Moment], forecasts: Sequence[Forecast]) -> Figures:
    """Share of forecast vehicle places in no lane: of the joint modes (by probability), of the most likely
    candidate, and of what truly happened (where it is known)."""
    areas: dict[int, DrivableArea] = {}
    out = dict.fromkeys(("joint", "most_likely", "truth"), 0.0)
    count = dict.fromkeys(out, 0.0)
    vehicles = 0
    for moment, forecast in zip(moments, forecasts, strict=True):
        road_map = moment.scene.road_map
        area = areas.get(id(road_map)) or areas.setdefault(id(road_map), DrivableArea(road_map))
        tracks = moment.scene.tracks
        asked = (tracks.kind == Kind.VEHICLE) & ~moment.is_ego
        rows = np.flatnonzero(asked & area.holds(tracks.position[:, 0]))
        if area.empty or not len(rows):
            continue
        vehicles += len(rows)
        known = rows[moment.known[0, rows]]
        listed = (
            ("joint", forecast.position[:, rows], forecast.mode_probability),
            ("most_likely", forecast.most_likely[None, rows], np.ones(1)),
            ("truth", moment.future[:1, known], np.ones(1)),
        )
        for name, path, weight in listed:
            within = area.reaches(path) * weight[:, None, None]
            out[name] += float((within * ~area.holds(path)).sum())
            count[name] += float(within.sum())
    shares: Figures = {name: out[name] / count[name] if count[name] else None for name in out}
    return {**shares, "vehicles": vehicles}
