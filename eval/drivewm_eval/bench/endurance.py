"""Whether a street lasts: contacts, limits, served traffic, stops, over hours without an ego."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray

from drivewm_eval.bench.limits import (
    LIMITS,
    Extremes,
    jerk_percentile,
    no_extremes,
    too_near,
    watch_pedestrians,
    watch_vehicles,
)
from drivewm_eval.bench.stops import Standing, in_signal_queue, metres_to_signal
from drivewm_sim.randomness import TRAITS, uniform
from drivewm_sim.roads.lane_graph import LaneUse
from drivewm_sim.roads.town import Town
from drivewm_sim.simulator import DECISION_S, Intent
from drivewm_sim.street import traffic, walks_arrivals
from drivewm_sim.street.backing import towed
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.state import Cause, Model, Spawners, World, uid_of
from drivewm_sim.street.traffic import Setting

SAMPLE_TICKS = 10  # stops are looked for once a second
OVERLAP_M, LEVEL_M = 0.3, 2.5
AGAIN_S = 2.0  # a contact of the same two sooner than this is still the same contact
LISTED = 500  # contacts listed at most
QUARTERS = 4


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Two bodies that met. `other` is never a pedestrian's uid where the first is a vehicle's."""

    t_s: float
    uid: int
    other: int
    kinds: str  # such as "car, pedestrian", the vehicle first
    cause: str  # street.state.Cause
    x: float
    y: float
    speeds: tuple[float, float]  # m/s, in the order of `kinds`


@dataclass(frozen=True, kw_only=True)
class Extreme:
    """What came nearest to a limit, or went furthest beyond."""

    limit: float
    worst: float
    over: int  # agents times ticks above the limit
    uid: int
    tick: int


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The longest stay in one place."""

    seconds: float
    uid: int
    t_s: float
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Service:
    """Traffic that wanted in and that came in. Demanded: whose time by the clock of arrivals has passed."""

    vehicles_demanded: int
    vehicles_inserted: int
    vehicles_finished: int  # those of the start among them, and those towed
    vehicles_towed: int  # out of junctions where they were locked
    walks_demanded: int
    walks_begun: int
    walks_finished: int

    @property
    def vehicles_served(self) -> float:
        return self.vehicles_inserted / self.vehicles_demanded if self.vehicles_demanded else 1.0

    @property
    def walks_served(self) -> float:
        return self.walks_begun / self.walks_demanded if self.walks_demanded else 1.0


@dataclass(frozen=True, kw_only=True)
class Endurance:
    """What happened in a town. Speeds and counts are averages over agents and ticks."""

    town: str
    seed: int
    hours: float
    vehicles: float
    pedestrians: float
    contacts: tuple[Contact, ...]  # the first LISTED
    contacts_by_cause: dict[str, int]
    contacts_by_kinds: dict[str, int]
    contacts_in_sight: dict[str, int]  # both had seen each other in time, by kinds
    overlaps: int  # times that two pedestrians came nearer than 0.3 m ...
    overlap_nearest_m: float  # ... and the nearest
    limits: dict[str, Extreme]
    jerk_p99: float  # m/s^3, outside emergencies
    service: Service
    speed_quarters: tuple[float, ...]  # m/s, mean of vehicles in each quarter of the time
    walking_quarters: tuple[float, ...]
    longest_stop: Stop  # of a vehicle outside signal queues
    longest_queue: Stop  # of a vehicle anywhere
    longest_stall: Stop  # of a pedestrian who does not mean to stand

    def per_hour(self, count: int) -> float:
        return count / self.hours


class Contacts:
    """Keeps the contacts of a run, each once."""

    def __init__(self) -> None:
        self.listed: list[Contact] = []
        self.causes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.in_sight: Counter[str] = Counter()
        self._last: dict[tuple[int, int], float] = {}

    def watch(self, world: World, time_s: float) -> None:
        """Notes who is in contact after a tick."""
        cars, people = world.vehicles, world.pedestrians
        for p in np.flatnonzero(people["touched"] >= 0):
            car = cars[int(np.searchsorted(cars["uid"], int(people["touched"][p])))]
            self._note(time_s, car, people[p], "pedestrian", _walking_speed(people[p]))
        for i in np.flatnonzero(cars["touched"] >= 0):
            j = int(np.searchsorted(cars["uid"], cars["touched"][i]))
            if j < len(cars) and cars["uid"][j] == cars["touched"][i]:
                a, b = (cars[i], cars[j]) if i < j else (cars[j], cars[i])
                self._note(time_s, a, b, _kind(b), float(b["speed"]))

    def _note(self, time_s: float, car: np.void, other: np.void, kind: str, speed: float) -> None:
        pair = (int(car["uid"]), int(other["uid"]))
        again = time_s - self._last.get(pair, -np.inf) <= AGAIN_S
        self._last[pair] = time_s
        if again:
            return
        kinds, cause = f"{_kind(car)}, {kind}", Cause(int(other["cause"])).name.lower()
        self.causes[cause] += 1
        self.kinds[kinds] += 1
        if other["cause"] == Cause.MISJUDGED:
            self.in_sight[kinds] += 1
        if len(self.listed) < LISTED:
            self.listed.append(
                Contact(
                    t_s=round(time_s, 6), uid=pair[0], other=pair[1], kinds=kinds, cause=cause,
                    x=float(other["x"]), y=float(other["y"]), speeds=(float(car["speed"]), speed),
                )
            )  # fmt: skip


def _kind(car: np.void) -> str:
    return Model(int(car["model"])).name.lower()


def _walking_speed(person: np.void) -> float:
    return float(np.hypot(person["vx"], person["vy"]))


class Overlaps:
    """Counts how often two pedestrians came too near to each other."""

    def __init__(self) -> None:
        self.count = 0
        self.nearest_m = np.inf
        self._now: set[tuple[int, int]] = set()

    def watch(self, people: ndarray) -> None:
        pairs = too_near(people.view(np.recarray), OVERLAP_M, LEVEL_M)
        if len(pairs) == 0:
            self._now.clear()
            return
        a, b = people[pairs[:, 0]], people[pairs[:, 1]]
        self.nearest_m = min(self.nearest_m, float(np.hypot(a["x"] - b["x"], a["y"] - b["y"]).min()))
        now = {(int(min(u, v)), int(max(u, v))) for u, v in zip(a["uid"], b["uid"], strict=True)}
        self.count += len(now - self._now)
        self._now = now


class Stops:
    """Finds the longest stays in one place."""

    def __init__(self, setting: Setting) -> None:
        self._lanes = setting.street.lanes
        self._to_signal = metres_to_signal(self._lanes)
        self._anywhere, self._outside, self._people = Standing(1.0), Standing(1.0), Standing(0.5)
        nobody = Stop(seconds=0.0, uid=-1, t_s=0.0, x=0.0, y=0.0)
        self.longest = {"stop": nobody, "queue": nobody, "stall": nobody}

    def watch(self, world: World, time_s: float) -> None:
        cars, people = world.vehicles, world.pedestrians
        queued = in_signal_queue(cars, self._lanes, self._to_signal)
        willing = (people["intent"] != Intent.STANDING) & (people["stay"] <= 0.0)
        self._longest("queue", self._anywhere, cars, np.ones(len(cars), bool), time_s)
        self._longest("stop", self._outside, cars, ~queued, time_s)
        self._longest("stall", self._people, people, willing, time_s)

    def _longest(self, name: str, standing: Standing, rows: ndarray, counts: ndarray, time_s: float) -> None:
        place = np.column_stack([rows["x"], rows["y"]])
        seconds = standing.seconds(time_s, rows["uid"], place, counts)
        if len(seconds) and seconds.max() > self.longest[name].seconds:
            k = int(seconds.argmax())
            self.longest[name] = Stop(
                seconds=round(float(seconds[k]), 6), uid=int(rows["uid"][k]), t_s=round(time_s, 6),
                x=float(place[k, 0]), y=float(place[k, 1]),
            )  # fmt: skip


@dataclass
class _Tally:
    """Sums over a run, by quarter of its time."""

    ticks: ndarray = field(default_factory=lambda: np.zeros(QUARTERS))
    vehicles: ndarray = field(default_factory=lambda: np.zeros(QUARTERS))
    pedestrians: ndarray = field(default_factory=lambda: np.zeros(QUARTERS))
    driven: ndarray = field(default_factory=lambda: np.zeros(QUARTERS))
    walked: ndarray = field(default_factory=lambda: np.zeros(QUARTERS))
    people_gone: int = 0
    towed: int = 0

    def add(self, quarter: int, world: World) -> None:
        cars, people = world.vehicles, world.pedestrians
        self.ticks[quarter] += 1
        self.vehicles[quarter] += len(cars)
        self.pedestrians[quarter] += len(people)
        self.driven[quarter] += cars["speed"].sum()
        self.walked[quarter] += np.hypot(people["vx"], people["vy"]).sum()


def endure(town: Town, hours: float, seed: int, advance: Callable[[int], None] = lambda _: None) -> Endurance:
    """A town at its usual demand for so long; `advance` is told of ticks done."""
    setting = traffic.make_setting(town, seed)
    world, scripts = traffic.first_world(setting), no_scripts()
    begun = Spawners(world.spawners.due.copy(), world.spawners.arrived.copy())
    cars_before, people_before = len(world.vehicles), len(world.pedestrians)
    ticks = max(round(hours * 3600.0 / DECISION_S), 1)
    extremes, contacts, overlaps, stops, tally = (
        no_extremes(),
        Contacts(),
        Overlaps(),
        Stops(setting),
        _Tally(),
    )
    for tick in range(ticks):
        cars, people = world.vehicles.copy(), world.pedestrians.copy()
        touching = traffic.step(world, scripts, setting)
        watch_vehicles(cars.view(np.recarray), world.vehicles.view(np.recarray), tick, extremes)
        watch_pedestrians(people.view(np.recarray), world.pedestrians.view(np.recarray), tick, extremes)
        overlaps.watch(world.pedestrians)
        if touching:
            contacts.watch(world, tick * DECISION_S)
        tally.add(tick * QUARTERS // ticks, world)
        tally.people_gone += int(walks_arrivals.at_goal(world.pedestrians.view(np.recarray)).sum())
        tally.towed += int(towed(world.vehicles, setting.street.lanes.junction, world.tick + 1).sum())
        world = traffic.come_and_go(world, setting)
        if tick % SAMPLE_TICKS == 0:
            stops.watch(world, world.tick * DECISION_S)
            advance(min(SAMPLE_TICKS, ticks - tick))
    inserted = _inserted(begun, world, setting)
    service = Service(
        vehicles_demanded=vehicles_due(begun, setting, world.tick * DECISION_S),
        vehicles_inserted=inserted,
        vehicles_finished=cars_before + inserted - len(world.vehicles),
        vehicles_towed=tally.towed,
        walks_demanded=walks_due(begun, setting, world.tick * DECISION_S),
        walks_begun=len(world.pedestrians) - people_before + tally.people_gone,
        walks_finished=tally.people_gone,
    )
    return _figures(setting, ticks, tally, contacts, overlaps, extremes, stops, service)


def _figures(
    setting: Setting, ticks: int, tally: _Tally, contacts: Contacts, overlaps: Overlaps, extremes: Extremes,
    stops: Stops, service: Service,
) -> Endurance:  # fmt: skip
    return Endurance(
        town=setting.town.name,
        seed=setting.seed,
        hours=ticks * DECISION_S / 3600.0,
        vehicles=float(tally.vehicles.sum() / ticks),
        pedestrians=float(tally.pedestrians.sum() / ticks),
        contacts=tuple(contacts.listed),
        contacts_by_cause=dict(sorted(contacts.causes.items())),
        contacts_by_kinds=dict(sorted(contacts.kinds.items())),
        contacts_in_sight=dict(sorted(contacts.in_sight.items())),
        overlaps=overlaps.count,
        overlap_nearest_m=min(overlaps.nearest_m, OVERLAP_M),
        limits=limits_of(extremes),
        jerk_p99=jerk_percentile(extremes, 0.99),
        service=service,
        speed_quarters=tuple((tally.driven / np.maximum(tally.vehicles, 1)).tolist()),
        walking_quarters=tuple((tally.walked / np.maximum(tally.pedestrians, 1)).tolist()),
        longest_stop=stops.longest["stop"],
        longest_queue=stops.longest["queue"],
        longest_stall=stops.longest["stall"],
    )


def limits_of(extremes: Extremes) -> dict[str, Extreme]:
    """By name of the limit."""
    return {
        name: Extreme(
            limit=limit, worst=float(extremes.worst[k]), over=int(extremes.over[k]),
            uid=int(extremes.uid[k]), tick=int(extremes.tick[k]),
        )
        for k, (name, limit) in enumerate(LIMITS)
    }  # fmt: skip


def _inserted(begun: Spawners, world: World, setting: Setting) -> int:
    return int((world.spawners.arrived - begun.arrived)[: setting.walk_source].sum())


def vehicles_due(begun: Spawners, setting: Setting, time_s: float) -> int:
    """How many vehicles the clocks of arrivals have called since `begun`, let in or not."""
    street, demand, count = setting.street, setting.demand, 0
    for source, lane in enumerate(street.entries):
        rate = demand.vehicles_per_hour / 3600.0
        if street.lanes.use[lane] == LaneUse.BIKING:
            rate *= demand.cyclist_share
        due, index = float(begun.due[source]), int(begun.arrived[source])
        while due <= time_s:
            count, index = count + 1, index + 1
            due += walks_arrivals.interval(rate, setting.seed, source, index)
    return count


def walks_due(begun: Spawners, setting: Setting, time_s: float) -> int:
    """How many people the clock of walks has called since `begun`."""
    source, rate, count = setting.walk_source, walks_arrivals.group_rate(setting.demand), 0
    due, index = float(begun.due[source]), int(begun.arrived[source])
    while due <= time_s:
        leader = uid_of(source, index, setting.sources)
        size = walks_arrivals.group_size(uniform(setting.seed, leader, TRAITS, 0, 92))
        count, index = count + size, index + size
        due += walks_arrivals.interval(rate, setting.seed, source, index)
    return count
