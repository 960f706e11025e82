"""Dynamics: the latent of now to the latents of all horizons at once, mode by mode.

The future is cut into chunks; the latent of chunk j predicts what the encoder would see at its end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drivewm.attention import RelativeLayer


class Horizons(nn.Module):
    """Predicted latents of every chunk, as residuals of the mode's latent: B K A D -> B K A J D."""

    def __init__(self, *, dim: int, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks
        self.residual = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, chunks * dim)
        )

    def forward(self, h_BKAD: Tensor) -> Tensor:
        step = self.residual(h_BKAD)
        return h_BKAD[..., None, :] + step.unflatten(-1, (self.chunks, -1))


class Reactions(nn.Module):
    """Within each mode and chunk the agents look at each other: who gives way to whom who gives way."""

    def __init__(self, *, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RelativeLayer(dim, heads, dim) for _ in range(layers))

    def forward(self, latent_BKAJD: Tensor, edge_BAAD: Tensor, apart_BAA: Tensor, mask_BA: Tensor) -> Tensor:
        modes, chunks = latent_BKAJD.shape[1], latent_BKAJD.shape[3]
        h = latent_BKAJD.movedim(3, 2).flatten(1, 2)  # B (K J) A D
        for layer in self.layers:
            h = layer(h, h, edge_BAAD, apart_BAA, mask_BA)
        return h.unflatten(1, (modes, chunks)).movedim(2, 3)


class ModeQueries(nn.Module):
    """One latent an agent and mode from the agent's latent: the mode's code modulates it (AdaLN)."""

    def __init__(self, *, dim: int, widen: int = 2) -> None:
        super().__init__()
        self.modulate = nn.Linear(dim, 2 * dim)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.mix = nn.Sequential(nn.Linear(dim, widen * dim), nn.ReLU(), nn.Linear(widen * dim, dim))

    def forward(self, z_BAD: Tensor, code: Tensor) -> Tensor:
        """`code` is K D (the same for all agents) or B K A D."""
        if code.dim() == 2:
            code = code[None, :, None]
        scale, shift = self.modulate(code).chunk(2, dim=-1)
        modulated = self.norm(z_BAD)[:, None] * (1 + scale) + shift
        return z_BAD[:, None] + self.mix(modulated)


class JointDynamics(nn.Module):
    """K futures of the whole scene: within a mode the agents look at each other, so that they agree."""

    def __init__(self, *, dim: int, heads: int, modes: int, layers: int) -> None:
        super().__init__()
        self.code = nn.Parameter(torch.randn(modes, dim))
        self.query = ModeQueries(dim=dim)
        self.layers = nn.ModuleList(RelativeLayer(dim, heads, dim) for _ in range(layers))
        self.logit = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(
        self, z_BAD: Tensor, edge_BAAD: Tensor, apart_BAA: Tensor, mask_BA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mode latents B K A D and scene-mode logits B K."""
        h = self.query(z_BAD, self.code)
        for layer in self.layers:
            h = layer(h, h, edge_BAAD, apart_BAA, mask_BA)
        weight = mask_BA[:, None, :, None]
        pooled = (h * weight).sum(2) / weight.sum(2).clamp(min=1.0)
        return h, self.logit(pooled)[..., 0]


class MarginalDynamics(nn.Module):
    """M candidate futures of each agent by itself, started from anchors (typical futures of its kind)."""

    def __init__(self, *, dim: int, candidates: int, steps: int) -> None:
        super().__init__()
        self.code = nn.Parameter(torch.randn(candidates, dim))
        self.anchor = nn.Linear(2 * steps, dim)
        self.query = ModeQueries(dim=dim)
        self.logit = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, z_BAD: Tensor, anchors_BMAF2: Tensor) -> tuple[Tensor, Tensor]:
        """Candidate latents B M A D and logits B M A."""
        code = self.code[None, :, None] + self.anchor(anchors_BMAF2.flatten(3))
        h = self.query(z_BAD, code)
        return h, self.logit(h)[..., 0]
