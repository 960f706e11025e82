"""Encoder: histories and map to one latent an agent, the state of the street now."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drivewm.attention import RELATIVE_CHANNELS, RelativeLayer, distances, relative_pose
from drivewm.bev import BevSpec
from drivewm.bev_encoder import BevEncoder, BevReader
from drivewm.context import ASPECTS
from drivewm.features import ATTRIBUTES, HISTORY_CHANNELS, LINE_CHANNELS, LINE_KINDS, LINE_POINTS


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Encoder(nn.Module):
    """Per-agent latents z from all agents' histories, seen through relative poses, and the map."""

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        layers: int,
        slots: int,
        use_map: bool,
        use_signals: bool = False,
        bev: BevSpec | None = None,
    ) -> None:
        super().__init__()
        self.use_map, self.use_signals = use_map, use_signals
        self.history = mlp(slots * (HISTORY_CHANNELS + 1) + ATTRIBUTES, 2 * dim, dim)
        self.edge = mlp(RELATIVE_CHANNELS, dim, dim)
        self.social = nn.ModuleList(RelativeLayer(dim, heads, dim) for _ in range(layers))
        if use_map:
            channels = LINE_POINTS * LINE_CHANNELS + LINE_KINDS + (ASPECTS if use_signals else 0)
            self.line = mlp(channels, 2 * dim, dim)
            self.line_edge = mlp(RELATIVE_CHANNELS, dim, dim)
            self.road = RelativeLayer(dim, heads, dim)
        self.bev = None if bev is None else BevEncoder(bev)
        self.bev_reader = None if bev is None else BevReader(bev, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Latents B A D; the agents' relative poses for the dynamics: embedding B A A D, metres B A A; and
        the map of bird's-eye features, None without."""
        history = torch.cat([inputs["history"], inputs["history_mask"][..., None]], dim=-1)
        token = self.history(torch.cat([history.flatten(2), inputs["attributes"]], dim=-1))[:, None]
        pose, velocity = inputs["agent_pose"], inputs["agent_velocity"]
        edge = self.edge(relative_pose(pose, pose, velocity, velocity))
        apart = distances(pose, pose)
        if self.use_map:
            token = self._look_at_map(token, inputs)
        grid = None
        # The view from the future, which is only a target, comes without a grid.
        if self.bev is not None and self.bev_reader is not None and "bev" in inputs:
            grid = self.bev(inputs["bev"], inputs["bev_mask"])
            there = inputs["bev_mask"].amax(-1)
            token = token + self.bev_reader(grid, inputs["bev_pose"], pose, there)[:, None]
        for layer in self.social:
            token = layer(token, token, edge, apart, inputs["agent_mask"])
        return self.norm(token[:, 0]), edge, apart, grid

    def _look_at_map(self, token: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        parts = [inputs["lines"].flatten(2), inputs["line_kind"]]
        line = self.line(torch.cat([*parts, inputs["line_signal"]] if self.use_signals else parts, dim=-1))
        still = torch.zeros_like(inputs["line_pose"][..., :2])
        edge = self.line_edge(
            relative_pose(inputs["agent_pose"], inputs["line_pose"], inputs["agent_velocity"], still)
        )
        apart = distances(inputs["agent_pose"], inputs["line_pose"])
        return self.road(token, line[:, None], edge, apart / 4, inputs["line_mask"])
