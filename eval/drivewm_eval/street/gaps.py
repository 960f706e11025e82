"""Which gaps in traffic people take, which they let pass, and the gap taken half of the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_eval.street.crossings import Crossing
from drivewm_eval.street.estimate import NOTHING, Figure, Sample, drawn_weights, pool
from drivewm_eval.street.logit import fit_logit
from drivewm_eval.street.motion import WALKING_MPS, Motion

ZONE_M = 3.0
"""Who is this near the line on which the middle of a vehicle drives is waiting or entering."""
SAME_LANE_M = 2.0
"""Vehicles that cross a person's path within this of each other drive on one lane."""
LONGEST_GAP_S = 12.0
"""With more time than this the road is free: nobody takes or leaves a gap."""
STOPPED_MPS = 0.5
"""A vehicle slower than this has stopped, or nearly: its gap has no length."""
RIDGE = np.array([1e-6, 1e-3])
"""Pull of intercept and slope towards zero: keeps the fit finite where one length parts taken from left."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What one vehicle left to somebody who was about to cross its path. Seconds on the motion's clock."""

    crossing: Crossing
    offered_s: float  # the person has come within 3 m, and the vehicle before has passed
    entered_s: (
        float  # the person sets out: comes within 3 m, or stands there for the last time before crossing
    )
    next: bool  # of the vehicles on this lane the next one to come after the person crossed


def offers(motion: Motion, found: Sequence[Crossing]) -> list[Offer]:
    """The offers of all crossings whose pedestrian was seen coming from over 3 m off the vehicle's line."""
    out = []
    by_person: dict[int, list[Crossing]] = defaultdict(list)
    for crossing in found:
        by_person[crossing.pedestrian].append(crossing)
    for mine in by_person.values():
        for one in mine:
            near = _near_and_entered(motion, one)
            if near is None:
                continue
            lane = [c for c in mine if np.hypot(*(c.point - one.point)) <= SAME_LANE_M]
            passed = [c.vehicle_s for c in lane if c.vehicle_s < min(one.vehicle_s, one.pedestrian_s)]
            later = [c.vehicle_s for c in lane if c.vehicle_s > c.pedestrian_s]
            out.append(
                Offer(
                    crossing=one,
                    offered_s=max([near[0], *passed]),
                    entered_s=max([near[1], *passed]),
                    next=one.lag > 0 and one.vehicle_s == min(later),
                )
            )
    return out


def _near_and_entered(motion: Motion, crossing: Crossing) -> tuple[float, float] | None:
    """When the person last came within 3 m of the vehicle's line before crossing it, and when it set out."""
    rows = slice(int(motion.starts[crossing.pedestrian]), int(motion.starts[crossing.pedestrian + 1]))
    times = motion.times(rows)
    across = np.array([-crossing.vehicle_direction[1], crossing.vehicle_direction[0]])
    off = np.abs((motion.xy[rows] - crossing.point) @ across)
    before = times <= crossing.pedestrian_s
    outside = np.flatnonzero(before & (off >= ZONE_M))
    if not len(outside) or outside[-1] + 1 >= len(times):
        return None
    last = int(outside[-1])
    share = (off[last] - ZONE_M) / max(off[last] - off[last + 1], 1e-9)
    near = float(times[last] + min(share, 1.0) * (times[last + 1] - times[last]))
    stands = np.flatnonzero(
        before & (times > near) & motion.follows[rows] & (motion.speed[rows] < WALKING_MPS)
    )
    return near, float(times[stands[-1]]) if len(stands) else near


def vehicle_at(motion: Motion, crossing: Crossing, t_s: float) -> tuple[float, float] | None:
    """Metres from the vehicle's middle straight to the crossing point, and its speed; none when not seen.

    The distance is negative once it is past.
    """
    rows = slice(int(motion.starts[crossing.vehicle]), int(motion.starts[crossing.vehicle + 1]))
    times, xy = motion.times(rows), motion.xy[rows]
    after = int(np.searchsorted(times, t_s - 1e-9))
    if after == 0 or after >= len(times) or times[after] - times[after - 1] > 1.5 * motion.step:
        return None
    weight = (t_s - times[after - 1]) / (times[after] - times[after - 1])
    here = (1 - weight) * xy[after - 1] + weight * xy[after]
    # The speed of the tick before where it is known: what the person can have seen.
    speed = motion.speed[rows][after - 1] if motion.follows[rows][after - 1] else motion.speed[rows][after]
    way = crossing.point - here
    ahead = way @ crossing.vehicle_direction
    return float(np.copysign(np.hypot(*way), ahead)), float(speed)


def _gap(motion: Motion, offer: Offer, t_s: float) -> float | None:
    """Seconds the vehicle needs to the crossing point at its present speed; none where that is no gap."""
    vehicle = vehicle_at(motion, offer.crossing, t_s)
    if vehicle is None or vehicle[0] <= 0 or vehicle[1] < STOPPED_MPS:
        return None
    gap = vehicle[0] / vehicle[1]
    return gap if gap <= LONGEST_GAP_S else None


def accepted_gaps(motions: Sequence[Motion], offered: Sequence[Sequence[Offer]]) -> Sample:
    """Gaps that were taken: distance over speed of the lane's next vehicle when the person enters its path.

    Entering is coming within 3 m of the line of the vehicle's middle, or, for who stands there, setting out.
    Gaps over 12 s, and vehicles that have stopped, are left out.
    """
    return _gaps(motions, [[(o, o.entered_s) for o in each if o.next] for each in offered])


def rejected_gaps(motions: Sequence[Motion], offered: Sequence[Sequence[Offer]]) -> Sample:
    """Gaps that were left: distance over speed of a vehicle that passed first, when its gap was offered.

    That is when the person has come within 3 m of its line and the vehicle before it has passed.
    """
    return _gaps(motions, [[(o, o.offered_s) for o in each if o.crossing.lag < 0] for each in offered])


def _gaps(motions: Sequence[Motion], moments: Sequence[Sequence[tuple[Offer, float]]]) -> Sample:
    values, agents = [], []
    for motion, each in zip(motions, moments, strict=True):
        found = [(_gap(motion, offer, t_s), offer.crossing.pedestrian) for offer, t_s in each]
        values.append(np.array([gap for gap, _ in found if gap is not None], float))
        agents.append(np.array([who for gap, who in found if gap is not None], np.int64))
    return pool(values, agents)


def gap_choice(accepted: Sample, rejected: Sample) -> tuple[Figure, Figure]:
    """The gap (s) taken half of the time, and the slope (1/s) there of the logit of taking it.

    A logistic regression of taken on the gap's length; the interval draws the blocks of both again.
    """
    if len(accepted.value) < 2 or len(rejected.value) < 2:
        return NOTHING, NOTHING
    gap = np.concatenate([accepted.value, rejected.value])
    taken = np.concatenate([np.ones(len(accepted.value)), np.zeros(len(rejected.value))])
    block = np.concatenate([accepted.block, rejected.block + accepted.block.max() + 1])
    block = np.unique(block, return_inverse=True)[1].reshape(-1)
    count, blocks = len(gap), int(block.max()) + 1
    design = np.column_stack([np.ones(count), gap])
    half, slope = _half_and_slope(fit_logit(design, taken, np.ones(count), RIDGE))
    drawn = np.array(
        [_half_and_slope(fit_logit(design, taken, w[block], RIDGE)) for w in drawn_weights(blocks)]
    )
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return tuple(  # type: ignore[return-value]
        Figure(value=value, low=float(low[i]), high=float(high[i]), count=count, blocks=blocks)
        for i, value in enumerate((half, slope))
    )


def _half_and_slope(beta: Float[ndarray, "2"]) -> tuple[float, float]:
    """Where the chance is a half; not a number where longer gaps are not taken more often."""
    return (float(-beta[0] / beta[1]) if beta[1] > 1e-3 else float("nan")), float(beta[1])
