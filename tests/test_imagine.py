"""What if the ego did this: a forecast a plan, each as if its plan had been the only one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_road_map, make_tracks

from drivewm.checkpoint import Bundle
from drivewm.forecaster import TorchForecaster
from drivewm.model import ModelConfig, WorldModel
from drivewm.postprocess import Calibration
from drivewm.types import EgoPlan, Kind, Scene

STEPS = 12
CONFIG = ModelConfig(
    dim=16, heads=2, layers=1, joint_modes=3, candidates=4, polylines=8, use_signals=True, use_plan=True,
    plan_width=8, street_heads=True,
)  # fmt: skip
torch.set_num_threads(1)


def make_forecaster() -> TorchForecaster:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    model.anchors.normal_()
    calibration = Calibration(joint_temperature=1.3, joint_spread=0.9, marginal_spread=1.2)
    return TorchForecaster(Bundle(name="tiny", model=model, calibration=calibration, hash="tiny"))


FORECAST = make_forecaster()


def make_plans(count: int, seed: int = 0) -> EgoPlan:
    rng = np.random.default_rng(seed)
    pose = np.cumsum(rng.normal(1.0, 1.0, (count, STEPS, 3)), axis=1)
    return EgoPlan(pose=pose, valid=np.ones((count, STEPS), bool))


def make_street(agents: int, plan: EgoPlan | None) -> Scene:
    """Pedestrians side by side, the last agent a car."""
    tracks = make_tracks(agents=agents, speed=1.0 + agents, heading=0.3)
    kind = np.array([int(Kind.PEDESTRIAN)] * (agents - 1) + [int(Kind.VEHICLE)])
    return Scene(tracks=replace(tracks, kind=kind), t_s=0.0, road_map=make_road_map(), signals=(), plan=plan)


def test_each_plan_has_the_forecast_that_it_has_alone() -> None:
    """Two scenes of different size under three plans each, in one call."""
    plans = make_plans(3)
    scenes = [make_street(agents, plans) for agents in (2, 4)]
    for scene, forecasts in zip(scenes, FORECAST.imagine(scenes), strict=True):
        assert len(forecasts) == 3
        for g, forecast in enumerate(forecasts):
            forecast.validate()
            single = EgoPlan(pose=plans.pose[g : g + 1], valid=plans.valid[g : g + 1])
            (alone,) = FORECAST([replace(scene, plan=single)])
            for name in ("position", "covariance", "marginal_position", "mode_probability", "existence"):
                np.testing.assert_allclose(
                    getattr(forecast, name), getattr(alone, name), atol=1e-4, err_msg=name
                )
            assert forecast.crossing_probability == pytest.approx(alone.crossing_probability, abs=1e-5)
            assert forecast.without == ()


def test_the_plan_changes_what_happens_not_how_likely_it_is() -> None:
    one, other = FORECAST.imagine([make_street(3, make_plans(2))])[0]
    assert np.abs(one.position - other.position).max() > 1e-3
    np.testing.assert_array_equal(one.mode_probability, other.mode_probability)
    np.testing.assert_array_equal(one.marginal_probability, other.marginal_probability)
    np.testing.assert_array_equal(one.existence, other.existence)


def test_a_forecast_without_a_plan_says_so_and_counts_as_one() -> None:
    ((forecast,),) = FORECAST.imagine([make_street(2, None)])
    assert forecast.without == ("plan",)
    ((blind,),) = FORECAST.imagine([replace(make_street(2, None), signals=None)])
    assert blind.without == ("signals", "plan")


def test_who_crosses_has_crossed_and_vehicles_never_do() -> None:
    ((forecast,),) = FORECAST.imagine([make_street(4, make_plans(1))])
    crossed = forecast.crossing_probability
    assert crossed is not None
    assert crossed.shape == (4, STEPS)
    assert (np.diff(crossed[:3], axis=1) >= 0).all()
    assert ((crossed[:3] > 0) & (crossed[:3] < 1)).all()
    assert not crossed[3].any()
    assert forecast.existence is not None
    assert ((forecast.existence > 0) & (forecast.existence < 1)).all()


def test_scenes_with_different_numbers_of_plans_are_refused() -> None:
    scenes = [make_street(2, make_plans(2)), make_street(2, make_plans(3))]
    with pytest.raises(ValueError, match="same number of plans"):
        FORECAST.imagine(scenes)
    assert FORECAST.imagine([]) == []
