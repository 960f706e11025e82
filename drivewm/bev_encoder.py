"""Bird's-eye features to what agents read at their own place and to where anybody is and will be.

Shape suffixes: B scenes, C channels, H cells forward, W cells to the left, N tokens, D channels of a token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drivewm.bev import BevSpec

FINE = 24  # channels of the map of features, one cell of it is two of the grid
AHEAD_M = (-2.0, 0.0, 2.0, 4.0, 8.0, 14.0)
BESIDE_M = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""Where an agent reads the features, in its own frame."""


def block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.GroupNorm(4, channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


def down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(4, outputs), nn.ReLU()
    )


class BevEncoder(nn.Module):
    """A pyramid of features; sensor channels enter through `adapter`, the only part that knows them.

    To use a stack's own features, give the model their number of channels, keep the other weights and
    train the adapter first.
    """

    def __init__(self, spec: BevSpec) -> None:
        super().__init__()
        self.adapter = nn.Conv2d(spec.shape[0], FINE, 4, stride=2, padding=1)
        self.known = nn.Linear(spec.shape[0], FINE)  # which channels are there
        self.middle = down(FINE, 2 * FINE)
        self.middle_block = block(2 * FINE)
        self.coarse = down(2 * FINE, 4 * FINE)
        self.coarse_block = block(4 * FINE)
        self.to_middle = nn.Conv2d(4 * FINE, 2 * FINE, 1)
        self.to_fine = nn.Conv2d(2 * FINE, FINE, 1)
        # No normalisation on the fine map: there it costs as much as the convolutions.
        self.smooth = nn.Sequential(nn.Conv2d(FINE, FINE, 3, padding=1), nn.ReLU())

    def forward(self, bev_BCHW: Tensor, mask_BC: Tensor) -> Tensor:
        """B FINE H/2 W/2."""
        # Channels beside each other in memory: a third faster on CPUs.
        seen = (bev_BCHW * mask_BC[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        fine = torch.relu(self.adapter(seen) + self.known(mask_BC)[:, :, None, None])
        middle = self.middle(fine)
        middle = middle + self.middle_block(middle)
        coarse = self.coarse(middle)
        coarse = coarse + self.coarse_block(coarse)
        middle = middle + twice(self.to_middle(coarse))
        return self.smooth(fine + twice(self.to_fine(middle)))


def twice(x: Tensor) -> Tensor:
    """Every cell as two by two."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


class BevReader(nn.Module):
    """What each agent finds around itself on the map of features: B A D, zero where there is no grid."""

    at: Tensor

    def __init__(self, spec: BevSpec, dim: int) -> None:
        super().__init__()
        self.place = GridPlace(spec)
        at = torch.cartesian_prod(torch.tensor(AHEAD_M), torch.tensor(BESIDE_M))
        self.register_buffer("at", at, persistent=False)
        self.out = nn.Sequential(nn.Linear(len(at) * FINE, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self, features_BCHW: Tensor, bev_pose_B4: Tensor, agent_pose_BA4: Tensor, there_B: Tensor
    ) -> Tensor:
        cos, sin = agent_pose_BA4[..., None, 2], agent_pose_BA4[..., None, 3]
        x = agent_pose_BA4[..., None, 0] + cos * self.at[:, 0] - sin * self.at[:, 1]
        y = agent_pose_BA4[..., None, 1] + sin * self.at[:, 0] + cos * self.at[:, 1]
        u, v = self.place(torch.stack([x, y], -1), bev_pose_B4)
        # grid_sample wants (column, row) in [-1, 1]; beyond the grid it reads zeros.
        where = torch.stack([2 * v - 1, 2 * u - 1], dim=-1).float()
        read = nn.functional.grid_sample(features_BCHW.float(), where, align_corners=False)  # B C A N
        return self.out(read.permute(0, 2, 3, 1).flatten(2)) * there_B[:, None, None]


class GridPlace(nn.Module):
    """Places of the scene on the grid: shares of its length (forward) and width (left), 0 to 1 inside."""

    def __init__(self, spec: BevSpec) -> None:
        super().__init__()
        self.x, self.y = spec.x_range, spec.y_range

    def forward(self, xy: Tensor, bev_pose_B4: Tensor) -> tuple[Tensor, Tensor]:
        pose = bev_pose_B4.reshape(-1, *([1] * (xy.dim() - 2)), 4)
        dx, dy = xy[..., 0] - pose[..., 0], xy[..., 1] - pose[..., 1]
        cos, sin = pose[..., 2], pose[..., 3]
        forward, left = dx * cos + dy * sin, dy * cos - dx * sin
        return (forward - self.x[0]) / (self.x[1] - self.x[0]), (left - self.y[0]) / (self.y[1] - self.y[0])


def splat(tokens_BND: Tensor, u_BN: Tensor, v_BN: Tensor, mask_BN: Tensor, cells: tuple[int, int]) -> Tensor:
    """Tokens written into the four cells around their place, by nearness: B D H W. No scatter: it exports."""
    h, w = cells
    rows = torch.arange(h, device=u_BN.device) + 0.5
    columns = torch.arange(w, device=u_BN.device) + 0.5
    by_row = torch.relu(1 - (u_BN[..., None] * h - rows).abs()) * mask_BN[..., None]  # B N H
    by_column = torch.relu(1 - (v_BN[..., None] * w - columns).abs())  # B N W
    # Rows first: tokens times rows are far fewer numbers than tokens times cells.
    in_rows = tokens_BND[..., None] * by_row[..., None, :].to(tokens_BND.dtype)  # B N D H
    drawn = in_rows.flatten(2).transpose(1, 2) @ by_column.to(tokens_BND.dtype)  # B (D H) W
    return drawn.unflatten(1, (-1, h))
