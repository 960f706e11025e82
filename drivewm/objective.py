"""The training objective: what a world model is asked for on one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from drivewm import losses
from drivewm.batch import Batch, tensors
from drivewm.model import ModelOutputs, WorldModel


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the terms."""

    joint: float = 1.0
    marginal: float = 1.0
    central: float = 0.2  # candidate 0 learns from everyone: the middle of the road
    nll: float = 0.1
    choice: float = 0.2
    latent: float = 0.3  # latent prediction; 0 turns the latent objective off altogether
    collapse: float = 0.05  # VICReg terms on the present latents; larger harms the forecasts
    temperature: float = 0.1  # of the winners, at the start
    annealed_at: float = 0.5  # share of the training after which only the best future learns
    choice_temperature: float = 0.3  # metres within which futures count as equally close

    def winner_temperature(self, progress: float) -> float:
        return self.temperature * max(0.0, 1 - progress / self.annealed_at)


def objective(
    model: WorldModel, teacher: nn.Module, batch: Batch, config: ObjectiveConfig, progress: float
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and its terms. `progress` runs from 0 to 1 over the training."""
    device = model.anchors.device
    future, target, later = batch.truth(device)
    out = model(tensors(batch.inputs, device))
    temperature = config.winner_temperature(progress)
    joint = losses.displacement(out.joint_position, future)
    marginal = losses.displacement(out.marginal_position, future)
    terms = {
        "joint": config.joint * losses.best_of(joint, target, temperature, joint=True),
        "marginal": config.marginal * losses.best_of(marginal, target, temperature, joint=False),
    }
    count = target.sum().clamp(min=1.0)
    middle = (marginal[:, 0].mean(-1) * target).sum() + (joint[:, 0].mean(-1) * target).sum()
    terms["central"] = config.central * middle / count
    # Likelihood shapes spread and probabilities only: the futures stay where the best-of loss puts them.
    modes = out.joint_logit.detach()[..., None].expand(-1, -1, future.shape[1])
    terms["nll"] = config.nll * (
        losses.mixture_nll(out.joint_position.detach(), out.joint_spread, modes, future, target)
        + losses.mixture_nll(
            out.marginal_position.detach(), out.marginal_spread, out.marginal_logit, future, target
        )
    )
    agents = target.sum(-1)
    scene_error = (joint.mean(-1) * target[:, None]).sum(-1) / agents.clamp(min=1.0)[:, None]
    terms["choice"] = config.choice * (
        losses.choice(out.joint_logit, scene_error, agents, config.choice_temperature)
        + losses.choice(out.marginal_logit, marginal.mean(-1), target, config.choice_temperature)
    )
    if config.latent > 0:
        terms |= _latent_terms(out, scene_error, teacher, batch, later, config)
    loss = torch.stack(list(terms.values())).sum()
    return loss, {name: float(value.detach()) for name, value in terms.items()}


def _latent_terms(
    out: ModelOutputs,
    scene_error_BK: Tensor,
    teacher: nn.Module,
    batch: Batch,
    later_BA: Tensor,
    config: ObjectiveConfig,
) -> dict[str, Tensor]:
    """How well the winning mode predicts the latents seen later, and the guard against collapse."""
    device = later_BA.device
    if batch.later_inputs is None:
        raise ValueError("the latent objective needs batches with a later view (Loader(later=True))")
    with torch.no_grad():
        seen, *_ = teacher(tensors(batch.later_inputs, device))
    best = scene_error_BK.argmin(1)
    predicted = out.joint_latent[torch.arange(len(best), device=device), best, :, batch.later_chunk]
    present = torch.from_numpy(batch.inputs.agent_mask).to(device) > 0
    return {
        "latent": config.latent * losses.latent_prediction(predicted, seen, later_BA),
        "collapse": config.collapse * losses.variance_covariance(out.latent[present]),
    }
