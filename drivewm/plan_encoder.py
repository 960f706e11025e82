"""The ego's plan as the agents see it: for each chunk of the future, what is planned up to its end.

Nothing of a plan reaches a chunk that ends before it: people cannot react to what the car has not done yet.
Shape suffixes: B scenes, G plans, A agents, F steps, J chunks, E channels of the plan.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PLAN_CHANNELS = 11
HEADS = 4
MASKED = 1e4


def plan_seen(
    plan_BGF4: Tensor, mask_BGF: Tensor, pose_BA4: Tensor, path_BKAF2: Tensor, step_s: float
) -> Tensor:
    """The planned places in each agent's own frame, seen from where it is now and from where it will be in
    each of its modes (`path`, in that frame too): B G K A F 11.

    Channels: position / 10 m, log distance, nearness, cos and sin of the heading difference; the same
    position as seen from the agent's place then (/ 10 m), nearness then; seconds / 5; mask.
    """
    delta = plan_BGF4[:, :, None, :, :2] - pose_BA4[:, None, :, None, :2]
    cos, sin = pose_BA4[:, None, :, None, 2], pose_BA4[:, None, :, None, 3]
    x = delta[..., 0] * cos + delta[..., 1] * sin
    y = delta[..., 1] * cos - delta[..., 0] * sin
    other_cos, other_sin = plan_BGF4[:, :, None, :, 2], plan_BGF4[:, :, None, :, 3]
    seconds = step_s * torch.arange(1, plan_BGF4.shape[2] + 1, device=plan_BGF4.device, dtype=x.dtype)
    ahead_x = x[:, :, None] - path_BKAF2[:, None, ..., 0]  # B G K A F
    ahead_y = y[:, :, None] - path_BKAF2[:, None, ..., 1]
    distance = torch.sqrt(x * x + y * y + 1e-4)
    then = torch.sqrt(ahead_x * ahead_x + ahead_y * ahead_y + 1e-4)
    now = [
        x / 10,
        y / 10,
        torch.log1p(distance),
        torch.exp(-distance / 4),
        cos * other_cos + sin * other_sin,
        cos * other_sin - sin * other_cos,
    ]
    channels = [
        *(channel[:, :, None].expand_as(then) for channel in now),
        ahead_x / 10,
        ahead_y / 10,
        torch.exp(-then / 4),
        (seconds / 5).expand_as(then),
        torch.ones_like(then),
    ]
    return torch.stack(channels, dim=-1) * mask_BGF[:, :, None, None, :, None]


def straight_on(velocity_BA2: Tensor, steps: int, step_s: float) -> Tensor:
    """Where everybody is at the steps who keeps his velocity, as the one mode of a path: B 1 A F 2."""
    seconds = step_s * torch.arange(1, steps + 1, device=velocity_BA2.device, dtype=velocity_BA2.dtype)
    return (velocity_BA2[:, :, None] * seconds[:, None])[:, None]


class PlanPrefixes(nn.Module):
    """One code an agent, mode and chunk from the plan's steps up to the chunk's end: B G K A J E."""

    allowed: Tensor
    last: Tensor

    def __init__(self, *, width: int, steps: int, chunks: int, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s
        self.step = nn.Sequential(
            nn.Linear(PLAN_CHANNELS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.score = nn.Linear(width, HEADS)
        self.recent = nn.Parameter(torch.zeros(HEADS, chunks, steps))
        self.out = nn.Linear((HEADS + 1) * width, width)
        end = (torch.arange(chunks) + 1) * (steps // chunks)
        allowed = torch.arange(steps)[None] < end[:, None]
        self.register_buffer("allowed", allowed.float(), persistent=False)
        self.register_buffer("last", nn.functional.one_hot(end - 1, steps).float(), persistent=False)

    def forward(self, plan: Tensor, mask_BGF: Tensor, pose: Tensor, path_BKAF2: Tensor) -> Tensor:
        """`path` is where the agents will be in each mode, in their own frames."""
        plans, modes = plan.shape[1], path_BKAF2.shape[1]
        seen = plan_seen(plan, mask_BGF, pose, path_BKAF2, self.step_s)
        step_BNAFE = self.step(seen.flatten(1, 2))  # N = G K
        mask_BNF = mask_BGF.repeat_interleave(modes, 1)
        score = self.score(step_BNAFE).movedim(-1, -2)[..., None, :]  # B N A H 1 F
        usable = self.allowed * mask_BNF[:, :, None, None, None]  # B N 1 1 J F
        weight = torch.softmax(score + self.recent + (usable - 1) * MASKED, dim=-1) * usable
        pooled = weight @ step_BNAFE[..., None, :, :]  # B N A H J E
        at_end = (self.last * mask_BNF[:, :, None, None]) @ step_BNAFE  # B N A J E
        code = torch.cat([pooled.movedim(-3, -2).flatten(-2), at_end], dim=-1)
        # Of the null plan nothing is left but zeros.
        code = self.out(code) * usable[:, :, :, 0].amax(-1, keepdim=True)
        return code.unflatten(1, (plans, modes))


class Awareness(nn.Module):
    """How far an agent minds the ego at all, by what it is and does: a factor on the gate of a plan.

    Where the ego will be says nothing of whether somebody on another road, or a car that turns off before,
    has anything to do with it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mind = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))

    def forward(self, latent: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.mind(latent))


class PlanEffect(nn.Module):
    """What the plan changes in the latents of the future, mode by mode; the null plan changes nothing."""

    def __init__(self, *, dim: int, width: int, aware: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * dim)
        self.mix = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.gate = nn.Linear(width, dim, bias=False)
        self.aware = Awareness(dim) if aware else None

    def forward(self, latent_BKAJD: Tensor, prefix: Tensor) -> Tensor:
        """Modes of every plan, plan by plan, B (G K) A J D, from its prefixes, B G K (or 1) A J E."""
        scale, shift = self.modulate(prefix).chunk(2, dim=-1)
        latent = self.norm(latent_BKAJD)[:, None]
        changed = self.mix(latent * (1 + scale) + shift)
        # A null plan has a zero prefix, hence a closed gate: it changes nothing.
        gate = self.gate(prefix)
        if self.aware is not None:
            gate = gate * self.aware(latent)
        return (latent_BKAJD[:, None] + changed * torch.tanh(gate)).flatten(1, 2)


class PlanShift(nn.Module):
    """The same for many candidates at a fraction of the cost.

    All candidates' latents of an agent are scaled and shifted alike; the decoder makes of it what it means
    for each.
    """

    def __init__(self, *, dim: int, width: int, aware: bool) -> None:
        super().__init__()
        self.modulate = nn.Sequential(nn.Linear(dim + width, dim), nn.ReLU(), nn.Linear(dim, 2 * dim))
        self.gate = nn.Linear(width, 2 * dim, bias=False)
        self.aware = Awareness(dim) if aware else None

    def forward(self, latent_BMAJD: Tensor, z_BAD: Tensor, prefix_BGAJE: Tensor) -> Tensor:
        """Candidates of every plan, plan by plan: B (G M) A J D."""
        g, j = prefix_BGAJE.shape[1], prefix_BGAJE.shape[3]
        agent = z_BAD[:, None, :, None].expand(-1, g, -1, j, -1)
        gate = self.gate(prefix_BGAJE)
        if self.aware is not None:
            aware = self.aware(z_BAD)[:, None, :, None]
            gate = gate * torch.cat([aware, aware], dim=-1)
        change = self.modulate(torch.cat([agent, prefix_BGAJE], dim=-1)) * torch.tanh(gate)
        scale, shift = change[:, :, None].chunk(2, dim=-1)
        # One pass over the largest tensor of the network.
        return torch.addcmul(shift, latent_BMAJD[:, None], 1 + scale).flatten(1, 2)
