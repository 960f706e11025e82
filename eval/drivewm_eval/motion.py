"""How far off are the forecasts on simulated drives, for whom, beside forecasts that need no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from drivewm.baselines import baseline_forecast
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Scene
from drivewm_datasets.drive import FRAME_S, Drive
from drivewm_datasets.drive_scenes import Moment, moment_at
from drivewm_eval import displacement

NEAR_VEHICLE_M = 20.0
FIRST_S = 1.2
"""Moments are taken from then on, when agents have a past, and where grids are kept: every 0.4 s."""
BASELINES = ("cv", "kalman", "fan")
INTERACTING = "interacting pedestrians"
FIGURES = ("joint_min_ade", "joint_min_fde", "min_ade", "min_fde", "top1_ade", "top1_fde")
Forecaster = Callable[[Sequence[Scene]], list[Forecast]]
Watcher = Callable[[Moment, Mapping[str, Forecast]], None]
"""Is shown every moment with the forecasts of it by the forecasters' names."""


def judged(moment: Moment) -> Bool[ndarray, "A"]:
    """Who is scored: seen now, with two positions of history and a whole known future; never the ego."""
    seen = moment.there.unseen == 0
    past = moment.scene.tracks.valid.sum(axis=1) >= 2
    return seen & past & moment.known[0] & ~moment.is_ego


def groups(moment: Moment) -> dict[str, Bool[ndarray, "A"]]:
    """Whom the figures are about; all of it is decided now, nothing by what happens later.

    Interacting pedestrians cross the road, wait to or come to the kerb for it (the simulator's label), and a
    vehicle is within 20 m.
    """
    tracks = moment.scene.tracks
    place, wheels = tracks.position[:, 0], tracks.kind == Kind.VEHICLE
    apart = np.linalg.norm(place[:, None] - place[None, wheels], axis=-1)
    near = apart.min(axis=1, initial=np.inf) < NEAR_VEHICLE_M
    return {
        INTERACTING: moment.meeting & near,
        "pedestrians": tracks.kind == Kind.PEDESTRIAN,
        "cyclists": tracks.kind == Kind.CYCLIST,
        "vehicles": wheels,
    }


@dataclass
class Sums:
    """Errors of one forecaster for one group, agent by agent."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FIGURES})

    def add(self, forecast: Forecast, truth: ndarray, who: Bool[ndarray, "A"]) -> None:
        """One moment. A joint mode serves all agents of the group in it."""
        marginal = displacement.errors(forecast.marginal_position[:, who], truth)
        joint = displacement.errors(forecast.position[:, who], truth)
        found = {
            **dict(zip(("joint_min_ade", "joint_min_fde"), displacement.best_joint(joint), strict=True)),
            **dict(zip(("min_ade", "min_fde"), displacement.best_per_agent(marginal), strict=True)),
        }
        # The forecast's own word for the most likely: the candidate with most probability around it.
        top = displacement.errors(forecast.most_likely[None, who], truth)[0]
        found |= {"top1_ade": top.mean(-1), "top1_fde": top[:, -1]}
        for name, values in found.items():
            self.values[name] += np.asarray(values).tolist()

    def means(self) -> dict[str, Any]:
        count = len(self.values["top1_ade"])
        return {
            **{name: float(np.mean(v)) if v else None for name, v in self.values.items()},
            "agents": count,
        }


def moments(drives: Iterable[Drive], grid: TimeGrid, every_s: float, bev: bool) -> Iterator[list[Moment]]:
    """The moments of each drive that have a whole future."""
    stride, last = round(every_s / FRAME_S), round(grid.horizons[-1] / FRAME_S)
    for drive in drives:
        frames = range(round(FIRST_S / FRAME_S), drive.frames - last, stride)
        yield [moment_at(drive, frame, grid, bev=bev) for frame in frames]


def motion(
    drives: Iterable[Drive],
    forecaster: Forecaster | None,
    grid: TimeGrid,
    *,
    every_s: float = 1.0,
    bev: bool = True,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Errors in metres by group and forecaster: `model` (where there is one) and the baselines."""
    sums: dict[str, dict[str, Sums]] = {}
    for of_drive in moments(drives, grid, every_s, bev):
        scenes = [m.scene for m in of_drive]
        said = {name: [baseline_forecast(name, s, grid) for s in scenes] for name in BASELINES}
        if forecaster is not None:
            said["model"] = forecaster(scenes)
        for i, moment in enumerate(of_drive):
            if watcher is not None:
                watcher(moment, {name: forecasts[i] for name, forecasts in said.items()})
            asked = judged(moment)
            for group, members in groups(moment).items():
                who = members & asked
                if not who.any():
                    continue
                for name, forecasts in said.items():
                    truth = moment.future[0, who]
                    sums.setdefault(group, {}).setdefault(name, Sums()).add(forecasts[i], truth, who)
    return {
        group: {name: by_name[name].means() for name in by_name} | {"gain": _gain(by_name)}
        for group, by_name in sums.items()
    }


def _gain(by_name: dict[str, Sums]) -> dict[str, dict[str, float]]:
    """By how much the model's errors are below those of each baseline (a share)."""
    if "model" not in by_name:
        return {}
    ours = by_name["model"].means()
    out = {}
    for name in BASELINES:
        theirs = by_name[name].means()
        out[name] = {figure: 1 - ours[figure] / theirs[figure] for figure in FIGURES if theirs[figure]}
    return out
