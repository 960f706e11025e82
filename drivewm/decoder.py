"""Decoder: predicted latents to motion, residual to a kinematic prior, in each agent's own frame.

Pedestrians integrate a velocity; cyclists and vehicles are unicycles (acceleration and curvature), so
that wheels do not slide sideways.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MAX_CURVATURE = 0.25  # 1/m, a turning circle of 4 m radius
MAX_LOG_SCALE = 3.0
MIN_LOG_SCALE = -4.0
START_MOST = (2.0, 2.0, 0.8)  # x, y (m) and heading (rad): no start is corrected by more


class Decoder(nn.Module):
    """Chunk latents B K A J D to positions B K A F 2 and spread B K A F 3: log sd x, y, correlation."""

    def __init__(self, *, dim: int, steps: int, chunks: int, step_s: float) -> None:
        super().__init__()
        self.per_chunk = steps // chunks
        self.step_s = step_s
        self.motion = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, self.per_chunk * 5))

    def forward(
        self,
        latent_BKAJD: Tensor,
        velocity_BA2: Tensor,
        wheels_BA: Tensor,
        offset: Tensor | None,
        start_BA3: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`offset` B K A F 2 is added to the path of those on foot (an anchor), or None; wheels start at
        `start_BA3` (x, y, yaw in the agent's frame) instead of its origin."""
        raw = self.motion(latent_BKAJD).float()  # paths are summed in full precision
        *lead, chunks, _ = raw.shape
        raw = raw.reshape(*lead, chunks * self.per_chunk, 5)
        walked = self._walk(raw[..., :2], velocity_BA2)
        if offset is not None:
            walked = walked + offset
        rolled = self._roll(raw[..., :2], velocity_BA2, start_BA3)
        wheels = wheels_BA[:, None, :, None, None]
        position = walked * (1 - wheels) + rolled * wheels
        log_sd = raw[..., 2:4].clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
        return position, torch.cat([log_sd, 0.9 * torch.tanh(raw[..., 4:5])], dim=-1)

    def _walk(self, control: Tensor, velocity_BA2: Tensor) -> Tensor:
        velocity = velocity_BA2[:, None, :, None] + control
        return torch.cumsum(velocity, dim=-2) * self.step_s

    def _roll(self, control: Tensor, velocity_BA2: Tensor, start_BA3: Tensor | None) -> Tensor:
        """Unicycle: speed never negative, heading changes by curvature times the way driven."""
        began = velocity_BA2[:, None, :, None, 0].clamp(min=0.0)
        speed = (began + torch.cumsum(control[..., 0], dim=-1) * self.step_s).clamp(min=0.0)
        way = speed * self.step_s
        bend = torch.tanh(control[..., 1]) * MAX_CURVATURE * way
        yaw = torch.cumsum(bend, dim=-1) - bend / 2  # heading in the middle of the step
        if start_BA3 is not None:
            yaw = yaw + start_BA3[:, None, :, None, 2]
        path = torch.stack(
            [torch.cumsum(way * torch.cos(yaw), -1), torch.cumsum(way * torch.sin(yaw), -1)], dim=-1
        )
        return path if start_BA3 is None else path + start_BA3[:, None, :, None, :2]


class Start(nn.Module):
    """Where wheels truly are and point, from what is known of them: B A D to B A 3 (x, y in m, yaw in rad).

    A tracker's place is off by decimetres and the direction of the last metres lags behind who turns. A
    unicycle that starts there slides off its lane before it can steer back.
    """

    most: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.correction = nn.Linear(dim, 3)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.register_buffer("most", torch.tensor(START_MOST), persistent=False)

    def forward(self, z_BAD: Tensor) -> Tensor:
        return torch.tanh(self.correction(z_BAD).float()) * self.most
