"""Do bodies move as bodies can? Accelerations, jerk, turning, and positions that jump."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.frames import wrap_angle
from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.motion import Motion

FINE_STEP_S = 0.1
"""At this step the simulator's own smoothness shows; in real recordings mostly the tracker's noise does."""
TURNING_MPS = 0.5
"""Slower than this a direction of motion is noise."""
FASTEST_MPS = {Kind.PEDESTRIAN: 5.0, Kind.CYCLIST: 15.0, Kind.VEHICLE: 45.0}
"""v_max of the jump check: a sprinting child, a racing cyclist, a motorway."""
JUMP_SLACK_M = 0.05
"""What rounding and noise may add to a move."""


def acceleration(motions: Sequence[Motion], kind: Kind) -> Sample:
    """Size of the change of velocity a step, m/s^2; one observation an agent and tick, not of parked."""
    return _norms(motions, kind, 2)


def jerk(motions: Sequence[Motion], kind: Kind) -> Sample:
    """Size of the change of acceleration a step, m/s^3; one observation an agent and tick, none of parked."""
    return _norms(motions, kind, 3)


def yaw_rate(motions: Sequence[Motion], kind: Kind) -> Sample:
    """Size of the change of direction over a step, rad/s, where both speeds are at least 0.5 m/s."""
    values, agents = [], []
    for m in motions:
        keep = _history(m, 2) & _moves(m, kind)
        keep[1:] &= m.speed[:-1] >= TURNING_MPS
        keep &= m.speed >= TURNING_MPS
        direction = np.arctan2(m.velocity[:, 1], m.velocity[:, 0])
        turned = np.abs(wrap_angle(np.diff(direction, prepend=direction[:1])))
        values.append(turned[keep] / m.step)
        agents.append(m.agent[keep])
    return pool(values, agents)


def curvature(motions: Sequence[Motion], kind: Kind) -> Sample:
    """Size of the turn a metre of path, 1/m, where both speeds are at least 2 m/s: noise bends others."""
    values, agents = [], []
    for m in motions:
        keep = _history(m, 2) & _moves(m, kind)
        keep[1:] &= m.speed[:-1] >= 2.0
        keep &= m.speed >= 2.0
        direction = np.arctan2(m.velocity[:, 1], m.velocity[:, 0])
        turned = np.abs(wrap_angle(np.diff(direction, prepend=direction[:1])))
        length = m.speed * m.step / 2
        length[1:] += m.speed[:-1] * m.step / 2
        values.append(turned[keep] / np.maximum(length[keep], 1e-9))
        agents.append(m.agent[keep])
    return pool(values, agents)


def jumps(recordings: Sequence[Recording], kind: Kind) -> Sample:
    """Whether a move between two recorded rows is longer than v_max times their distance in time, and 0.05 m.

    v_max is 5 m/s on foot, 15 m/s for cyclists, 45 m/s for vehicles. One observation a move of the kind,
    at the recorded rate. Rows that reading left out as impossible are not seen here (`Recording.skipped`
    counts them).
    """
    values, agents = [], []
    for r in recordings:
        same = np.diff(r.agent) == 0
        same &= r.kind[r.agent[1:]] == kind
        moved = np.hypot(*np.diff(r.xy, axis=0).T)
        far = moved > FASTEST_MPS[kind] * np.diff(r.t_s) + JUMP_SLACK_M
        values.append(far[same].astype(float))
        agents.append(r.agent[1:][same])
    return pool(values, agents)


def _history(m: Motion, moves: int) -> Bool[ndarray, "N"]:
    """Rows whose last `moves` moves are all known."""
    known = m.follows.copy()
    for back in range(1, moves):
        known[back:] &= m.follows[:-back]
        known[:back] = False
    return known


def _moves(m: Motion, kind: Kind) -> Bool[ndarray, "N"]:
    return m.is_kind(kind) & ~m.parked[m.agent] if kind == Kind.VEHICLE else m.is_kind(kind)


def _norms(motions: Sequence[Motion], kind: Kind, order: int) -> Sample:
    """Norms of the `order`-th difference of position divided by the step to that power."""
    values, agents = [], []
    for m in motions:
        keep = _history(m, order) & _moves(m, kind)
        change: Float[ndarray, "N 2"] = m.velocity
        for _ in range(order - 1):
            change = np.diff(change, axis=0, prepend=change[:1]) / m.step
        values.append(np.hypot(change[keep, 0], change[keep, 1]))
        agents.append(m.agent[keep])
    return pool(values, agents)
