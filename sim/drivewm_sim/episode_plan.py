"""What one episode is to be: the ego's way through the town, the situations on it, the demand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivewm.errors import InputError
from drivewm_sim.ego_way import EGO_UID, EgoWay, choose_way, come_in
from drivewm_sim.randomness import EGO, uniform
from drivewm_sim.roads.town import Town
from drivewm_sim.simulator import Scenario
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, furnished
from drivewm_sim.street.situations import stage
from drivewm_sim.street.traffic import Setting, make_setting

WAYS = 16
"""Ways tried until one has room for all situations."""
TIMELY = (0.5, 0.75, math.inf)
"""Shares of an episode in which the ego, alone on the street, comes to its situations; the first is best."""


@dataclass(frozen=True, kw_only=True)
class EpisodePlan:
    setting: Setting
    way: EgoWay
    situations: tuple[Staged, ...]


def plan_episode(town: Town, scenario: Scenario, seed: int) -> EpisodePlan:
    """The first of the seed's ways on which every situation finds a place; InputError if none has them.

    Places that the ego is likely to reach in time are preferred: a story that begins after the episode's end
    is none.
    """
    demand = replace(
        town.demand,
        vehicles_per_hour=scenario.traffic * town.demand.vehicles_per_hour,
        pedestrians_per_hour=scenario.walking * town.demand.pedestrians_per_hour,
    )
    town = _at_a_time_of_day(town, seed)
    setting = make_setting(town, seed, demand)
    attempts = range(WAYS if scenario.situations else 1)
    for share, attempt in itertools.product(TIMELY, attempts):
        way = choose_way(town.street, seed, attempt)
        staged = _stage_all(scenario, setting, way, seed, share * scenario.duration_s)
        if staged is not None:
            boxes = [found.boxes for found in staged]
            for more in boxes:
                town = furnished(town, more)
            setting = make_setting(town, seed, demand) if boxes else setting
            return EpisodePlan(setting=setting, way=way, situations=tuple(staged))
    raise InputError(
        f"{town.name} has no place for {', '.join(scenario.situations)} on the ways tried with seed {seed}; "
        "choose another town or seed"
    )


def _at_a_time_of_day(town: Town, seed: int) -> Town:
    """The town with its signals somewhere in their cycles: not every episode begins at the same colours."""
    signals = town.street.signals
    shift = uniform(seed, EGO_UID, EGO, 0, 91) * float(signals.cycle.max(initial=0.0))
    moved = signals._replace(green_from=(signals.green_from + shift) % signals.cycle)
    return replace(town, street=town.street._replace(signals=moved))


def _stage_all(
    scenario: Scenario, setting: Setting, way: EgoWay, seed: int, seconds: float
) -> list[Staged] | None:
    """The situations on this way, each at a crossing of its own; None if one of them finds no place.

    Only places to which the ego, alone on the street, would come in so many seconds.
    """
    staged: list[Staged] = []
    reach_m = come_in(way, setting.street.signals, scenario.warm_up_s, seconds, scenario.ego_speed_mps)
    next_uid = _uids(setting)
    for row, name in enumerate(scenario.situations):
        found = stage(
            name,
            row,
            Stage(
                town=setting.town,
                route=way.lanes,
                start_s=way.start_s,
                seed=seed,
                reach_m=reach_m,
                next_uid=next_uid,
                speed_mps=min(scenario.ego_speed_mps, float(np.median(way.route.cap))),
                taken=frozenset(int(s.director["crossing"]) for s in staged),
            ),
        )
        if found is None:
            return None
        staged.append(found)
    return staged


def _uids(setting: Setting) -> Callable[[], int]:
    given = iter(range(1 << 30))
    return lambda: setting.reserved_uid(next(given))
