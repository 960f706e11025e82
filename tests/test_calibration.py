"""Claims about spreads, temperatures and the figures by which they are judged."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drivewm import calibrate as fitting
from drivewm.consensus import most_central
from drivewm.density import mass_denser
from drivewm.postprocess import Calibration, rarity
from drivewm.types import Kind
from drivewm_eval.calibration import expected_error, mode_curves, reliability
from drivewm_eval.reliability import reliability_svg

STEPS = 4


def test_a_bundle_with_one_number_a_head_still_loads() -> None:
    old = {"joint_temperature": 1.6, "marginal_temperature": 0.3, "joint_spread": 1.5, "marginal_spread": 1.2}
    read = Calibration.from_dict(old)
    kind = np.array([0, 2])
    assert read.temperature(kind).tolist() == [0.3, 0.3]
    assert np.all(read.joint_width(kind, STEPS) == 1.5)
    assert np.all(read.marginal_width(kind, np.full((3, 2), 1 / 3), STEPS) == 1.2)


def test_each_kind_has_its_own_spread_and_temperature() -> None:
    table = [[1.0] * STEPS, [2.0] * STEPS, [3.0, 3.0, 4.0, 4.0]]
    read = Calibration.from_dict({"marginal_temperature": [0.5, 1.0, 2.0], "marginal_spread": table})
    kind = np.array([Kind.VEHICLE, Kind.PEDESTRIAN])
    width = read.marginal_width(kind, np.ones((1, 2)), STEPS)
    assert read.temperature(kind).tolist() == [2.0, 0.5]
    assert width[0].tolist() == [[3.0, 3.0, 4.0, 4.0], [1.0, 1.0, 1.0, 1.0]]


def test_a_table_of_two_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="one a kind"):
        Calibration.from_dict({"marginal_temperature": [0.5, 1.0]})


def test_unlikely_candidates_are_wider_by_the_tail() -> None:
    """A quarter as probable with tail 1/2: twice as wide. Nothing counts as rarer than a tenth."""
    probability = np.array([[0.8], [0.2], [0.0]])
    width = Calibration(marginal_tail=((0.5,) * STEPS,) * 3).marginal_width(
        np.zeros(1, int), probability, STEPS
    )
    np.testing.assert_allclose(width[:, 0, 0], [1.0, 2.0, np.sqrt(10)])
    assert rarity(probability).max() == pytest.approx(10.0)


def test_half_of_a_normal_is_denser_than_at_its_probable_radius() -> None:
    """P(r < 1.1774 sd) = 1/2 in two dimensions; at the mean nothing is denser, far away everything is."""
    point = np.array([[1.1774, 0.0], [0.0, 0.0], [0.0, 9.0]])
    mean, covariance = np.zeros((1, 3, 2)), np.broadcast_to(np.eye(2), (1, 3, 2, 2))
    mass = mass_denser(point, mean, covariance, np.ones((1, 3)), np.random.default_rng(0), 4000)
    np.testing.assert_allclose(mass, [0.5, 0.0, 1.0], atol=0.03)


@given(st.integers(0, 1000))
def test_the_order_of_candidates_changes_no_mass(seed: int) -> None:
    rng = np.random.default_rng(seed)
    point, mean = rng.normal(size=(3, 2)), rng.normal(size=(4, 3, 2))
    probability = rng.dirichlet(np.ones(4), size=3).T
    covariance = np.broadcast_to(0.2 * np.eye(2), (4, 3, 2, 2))
    order = rng.permutation(4)
    one = mass_denser(point, mean, covariance, probability, np.random.default_rng(1), 20)
    other = mass_denser(point, mean[order], covariance, probability[order], np.random.default_rng(1), 20)
    np.testing.assert_array_equal(one, other)


def test_two_that_agree_are_more_likely_than_one_that_stands_alone() -> None:
    """0.3 + 0.3 side by side outweigh 0.4 ten metres away."""
    position = np.array([[0.0, 0.0], [0.1, 0.0], [10.0, 0.0]])[:, None, None]
    covariance = np.broadcast_to(0.25 * np.eye(2), (3, 1, 1, 2, 2))
    chosen = most_central(position, covariance, np.array([[0.3], [0.3], [0.4]]))
    assert chosen[0] in (0, 1)
    assert most_central(position, covariance, np.array([[0.1], [0.1], [0.8]]))[0] == 2


def _outcomes(agents: int, sd: float, says: float) -> fitting._Outcomes:
    """Vehicles at the origin that say a standard deviation; truths lie about them by another."""
    rng = np.random.default_rng(0)
    spread = np.concatenate(
        [np.full((1, agents, 12, 2), np.log(says)), np.zeros((1, agents, 12, 1))], axis=-1
    )
    head = fitting._Head(
        offset=sd * rng.normal(size=(1, agents, 12, 2)), spread=spread, logit=np.zeros((1, agents))
    )
    return fitting._Outcomes(
        joint=head,
        marginal=head,
        kind=np.full(agents, 2),
        scene_logit=np.zeros((1, agents)),
        scene_nearest=np.zeros(agents, np.int64),
        hidden_logit=np.zeros(0),
        hidden_exists=np.zeros(0, bool),
    )


def test_who_says_half_of_the_true_spread_is_widened_to_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from drivewm.model import ModelConfig, WorldModel

    class Nothing:
        def in_order(self) -> Iterable[object]:
            return ()

        def batch_at(self, step: int, seed: int) -> object:
            raise NotImplementedError

    monkeypatch.setattr(fitting, "_outcomes", lambda model, source: _outcomes(400, sd=2.0, says=1.0))
    torch.manual_seed(0)
    model = WorldModel(ModelConfig(dim=8, heads=2, layers=1, use_map=False, polylines=0))
    found = fitting.calibrate(model, Nothing())  # type: ignore[arg-type]
    width = found.marginal_width(np.array([Kind.VEHICLE]), np.ones((1, 1)), 12)
    np.testing.assert_allclose(width, 2.0, rtol=0.15)


def test_the_temperature_finds_how_sure_the_probabilities_were() -> None:
    """Logits three times as large as the log of the frequencies need a temperature of 3."""
    rng = np.random.default_rng(3)
    chance = rng.dirichlet(np.ones(4), size=4000)
    nearest = (rng.random((4000, 1)) > np.cumsum(chance, axis=1)).sum(axis=1)
    assert fitting._temperature(3 * np.log(chance).T, nearest) == pytest.approx(3.0, rel=0.1)


def test_reliability_of_a_coin_said_to_be_sure() -> None:
    """Said 0.95, came true in half: the error is 0.45."""
    curve = reliability(np.full(10, 0.95), np.arange(10) < 5)
    assert curve == [(pytest.approx(0.95), 0.5, 10)]
    assert expected_error(curve) == pytest.approx(0.45)
    assert expected_error([]) is None


def test_all_modes_and_the_most_probable_are_judged_apart() -> None:
    """0.75 and 0.25, right in three of four: no error, by all modes as by the top one."""
    probability = np.tile([[0.75], [0.25]], (1, 4))
    curves = mode_curves(probability, np.array([0, 0, 0, 1]))
    assert expected_error(curves["all"]) == pytest.approx(0.0)
    assert expected_error(curves["top"]) == pytest.approx(0.0)


def test_the_diagram_names_its_curves_and_needs_no_other_file() -> None:
    svg = reliability_svg({"joint <all>": [(0.1, 0.2, 10), (0.9, 0.8, 5)], "empty": []})
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "joint &lt;all&gt;" in svg
    assert "href" not in svg


def test_existence_is_put_right_where_it_was_too_sure() -> None:
    """Logits four times too large and one too high: 1/4 and -1/4 put them right."""
    rng = np.random.default_rng(2)
    true_logit = rng.normal(1.0, 1.5, 20_000)
    exists = rng.random(20_000) < 1 / (1 + np.exp(-true_logit))
    slope, offset = fitting.platt(4 * true_logit + 1, exists)
    assert (slope, offset) == pytest.approx((0.25, -0.25), abs=0.03)


def test_existence_stays_as_it_is_where_hardly_anybody_vanished() -> None:
    assert fitting.platt(np.ones(500), np.arange(500) > 3) == (1.0, 0.0)
