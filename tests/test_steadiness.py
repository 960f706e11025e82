"""Forecasts that hold still: two ticks of a scene side by side, and the loss that draws them together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_street import toy_drive

from drivewm.batch import Batch
from drivewm.features import KINDS, InputSizes
from drivewm.steadiness import HALF_M, unsteadiness
from drivewm.timing import TimeGrid
from drivewm.types import Kind
from drivewm_datasets.augment import DRIVE, Augmentation
from drivewm_datasets.street_windows import street_windows
from drivewm_datasets.ticks import Ticks, pairs_of
from drivewm_datasets.windows import TimeLayout

LAYOUT = TimeLayout(TimeGrid(), 4)


FIRST = torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1)


def one_hot(kind: Kind) -> Tensor:
    return torch.eye(KINDS)[int(kind)][None, None]


def ticks(augmentation: Augmentation = DRIVE) -> Ticks:
    pairs = pairs_of(list(street_windows(toy_drive(), LAYOUT, 0.4)), 4)
    return Ticks(
        pairs=pairs, layout=LAYOUT, agents=12, sizes=InputSizes(polylines=0), augmentation=augmentation
    )


def loss_of(batch: Batch, position: Tensor) -> float:
    after = batch.successors
    assert after is not None
    row, known, pose = (torch.from_numpy(a) for a in (after.row, after.known, after.pose))
    kind = torch.from_numpy(batch.inputs.attributes[: len(row), :, :KINDS])
    return float(unsteadiness(position, row, known.float(), pose, kind))


def straight(shift: float, kind: Kind = Kind.PEDESTRIAN) -> tuple[Tensor, ...]:
    """One agent that goes 1 m a step along x, seen twice; the second forecast lies `shift` m to the left."""
    steps = torch.arange(1.0, 5.0)
    before = torch.stack([steps, torch.zeros(4)], -1)
    after = torch.stack([steps, torch.full((4,), shift)], -1)
    position = torch.stack([before, after])[:, None, None]  # 2 1 1 4 2
    pose = torch.tensor([[[1.0, 0.0, 1.0, 0.0]]])
    return position, *FIRST, pose, one_hot(kind)


@pytest.mark.parametrize(("shift", "cost"), [(0.0, 0.0), (1.0, 0.5), (3.0, 0.75)])
def test_a_shift_costs_its_share_of_the_most_and_never_more(shift: float, cost: float) -> None:
    assert float(unsteadiness(*straight(shift))) == pytest.approx(cost, abs=0.006)


def test_a_vehicle_may_waver_by_more() -> None:
    half = HALF_M[Kind.VEHICLE]
    assert float(unsteadiness(*straight(half, Kind.VEHICLE))) == pytest.approx(0.5, abs=0.006)


def test_a_change_of_mind_is_hardly_pulled_back() -> None:
    pulls = []
    for shift in (0.2, 4.0):
        position, *rest = straight(shift)
        position.requires_grad_()
        unsteadiness(position, *rest).backward()
        pulls.append(float(position.grad.norm()))  # type: ignore[union-attr]
    assert pulls[1] < 0.1 * pulls[0]


def test_the_frame_that_turned_with_the_agent_is_turned_back() -> None:
    """It turns left by a quarter: what lies ahead then lies to the left of now."""
    before = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    after = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    position = torch.stack([before, after])[:, None, None]
    pose = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    cost = unsteadiness(position, *FIRST, pose, one_hot(Kind.PEDESTRIAN))
    assert float(cost) == pytest.approx(0.0, abs=1e-6)


def test_the_truth_holds_still_between_the_ticks_of_every_batch() -> None:
    """Whoever is known in both: the true future at one tick and at the next are the same places."""
    source, people = ticks(), 0
    for step in range(12):
        batch = source.batch_at(step, 3)
        after = batch.successors
        assert after is not None
        pairs = len(after.row)
        assert len(batch.inputs.agent_mask) == 2 * pairs
        asked = batch.target[:pairs] & np.take_along_axis(batch.target[pairs:], after.row, 1)
        known = after.known & asked
        people += int(known.sum())
        batch = replace(batch, successors=replace(after, known=known))
        assert loss_of(batch, torch.from_numpy(batch.future)[:, None]) < 1e-3
    assert people > 20


def test_a_batch_of_ticks_is_a_function_of_step_and_seed() -> None:
    one, again, other = ticks().batch_at(2, 5), ticks().batch_at(2, 5), ticks().batch_at(3, 5)
    np.testing.assert_array_equal(one.inputs.history, again.inputs.history)
    assert one.inputs.history.shape != other.inputs.history.shape or not np.array_equal(
        one.inputs.history, other.inputs.history
    )


def test_windows_of_two_drives_or_with_a_hole_between_are_no_pair() -> None:
    windows = list(street_windows(toy_drive(), LAYOUT, 0.4))
    assert len(pairs_of(windows, 4)) == len(windows) - 1
    assert len(pairs_of(windows + windows, 4)) == 2 * (len(windows) - 1)
    assert pairs_of(windows[::2], 4) == []
