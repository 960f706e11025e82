"""Which forecasts went most wrong: the choice of the cases that are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.error_curves import MODEL_JOINT, MODEL_LIKELY, STRAIGHT, GroupErrors

CASES = 20
A_DRIVE = 2
"""Of one drive at most so many cases are drawn, so that a strange one does not fill the page."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The forecast of one agent in one moment. Errors are means over the steps, in metres."""

    drive: int  # the drive's number among those examined
    frame: int
    row: int  # of the moment's agents
    who: int  # row of the true cast: the same person whatever its track is called
    mode: int  # the joint mode whose error this is
    joint: float  # joint minADE, within the group
    likely: float  # of the most likely candidate
    straight: float  # of constant velocity


def cases_of(drive: int, moment: Moment, errors: GroupErrors) -> list[Case]:
    """One case for each agent of the group; none without a model."""
    if errors.mode is None:
        return []
    ade = {line: error.mean(axis=1) for line, error in errors.by_line.items()}
    return [
        Case(
            drive=drive,
            frame=moment.frame,
            row=int(row),
            who=int(moment.there.who[row]),
            mode=errors.mode,
            joint=float(ade[MODEL_JOINT][i]),
            likely=float(ade[MODEL_LIKELY][i]),
            straight=float(ade[STRAIGHT][i]),
        )
        for i, row in enumerate(errors.rows)
    ]


def worst(cases: Iterable[Case], count: int = CASES, a_drive: int = A_DRIVE) -> list[Case]:
    """The cases of greatest joint error, greatest first: of a drive at most two, of different people.

    Of one person the worst moment alone counts; of equal errors that of the earlier drive and frame is first.
    """
    chosen: list[Case] = []
    taken: dict[int, set[int]] = {}
    for case in sorted(cases, key=lambda c: (-c.joint, c.drive, c.frame, c.row)):
        people = taken.setdefault(case.drive, set())
        if len(people) < a_drive and case.who not in people:
            people.add(case.who)
            chosen.append(case)
        if len(chosen) == count:
            break
    return chosen
