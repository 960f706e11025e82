"""What one episode is to be: the ego's way through the town, the situations on it, the demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from drivewm.errors import InputError
from drivewm_sim.ego_way import EgoWay, choose_way
from drivewm_sim.roads.town import Town
from drivewm_sim.simulator import Scenario
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Stage, furnished
from drivewm_sim.street.situations import stage
from drivewm_sim.street.traffic import Setting, make_setting

WAYS = 16
"""Ways tried until one has room for all situations."""


@dataclass(frozen=True, kw_only=True)
class EpisodePlan:
    setting: Setting
    way: EgoWay
    situations: tuple[Staged, ...]


def plan_episode(town: Town, scenario: Scenario, seed: int) -> EpisodePlan:
    """The first of the seed's ways on which every situation finds a place; InputError if none has them."""
    demand = replace(
        town.demand,
        vehicles_per_hour=scenario.traffic * town.demand.vehicles_per_hour,
        pedestrians_per_hour=scenario.walking * town.demand.pedestrians_per_hour,
    )
    setting = make_setting(town, seed, demand)
    for attempt in range(WAYS if scenario.situations else 1):
        way = choose_way(town.street, seed, attempt)
        staged = _stage_all(scenario, setting, way, seed)
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


def _stage_all(scenario: Scenario, setting: Setting, way: EgoWay, seed: int) -> list[Staged] | None:
    """The situations on this way, each at a crossing of its own; None if one of them finds no place."""
    staged: list[Staged] = []
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
                reach_m=way.route.length,
                next_uid=next_uid,
                speed_mps=scenario.ego_speed_mps,
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
