"""Figures against numbers worked out on paper and plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm_eval import displacement, interaction, likelihood
from drivewm_eval.paired import blocks, difference, drawn_means, interval
from drivewm_eval.scores import Candidates, mean_of, score, summarize

RNG = np.random.default_rng(5)


def test_best_of_k_takes_each_figures_own_winner() -> None:
    """Mode 0 is 1 m off all along; mode 1 is 3 m off, then exact: ADE 1 from mode 0, FDE 0 from mode 1."""
    error = np.array([[[1.0, 1.0]], [[3.0, 0.0]]])
    ade, fde = displacement.best_per_agent(error)
    assert (ade[0], fde[0]) == (1.0, 0.0)


def test_the_joint_best_is_one_mode_for_everybody() -> None:
    """Two agents, each right in another mode: per agent the error is 0, jointly it is not."""
    error = np.array([[[0.0], [2.0]], [[2.0], [0.0]]])
    assert displacement.best_per_agent(error)[0].tolist() == [0.0, 0.0]
    assert displacement.best_joint(error)[0].sum() == 2.0


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_vectorised_errors_equal_the_plain_loop(modes: int, agents: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    position, truth = rng.normal(size=(modes, agents, steps, 2)), rng.normal(size=(agents, steps, 2))
    error = displacement.errors(position, truth)
    best = []
    for a in range(agents):
        per_mode = []
        for k in range(modes):
            per_mode.append(np.mean([np.hypot(*(position[k, a, f] - truth[a, f])) for f in range(steps)]))
        best.append(min(per_mode))
    np.testing.assert_allclose(displacement.best_per_agent(error)[0], best)
    joint = min(error[k].mean(-1).sum() for k in range(modes))
    np.testing.assert_allclose(displacement.best_joint(error)[0].sum(), joint)
    assert displacement.best_joint(error)[0].sum() >= sum(best) - 1e-9


def test_a_miss_is_a_final_error_above_two_metres() -> None:
    error = np.array([[[0.0, 2.01], [0.0, 1.99]]])
    assert displacement.missed(error).tolist() == [1.0, 0.0]


def test_likelihood_of_a_unit_normal_at_its_mean_is_log_two_pi() -> None:
    variance = 1.0 - likelihood.VARIANCE_FLOOR
    value = likelihood.nll(
        np.zeros((1, 1, 1, 2)), np.eye(2)[None, None, None] * variance, np.ones((1, 1)), np.zeros((1, 1, 2))
    )
    np.testing.assert_allclose(value, np.log(2 * np.pi))


def test_a_mixture_of_two_equal_parts_is_one_of_them() -> None:
    position, truth = RNG.normal(size=(1, 2, 3, 2)), RNG.normal(size=(2, 3, 2))
    covariance = np.broadcast_to(np.eye(2) * 0.5, (1, 2, 3, 2, 2))
    one = likelihood.nll(position, covariance, np.ones((1, 2)), truth)
    twice = likelihood.nll(
        np.repeat(position, 2, 0), np.repeat(covariance, 2, 0), np.full((2, 2), 0.5), truth
    )
    np.testing.assert_allclose(one, twice)


def test_truths_drawn_from_the_forecast_are_covered_at_their_level() -> None:
    """Two thousand truths drawn from a two-part mixture lie in the 50 and 90 % regions that often."""
    agents = 2000
    mean = np.array([[0.0, 0.0], [4.0, 0.0]])
    pick = RNG.random(agents) < 0.3
    truth = (mean[pick.astype(int)] + RNG.normal(size=(agents, 2)))[:, None]
    position = np.broadcast_to(mean[:, None, None], (2, agents, 1, 2))
    covariance = np.broadcast_to(np.eye(2) * (1 - likelihood.VARIANCE_FLOOR), (2, agents, 1, 2, 2))
    probability = np.broadcast_to(np.array([[0.7], [0.3]]), (2, agents))
    inside = likelihood.covered(position, covariance, probability, truth, (0.5, 0.9), RNG)
    assert abs(inside[0].mean() - 0.5) < 0.04
    assert abs(inside[1].mean() - 0.9) < 0.03


def test_people_on_the_same_spot_overlap_and_people_a_metre_apart_do_not() -> None:
    kind = np.zeros(2, np.int64)
    together = np.zeros((1, 2, 3, 2))
    apart = together.copy()
    apart[0, 1, :, 0] = 1.0
    both = np.concatenate([together, apart])
    assert interaction.overlap_rate(together, kind, np.ones(1)) == 1.0
    assert interaction.overlap_rate(apart, kind, np.ones(1)) == 0.0
    np.testing.assert_allclose(interaction.overlap_rate(both, kind, np.array([0.25, 0.75])), 0.25)


def _window(shift: float, agents: int = 2, joint: bool = True):  # type: ignore[no-untyped-def]
    truth = np.zeros((agents, 4, 2))
    position = truth[None] + [shift, 0.0]
    candidates = Candidates(
        position=position,
        covariance=np.broadcast_to(np.eye(2), (1, agents, 4, 2, 2)),
        probability=np.ones((1, agents)),
        joint_position=position if joint else None,
        joint_probability=np.ones(1) if joint else None,
    )
    return score(candidates, truth, np.zeros(agents, np.int64), [1, 3], np.random.default_rng(0))


def test_a_scene_averages_over_agents_and_the_protocol_over_scenes() -> None:
    """Scene a: 2 agents at 1 m and 6 at 2 m give 1.75; scene b: 1 m. Unweighted 1.375, by agents 1.6."""
    a = summarize([_window(1.0, 2), _window(2.0, 6)])
    b = summarize([_window(1.0, 2)])
    assert a["min_ade"] == 1.75
    assert mean_of([a, b], by_agents=False)["min_ade"] == 1.375
    np.testing.assert_allclose(mean_of([a, b], by_agents=True)["min_ade"], 1.6)
    assert mean_of([a, b], by_agents=False)["n_agents"] == 10


def test_without_joint_modes_the_joint_figures_are_absent_not_zero() -> None:
    summary = summarize([_window(1.0, joint=False)])
    assert summary["joint_min_ade"] is None
    assert summary["min_ade"] == 1.0


def test_the_paired_interval_excludes_zero_for_a_steady_gain_and_holds_it_for_none() -> None:
    better, worse = [_window(0.5) for _ in range(200)], [_window(0.7) for _ in range(200)]
    rng = np.random.default_rng(0)

    def gap(ours: list, theirs: list) -> tuple[float, float]:  # type: ignore[type-arg]
        parts = blocks(*difference(ours, theirs, "top1_ade"))
        low, high = interval(drawn_means([parts], rng), len(parts[0]))
        assert low is not None
        assert high is not None
        return low, high

    low, high = gap(better, worse)
    assert low <= high < 0
    np.testing.assert_allclose(high, -0.2)
    mixed = [_window(0.5 + 0.2 * (i // 20 % 2)) for i in range(200)]
    low, high = gap(mixed, [_window(0.6)] * 200)
    assert low < 0 < high


def test_one_block_of_windows_gives_no_interval() -> None:
    """Twenty neighbouring windows are one observation: an interval of width zero would be a lie."""
    total, agents = blocks(*difference([_window(0.5)] * 20, [_window(0.7)] * 20, "top1_ade"))
    assert len(total) == 1
    assert interval(drawn_means([(total, agents)], RNG), len(total)) == (None, None)
