"""What a perception stack would have made of the street: tracks, with their misses, delays and mistakes.

No sensor data is processed. From the truth and what the lidar saw of everybody, the model decides who is
detected, how wrongly, and what a tracker does with it: a new track is reported only after some detections, a
lost one coasts at constant velocity and dies, and identities break or change places. Every draw is keyed by
(seed, uid, purpose, tick), so that one agent more changes nobody else's tracks.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_sim.kernel import kernel
from drivewm_sim.randomness import TRACK, TRACK_BLIND, TRACK_SWAP, bits, normal, uniform
from drivewm_sim.sensors.bodies import LEVEL_M, Bodies
from drivewm_sim.simulator import DECISION_S

TRACK_RECORD = np.dtype(
    [
        ("track_id", np.int64),  # what the stack calls it; positive, unique, below 2^48
        ("uid", np.int64),  # who it truly is: a label, never an input
        ("kind", np.int64),  # drivewm.types.Kind
        ("x", np.float64),  # scene frame (m)
        ("y", np.float64),
        ("z", np.float64),
        ("yaw", np.float64),  # in [-pi, pi)
        ("vx", np.float64),  # m/s
        ("vy", np.float64),
        ("length", np.float64),
        ("width", np.float64),
        ("height", np.float64),
        ("existence", np.float64),  # belief in [0, 1] that somebody is there
        ("hits", np.int64),  # detections so far
        ("misses", np.int64),  # ticks since the last detection: above 0, the track coasts
        ("born", np.int64),  # tick of the first detection
        ("confirmed", np.bool_),  # enough detections to be reported
    ],
    align=True,
)
Tracks: TypeAlias = np.recarray
"""T rows of TRACK_RECORD, ordered by uid, as kernels see them: the whole state of the tracker."""


class TrackerSpec(NamedTuple):
    """One perception stack; kernels read it. Triples are for pedestrians, cyclists, vehicles."""

    detection: float = 0.98  # probability of a detection, seen clearly and close by
    clear: float = 0.35  # visibility from which nothing is lost; below, detection falls in proportion
    half_range: tuple[float, float, float] = (
        55.0,
        65.0,
        75.0,
    )  # m at which half of the clear ones are detected
    range_fade: float = 6.0  # m, how gradually
    blind: float = 0.01  # share of whole seconds in which somebody is overlooked for no reason to be seen
    position_noise: tuple[float, float, float] = (0.06, 0.08, 0.12)  # m, standard deviation close by ...
    position_growth: float = 0.004  # ... and more per metre of range
    velocity_noise: tuple[float, float, float] = (0.20, 0.30, 0.35)  # m/s
    velocity_growth: float = 0.008
    yaw_noise: tuple[float, float, float] = (0.25, 0.10, 0.05)  # rad
    yaw_growth: float = 0.001
    size_noise: float = 0.05  # share, drawn once a track
    hidden_noise: float = 1.0  # noise is (1 + this) times as large on the little seen of one all but hidden
    gain: float = 0.5  # share of a detection's news that the filter takes over
    birth_hits: int = 3  # detections before a track is reported
    tentative_misses: int = 2  # an unreported track dies after so many misses in a row
    coast: int = 10  # ticks without a detection after which a reported one dies
    gate: tuple[float, float, float] = (
        1.2,
        2.0,
        3.5,
    )  # m; detected further from where it coasted: a new track
    long_miss: int = 4  # ticks without a detection after which identity may break ...
    break_identity: float = 0.25  # ... with this probability
    swap_distance: float = 0.8  # m; the identities of two of a kind this close ...
    swap: float = 0.002  # ... change places with this probability a tick
    existence_gain: float = 0.35
    existence_loss: float = 0.15


# Draws under (seed, uid, TRACK, tick). A normal number n uses the uniform draws 2 n and 2 n + 1.
_DETECT, _BREAK, _NAME = 0, 1, 2
_X, _Y, _VX, _VY, _YAW, _LENGTH, _WIDTH = 2, 3, 4, 5, 6, 7, 8
_TICKS_A_SECOND = round(1 / DECISION_S)


def no_tracks() -> ndarray:
    """The tracker at the start of a drive."""
    return np.empty(0, TRACK_RECORD)


@kernel
def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@kernel
def _name(seed: int, uid: int, tick: int) -> int:
    """A track's id: 48 random bits, so that one track more does not rename the others."""
    return int(np.int64(bits(seed, uid, TRACK, tick, _NAME) >> np.uint64(16))) + 1


@kernel
def _detected(
    spec: TrackerSpec, kind: int, uid: int, visibility: float, away: float, seed: int, tick: int
) -> bool:
    if visibility <= 0.0:
        return False
    if uniform(seed, uid, TRACK_BLIND, tick // _TICKS_A_SECOND, 0) < spec.blind:
        return False
    far = 1.0 / (1.0 + math.exp((away - spec.half_range[kind]) / spec.range_fade))
    chance = spec.detection * min(visibility / spec.clear, 1.0) * far
    return uniform(seed, uid, TRACK, tick, _DETECT) < chance


@kernel
def _coast(track: Any) -> None:
    track.x += DECISION_S * track.vx
    track.y += DECISION_S * track.vy


@kernel
def _begin(track: Any, uid: int, seed: int, tick: int) -> None:
    """Makes the row a new track that awaits its first detection."""
    track.track_id = _name(seed, uid, tick)
    track.uid = uid
    track.hits, track.misses, track.born = 0, 0, tick
    track.existence, track.confirmed = 0.0, False


@kernel
def _update(
    spec: TrackerSpec, track: Any, body: Any, visibility: float, away: float, seed: int, tick: int
) -> None:
    """One detection: measure, then move the (already coasted) track some way to what was measured."""
    kind, uid = body.kind, body.uid
    worse = 1.0 + spec.hidden_noise * (1.0 - visibility)
    sd = worse * (spec.position_noise[kind] + spec.position_growth * away)
    x = body.x + sd * normal(seed, uid, TRACK, tick, _X)
    y = body.y + sd * normal(seed, uid, TRACK, tick, _Y)
    sd = worse * (spec.velocity_noise[kind] + spec.velocity_growth * away)
    vx = body.vx + sd * normal(seed, uid, TRACK, tick, _VX)
    vy = body.vy + sd * normal(seed, uid, TRACK, tick, _VY)
    sd = worse * (spec.yaw_noise[kind] + spec.yaw_growth * away)
    yaw = body.yaw + sd * normal(seed, uid, TRACK, tick, _YAW)
    lost = track.hits > 0 and math.hypot(x - track.x, y - track.y) > spec.gate[kind]
    if track.misses >= spec.long_miss:
        lost = lost or uniform(seed, uid, TRACK, tick, _BREAK) < spec.break_identity
    if lost:
        _begin(track, uid, seed, tick)
    if track.hits == 0:
        track.kind, track.height = kind, body.height
        track.x, track.y, track.vx, track.vy, track.yaw = x, y, vx, vy, _wrapped(yaw)
        track.length = body.length * max(1.0 + spec.size_noise * normal(seed, uid, TRACK, tick, _LENGTH), 0.5)
        track.width = body.width * max(1.0 + spec.size_noise * normal(seed, uid, TRACK, tick, _WIDTH), 0.5)
    else:
        track.x += spec.gain * (x - track.x)
        track.y += spec.gain * (y - track.y)
        track.vx += spec.gain * (vx - track.vx)
        track.vy += spec.gain * (vy - track.vy)
        track.yaw = _wrapped(track.yaw + spec.gain * _wrapped(yaw - track.yaw))
    track.z = body.z
    track.hits += 1
    track.misses = 0
    track.existence += spec.existence_gain * (1.0 - track.existence)
    track.confirmed = track.confirmed or track.hits >= spec.birth_hits


@kernel
def _missed(spec: TrackerSpec, track: Any) -> bool:
    """One tick without a detection; whether the track lives on."""
    track.misses += 1
    track.existence *= 1.0 - spec.existence_loss
    return track.misses <= (spec.coast if track.confirmed else spec.tentative_misses - 1)


@kernel
def _swap_close(spec: TrackerSpec, tracks: Tracks, count: int, seed: int, tick: int) -> None:
    """Lets the identities of close neighbours change places; neighbours are found by hashed cells."""
    buckets = 64
    while buckets < 2 * count:
        buckets *= 2
    head = np.full(buckets, -1, np.int64)
    following = np.empty(count, np.int64)
    for a in range(count):
        one = tracks[a]
        i, j = math.floor(one.x / spec.swap_distance), math.floor(one.y / spec.swap_distance)
        for di in range(-1, 2):
            for dj in range(-1, 2):
                b = head[((i + di) * 73856093 ^ (j + dj) * 19349663) & (buckets - 1)]
                while b >= 0:
                    other = tracks[b]
                    if (
                        math.floor(other.x / spec.swap_distance) == i + di
                        and math.floor(other.y / spec.swap_distance) == j + dj
                        and one.kind == other.kind and one.confirmed and other.confirmed
                        and abs(one.z - other.z) <= LEVEL_M
                        and math.hypot(one.x - other.x, one.y - other.y) < spec.swap_distance
                        and uniform(seed, other.uid, TRACK_SWAP, tick, one.uid) < spec.swap
                    ):  # fmt: skip
                        one.track_id, other.track_id = other.track_id, one.track_id
                    b = following[b]
        own = (i * 73856093 ^ j * 19349663) & (buckets - 1)
        following[a] = head[own]
        head[own] = a


@kernel
def _advance(
    spec: TrackerSpec, old: Tracks, bodies: Bodies, visibility: ndarray, x: float, y: float, ego_uid: int,
    seed: int, tick: int, out: Tracks,
) -> int:  # fmt: skip
    """Writes the tracks after this tick to `out`; their number. Walks both lists in uid order."""
    count = m = n = 0
    while m < len(old) or n < len(bodies):
        known = m < len(old) and (n == len(bodies) or old[m].uid <= bodies[n].uid)
        present = n < len(bodies) and (m == len(old) or bodies[n].uid <= old[m].uid)
        track = out[count]
        if known:
            out[count] = old[m]
            _coast(track)
            m += 1
        alive = known
        seen = False
        if present:
            body = bodies[n]
            away = math.hypot(body.x - x, body.y - y)
            seen = body.uid != ego_uid and _detected(
                spec, body.kind, body.uid, visibility[n], away, seed, tick
            )
            if seen:
                if not known:
                    _begin(track, body.uid, seed, tick)
                _update(spec, track, body, visibility[n], away, seed, tick)
                alive = True
            n += 1
        if known and not seen:
            alive = _missed(spec, track)
        if alive:
            count += 1
    _swap_close(spec, out, count, seed, tick)
    return count


def track(
    spec: TrackerSpec,
    tracks: ndarray,
    bodies: ndarray,
    visibility: Float[ndarray, "N"],
    ego_x: float,
    ego_y: float,
    *,
    ego_uid: int,
    seed: int,
    tick: int,
) -> ndarray:
    """The tracks one tick (0.1 s) later; the old ones stay as they are, so they serve as a snapshot.

    tracks: rows of TRACK_RECORD; bodies: the truth, rows of BODY, with the visibility of each
    (`Sweep.visibility`). The ego gets no track.
    """
    out = np.empty(len(tracks) + len(bodies), TRACK_RECORD)
    count = _advance(
        spec, tracks, bodies, visibility, float(ego_x), float(ego_y), ego_uid, seed, tick, out
    )  # fmt: skip
    return out[:count]


def reported(tracks: ndarray) -> ndarray:
    """The tracks that the stack hands on: those confirmed. A row with misses above 0 coasts."""
    return tracks[tracks["confirmed"]]
