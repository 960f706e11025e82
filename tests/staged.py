"""Situations on an otherwise empty street.

The ego drives its route at constant speed, whatever happens: what others do is theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town
from drivewm_sim.simulator import Intent
from drivewm_sim.street import drivers, driving, seeing, state, walkers, walking, walks_arrivals
from drivewm_sim.street.directors import Phase, direct, enter, no_directors
from drivewm_sim.street.occupancy import occupy
from drivewm_sim.street.placing import Stage, furnished
from drivewm_sim.street.scripts import Scripts, no_scripts, play
from drivewm_sim.street.sight import make_static_grid
from drivewm_sim.street.situations import labels, stage
from drivewm_sim.street.situations.cast import Situation
from drivewm_sim.street.state import Controller, Model

SPEED = 9.0  # m/s of the ego
HOME = {
    "dart_out": "school", "jaywalk": "roundabout", "distracted": "plaza", "turn_back": "school",
    "group_split": "roundabout", "hesitation": "arterial", "turning": "roundabout", "bus_runner": "arterial",
    "cyclist_conflict": "school", "red_walker": "grid", "hidden_crosser": "arterial",
    "slow_finisher": "arterial",
}  # fmt: skip


def route_from(town: Town, entry: int, pick: int, least_m: float = 350.0) -> tuple[int, ...]:
    """A drive through a town from one of its entries."""
    lanes, out, rng = town.street.lanes, [entry], np.random.default_rng(pick)
    while sum(lanes.length[out]) < least_m:
        following = lanes.next[lanes.next_start[out[-1]] : lanes.next_start[out[-1] + 1]]
        following = following[lanes.use[following] == 0]
        if len(following) == 0:
            break
        out.append(int(rng.choice(following)))
    return tuple(out)


def scene_in(name: str, entry: int = 0, pick: int = 0, seed: int = 0) -> Stage:
    town = load_town(name)
    entries = [int(e) for e in town.street.entries if town.street.lanes.use[e] == 0]
    route = route_from(town, entries[entry % len(entries)], pick)
    reach = float(town.street.lanes.length[list(route)].sum()) - 15.0
    return Stage(
        town=town, route=route, start_s=6.0, seed=seed, reach_m=min(reach, 300.0), next_uid=uids(),
        speed_mps=SPEED,
    )  # fmt: skip


def uids() -> Callable[[], int]:
    """The uids of an episode's actors and props."""
    return itertools.count(1_000_000).__next__


@dataclass
class Run:
    """One situation on an otherwise empty street."""

    town: Town
    route: tuple[int, ...]
    seed: int
    cars: ndarray
    people: ndarray
    scripts: Scripts
    directors: ndarray
    tick: int
    along: float  # of the ego
    held: ndarray
    grid: Any
    logged: list[dict[str, Any]] = field(default_factory=list)

    def copy(self) -> Run:
        return replace(
            self, cars=self.cars.copy(), people=self.people.copy(), directors=self.directors.copy(),
            held=self.held.copy(), scripts=Scripts(*(c.copy() for c in self.scripts)), logged=[],
        )  # fmt: skip

    def place_ego(self) -> None:
        lanes, s, k = self.town.street.lanes, self.along, 0
        while s > lanes.length[self.route[k]] and k + 1 < len(self.route):
            s -= lanes.length[self.route[k]]
            k += 1
        ego, lane = self.cars[self.cars["uid"] == 0], self.route[k]
        x, y, yaw = line_point(lanes.lines, lane, s, 0.0)
        path = np.full(state.PATH, -1)
        rest = self.route[k + 1 :][: state.PATH]
        path[: len(rest)] = rest
        values = {"x": x, "y": y, "z": line_height(lanes.lines, lane, s), "yaw": yaw, "lane": lane, "s": s,
                  "path": path, "speed": SPEED, "offset": 0.0,
                  "came_from": self.route[k - 1] if k else -1}  # fmt: skip
        for name, value in values.items():
            ego[name] = value
        self.cars[self.cars["uid"] == 0] = ego

    def step(self) -> None:
        street = self.town.street
        cars, people = self.cars.view(np.recarray), self.people.view(np.recarray)
        occ = occupy(cars, people, len(street.lanes.length), len(street.walks.length))
        direct(self.directors.view(np.recarray), cars, people, street.walks, street.signals, self.tick)
        drivers.decide(cars, people, occ, street, self.grid, self.held, self.seed, self.tick)
        walkers.decide(people, cars, occ, street, self.grid, self.seed, self.tick)
        for half in (1, 2):
            driving.integrate(cars, street, 0.05)
            walking.integrate(people, cars, occ, street, self.seed, self.tick, 0.05)
            play(cars, people, self.scripts, 0.1 * self.tick + 0.05 * half)
            self.along += 0.05 * SPEED
            self.place_ego()
        self.people = walks_arrivals.depart(self.people, street)
        self.tick += 1
        self.log(occ)

    def log(self, occ: Any) -> None:
        row, walks = self.directors[0], self.town.street.walks
        cars = self.cars.view(np.recarray)
        ego = cars[cars.uid == 0][0]
        actors = {}
        for p in self.people[self.people["director"] == 0]:
            inside = p["edge"] == row["crossing"] and (
                walks.kerb_in[row["crossing"]] < p["s"] < walks.kerb_out[row["crossing"]]
            )
            seen = seeing.clear(
                ego["x"], ego["y"], ego["z"] + 1.2, p["x"], p["y"], p["z"] + 0.7 * p["height"], 0, -1,
                cars, occ, self.town.street, self.grid,
            )  # fmt: skip
            actors[int(p["uid"])] = {
                "intent": Intent(int(p["intent"])), "road": bool(inside), "s": float(p["s"]), "seen": seen,
                "x": float(p["x"]), "y": float(p["y"]), "edge": int(p["edge"]),
            }  # fmt: skip
        to = next(
            (row["to"][j] - ego["s"] for j in range(32) if row["lane"][j] == ego["lane"]), math.nan
        ) - 0.5 * ego["length"]  # fmt: skip
        self.logged.append({
            "tick": self.tick, "phase": Phase(int(row["phase"])), "actors": actors, "arrival": to / SPEED,
            "vehicles": {int(c["uid"]): (float(c["speed"]), int(c["controller"])) for c in cars},
        })  # fmt: skip

    def run(self, seconds: float) -> Run:
        for _ in range(round(10 * seconds)):
            self.step()
        return self


def begin(name: str, parameters: Situation | None = None, tick: int = 0, scene: Stage | None = None) -> Run:
    """A staged situation with the ego at the start of its route."""
    scene = replace(scene or staged_scene(name), next_uid=uids())
    found = stage(name, 0, scene, parameters)
    assert found is not None
    town = furnished(scene.town, found.boxes)
    ego = {
        "uid": 0, "controller": int(Controller.EXTERNAL), "model": int(Model.CAR), "lane": scene.route[0],
        "length": 4.5, "width": 1.9, "height": 1.5, "speed": SPEED, "past_speed": np.full(state.PAST, SPEED),
        "desired": 1.0, "headway": 1.4, "reaction": 0.6, "change_to": -1, "leader": -1, "reserved": -1,
        "yields_to": -1, "stop_edge": -1, "came_from": -1, "path": np.full(state.PATH, -1), "director": -1,
    }  # fmt: skip
    cars, people = state.insert(state.empty(state.VEHICLE), ego), state.empty(state.PEDESTRIAN)
    held = np.full(int(town.street.lanes.junction.max(initial=-1)) + 1, -1, np.int64)
    run = Run(
        town, scene.route, scene.seed, cars, people, no_scripts(), no_directors(), tick, scene.start_s, held,
        make_static_grid(town.street.boxes),
    )  # fmt: skip
    run.place_ego()
    run.directors, run.cars, run.people, run.scripts = enter(
        found, no_directors(), run.cars, people, no_scripts()
    )
    return run


@cache
def staged_scene(name: str) -> Stage:
    """The first drive in the situation's home town on which it finds a place."""
    for seed, entry in itertools.product(range(4), range(4)):
        scene = scene_in(HOME[name], entry, seed, seed)
        if stage(name, 0, scene) is not None:
            return scene
    raise AssertionError(f"{name} finds no place in {HOME[name]}")


@cache
def played(name: str) -> Run:
    """The situation with usual parameters until it is over; it begins when signals let it happen."""
    for tick in range(0, 900, 60):
        run = begin(name, tick=tick)
        for _ in range(450):
            run.step()
            if run.directors["phase"][0] >= Phase.DONE:
                break
        if run.directors["triggered"][0] >= 0:
            return run.run(2.0)
    raise AssertionError(f"{name} was never triggered")


def since_trigger(run: Run) -> list[dict[str, Any]]:
    return [m for m in run.logged if m["tick"] > run.directors["triggered"][0]]


def entered(run: Run, uid: int) -> int:
    """The tick at which an actor comes onto the carriageway of the situation's crossing."""
    return next(m["tick"] for m in run.logged if uid in m["actors"] and m["actors"][uid]["road"])


def same(a: Run, b: Run) -> bool:
    """Whether two runs have come to the same state, bit by bit."""
    tables = [(getattr(a, name), getattr(b, name)) for name in ("people", "cars", "directors")]
    return all(np.array_equal(x[name], y[name]) for x, y in tables for name in x.dtype.names or ())


def actors(run: Run) -> list[int]:
    return labels(run.directors)[0]["actor_uids"]
