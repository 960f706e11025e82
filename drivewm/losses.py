"""Losses: the best of several futures learns, the mixture is scored by likelihood, the latents predict."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def displacement(position: Tensor, future_BAF2: Tensor) -> Tensor:
    """Distance to the truth at every step: B K A F."""
    return torch.sqrt(((position - future_BAF2[:, None]) ** 2).sum(-1) + 1e-6)


def winners(error_BKX: Tensor, temperature: float) -> Tensor:
    """How much each mode learns: all softly while the temperature is high, the best alone at zero."""
    error = error_BKX.detach()
    if temperature <= 0:
        return torch.nn.functional.one_hot(error.argmin(1), error.shape[1]).movedim(-1, 1).to(error)
    return torch.softmax(-error / temperature, dim=1)


def best_of(error_BKAF: Tensor, target_BA: Tensor, temperature: float, joint: bool) -> Tensor:
    """Mean error of the winning futures, the average and the final error each with its own winner.

    `joint`: one winner for the whole scene, chosen by the mean over its agents; otherwise one an agent.
    """
    total = target_BA.sum().clamp(min=1.0)
    out = error_BKAF.new_zeros(())
    for error in (error_BKAF.mean(-1), error_BKAF[..., -1]):
        error = error * target_BA[:, None]
        if joint:
            scene = error.sum(-1)
            mean = scene / target_BA.sum(-1).clamp(min=1.0)[:, None]
            out = out + (winners(mean, temperature) * scene).sum() / total
        else:
            out = out + (winners(error, temperature) * error).sum() / total
    return out


def log_normal(offset: Tensor, spread: Tensor) -> Tensor:
    """Log density of a 2-D normal; offset [..., 2], spread [..., 3] (log sd x, log sd y, correlation)."""
    log_sd, rho = spread[..., :2], spread[..., 2]
    u = offset * torch.exp(-log_sd)
    one = 1 - rho**2
    square = (u[..., 0] ** 2 + u[..., 1] ** 2 - 2 * rho * u[..., 0] * u[..., 1]) / one
    return -0.5 * square - log_sd.sum(-1) - 0.5 * torch.log(one) - LOG_2PI


def mixture_nll(
    position: Tensor, spread: Tensor, logit_BKA: Tensor, future: Tensor, target: Tensor
) -> Tensor:
    """Mean over agents and steps of -log of the per-step mixture density."""
    density = log_normal(position - future[:, None], spread)
    log_mixture = torch.logsumexp(torch.log_softmax(logit_BKA, 1)[..., None] + density, dim=1)
    return -(log_mixture.mean(-1) * target).sum() / target.sum().clamp(min=1.0)


def choice(logit_BKX: Tensor, error_BKX: Tensor, weight_BX: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the mode probabilities against who came close."""
    aim = torch.softmax(-error_BKX.detach() / temperature, dim=1)
    cross = -(aim * torch.log_softmax(logit_BKX, 1)).sum(1)
    return (cross * weight_BX).sum() / weight_BX.sum().clamp(min=1.0)


def latent_prediction(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Smooth L1 between predicted and encoded latents, both layer-normalised; mask over all but channels."""
    dim = predicted.shape[-1:]
    predicted = torch.nn.functional.layer_norm(predicted, dim)
    target = torch.nn.functional.layer_norm(target, dim)
    error = torch.nn.functional.smooth_l1_loss(predicted, target, reduction="none").mean(-1)
    return (error * mask).sum() / mask.sum().clamp(min=1.0)


def variance_covariance(latent_ND: Tensor) -> Tensor:
    """VICReg's guard against collapse: channels keep a spread of one and stay uncorrelated.

    Bardes, Ponce and LeCun 2022, equations 1 to 4 (variance and covariance terms).
    """
    centered = latent_ND - latent_ND.mean(0)
    spread = torch.sqrt(centered.var(0) + 1e-4)
    covariance = centered.T @ centered / max(len(latent_ND) - 1, 1)
    off = covariance - torch.diag(torch.diagonal(covariance))
    return torch.relu(1 - spread).mean() + (off**2).sum() / latent_ND.shape[1]


def effective_rank(latent_ND: Tensor) -> float:
    """How many directions live: exp of the singular values' entropy (Roy and Vetterli 2007)."""
    values = torch.linalg.svdvals(latent_ND - latent_ND.mean(0))
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))
