"""What a report keeps of the motion room while it runs: errors by horizon and situation, cases to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Forecast
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.error_curves import ErrorCurves, group_errors
from drivewm_eval.worst_cases import Case, cases_of

DRAWN = "pedestrians"
"""The group whose worst cases are drawn."""


@dataclass
class MotionRecord:
    """Called with every moment of the room and what each forecaster said of it, drive by drive."""

    curves: ErrorCurves = field(default_factory=ErrorCurves)
    cases: list[Case] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)  # those with a moment; their places are their numbers
    horizon: Float[ndarray, "F"] | None = None  # seconds; None before the first moment
    modes: dict[str, int] = field(default_factory=dict)  # how many joint modes each forecaster has

    def __call__(self, moment: Moment, said: Mapping[str, Forecast]) -> None:
        if not self.drives or self.drives[-1] is not moment.drive:
            self.drives.append(moment.drive)
        number = len(self.drives) - 1
        for name, forecast in said.items():
            self.horizon, self.modes[name] = forecast.horizon, len(forecast.position)
        for errors in group_errors(moment, said):
            self.curves.add(moment.drive.scenario, number, errors)
            if errors.group == DRAWN:
                self.cases += cases_of(number, moment, errors)
