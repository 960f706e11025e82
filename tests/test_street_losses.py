"""The losses of plans and of the street's heads, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drivewm import losses
from drivewm.postprocess import happened_by


def futures(*ends: float) -> torch.Tensor:
    """One agent under some plans, straight along x to these ends: N 1 F 2."""
    share = torch.tensor([0.25, 0.5, 0.75, 1.0])
    x = torch.tensor(ends)[:, None] * share
    return torch.stack([x, torch.zeros_like(x)], dim=-1)[:, None]


def all_of(mode: int, modes: int = 1, agents: int = 1) -> torch.Tensor:
    """This mode has to answer, alone: 1 K A."""
    share = torch.zeros(1, modes, agents)
    share[:, mode] = 1.0
    return share


def test_a_forecast_that_changes_as_the_truth_does_answers_rightly() -> None:
    """Wrong by the same 0.7 m under every plan: the response is right all the same."""
    truth = futures(8.0, 2.0, 5.0)
    forecast = (truth + 0.7)[:, None]
    loss = losses.plan_response(forecast, truth, torch.ones(3, 1), 3, all_of(0))
    assert float(loss) == pytest.approx(0.0, abs=1e-5)


def test_a_forecast_deaf_to_the_plan_is_wrong_by_the_true_change() -> None:
    """Truth: ends at 8 m or 2 m, on average over the four steps (1.5 + 3 + 4.5 + 6) / 4 = 3.75 m apart."""
    truth = futures(8.0, 2.0)
    deaf = futures(8.0, 8.0)[:, None]
    loss = losses.plan_response(deaf, truth, torch.ones(2, 1), 2, all_of(0))
    assert float(loss) == pytest.approx(3.75, abs=0.02)


def test_each_mode_must_answer_by_its_share() -> None:
    truth = futures(8.0, 2.0)
    position = torch.stack([futures(8.0, 8.0), truth], dim=1)  # mode 0 is deaf, mode 1 is right
    right, wrong, half = (
        float(losses.plan_response(position, truth, torch.ones(2, 1), 2, share))
        for share in (all_of(1, 2), all_of(0, 2), torch.full((1, 2, 1), 0.5))
    )
    assert right == pytest.approx(0.0, abs=1e-5)
    assert wrong == pytest.approx(3.75, abs=0.02)
    assert half == pytest.approx(wrong / 2, abs=1e-4)


def test_who_is_not_affected_must_stay_in_every_mode_and_the_worst_counts_more() -> None:
    """Truly the same under both plans. Of three modes one strays, by 3.75 m on average and 6 m at the end.

    All modes: 3.75 / 3. The two worst, beyond 3 cm: 5.97 / 2 by a weight of a quarter.
    """
    truth = futures(5.0, 5.0)
    position = torch.stack([truth, futures(8.0, 2.0), truth], dim=1)
    loss = losses.plan_response(position, truth, torch.ones(2, 1), 2, all_of(0, 3))
    want = losses.STEADY * (3.75 / 3 + losses.WORST * (6 - losses.STEADY_M) / 2)
    assert float(loss) == pytest.approx(want, rel=0.01)


def test_whose_future_is_unknown_under_one_plan_teaches_nothing() -> None:
    truth = futures(8.0, 2.0)
    target = torch.tensor([[1.0], [0.0]])
    deaf = futures(8.0, 8.0)[:, None]
    loss = losses.plan_response(deaf, truth, target, 2, all_of(0))
    assert float(loss) == pytest.approx(0.0, abs=1e-5)


def test_the_few_who_are_affected_are_not_drowned_by_the_many_who_are_not() -> None:
    """One of four moves with the plan, and the forecast is deaf: the loss is that one's whole error."""
    moves, stays = futures(8.0, 2.0), futures(5.0, 5.0)
    truth = torch.cat([moves, stays, stays, stays], dim=1)
    deaf = torch.cat([futures(8.0, 8.0), stays, stays, stays], dim=1)[:, None]
    alone = losses.plan_response(deaf[:, :, :1], moves, torch.ones(2, 1), 2, all_of(0))
    among = losses.plan_response(deaf, truth, torch.ones(2, 4), 2, all_of(0, agents=4))
    assert float(among) == pytest.approx(float(alone), abs=1e-4)
    assert losses.affected(truth, torch.ones(2, 4), 2).tolist() == [[1.0, 0.0, 0.0, 0.0]] * 2


def test_each_agent_has_its_own_winner_among_its_candidates() -> None:
    """Of two candidates one changes as the truth does; the first agent's winner is it."""
    truth = torch.cat([futures(8.0, 2.0)] * 2, dim=1)
    position = torch.stack([truth, torch.zeros_like(truth)], dim=1)
    first, second = all_of(0, 2, 2), all_of(0, 2, 2)
    second[:, :, 1] = torch.tensor([0.0, 1.0])
    right, wrong = (
        losses.plan_response(position, truth, torch.ones(2, 2), 2, share) for share in (first, second)
    )
    one = losses.plan_response(position[:, 1:], truth, torch.ones(2, 2), 2, all_of(0, agents=2))
    assert float(right) == pytest.approx(0.0, abs=1e-4)
    assert float(wrong) == pytest.approx(float(one) / 2, abs=1e-4)


def test_the_hazard_is_minus_log_of_the_step_in_which_it_happened() -> None:
    """Hazards .5, .25, .2. In the third step: .5 * .75 * .2; never: .5 * .75 * .8; in the first: .5."""
    hazard = torch.tensor([0.5, 0.25, 0.2])
    logit = torch.log(hazard / (1 - hazard)).expand(1, 3, 3)
    step = torch.tensor([[2.0, -1.0, 0.0]])
    each = [float(losses.hazard(logit, step, torch.eye(3)[i : i + 1])) for i in range(3)]
    want = [-math.log(p) for p in (0.5 * 0.75 * 0.2, 0.5 * 0.75 * 0.8, 0.5)]
    assert each == pytest.approx(want, abs=1e-5)
    together = losses.hazard(logit, step, torch.ones(1, 3))
    assert float(together) == pytest.approx(sum(want) / 3, abs=1e-5)
    assert float(losses.hazard(logit, step, torch.zeros(1, 3))) == 0.0


def test_the_crossing_probability_adds_up_what_the_hazards_leave() -> None:
    by_then = happened_by(np.array([0.5, 0.25, 0.2]))
    assert by_then.tolist() == pytest.approx([0.5, 1 - 0.5 * 0.75, 1 - 0.5 * 0.75 * 0.8], abs=1e-6)


def test_a_modes_error_counts_on_average_over_the_plans_of_its_scene() -> None:
    """Two scenes under two plans, two modes."""
    error = torch.tensor([[1.0, 4.0], [3.0, 0.0], [10.0, 2.0], [20.0, 4.0]])
    want = [[2.0, 2.0], [2.0, 2.0], [15.0, 3.0], [15.0, 3.0]]
    assert losses.over_plans(error, 2).tolist() == want
    assert losses.over_plans(error, 1) is error


def test_the_winner_is_the_same_under_every_plan() -> None:
    """Mode 0 errs by 1 and 4 m, mode 1 by 3 and 1.5: mode 1 wins both, though not the first alone."""
    error = torch.tensor([[1.0, 3.0], [4.0, 1.5]])[:, :, None, None]
    both = losses.best_of(error, torch.ones(2, 1), 0.0, joint=True, plans=2)
    assert float(both) == pytest.approx(2 * (3.0 + 1.5) / 2)
    alone = losses.best_of(error, torch.ones(2, 1), 0.0, joint=True)
    assert float(alone) == pytest.approx(2 * (1.0 + 1.5) / 2)


def test_existence_is_asked_only_where_it_is_known() -> None:
    """Even odds cost log 2, whatever is true."""
    logit, truth = torch.tensor([[0.0, 50.0]]), torch.tensor([[1.0, 0.0]])
    assert float(losses.exists(logit, truth, torch.tensor([[1.0, 0.0]]))) == pytest.approx(math.log(2))


def test_occupancy_and_flow_are_right_where_the_loss_is_zero() -> None:
    """Sure and right costs nothing; flow is asked only of occupied cells: 0.1 times |3| + |4|."""
    occupied = torch.zeros(1, 1, 1, 2, 2)
    occupied[..., 0, 0] = 1
    raw = torch.zeros(1, 1, 1, 2, 2, 3)
    raw[..., 0] = torch.where(occupied > 0, 40.0, -40.0)
    flow = torch.zeros(1, 1, 1, 2, 2, 2)
    flow[..., 1, 1, :] = 9.0  # an empty cell
    assert float(losses.occupancy(raw, occupied, flow)) == pytest.approx(0.0, abs=1e-6)
    flow[..., 0, 0, :] = torch.tensor([3.0, -4.0])
    assert float(losses.occupancy(raw, occupied, flow)) == pytest.approx(0.7, abs=1e-5)
