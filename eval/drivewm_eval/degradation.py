"""How do forecasts get worse as the agents are seen worse, beside constant velocity under the same?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivewm.baselines import baseline_forecast
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Scene
from drivewm_datasets.drive import Drive
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.motion import Forecaster, Sums, groups, judged, moments
from drivewm_eval.worse_seen import AXES, changed, worse_seen

GROUPS = ("pedestrians", "vehicles")
FIGURES = {"model": ("joint_min_ade", "top1_ade", "top1_fde"), "cv": ("top1_ade", "top1_fde")}
"""What is asked of each forecaster; constant velocity has one mode."""
Said = dict[str, list[Forecast]]
Means = dict[str, dict[str, float | None]]


@dataclass
class Tally:
    """Errors of one group at one level, agent by agent, in the same order at every level."""

    group: str
    sums: dict[str, Sums] = field(default_factory=dict)  # by forecaster
    affected: list[bool] = field(default_factory=list)  # whose past is not as at level 0

    def add(self, asked: Sequence[Moment], scenes: Sequence[Scene], said: Said) -> None:
        """Moments, their scenes at this level, and what was said of these."""
        for i, (moment, scene) in enumerate(zip(asked, scenes, strict=True)):
            who = groups(moment)[self.group] & judged(moment)
            if not who.any():
                continue
            self.affected += changed(moment.scene, scene)[who].tolist()
            for name, forecasts in said.items():
                self.sums.setdefault(name, Sums()).add(forecasts[i], moment.future[0, who], who)

    def means(self, who: Sequence[bool] | None = None) -> Means:
        """In metres, over all or over some; None over nobody."""
        some = np.ones(len(self.affected), bool) if who is None else np.array(who, bool)
        return {
            name: {
                f: float(np.array(sums.values[f])[some].mean()) if some.any() else None for f in FIGURES[name]
            }
            for name, sums in self.sums.items()
        }

    def figures(self, clean: Tally) -> dict[str, Any]:
        """Beside those of level 0."""
        affected = _ratios(self.means(self.affected), clean.means(self.affected))
        return {
            "agents": len(self.affected),
            "affected": sum(self.affected),
            **self.means(),
            "ratio": _ratios(self.means(), clean.means()),
            "ratio_of_affected": affected,
        }


def degradation(
    drives: Iterable[Drive],
    forecaster: Forecaster | None,
    grid: TimeGrid,
    *,
    every_s: float = 1.2,
    bev: bool = True,
) -> dict[str, Any]:
    """Figures by axis (see `worse_seen`), group and level; errors in metres against the true future.

    Those who are judged as the car saw them are judged at every level, even with no past left. `affected` of
    them have another past than at level 0. `ratio` is the error over that of level 0, `ratio_of_affected` the
    same among these alone. Level 0 has the noise, gaps and switches that the car's own perception made.
    """
    levels = [(axis, level) for axis, of_axis in AXES.items() for level in of_axis.levels]
    tallies = {(axis, level, group): Tally(group) for axis, level in levels for group in GROUPS}
    for asked in moments(drives, grid, every_s, bev):
        clean = _said([m.scene for m in asked], forecaster, grid)
        for axis, level in levels:
            scenes = [worse_seen(m, axis, level) for m in asked]
            said = _said(scenes, forecaster, grid) if level else clean
            for group in GROUPS:
                tallies[axis, level, group].add(asked, scenes, said)
    out: dict[str, Any] = {axis: {} for axis in AXES}
    for (axis, level, group), tally in tallies.items():
        if tally.affected:
            out[axis].setdefault(group, {})[f"{level:g}"] = tally.figures(tallies[axis, 0.0, group])
    return out


def _said(scenes: Sequence[Scene], forecaster: Forecaster | None, grid: TimeGrid) -> Said:
    ours: Said = {} if forecaster is None else {"model": forecaster(scenes)}
    return {**ours, "cv": [baseline_forecast("cv", scene, grid) for scene in scenes]}


def _ratios(worse: Means, clean: Means) -> Means:
    """None where there is nobody, or nothing to divide by."""
    out: Means = {name: {} for name in worse}
    for name, figures in worse.items():
        for figure, value in figures.items():
            base = clean[name][figure]
            out[name][figure] = None if value is None or not base else value / base
    return out
