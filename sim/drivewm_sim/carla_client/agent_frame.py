"""What the leaderboard agent knows at one instant, as the frame that ego drivers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.types import Kind
from drivewm_sim.carla_client.localisation import Located
from drivewm_sim.simulator import AGENT_TYPES, Agents, Frame, Intent
from drivewm_sim.street.state import Age

EGO_UID = 0
OBSTACLE_UID = 1
OBSTACLE_M = 0.5
_TYPE = {Kind.PEDESTRIAN: "pedestrian", Kind.CYCLIST: "cyclist"}


@dataclass(frozen=True, kw_only=True)
class Body:
    """Somebody or something on the street, in the scene frame."""

    uid: int
    kind: Kind
    pose: Float[ndarray, "3"]  # x, y (m) of the box's centre, yaw (rad)
    velocity: Float[ndarray, "2"]  # m/s
    size: tuple[float, float]  # length, width (m)
    height: float = 1.5  # m
    intent: Intent = Intent.DRIVING


def obstacle(pose: Float[ndarray, "3"]) -> Body:
    """Something that stands in the way, its near end at a pose on the route."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    middle = pose + np.array([0.5 * OBSTACLE_M * c, 0.5 * OBSTACLE_M * s, 0.0])
    return Body(
        uid=OBSTACLE_UID,
        kind=Kind.VEHICLE,
        pose=middle,
        velocity=np.zeros(2),
        size=(OBSTACLE_M, OBSTACLE_M),
    )


def make_frame(
    index: int, time_s: float, ego: Located, size: tuple[float, float], others: Sequence[Body]
) -> Frame:
    """The ego, under EGO_UID, among the others; truth is what is perceived."""
    yaw = float(ego.pose[2])
    own = Body(
        uid=EGO_UID,
        kind=Kind.VEHICLE,
        pose=ego.pose,
        velocity=ego.speed * np.array([np.cos(yaw), np.sin(yaw)]),
        size=size,
    )
    bodies = sorted([own, *others], key=lambda b: b.uid)
    uid = np.array([b.uid for b in bodies], np.int64)
    agents = Agents(
        uid=uid,
        kind=np.array([b.kind for b in bodies], np.int64),
        type=np.array([AGENT_TYPES.index(_TYPE.get(b.kind, "car")) for b in bodies], np.int64),
        pose=np.array([b.pose for b in bodies], np.float64),
        elevation=np.zeros(len(bodies)),
        velocity=np.array([b.velocity for b in bodies], np.float64),
        size=np.array([b.size for b in bodies], np.float64),
        height=np.array([b.height for b in bodies], np.float64),
        truth_uid=uid,
        intent=np.array([b.intent for b in bodies], np.int64),
        age=np.full(len(bodies), Age.ADULT, np.int64),
    )
    return Frame(index=index, time_s=time_s, ego_uid=EGO_UID, truth=agents, perceived=agents)
