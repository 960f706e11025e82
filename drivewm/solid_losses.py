"""Losses that keep the futures of one mode possible: bodies do not share a place, wheels stay on lanes.

Shape suffixes: N futures (of B scenes under G plans), K modes, A agents, F steps, P pieces of map, L points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from drivewm.features import KINDS
from drivewm.types import DEFAULT_SIZE, LineKind

EVERY = 2  # of so many steps one is looked at
ON_FOOT_RADIUS_M = 0.25
DISCS = (-0.33, 0.0, 0.33)  # along a body, in shares of its length
OFF_LANE_M = 1.4  # from the nearest point of a lane's centre: half of a narrow lane
FARTHEST_M = 5.0  # beyond this further off costs no more: the map that the model sees ends somewhere
MOVED_M = 0.2
NEAR_M = 2.0  # widths of two bodies, generously


def in_scene(position_NKAF2: Tensor, pose_NA4: Tensor) -> Tensor:
    """Positions in each agent's frame, written in the scene's."""
    x, y = position_NKAF2[..., 0], position_NKAF2[..., 1]
    cos, sin = pose_NA4[:, None, :, None, 2], pose_NA4[:, None, :, None, 3]
    x, y = cos * x - sin * y, sin * x + cos * y
    return torch.stack([x, y], -1) + pose_NA4[:, None, :, None, :2]


def discs(path_NKAF2: Tensor, pose_NA4: Tensor, length_NA: Tensor) -> Tensor:
    """Centres of three discs along every body at every step: N K A F 3 2.

    A body points the way it went since the step before, or where it points now while it has hardly moved.
    """
    start = pose_NA4[:, None, :, None, :2].expand_as(path_NKAF2[..., :1, :])
    went = (path_NKAF2 - torch.cat([start, path_NKAF2[..., :-1, :]], dim=-2)).detach()
    way = torch.sqrt((went**2).sum(-1, keepdim=True) + 1e-9)
    now = pose_NA4[:, None, :, None, 2:].expand_as(went)
    ahead = torch.where(way > MOVED_M, went / way, now)
    offset = length_NA[:, None, :, None, None, None] * torch.tensor(DISCS, device=way.device)[:, None]
    return path_NKAF2[..., None, :] + offset * ahead[..., None, :]


def bodies(inputs: dict[str, Tensor], plans: int) -> tuple[Tensor, Tensor, Tensor]:
    """Length along which the discs lie, radius of each, and pose, of every future: N A, N A, N A 4."""
    kind, size = inputs["attributes"][..., :KINDS], inputs["attributes"][..., KINDS : KINDS + 2]
    usual = kind @ torch.tensor(DEFAULT_SIZE, dtype=kind.dtype, device=kind.device)
    size = torch.where(size > 0, size, usual)
    wheels = 1 - kind[..., 0]
    radius = wheels * size[..., 1] / 2 + (1 - wheels) * ON_FOOT_RADIUS_M
    repeated = (size[..., 0] * wheels, radius, inputs["agent_pose"])
    length, radius, pose = (x.repeat_interleave(plans, 0) for x in repeated)
    return length, radius, pose


def overlap(position_NKAF2: Tensor, inputs: dict[str, Tensor], plans: int) -> Tensor:
    """How deep bodies of one mode are inside each other (m), a step, summed over pairs, per agent.

    Pairs that touch now are left out: they got there by noise, or walk arm in arm.
    """
    length, radius, pose = bodies(inputs, plans)
    mask = inputs["agent_mask"].repeat_interleave(plans, 0)
    path = in_scene(position_NKAF2[..., EVERY - 1 :: EVERY, :], pose)
    row, one, other = _near_pairs(path.detach(), mask, length)
    if len(row) == 0:
        return position_NKAF2.new_zeros(())
    reach = (radius[row, one] + radius[row, other])[:, None, None]
    now = discs(pose[:, None, :, None, :2], pose, length)
    apart = (_gap(now[row, :, one], now[row, :, other], reach).amin((1, 2)) > 0).float()
    body = discs(path, pose, length)
    depth = torch.relu(-_gap(body[row, :, one], body[row, :, other], reach))
    return (depth.mean((1, 2)) * apart).sum() / mask.sum().clamp(min=1.0)


def _near_pairs(path_NKAF2: Tensor, mask_NA: Tensor, length_NA: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Futures and pairs of agents (the first before the second) whose middles come near in any mode."""
    middle = path_NKAF2.movedim(2, 3).flatten(1, 2)  # N (K F) A 2
    nearest = torch.cdist(middle, middle).amin(1)
    reach = (length_NA[:, :, None] + length_NA[:, None]) / 2 + NEAR_M
    pair = (nearest < reach) & (mask_NA[:, :, None] * mask_NA[:, None] > 0)
    row, one, other = torch.nonzero(torch.triu(pair, diagonal=1), as_tuple=True)
    return row, one, other


def _gap(one_MKFD2: Tensor, other_MKFD2: Tensor, reach_M11: Tensor) -> Tensor:
    """The smallest gap between the discs of two bodies: M K F, negative where they overlap."""
    square = ((one_MKFD2[..., :, None, :] - other_MKFD2[..., None, :, :]) ** 2).sum(-1)
    return torch.sqrt(square.amin((-1, -2)).clamp(min=1e-4)) - reach_M11


def off_lane(
    position_NKAF2: Tensor, future_NAF2: Tensor, target_NA: Tensor, inputs: dict[str, Tensor], plans: int
) -> Tensor:
    """How far vehicles are off the lanes (m beyond half a lane), per vehicle that truly stays on them."""
    vehicle = inputs["attributes"][..., 2].repeat_interleave(plans, 0) * target_NA
    lane = inputs["line_mask"] * inputs["line_kind"][..., int(LineKind.LANE_CENTER)]
    row, agent = torch.nonzero(vehicle > 0, as_tuple=True)
    scene = torch.div(row, plans, rounding_mode="floor")
    keep = lane[scene].sum(-1) > 0
    row, agent, scene = row[keep], agent[keep], scene[keep]
    if len(row) == 0:
        return position_NKAF2.new_zeros(())
    points, known = _lane_points(inputs, lane)
    pose = inputs["agent_pose"][scene, agent][:, None]  # V 1 4
    steps = slice(EVERY - 1, None, EVERY)
    path = in_scene(position_NKAF2[row, :, agent][:, :, None, steps], pose)[:, :, 0]  # V K F 2
    truth = in_scene(future_NAF2[row, agent][:, None, None, steps], pose)[:, :, 0]  # V 1 F 2
    stays = (_to_lane(truth, points[scene], known[scene]) < OFF_LANE_M).all(-1).all(-1).float()
    beyond = torch.relu(_to_lane(path, points[scene], known[scene]) - OFF_LANE_M).clamp(max=FARTHEST_M)
    return (beyond.mean((1, 2)) * stays).sum() / stays.sum().clamp(min=1.0)


def _lane_points(inputs: dict[str, Tensor], lane_BP: Tensor) -> tuple[Tensor, Tensor]:
    """Points of the lanes' centres in the scene frame, B (P L) 2, and which count."""
    line, frame = inputs["lines"], inputs["line_pose"]
    cos, sin = frame[..., None, 2], frame[..., None, 3]
    x = frame[..., None, 0] + cos * line[..., 0] - sin * line[..., 1]
    y = frame[..., None, 1] + sin * line[..., 0] + cos * line[..., 1]
    known = lane_BP[..., None].expand_as(x)
    return torch.stack([x, y], -1).flatten(1, 2), known.flatten(1, 2)


def _to_lane(path_VKF2: Tensor, points_VM2: Tensor, known_VM: Tensor) -> Tensor:
    """Metres to the nearest point of a lane's centre: V K F."""
    v, k, f, _ = path_VKF2.shape
    flat = path_VKF2.reshape(v, k * f, 2)
    square = (flat**2).sum(-1)[..., None] + (points_VM2**2).sum(-1)[:, None]
    square = square - 2 * flat @ points_VM2.transpose(1, 2) + (1 - known_VM)[:, None] * 1e6
    return torch.sqrt(square.amin(-1).clamp(min=1e-4)).view(v, k, f)
