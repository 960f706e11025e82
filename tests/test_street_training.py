"""Learning from drives: every part of a model learns, from plain windows and from branched moments."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from numpy import ndarray
from toy_street import SPEC, toy_drive

from drivewm.batch import Batch
from drivewm.bev import BevSpec
from drivewm.model import ModelConfig, WorldModel
from drivewm.objective import ObjectiveConfig, objective
from drivewm.timing import TimeGrid
from drivewm.training import TrainConfig
from drivewm.types import Kind
from drivewm_datasets.augment import PEDESTRIANS, Augmentation, augment
from drivewm_datasets.fitting import RunConfig, training_source, validation_source, windows_of
from drivewm_datasets.street_windows import AsRecorded, street_windows, window_at
from drivewm_datasets.windows import TimeLayout, TrainingWindow

LAYOUT = TimeLayout(TimeGrid(), 4)
MODEL = ModelConfig(
    dim=16, heads=2, layers=1, joint_modes=3, candidates=4, polylines=8, use_signals=True, use_plan=True,
    plan_width=8, reaction_layers=1, start=True, street_heads=True, bev=SPEC, occupancy=True,
)  # fmt: skip
CONFIG = RunConfig(
    name="tiny",
    model=MODEL,
    train=TrainConfig(steps=2),
    augmentation=PEDESTRIANS,
    drive_augmentation=Augmentation(mirror=0.5, rotate=True, noise_m=0.03),  # nothing is left out
    batch_agents=12,
    branch_plans=2,
)


NAMES = ("plain", "ticks", "recorded", "branched")


def batches() -> dict[str, Batch]:
    """One of plain windows (with the later view and the occupancy), of two ticks, of windows as a recording
    would show them, of branched moments."""
    windows = windows_of([toy_drive()], LAYOUT, 0.4, branches=True)
    loaders = training_source(windows, LAYOUT, CONFIG).loaders
    return {name: loader.batch_at(0, 1) for name, loader in zip(NAMES, loaders, strict=True)}


def test_every_parameter_learns_from_plain_windows_and_branches_together() -> None:
    torch.manual_seed(0)
    model = WorldModel(MODEL)
    model.anchors.normal_()
    teacher = copy.deepcopy(model.encoder)
    learned: dict[str, set[str]] = {}
    for name, batch in batches().items():
        loss, terms = objective(model, teacher, batch, ObjectiveConfig(), 0.0)
        assert torch.isfinite(loss)
        loss.backward()
        learned[name] = set(terms)
    motion = {"joint", "marginal", "central", "nll", "choice", "overlap", "off_lane"}
    assert learned["recorded"] == motion | {"latent", "collapse"}
    common = motion | {"exists"}
    assert learned["plain"] == common | {"crossing", "occupancy", "latent", "collapse"}
    assert learned["ticks"] == learned["plain"] | {"steady"}
    assert learned["branched"] == common | {"response"}
    deaf = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert deaf == []


def test_branches_keep_their_share_where_no_two_windows_follow_each_other() -> None:
    """Windows a second apart make no ticks: the share of the ticks once went to the branches."""
    source = training_source(windows_of([toy_drive()], LAYOUT, 1.0, branches=True), LAYOUT, CONFIG)
    _plain, recorded, branched = np.array(source.weights) / sum(source.weights)
    assert branched == pytest.approx(CONFIG.branch_share)
    assert recorded == pytest.approx(CONFIG.recorded_share)


def test_a_drive_is_shown_as_a_recording_would_show_it() -> None:
    """The true tracks of those whose truth is known; no plan, no signals, no sensors, no truth of the street,
    and some windows show pedestrians alone."""
    window = window_at(toy_drive(), LAYOUT, 52)
    assert window is not None
    unknown = np.array([False, True, False])
    window = replace(window, valid=window.valid & ~unknown[:, None])
    (shown,) = AsRecorded([window], LAYOUT.now)
    assert shown.street is None
    np.testing.assert_array_equal(shown.position, window.position[[0, 2]])
    twice = replace(
        window,
        **{n: getattr(window, n)[[0, 2, 2]] for n in ("position", "valid", "known", "kind", "size")},
    )
    assert len(AsRecorded([twice], LAYOUT.now)[0].kind) == 2, "a lost and a young track of one person"
    batch = batches()["recorded"]
    given = batch.inputs.as_dict()
    assert batch.street is None
    assert not any(given[name].any() for name in ("plan_mask", "bev_mask", "line_signal"))
    rng = np.random.default_rng(0)
    alone = augment(shown, LAYOUT, Augmentation(people=1.0), rng)
    assert set(alone.kind.tolist()) == {Kind.PEDESTRIAN}
    assert set(augment(shown, LAYOUT, Augmentation(), rng).kind.tolist()) > {Kind.PEDESTRIAN}
    larger = Augmentation(scale=(2.0, 2.0))
    for one, factor in ((shown, 1), (as_pedestrians(shown), 2)):
        np.testing.assert_allclose(
            augment(one, LAYOUT, larger, rng).position, factor * one.position, rtol=1e-6
        )


def as_pedestrians(window: TrainingWindow) -> TrainingWindow:
    return replace(window, kind=np.zeros_like(window.kind))


def test_beside_a_recording_drives_keep_their_weight_whatever_is_learned_from_them() -> None:
    """The shares of ticks, branches and recorded windows once came on top: drives had four times theirs."""
    both = windows_of([toy_drive()], LAYOUT, 0.4, branches=True)
    (listed,) = both.by_set.values()
    bare = list(AsRecorded(listed, LAYOUT.now))
    both.by_set[("recordings", False)] = bare
    (driven, _), *_ = both.by_set
    source = training_source(both, LAYOUT, replace(CONFIG, weights={driven: 1.0, "recordings": 1.0}))
    assert source.weights[1] / sum(source.weights) == pytest.approx(0.5)


def test_a_branched_batch_holds_the_plans_of_a_scene_beside_each_other() -> None:
    batch = batches()["branched"]
    assert batch.plans == 2
    assert batch.inputs.plan is not None
    scenes = len(batch.inputs.agent_mask)
    assert batch.inputs.plan.shape[:2] == (scenes, 2)
    assert len(batch.future) == len(batch.target) == 2 * scenes
    assert batch.later_inputs is None


def test_a_batch_of_drives_is_a_function_of_step_and_seed() -> None:
    source = training_source(windows_of([toy_drive()], LAYOUT, 0.4, branches=True), LAYOUT, CONFIG)
    one, again = source.batch_at(4, 9), source.batch_at(4, 9)
    np.testing.assert_array_equal(one.future, again.future)
    for name, value in one.inputs.as_dict().items():
        np.testing.assert_array_equal(value, getattr(again.inputs, name), err_msg=name)


def test_validation_sees_the_null_plan_in_every_window() -> None:
    """It once saw the recorded plan: checkpoints were chosen and calibrated on more than the car may know."""
    held = windows_of([toy_drive()], LAYOUT, 2.0, branches=False)
    seen = list(validation_source(held, LAYOUT, CONFIG).in_order())
    assert sum(len(batch.inputs.agent_mask) for batch in seen) == held.count
    for batch in seen:
        assert batch.inputs.plan_mask is not None
        assert not batch.inputs.plan_mask.any()


def test_validation_does_not_ask_for_the_ego() -> None:
    """The ego, better seen than anybody, was a quarter of the vehicles that widths were fitted to: regions of
    the others were too narrow by four points."""
    held = windows_of([toy_drive()], LAYOUT, 2.0, branches=False)
    training = replace(CONFIG, drive_augmentation=Augmentation(drop_plan=1.0))
    source = training_source(replace(held, branched=[], ticks=[]), LAYOUT, training)
    plain = source.loaders[0].batch_at(0, 0)
    egos = [w.street.ego for listed in held.by_set.values() for w in listed if w.street is not None]
    assert min(egos) >= 0
    assert plain.target[:, egos[0]].any(), "training does ask for it where its plan is unknown"
    for batch in validation_source(held, LAYOUT, CONFIG).in_order():
        assert batch.target.any()
        assert not batch.target[:, egos[0]].any()


def arrays(part: object) -> dict[str, ndarray]:
    named = {f.name: getattr(part, f.name) for f in fields(part)}  # type: ignore[arg-type]
    return {name: value for name, value in named.items() if isinstance(value, ndarray)}


def test_seeing_worse_touches_the_past_alone() -> None:
    """Noise, young tracks, a slow sensor, holes, swapped identities: the truth and the place of now stay."""
    how = Augmentation(noise_m=0.1, shorten=1.0, sparse=1.0, holes=1.0, swap=1.0)
    for window in street_windows(toy_drive(), LAYOUT, 1.2):
        rng = np.random.default_rng(3)
        plain, worse = augment(window, LAYOUT, Augmentation(), rng), augment(window, LAYOUT, how, rng)
        np.testing.assert_array_equal(worse.past[:, 0], plain.past[:, 0])
        assert worse.past_valid[:, 0].all()
        assert not np.array_equal(worse.past, plain.past)
        np.testing.assert_array_equal(worse.position, plain.position)
        assert plain.street is not None
        assert worse.street is not None
        for name, value in arrays(plain.street).items():
            np.testing.assert_array_equal(value, getattr(worse.street, name), err_msg=name)


def test_a_clean_window_shows_the_true_past_but_not_where_the_hidden_are() -> None:
    """All that was seen is moved by 25 cm: the seen are put right again, "t1", lost for 0.3 s, is not."""
    window = window_at(toy_drive(), LAYOUT, 52)
    assert window is not None
    assert window.street is not None
    assert window.street.unseen_s.tolist() == pytest.approx([0, 0, 0.3])
    astray = replace(window.street, history=window.street.history + 0.25)
    rng = np.random.default_rng(0)
    sample = augment(replace(window, street=astray), LAYOUT, Augmentation(clean=1.0), rng)
    np.testing.assert_allclose(sample.past[:2], window.street.history[:2], atol=1e-5)
    kept = window.street.history_valid[2]
    np.testing.assert_allclose(sample.past[2, kept], astray.history[2, kept], atol=1e-5)


def test_a_grid_of_another_kind_is_not_shown() -> None:
    """A model of a smaller grid gets none, and is told so."""
    small = replace(CONFIG, model=replace(MODEL, bev=BevSpec(x_range=(-8.0, 8.0), y_range=(-8.0, 8.0))))
    windows = windows_of([toy_drive()], LAYOUT, 2.0, branches=False)
    batch = training_source(windows, LAYOUT, small).batch_at(0, 1)
    assert batch.inputs.bev_mask is not None
    assert not batch.inputs.bev_mask.any()
