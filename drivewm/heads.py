"""What is asked of each agent besides its motion: is it still there, and will it step on the road."""

from __future__ import annotations

from torch import Tensor, nn


def head(dim: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, outputs))


class StreetHeads(nn.Module):
    """Existence from the latent of now, the hazard of crossing from the latents of the future."""

    def __init__(self, *, dim: int, steps_per_chunk: int) -> None:
        super().__init__()
        self.exists = head(dim, 1)
        self.crossing = head(dim, steps_per_chunk)

    def forward(self, z_BAD: Tensor, latent_BGAJD: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of existence B A, and of the hazard in each step B G A F."""
        return self.exists(z_BAD)[..., 0], self.crossing(latent_BGAJD).flatten(-2)
