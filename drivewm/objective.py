"""The training objective: what a world model is asked for on one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy import ndarray
from torch import Tensor, nn

from drivewm import losses, solid_losses
from drivewm.batch import Batch, StreetTruth, Successors, tensors
from drivewm.features import KINDS
from drivewm.model import ModelOutputs, WorldModel
from drivewm.steadiness import unsteadiness


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
    # How much an agent of each kind counts (pedestrian, cyclist, vehicle): errors are in metres, and those of
    # vehicles are several times larger. Pedestrians who have to do with the road count more than others.
    kind_weight: tuple[float, float, float] = (1.0, 0.5, 0.35)
    meeting_weight: float = 3.0
    affected_weight: float = 4.0  # times so much where the truth depends on the plan
    response: float = 1.0  # of the forecast to the ego's plan, on branches
    exists: float = 0.1
    crossing: float = 0.2
    occupancy: float = 0.1
    overlap: float = 20.0  # bodies of one mode inside each other
    off_lane: float = 1.5  # vehicles beside the lanes
    steady: float = 0.5  # forecasts of two ticks for the same moment agree
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
    inputs = tensors(batch.inputs, device)
    out = model(inputs, batch.drawn)
    temperature = config.winner_temperature(progress)
    joint = losses.displacement(out.joint_position, future)
    marginal = losses.displacement(out.marginal_position, future)
    counts = target * _weights(batch, config, device)
    if batch.plans > 1:
        moved = losses.affected(future, target, batch.plans)
        counts = counts * (1 + (config.affected_weight - 1) * moved)
    terms = {
        "joint": config.joint * losses.best_of(joint, counts, temperature, True, batch.plans),
        "marginal": config.marginal * losses.best_of(marginal, counts, temperature, False, batch.plans),
    }
    total = counts.sum().clamp(min=1.0)
    middle = (marginal[:, 0].mean(-1) * counts).sum() + (joint[:, 0].mean(-1) * counts).sum()
    terms["central"] = config.central * middle / total
    # Likelihood shapes spread and probabilities only: the futures stay where the best-of loss puts them.
    modes = out.joint_logit.detach()[..., None].expand(-1, -1, future.shape[1])
    terms["nll"] = config.nll * (
        losses.mixture_nll(out.joint_position.detach(), out.joint_spread, modes, future, target)
        + losses.mixture_nll(
            out.marginal_position.detach(), out.marginal_spread, out.marginal_logit, future, target
        )
    )
    scene_error = losses.scene_error(joint.mean(-1), counts, batch.plans)
    marginal_error = losses.over_plans(marginal.mean(-1), batch.plans)
    terms["choice"] = config.choice * (
        losses.choice(out.joint_logit, scene_error, counts.sum(-1), config.choice_temperature)
        + losses.choice(out.marginal_logit, marginal_error, target, config.choice_temperature)
    )
    if batch.plans > 1 and config.response > 0:
        nearest = scene_error.argmin(1), marginal_error.argmin(1)
        terms["response"] = config.response * _response(out, future, target, batch.plans, *nearest)
    terms |= _possible_terms(out, inputs, batch, future, target, config)
    if batch.street is not None:
        terms |= _street_terms(out, batch.street, batch.plans, config)
    if config.latent > 0 and batch.plans == 1:  # the later view is that of the recording
        terms |= _latent_terms(out, scene_error, teacher, batch, later, config)
    loss = torch.stack(list(terms.values())).sum()
    return loss, {name: float(value.detach()) for name, value in terms.items()}


def _response(
    out: ModelOutputs, future: Tensor, target: Tensor, plans: int, mode_N: Tensor, candidate_NA: Tensor
) -> Tensor:
    """How wrongly joint modes and candidates answer the plan: half by those that came closest, half by all as
    they are probable."""
    agents = future.shape[1]
    mode = mode_N[::plans, None].expand(-1, agents)
    scene = torch.softmax(out.joint_logit[::plans].detach().float(), 1)[..., None].expand(-1, -1, agents)
    own = torch.softmax(out.marginal_logit[::plans].detach().float(), 1)
    joint = losses.plan_response(out.joint_position, future, target, plans, _half(mode, scene))
    return joint + losses.plan_response(
        out.marginal_position, future, target, plans, _half(candidate_NA[::plans], own)
    )


def _half(winner_BA: Tensor, share_BKA: Tensor) -> Tensor:
    chosen = torch.nn.functional.one_hot(winner_BA, share_BKA.shape[1]).movedim(-1, 1)
    return 0.5 * (chosen + share_BKA)


def _possible_terms(
    out: ModelOutputs,
    inputs: dict[str, Tensor],
    batch: Batch,
    future: Tensor,
    target: Tensor,
    config: ObjectiveConfig,
) -> dict[str, Tensor]:
    """Bodies apart, wheels on lanes, and forecasts that hold still."""
    terms = {}
    if config.overlap > 0:
        terms["overlap"] = config.overlap * solid_losses.overlap(out.joint_position, inputs, batch.plans)
    if config.off_lane > 0 and inputs["lines"].shape[1] > 0:
        away = solid_losses.off_lane(out.joint_position, future, target, inputs, batch.plans)
        terms["off_lane"] = config.off_lane * away
    if batch.successors is not None and config.steady > 0:
        terms["steady"] = config.steady * _unsteadiness(out, batch.successors, inputs["attributes"])
    return terms


def _weights(batch: Batch, config: ObjectiveConfig, device: torch.device) -> Tensor:
    """How much each agent counts, under every plan: N A."""
    kind = torch.from_numpy(batch.inputs.attributes[..., :KINDS]).to(device)
    weight = kind @ torch.tensor(config.kind_weight, device=device)
    if batch.street is not None:
        meeting = torch.from_numpy(batch.street.meeting).to(device)
        weight = torch.where(meeting, torch.full_like(weight, config.meeting_weight), weight)
    return weight.repeat_interleave(batch.plans, 0)


def _unsteadiness(out: ModelOutputs, after: Successors, attributes: Tensor) -> Tensor:
    """How far joint modes and candidates move between two ticks."""
    row, known, pose = (
        torch.from_numpy(a).to(out.latent.device) for a in (after.row, after.known, after.pose)
    )
    kind = attributes[: len(row), :, :KINDS]
    joint, marginal = (
        unsteadiness(position, row, known.float(), pose, kind)
        for position in (out.joint_position, out.marginal_position)
    )
    return joint + marginal


def _street_terms(
    out: ModelOutputs, street: StreetTruth, plans: int, config: ObjectiveConfig
) -> dict[str, Tensor]:
    """Existence, crossing and occupancy, where the model has heads for them."""
    device = out.latent.device

    def tensor(array: ndarray) -> Tensor:
        return torch.from_numpy(array).to(device).float()

    terms = {}
    if out.existence_logit is not None:
        known = tensor(street.exists_known)
        terms["exists"] = config.exists * losses.exists(out.existence_logit, tensor(street.exists), known)
    if out.crossing_logit is not None and plans == 1:  # the step is that of the recording
        known = tensor(street.crossing_known)
        crossing = losses.hazard(out.crossing_logit.float(), tensor(street.crossing), known)
        terms["crossing"] = config.crossing * crossing
    if out.occupancy is not None and street.occupied is not None and street.flow is not None:
        drawn = losses.occupancy(out.occupancy, tensor(street.occupied), tensor(street.flow))
        terms["occupancy"] = config.occupancy * drawn
    return terms


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
