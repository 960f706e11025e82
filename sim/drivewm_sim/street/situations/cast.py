"""From an idea to a staged situation: who stands where, what triggers, what happens then."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from drivewm_sim.lines import line_point
from drivewm_sim.roads.boxes import Boxes, no_boxes
from drivewm_sim.simulator import Intent
from drivewm_sim.street.directors import ACTORS, ANYBODY, EGO, PROPS, Staged
from drivewm_sim.street.placing import (
    Beyond,
    Spot,
    Stage,
    Stand,
    approach,
    chance,
    drawn,
    in_drawn_order,
    lead_s,
    near_side,
    stand,
    way_beyond,
)
from drivewm_sim.street.state import NOBODY, WAY, Age, Cause, Controller, Model
from drivewm_sim.street.vehicle_arrivals import placed, vehicle
from drivewm_sim.street.walks_arrivals import traits, walker

Span = tuple[float, float]
"""Between these a parameter is drawn."""
STEPS_OUT_M = 1.4  # before the kerb; who has made up his mind does not slow down for it ...
RUNS_OUT_M = 3.5  # ... and who runs, not even here
AT_KERB_M = 1.0  # where people stand who set off from the kerb
WALK_UP_M = (4.4, 8.0)  # ... and who come walking: from less far they would stop before they are under way
FOR_EVER_S = 1e6


class Situation(Protocol):
    """An idea with its parameters. Its docstring says in one line what happens."""

    def stage(self, scene: Stage, row: int) -> Staged | None:
        """Sets the situation up as director `row`; None where the route has no place for it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Start:
    """Somebody's place before a crossing."""

    spot: Spot
    forward: bool  # over the road: from the crossing's tail to its head
    stand: Stand


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Somebody who stands until released, and then crosses."""

    person: dict[str, Any]
    stand: Stand
    beyond: Beyond
    lead_s: float  # from setting off, at its free speed, to stepping into the spot's lane
    after_s: float = 0.0  # from the trigger
    go_m: float = 0.0  # this near to the kerb it steps out whatever comes; 0: it decides like everybody
    stay_s: float = 0.0  # at its goal
    cause: Cause = Cause.MISJUDGED


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A vehicle that stands until released, and then drives on."""

    vehicle: dict[str, Any]
    after_s: float  # from the trigger


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """When; everything must hold."""

    target: int = EGO
    within_s: float = math.inf
    within_m: float = math.inf
    group: int = NOBODY  # of signals
    shows: int = 0
    left: Span = (0.0, math.inf)  # seconds until the signal changes


ANY_TIME = Trigger()


def back_m(scene: Stage, row: int, k: int, at_kerb: float) -> float:
    """Where somebody starts, before the kerb: with probability `at_kerb` there, else some way off."""
    if chance(scene, row, k, at_kerb):
        return AT_KERB_M
    return drawn(scene, row, k + 1, WALK_UP_M)


def starts(scene: Stage, row: int, options: list[Spot], back: float, far_share: float) -> Iterator[Start]:
    """Places `back` metres before the kerb, the spots in drawn order.

    People come from the side of the spot's lane, or with probability `far_share` from across the road; from
    the other side where that is not possible.
    """
    walks, across = scene.street.walks, chance(scene, row, 20, far_share)
    for spot in in_drawn_order(scene, row, options):
        near = near_side(walks, spot)
        for forward in (near != across, near == across)[: 1 if far_share == 0.0 else 2]:
            where = stand(walks, spot.edge, forward, back)
            if where is not None:
                yield Start(spot=spot, forward=forward, stand=where)


def actor(
    scene: Stage, row: int, start: Start, age: Age = Age.ADULT, leader: int | None = None,
    after_s: float = 0.0, go_m: float = 0.0, beyond: Beyond | None = None, stay_s: float = 0.0,
    **latents: Any,
) -> Actor:  # fmt: skip
    """A person with drawn traits, `latents` instead of some, who will cross from `start`."""
    uid, spot, forward, where = scene.next_uid(), start.spot, start.forward, start.stand
    person = {**traits(scene.seed, uid, age), "hurry": 0.0, "turn_back_at": 2.0, **latents}
    leader = uid if leader is None else leader
    if beyond is None:
        beyond = way_beyond(scene, spot.edge, forward, leader, person["free_speed"])
    standing = {
        "leader": leader, "intent": int(Intent.STANDING), "vx": 0.0, "vy": 0.0, "stay": FOR_EVER_S,
        "director": row, "side": where.d if where.forward else -where.d,
    }  # fmt: skip
    fields = walker(scene.street, uid, where.edge, where.s, where.d, where.forward, person, **standing)
    looks = person["look"] > 0.0
    return Actor(
        person=fields, stand=where, beyond=beyond, after_s=after_s, go_m=go_m, stay_s=stay_s,
        lead_s=lead_s(scene.street.walks, spot, where, forward, person["free_speed"]),
        cause=Cause.MISJUDGED if looks else Cause.DISTRACTED,
    )  # fmt: skip


def steps_out(
    scene: Stage, row: int, start: Start, margin_s: float, when: Trigger = ANY_TIME, **latents: Any
) -> Staged:  # fmt: skip
    """An adult who steps into the lane `margin_s` before the ego arrives there; `latents` as for `actor`."""
    who = actor(scene, row, start, go_m=STEPS_OUT_M, **latents)
    return staged(scene, row, start.spot, replace(when, within_s=margin_s + who.lead_s), [who])


def prop(scene: Stage, row: int, model: Model, lane: int, s: float, after_s: float) -> Prop:
    """A vehicle that stands on a lane, its middle at s."""
    fields = vehicle(scene.street, lane, s, model, scene.seed, scene.next_uid())
    stands = {"controller": int(Controller.SCRIPTED), "director": row, "intent": int(Intent.QUEUING)}
    return Prop(vehicle={**placed(fields, scene.street, 0.0), **stands}, after_s=after_s)


def staged(
    scene: Stage, row: int, spot: Spot, trigger: Trigger, actors: list[Actor], props: tuple[Prop, ...] = (),
    vehicles: tuple[dict[str, Any], ...] = (), boxes: Boxes | None = None,
) -> Staged:  # fmt: skip
    """Everything together. `vehicles` drive by themselves from the start."""
    walks = scene.street.walks
    x, y, _ = line_point(walks.lines, spot.edge, float(walks.over_at[spot.over]), 0.0)
    director: dict[str, Any] = {
        "x": x, "y": y, "crossing": spot.edge, **approach(scene, spot),
        "target": ANYBODY if spot.turn >= 0 else trigger.target,
        "within_s": trigger.within_s, "within_m": trigger.within_m, "group": trigger.group,
        "shows": trigger.shows, "left_least": trigger.left[0], "left_most": trigger.left[1],
        "actor": np.full(ACTORS, NOBODY), "way": np.full((ACTORS, WAY), NOBODY),
        **{name: np.zeros(ACTORS) for name in ("after", "go", "goal_s", "goal_d", "stay", "cause")},
        "forward": np.zeros(ACTORS), "prop": np.full(PROPS, NOBODY), "prop_after": np.zeros(PROPS),
    }  # fmt: skip
    for a, who in enumerate(actors):
        way = who.beyond.way if who.stand.on_crossing else np.append(spot.edge, who.beyond.way)
        director["way"][a, : len(way)] = way
        director["forward"][a] = who.stand.forward
        for name, value in (
            ("actor", who.person["uid"]), ("after", who.after_s), ("go", who.go_m),
            ("goal_s", who.beyond.goal_s), ("goal_d", who.beyond.goal_d), ("stay", who.stay_s),
            ("cause", int(who.cause)),
        ):  # fmt: skip
            director[name][a] = value
    scripts = []
    for m, thing in enumerate(props):
        director["prop"][m], director["prop_after"][m] = thing.vehicle["uid"], thing.after_s
        thing.vehicle["script"] = m
        pose = [thing.vehicle[name] for name in ("x", "y", "z", "yaw")]
        scripts.append((np.array([pose]), math.inf))
    return Staged(
        director=director,
        people=tuple(who.person for who in actors),
        vehicles=(*vehicles, *(thing.vehicle for thing in props)),
        boxes=no_boxes() if boxes is None else boxes,
        scripts=tuple(scripts),
    )
