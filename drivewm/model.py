"""The world model: encoder, dynamics, decoder, put together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from drivewm.decoder import Decoder
from drivewm.dynamics import Horizons, JointDynamics, MarginalDynamics
from drivewm.encoder import Encoder
from drivewm.features import KINDS
from drivewm.timing import TimeGrid


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of a world model. A bundle stores it."""

    dim: int = 64
    heads: int = 4
    layers: int = 2  # social layers of the encoder
    joint_layers: int = 1  # social layers within a scene mode
    joint_modes: int = 6
    candidates: int = 20  # marginal futures of each agent
    chunks: int = 4  # latents over the horizon
    use_map: bool = True
    polylines: int = 64
    grid: TimeGrid = field(default_factory=TimeGrid)

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim must be a multiple of heads, got {self.dim} and {self.heads}")
        if self.grid.steps % self.chunks:
            raise ValueError(f"steps must be a multiple of chunks, got {self.grid.steps} and {self.chunks}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        grid = values["grid"]
        grid = TimeGrid(ages=tuple(grid["ages"]), step=grid["step"], steps=grid["steps"])
        return cls(**{**values, "grid": grid})


@dataclass(frozen=True)
class ModelOutputs:
    """Futures in each agent's own frame (origin at its position now, x along its heading).

    Axes: B scenes, K joint modes, M marginal candidates, A agents, F steps, J chunks, D channels.
    Spread is log sd x, log sd y, correlation.
    """

    joint_position: Tensor  # B K A F 2
    joint_spread: Tensor  # B K A F 3
    joint_logit: Tensor  # B K
    marginal_position: Tensor  # B M A F 2
    marginal_spread: Tensor  # B M A F 3
    marginal_logit: Tensor  # B M A
    latent: Tensor  # B A D, now
    joint_latent: Tensor  # B K A J D, predicted


class WorldModel(nn.Module):
    """Latents of now, latents of the future, motion."""

    anchors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c, grid = config, config.grid
        self.encoder = Encoder(
            dim=c.dim, heads=c.heads, layers=c.layers, slots=len(grid.ages), use_map=c.use_map
        )
        self.joint = JointDynamics(dim=c.dim, heads=c.heads, modes=c.joint_modes, layers=c.joint_layers)
        self.marginal = MarginalDynamics(dim=c.dim, candidates=c.candidates, steps=grid.steps)
        self.horizons = Horizons(dim=c.dim, chunks=c.chunks)
        self.decoder = Decoder(dim=c.dim, steps=grid.steps, chunks=c.chunks, step_s=grid.step)
        # Typical residuals to constant velocity by kind, in units of `stride`: k-means of the training set.
        self.register_buffer("anchors", torch.zeros(KINDS, c.candidates, grid.steps, 2))

    def forward(self, inputs: dict[str, Tensor]) -> ModelOutputs:
        kind, velocity = inputs["attributes"][..., :KINDS], inputs["agent_velocity"]
        wheels = kind[..., 1] + kind[..., 2]
        z, edge, apart = self.encoder(inputs)
        joint, joint_logit = self.joint(z, edge, apart, inputs["agent_mask"])
        joint_latent = self.horizons(joint)
        joint_position, joint_spread = self.decoder(joint_latent, velocity, wheels, None)
        anchors = self._anchors_of(kind)
        marginal, marginal_logit = self.marginal(z, anchors)
        offset = anchors * self.stride(velocity)[:, None, :, None, None]
        marginal_position, marginal_spread = self.decoder(self.horizons(marginal), velocity, wheels, offset)
        return ModelOutputs(
            joint_position,
            joint_spread,
            joint_logit,
            marginal_position,
            marginal_spread,
            marginal_logit,
            z,
            joint_latent,
        )

    def _anchors_of(self, kind_BA3: Tensor) -> Tensor:
        """B M A F 2: each agent's anchors by its kind."""
        # A weighted sum, not a matrix product: anchors stay in full precision under autocast.
        return (kind_BA3[:, None, :, :, None, None] * self.anchors.transpose(0, 1)[:, None]).sum(3)

    @staticmethod
    def stride(velocity_BA2: Tensor) -> Tensor:
        """The unit of the anchors in metres: faster people deviate further."""
        return 0.3 + torch.sqrt((velocity_BA2**2).sum(-1) + 1e-6)
