"""The nouns: what every room of the house passes to every other.

Metres, radians, seconds; right-handed: x east or forward, y north or left, yaw counter-clockwise.
Values travel with a mask; where the mask is false they are zero. `*b` is any batch. Positions are
float64 until `features.featurize` has moved them near the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.bev import BevGrid, BevSpec
from drivewm.consensus import most_central


class Kind(IntEnum):
    """The three kinds of road user that are forecast."""

    PEDESTRIAN = 0
    CYCLIST = 1
    VEHICLE = 2


class LineKind(IntEnum):
    """What a polyline of the map is."""

    LANE_CENTER = 0
    LANE_BOUNDARY = 1
    CROSSWALK = 2
    SIDEWALK = 3
    STOP_LINE = 4
    OBSTACLE = 5


DEFAULT_SIZE = np.array([[0.5, 0.5], [1.8, 0.6], [4.5, 1.9]])
"""Length and width in metres by kind, used where a recording has none."""


def _check_shape(name: str, array: ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Agents over time, in the scene frame. Axes: A agents, T times (`times`, seconds, any order stated).

    Tracks made by `tracks_from_positions` know one heading an agent, that of now: all their valid past yaw
    entries repeat it.
    """

    pose: Float[ndarray, "*b A T 3"]  # x, y of the box centre, yaw in [-pi, pi)
    velocity: Float[ndarray, "*b A T 2"]  # m/s, scene frame, one causal estimator everywhere
    valid: Bool[ndarray, "*b A T"]
    size: Float[ndarray, "*b A 2"]  # length, width
    size_valid: Bool[ndarray, "*b A"]
    kind: Int[ndarray, "*b A"]  # Kind
    ids: tuple[str, ...]  # one an agent; empty strings where padded
    times: Float[ndarray, "T"]  # seconds relative to the stamp; <= 0 is the past
    heading_valid: Bool[ndarray, "*b A"]  # false: the agent never moved and no heading was measured (yaw 0)
    elevation: Float[ndarray, "*b A T"] | None = None
    # Seconds since each agent was last seen; above 0 its place now is carried on from there, no measurement.
    unseen_s: Float[ndarray, "*b A"] | None = None

    @property
    def position(self) -> Float[ndarray, "*b A T 2"]:
        return self.pose[..., :2]

    @property
    def yaw(self) -> Float[ndarray, "*b A T"]:
        return self.pose[..., 2]

    @property
    def agents(self) -> int:
        return self.pose.shape[-3]

    def validate(self) -> None:
        """Raises ValueError if shapes disagree, values are not finite, or invalid entries are not zero."""
        lead = self.pose.shape[:-1]
        _check_shape("velocity", self.velocity, (*lead, 2))
        _check_shape("valid", self.valid, lead)
        _check_shape("size", self.size, (*lead[:-1], 2))
        _check_shape("kind", self.kind, lead[:-1])
        _check_shape("times", self.times, lead[-1:])
        for name in ("pose", "velocity", "size"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} holds a value that is not finite")
        if np.any(self.pose[~self.valid]) or np.any(self.velocity[~self.valid]):
            raise ValueError("invalid entries must be zero")


@dataclass(frozen=True, kw_only=True)
class RoadMap:
    """Polylines of the street in the scene frame. Axes: P polylines, L points each."""

    points: Float[ndarray, "P L 2"]
    valid: Bool[ndarray, "P L"]
    kind: Int[ndarray, "P"]  # LineKind
    elevation: Float[ndarray, "P L"] | None = None
    signal: Int[ndarray, "P"] | None = None  # index in `Scene.signals` of the group that governs it; -1: none

    @classmethod
    def empty(cls) -> RoadMap:
        return cls(points=np.zeros((0, 2, 2)), valid=np.zeros((0, 2), bool), kind=np.zeros(0, np.int64))


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a scene came from."""

    dataset: str = ""
    scene: str = ""
    seed: int | None = None
    version: str = ""


class Aspect(IntEnum):
    """What a signal group shows."""

    RED = 0
    YELLOW = 1  # stop unless that takes hard braking; for people: do not start, finish
    GREEN = 2


@dataclass(frozen=True, kw_only=True)
class EgoPlan:
    """What the ego intends: its pose at the forecast steps, in the scene frame. G plans of F steps.

    A plan with no valid step is the null plan: nothing is known of what the ego will do. A plan is valid
    up to some step and not after it.
    """

    pose: Float[ndarray, "G F 3"]  # x, y, yaw
    valid: Bool[ndarray, "G F"]

    @classmethod
    def null(cls, steps: int) -> EgoPlan:
        return cls(pose=np.zeros((1, steps, 3)), valid=np.zeros((1, steps), bool))

    def validate(self) -> None:
        """Raises ValueError if shapes disagree, values are not finite, or a plan has a hole."""
        _check_shape("pose", self.pose, (*self.valid.shape, 3))
        if not np.isfinite(self.pose).all():
            raise ValueError("pose of the plan holds a value that is not finite")
        if (self.valid[:, 1:] & ~self.valid[:, :-1]).any():
            raise ValueError("a plan must be valid from its first step up to some step, without holes")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is known of the street at one moment: history of all agents, map, signals, sensors, ego plans."""

    tracks: Tracks  # newest first: times 0, -.1, -.2, -.4, ... s
    t_s: float  # the stamp, in the recording's clock
    road_map: RoadMap = field(default_factory=RoadMap.empty)
    signals: tuple[int, ...] | None = None  # the Aspect of each group that the map names; None: unknown
    bev: BevGrid | None = None  # in the ego's frame
    ego_pose: Float[ndarray, "3"] | None = None  # needed with `bev`
    plan: EgoPlan | None = None  # None: the null plan
    ego_id: str | None = None
    provenance: Provenance = field(default_factory=Provenance)


Source = Literal["model", "kinematic"]
ContextPart = Literal["map", "signals", "bev", "plan"]
"""What a scene may lack; the model was trained without each of them in turn."""


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """Where somebody will be, whether tracked or not, on a grid in the ego's frame at the stamp.

    Axes: Q layers (pedestrians, vehicles, pedestrians without a track), T times, H cells forward, W cells to
    the left. Flow is the displacement over the time (m) of what will be in the cell.
    """

    probability: Float[ndarray, "Q T H W"]
    flow: Float[ndarray, "Q T H W 2"]
    times: tuple[float, ...]  # seconds after the stamp
    spec: BevSpec  # of the grid


@dataclass(frozen=True, kw_only=True, repr=False)
class Forecast:
    """Futures of every agent of one scene, in the scene frame.

    Axes: K joint modes (one mode is one future of the whole scene), M marginal candidates per agent,
    A agents, F steps. Covariances are of position, m^2, symmetric, positive definite.
    """

    t_s: float
    ids: tuple[str, ...]
    kind: Int[ndarray, "A"]
    valid: Bool[ndarray, "A"]
    horizon: Float[ndarray, "F"]  # seconds after the stamp
    position: Float[ndarray, "K A F 2"]
    covariance: Float[ndarray, "K A F 2 2"]
    mode_probability: Float[ndarray, "K"]
    marginal_position: Float[ndarray, "M A F 2"]
    marginal_covariance: Float[ndarray, "M A F 2 2"]
    marginal_probability: Float[ndarray, "M A"]
    source: tuple[Source, ...]  # one an agent
    model_hash: str = ""
    without: tuple[ContextPart, ...] = ()  # what the model can use and did not get
    observed: Bool[ndarray, "A"] | None = None  # false: not seen now, carried on from before
    existence: Float[ndarray, "A"] | None = None  # probability that the agent is still in the street
    crossing_probability: Float[ndarray, "A F"] | None = None  # that a pedestrian is on the road by then
    occupancy: Occupancy | None = None

    def __repr__(self) -> str:
        modes, agents, steps = self.position.shape[:3]
        kinematic = self.source.count("kinematic")
        return (
            f"Forecast(t_s={self.t_s:g}, {agents} agents ({kinematic} kinematic), {modes} joint modes, "
            f"{self.marginal_position.shape[0]} candidates an agent, {steps} steps to "
            f"{self.horizon[-1]:g} s, model {self.model_hash[:12] or 'none'})"
        )

    @property
    def most_likely(self) -> Float[ndarray, "A F 2"]:
        """Each agent's marginal candidate with most probability around it."""
        best = most_central(self.marginal_position, self.marginal_covariance, self.marginal_probability)
        return self.marginal_position[best, np.arange(len(self.ids))]

    def validate(self) -> None:
        """Raises ValueError if shapes disagree, values are not finite, or probabilities do not sum to one."""
        k, a, f = self.position.shape[:3]
        m = self.marginal_position.shape[0]
        _check_shape("position", self.position, (k, a, f, 2))
        _check_shape("covariance", self.covariance, (k, a, f, 2, 2))
        _check_shape("marginal_position", self.marginal_position, (m, a, f, 2))
        _check_shape("marginal_covariance", self.marginal_covariance, (m, a, f, 2, 2))
        _check_shape("marginal_probability", self.marginal_probability, (m, a))
        _check_shape("horizon", self.horizon, (f,))
        for name in ("position", "covariance", "marginal_position", "marginal_covariance"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} holds a value that is not finite")
        if abs(self.mode_probability.sum() - 1) > 1e-4:
            raise ValueError(f"mode probabilities sum to {self.mode_probability.sum():.6f}, not 1")
        if a and np.abs(self.marginal_probability.sum(0) - 1).max() > 1e-4:
            raise ValueError("marginal probabilities of an agent do not sum to 1")
