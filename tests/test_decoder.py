"""Motion from latents: feet integrate a velocity, wheels are unicycles that start where they truly are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from drivewm.decoder import START_MOST, Decoder, Start

STEP_S = 0.4
VELOCITY = torch.tensor([[[5.0, 0.0], [1.0, 0.5]]])  # a car and a person
WHEELS = torch.tensor([[1.0, 0.0]])


def paths(start: Tensor | None) -> Tensor:
    """K A F 2 of a decoder that adds nothing to constant velocity."""
    decoder = Decoder(dim=4, steps=12, chunks=4, step_s=STEP_S)
    for parameter in decoder.parameters():
        torch.nn.init.zeros_(parameter)
    position, _ = decoder(torch.zeros(1, 2, 2, 4, 4), VELOCITY, WHEELS, None, start)
    return position[0]


def test_without_a_word_from_the_latents_everybody_goes_straight_on() -> None:
    steps = torch.arange(1, 13) * STEP_S
    for mode in paths(None):
        for agent in (0, 1):
            torch.testing.assert_close(mode[agent], steps[:, None] * VELOCITY[0, agent])


def test_wheels_start_from_the_corrected_place_in_the_corrected_direction_and_feet_do_not() -> None:
    """0.3 m ahead, 0.2 m to the right, pointing 30 degrees to the left: 2 m a step from there."""
    start = torch.tensor([[[0.3, -0.2, math.pi / 6], [0.5, 0.5, 0.5]]])
    way = 2.0 * torch.arange(1, 13)
    wanted = torch.stack([0.3 + way * math.sqrt(3) / 2, -0.2 + way / 2], dim=-1)
    for mode in paths(start):
        torch.testing.assert_close(mode[0], wanted)
    torch.testing.assert_close(paths(start)[:, 1], paths(None)[:, 1])


def test_an_untrained_start_corrects_nothing_and_no_start_is_corrected_beyond_reason() -> None:
    start = Start(4)
    assert not start(torch.randn(2, 3, 4)).any()
    torch.nn.init.constant_(start.correction.bias, 1e3)
    assert start(torch.zeros(1, 1, 4)).flatten().tolist() == pytest.approx(START_MOST)
