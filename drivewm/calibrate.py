"""Calibration after training: how wide and how sure the forecasts should be, measured on validation data.

Three things are fitted, because each has its own truth:

- temperatures minimise the cross-entropy of the mode nearest to what happened (mean distance over the steps):
  of the scene for the joint modes, of each agent and by kind for the candidates;
- spreads and tails, by kind and at a few horizons, then minimise how far the highest-density regions are from
  covering as much as they say, `((c50 - .5) / .04)^2 + ((c90 - .9) / .03)^2 + .2 tail`: for each of a few
  tails the spread is bisected towards where half of the truths lie in the region of 50 %, and the best of all
  pairs met is taken (joint modes, of which coverage is not asked, have no tail). Between those horizons both
  are interpolated;
- slope and offset minimise the cross-entropy of whether those who are unseen now are still in the street.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.batch import tensors
from drivewm.density import floored, mass_denser
from drivewm.features import KINDS
from drivewm.postprocess import Calibration, covariance_of, rarity, sigmoid, softmax

if TYPE_CHECKING:
    from drivewm.model import WorldModel
    from drivewm.training import BatchSource

TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(4.0), 49))
SPREADS = (0.2, 6.0)
HALVINGS = 7
TAILS = (0.0, 0.25, 0.5, 1.0, 1.5)
TAIL_COST = 0.2
"""A tail must gain more than chance: so much of a squared unit of coverage for each unit of it."""
LEVELS = ((0.5, 0.04), (0.9, 0.03))
"""Levels of the regions, and the error of the coverage that is taken for one unit."""
HORIZONS_S = (0.4, 1.2, 2.4, 4.8)
"""Where spreads are fitted (the nearest steps of the clock)."""
MOST_AGENTS = 1500
"""So many of a kind, evenly taken from all, are enough for a per cent or two of coverage."""
FEWEST_AGENTS = 50
"""With fewer a kind keeps the spread and the temperature of all kinds together."""
DRAWS = 48
PLATT_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class _Head:
    """One head's forecasts of N agents against the truth, all steps; each in its own frame."""

    offset: Float[ndarray, "M N F 2"]  # forecast minus truth
    spread: Float[ndarray, "M N F 3"]
    logit: Float[ndarray, "M N"]

    def of(self, rows: Int[ndarray, "R"]) -> _Head:
        return _Head(
            offset=self.offset[:, rows].astype(np.float64),
            spread=self.spread[:, rows].astype(np.float64),
            logit=self.logit[:, rows].astype(np.float64),
        )

    @property
    def nearest(self) -> Int[ndarray, "N"]:
        """Which candidate comes nearest to the truth, on average over the steps."""
        return np.linalg.norm(self.offset, axis=-1).mean(-1).argmin(0)


@dataclass(frozen=True, kw_only=True)
class _Outcomes:
    """What was forecast and what happened, of S scenes with N agents that have a known future."""

    joint: _Head
    marginal: _Head
    kind: Int[ndarray, "N"]
    scene_logit: Float[ndarray, "K S"]
    scene_nearest: Int[ndarray, "S"]
    hidden_logit: Float[ndarray, "H"]  # of the existence of those who are unseen
    hidden_exists: Bool[ndarray, "H"]


@torch.no_grad()
def calibrate(model: WorldModel, validation: BatchSource) -> Calibration:
    """The calibration of a model from all validation batches. The same batches give the same result."""
    seen = _outcomes(model, validation)
    if seen is None:
        return Calibration()
    horizons = np.asarray(model.config.grid.horizons)
    steps = sorted({int(np.abs(horizons - h).argmin()) for h in HORIZONS_S})
    rows = _rows_by_kind(seen.kind)
    joint_temperature = _temperature(seen.scene_logit, seen.scene_nearest)
    marginal_temperature = tuple(
        _temperature(h.logit, h.nearest) for h in (seen.marginal.of(r) for r in rows)
    )
    joint, marginal = [], []
    for r, temperature in zip(rows, marginal_temperature, strict=True):
        joint.append(_widths(seen.joint.of(r), joint_temperature, steps, tails=(0.0,)))
        marginal.append(_widths(seen.marginal.of(r), temperature, steps, tails=TAILS))

    def table(fitted: list[Float[ndarray, "J 2"]], column: int) -> tuple[tuple[float, ...], ...]:
        between = (np.interp(horizons, horizons[steps], values[:, column]) for values in fitted)
        return tuple(tuple(round(float(v), 4) for v in row) for row in between)

    return Calibration(
        joint_temperature=joint_temperature,
        marginal_temperature=marginal_temperature,
        joint_spread=table(joint, 0),
        marginal_spread=table(marginal, 0),
        marginal_tail=table(marginal, 1),
        existence=platt(seen.hidden_logit, seen.hidden_exists),
    )


def platt(logit: Float[ndarray, "H"], truth: Bool[ndarray, "H"]) -> tuple[float, float]:
    """Slope and offset of least cross-entropy, by Newton's method with a little ridge towards (1, 0).

    (1, 0) with fewer than `FEWEST_AGENTS` on either side: nothing can be said then.
    """
    if min(truth.sum(), (~truth).sum()) < FEWEST_AGENTS:
        return 1.0, 0.0
    columns, prior = np.column_stack([logit, np.ones_like(logit)]), np.array([1.0, 0.0])
    fitted = prior.copy()
    for _ in range(PLATT_STEPS):
        believed = sigmoid(columns @ fitted)
        slope = columns.T @ (believed - truth) + (fitted - prior)
        bend = (columns * (believed * (1 - believed))[:, None]).T @ columns + np.eye(2)
        fitted = fitted - np.clip(np.linalg.solve(bend, slope), -1.0, 1.0)
    return round(float(fitted[0]), 4), round(float(fitted[1]), 4)


def _outcomes(model: WorldModel, validation: BatchSource) -> _Outcomes | None:
    """Forecasts beside truths, under the first plan of each scene; None where no agent's future is known."""
    device = model.anchors.device
    parts: dict[str, list[ndarray]] = {}

    def keep(name: str, value: ndarray) -> None:
        parts.setdefault(name, []).append(value)

    for batch in validation.in_order():
        out = model(tensors(batch.inputs, device), 0)
        if batch.street is not None and out.existence_logit is not None:
            hidden = batch.street.exists_known & (batch.street.unseen_s > 0)
            keep("hidden_logit", out.existence_logit.float().cpu().numpy()[hidden].astype(np.float64))
            keep("hidden_exists", batch.street.exists[hidden])
        future, target = batch.future[:: batch.plans], batch.target[:: batch.plans]
        if not target.any():
            continue
        keep("kind", batch.inputs.attributes[..., :KINDS].argmax(-1)[target])
        for name in ("joint", "marginal"):
            position, spread, logit = (
                getattr(out, f"{name}_{what}")[:: batch.plans].float().cpu().numpy()
                for what in ("position", "spread", "logit")
            )
            offset = position - future[:, None]
            if name == "joint":
                average = (np.linalg.norm(offset, axis=-1).mean(-1) * target[:, None]).sum(-1)
                has = target.any(axis=1)
                keep("scene_logit", logit[has].T)
                keep("scene_nearest", average.argmin(1)[has])
                logit = np.repeat(logit[..., None], target.shape[1], axis=-1)
            keep(f"{name}_offset", np.moveaxis(offset, 1, 0)[:, target])
            keep(f"{name}_spread", np.moveaxis(spread, 1, 0)[:, target])
            keep(f"{name}_logit", np.moveaxis(logit, 1, 0)[:, target])
    if "kind" not in parts:
        return None
    joint, marginal = (
        _Head(
            **{
                what: np.concatenate(parts[f"{name}_{what}"], axis=1)
                for what in ("offset", "spread", "logit")
            }
        )
        for name in ("joint", "marginal")
    )
    return _Outcomes(
        joint=joint,
        marginal=marginal,
        kind=np.concatenate(parts["kind"]),
        scene_logit=np.concatenate(parts["scene_logit"], axis=1).astype(np.float64),
        scene_nearest=np.concatenate(parts["scene_nearest"]),
        hidden_logit=np.concatenate(parts.get("hidden_logit", [np.zeros(0)])),
        hidden_exists=np.concatenate(parts.get("hidden_exists", [np.zeros(0, bool)])),
    )


def _rows_by_kind(kind: Int[ndarray, "N"]) -> list[Int[ndarray, "R"]]:
    """At most `MOST_AGENTS` agents of each kind; of all kinds where there are too few of one."""
    rows = []
    for k in range(KINDS):
        found = np.flatnonzero(kind == k)
        found = found if len(found) >= FEWEST_AGENTS else np.arange(len(kind))
        rows.append(
            found[np.linspace(0, len(found) - 1, min(len(found), MOST_AGENTS)).round().astype(np.int64)]
        )
    return rows


def _temperature(logit: Float[ndarray, "M N"], nearest: Int[ndarray, "N"]) -> float:
    """The temperature of least cross-entropy of the nearest mode."""
    cost = []
    for temperature in TEMPERATURES:
        scaled = (logit - logit.max(0)) / temperature
        cost.append(np.log(np.exp(scaled).sum(0)).mean() - scaled[nearest, np.arange(len(nearest))].mean())
    return round(float(TEMPERATURES[int(np.argmin(cost))]), 4)


def _widths(
    head: _Head, temperature: float, steps: list[int], tails: tuple[float, ...]
) -> Float[ndarray, "J 2"]:
    """At each of the steps the spread and the tail whose regions cover best."""
    probability = softmax(head.logit / temperature, axis=0)
    rare = rarity(probability)
    out = []
    for step in steps:
        covariance, offset = covariance_of(head.spread[:, :, step]), head.offset[:, :, step]

        def shares(spread: float, tail: float) -> tuple[float, ...]:
            # The same draws always, so that coverage grows smoothly with the spread.
            rng = np.random.default_rng(0)
            wide = floored(covariance * ((spread * rare**tail) ** 2)[..., None, None])  # noqa: B023
            mass = mass_denser(np.zeros(offset.shape[1:]), offset, wide, probability, rng, DRAWS)  # noqa: B023
            return tuple(float((mass < level).mean()) for level, _ in LEVELS)

        tried = [row for tail in tails for row in _tried(shares, tail)]
        out.append(min(tried)[1:])
    return np.array(out)


def _tried(
    shares: Callable[[float, float], tuple[float, ...]], tail: float
) -> list[tuple[float, float, float]]:
    """Cost, spread and tail of the spreads that are met while bisecting to where the first level is."""
    out = []
    low, high = np.log(SPREADS)
    for _ in range(HALVINGS):
        spread = float(np.exp((low + high) / 2))
        covered = shares(spread, tail)
        cost = sum(((c - level) / unit) ** 2 for c, (level, unit) in zip(covered, LEVELS, strict=True))
        out.append((cost + TAIL_COST * tail, spread, tail))
        low, high = (np.log(spread), high) if covered[0] < LEVELS[0][0] else (low, np.log(spread))
    return out
