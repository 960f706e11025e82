"""No train/serve skew: what training shows of a drive is, array by array, what the car would show."""

from __future__ import annotations

import numpy as np
import pytest
from toy_street import MOMENT, SPEC, toy_drive

from drivewm.features import InputSizes, ModelInputs, featurize
from drivewm.frames import to_frame
from drivewm.timing import TimeGrid
from drivewm_datasets.augment import Augmentation, augment
from drivewm_datasets.collisions import reactions
from drivewm_datasets.drive_scenes import moment_at
from drivewm_datasets.loader import Loader, make_batch
from drivewm_datasets.street_windows import window_at
from drivewm_datasets.windows import TimeLayout

GRID = TimeGrid()
LAYOUT = TimeLayout(GRID, 4)
SIZES = InputSizes(polylines=16, signals=True, plan=True, bev=SPEC)
AS_IS = Augmentation(drop_plan=1.0)
NO_GRID = MOMENT  # grids are kept of every fourth frame
RNG = np.random.default_rng(0)


def same(ours: ModelInputs, served: ModelInputs, *, but: tuple[str, ...] = ()) -> None:
    assert ours.as_dict().keys() == served.as_dict().keys()
    for name, value in served.as_dict().items():
        if name not in but:
            np.testing.assert_allclose(getattr(ours, name), value, atol=2e-4, err_msg=name)


# In 8 the histories are young, in 20 all is known, in 52 a lost track is carried on.
@pytest.mark.parametrize("frame", [8, 20, NO_GRID, 48, 52])
def test_training_sees_what_the_car_sees_under_the_null_plan(frame: int) -> None:
    drive = toy_drive()
    window = window_at(drive, LAYOUT, frame)
    assert window is not None
    batch = make_batch([augment(window, LAYOUT, AS_IS, RNG)], LAYOUT, 0, SIZES, False)
    served = featurize([moment_at(drive, frame, GRID).scene], sizes=SIZES)
    same(batch.inputs, served)
    assert served.bev_mask is not None
    assert served.bev_mask.all() == (frame != NO_GRID)
    assert served.line_signal is not None
    assert served.line_signal.any()


def test_validation_batches_are_what_the_car_sees() -> None:
    """Two windows, under the null plan: the recorded one once told the validation what the ego would do."""
    drive = toy_drive()
    windows = [w for w in (window_at(drive, LAYOUT, f) for f in (16, 20)) if w is not None]
    loader = Loader(windows=windows, layout=LAYOUT, agents=64, sizes=SIZES)
    (batch,) = loader.in_order()
    served = featurize([moment_at(drive, f, GRID).scene for f in (16, 20)], sizes=SIZES)
    same(batch.inputs, served)


def test_a_branched_window_shows_the_plans_that_the_car_would_try() -> None:
    drive = toy_drive()
    branches = reactions(drive, MOMENT)
    window = window_at(drive, LAYOUT, MOMENT, branches)
    assert window is not None
    sample = augment(window, LAYOUT, Augmentation(), RNG)
    batch = make_batch([sample], LAYOUT, 0, SIZES, False, np.array([[0, 1]]))
    moment = moment_at(drive, MOMENT, GRID, branches)
    served = featurize([moment.scene], sizes=SIZES)
    same(batch.inputs, served)
    assert served.plan is not None
    assert served.plan.shape == (1, 2, 12, 4)
    assert batch.plans == 2
    # The truth of both plans, in each agent's frame of now.
    now = moment.scene.tracks.pose[:, :1]
    for g in range(2):
        want = to_frame(moment.future[g], np.broadcast_to(now, (*moment.future[g].shape[:2], 3)))
        np.testing.assert_allclose(batch.future[g, batch.target[g]], want[batch.target[g]], atol=2e-4)


def test_plans_in_another_order_are_the_same_plans() -> None:
    drive = toy_drive()
    window = window_at(drive, LAYOUT, MOMENT, reactions(drive, MOMENT))
    assert window is not None
    sample = augment(window, LAYOUT, Augmentation(), RNG)
    one, other = (
        make_batch([sample], LAYOUT, 0, SIZES, False, np.array([rows])) for rows in ([0, 1], [1, 0])
    )
    assert one.inputs.plan is not None
    assert other.inputs.plan is not None
    np.testing.assert_array_equal(one.inputs.plan[:, ::-1], other.inputs.plan)
    np.testing.assert_array_equal(one.future[::-1], other.future)


def test_mirroring_a_window_mirrors_its_grid() -> None:
    window = window_at(toy_drive(), LAYOUT, 20)
    assert window is not None
    plain, mirrored = (
        make_batch([augment(window, LAYOUT, how, RNG)], LAYOUT, 0, SIZES, False)
        for how in (AS_IS, Augmentation(drop_plan=1.0, mirror=1.0))
    )
    assert plain.inputs.bev is not None
    assert mirrored.inputs.bev is not None
    np.testing.assert_array_equal(mirrored.inputs.bev, plain.inputs.bev[..., ::-1])
    flip = np.array([1, -1, 1, -1], np.float32)
    np.testing.assert_allclose(mirrored.inputs.agent_pose, plain.inputs.agent_pose * flip, atol=1e-5)


@pytest.mark.parametrize("part", ["map", "signals", "bev", "plan"])
def test_a_part_that_is_dropped_is_gone_and_nothing_else(part: str) -> None:
    window = window_at(toy_drive(), LAYOUT, 20)
    assert window is not None
    whole, without = (
        make_batch([augment(window, LAYOUT, how, RNG)], LAYOUT, 0, SIZES, False).inputs
        for how in (Augmentation(), Augmentation(**{f"drop_{part}": 1.0}))
    )
    gone = {
        "map": ("line_mask", "lines", "line_kind", "line_pose", "line_signal"),
        "signals": ("line_signal",),
        "bev": ("bev", "bev_mask"),
        "plan": ("plan", "plan_mask"),
    }[part]
    same(without, whole, but=gone)
    for name in gone:
        assert getattr(whole, name).any(), name
        assert not getattr(without, name).any(), name
