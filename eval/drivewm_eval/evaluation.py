"""Windows to scores: any forecaster against recorded futures, constant velocity always beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Scene
from drivewm_datasets.protocols import Window
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import anchor_times, batches, scene_at, with_whole_future
from drivewm_eval.likelihood import COVERAGE_HORIZONS_S
from drivewm_eval.scores import Candidates, WindowScore, score

Forecaster = Callable[[Sequence[Scene]], list[Forecast]]
SCENES_AT_ONCE = 16


def recording_windows(recording: Recording, grid: TimeGrid, every: float) -> Iterator[Window]:
    """Windows of a recording outside any protocol: at its anchors, where anybody can be scored."""
    for t_s in anchor_times(recording, every):
        agents, future = with_whole_future(recording, float(t_s), grid)
        if len(agents):
            yield Window(recording=recording, t_s=float(t_s), agents=agents, future=future)


def coverage_steps(grid: TimeGrid) -> list[int]:
    """Indices of the steps at 1.2, 2.4 and 4.8 s (the nearest where the clock has others)."""
    horizons = np.asarray(grid.horizons)
    return sorted({int(np.abs(horizons - h).argmin()) for h in COVERAGE_HORIZONS_S})


def scored_indices(window: Window, scene: Scene) -> np.ndarray:
    """Where the window's agents stand among the scene's."""
    place = {agent_id: i for i, agent_id in enumerate(scene.tracks.ids)}
    return np.array([place[window.recording.agent_ids[a]] for a in window.agents], dtype=np.int64)


def score_windows(
    windows: Sequence[Window],
    forecaster: Forecaster,
    grid: TimeGrid,
    advance: Callable[[int], None] = lambda count: None,
) -> list[WindowScore]:
    """The score of every window. Every agent present at the anchor is forecast; the window's are scored."""
    rng = np.random.default_rng(0)
    steps = coverage_steps(grid)
    out: list[WindowScore] = []
    for chunk in batches(windows, SCENES_AT_ONCE):
        scenes = [scene_at(w.recording, w.t_s, grid) for w in chunk]
        for window, scene, forecast in zip(chunk, scenes, forecaster(scenes), strict=True):
            agents = scored_indices(window, scene)
            candidates = Candidates.of(forecast, agents)
            out.append(score(candidates, window.future, scene.tracks.kind[agents], steps, rng))
        advance(len(chunk))
    return out
