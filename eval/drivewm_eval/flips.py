"""Who goes first changes with the ego's plan: does the forecast say so, and would it without the plan?

Most flips need no answer of the agent: the ego brakes, never comes, and who kept on is first. They ask for a
right forecast of the agent alone, so one made without the plan may be as good. Those that no single true way
of the agent could bring about ask for its answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Forecast
from drivewm_datasets.drive_scenes import Moment
from drivewm_eval.precedence import first_there, meeting_place

NEAR_M = (1.2, 1.5, 2.0)
"""By kind: who is this near to where two ways meet is there."""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A true change, between two plans, of who goes first."""

    right: bool  # whether the forecast says both right
    right_hidden: bool  # whether the one made without the plan does, beside the ego's two ways
    needs_answer: bool  # whether no single true way of the agent leads to both


def flips_of(
    moment: Moment, given: Sequence[Forecast], hidden: Forecast, agents: Sequence[int]
) -> list[Flip]:
    """The flips of these agents between any two plans under which the ego drives to the end."""
    plan, ego = moment.scene.plan, moment.scene.ego_pose
    if plan is None or ego is None:
        return []
    driven = [g for g in range(len(given)) if plan.valid[g].all()]
    ways = {g: np.concatenate([ego[None, :2], plan.pose[g, :, :2]]) for g in driven}
    out = []
    for a in agents:
        start = moment.scene.tracks.position[a, :1]
        radius = NEAR_M[int(moment.scene.tracks.kind[a])]
        truths = {g: np.concatenate([start, moment.future[g, a]]) for g in driven}
        place = meeting_place(list(ways.values()), list(truths.values()), radius) if driven else None
        if place is None:
            continue
        true = {g: first_there(ways[g], truths[g], place, radius) for g in driven}
        said = {g: _said_first(given[g], a, start, ways[g], place, radius) for g in driven}
        blind = {g: _said_first(hidden, a, start, ways[g], place, radius) for g in driven}
        for pair in combinations(driven, 2):
            if any(true[g] is None for g in pair) or true[pair[0]] == true[pair[1]]:
                continue
            fixed = (_same_order(truths[one], ways, true, pair, place, radius) for one in pair)
            out.append(
                Flip(
                    right=all(said[g] == true[g] for g in pair),
                    right_hidden=all(blind[g] == true[g] for g in pair),
                    needs_answer=not any(fixed),
                )
            )
    return out


def _same_order(
    way: Float[ndarray, "F 2"],
    ways: Mapping[int, Float[ndarray, "F 2"]],
    true: Mapping[int, bool | None],
    pair: tuple[int, int],
    place: Float[ndarray, "2"],
    radius: float,
) -> bool:
    """Whether an agent that takes this way under both plans is first where it truly is."""
    return all(first_there(ways[g], way, place, radius) == true[g] for g in pair)


def _said_first(
    forecast: Forecast,
    a: int,
    start: Float[ndarray, "1 2"],
    ego: Float[ndarray, "F 2"],
    place: Float[ndarray, "2"],
    radius: float,
) -> bool | None:
    """Who goes first by the weight of an agent's candidates that come into it; None where none does."""
    for_agent, for_ego = 0.0, 0.0
    for path, share in zip(
        forecast.marginal_position[:, a], forecast.marginal_probability[:, a], strict=True
    ):
        first = first_there(ego, np.concatenate([start, path]), place, radius)
        for_agent += float(share) * (first is True)
        for_ego += float(share) * (first is False)
    return None if for_agent == for_ego else for_agent > for_ego
