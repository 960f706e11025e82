"""Losses: the best of several futures learns, the mixture is scored by likelihood, the latents predict."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)
STILL_M = 0.01
"""Who is displaced by less between two plans is not affected by them."""
AFFECTED_M = 0.3
"""Who is displaced by more is."""
STEADY = 4.0  # how much the steadiness of the unaffected counts beside the response of the affected
STEADY_M = 0.03  # so far the unaffected may move in their worst modes
WORST = 0.25  # how much these count beside all modes


def displacement(position: Tensor, future_BAF2: Tensor) -> Tensor:
    """Distance to the truth at every step: B K A F."""
    return torch.sqrt(((position - future_BAF2[:, None]) ** 2).sum(-1) + 1e-6)


def winners(error_BKX: Tensor, temperature: float) -> Tensor:
    """How much each mode learns: all softly while the temperature is high, the best alone at zero."""
    error = error_BKX.detach()
    if temperature <= 0:
        return torch.nn.functional.one_hot(error.argmin(1), error.shape[1]).movedim(-1, 1).to(error)
    return torch.softmax(-error / temperature, dim=1)


def over_plans(error_NK: Tensor, plans: int) -> Tensor:
    """Each mode's error averaged over the plans of its scene: a mode that wins, wins under every plan."""
    if plans == 1:
        return error_NK
    return error_NK.unflatten(0, (-1, plans)).mean(1).repeat_interleave(plans, 0)


def best_of(error_BKAF: Tensor, target_BA: Tensor, temperature: float, joint: bool, plans: int = 1) -> Tensor:
    """Mean error of the winning futures, the average and the final error each with its own winner.

    `target` is how much each agent counts, 0 for those that cannot be learned from.

    `joint`: one winner for the whole scene, chosen by the mean over its agents; otherwise one an agent.
    """
    total = target_BA.sum().clamp(min=1.0)
    out = error_BKAF.new_zeros(())
    for error in (error_BKAF.mean(-1), error_BKAF[..., -1]):
        weighted = error * target_BA[:, None]
        if joint:
            winner = winners(scene_error(error, target_BA, plans), temperature)
            out = out + (winner * weighted.sum(-1)).sum() / total
        else:
            out = out + (winners(over_plans(error, plans), temperature) * weighted).sum() / total
    return out


def scene_error(error_NKA: Tensor, weight_NA: Tensor, plans: int = 1) -> Tensor:
    """Weighted mean error over the agents of each scene, mode by mode, over all its plans: N K."""
    total = weight_NA.sum(-1).clamp(min=1e-6)[:, None]
    return over_plans((error_NKA * weight_NA[:, None]).sum(-1) / total, plans)


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


def true_change(future_NAF2: Tensor, target_NA: Tensor, plans: int) -> tuple[Tensor, Tensor]:
    """How the truth changes from each plan to the one before it, B G A F 2, and whose is known, B 1 A."""
    truth = future_NAF2.unflatten(0, (-1, plans))
    known = target_NA.unflatten(0, (-1, plans)).amin(1, keepdim=True)
    return truth - truth.roll(1, 1), known


def affected(future_NAF2: Tensor, target_NA: Tensor, plans: int) -> Tensor:
    """1 for agents whose truth depends on the plan, under every plan of their scene: N A."""
    change, known = true_change(future_NAF2, target_NA, plans)
    far = (change.norm(dim=-1).amax((1, 3)) > AFFECTED_M)[:, None] * known
    return far.expand(-1, plans, -1).flatten(0, 1)


def plan_response(
    position_NKAF2: Tensor, future: Tensor, target_NA: Tensor, plans: int, share_BKA: Tensor
) -> Tensor:
    """How wrongly the forecast changes from plan to plan, per agent and step (m), of those who can be learned
    from (`target`).

    The change of those who are truly affected should be the true one, in each mode by its `share` (they sum
    to 1 over the modes). Who truly stays as he is under two plans should stay so in every mode, and above all
    in the two that move most. Each of the two counts as a mean over its own agents: few are affected, and
    they are what it is about.
    """
    position = position_NKAF2.unflatten(0, (-1, plans))
    moved = position - position.roll(1, 1)
    truly, known = true_change(future, target_NA, plans)
    farthest = truly.norm(dim=-1).amax(-1)  # B G A
    concerned = (farthest > AFFECTED_M) * known
    still = (farthest < STILL_M) * known
    wrong = torch.sqrt(((moved - truly[:, :, None]) ** 2).sum(-1) + 1e-4).mean(-1) - 1e-2  # B G K A
    response = ((wrong * share_BKA[:, None]).sum(2) * concerned).sum() / concerned.sum().clamp(min=1.0)
    stray = torch.sqrt((moved**2).sum(-1) + 1e-4) - 1e-2
    worst = torch.relu(stray.amax(-1) - STEADY_M).topk(min(2, stray.shape[2]), dim=2).values.mean(2)
    steadiness = ((stray.mean(-1).mean(2) + WORST * worst) * still).sum() / still.sum().clamp(min=1.0)
    return response + STEADY * steadiness


def hazard(logit_BAF: Tensor, step_BA: Tensor, known_BA: Tensor) -> Tensor:
    """-log probability of the step in which it happened (-1: never), from the hazards of the steps."""
    steps = torch.arange(logit_BAF.shape[-1], device=logit_BAF.device)
    never = step_BA < 0
    survived = (steps < step_BA[..., None]) | never[..., None]
    happened = (steps == step_BA[..., None]) & ~never[..., None]
    log_p = survived * torch.nn.functional.logsigmoid(-logit_BAF)
    log_p = log_p + happened * torch.nn.functional.logsigmoid(logit_BAF)
    return -(log_p.sum(-1) * known_BA).sum() / known_BA.sum().clamp(min=1.0)


def exists(logit_BA: Tensor, exists_BA: Tensor, known_BA: Tensor) -> Tensor:
    """Cross-entropy of the existence."""
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logit_BA, exists_BA, reduction="none")
    return (cross * known_BA).sum() / known_BA.sum().clamp(min=1.0)


def occupancy(raw: Tensor, occupied: Tensor, flow: Tensor) -> Tensor:
    """Focal cross-entropy of the cells (Lin et al. 2017, gamma 2), and the flow's error where occupied."""
    logit = raw[..., 0].float()
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logit, occupied, reduction="none")
    wrong = torch.where(occupied > 0, torch.sigmoid(-logit), torch.sigmoid(logit))
    focal = (wrong.detach() ** 2 * cross).sum() / len(raw)
    miss = (raw[..., 1:].float() - flow).abs().sum(-1) * occupied
    return focal / 100 + 0.1 * miss.sum() / occupied.sum().clamp(min=1.0)


def effective_rank(latent_ND: Tensor) -> float:
    """How many directions live: exp of the singular values' entropy (Roy and Vetterli 2007)."""
    values = torch.linalg.svdvals(latent_ND - latent_ND.mean(0))
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))
