"""Relative-pose attention: tokens look at each other through their relative pose alone.

Dense and masked with float masks, static shapes, no gather or scatter: it exports as it is.
Shape suffixes: B scenes, Q queries, N context tokens, H heads, D channels, C = D / H, K modes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MASKED = 1e4  # subtracted from the score of a masked token; fits into fp16

RELATIVE_CHANNELS = 9


def relative_pose(pose_BQ4: Tensor, pose_BN4: Tensor, velocity_BQ2: Tensor, velocity_BN2: Tensor) -> Tensor:
    """Pose and velocity of every context token in every query's frame: B Q N 9.

    Poses are x, y, cos, sin in one scene frame; velocities are in each token's own frame.
    Channels: position / 10 m, log distance, nearness, cos and sin of the heading difference, relative
    velocity, closing speed.
    """
    delta = pose_BN4[:, None, :, :2] - pose_BQ4[:, :, None, :2]
    cos, sin = pose_BQ4[:, :, None, 2], pose_BQ4[:, :, None, 3]
    x = delta[..., 0] * cos + delta[..., 1] * sin
    y = delta[..., 1] * cos - delta[..., 0] * sin
    other_cos, other_sin = pose_BN4[:, None, :, 2], pose_BN4[:, None, :, 3]
    cos_d = cos * other_cos + sin * other_sin
    sin_d = cos * other_sin - sin * other_cos
    vx, vy = velocity_BN2[:, None, :, 0], velocity_BN2[:, None, :, 1]
    rvx = vx * cos_d - vy * sin_d - velocity_BQ2[:, :, None, 0]
    rvy = vx * sin_d + vy * cos_d - velocity_BQ2[:, :, None, 1]
    distance = torch.sqrt(x * x + y * y + 1e-4)
    closing = -(x * rvx + y * rvy) / distance
    features = [x / 10, y / 10, torch.log1p(distance), torch.exp(-distance / 2)]
    return torch.stack([*features, cos_d, sin_d, rvx, rvy, closing], dim=-1)


class RelativeAttention(nn.Module):
    """Multi-head attention whose keys and values depend on the relative pose of the pair."""

    def __init__(self, dim: int, heads: int, edge_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.edge_key_value = nn.Linear(edge_dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        # Each head starts with its own reach (decay per metre), so that a crowd larger than any seen in
        # training does not drown the neighbours.
        self.decay = nn.Parameter(torch.linspace(-2.0, 0.5, heads))

    def forward(
        self, x_BKQD: Tensor, context_BKND: Tensor, edge_BQNE: Tensor, distance_BQN: Tensor, mask_BN: Tensor
    ) -> Tensor:
        """K is any number of modes that share the relative poses (1 where there are none)."""
        b, k, q, d = x_BKQD.shape
        n = context_BKND.shape[2]
        h, c = self.heads, d // self.heads
        query = self.query(x_BKQD).view(b, k, q, h, c)
        key, value = self.key_value(context_BKND).view(b, k, n, 2, h, c).unbind(3)
        edge_key, edge_value = self.edge_key_value(edge_BQNE).view(b, q, n, 2, h, c).unbind(3)
        # Scores B Q H K N: one batched product a pair of (scene, query, head) against its own edges.
        by_pose = query.permute(0, 2, 3, 1, 4) @ edge_key.permute(0, 1, 3, 4, 2)
        by_token = query.permute(0, 1, 3, 2, 4) @ key.permute(0, 1, 3, 4, 2)  # B K H Q N
        score = by_token + by_pose.permute(0, 3, 2, 1, 4)
        near = nn.functional.softplus(self.decay)[:, None, None] * distance_BQN[:, None, None]
        score = score * (c**-0.5) - near + (mask_BN[:, None, None, None, :] - 1) * MASKED
        # Where every token is masked the softmax spreads over the padding: the mask takes that back.
        weight = torch.softmax(score, dim=-1) * mask_BN[:, None, None, None, :]
        out = weight @ value.permute(0, 1, 3, 2, 4)  # B K H Q C
        posed = weight.permute(0, 3, 2, 1, 4) @ edge_value.permute(0, 1, 3, 2, 4)  # B Q H K C
        out = out.permute(0, 1, 3, 2, 4) + posed.permute(0, 3, 1, 2, 4)
        return self.out(out.reshape(b, k, q, d))


class RelativeLayer(nn.Module):
    """Pre-norm attention and feed-forward, both residual."""

    def __init__(self, dim: int, heads: int, edge_dim: int, widen: int = 2) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(dim)
        self.norm_context = nn.LayerNorm(dim)
        self.attention = RelativeAttention(dim, heads, edge_dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, widen * dim), nn.ReLU(), nn.Linear(widen * dim, dim)
        )

    def forward(self, x: Tensor, context: Tensor, edge: Tensor, distance: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attention(self.norm_query(x), self.norm_context(context), edge, distance, mask)
        return x + self.feed_forward(x)


def distances(pose_BQ4: Tensor, pose_BN4: Tensor) -> Tensor:
    """Metres between every query and every context token: B Q N."""
    delta = pose_BN4[:, None, :, :2] - pose_BQ4[:, :, None, :2]
    return torch.sqrt((delta**2).sum(-1) + 1e-4)
