"""What a model held of a scene when it saw it: kept for a while, to be compared with what comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from drivewm.batch import tensors
from drivewm.features import BEV_INPUTS, SIGNAL_INPUTS, featurize
from drivewm.forecaster import TorchForecaster
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Scene


@dataclass(frozen=True, kw_only=True)
class Belief:
    """A scene, its forecast, and its latents: of now, and foreseen. A agents, K modes, J chunks, D channels.

    Latents are layer-normalised (mean 0, variance 1 over the channels). That of now is the encoder's view of
    tracks and map alone: the target that foreseen latents are trained on.
    """

    scene: Scene
    forecast: Forecast
    latent: Float[ndarray, "A D"]
    foreseen: Float[ndarray, "K A J D"]
    foreseen_s: Float[ndarray, "J"]  # seconds after the stamp that the foreseen latents are of


def believe(forecaster: TorchForecaster, scenes: Sequence[Scene]) -> list[Belief]:
    """The belief of each scene under its first plan, all in one batch."""
    if not scenes:
        return []
    inputs = tensors(featurize(scenes, sizes=forecaster.model.config.sizes), forecaster.device)
    with torch.no_grad():
        out = forecaster.model(inputs)
    forecasts = [of_plans[0] for of_plans in forecaster.forecasts(out, scenes)]
    plans = len(out.joint_logit) // len(scenes)
    foreseen = _normed(out.joint_latent.float().cpu().numpy())[::plans]
    latent = _normed(_seen_bare(forecaster, inputs))
    ends = chunk_ends(forecaster.grid, foreseen.shape[3])
    return [
        Belief(
            scene=scene,
            forecast=forecasts[i],
            latent=latent[i, : scene.tracks.agents],
            foreseen=foreseen[i, :, : scene.tracks.agents],
            foreseen_s=ends,
        )
        for i, scene in enumerate(scenes)
    ]


def chunk_ends(grid: TimeGrid, chunks: int) -> Float[ndarray, "J"]:
    """The times (s) at which the chunks of a horizon end."""
    return np.asarray(grid.horizons)[grid.steps // chunks - 1 :: grid.steps // chunks]


def _seen_bare(forecaster: TorchForecaster, inputs: dict[str, Tensor]) -> ndarray:
    """The encoder's latents from tracks and map, without signals, grid and plan: as the targets were seen."""
    bare = {name: x for name, x in inputs.items() if name not in BEV_INPUTS}
    bare |= {name: torch.zeros_like(bare[name]) for name in SIGNAL_INPUTS if name in bare}
    with torch.no_grad():
        latent, *_ = forecaster.model.encoder(bare)
    return np.asarray(latent.float().cpu().numpy())


def _normed(latent: Float[ndarray, "*b D"]) -> Float[ndarray, "*b D"]:
    centered = latent - latent.mean(axis=-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-5)
