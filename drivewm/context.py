"""What surrounds the agents, as model inputs: signals, the ego's plan, the bird's-eye grid.

Pure NumPy, beside `features`, which does the same for agents and map.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray

from drivewm.bev import BevGrid, BevSpec
from drivewm.types import ContextPart, EgoPlan, RoadMap, Scene

ASPECTS = 3


def signal_states(road_map: RoadMap, signals: tuple[int, ...] | None) -> Int[ndarray, "P"]:
    """What the signal of each polyline shows (an Aspect); -1 where there is none or it is unknown."""
    if road_map.signal is None or not signals:
        return np.full(len(road_map.kind), -1, np.int64)
    shown = np.asarray(signals, np.int64)
    known = (road_map.signal >= 0) & (road_map.signal < len(shown))
    return np.where(known, shown[np.where(known, road_map.signal, 0)], -1)


def signal_features(state: Int[ndarray, "N"], limit: int) -> Float[ndarray, "P 3"]:
    """One-hot aspects of the chosen polylines, zeros where unknown, padded to `limit`."""
    out = np.zeros((limit, ASPECTS))
    rows = np.flatnonzero(state >= 0)
    out[rows, state[rows]] = 1.0
    return out


def plan_features(plan: EgoPlan | None, center: Float[ndarray, "2"], steps: int) -> dict[str, ndarray]:
    """`plan` [G,F,4] (x, y from the scene's centre, cos and sin of yaw) and `plan_mask` [G,F]."""
    if plan is None:
        plan = EgoPlan.null(steps)
    if plan.valid.shape[1] != steps:
        raise ValueError(f"a plan must have {steps} steps, got {plan.valid.shape[1]}")
    yaw = plan.pose[..., 2:]
    pose = np.concatenate([plan.pose[..., :2] - center, np.cos(yaw), np.sin(yaw)], axis=-1)
    return {"plan": np.where(plan.valid[..., None], pose, 0.0), "plan_mask": plan.valid.astype(np.float64)}


def bev_features(
    grid: BevGrid | None, ego_pose: Float[ndarray, "3"] | None, center: Float[ndarray, "2"], spec: BevSpec
) -> dict[str, ndarray]:
    """`bev` [C,H,W], `bev_mask` [C] (1: the channel is there), `bev_pose` [4] of the grid's frame.

    Without a grid the pose is still the ego's, where it is known: the occupancy is forecast around it.
    ValueError where the grid is of another specification or comes without the ego's pose.
    """
    if grid is None:
        return {
            "bev": np.zeros(spec.shape, np.float32),
            "bev_mask": np.zeros(spec.shape[0]),
            "bev_pose": _still() if ego_pose is None else pose_features(ego_pose, center),
        }
    if grid.spec != spec:
        raise ValueError(f"the grid must be of {spec}, got {grid.spec}")
    if ego_pose is None:
        raise ValueError("a scene with a bird's-eye grid needs the ego's pose")
    return {
        "bev": grid.features,
        "bev_mask": grid.valid.astype(np.float64),
        "bev_pose": pose_features(ego_pose, center),
    }


def pose_features(
    pose: Float[ndarray, "*b 3"], center: Float[ndarray, "*b 2"] | Float[ndarray, "2"]
) -> Float[ndarray, "*b 4"]:
    """x, y from the centre (one for all or one each), cos and sin of yaw."""
    return np.concatenate([pose[..., :2] - center, np.cos(pose[..., 2:]), np.sin(pose[..., 2:])], axis=-1)


def _still() -> Float32[ndarray, "4"]:
    return np.array([0.0, 0.0, 1.0, 0.0], np.float32)


def missing(scene: Scene, *, signals: bool, bev: bool, plan: bool) -> tuple[ContextPart, ...]:
    """What a model that can use these parts (and the map) does not find in a scene."""
    lacks: list[ContextPart] = []
    if len(scene.road_map.kind) == 0:
        lacks.append("map")
    if signals and scene.signals is None:
        lacks.append("signals")
    if bev and scene.bev is None:
        lacks.append("bev")
    if plan and (scene.plan is None or not scene.plan.valid.any()):
        lacks.append("plan")
    return tuple(lacks)
