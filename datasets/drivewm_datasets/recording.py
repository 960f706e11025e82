"""A recording: what was seen of one scene, agent by agent, as it was recorded (no grid yet)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.types import RoadMap

CONTEXT = -1
"""The kind of an agent whose type is none of the three that are forecast (static, misc, ...)."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One scene. Rows are sorted by (agent, time); N rows, A agents.

    Positions are float64 metres in the scene's own frame; `t_s` seconds, float64.
    """

    dataset: str
    scene: str
    agent_ids: tuple[str, ...]
    agent_types: tuple[str, ...]  # as recorded: car, pedestrian, ...
    kind: Int[ndarray, "A"]  # drivewm.types.Kind, or CONTEXT
    size: Float[ndarray, "A 2"]  # length, width; zero where not recorded
    agent: Int[ndarray, "N"]  # index into agent_ids
    frame: Int[ndarray, "N"]
    t_s: Float[ndarray, "N"]
    xy: Float[ndarray, "N 2"]
    z: Float[ndarray, "N"]
    road_map: RoadMap = field(default_factory=RoadMap.empty)
    ego_id: str | None = None
    source: Path | None = None
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> how often; only jumps are left out

    @property
    def name(self) -> tuple[str, str]:
        return self.dataset, self.scene

    @cached_property
    def starts(self) -> Int[ndarray, "_"]:
        """Row at which each agent begins; agent a owns rows starts[a]:starts[a+1]."""
        return np.searchsorted(self.agent, np.arange(len(self.agent_ids) + 1))

    @cached_property
    def frames(self) -> Int[ndarray, "G"]:
        """The recorded frame numbers, each once, ascending."""
        return np.unique(self.frame)

    @cached_property
    def frame_times(self) -> Float[ndarray, "G"]:
        """The time of each of `frames`."""
        _, first = np.unique(self.frame, return_index=True)
        return self.t_s[first]

    def where(self, keep: Bool[ndarray, "N"]) -> Recording:
        """The same recording with these rows alone; agents keep their indices."""
        return replace(
            self,
            agent=self.agent[keep],
            frame=self.frame[keep],
            t_s=self.t_s[keep],
            xy=self.xy[keep],
            z=self.z[keep],
        )

    def rows_of(self, agent: int) -> slice:
        return slice(int(self.starts[agent]), int(self.starts[agent + 1]))

    def agents_at(self, t_s: float) -> Int[ndarray, "B"]:
        """Indices of the agents with a position recorded at exactly this time, ascending."""
        return self.agent[np.abs(self.t_s - t_s) < 1e-6]
