"""The demo's work: drive through a simulated crossing, forecast it, score it on further ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.baselines import kinematic_forecast
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, LineKind, RoadMap, Scene
from drivewm_datasets.columns import to_arrow
from drivewm_datasets.episode import Episode
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import batches, scene_at
from drivewm_datasets.schema import TRACK_DTYPES, tracks_table
from drivewm_datasets.store import recordings_of
from drivewm_eval.draw import polylines
from drivewm_eval.evaluation import SCENES_AT_ONCE, Forecaster, recording_windows, score_windows
from drivewm_eval.groups import summarize_groups
from drivewm_eval.replay import Label, Labels
from drivewm_eval.scores import Summary, WindowScore
from drivewm_sim.collect import collect_episode
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.scenarios import SCENARIOS

SCORE_EVERY_S = 0.8
Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One simulated episode and what was seen of it."""

    episode: Episode
    recording: Recording
    events: Counter[str]  # name -> how often it happened


def drive(seed: int, seconds: float, scenario: str = "street") -> Drive:
    """The rule-following ego drives through the crossing for `seconds`, less if it is through before."""
    setting = replace(SCENARIOS[scenario], duration_s=seconds)
    episode, events = collect_episode(EmbeddedSimulator(), setting, "rule", seed, f"seed_{seed}")
    return Drive(episode=episode, recording=_recording_of(episode), events=events)


def _recording_of(episode: Episode) -> Recording:
    """What a reader of the stored episode would get: its truth, with map and ego."""
    rows = len(episode.truth["frame"])
    named = {"dataset": np.full(rows, episode.dataset), "scene": np.full(rows, episode.scene)}
    columns = {k: v for k, v in {**named, **episode.truth}.items() if k in TRACK_DTYPES}
    (recording,) = recordings_of(tracks_table(to_arrow(columns), episode.scene))
    return replace(recording, road_map=episode.road_map, ego_id=episode.ego_id)


def labels_of(episode: Episode) -> Labels:
    """Intent and true heading of everybody at every frame."""
    truth = episode.truth
    columns = (truth[name].tolist() for name in ("t_s", "agent_id", "intent", "heading_rad"))
    return {
        (round(t_s, 3), agent_id): Label(intent.replace("_", " "), yaw)
        for t_s, agent_id, intent, yaw in zip(*columns, strict=True)
    }


def forecast_all(
    recording: Recording, times: Sequence[float], forecaster: Forecaster, grid: TimeGrid, advance: Advance
) -> tuple[list[Scene], list[Forecast]]:
    """Scenes and forecasts at the given recorded times."""
    scenes: list[Scene] = []
    forecasts: list[Forecast] = []
    for chunk in batches(times, SCENES_AT_ONCE):
        made = [scene_at(recording, t_s, grid) for t_s in chunk]
        scenes += made
        forecasts += forecaster(made)
        advance(len(chunk))
    return scenes, forecasts


def view_of_crossing(road_map: RoadMap) -> Float[ndarray, "4"] | None:
    """What a picture of the first crosswalk should show: 52 m by 28 m about it; none on a map without one."""
    crosswalks = polylines(road_map, LineKind.CROSSWALK)
    if not crosswalks:
        return None
    low, high = crosswalks[0].min(axis=0), crosswalks[0].max(axis=0)
    middle, half = (low + high) / 2, np.array([26.0, 14.0])
    return np.concatenate([middle - half, middle + half])


def compare(
    recordings: Sequence[Recording], forecaster: Forecaster, grid: TimeGrid, advance: Advance
) -> dict[str, dict[str, Summary]]:
    """Group -> predictor (model, constant velocity) -> figures, over windows of all recordings.

    `advance` is called with the number of recordings done.
    """
    predictors: dict[str, Forecaster] = {
        "model": forecaster,
        "constant velocity": lambda scenes: [kinematic_forecast(s, grid) for s in scenes],
    }
    windows = [list(recording_windows(r, grid, SCORE_EVERY_S)) for r in recordings]
    scores: dict[str, list[WindowScore]] = {name: [] for name in predictors}
    for part in windows:
        for name, predictor in predictors.items():
            scores[name] += score_windows(part, predictor, grid)
        advance(1)
    everything = [window for part in windows for window in part]
    summaries = {name: summarize_groups(everything, listed) for name, listed in scores.items()}
    groups = summaries["model"]
    return {group: {name: summaries[name][group] for name in predictors} for group in groups}
