"""The table of a street: every quantity of some recordings, and where it lies against its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from drivewm.types import Kind
from drivewm_datasets.recording import Recording
from drivewm_eval.street import companions, density, gaps, interactions, smoothness, speeds
from drivewm_eval.street.crossings import crossings
from drivewm_eval.street.estimate import Figure, Sample, mean, quantile, share, spread
from drivewm_eval.street.labels import label_column, label_of_agent
from drivewm_eval.street.motion import Motion, on_clock
from drivewm_eval.street.targets import Range
from drivewm_eval.street.yielding import SPEED_BINS, yielding

LEAST_COUNT = 10
"""A figure that rests on fewer observations is shown, but not judged."""
FINE_PERIOD_S = 0.105
"""Recordings at least this fine have a jerk at 0.1 s."""
NEAR_M = ((0.0, 2.0), (2.0, 5.0), (5.0, 10.0))

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


def statistics(recordings: Sequence[Recording], progress: Callable[[], None] = lambda: None) -> Statistics:
    """Every quantity, pooled over the recordings; `progress` is called after each of `STAGES` stages."""
    coarse = [on_clock(r, speeds.SPEED_STEP_S) for r in recordings]
    progress()
    motions = [on_clock(r) for r in recordings]
    progress()
    out = _people(coarse, recordings)
    progress()
    out |= _meetings(motions)
    progress()
    out |= _bodies(motions, recordings)
    progress()
    return out


STAGES = 5


def _people(motions: Sequence[Motion], recordings: Sequence[Recording]) -> Statistics:
    walking = speeds.walking_speed(motions)
    grouped = [companions.together(m) for m in motions]
    labels = [label_of_agent(label_column(r, "age")) for r in recordings]
    ages = speeds.walking_speed_by_label(motions, labels)
    return {
        "walking speed, mean (m/s)": mean(walking),
        "walking speed, sd (m/s)": spread(walking),
        "walking speed, p5 (m/s)": quantile(walking, 0.05),
        "walking speed, p95 (m/s)": quantile(walking, 0.95),
        **{f"walking speed, median, {age} (m/s)": quantile(sample, 0.5) for age, sample in ages.items()},
        "time standing": share(speeds.standing(motions)),
        "people in groups": share(companions.in_group(motions, grouped)),
        "groups less singles (m/s)": companions.group_speed_difference(motions, grouped),
        "people at once": mean(density.people_present(motions)),
        "vehicles driving or waiting at once": mean(density.vehicles_present(motions)),
        "others within 5 m of a person": mean(density.people_nearby(motions)),
    }


def _meetings(motions: Sequence[Motion]) -> Statistics:
    found = [crossings(m) for m in motions]
    offered = [gaps.offers(m, each) for m, each in zip(motions, found, strict=True)]
    accepted, rejected = gaps.accepted_gaps(motions, offered), gaps.rejected_gaps(motions, offered)
    half, slope = gaps.gap_choice(accepted, rejected)
    pet = interactions.post_encroachment(found)
    collision = interactions.least_time_to_collision(motions)
    near = {
        f"vehicle speed, person at {low:.0f}-{high:.0f} m, median (m/s)": quantile(
            interactions.speed_near_people(motions, (low, high)), 0.5
        )
        for low, high in NEAR_M
    }
    yields = {
        f"drivers yielding, coming at {low:.0f}-{high:.0f} m/s": share(
            yielding(motions, offered, (low, high))
        )
        for low, high in SPEED_BINS
    }
    return {
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
        **near,
        **yields,
    }


def _bodies(motions: Sequence[Motion], recordings: Sequence[Recording]) -> Statistics:
    fine = [
        on_clock(r, smoothness.FINE_STEP_S)
        for r, m in zip(recordings, motions, strict=True)
        if m.period_s <= FINE_PERIOD_S
    ]
    driving = speeds.driving_speed(motions)
    p99 = {
        "vehicle acceleration, p99 (m/s^2)": smoothness.acceleration(motions, Kind.VEHICLE),
        "vehicle jerk, p99 (m/s^3)": smoothness.jerk(motions, Kind.VEHICLE),
        "vehicle jerk at 0.1 s, p99 (m/s^3)": smoothness.jerk(fine, Kind.VEHICLE),
        "vehicle curvature, p99 (1/m)": smoothness.curvature(motions, Kind.VEHICLE),
        "pedestrian acceleration, p99 (m/s^2)": smoothness.acceleration(motions, Kind.PEDESTRIAN),
        "pedestrian yaw rate, p99 (rad/s)": smoothness.yaw_rate(motions, Kind.PEDESTRIAN),
    }
    return {
        "driving speed, median (m/s)": quantile(driving, 0.5),
        "driving speed, p95 (m/s)": quantile(driving, 0.95),
        "vehicles' time stopped": share(speeds.stopped(motions)),
        "stops a minute and vehicle": mean(speeds.stops_per_minute(motions)),
        **{name: quantile(sample, 0.99) for name, sample in p99.items()},
        "pedestrian position jumps": share(smoothness.jumps(recordings, Kind.PEDESTRIAN)),
        "vehicle position jumps": share(smoothness.jumps(recordings, Kind.VEHICLE)),
    }


def _below(sample: Sample, limit: float) -> Sample:
    return Sample(value=(sample.value < limit).astype(float), block=sample.block)


def rows(figures: Statistics, targets: Mapping[str, Range]) -> list[Row]:
    """The table's lines, in the order of the figures."""
    return [
        Row(name=name, target=targets.get(name), figure=figure, verdict=_verdict(figure, targets.get(name)))
        for name, figure in figures.items()
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
