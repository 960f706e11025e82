"""The table of a street: every quantity of some recordings, and where it lies against its target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_eval.street import companions, density, gaps, interactions, smoothness, speeds
from drivewm_eval.street.crossings import crossings, without_signals
from drivewm_eval.street.estimate import Figure, Sample, difference, mean, pool, quantile, share, spread
from drivewm_eval.street.labels import label_column, label_of_agent
from drivewm_eval.street.motion import Motion, on_clock
from drivewm_eval.street.targets import Range
from drivewm_eval.street.yielding import SPEED_BINS, yielding

LEAST_COUNT = 10
"""A figure that rests on fewer observations is shown, but not judged."""
FINE_PERIOD_S = 0.105
"""Recordings at least this fine have a jerk at 0.1 s."""
NEAR_M = ((0.0, 2.0), (2.0, 5.0), (5.0, 10.0))

WALKING_AGED = "walking, "
EXTREMES = (
    ("vehicle acceleration", "m/s^2"),
    ("vehicle jerk", "m/s^3"),
    ("vehicle jerk at 0.1 s", "m/s^3"),
    ("vehicle curvature", "1/m"),
    ("pedestrian acceleration", "m/s^2"),
    ("pedestrian yaw rate", "rad/s"),
)
"""Samples of which the highest hundredth counts."""

NOWHERE = np.zeros((0, 2, 2))

Samples = dict[str, Sample]
"""What is seen of each kind in one recording."""
Statistics = dict[str, Figure]
"""By the name of the quantity, in the order of the table."""
Verdict = Literal["in", "out", "few", ""]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    target: Range | None
    figure: Figure
    verdict: Verdict  # few: too little was observed to judge; empty: no target


def statistics(recordings: Iterable[Recording], progress: Callable[[], None] = lambda: None) -> Statistics:
    """Every quantity, pooled over the recordings; `progress` is called after each of them."""
    observed = []
    for recording in recordings:
        observed.append(observe(recording))
        progress()
    return figures(observed)


def observe(
    recording: Recording,
    ages: Mapping[str, str] | None = None,
    signalled: Float[ndarray, "k 2 2"] = NOWHERE,
) -> Samples:
    """What one recording has to say of each quantity: all that is kept of it.

    `ages` are by agent id (default: as its file has them, if it has). Gaps and yielding are those of
    crossings without a signal, as in their sources; `signalled` are the ends of those known to have one.
    """
    ages = label_of_agent(label_column(recording, "age")) if ages is None else ages
    motion = on_clock(recording)
    return (
        _people(on_clock(recording, speeds.SPEED_STEP_S), ages)
        | _meetings(motion, signalled)
        | _bodies(motion, recording)
    )


def _people(motion: Motion, ages: Mapping[str, str]) -> Samples:
    motions, grouped = [motion], [companions.together(motion)]
    in_groups, alone = companions.walking_speeds(motions, grouped)
    return {
        "walking": speeds.walking_speed(motions),
        **{WALKING_AGED + age: one for age, one in speeds.walking_speed_by_label(motions, [ages]).items()},
        "standing": speeds.standing(motions),
        "in a group": companions.in_group(motions, grouped),
        "walking in groups": in_groups,
        "walking alone": alone,
        "people": density.people_present(motions),
        "vehicles": density.vehicles_present(motions),
        "neighbours": density.people_nearby(motions),
    }


def _meetings(motion: Motion, signalled: Float[ndarray, "k 2 2"]) -> Samples:
    motions, found = [motion], [crossings(motion)]
    offered = [gaps.offers(motion, without_signals(found[0], signalled))]
    return {
        "accepted": gaps.accepted_gaps(motions, offered),
        "rejected": gaps.rejected_gaps(motions, offered),
        "post-encroachment": interactions.post_encroachment(found),
        "collision": interactions.least_time_to_collision(motions),
        **{_near(bounds): interactions.speed_near_people(motions, bounds) for bounds in NEAR_M},
        **{_yields(bounds): yielding(motions, offered, bounds) for bounds in SPEED_BINS},
    }


def _bodies(motion: Motion, recording: Recording) -> Samples:
    motions = [motion]
    fine = [on_clock(recording, smoothness.FINE_STEP_S)] if motion.period_s <= FINE_PERIOD_S else []
    return {
        "driving": speeds.driving_speed(motions),
        "stopped": speeds.stopped(motions),
        "stops": speeds.stops_per_minute(motions),
        "vehicle acceleration": smoothness.acceleration(motions, Kind.VEHICLE),
        "vehicle jerk": smoothness.jerk(motions, Kind.VEHICLE),
        "vehicle jerk at 0.1 s": smoothness.jerk(fine, Kind.VEHICLE),
        "vehicle curvature": smoothness.curvature(motions, Kind.VEHICLE),
        "pedestrian acceleration": smoothness.acceleration(motions, Kind.PEDESTRIAN),
        "pedestrian yaw rate": smoothness.yaw_rate(motions, Kind.PEDESTRIAN),
        "pedestrian jumps": smoothness.jumps([recording], Kind.PEDESTRIAN),
        "vehicle jumps": smoothness.jumps([recording], Kind.VEHICLE),
    }


def _near(bounds: tuple[float, float]) -> str:
    return f"vehicle speed, person at {bounds[0]:.0f}-{bounds[1]:.0f} m"


def _yields(bounds: tuple[float, float]) -> str:
    return f"drivers yielding, coming at {bounds[0]:.0f}-{bounds[1]:.0f} m/s"


def figures(observed: Sequence[Samples]) -> Statistics:
    """The table's quantities from what each recording had to say."""

    def every(name: str) -> Sample:
        parts = [one[name] for one in observed if name in one]
        return pool([part.value for part in parts], [part.block for part in parts])

    walking, accepted, rejected = every("walking"), every("accepted"), every("rejected")
    pet, collision, driving = every("post-encroachment"), every("collision"), every("driving")
    aged = sorted({name for one in observed for name in one if name.startswith(WALKING_AGED)})
    half, slope = gaps.gap_choice(accepted, rejected)
    return {
        "walking speed, mean (m/s)": mean(walking),
        "walking speed, sd (m/s)": spread(walking),
        "walking speed, p5 (m/s)": quantile(walking, 0.05),
        "walking speed, p95 (m/s)": quantile(walking, 0.95),
        **{
            f"walking speed, median, {name.removeprefix(WALKING_AGED)} (m/s)": quantile(every(name), 0.5)
            for name in aged
        },
        "time standing": share(every("standing")),
        "people in groups": share(every("in a group")),
        "groups less singles (m/s)": difference(
            mean(every("walking in groups")), mean(every("walking alone"))
        ),
        "people at once": mean(every("people")),
        "vehicles driving or waiting at once": mean(every("vehicles")),
        "others within 5 m of a person": mean(every("neighbours")),
        "accepted gap, p15 (s)": quantile(accepted, 0.15),
        "accepted gap, p50 (s)": quantile(accepted, 0.5),
        "rejected gap, p50 (s)": quantile(rejected, 0.5),
        "gap taken half of the time (s)": half,
        "slope of taking it (1/s)": slope,
        "post-encroachment time, p5 (s)": quantile(pet, 0.05),
        "post-encroachment time, p50 (s)": quantile(pet, 0.5),
        "post-encroachment time < 1.5 s": share(_below(pet, 1.5)),
        "least time to collision < 1.5 s": share(_below(collision, 1.5)),
        "least time to collision < 3 s": share(_below(collision, 3.0)),
        **{f"{_near(bounds)}, median (m/s)": quantile(every(_near(bounds)), 0.5) for bounds in NEAR_M},
        **{_yields(bounds): share(every(_yields(bounds))) for bounds in SPEED_BINS},
        "driving speed, median (m/s)": quantile(driving, 0.5),
        "driving speed, p95 (m/s)": quantile(driving, 0.95),
        "vehicles' time stopped": share(every("stopped")),
        "stops a minute and vehicle": mean(every("stops")),
        **{f"{name}, p99 ({unit})": quantile(every(name), 0.99) for name, unit in EXTREMES},
        "pedestrian position jumps": share(every("pedestrian jumps")),
        "vehicle position jumps": share(every("vehicle jumps")),
    }


def _below(sample: Sample, limit: float) -> Sample:
    return Sample(value=(sample.value < limit).astype(float), block=sample.block)


def rows(statistics: Statistics, targets: Mapping[str, Range]) -> list[Row]:
    """The table's lines, in the order of the figures."""
    return [
        Row(name=name, target=targets.get(name), figure=figure, verdict=_verdict(figure, targets.get(name)))
        for name, figure in statistics.items()
    ]


def share_in_range(table: Sequence[Row]) -> tuple[int, int]:
    """How many rows lie in their target, and how many were judged."""
    return sum(row.verdict == "in" for row in table), sum(row.verdict in ("in", "out") for row in table)


def _verdict(figure: Figure, target: Range | None) -> Verdict:
    if target is None:
        return ""
    if figure.value is None or figure.count < LEAST_COUNT:
        return "few"
    return "in" if target.low <= figure.value <= target.high else "out"
