"""The ego's plan in the model: it acts forwards in time only, and only on what happens, not on how likely."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_road_map, make_scene
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drivewm.batch import tensors
from drivewm.features import featurize
from drivewm.model import ModelConfig, ModelOutputs, WorldModel
from drivewm.types import EgoPlan, Kind, Scene

STEPS, CHUNKS, AGENTS = 12, 4, 3
CPU = torch.device("cpu")
CONFIG = ModelConfig(
    dim=16, heads=2, layers=1, joint_modes=3, candidates=4, polylines=8, use_signals=True, use_plan=True,
    plan_width=8, plan_awareness=True, plan_by_mode=True, reaction_layers=1, street_heads=True,
)  # fmt: skip
POSITIONS = ("joint_position", "marginal_position", "joint_spread", "marginal_spread", "crossing_logit")
torch.set_num_threads(1)


def make_model() -> WorldModel:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    model.anchors.normal_()
    return model


MODEL = make_model()


def plans(seed: int, count: int = 1) -> EgoPlan:
    rng = np.random.default_rng(seed)
    pose = np.cumsum(rng.normal(1.0, 1.0, (count, STEPS, 3)), axis=1)
    return EgoPlan(pose=pose, valid=np.ones((count, STEPS), bool))


def scene(plan: EgoPlan | None, kind: Kind = Kind.PEDESTRIAN) -> Scene:
    return replace(make_scene(agents=AGENTS, road_map=make_road_map(), kind=kind), plan=plan)


def run(model: WorldModel, *scenes: Scene) -> ModelOutputs:
    with torch.no_grad():
        out: ModelOutputs = model(tensors(featurize(scenes, sizes=model.config.sizes), CPU))
    return out


def up_to(x: Tensor, step: int) -> Tensor:
    """The first steps of an output; the step axis is the last of the crossing, else the last but one."""
    return x[..., :step] if x.dim() == 3 else x[..., :step, :]


@settings(max_examples=15)
@given(first=st.integers(0, STEPS - 1), seed=st.integers(0, 100), on_wheels=st.booleans())
def test_changing_the_plan_leaves_all_chunks_before_the_change_alone(
    first: int, seed: int, on_wheels: bool
) -> None:
    """To the last bit: what the ego does later is nobody's reason now."""
    kind = Kind.VEHICLE if on_wheels else Kind.PEDESTRIAN
    plan = plans(seed)
    pose = plan.pose.copy()
    pose[:, first:] += 3.0
    one, other = (run(MODEL, scene(p, kind)) for p in (plan, replace(plan, pose=pose)))
    per_chunk = STEPS // CHUNKS
    safe = first // per_chunk * per_chunk
    for name in POSITIONS:
        before = up_to(getattr(one, name), safe), up_to(getattr(other, name), safe)
        torch.testing.assert_close(*before, atol=0, rtol=0)
    # ... and the chunk in which it changes does change.
    end = safe + per_chunk
    for name in ("joint_position", "marginal_position"):
        assert not torch.equal(up_to(getattr(one, name), end), up_to(getattr(other, name), end))


def test_a_plan_cut_short_is_the_whole_plan_up_to_there() -> None:
    """Known for 6 steps: the first two chunks are those of the plan known to its end."""
    plan = plans(3)
    valid = np.arange(STEPS) < 6
    cut = EgoPlan(pose=np.where(valid[None, :, None], plan.pose, 0.0), valid=valid[None])
    whole, part = run(MODEL, scene(plan)), run(MODEL, scene(cut))
    torch.testing.assert_close(up_to(part.joint_position, 6), up_to(whole.joint_position, 6), atol=0, rtol=0)
    assert not torch.equal(part.joint_position, whole.joint_position)


def test_the_null_plan_is_a_model_without_a_plan() -> None:
    told = run(MODEL, scene(None))
    deaf = make_model()
    deaf.plan_effect = deaf.plan_shift = None
    unaware = run(deaf, scene(None))
    for name in (*POSITIONS, "joint_logit", "marginal_logit", "existence_logit"):
        torch.testing.assert_close(getattr(told, name), getattr(unaware, name), atol=0, rtol=0)


def test_how_probable_a_mode_is_does_not_depend_on_the_plan() -> None:
    one, other = run(MODEL, scene(plans(1))), run(MODEL, scene(plans(2)))
    assert not torch.equal(one.joint_position, other.joint_position)
    for name in ("joint_logit", "marginal_logit", "existence_logit", "latent"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=0, rtol=0)


def test_several_plans_in_one_call_are_one_call_each() -> None:
    """Two scenes under three plans each: the futures of a scene lie beside each other."""
    many = plans(5, count=3)
    scenes = [replace(scene(many), tracks=make_scene(agents=n, speed=1.0 + n).tracks) for n in (2, 3)]
    together = run(MODEL, *scenes)
    assert together.joint_position.shape[0] == 6
    for i, street in enumerate(scenes):
        for g in range(3):
            single = EgoPlan(pose=many.pose[g : g + 1], valid=many.valid[g : g + 1])
            alone = run(MODEL, replace(street, plan=single))
            here = street.tracks.agents
            for name in ("joint_position", "marginal_position", "crossing_logit"):
                got, want = getattr(together, name)[i * 3 + g], getattr(alone, name)[0]
                got = got[:here] if name == "crossing_logit" else got[:, :here]
                torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(together.joint_logit[i * 3 + g], alone.joint_logit[0])


def test_a_plan_turned_and_moved_with_the_scene_changes_nothing() -> None:
    """Positions are in each agent's own frame: only where the ego goes relative to them counts."""
    yaw, shift = 2.1, np.array([300.0, -40.0])
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    plan = plans(7)
    moved_pose = np.concatenate([plan.pose[..., :2] @ turn.T + shift, plan.pose[..., 2:] + yaw], axis=-1)
    here = replace(make_scene(agents=AGENTS), plan=plan)
    there = replace(
        make_scene(agents=AGENTS, heading=yaw, origin=(300.0, -40.0)), plan=replace(plan, pose=moved_pose)
    )
    one, other = run(MODEL, here), run(MODEL, there)
    torch.testing.assert_close(one.joint_position, other.joint_position, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["joint_position", "marginal_position"])
def test_without_the_mask_the_plan_would_reach_back(name: str) -> None:
    """The claim about time holds because of the mask, not because the plan has no effect."""
    blind = make_model()
    assert blind.prefixes is not None
    blind.prefixes.allowed = torch.ones_like(blind.prefixes.allowed)
    plan = plans(1)
    pose = plan.pose.copy()
    pose[:, -1] += 3.0
    one, other = (run(blind, scene(p)) for p in (plan, replace(plan, pose=pose)))
    assert not torch.equal(up_to(getattr(one, name), 3), up_to(getattr(other, name), 3))
