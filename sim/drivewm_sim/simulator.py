"""The simulator protocol and its nouns: a world that advances one step of 0.1 s at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

from jaxtyping import Bool, Float, Int
from numpy import ndarray

if TYPE_CHECKING:
    from drivewm.types import RoadMap
    from drivewm_sim.ego_route import EgoRoute
    from drivewm_sim.sensors.suite import Sensed

PHYSICS_S = 0.05
"""Bodies move in steps of this many seconds."""
DECISION_S = 0.1
"""Decisions are taken, and frames logged, this often (seconds)."""
AGENT_TYPES = ("pedestrian", "cyclist", "car", "van", "truck", "bus")
"""What `Agents.type` counts."""


class Intent(IntEnum):
    """What an agent is doing, as the simulator knows it: a label for learning, never an input."""

    DRIVING = 0
    YIELDING = 1  # a driver who slows or waits for a pedestrian
    BRAKING = 2  # a driver in an emergency stop
    WALKING = 3
    APPROACHING = 4  # walks to the kerb to cross
    WAITING = 5  # stands at the kerb, looks
    CROSSING = 6
    PAUSING = 7  # stands still on the way
    TURNING_BACK = 8  # returns to the kerb
    HESITATING = 9  # has set off, stops short for a vehicle
    RUNNING = 10  # over the road
    STANDING = 11  # at rest on the sidewalk
    QUEUING = 12  # a driver who stands at a signal, a junction or behind others
    CHANGING_LANE = 13
    REVERSING = 14  # a driver who makes room for one whose way it bars


@dataclass(frozen=True, kw_only=True)
class Agents:
    """Agents at one instant in the scene frame, ordered by uid. Axis: N agents."""

    uid: Int[ndarray, "N"]  # unique within an episode, never reused; of a track: what the car calls it
    kind: Int[ndarray, "N"]  # drivewm.types.Kind
    type: Int[ndarray, "N"]  # index of AGENT_TYPES
    pose: Float[ndarray, "N 3"]  # x, y of the box centre (m), yaw in [-pi, pi)
    elevation: Float[ndarray, "N"]  # z of the ground there (m)
    velocity: Float[ndarray, "N 2"]  # m/s
    size: Float[ndarray, "N 2"]  # length, width (m)
    height: Float[ndarray, "N"]  # m
    # Labels, never inputs:
    truth_uid: Int[ndarray, "N"]  # who it truly is
    intent: Int[ndarray, "N"]  # Intent
    age: Int[ndarray, "N"]  # street.state.Age of a pedestrian

    def where(self, keep: Bool[ndarray, "N"]) -> Agents:
        """The agents for which `keep` holds."""
        return Agents(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


@dataclass(frozen=True)
class Event:
    """Something that happened within the last step, to whom, and with whom (-1: nobody).

    Names: yield, emergency_brake, crossing_started, crossing_finished, turned_back, hesitated, contact;
    `cause` (street.state.Cause) says why for contacts and brakes. A director that acts is the event
    `situation`: its first actor, the vehicle it waited for, and as cause the situation's name.
    """

    name: str
    uid: int
    other: int = -1
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The world at one instant."""

    index: int  # 0 at reset, then one a step
    time_s: float
    ego_uid: int
    truth: Agents
    perceived: Agents  # what the car knows, itself among it under its own uid
    signals: tuple[int, ...] = ()  # what each signal group shows (drivewm.types.Aspect)
    events: tuple[Event, ...] = ()
    finished: bool = False  # the ego has reached the end of its route
    sensed: Sensed | None = None  # of backends with sensors


@dataclass(frozen=True, kw_only=True)
class EgoCommand:
    """What the ego does until the next step."""

    acceleration: float = 0.0  # m/s^2, forward
    curvature: float = 0.0  # 1/m of the path of the box centre, left positive


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backend can do beyond stepping."""

    branching: bool  # snapshot() and restore() are exact
    sensors: bool  # `perceived` comes from a sensor model
    backend: str = "embedded"  # or "carla": who moves the bodies


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of episode. The seed decides the rest."""

    town: str = "crossing"
    traffic: float = 1.0  # times the town's usual vehicles
    walking: float = 1.0  # times the town's usual pedestrians
    situations: tuple[str, ...] = ()  # directors' work, staged on the ego's way where the way has room for it
    duration_s: float = 30.0
    warm_up_s: float = 30.0  # simulated before the first frame, so that the street is alive
    ego_speed_mps: float = 9.0  # desired, and at the start where road and traffic allow

    def __post_init__(self) -> None:
        for name in ("traffic", "walking", "warm_up_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.duration_s <= 0 or self.ego_speed_mps <= 0:
            raise ValueError(
                f"duration and ego speed must be positive, got {self.duration_s}, {self.ego_speed_mps}"
            )


Snapshot = Any
"""Opaque: whatever a backend needs to return to an instant."""


class Simulator(Protocol):
    """A world that advances one step at a time. Same scenario and seed, same episode."""

    @property
    def capabilities(self) -> Capabilities: ...

    def reset(self, scenario: Scenario, seed: int) -> Frame: ...

    @property
    def route(self) -> EgoRoute:
        """Where the ego is meant to drive in this episode."""
        ...

    @property
    def road_map(self) -> RoadMap:
        """The map of this episode."""
        ...

    def step(self, ego: EgoCommand) -> Frame: ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> Frame: ...

    def close(self) -> None: ...
