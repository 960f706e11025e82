"""How far off, by how far ahead it is and by what happens in the drive: sums over the agents of moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.types import Forecast
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval import displacement
from drivewm_eval.motion import groups, judged

MODEL_JOINT, MODEL_LIKELY = "model, best joint mode", "model, most likely"
STRAIGHT, FAN = "constant velocity", "fan, best joint way"
LINES = {MODEL_JOINT: "model", MODEL_LIKELY: "model", STRAIGHT: "cv", FAN: "fan"}
"""What is drawn, and whose forecast it is."""


@dataclass(frozen=True, kw_only=True)
class GroupErrors:
    """The errors of one group in one moment. B agents of the group, F steps."""

    group: str
    rows: Int[ndarray, "B"]  # of the moment's agents
    by_line: dict[str, Float[ndarray, "B F"]]  # metres
    mode: int | None  # the model's joint mode that is best for the group; None without a model


def group_errors(moment: Moment, said: Mapping[str, Forecast]) -> list[GroupErrors]:
    """Errors of the lines whose forecasters said something, for each group that has anybody to judge.

    A joint mode serves all agents of the group: the one of least mean error over them and the steps.
    """
    truth = moment.future[0]
    likely = {
        line: displacement.errors(said[who].most_likely[None], truth)[0]
        for line, who in LINES.items()
        if line == MODEL_LIKELY and who in said
    }
    found = []
    for group, members in groups(moment).items():
        rows = np.flatnonzero(members & judged(moment))
        if not len(rows):
            continue
        by_line: dict[str, ndarray] = {}
        mode: int | None = None
        for line, who in LINES.items():
            if who not in said:
                continue
            if line in likely:
                by_line[line] = likely[line][rows]
                continue
            error = displacement.errors(said[who].position[:, rows], truth[rows])
            best = int(error.mean(axis=(1, 2)).argmin())
            by_line[line] = error[best]
            mode = best if line == MODEL_JOINT else mode
        found.append(GroupErrors(group=group, rows=rows, by_line=by_line, mode=mode))
    return found


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The mean errors of a group in the drives of one situation."""

    ade: dict[str, float]  # by line, metres
    agents: int  # counted anew in every moment
    drives: int


@dataclass
class ErrorCurves:
    """Sums of the errors of each group in each situation."""

    total: dict[tuple[str, str], dict[str, Float[ndarray, "F"]]] = field(default_factory=dict)
    agents: dict[tuple[str, str], int] = field(default_factory=dict)
    drives: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def add(self, situation: str, drive: int, errors: GroupErrors) -> None:
        """The errors of one group in one moment of a drive (its number) of a situation."""
        key = errors.group, situation
        sums = self.total.setdefault(key, {})
        for line, error in errors.by_line.items():
            sums[line] = sums.get(line, 0.0) + error.sum(axis=0)
        self.agents[key] = self.agents.get(key, 0) + len(errors.rows)
        self.drives.setdefault(key, set()).add(drive)

    def groups(self) -> list[str]:
        """The groups with anybody, in the order in which they came."""
        return list(dict.fromkeys(group for group, _ in self.total))

    def by_horizon(self, group: str) -> dict[str, Float[ndarray, "F"]]:
        """By line the mean error in metres at each step."""
        parts = [sums for (named, _), sums in self.total.items() if named == group]
        count = sum(n for (named, _), n in self.agents.items() if named == group)
        return {line: np.sum([part[line] for part in parts], axis=0) / count for line in parts[0]}

    def by_situation(self, group: str) -> dict[str, Situation]:
        """By situation the mean over agents and steps; the one with most agents first."""
        keys = [key for key in self.total if key[0] == group]
        keys.sort(key=lambda key: (-self.agents[key], key))
        return {
            key[1]: Situation(
                ade={line: float(s.mean()) / self.agents[key] for line, s in self.total[key].items()},
                agents=self.agents[key],
                drives=len(self.drives[key]),
            )
            for key in keys
        }
