"""The same scores for whom they are about: pedestrians at the roadway, all pedestrians, vehicles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from drivewm.history import EXACT_S
from drivewm.types import Kind
from drivewm_datasets.protocols import Window
from drivewm_eval.draw import LANE_WIDTH_M, lane_distance
from drivewm_eval.scores import Summary, WindowScore, summarize

ROADSIDE_M = 0.5
"""Who stands this near to a lane stands at the kerb."""
AT_THE_ROADWAY = "pedestrians at the roadway"
GROUPS = (AT_THE_ROADWAY, "pedestrians", "cyclists", "vehicles")
"""Membership is decided at the moment of the forecast, never by what happened afterwards."""


def members(window: Window) -> dict[str, Bool[ndarray, "B"]]:
    """Which of the window's agents belong to each group. The ego belongs to none: it knows its own plan.

    A pedestrian is at the roadway in a lane or within half a metre of one; on a map without lanes nobody is.
    """
    recording = window.recording
    kind = recording.kind[window.agents]
    others = np.array([recording.agent_ids[a] != recording.ego_id for a in window.agents], bool)
    distance = lane_distance(_positions(window), recording.road_map)
    near = distance <= LANE_WIDTH_M / 2 + ROADSIDE_M
    walks = kind == Kind.PEDESTRIAN
    return {
        AT_THE_ROADWAY: walks & near,
        "pedestrians": walks,
        "cyclists": (kind == Kind.CYCLIST) & others,
        "vehicles": (kind == Kind.VEHICLE) & others,
    }


def _positions(window: Window) -> Float[ndarray, "B 2"]:
    """Where the window's agents are at its moment."""
    recording = window.recording
    rows = np.flatnonzero(np.abs(recording.t_s - window.t_s) < EXACT_S)  # in order of the agent
    return recording.xy[rows[np.searchsorted(recording.agent[rows], window.agents)]]


def summarize_groups(windows: Sequence[Window], scores: Sequence[WindowScore]) -> dict[str, Summary]:
    """The mean figures of each group that has anybody; a joint mode is chosen for the whole scene."""
    parts: dict[str, list[WindowScore]] = {name: [] for name in GROUPS}
    for window, score in zip(windows, scores, strict=True):
        for name, chosen in members(window).items():
            if chosen.any():
                values = {figure: value[chosen] for figure, value in score.values.items()}
                parts[name].append(WindowScore(values=values, agents=int(chosen.sum())))
    return {name: summarize(part) for name, part in parts.items() if part}
