"""Do drivers let people cross? By the speed at which they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivewm_eval.street.estimate import Sample, pool
from drivewm_eval.street.gaps import Offer, vehicle_at
from drivewm_eval.street.motion import Motion

SPEED_BINS = ((2.0, 6.0), (6.0, 10.0), (10.0, 14.0), (14.0, 25.0))
"""Approach speeds in m/s; slower vehicles have begun to yield, or creep."""
CONCERNED_S = 6.0
"""A driver who needs longer than this to the crossing point need not think of it yet."""
COMFORTABLE = 3.0
"""m/s^2: who would have to brake harder than this to stop cannot be asked to."""
YIELDED = 0.6
"""Slowing below this share of the approach speed is yielding."""


def yielding(
    motions: Sequence[Motion], offered: Sequence[Sequence[Offer]], speeds: tuple[float, float]
) -> Sample:
    """Whether a driver slows below 60 % for somebody who waits at or enters its path; one observation a pair.

    Looked at from the moment of `Offer.offered_s`: the person within 3 m of the vehicle's line, the vehicle
    before gone. `speeds` bounds the vehicle's speed then. Counted are drivers who would pass within 6 s
    and could stop with at most 3 m/s^2, and who either slow below 60 % of that speed before the first of
    the two passes the crossing point, or pass first. Left out is where the person goes first though nobody
    slowed: that gap was long enough. Why somebody slows, for the person, a signal or another vehicle,
    tracks alone do not tell.
    """
    values, agents = [], []
    for motion, each in zip(motions, offered, strict=True):
        outcomes = [(_yields(motion, offer, speeds), offer.crossing.pedestrian) for offer in each]
        values.append(np.array([y for y, _ in outcomes if y is not None], float))
        agents.append(np.array([who for y, who in outcomes if y is not None], np.int64))
    return pool(values, agents)


def _yields(motion: Motion, offer: Offer, speeds: tuple[float, float]) -> bool | None:
    """None where the question does not arise."""
    crossing = offer.crossing
    vehicle = vehicle_at(motion, crossing, offer.offered_s)
    if vehicle is None:
        return None
    distance, speed = vehicle
    if not speeds[0] <= speed < speeds[1] or not 0 < distance <= CONCERNED_S * speed:
        return None
    if speed**2 > 2 * COMFORTABLE * distance:
        return None
    rows = slice(int(motion.starts[crossing.vehicle]), int(motion.starts[crossing.vehicle + 1]))
    times = motion.times(rows)
    until = min(crossing.pedestrian_s, crossing.vehicle_s)
    watched = (times > offer.offered_s) & (times <= until) & motion.follows[rows]
    slows = bool((motion.speed[rows][watched] < YIELDED * speed).any())
    if slows:
        return True
    return False if crossing.lag < 0 else None
