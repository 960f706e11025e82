"""The rooms of an evaluation on simulated drives: what each one asks of a forecaster, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drivewm.checkpoint import load_bundle
from drivewm.errors import InputError
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import Moment, moment_at
from drivewm_datasets.material import read_material
from drivewm_eval.calibration import calibration, scored, tuned_kalman
from drivewm_eval.common_sense import common_sense
from drivewm_eval.consistency import off_road, overlap
from drivewm_eval.counterfactuals import answers, counterfactuals
from drivewm_eval.crossing_lead import crossing_lead, forecast_score, straight_score, watched
from drivewm_eval.degradation import degradation
from drivewm_eval.drivable import DrivableArea
from drivewm_eval.hidden_people import hidden_people
from drivewm_eval.motion import Watcher, moments, motion
from drivewm_eval.permanence import permanence
from drivewm_eval.stability import jitter, reaction_delay, reactions

AT_ONCE = 16
EVERY_S = 1.2
DENSE = 24  # drives that are looked at tick by tick


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who is examined; without a model the baselines alone are."""

    name: str
    model: TorchForecaster | None
    grid: TimeGrid

    def forecast(self, scenes: Sequence[Any]) -> list[Any]:
        """One forecast a scene, in batches."""
        model = self.torch()
        return [f for i in range(0, len(scenes), AT_ONCE) for f in model(scenes[i : i + AT_ONCE])]

    def imagine(self, scenes: Sequence[Any]) -> list[list[Any]]:
        return self.torch().imagine(scenes)

    def torch(self) -> TorchForecaster:
        """The model; InputError where there is none."""
        if self.model is None:
            raise InputError("this room examines a model; give --weights")
        return self.model

    @property
    def takes_plans(self) -> bool:
        return self.model is not None and self.model.model.config.use_plan

    @property
    def sees_grids(self) -> bool:
        return self.model is not None and self.model.model.config.bev is not None


def subject_of(weights: str | None) -> Subject:
    """The bundle by name or folder; None for the baselines alone."""
    if weights is None:
        return Subject(name="baselines", model=None, grid=TimeGrid())
    bundle = load_bundle(weights)
    return Subject(name=bundle.name, model=TorchForecaster(bundle), grid=bundle.model.config.grid)


Room = Callable[[Sequence[Drive], Subject], dict[str, Any]]


def _motion(drives: Sequence[Drive], subject: Subject, watcher: Watcher | None = None) -> dict[str, Any]:
    forecaster = subject.forecast if subject.model else None
    return motion(drives, forecaster, subject.grid, watcher=watcher)


def _counterfactuals(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    if not subject.takes_plans:
        raise InputError(f"{subject.name} takes no plan of the ego; this room is for models that do")
    if not any(drive.branches for drive in drives):
        raise InputError("the episodes hold no branches; collect some with --branches")
    return counterfactuals(answers(drives, subject.imagine, subject.grid))


def _permanence(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    return permanence(drives, subject.forecast, subject.grid)


def _hidden_people(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    if subject.model is None or not subject.model.model.config.occupancy:
        raise InputError(f"{subject.name} forecasts no occupancy; this room is for models that do")
    return hidden_people(drives, subject.forecast, subject.grid)


def _calibration(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    """The Kalman filter beside the model is tuned on every second drive; the others are judged."""
    asked = _moments(drives[1::2] or drives, subject)
    if not any(len(scored(moment)) for moment in asked):
        return {}
    others = _moments(drives[::2], subject)
    tuned = tuned_kalman(others, np.asarray(subject.grid.horizons)) if others else None
    return calibration(asked, subject.forecast([m.scene for m in asked]), tuned)


def _consistency(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    asked = _moments(drives, subject)
    forecasts = subject.forecast([m.scene for m in asked])
    return {"overlap": overlap(asked, forecasts), "off_road": off_road(asked, forecasts)}


def _stability(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    """Jitter between ticks 0.4 s apart, of some drives, and the delay after a turn or a stop."""
    some = drives[:DENSE]
    scenes, forecasts, delays = [], [], []
    for drive in some:
        ticks = [moment_at(drive, frame, subject.grid) for frame in range(12, drive.frames, 4)]
        said = subject.forecast([m.scene for m in ticks])
        scenes += [m.scene for m in ticks]
        forecasts += said
        delays += reactions(drive, ticks, said)
    return {"jitter": jitter(scenes, forecasts), "delay": reaction_delay(delays)}


def _crossing(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    people = []
    for drive in drives:
        area = DrivableArea(drive.road_map)
        ticks = [moment_at(drive, frame, subject.grid) for frame in range(12, drive.frames, 4)]
        said = subject.forecast([m.scene for m in ticks])
        ours = [forecast_score(m, f) for m, f in zip(ticks, said, strict=True)]
        straight = [straight_score(m, f, area) for m, f in zip(ticks, said, strict=True)]
        people += watched(ticks, [ours, straight])
    return {"model": crossing_lead(people, 0), "constant_velocity": crossing_lead(people, 1)}


def _degradation(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    forecaster = subject.forecast if subject.model else None
    return degradation(drives, forecaster, subject.grid, every_s=EVERY_S, bev=subject.sees_grids)


def _common_sense(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    return common_sense(drives, subject.torch())


ROOMS: dict[str, Room] = {
    "motion": _motion,
    "calibration": _calibration,
    "consistency": _consistency,
    "counterfactuals": _counterfactuals,
    "common-sense": _common_sense,
    "permanence": _permanence,
    "hidden-people": _hidden_people,
    "stability": _stability,
    "crossing": _crossing,
    "degradation": _degradation,
}


def _moments(drives: Sequence[Drive], subject: Subject) -> list[Moment]:
    return [m for listed in moments(drives, subject.grid, EVERY_S, subject.sees_grids) for m in listed]


def read_drives(paths: Sequence[Path], *, bev: bool, progress: Callable[[int, int], None]) -> list[Drive]:
    """The episodes under the paths. InputError where there is a recording of another kind among them."""
    found = read_material(paths, bev=bev, progress=progress)
    drives = [item for item in found if isinstance(item, Drive)]
    if len(drives) < len(found):
        other = next(item for item in found if not isinstance(item, Drive))
        raise InputError(f"{'/'.join(other.name)} is no episode; rooms need those of drivewm collect")
    return drives


def examine(
    drives: Sequence[Drive],
    subject: Subject,
    rooms: Sequence[str],
    progress: Callable[[str], None] = lambda room: None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """The figures of each room, and what was examined. `watcher` is shown the moments of the motion room."""
    unknown = [name for name in rooms if name not in ROOMS]
    if unknown:
        raise InputError(f"--rooms {unknown[0]!r} is unknown; there are {', '.join(ROOMS)}")
    out: dict[str, Any] = {
        "forecaster": subject.name,
        "towns": sorted({drive.town for drive in drives}),
        "drives": len(drives),
        "seen_in_training": _seen(drives, subject),
        "rooms": {},
    }
    for name in rooms:
        progress(name)
        room = partial(_motion, watcher=watcher) if name == "motion" else ROOMS[name]
        out["rooms"][name] = room(drives, subject)
    return out


def _seen(drives: Sequence[Drive], subject: Subject) -> int:
    if subject.model is None:
        return 0
    bundle = subject.model.bundle
    known = {*bundle.trained_on, *bundle.validated_on}
    return sum(drive.name in known for drive in drives)
