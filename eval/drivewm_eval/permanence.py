"""Object permanence: are those who went out of sight still believed in, and found where they come back?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.drive_scenes import Moment, moment_at

HIDDEN_S = (0.5, 3.0)
BINS = 10
Forecaster = Callable[[Sequence[Scene]], list[Forecast]]


@dataclass(frozen=True, kw_only=True)
class Return:
    """Somebody comes back into sight."""

    true: int  # row of the true cast
    lost: int  # frame at which they were last seen
    seen: int  # frame at which they are seen again


def returns(drive: Drive, kind: Kind = Kind.PEDESTRIAN) -> list[Return]:
    """All who were unseen for half a second to three, whatever track they had and have then."""
    out = []
    visible = np.zeros(drive.true.there.shape, bool)
    rows, frames = np.nonzero(drive.seen.truth >= 0)
    visible[drive.seen.truth[rows, frames], frames] = True
    low, high = (round(s / FRAME_S) for s in HIDDEN_S)
    for row in np.flatnonzero(drive.true.kind == kind).tolist():
        at = np.flatnonzero(visible[row])
        gap = np.diff(at)
        for i in np.flatnonzero((gap >= low) & (gap <= high)).tolist():
            out.append(Return(true=row, lost=int(at[i]), seen=int(at[i + 1])))
    return out


def permanence(drives: Iterable[Drive], forecaster: Forecaster, grid: TimeGrid) -> dict[str, Any]:
    """Figures of the room.

    `existence_*`: of pedestrians unseen for 0.5 to 3 s, how well the probability that they are still in
    the street fits (Brier score, expected calibration error over ten bins). `return_*`: where the forecast
    made one step before somebody comes back puts them (the most likely candidate), against constant
    velocity carried through the gap, in metres.
    """
    believed: list[float] = []
    there: list[bool] = []
    ours: list[float] = []
    carried: list[float] = []
    for drive in drives:
        for moment, forecast in _forecasts(drive, forecaster, grid):
            hidden = _hidden(moment)
            if forecast.existence is not None:
                believed += forecast.existence[hidden].tolist()
                there += _exists(moment)[hidden].tolist()
        for ours_m, carried_m in _at_return(drive, forecaster, grid):
            ours.append(ours_m)
            carried.append(carried_m)
    return {
        **existence_figures(np.array(believed), np.array(there, bool)),
        "returns": len(ours),
        "return_error_m": float(np.mean(ours)) if ours else None,
        "return_error_cv_m": float(np.mean(carried)) if carried else None,
    }


def existence_figures(believed: ndarray, there: ndarray) -> dict[str, Any]:
    """Brier score, calibration error and base rate; None where nobody was hidden."""
    if len(believed) == 0:
        return {"hidden": 0, "existence_rate": None, "existence_brier": None, "existence_ece": None}
    bin_of = np.minimum((believed * BINS).astype(np.int64), BINS - 1)
    error = 0.0
    for b in range(BINS):
        inside = bin_of == b
        if inside.any():
            error += inside.mean() * abs(believed[inside].mean() - there[inside].mean())
    rate = float(there.mean())
    return {
        "hidden": len(believed),
        "existence_rate": rate,
        "existence_brier": float(((believed - there) ** 2).mean()),
        "existence_brier_of_rate": rate * (1 - rate),
        "existence_ece": float(error),
    }


def _forecasts(drive: Drive, forecaster: Forecaster, grid: TimeGrid) -> Iterator[tuple[Moment, Forecast]]:
    every = round(grid.step / FRAME_S)
    moments = [moment_at(drive, frame, grid) for frame in range(0, drive.frames, every)]
    moments = [m for m in moments if _hidden(m).any()]
    yield from zip(moments, forecaster([m.scene for m in moments]), strict=True)


def _hidden(moment: Moment) -> ndarray:
    unseen = moment.there.unseen * FRAME_S
    walks = moment.scene.tracks.kind == Kind.PEDESTRIAN
    return walks & (unseen >= HIDDEN_S[0] - 1e-9) & (unseen <= HIDDEN_S[1] + 1e-9)


def _exists(moment: Moment) -> ndarray:
    who = moment.there.who
    return (who >= 0) & moment.drive.true.there[who, moment.frame]


def _at_return(drive: Drive, forecaster: Forecaster, grid: TimeGrid) -> Iterator[tuple[float, float]]:
    """Errors of the forecast and of constant velocity for everybody who comes back."""
    step = round(grid.step / FRAME_S)
    found = [r for r in returns(drive) if r.seen - step > r.lost]
    moments = {r.seen - step: moment_at(drive, r.seen - step, grid) for r in found}
    forecasts = dict(zip(moments, forecaster([m.scene for m in moments.values()]), strict=True))
    for r in found:
        moment, forecast = moments[r.seen - step], forecasts[r.seen - step]
        rows = np.flatnonzero((moment.there.who == r.true) & (moment.there.unseen > 0))
        if len(rows) == 0:
            continue
        row = int(rows[0])
        truth = drive.true.pose[r.true, r.seen, :2]
        tracks = moment.scene.tracks
        straight = tracks.position[row, 0] + tracks.velocity[row, 0] * grid.step
        yield (
            float(np.linalg.norm(forecast.most_likely[row, 0] - truth)),
            float(np.linalg.norm(straight - truth)),
        )
