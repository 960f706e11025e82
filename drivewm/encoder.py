"""Encoder: histories and map to one latent an agent, the state of the street now."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drivewm.attention import RELATIVE_CHANNELS, RelativeLayer, distances, relative_pose
from drivewm.features import ATTRIBUTES, HISTORY_CHANNELS, LINE_CHANNELS, LINE_KINDS, LINE_POINTS


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Encoder(nn.Module):
    """Per-agent latents z from all agents' histories, seen through relative poses, and the map."""

    def __init__(self, *, dim: int, heads: int, layers: int, slots: int, use_map: bool) -> None:
        super().__init__()
        self.use_map = use_map
        self.history = mlp(slots * (HISTORY_CHANNELS + 1) + ATTRIBUTES, 2 * dim, dim)
        self.edge = mlp(RELATIVE_CHANNELS, dim, dim)
        self.social = nn.ModuleList(RelativeLayer(dim, heads, dim) for _ in range(layers))
        if use_map:
            self.line = mlp(LINE_POINTS * LINE_CHANNELS + LINE_KINDS, 2 * dim, dim)
            self.line_edge = mlp(RELATIVE_CHANNELS, dim, dim)
            self.road = RelativeLayer(dim, heads, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Latents B A D, and the agents' relative poses for the dynamics: embedding B A A D, metres B A A."""
        history = torch.cat([inputs["history"], inputs["history_mask"][..., None]], dim=-1)
        token = self.history(torch.cat([history.flatten(2), inputs["attributes"]], dim=-1))[:, None]
        pose, velocity = inputs["agent_pose"], inputs["agent_velocity"]
        edge = self.edge(relative_pose(pose, pose, velocity, velocity))
        apart = distances(pose, pose)
        if self.use_map:
            token = self._look_at_map(token, inputs)
        for layer in self.social:
            token = layer(token, token, edge, apart, inputs["agent_mask"])
        return self.norm(token[:, 0]), edge, apart

    def _look_at_map(self, token: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        line = self.line(torch.cat([inputs["lines"].flatten(2), inputs["line_kind"]], dim=-1))
        still = torch.zeros_like(inputs["line_pose"][..., :2])
        edge = self.line_edge(
            relative_pose(inputs["agent_pose"], inputs["line_pose"], inputs["agent_velocity"], still)
        )
        apart = distances(inputs["agent_pose"], inputs["line_pose"])
        return self.road(token, line[:, None], edge, apart / 4, inputs["line_mask"])
