"""Where anybody is and will be, tracked or not: occupancy and flow on the bird's-eye grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drivewm.bev import OCCUPANCY_LAYERS, OCCUPANCY_TIMES_S, BevSpec
from drivewm.bev_encoder import FINE, GridPlace, block, down, splat, twice
from drivewm.features import LINE_KINDS, LINE_POINTS

EMPTY_LOGIT = -5.0
LINE = 8  # channels in which the map is drawn
PER_LAYER = 3  # logit of occupancy, flow forward and left


class OccupancyHead(nn.Module):
    """Logits and flow B Q T H W 3 from the map of features, the agents' latents and the lines of the map."""

    def __init__(self, spec: BevSpec, dim: int) -> None:
        super().__init__()
        self.place = GridPlace(spec)
        self.cells = (spec.shape[1] // 2, spec.shape[2] // 2)
        self.agent = nn.Linear(dim, FINE)
        self.line = nn.Linear(LINE_KINDS, LINE)
        self.fine = nn.Conv2d(2 * FINE + LINE, FINE, 1)
        self.middle = down(FINE, 2 * FINE)
        self.middle_block = block(2 * FINE)
        self.coarse = down(2 * FINE, 3 * FINE)
        self.coarse_block = block(3 * FINE)
        self.to_middle = nn.Conv2d(3 * FINE, 2 * FINE, 1)
        self.to_fine = nn.Conv2d(2 * FINE, FINE, 1)
        self.smooth = nn.Sequential(nn.Conv2d(FINE, FINE, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(FINE, len(OCCUPANCY_LAYERS) * len(OCCUPANCY_TIMES_S) * PER_LAYER, 1)
        with torch.no_grad():  # nearly all cells are empty
            self.out.bias.view(-1, PER_LAYER)[:, 0].fill_(EMPTY_LOGIT)  # type: ignore[union-attr]

    def forward(self, features_BCHW: Tensor, latent_BAD: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        pose = inputs["bev_pose"]
        u, v = self.place(inputs["agent_pose"][..., :2], pose)
        agents = splat(self.agent(latent_BAD), u, v, inputs["agent_mask"], self.cells)
        lines = self._lines(inputs, pose)
        fine = torch.relu(self.fine(torch.cat([features_BCHW, agents, lines], dim=1)))
        middle = self.middle(fine)
        middle = middle + self.middle_block(middle)
        coarse = self.coarse(middle)
        coarse = coarse + self.coarse_block(coarse)
        middle = middle + twice(self.to_middle(coarse))
        raw = self.out(self.smooth(fine + twice(self.to_fine(middle))))
        b, _, h, w = raw.shape
        return raw.view(b, len(OCCUPANCY_LAYERS), len(OCCUPANCY_TIMES_S), PER_LAYER, h, w).permute(
            0, 1, 2, 4, 5, 3
        )

    def _lines(self, inputs: dict[str, Tensor], pose: Tensor) -> Tensor:
        """The map drawn on the grid, on cells of twice the size: B LINE H W."""
        line, frame = inputs["lines"], inputs["line_pose"]
        cos, sin = frame[..., None, 2], frame[..., None, 3]
        x = frame[..., None, 0] + cos * line[..., 0] - sin * line[..., 1]
        y = frame[..., None, 1] + sin * line[..., 0] + cos * line[..., 1]
        u, v = self.place(torch.stack([x, y], -1).flatten(1, 2), pose)
        token = self.line(inputs["line_kind"])[:, :, None].expand(-1, -1, LINE_POINTS, -1).flatten(1, 2)
        mask = inputs["line_mask"][:, :, None].expand(-1, -1, LINE_POINTS).flatten(1, 2)
        return twice(splat(token, u, v, mask, (self.cells[0] // 2, self.cells[1] // 2)))
