"""The world model: encoder, dynamics, decoder, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor, nn

from drivewm.bev import BevSpec
from drivewm.decoder import Decoder, Start
from drivewm.dynamics import Horizons, JointDynamics, MarginalDynamics, Reactions
from drivewm.encoder import Encoder
from drivewm.features import KINDS, InputSizes
from drivewm.heads import StreetHeads
from drivewm.occupancy import OccupancyHead
from drivewm.plan_encoder import PlanEffect, PlanPrefixes, PlanShift, straight_on
from drivewm.postprocess import output_names
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
    use_signals: bool = False
    use_plan: bool = False
    plan_width: int = 48  # channels of what is known of the plan up to a chunk's end
    plan_awareness: bool = False  # whether an agent's own latent opens the gate of a plan
    plan_by_mode: bool = False  # whether a plan is seen from each mode's own path, or from that straight on
    reaction_layers: int = 0  # social layers within each mode and chunk, after the plan
    start: bool = False  # whether wheels start from a corrected place and heading
    street_heads: bool = False  # existence and crossing
    bev: BevSpec | None = None  # the grid that is read; None: none
    occupancy: bool = False
    grid: TimeGrid = field(default_factory=TimeGrid)

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim must be a multiple of heads, got {self.dim} and {self.heads}")
        if self.grid.steps % self.chunks:
            raise ValueError(f"steps must be a multiple of chunks, got {self.grid.steps} and {self.chunks}")
        if self.occupancy and self.bev is None:
            raise ValueError("occupancy is forecast on the bird's-eye grid; give bev too")

    @property
    def sizes(self) -> InputSizes:
        """Which inputs the model takes."""
        return InputSizes(
            polylines=self.polylines,
            steps=self.grid.steps,
            signals=self.use_signals,
            plan=self.use_plan,
            bev=self.bev,
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the model answers, by the names of `ModelOutputs`."""
        return output_names(heads=self.street_heads, occupancy=self.occupancy)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        grid = values["grid"]
        grid = TimeGrid(ages=tuple(grid["ages"]), step=grid["step"], steps=grid["steps"])
        bev = values.get("bev")
        bev = None if bev is None else BevSpec.from_dict(bev)
        return cls(**{**values, "grid": grid, "bev": bev})


@dataclass(frozen=True)
class ModelOutputs:
    """Futures in each agent's own frame (origin at its position now, x along its heading).

    Axes: N = B G futures of B scenes under G plans (plans of a scene beside each other; G is 1 where a model
    takes no plan), K joint modes, M marginal candidates, A agents, F steps, J chunks, D channels. Spread is
    log sd x, log sd y, correlation. What happens in a mode depends on the plan, how probable it is does not:
    a mode is one way in which the people may be, the same under every plan.
    """

    joint_position: Tensor  # N K A F 2
    joint_spread: Tensor  # N K A F 3
    joint_logit: Tensor  # N K
    marginal_position: Tensor  # N M A F 2
    marginal_spread: Tensor  # N M A F 3
    marginal_logit: Tensor  # N M A
    latent: Tensor  # B A D, now
    joint_latent: Tensor  # N K A J D, predicted
    existence_logit: Tensor | None = None  # B A
    crossing_logit: Tensor | None = None  # N A F, of the hazard
    occupancy: Tensor | None = None  # B Q T H W 3: logit, flow forward and left (m)


class WorldModel(nn.Module):
    """Latents of now, latents of the future, motion."""

    anchors: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c, grid = config, config.grid
        self.encoder = Encoder(
            dim=c.dim,
            heads=c.heads,
            layers=c.layers,
            slots=len(grid.ages),
            use_map=c.use_map,
            use_signals=c.use_signals,
            bev=c.bev,
        )
        self.joint = JointDynamics(dim=c.dim, heads=c.heads, modes=c.joint_modes, layers=c.joint_layers)
        self.marginal = MarginalDynamics(dim=c.dim, candidates=c.candidates, steps=grid.steps)
        self.horizons = Horizons(dim=c.dim, chunks=c.chunks)
        self.prefixes, self.plan_effect, self.plan_shift = None, None, None
        if c.use_plan:
            self.prefixes = PlanPrefixes(
                width=c.plan_width, steps=grid.steps, chunks=c.chunks, step_s=grid.step
            )
            self.plan_effect = PlanEffect(dim=c.dim, width=c.plan_width, aware=c.plan_awareness)
            self.plan_shift = PlanShift(dim=c.dim, width=c.plan_width, aware=c.plan_awareness)
        self.reactions = None
        if c.reaction_layers:
            self.reactions = Reactions(dim=c.dim, heads=c.heads, layers=c.reaction_layers)
        self.heads = None
        if c.street_heads:
            self.heads = StreetHeads(dim=c.dim, steps_per_chunk=grid.steps // c.chunks)
        self.occupancy = OccupancyHead(c.bev, c.dim) if c.occupancy and c.bev is not None else None
        self.start = Start(c.dim) if c.start else None
        self.decoder = Decoder(dim=c.dim, steps=grid.steps, chunks=c.chunks, step_s=grid.step)
        # Typical residuals to constant velocity by kind, in units of `stride`: k-means of the training set.
        self.register_buffer("anchors", torch.zeros(KINDS, c.candidates, grid.steps, 2))

    def forward(self, inputs: dict[str, Tensor], drawn: int | None = None) -> ModelOutputs:
        """`drawn`: of how many scenes, from the first on, the occupancy is asked for; None: of all."""
        kind, velocity = inputs["attributes"][..., :KINDS], inputs["agent_velocity"]
        mask = inputs["agent_mask"]
        wheels = kind[..., 1] + kind[..., 2]
        z, edge, apart, grid = self.encoder(inputs)
        prefix, plans = None, 1
        if self.prefixes is not None:
            ahead = straight_on(velocity, self.config.grid.steps, self.config.grid.step)
            prefix = self.prefixes(inputs["plan"], inputs["plan_mask"], inputs["agent_pose"], ahead)
            plans = prefix.shape[1]

        start = None if self.start is None else self.start(z)
        joint, joint_logit = self.joint(z, edge, apart, mask)
        joint_latent = self.horizons(joint)
        if self.prefixes is not None and self.plan_effect is not None and prefix is not None:
            seen = prefix
            if self.config.plan_by_mode:
                blind, _ = self.decoder(joint_latent.detach(), velocity, wheels, None, start)
                seen = self.prefixes(
                    inputs["plan"], inputs["plan_mask"], inputs["agent_pose"], blind.detach()
                )
            joint_latent = self.plan_effect(joint_latent, seen)
        if self.reactions is not None:
            joint_latent = self.reactions(joint_latent, edge, apart, mask)
        joint_position, joint_spread = self.decoder(joint_latent, velocity, wheels, None, start)

        anchors = self._anchors_of(kind)
        marginal, marginal_logit = self.marginal(z, anchors)
        offset = anchors * self.stride(velocity)[:, None, :, None, None]
        marginal_latent = self.horizons(marginal)
        if self.plan_shift is not None and prefix is not None:
            marginal_latent = self.plan_shift(marginal_latent, z, prefix[:, :, 0])
        offset = offset if plans == 1 else offset.repeat(1, plans, 1, 1, 1)
        marginal_position, marginal_spread = self.decoder(marginal_latent, velocity, wheels, offset, start)
        exists, crossing = None, None
        if self.heads is not None:
            central = marginal_latent.unflatten(1, (plans, -1))[:, :, 0]
            exists, crossing = self.heads(z, central)
            crossing = crossing.flatten(0, 1)
        return ModelOutputs(
            _by_plan(joint_position, plans),
            _by_plan(joint_spread, plans),
            joint_logit if plans == 1 else joint_logit.repeat_interleave(plans, 0),
            _by_plan(marginal_position, plans),
            _by_plan(marginal_spread, plans),
            marginal_logit if plans == 1 else marginal_logit.repeat_interleave(plans, 0),
            z,
            _by_plan(joint_latent, plans),
            exists,
            crossing,
            self._draw(grid, z, inputs, drawn),
        )

    def _draw(
        self, grid: Tensor | None, z: Tensor, inputs: dict[str, Tensor], drawn: int | None
    ) -> Tensor | None:
        if self.occupancy is None or grid is None or drawn == 0:
            return None
        if drawn is None:
            return self.occupancy(grid, z, inputs)
        return self.occupancy(grid[:drawn], z[:drawn], {name: x[:drawn] for name, x in inputs.items()})

    def _anchors_of(self, kind_BA3: Tensor) -> Tensor:
        """B M A F 2: each agent's anchors by its kind."""
        # A weighted sum, not a matrix product: anchors stay in full precision under autocast.
        return (kind_BA3[:, None, :, :, None, None] * self.anchors.transpose(0, 1)[:, None]).sum(3)

    @staticmethod
    def stride(velocity_BA2: Tensor) -> Tensor:
        """The unit of the anchors in metres: faster people deviate further."""
        return 0.3 + torch.sqrt((velocity_BA2**2).sum(-1) + 1e-6)


def _by_plan(x: Tensor, plans: int) -> Tensor:
    """B (G K) ... to (B G) K ...."""
    return x if plans == 1 else x.unflatten(1, (plans, -1)).flatten(0, 1)


def arrays_of(out: ModelOutputs, names: Sequence[str]) -> dict[str, ndarray]:
    """These outputs as float32 arrays."""
    return {name: getattr(out, name).float().cpu().numpy() for name in names}
