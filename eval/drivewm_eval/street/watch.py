"""A town watched for hours: its traffic without an ego, as recordings, one stretch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm_datasets.recording import Recording
from drivewm_sim.agents import agents_of
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.walk_graph import WalkGraph
from drivewm_sim.simulator import AGENT_TYPES, DECISION_S, Agents
from drivewm_sim.street import traffic
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.state import Age

STRETCH_S = 600.0
"""Tracks are cut between two stretches; two hours are enough of them to be drawn again one by one."""
WARM_UP_S = 60.0
TICKS_TOLD = 100


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Some minutes of a town: every agent's track, exactly, and what tracks do not tell."""

    recording: Recording
    ages: Mapping[str, str]  # by the id of everybody on foot
    signalled: Float[ndarray, "k 2 2"]  # the ends of each crossing with a signal for people, m


def ticks_of(hours: float) -> int:
    """How many ticks `watch` steps for so many hours, the warm-up included."""
    return round(WARM_UP_S / DECISION_S) + max(round(hours * 3600.0 / DECISION_S), 1)


def watch(
    town: Town, hours: float, seed: int, advance: Callable[[int], None] = lambda _: None
) -> Iterator[Watched]:
    """The town at its usual demand for so long, in stretches of 10 min; `advance` is told of ticks done.

    One street that goes on, from a minute after its first tick; only a stretch is held at a time.
    """
    setting = traffic.make_setting(town, seed)
    world, scripts = traffic.first_world(setting), no_scripts()
    warm_up, stretch = round(WARM_UP_S / DECISION_S), round(STRETCH_S / DECISION_S)
    seen: list[Agents] = []
    signalled = _signalled(town.street.walks)
    done, last, count = 0, ticks_of(hours), 0
    for tick in range(1, last + 1):
        traffic.step(world, scripts, setting)
        world = traffic.come_and_go(world, setting)
        if tick > warm_up:
            seen.append(agents_of(world))
        if tick % TICKS_TOLD == 0 or tick == last:
            advance(tick - done)
            done = tick
        if len(seen) == stretch or (seen and tick == last):
            count += 1
            yield _watched(f"{town.name}, seed {seed}, stretch {count}", seen, signalled)
            seen = []


def _signalled(walks: WalkGraph) -> Float[ndarray, "k 2 2"]:
    edges = np.flatnonzero(walks.signal >= 0)
    ends = np.stack([walks.tail[edges], walks.head[edges]], axis=1)
    return np.stack([walks.node_x[ends], walks.node_y[ends]], axis=-1)


def _watched(scene: str, seen: list[Agents], signalled: Float[ndarray, "k 2 2"]) -> Watched:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(agents, name) for agents in seen])

    frame = np.repeat(np.arange(len(seen)), [len(agents.uid) for agents in seen])
    uids, first, agent = np.unique(column("uid"), return_index=True, return_inverse=True)
    agent = agent.reshape(-1)
    order = np.lexsort((frame, agent))
    types, ages = column("type")[first].tolist(), column("age")[first].tolist()
    ids = tuple(str(uid) for uid in uids.tolist())
    on_foot = AGENT_TYPES.index("pedestrian")
    recording = Recording(
        dataset="simulated",
        scene=scene,
        agent_ids=ids,
        agent_types=tuple(AGENT_TYPES[k] for k in types),
        kind=column("kind")[first],
        size=column("size")[first],
        agent=agent[order],
        frame=frame[order],
        t_s=frame[order] * DECISION_S,
        xy=column("pose")[order, :2],
        z=column("elevation")[order],
    )
    labels = {ids[k]: Age(ages[k]).name.lower() for k in range(len(ids)) if types[k] == on_foot}
    return Watched(recording=recording, ages=labels, signalled=signalled)
