"""Calibration after training: how wide and how sure the forecasts should be, measured on validation data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from drivewm import losses
from drivewm.batch import tensors
from drivewm.postprocess import Calibration

if TYPE_CHECKING:
    from drivewm.model import WorldModel
    from drivewm.training import BatchSource

SPREADS = torch.linspace(0.6, 2.0, 15)
TEMPERATURES = torch.tensor([0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6])


@torch.no_grad()
def calibrate(model: WorldModel, validation: BatchSource) -> Calibration:
    """Spread and temperature of each head of least negative log-likelihood on the validation batches.

    The joint temperature is that of the scene mode nearest to what happened.
    """
    joint, marginal = torch.zeros(len(SPREADS)), torch.zeros(len(SPREADS), len(TEMPERATURES))
    sure = torch.zeros(len(TEMPERATURES))
    scenes = 0.0
    device = model.anchors.device
    for batch in validation.in_order():
        future, target, _ = batch.truth(device)
        out = model(tensors(batch.inputs, device))
        count = float(target.sum())
        modes = out.joint_logit[..., None].expand(-1, -1, target.shape[1])
        for i, spread in enumerate(SPREADS):
            wider = torch.tensor([1.0, 1.0, 0.0], device=device) * torch.log(spread)
            nll = losses.mixture_nll(out.joint_position, out.joint_spread + wider, modes, future, target)
            joint[i] += float(nll) * count
            for j, temperature in enumerate(TEMPERATURES):
                logit = out.marginal_logit / temperature
                scaled = out.marginal_spread + wider
                nll = losses.mixture_nll(out.marginal_position, scaled, logit, future, target)
                marginal[i, j] += float(nll) * count
        closest = _closest(out.joint_position, future, target)
        has = target.sum(-1) > 0
        for j, temperature in enumerate(TEMPERATURES):
            log_p = torch.log_softmax(out.joint_logit / temperature, 1)
            sure[j] -= float(log_p.gather(1, closest[:, None])[has].sum())
        scenes += float(has.sum())
    if scenes == 0:
        return Calibration()
    i, j = divmod(int(marginal.argmin()), len(TEMPERATURES))
    return Calibration(
        joint_spread=round(float(SPREADS[int(joint.argmin())]), 4),
        marginal_spread=round(float(SPREADS[i]), 4),
        marginal_temperature=round(float(TEMPERATURES[j]), 4),
        joint_temperature=round(float(TEMPERATURES[int(sure.argmin())]), 4),
    )


def _closest(position: Tensor, future: Tensor, target: Tensor) -> Tensor:
    """The scene mode nearest to what happened: B."""
    error = losses.displacement(position, future).mean(-1) * target[:, None]
    return error.sum(-1).argmin(1)
