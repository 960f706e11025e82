"""The bird's-eye grid in the model: read where the agents are, ignored where missing, answered in kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundles import make_bundle
from conftest import make_road_map, make_scene
from hypothesis import given, settings
from hypothesis import strategies as st

from drivewm.batch import tensors
from drivewm.bev import OCCUPANCY_LAYERS, OCCUPANCY_TIMES_S, BevGrid, BevSpec, occupancy_spec
from drivewm.bev_encoder import FINE, BevEncoder, BevReader, GridPlace, splat
from drivewm.checkpoint import Bundle
from drivewm.features import featurize
from drivewm.forecaster import TorchForecaster
from drivewm.model import ModelConfig, ModelOutputs, WorldModel
from drivewm.postprocess import Calibration
from drivewm.types import Scene

SPEC = BevSpec(x_range=(-8.0, 24.0), y_range=(-16.0, 16.0))
CPU = torch.device("cpu")
CONFIG = ModelConfig(
    dim=16, heads=2, layers=1, joint_modes=3, candidates=4, polylines=8, bev=SPEC, occupancy=True
)
torch.set_num_threads(1)


def make_model() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(CONFIG).eval()


MODEL = make_model()


def grid(seed: int, valid: np.ndarray | None = None) -> BevGrid:
    valid = np.ones(SPEC.shape[0], bool) if valid is None else valid
    features = np.random.default_rng(seed).random(SPEC.shape, np.float32)
    return BevGrid(features=np.where(valid[:, None, None], features, np.float32(0)), valid=valid, spec=SPEC)


def scene(bev: BevGrid | None) -> Scene:
    return replace(
        make_scene(agents=3, road_map=make_road_map()), bev=bev, ego_pose=np.array([0.5, 1.0, 0.3])
    )


def run(inputs: dict[str, torch.Tensor]) -> ModelOutputs:
    with torch.no_grad():
        out: ModelOutputs = MODEL(inputs)
    return out


def inputs_of(*scenes: Scene) -> dict[str, torch.Tensor]:
    return tensors(featurize(scenes, sizes=CONFIG.sizes), CPU)


def pose4(x: float, y: float, yaw: float) -> torch.Tensor:
    return torch.tensor([x, y, np.cos(yaw), np.sin(yaw)], dtype=torch.float32)


def turned(pose: torch.Tensor, yaw: float, shift: torch.Tensor) -> torch.Tensor:
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float32)
    return torch.cat([pose[..., :2] @ turn.T + shift, pose[..., 2:] @ turn.T], dim=-1)


@settings(max_examples=15)
@given(yaw=st.floats(-3, 3), x=st.floats(-50, 50), y=st.floats(-50, 50), seed=st.integers(0, 100))
def test_turning_agents_and_grid_together_changes_nothing_that_is_read(
    yaw: float, x: float, y: float, seed: int
) -> None:
    torch.manual_seed(seed)
    reader = BevReader(SPEC, 16).eval()
    cells = (SPEC.shape[1] // 2, SPEC.shape[2] // 2)
    features = torch.randn(1, FINE, *cells)
    agents = torch.stack([pose4(5.0, 2.0, 0.4), pose4(-3.0, 9.0, 2.0), pose4(20.0, -10.0, -1.0)])[None]
    place, there = pose4(1.0, -2.0, 0.7)[None], torch.ones(1)
    shift = torch.tensor([x, y], dtype=torch.float32)
    with torch.no_grad():
        here = reader(features, place, agents, there)
        elsewhere = reader(features, turned(place, yaw, shift), turned(agents, yaw, shift), there)
    torch.testing.assert_close(here, elsewhere, atol=2e-3, rtol=1e-3)


def test_an_agent_reads_its_own_place_and_nothing_beyond_the_grid() -> None:
    """A lone marked cell: who stands at it reads other things than who stands far away."""
    reader = BevReader(SPEC, 16).eval()
    features = torch.zeros(1, FINE, SPEC.shape[1] // 2, SPEC.shape[2] // 2)
    empty = features.clone()
    features[0, :, 13, 20] = 1.0  # cells of 1 m from (-8, -16): its middle lies at (5.5, 4.5)
    agents = torch.stack([pose4(5.5, 4.5, 0.0), pose4(22.0, -12.0, 0.0), pose4(500.0, 0.0, 0.0)])[None]
    place, there = pose4(0.0, 0.0, 0.0)[None], torch.ones(1)
    with torch.no_grad():
        changed = (
            (reader(features, place, agents, there) - reader(empty, place, agents, there)).abs().amax(-1)
        )
        nothing = reader(features, place, agents, torch.zeros(1))
    assert changed[0, 0] > 1e-3
    assert changed[0, 1:].tolist() == [0.0, 0.0]
    assert not nothing.any()


def test_a_place_is_a_share_of_the_grid() -> None:
    """From an ego at (10, 0) heading north, (6, 8) is 8 m ahead and 4 m to the left."""
    u, v = GridPlace(SPEC)(torch.tensor([[[6.0, 8.0]]]), pose4(10.0, 0.0, np.pi / 2)[None])
    assert float(u) == pytest.approx(16 / 32, abs=1e-6)
    assert float(v) == pytest.approx(20 / 32, abs=1e-6)


@given(u=st.floats(0.1, 0.9), v=st.floats(0.1, 0.9))
def test_a_token_inside_is_written_with_weights_that_sum_to_one(u: float, v: float) -> None:
    one = torch.ones(1, 1, 3)
    drawn = splat(one, torch.full((1, 1), u), torch.full((1, 1), v), torch.ones(1, 1), (8, 10))
    torch.testing.assert_close(drawn.sum((2, 3)), torch.ones(1, 3), atol=1e-5, rtol=0)
    assert (drawn >= 0).all()
    assert int((drawn[0, 0] > 0).sum()) <= 4


def test_a_token_in_the_middle_of_a_cell_is_that_cell_and_masked_ones_are_nowhere() -> None:
    token = torch.tensor([[[2.0], [5.0], [7.0]]])
    u, v = torch.tensor([[2.5 / 8, 0.5, 3.0]]), torch.tensor([[4.5 / 10, 0.5, 0.5]])
    drawn = splat(token, u, v, torch.tensor([[1.0, 0.0, 1.0]]), (8, 10))
    assert float(drawn[0, 0, 2, 4]) == pytest.approx(2.0, abs=1e-5)
    assert float(drawn.sum()) == pytest.approx(2.0, abs=1e-5)


def test_a_grid_that_is_missing_is_never_looked_at() -> None:
    inputs = inputs_of(scene(None))
    zeros = run(inputs)
    inputs["bev"] = torch.randn_like(inputs["bev"])
    noise = run(inputs)
    for name in ("joint_position", "marginal_position", "joint_logit", "occupancy"):
        torch.testing.assert_close(getattr(zeros, name), getattr(noise, name), atol=0, rtol=0)


def test_one_missing_channel_is_never_looked_at() -> None:
    valid = np.arange(SPEC.shape[0]) != 5
    inputs = inputs_of(scene(grid(0, valid)))
    zeros = run(inputs)
    inputs["bev"][:, 5] = 9.0
    torch.testing.assert_close(run(inputs).joint_position, zeros.joint_position, atol=0, rtol=0)


def test_the_grid_changes_forecast_and_occupancy() -> None:
    one, other = run(inputs_of(scene(grid(0)))), run(inputs_of(scene(grid(1))))
    assert not torch.equal(one.joint_position, other.joint_position)
    assert one.occupancy is not None
    assert other.occupancy is not None
    assert not torch.equal(one.occupancy, other.occupancy)


def test_features_have_half_the_cells_of_the_grid() -> None:
    features = BevEncoder(SPEC)(torch.zeros(2, *SPEC.shape), torch.ones(2, SPEC.shape[0]))
    assert features.shape == (2, FINE, SPEC.shape[1] // 2, SPEC.shape[2] // 2)


def test_occupancy_is_asked_of_as_many_scenes_as_wanted() -> None:
    inputs = inputs_of(scene(grid(0)), scene(grid(1)))
    with torch.no_grad():
        both, first, none = MODEL(inputs), MODEL(inputs, 1), MODEL(inputs, 0)
    assert both.occupancy.shape == (2, len(OCCUPANCY_LAYERS), len(OCCUPANCY_TIMES_S), 32, 32, 3)
    torch.testing.assert_close(first.occupancy, both.occupancy[:1], atol=1e-5, rtol=1e-5)
    assert none.occupancy is None


def test_the_forecast_says_where_its_occupancy_lies(tmp_path_factory: pytest.TempPathFactory) -> None:
    hash_ = make_bundle(tmp_path_factory.mktemp("bundle")).hash
    bundle = Bundle(name="tiny", model=MODEL, calibration=Calibration(), hash=hash_)
    (forecast,) = TorchForecaster(bundle)([scene(grid(0))])
    forecast.validate()
    assert forecast.without == ()
    occupancy = forecast.occupancy
    assert occupancy is not None
    assert occupancy.spec == occupancy_spec(SPEC)
    assert occupancy.spec.shape[1:] == occupancy.probability.shape[2:] == (32, 32)
    assert occupancy.times == OCCUPANCY_TIMES_S
    assert occupancy.flow.shape == (*occupancy.probability.shape, 2)
    assert ((occupancy.probability >= 0) & (occupancy.probability <= 1)).all()
    (blind,) = TorchForecaster(bundle)([scene(None)])
    assert blind.without == ("bev",)


def test_occupancy_without_a_grid_is_no_model() -> None:
    with pytest.raises(ValueError, match="give bev too"):
        ModelConfig(occupancy=True)


def test_the_sizes_of_a_model_with_a_grid_survive_its_bundle() -> None:
    assert ModelConfig.from_dict(CONFIG.to_dict()) == CONFIG
