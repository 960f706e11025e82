"""What the streets of each type of town should be like, fixed before the simulator is fitted.

Sources: *published* studies; the project's *calibration* figures, measured on real recordings or taken from
studies; and *CITR* (staged crowd and golf cart), the set that may be fitted, as `drivewm street` measures
it: its 95 % interval is in brackets. nuScenes mini and KITTI tracking judge these ranges: what `drivewm
street` prints for them has set none. (Some calibration figures were measured on them before.)

Rule: a range holds the calibration figure (10 % to both sides where it is one number) and CITR's interval.
*Choice* marks the ends that no source gives.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Range:
    """Both ends belong to it."""

    low: float
    high: float


def _range(low: float, high: float) -> Range:
    return Range(low=low, high=high)


_EVERYWHERE: dict[str, Range] = {
    # Calibration 1.25 to 1.37; CITR 1.25 [1.20, 1.29].
    "walking speed, mean (m/s)": _range(1.20, 1.37),
    # Calibration .27; CITR .26 [.23, .30].
    "walking speed, sd (m/s)": _range(0.23, 0.30),
    # Calibration .88; CITR .79 [.69, .89].
    "walking speed, p5 (m/s)": _range(0.69, 0.97),
    # Calibration 1.71; CITR 1.63 [1.55, 1.71].
    "walking speed, p95 (m/s)": _range(1.54, 1.88),
    # Calibration 1 to 25 % by place; CITR 1.2 [.6, 1.9] %.
    "time standing": _range(0.006, 0.25),
    # Published up to 70 % (Moussaid 2010); CITR 53 [43, 61] %. Choice: the low end, CITR was one crowd.
    "people in groups": _range(0.20, 0.70),
    # Published -.12 to -.18 (Gates, Noyce); CITR -.06 [-.13, .01].
    "groups less singles (m/s)": _range(-0.18, 0.01),
    # CITR 3.4 [2.8, 3.8], calibration 3.6; published critical gaps mid-block 3.6 to 4.3.
    "accepted gap, p15 (s)": _range(2.8, 4.3),
    # CITR 4.1 [3.8, 5.2], calibration 4.2; thin traffic offers more: up to the longest published one.
    "accepted gap, p50 (s)": _range(3.8, 6.5),
    # CITR 1.6 [1.4, 2.3], calibration 1.9. Choice: the high end, the shortest published critical gap.
    "rejected gap, p50 (s)": _range(1.3, 3.6),
    # CITR 2.9 [2.5, 3.4], calibration 3.1; published 3.6 to 4.3, by age 5.3 young (42 sites).
    "gap taken half of the time (s)": _range(2.4, 5.3),
    # CITR 3.9 [2.6, 18], calibration 3.8, of one age in one place. Choice: both ends, mixed ages flatten it.
    "slope of taking it (1/s)": _range(0.8, 5.0),
    # Calibration 1.3 to 1.5; CITR 1.6 [1.3, 1.9].
    "post-encroachment time, p5 (s)": _range(1.3, 1.9),
    # Calibration 2.7 to 3.7; CITR 2.8 [2.2, 3.3].
    "post-encroachment time, p50 (s)": _range(2.2, 3.7),
    # Calibration 5 to 10 %; CITR 3 [0, 9] %.
    "post-encroachment time < 1.5 s": _range(0.0, 0.10),
    # Calibration .4 to 2.4 %, streets low, staged high. Choice: nobody need come near at all.
    "least time to collision < 1.5 s": _range(0.0, 0.024),
    # Calibration 2.8 % (streets) to 30 % (staged). Choice: the high end, their geometric mean.
    "least time to collision < 3 s": _range(0.0, 0.09),
    # Calibration 2.2 / 4.4 / 6.8. Choice: from half of it, slower is safer, to four thirds.
    "vehicle speed, person at 0-2 m, median (m/s)": _range(1.1, 2.9),
    "vehicle speed, person at 2-5 m, median (m/s)": _range(2.2, 5.9),
    "vehicle speed, person at 5-10 m, median (m/s)": _range(3.4, 9.1),
    # Published 75 % at 8.9 m/s falling to 17 % at 16.5 m/s (TRB 14-2349): a straight line has all, 82, 51 and
    # 13 % at 4, 8, 12 and 17 m/s. Choice: 25 points to both sides (sites differ by 60), 50 at the slowest.
    "drivers yielding, coming at 2-6 m/s": _range(0.50, 1.0),
    "drivers yielding, coming at 6-10 m/s": _range(0.57, 1.0),
    "drivers yielding, coming at 10-14 m/s": _range(0.26, 0.76),
    "drivers yielding, coming at 14-25 m/s": _range(0.0, 0.38),
    # Choice: above this, braking is an emergency.
    "vehicle acceleration, p99 (m/s^2)": _range(0.0, 4.5),
    # Calibration: at most 10 m/s^3 outside emergencies.
    "vehicle jerk, p99 (m/s^3)": _range(0.0, 10.0),
    "vehicle jerk at 0.1 s, p99 (m/s^3)": _range(0.0, 10.0),
    # CITR 1.4 [1.3, 1.5] and 1.05 [.96, 1.14]. Choice: the low ends, half: a simulator has no such noise.
    "pedestrian acceleration, p99 (m/s^2)": _range(0.7, 1.5),
    "pedestrian yaw rate, p99 (rad/s)": _range(0.5, 1.15),
    # Calibration: nobody jumps.
    "pedestrian position jumps": _range(0.0, 0.0),
    "vehicle position jumps": _range(0.0, 0.0),
}

_OF_TYPE: dict[str, dict[str, Range]] = {
    "street": {},
    "grid": {},
    # Published: critical gaps to 6.5 s, 9 % yielding on four lanes, sites 0 to 60 %. Choice: the low ends of
    # yielding, and the high end of the median accepted gap.
    "arterial": {
        "accepted gap, p15 (s)": _range(2.8, 5.3),
        "accepted gap, p50 (s)": _range(3.8, 8.5),
        "gap taken half of the time (s)": _range(3.1, 6.5),
        "drivers yielding, coming at 2-6 m/s": _range(0.30, 1.0),
        "drivers yielding, coming at 6-10 m/s": _range(0.20, 1.0),
        "drivers yielding, coming at 10-14 m/s": _range(0.09, 0.76),
        "drivers yielding, coming at 14-25 m/s": _range(0.0, 0.38),
    },
    # Published: the young walk 1.44 m/s (TCRP 112). Choice: how much wider that makes the speeds.
    "school": {
        "walking speed, mean (m/s)": _range(1.20, 1.44),
        "walking speed, sd (m/s)": _range(0.23, 0.40),
        "walking speed, p95 (m/s)": _range(1.54, 2.20),
    },
    "roundabout": {},
    # Shared space at walking pace: CITR and calibration alone.
    "plaza": {
        "accepted gap, p15 (s)": _range(2.8, 4.0),
        "accepted gap, p50 (s)": _range(3.7, 5.2),
        "rejected gap, p50 (s)": _range(1.3, 2.4),
        "gap taken half of the time (s)": _range(2.4, 3.5),
        # CITR 4 [1, 7] % and 32 [24, 41] %, calibration .4 to 2.4 and 2.8 to 30 %.
        "least time to collision < 1.5 s": _range(0.0, 0.072),
        "least time to collision < 3 s": _range(0.028, 0.41),
        # CITR 3.1 [2.7, 3.5] / 1.4 [.5, 2.3] / 2.7 [2.2, 3.0]. Choice: slower than that cart is as good.
        "vehicle speed, person at 0-2 m, median (m/s)": _range(0.5, 3.5),
        "vehicle speed, person at 2-5 m, median (m/s)": _range(0.5, 2.3),
        "vehicle speed, person at 5-10 m, median (m/s)": _range(1.0, 3.0),
        # CITR 2.8 [2.3, 3.1] and 11 [4, 17] %.
        "driving speed, median (m/s)": _range(2.3, 3.1),
        "vehicles' time stopped": _range(0.04, 0.174),
        # CITR 28 [12, 48] %, of drivers told to drive on or to yield.
        "drivers yielding, coming at 2-6 m/s": _range(0.12, 0.48),
    },
}

TARGETS: dict[str, dict[str, Range]] = {town: _EVERYWHERE | own for town, own in _OF_TYPE.items()}
"""By town type, then by the name of the quantity as the table has it."""
