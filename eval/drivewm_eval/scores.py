"""Scores of windows, gathered by scene and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.types import Forecast
from drivewm_eval import displacement, interaction, likelihood

FIGURES = (
    "min_ade",
    "min_fde",
    "joint_min_ade",
    "joint_min_fde",
    "top1_ade",
    "top1_fde",
    "miss_rate",
    "nll",
    "cover50",
    "cover90",
    "overlap",
)
"""Every figure, in the order of the table. Metres, except rates (0 to 1) and nll (nats)."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What is scored of a forecast: B agents, in the order of the truth.

    `joint_position` is None where no joint modes were given, and then the joint figures are too.
    """

    position: Float[ndarray, "M B F 2"]
    covariance: Float[ndarray, "M B F 2 2"]
    probability: Float[ndarray, "M B"]
    joint_position: Float[ndarray, "K B F 2"] | None
    joint_probability: Float[ndarray, "K"] | None

    @classmethod
    def of(cls, forecast: Forecast, agents: Int[ndarray, "B"]) -> Candidates:
        return cls(
            position=forecast.marginal_position[:, agents],
            covariance=forecast.marginal_covariance[:, agents],
            probability=forecast.marginal_probability[:, agents],
            joint_position=forecast.position[:, agents],
            joint_probability=forecast.mode_probability,
        )


@dataclass(frozen=True, kw_only=True)
class WindowScore:
    """Figures of one window: one value an agent, `overlap` one for all."""

    values: dict[str, Float[ndarray, "B"]]  # without the joint figures where there are no joint modes
    agents: int


def score(
    candidates: Candidates,
    truth: Float[ndarray, "B F 2"],
    kind: Int[ndarray, "B"],
    calibration_steps: Sequence[int],
    rng: np.random.Generator,
) -> WindowScore:
    """All figures of one window. `calibration_steps` are the steps at which coverage is asked."""
    error = displacement.errors(candidates.position, truth)
    min_ade, min_fde = displacement.best_per_agent(error)
    top_ade, top_fde = displacement.most_likely(error, candidates.probability)
    steps = list(calibration_steps)
    cover = likelihood.covered(
        candidates.position[:, :, steps],
        candidates.covariance[:, :, steps],
        candidates.probability,
        truth[:, steps],
        (0.5, 0.9),
        rng,
    )
    values = {
        "min_ade": min_ade,
        "min_fde": min_fde,
        "top1_ade": top_ade,
        "top1_fde": top_fde,
        "miss_rate": displacement.missed(error),
        "nll": likelihood.nll(candidates.position, candidates.covariance, candidates.probability, truth),
        "cover50": cover[0],
        "cover90": cover[1],
    }
    if candidates.joint_position is not None and candidates.joint_probability is not None:
        joint = displacement.errors(candidates.joint_position, truth)
        values["joint_min_ade"], values["joint_min_fde"] = displacement.best_joint(joint)
        rate = interaction.overlap_rate(candidates.joint_position, kind, candidates.joint_probability)
        values["overlap"] = np.full(len(truth), rate)
    return WindowScore(values=values, agents=len(truth))


Summary = dict[str, float | int | None]


def summarize(windows: Sequence[WindowScore]) -> Summary:
    """Means over agents; figures that no window has are None."""
    out: Summary = {}
    for name in FIGURES:
        parts = [w.values[name] for w in windows if name in w.values]
        out[name] = float(np.concatenate(parts).mean()) if parts else None
    out["n_windows"] = len(windows)
    out["n_agents"] = sum(w.agents for w in windows)
    return out


def mean_of(summaries: Sequence[Summary], by_agents: bool) -> Summary:
    """The average over scenes: unweighted, as the ETH/UCY protocol has it, or weighted by agents."""
    counts = np.array([s["n_agents"] or 0 for s in summaries], float)
    weights = counts if by_agents else np.ones(len(summaries))
    out: Summary = {}
    for name in FIGURES:
        values = [s[name] for s in summaries]
        known = [i for i, v in enumerate(values) if v is not None]
        total = weights[known].sum()
        out[name] = float(sum(values[i] * weights[i] for i in known) / total) if total else None  # type: ignore[operator]
    for name in ("n_windows", "n_agents"):
        out[name] = int(sum(s[name] or 0 for s in summaries))
    return out
