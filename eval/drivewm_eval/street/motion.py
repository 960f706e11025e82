"""A recording on an even clock: what all statistics of a street are computed from.

Recordings come at 2 to 50 Hz. Speeds differ with the step over which they are taken, so every statistic
states its step, and every recording is brought to it first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.timing import MAX_HOLE_S
from drivewm.types import DEFAULT_SIZE, Kind
from drivewm_datasets.recording import CONTEXT, Recording
from drivewm_datasets.sampling import sample_agent

STEP_S = 0.5
"""The usual step: the slowest recordings come at 2 Hz, and real trackers are too noisy for a finer one."""
STANDING_MPS = 0.2
"""Slower than this is standing."""
WALKING_MPS = 0.3
"""At least this fast is walking."""
PARKED_M = 1.0
"""A vehicle that stays within this of its first position is parked, or waits throughout."""
LEVEL_M = 2.5
"""Agents further apart in height do not meet: one of them is on a bridge."""
NOT_ON_FOOT = ("pedestrian_sitting", "skater")
"""Types of the kind pedestrian that do not walk."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One scene, sampled every `step` seconds. Rows are sorted by (agent, tick); N rows, A agents.

    A position between two recorded rows is interpolated from these two if they are at most 0.65 s apart.
    Velocity is the displacement since the tick before, divided by the step: it looks backward only.
    """

    scene: str
    step: float  # seconds
    start_s: float  # the recording's time of tick 0
    period_s: float  # median time between recorded frames
    ids: tuple[str, ...]  # agent ids
    kind: Int[ndarray, "A"]  # Kind or CONTEXT; who is pedestrian but not on foot is CONTEXT
    size: Float[ndarray, "A 2"]  # length, width; the usual of its kind where not recorded
    agent: Int[ndarray, "N"]
    tick: Int[ndarray, "N"]
    xy: Float[ndarray, "N 2"]
    z: Float[ndarray, "N"]

    @cached_property
    def starts(self) -> Int[ndarray, "_"]:
        """Row at which each agent begins; agent a owns rows starts[a]:starts[a+1]."""
        return np.searchsorted(self.agent, np.arange(len(self.ids) + 1))

    @cached_property
    def follows(self) -> Bool[ndarray, "N"]:
        """Whether the row before is the same agent one tick earlier: only then is there a velocity."""
        return np.concatenate([[False], (np.diff(self.agent) == 0) & (np.diff(self.tick) == 1)])[
            : len(self.tick)
        ]

    @cached_property
    def velocity(self) -> Float[ndarray, "N 2"]:
        """m/s; zero where `follows` is false."""
        moved = np.diff(self.xy, axis=0, prepend=self.xy[:1])
        return np.where(self.follows[:, None], moved / self.step, 0.0)

    @cached_property
    def speed(self) -> Float[ndarray, "N"]:
        return np.hypot(self.velocity[:, 0], self.velocity[:, 1])

    @cached_property
    def parked(self) -> Bool[ndarray, "A"]:
        """Who never gets 1 m away from where it was first seen; also who is never seen."""
        first = self.xy[np.minimum(self.starts[:-1], len(self.xy) - 1)] if len(self.xy) else np.zeros((0, 2))
        away = np.zeros(len(self.ids))
        if len(self.xy):
            np.maximum.at(away, self.agent, np.hypot(*(self.xy - first[self.agent]).T))
        return away < PARKED_M

    def is_kind(self, kind: Kind) -> Bool[ndarray, "N"]:
        """Rows of agents of a kind."""
        return np.asarray(self.kind[self.agent] == kind)

    def times(self, rows: slice | Int[ndarray, "n"]) -> Float[ndarray, "_"]:
        """Seconds since tick 0."""
        return self.tick[rows] * self.step

    @cached_property
    def by_tick(self) -> tuple[Int[ndarray, "N"], Int[ndarray, "_"]]:
        """Rows in order of (tick, agent), and where each tick begins among them; empty ticks are left out."""
        order = np.lexsort((self.agent, self.tick))
        edges = np.flatnonzero(np.diff(self.tick[order], prepend=-1, append=-1))
        return order, edges


def on_clock(recording: Recording, step: float = STEP_S) -> Motion:
    """The recording on a clock that ticks every `step` seconds, from its first recorded time on."""
    times = recording.frame_times
    start = float(recording.t_s.min()) if len(recording.t_s) else 0.0
    agents, ticks, positions = [], [], []
    for agent in range(len(recording.agent_ids)):
        own = recording.t_s[recording.rows_of(agent)]
        if not len(own):
            continue
        low, high = np.floor((own[0] - start) / step), np.ceil((own[-1] - start) / step)
        tick = np.arange(int(low), int(high) + 1)
        holes = np.full(len(tick), MAX_HOLE_S + 1e-6)
        xyz, valid = sample_agent(recording, agent, start + tick * step, holes, until=np.inf)
        agents.append(np.full(int(valid.sum()), agent, np.int64))
        ticks.append(tick[valid])
        positions.append(xyz[valid])
    xyz = np.concatenate([np.zeros((0, 3)), *positions])
    nothing = np.zeros(0, np.int64)
    on_foot = np.array([name.lower() not in NOT_ON_FOOT for name in recording.agent_types], bool)
    kind = np.where(on_foot, recording.kind, CONTEXT)
    usual = DEFAULT_SIZE[np.where(recording.kind == CONTEXT, int(Kind.VEHICLE), recording.kind)]
    return Motion(
        scene=f"{recording.dataset}/{recording.scene}",
        step=step,
        start_s=start,
        period_s=float(np.median(np.diff(times))) if len(times) > 1 else step,
        ids=recording.agent_ids,
        kind=kind,
        size=np.where((recording.size > 0).all(axis=1, keepdims=True), recording.size, usual),
        agent=np.concatenate([nothing, *agents]),
        tick=np.concatenate([nothing, *ticks]),
        xy=xyz[:, :2],
        z=xyz[:, 2],
    )
