"""What speaks against what was expected: raw signals an agent, from earlier beliefs and what is seen now.

Larger is stranger. Each signal has its own unit; `surprise` brings them to one.

- `position_0.4`, `_0.8`, `_1.2`: negative log density (nats, per m^2) of the place seen now under the
  marginal mixture forecast so many seconds ago.
- `latent`: mean squared difference between the latent seen now and the nearest of those that the joint modes
  foresaw 1.2 s ago; modes of less than 2 % do not count.
- `ghost`: metres of free ground around somebody who is seen there.
- `gone`: metres of free ground around the places at which somebody who is not seen was forecast, in the
  mean, times the probability that the agent still exists.
- `appeared`: metres of free ground that were around a new agent's place 0.4 s ago; known of new agents alone,
  so that it asks where somebody appears, not how often somebody does.
- `solid`: how deep (m) the way of the last 0.4 s leads into another's box or an obstacle.
- `lane`: angle (rad) between a vehicle's heading and the lane's.

The last two are rules, and `free ground` is measured, not learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.belief import Belief
from drivewm.density import floored, log_density
from drivewm.free_ground import depth_in_free_ground
from drivewm.lane_direction import angle_to_lane
from drivewm.solidity import depth_in_boxes, depth_in_outlines, obstacle_edges
from drivewm.types import DEFAULT_SIZE, Kind, Scene

LOOK_BACK_S = (0.4, 0.8, 1.2)
POSITIONS = tuple(f"position_{back:g}" for back in LOOK_BACK_S)
SIGNALS = (*POSITIONS, "latent", "ghost", "gone", "appeared", "solid", "lane")
SAME_TIME_S = 0.05
UNLIKELY = 0.02
SAME_M = 2.0
"""A new track of its kind this near to where somebody is missed is taken for the one who is missed."""
DRIVES_MPS = 1.0
WAY_POINTS = 9


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Signals of the agents that are in the scene now, then of those in earlier ones who are not any more.

    Axes: A agents, E signals, D channels of a latent. Unknown entries are zero.
    """

    t_s: float
    ids: tuple[str, ...]
    kind: Int[ndarray, "A"]
    speed: Float[ndarray, "A"]  # m/s, when the oldest belief was held: before what is judged
    hidden: Bool[ndarray, "A"]  # not seen now, or not at the time of one of the beliefs in which it is
    value: Float[ndarray, "A E"]  # of SIGNALS
    known: Bool[ndarray, "A E"]
    latent: Float[ndarray, "A D"]
    latent_known: Bool[ndarray, "A"]


def evidence(now: Belief, before: Sequence[Belief]) -> Evidence:
    """The signals at the time of `now`; of the earlier beliefs those 0.4, 0.8 and 1.2 s old are used."""
    past = {back: b for back in LOOK_BACK_S if (b := _held(before, now.scene.t_s - back)) is not None}
    absent = _absent(now.scene, past)
    ids = (*now.scene.tracks.ids, *absent)
    here = now.scene.tracks.agents
    kind = np.concatenate([now.scene.tracks.kind, np.array(list(absent.values()), np.int64)])
    value = np.full((len(ids), len(SIGNALS)), np.nan)
    column = {name: value[:, e] for e, name in enumerate(SIGNALS)}
    seen = np.concatenate([seen_now(now.scene), np.zeros(len(absent), bool)])
    for back, belief in past.items():
        _by_forecast(now, belief, back, ids, seen, column)
    oldest = past.get(LOOK_BACK_S[-1])
    if oldest is not None:
        column["latent"][:here] = _latent_miss(now, oldest)
    _by_sight(now, past.get(LOOK_BACK_S[0]), seen[:here], column)
    column["solid"][:here] = _way_into_bodies(now.scene, past.get(LOOK_BACK_S[0]), seen[:here])
    column["lane"][:here] = _against_lane(now.scene, seen[:here])
    value[[i for i, name in enumerate(ids) if name == now.scene.ego_id]] = np.nan
    latent = np.zeros((len(ids), now.latent.shape[1]))
    latent[:here] = now.latent
    return Evidence(
        t_s=now.scene.t_s,
        ids=ids,
        kind=kind,
        speed=_speed_before(now.scene, past, ids),
        hidden=_hidden(now.scene, past, ids),
        value=np.nan_to_num(value),
        known=~np.isnan(value),
        latent=latent,
        latent_known=seen & np.array([name != now.scene.ego_id for name in ids], bool),
    )


def seen_now(scene: Scene) -> Bool[ndarray, "A"]:
    """Who is seen at the stamp, not carried on from before."""
    unseen = scene.tracks.unseen_s
    return scene.tracks.valid[:, 0] & (True if unseen is None else unseen <= 0)


def _held(beliefs: Sequence[Belief], t_s: float) -> Belief | None:
    return next((b for b in beliefs if abs(b.scene.t_s - t_s) < SAME_TIME_S), None)


def _absent(scene: Scene, past: dict[float, Belief]) -> dict[str, int]:
    """The kinds of those who were in earlier scenes and have no successor in this one."""
    out: dict[str, int] = {}
    tracks = scene.tracks
    for back, belief in past.items():
        step = _step(belief, back)
        for row, name in enumerate(belief.scene.tracks.ids):
            if name in tracks.ids or name in out:
                continue
            kind = int(belief.scene.tracks.kind[row])
            away = np.linalg.norm(tracks.position[:, 0] - belief.forecast.most_likely[row, step], axis=-1)
            if not ((away < SAME_M) & (tracks.kind == kind) & seen_now(scene)).any():
                out[name] = kind
    return out


def _step(belief: Belief, back: float) -> int:
    return int(np.abs(belief.forecast.horizon - back).argmin())


def _by_forecast(
    now: Belief,
    belief: Belief,
    back: float,
    ids: tuple[str, ...],
    seen: Bool[ndarray, "A"],
    column: dict[str, ndarray],
) -> None:
    """Writes what the forecast of `back` seconds ago says: `position`, and `gone` of those not seen."""
    f, step = belief.forecast, _step(belief, back)
    row_of = {name: row for row, name in enumerate(f.ids)}
    pairs = np.array([(a, row_of[name]) for a, name in enumerate(ids) if name in row_of], np.int64)
    rows, old = pairs.reshape(-1, 2).T
    mean, covariance = f.marginal_position[:, old, step], f.marginal_covariance[:, old, step]
    weight = f.marginal_probability[:, old]
    met = seen[rows]
    place = now.scene.tracks.position[rows[met], 0]
    density = log_density(place, mean[:, met], floored(covariance[:, met]), weight[:, met])
    column[f"position_{back:g}"][rows[met]] = -density
    if now.scene.bev is None or now.scene.ego_pose is None:
        return
    missed = ~met
    points = sigma_points(mean[:, missed], floored(covariance[:, missed]))
    depth = depth_in_free_ground(points.reshape(-1, 2), now.scene.bev, now.scene.ego_pose)
    expected = (depth.reshape(points.shape[:-1]).mean(axis=0) * weight[:, missed]).sum(axis=0)
    exists = np.ones(len(old)) if f.existence is None else f.existence[old]
    gone = column["gone"]
    gone[rows[missed]] = np.fmax(gone[rows[missed]], expected * exists[missed])
    gone[rows[met]] = 0.0


def sigma_points(
    mean: Float[ndarray, "*b 2"], covariance: Float[ndarray, "*b 2 2"]
) -> Float[ndarray, "5 *b 2"]:
    """The mean and four points one standard deviation from it, along the columns of the Cholesky root."""
    root = np.linalg.cholesky(covariance)
    return np.stack([mean, *(mean + s * root[..., :, c] for c in (0, 1) for s in (1.0, -1.0))])


def _latent_miss(now: Belief, oldest: Belief) -> Float[ndarray, "A"]:
    out = np.full(now.scene.tracks.agents, np.nan)
    chunk = np.flatnonzero(np.abs(oldest.foreseen_s - LOOK_BACK_S[-1]) < SAME_TIME_S)
    if not len(chunk):
        return out
    likely = oldest.forecast.mode_probability >= UNLIKELY
    row_of = {name: row for row, name in enumerate(oldest.scene.tracks.ids)}
    for a in np.flatnonzero(seen_now(now.scene)):
        row = row_of.get(now.scene.tracks.ids[a])
        if row is not None:
            miss = oldest.foreseen[likely, row, chunk[0]] - now.latent[a]
            out[a] = (miss**2).mean(axis=-1).min()
    return out


def _by_sight(
    now: Belief, before: Belief | None, seen: Bool[ndarray, "A"], column: dict[str, ndarray]
) -> None:
    """Writes `ghost` of those seen, and `appeared` of those who were not there 0.4 s ago."""
    rows = np.flatnonzero(seen)
    tracks, grid, ego = now.scene.tracks, now.scene.bev, now.scene.ego_pose
    if grid is not None and ego is not None:
        column["ghost"][rows] = depth_in_free_ground(tracks.position[rows, 0], grid, ego)
    if before is None or before.scene.bev is None or before.scene.ego_pose is None:
        return
    new = np.array([a for a in rows if tracks.ids[a] not in before.scene.tracks.ids], np.int64)
    depth = depth_in_free_ground(tracks.position[new, 0], before.scene.bev, before.scene.ego_pose)
    column["appeared"][new] = depth


def _way_into_bodies(scene: Scene, before: Belief | None, seen: Bool[ndarray, "A"]) -> Float[ndarray, "A"]:
    """How deep each way since the earlier belief (the place of the new) leads into boxes and obstacles."""
    tracks = scene.tracks
    start = tracks.pose[:, 0].copy()
    if before is not None:
        old = before.scene.tracks
        row_of = {name: row for row, name in enumerate(old.ids) if seen_now(before.scene)[row]}
        for a, name in enumerate(tracks.ids):
            if name in row_of:
                start[a, :2] = old.position[row_of[name], 0]
    share = np.linspace(0.0, 1.0, WAY_POINTS)[:, None, None]
    way = start[:, :2] + share * (tracks.position[:, 0] - start[:, :2])  # W A 2
    edges = obstacle_edges(scene.road_map)
    depth = depth_in_outlines(way.reshape(-1, 2), edges).reshape(way.shape[:2])
    size = np.where(tracks.size_valid[:, None], tracks.size, DEFAULT_SIZE[tracks.kind])
    for v in np.flatnonzero(seen & (tracks.kind == Kind.VEHICLE)):
        yaw = np.full((WAY_POINTS, 1, 1), tracks.yaw[v, 0])
        box = np.concatenate([way[:, v, None], yaw], axis=-1)
        inside = depth_in_boxes(way, box, size[v], tracks.heading_valid[v : v + 1])
        inside[:, v] = 0.0
        depth = np.maximum(depth, inside)
    return np.where(seen, depth.max(axis=0), np.nan)


def _against_lane(scene: Scene, seen: Bool[ndarray, "A"]) -> Float[ndarray, "A"]:
    tracks = scene.tracks
    out = np.full(tracks.agents, np.nan)
    drives = np.linalg.norm(tracks.velocity[:, 0], axis=-1) > DRIVES_MPS
    rows = np.flatnonzero(seen & (tracks.kind == Kind.VEHICLE) & drives & tracks.heading_valid)
    out[rows] = angle_to_lane(tracks.pose[rows, 0], scene.road_map)
    return out


def _hidden(scene: Scene, past: dict[float, Belief], ids: tuple[str, ...]) -> Bool[ndarray, "A"]:
    unseen = set(ids) - set(scene.tracks.ids)
    for known in (scene, *(belief.scene for belief in past.values())):
        unseen |= {name for name, seen in zip(known.tracks.ids, seen_now(known), strict=True) if not seen}
    return np.array([name in unseen for name in ids], bool)


def _speed_before(scene: Scene, past: dict[float, Belief], ids: tuple[str, ...]) -> Float[ndarray, "A"]:
    speed: dict[str, float] = {}
    for known in (scene, *(past[back].scene for back in sorted(past))):
        now = np.linalg.norm(known.tracks.velocity[:, 0], axis=-1)
        speed |= dict(zip(known.tracks.ids, now.tolist(), strict=True))
    return np.array([speed[name] for name in ids])
