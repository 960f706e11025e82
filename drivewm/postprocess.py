"""Model outputs to a `Forecast`: from each agent's own frame back into the scene, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.bev import OCCUPANCY_TIMES_S, BevSpec, occupancy_spec
from drivewm.frames import from_frame, rotate_covariance
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, Occupancy, Scene, Tracks

OUTPUT_NAMES = (
    "joint_position",
    "joint_spread",
    "joint_logit",
    "marginal_position",
    "marginal_spread",
    "marginal_logit",
)
"""What every runtime returns, in this order; shapes as in `model.ModelOutputs`."""
EXTRA_OUTPUTS = ("latent", "joint_latent", "existence_logit", "crossing_logit", "occupancy")
"""What only models of a later kind answer: with heads for the street, and with occupancy."""


def output_names(*, heads: bool, occupancy: bool) -> tuple[str, ...]:
    """The outputs of a model, in order."""
    return (
        *OUTPUT_NAMES,
        *(EXTRA_OUTPUTS[:4] if heads else ()),
        *(EXTRA_OUTPUTS[4:] if occupancy else ()),
    )


ByKind = float | tuple[float, ...]
"""One number for all, or one a kind."""
ByKindAndStep = float | tuple[tuple[float, ...], ...]
"""One number for all, or one a kind and forecast step."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is measured on validation data after training and applied to every forecast.

    Probabilities are softmax(logit / temperature), standard deviations are multiplied by the spread. A
    candidate's are also multiplied by (highest probability / its own) ^ tail: unlikely ones are wide, so that
    the mixture has the heavy tails that the agents have. The existence of those who are unseen now has the
    logit slope * logit + offset (Platt 1999).
    """

    joint_temperature: float = 1.0
    marginal_temperature: ByKind = 1.0
    joint_spread: ByKindAndStep = 1.0
    marginal_spread: ByKindAndStep = 1.0
    marginal_tail: ByKindAndStep = 0.0
    existence: tuple[float, float] = (1.0, 0.0)  # slope and offset

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """From JSON, where tuples are lists. ValueError where a table has other rows than there are kinds."""
        read = {name: _tuples(value) for name, value in values.items()}
        for name, value in read.items():
            if name == "existence":
                continue
            if isinstance(value, tuple) and len(value) != len(Kind):
                raise ValueError(f"{name} must have {len(Kind)} rows, one a kind, got {len(value)}")
        return cls(**read)

    def temperature(self, kind: Int[ndarray, "*b"]) -> Float[ndarray, "*b"]:
        """The marginal temperature of each agent."""
        return np.broadcast_to(np.asarray(self.marginal_temperature, float), (len(Kind),))[kind]

    def joint_width(self, kind: Int[ndarray, "A"], steps: int) -> Float[ndarray, "A F"]:
        """By what the standard deviations of the joint modes are multiplied."""
        return _by_agent(self.joint_spread, kind, steps)

    def marginal_width(
        self, kind: Int[ndarray, "A"], probability: Float[ndarray, "M A"], steps: int
    ) -> Float[ndarray, "M A F"]:
        """By what those of each candidate are multiplied."""
        spread, tail = (_by_agent(t, kind, steps) for t in (self.marginal_spread, self.marginal_tail))
        return spread * rarity(probability)[..., None] ** tail


RAREST = 10.0
"""No candidate counts as rarer than this beside the most probable one: it would be wider than a street."""


def rarity(probability: Float[ndarray, "M *b"]) -> Float[ndarray, "M *b"]:
    """How much less probable than the most probable candidate each one is: 1 to 10."""
    highest = probability.max(axis=0)
    return highest / np.maximum(probability, highest / RAREST)


def _by_agent(table: ByKindAndStep, kind: Int[ndarray, "A"], steps: int) -> Float[ndarray, "A F"]:
    return np.broadcast_to(np.asarray(table, float), (len(Kind), steps))[kind]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


PLANNED_SD_M = 0.2
"""How far the ego may stray from its plan."""


def softmax(logit: ndarray, axis: int) -> ndarray:
    shifted = np.exp(logit - logit.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def covariance_of(spread: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2 2"]:
    """Covariance from log sd x, log sd y and correlation."""
    sx, sy, rho = np.exp(spread[..., 0]), np.exp(spread[..., 1]), spread[..., 2]
    off = rho * sx * sy
    return np.stack([np.stack([sx * sx, off], -1), np.stack([off, sy * sy], -1)], -2)


def to_forecast(
    outputs: dict[str, ndarray],
    index: int,
    scene: Scene,
    grid: TimeGrid,
    calibration: Calibration,
    of_scene: int | None = None,
    bev: BevSpec | None = None,
) -> Forecast:
    """The forecast in row `index` of a batch. `of_scene` is the row of what holds under every plan of a
    scene (by default the same), `bev` the grid that the model reads.

    An agent with fewer than two known positions has no motion to go by: it gets the constant-velocity
    forecast (it stays) in every mode, with source `kinematic`.
    """
    tracks = scene.tracks
    count = tracks.agents
    frame = tracks.pose[:, 0]

    def place(name: str, widen: ndarray) -> tuple[ndarray, ndarray]:
        position = outputs[f"{name}_position"][index, :, :count].astype(np.float64)
        spread = outputs[f"{name}_spread"][index, :, :count].astype(np.float64)
        at = frame[None, :, None]
        covariance = covariance_of(spread) * widen[..., None, None] ** 2
        return from_frame(position, at), rotate_covariance(covariance, at[..., 2])

    horizon = np.asarray(grid.horizons)
    logit = outputs["joint_logit"][index].astype(np.float64)
    marginal_logit = outputs["marginal_logit"][index, :, :count].astype(np.float64)
    marginal_probability = softmax(marginal_logit / calibration.temperature(tracks.kind), axis=0)
    position, covariance = place("joint", calibration.joint_width(tracks.kind, len(horizon)))
    marginal_position, marginal_covariance = place(
        "marginal", calibration.marginal_width(tracks.kind, marginal_probability, len(horizon))
    )
    of_scene = index if of_scene is None else of_scene
    lone = tracks.valid.sum(axis=1) < 2
    if lone.any():
        path, spread = constant_velocity(tracks, horizon)
        position[:, lone], covariance[:, lone] = path[lone], spread[lone]
        marginal_position[:, lone], marginal_covariance[:, lone] = path[lone], spread[lone]
        marginal_probability[:, lone] = 0.0
        marginal_probability[0, lone] = 1.0
    return Forecast(
        t_s=scene.t_s,
        ids=tracks.ids,
        kind=tracks.kind,
        valid=tracks.valid[:, 0],
        horizon=horizon,
        position=position,
        covariance=covariance,
        mode_probability=softmax(logit / calibration.joint_temperature, axis=0),
        marginal_position=marginal_position,
        marginal_covariance=marginal_covariance,
        marginal_probability=marginal_probability,
        source=tuple("kinematic" if alone else "model" for alone in lone),
        existence=_existence(outputs, of_scene, tracks, calibration),
        crossing_probability=_crossing(outputs, index, tracks.kind),
        occupancy=_occupancy(outputs, of_scene, None if scene.ego_pose is None else bev),
    )


def follow_plan(forecast: Forecast, scene: Scene, plan: int = 0) -> Forecast:
    """The forecast with the ego where its plan (row `plan`) puts it, in every mode, while that lasts."""
    if scene.plan is None or scene.ego_id not in forecast.ids:
        return forecast
    row = forecast.ids.index(scene.ego_id)
    valid = scene.plan.valid[plan]
    way = scene.plan.pose[plan, valid, :2]
    sure = np.eye(2) * PLANNED_SD_M**2
    out: dict[str, ndarray] = {}
    for prefix in ("", "marginal_"):
        position, covariance = (
            getattr(forecast, prefix + name).copy() for name in ("position", "covariance")
        )
        position[:, row, valid], covariance[:, row, valid] = way, sure
        out |= {prefix + "position": position, prefix + "covariance": covariance}
    return replace(forecast, **out)  # type: ignore[arg-type]


def sigmoid(logit: ndarray) -> ndarray:
    return 0.5 * (1 + np.tanh(0.5 * logit))


def happened_by(hazard: Float[ndarray, "*b F"]) -> Float[ndarray, "*b F"]:
    """Probability that something has happened by each step, from the hazards of the steps."""
    return 1 - np.cumprod(1 - hazard, axis=-1)


def _existence(
    outputs: dict[str, ndarray], index: int, tracks: Tracks, calibration: Calibration
) -> ndarray | None:
    if "existence_logit" not in outputs:
        return None
    logit = outputs["existence_logit"][index, : tracks.agents].astype(np.float64)
    if tracks.unseen_s is not None:
        slope, offset = calibration.existence
        logit = np.where(tracks.unseen_s > 0, slope * logit + offset, logit)
    return sigmoid(logit)


def _crossing(outputs: dict[str, ndarray], index: int, kind: Int[ndarray, "A"]) -> ndarray | None:
    """Probability of having stepped on the road by each step; 0 for all but pedestrians."""
    if "crossing_logit" not in outputs:
        return None
    by_then = happened_by(sigmoid(outputs["crossing_logit"][index, : len(kind)].astype(np.float64)))
    return np.where((kind == Kind.PEDESTRIAN)[:, None], by_then, 0.0)


FOCAL_SLOPE = 3.0
"""A cross-entropy weighted by (1 - p)^2 (`losses.occupancy`) is least where the odds said are the cube root
of the true ones: p^2 p (1 - q) = (1 - p)^2 (1 - p) q."""


def _occupancy(outputs: dict[str, ndarray], index: int, bev: BevSpec | None) -> Occupancy | None:
    if "occupancy" not in outputs or bev is None:
        return None
    raw = outputs["occupancy"][index]
    return Occupancy(
        probability=sigmoid(FOCAL_SLOPE * raw[..., 0]),
        flow=raw[..., 1:],
        times=OCCUPANCY_TIMES_S,
        spec=occupancy_spec(bev),
    )
