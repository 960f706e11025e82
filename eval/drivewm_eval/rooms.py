"""The rooms of an evaluation on simulated drives: what each one asks of a forecaster, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivewm.checkpoint import load_bundle
from drivewm.errors import InputError
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm_datasets.drive import Drive
from drivewm_datasets.material import read_material
from drivewm_eval.counterfactuals import answers, counterfactuals
from drivewm_eval.hidden_people import hidden_people
from drivewm_eval.motion import motion
from drivewm_eval.permanence import permanence

AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who is examined; without a model the baselines alone are."""

    name: str
    model: TorchForecaster | None
    grid: TimeGrid

    def forecast(self, scenes: Sequence[Any]) -> list[Any]:
        """One forecast a scene, in batches."""
        model = self._model()
        return [f for i in range(0, len(scenes), AT_ONCE) for f in model(scenes[i : i + AT_ONCE])]

    def imagine(self, scenes: Sequence[Any]) -> list[list[Any]]:
        return self._model().imagine(scenes)

    def _model(self) -> TorchForecaster:
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


def _motion(drives: Sequence[Drive], subject: Subject) -> dict[str, Any]:
    return motion(drives, subject.forecast if subject.model else None, subject.grid)


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


ROOMS: dict[str, Room] = {
    "motion": _motion,
    "counterfactuals": _counterfactuals,
    "permanence": _permanence,
    "hidden-people": _hidden_people,
}


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
) -> dict[str, Any]:
    """The figures of each room, and what was examined."""
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
        out["rooms"][name] = ROOMS[name](drives, subject)
    return out


def _seen(drives: Sequence[Drive], subject: Subject) -> int:
    if subject.model is None:
        return 0
    bundle = subject.model.bundle
    known = {*bundle.trained_on, *bundle.validated_on}
    return sum(drive.name in known for drive in drives)
