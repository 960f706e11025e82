"""Who drives the ego during collection: by rules, at random but plausibly, by held plans, by planning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from drivewm_sim.ego_planner import PlannerPolicy
from drivewm_sim.ego_right_of_way import for_right_of_way
from drivewm_sim.ego_route import EgoRoute
from drivewm_sim.ego_rules import emergency, follow, for_pedestrians, for_signals, look, smoothed
from drivewm_sim.plans import PLANS, PlanStart, plan_command, plan_start, steering
from drivewm_sim.randomness import EGO, uniform
from drivewm_sim.simulator import DECISION_S, EgoCommand, Frame, Scenario

RECKLESS = 0.1
"""Of the plans held, the share that is held whatever is in the way."""


class EgoPolicy(Protocol):
    """Decides what the ego does next. One instance drives one episode."""

    def command(self, frame: Frame) -> EgoCommand: ...


class RulePolicy:
    """Keeps its lane, its distance and the law: stops for whoever waits at a zebra."""

    def __init__(self, route: EgoRoute, scenario: Scenario, seed: int) -> None:
        self._route, self._desired = route, scenario.ego_speed_mps
        self.before = EgoCommand()  # what the ego did last; another driver may hand over by setting it

    def command(self, frame: Frame) -> EgoCommand:
        around = look(frame, self._route)
        wanted = min(
            follow(around, self._desired),
            for_pedestrians(around, True),
            for_signals(around),
            for_right_of_way(around),
        )
        self.before = EgoCommand(
            acceleration=smoothed(self.before.acceleration, wanted),
            curvature=steering(around.ego, self._route, 0.0),
        )
        return self.before


class RandomPolicy:
    """Changes its mind every few seconds: hurries, creeps, stops, wanders in its lane, is polite or not.

    It still follows the car ahead and brakes for people in its path, so that what it does could be a person.
    """

    def __init__(self, route: EgoRoute, scenario: Scenario, seed: int) -> None:
        self._route, self._seed, self._usual = route, seed, scenario.ego_speed_mps
        self._acceleration, self._offset = 0.0, 0.0
        self._decision, self._until = -1, 0.0

    def _draw(self, k: int) -> float:
        return uniform(self._seed, 0, EGO, self._decision, k)

    def command(self, frame: Frame) -> EgoCommand:
        if frame.time_s >= self._until:
            self._decision += 1
            self._until = frame.time_s + 1.5 + 3.5 * self._draw(0)
        around = look(frame, self._route)
        mood = self._draw(1)
        # One in twelve stops, one in six creeps, the others drive at half to one and a half times the usual.
        factor = 0.0 if mood < 0.08 else 0.2 if mood < 0.25 else 0.5 + self._draw(2)
        desired = factor * self._usual
        wish = min(max((desired - around.ego.speed) * (0.4 + 0.8 * self._draw(3)), -3.0), 2.0)
        wanted = min(
            wish,
            follow(around, max(desired, 15.0)),
            for_pedestrians(around, self._draw(4) < 0.5),
            for_signals(around),
            for_right_of_way(around),
        )
        self._acceleration = smoothed(self._acceleration, wanted)
        target = 0.8 * (self._draw(5) - 0.5)
        self._offset += min(max(target - self._offset, -0.25 * DECISION_S), 0.25 * DECISION_S)
        return EgoCommand(
            acceleration=self._acceleration, curvature=steering(around.ego, self._route, self._offset)
        )


class HeldPolicy:
    """In turn keeps the rules and holds one named plan, each for 2 to 5 s.

    While a plan is held it still brakes in an emergency and for signals, except that one plan in ten
    (RECKLESS) is held whatever happens.
    """

    def __init__(self, route: EgoRoute, scenario: Scenario, seed: int) -> None:
        self._route, self._seed = route, seed
        self._rule = RulePolicy(route, scenario, seed)
        self._turn, self._until = 0, 2.0 + 3.0 * self._draw_at(0, 0)
        self._plan: tuple[str, PlanStart, bool] | None = None

    def _draw_at(self, turn: int, k: int) -> float:
        return uniform(self._seed, 0, EGO, turn, k)

    def command(self, frame: Frame) -> EgoCommand:
        if frame.time_s >= self._until:
            self._turn += 1
            self._until = frame.time_s + 2.0 + 3.0 * self._draw_at(self._turn, 0)
            self._plan = self._drawn_plan(frame) if self._plan is None else None
        if self._plan is None:
            return self._rule.command(frame)
        plan, start, reckless = self._plan
        before = self._rule.before
        command = plan_command(plan, start, before, frame, self._route)
        around = look(frame, self._route)
        needed = command.acceleration if reckless else min(emergency(around), for_signals(around))
        if needed < command.acceleration:
            braked = smoothed(before.acceleration, needed)
            command = EgoCommand(acceleration=braked, curvature=command.curvature)
        self._rule.before = command
        return command

    def _drawn_plan(self, frame: Frame) -> tuple[str, PlanStart, bool]:
        plan = PLANS[int(self._draw_at(self._turn, 1) * len(PLANS))]
        return plan, plan_start(frame, self._route), self._draw_at(self._turn, 2) < RECKLESS


POLICIES: dict[str, Callable[[EgoRoute, Scenario, int], EgoPolicy]] = {
    "rule": RulePolicy,
    "random": RandomPolicy,
    "held": HeldPolicy,
    "planner": PlannerPolicy,
}
"""Policies by name."""
