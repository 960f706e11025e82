"""Training: windows, batches and the loop. Small models, a few steps, real code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from street import recording, write_scenes

from drivewm import losses
from drivewm.anchors import kmeans
from drivewm.checkpoint import load_bundle
from drivewm.cli import main
from drivewm.errors import InputError
from drivewm.model import ModelConfig, WorldModel
from drivewm.objective import ObjectiveConfig
from drivewm.timing import TimeGrid
from drivewm.training import TrainConfig, Trainer, fit
from drivewm_datasets.augment import PEDESTRIANS, Augmentation, augment
from drivewm_datasets.fitting import RunConfig, run_training, split_by_scene
from drivewm_datasets.loader import Loader
from drivewm_datasets.sampling import scene_at
from drivewm_datasets.store import read_recordings
from drivewm_datasets.windows import TimeLayout, training_windows

GRID = TimeGrid()
TINY = ModelConfig(dim=16, heads=2, layers=1, joint_modes=3, candidates=4, use_map=False, polylines=0)
LAYOUT = TimeLayout(GRID, TINY.chunks)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "data", scenes=3, seconds=12.0, wiggle=0.05)


def make_loader(data: Path, augmentation: Augmentation = PEDESTRIANS) -> Loader:
    windows = [w for r in read_recordings(data) for w in training_windows(r, LAYOUT, 0.4)]
    return Loader(windows=windows, layout=LAYOUT, agents=24, augmentation=augmentation)


def test_the_time_layout_holds_every_slot_of_every_past_and_the_future() -> None:
    np.testing.assert_allclose(LAYOUT.times[LAYOUT.past_index[0]], -np.asarray(GRID.ages))
    np.testing.assert_allclose(LAYOUT.times[LAYOUT.past_index[4]], 4.8 - np.asarray(GRID.ages))
    np.testing.assert_allclose(LAYOUT.times[LAYOUT.future_index], GRID.horizons)


def test_running_a_window_backwards_swaps_first_and_last() -> None:
    index = LAYOUT.reversed_index
    assert index[0] == len(LAYOUT.times) - 1
    on_grid = index >= 0
    np.testing.assert_allclose(LAYOUT.times[index[on_grid]], 2.0 - LAYOUT.times[on_grid], atol=1e-6)


def test_training_sees_what_serving_sees(tmp_path: Path) -> None:
    """No train/serve skew: the window's inputs equal featurize of the scene at the same moment."""
    from drivewm.features import featurize

    walkers = recording(tmp_path, hz=10.0, seconds=9.0, wiggle=0.02)
    window = training_windows(walkers, LAYOUT, 0.4)[7]  # the first frame has no past: these start at 0.4 s
    loader = Loader(windows=[window], layout=LAYOUT, agents=3)
    batch = next(iter(loader.in_order()))
    served = featurize([scene_at(walkers, 3.2, GRID)], polylines=0)
    for name, value in served.as_dict().items():
        np.testing.assert_allclose(getattr(batch.inputs, name), value, atol=2e-4, err_msg=name)


def test_the_truth_is_written_in_each_agents_own_frame(tmp_path: Path) -> None:
    """Everyone walks straight at 1.2 m/s: in their own frames they all end 5.76 m ahead."""
    walkers = recording(tmp_path, hz=2.5, seconds=9.0)
    loader = Loader(windows=training_windows(walkers, LAYOUT, 0.4), layout=LAYOUT, agents=64)
    batch = next(iter(loader.in_order()))
    assert batch.target.all()
    np.testing.assert_allclose(batch.future[..., -1, 0], 5.76, atol=1e-4)
    np.testing.assert_allclose(batch.future[..., -1, 1], 0.0, atol=1e-4)


def test_a_batch_is_a_function_of_step_and_seed(data: Path) -> None:
    loader = make_loader(data)
    one, again, other = loader.batch_at(3, 7), loader.batch_at(3, 7), loader.batch_at(4, 7)
    np.testing.assert_array_equal(one.future, again.future)
    assert one.future.shape != other.future.shape or not np.array_equal(one.future, other.future)


def test_only_the_best_future_learns_once_annealed() -> None:
    error = torch.tensor([[[2.0], [1.0], [3.0]]])
    assert losses.winners(error, 0.0)[0, :, 0].tolist() == [0.0, 1.0, 0.0]
    soft = losses.winners(error, 1.0)[0, :, 0]
    assert soft[1] > soft[0] > soft[2] > 0


def test_the_training_likelihood_is_the_normal_density() -> None:
    """Independent unit normals at distance (1, 0): -log p = 0.5 + log 2 pi."""
    position = torch.zeros(1, 1, 1, 1, 2)
    future = torch.tensor([[[[1.0, 0.0]]]])
    value = losses.mixture_nll(
        position, torch.zeros(1, 1, 1, 1, 3), torch.zeros(1, 1, 1), future, torch.ones(1, 1)
    )
    assert float(value) == pytest.approx(0.5 + losses.LOG_2PI)


def test_collapsed_latents_are_punished_and_spread_ones_are_not() -> None:
    torch.manual_seed(0)
    spread = torch.randn(4000, 8)
    assert float(losses.variance_covariance(torch.ones(100, 8))) > 0.9
    assert float(losses.variance_covariance(spread)) < 0.1
    assert losses.effective_rank(spread) > 7.9
    assert losses.effective_rank(spread[:, :1] * torch.ones(1, 8)) == pytest.approx(1.0, abs=1e-3)


def test_kmeans_finds_separate_clouds() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.concatenate([c + rng.normal(0, 0.1, (50, 2)) for c in truth])
    found = kmeans(points, 3, rng)
    distance = np.linalg.norm(found[:, None] - truth, axis=-1)
    assert distance.min(0).max() < 0.1


def test_a_few_steps_lower_the_error(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TrainConfig(steps=40, validate_every=20, learning_rate=3e-3)
    loader = make_loader(data)
    figures: list[float] = []
    fit(
        WorldModel(TINY),
        loader,
        replace(loader, augmentation=Augmentation()),
        config,
        tmp_path / "run",
        log=lambda step, f: figures.append(f["marginal"]),
    )
    assert np.mean(figures[-5:]) < 0.8 * np.mean(figures[:5])


def test_resuming_ends_where_an_undisturbed_run_ends(data: Path, tmp_path: Path) -> None:
    """Stopped after 6 of 12 steps and resumed: the same weights, bit for bit."""
    loader = make_loader(data)
    check = replace(loader, augmentation=Augmentation())
    config = TrainConfig(steps=12, validate_every=6)

    def train(run: Path, resume: bool) -> WorldModel:
        torch.manual_seed(0)
        return fit(WorldModel(TINY), loader, check, config, run, resume=resume).model

    whole = train(tmp_path / "whole", resume=False)

    class Stop(Exception):
        pass

    def stop_half_way(step: int, figures: dict[str, float]) -> None:
        if step == 6:
            raise Stop

    torch.manual_seed(0)
    with pytest.raises(Stop):
        fit(WorldModel(TINY), loader, check, config, tmp_path / "half", log=stop_half_way)
    torch.manual_seed(99)
    resumed = fit(WorldModel(TINY), loader, check, config, tmp_path / "half", resume=True).model
    for (name, a), (_, b) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_ctrl_c_leaves_a_checkpoint_of_the_last_step(data: Path, tmp_path: Path) -> None:
    """Interrupting between two validations once lost every step since the last of them."""
    loader = make_loader(data)

    def interrupt(step: int, figures: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    config = TrainConfig(steps=8, validate_every=8)
    with pytest.raises(KeyboardInterrupt):
        fit(WorldModel(TINY), loader, loader, config, tmp_path / "run", log=interrupt)
    trainer = Trainer(WorldModel(TINY), config, tmp_path / "run", torch.device("cpu"))
    trainer.resume()
    assert trainer.step == 3


def test_a_checkpoint_of_other_settings_is_not_resumed(data: Path, tmp_path: Path) -> None:
    loader = make_loader(data)
    first = TrainConfig(steps=2, validate_every=1)
    fit(WorldModel(TINY), loader, loader, first, tmp_path / "run")
    trainer = Trainer(
        WorldModel(TINY), replace(first, learning_rate=5e-4), tmp_path / "run", torch.device("cpu")
    )
    with pytest.raises(InputError, match="other settings"):
        trainer.resume()


def test_without_the_latent_objective_no_latent_term_is_computed(data: Path, tmp_path: Path) -> None:
    loader = make_loader(data)
    seen: list[set[str]] = []
    config = TrainConfig(steps=1, objective=ObjectiveConfig(latent=0.0))
    fit(WorldModel(TINY), loader, loader, config, tmp_path / "run", log=lambda s, f: seen.append(set(f)))
    assert not seen[0] & {"latent", "collapse"}


def test_a_bundle_gives_back_what_was_trained(data: Path, tmp_path: Path) -> None:
    recordings = read_recordings(data)
    training, validation = split_by_scene(recordings)
    config = RunConfig(
        name="tiny", model=TINY, train=TrainConfig(steps=4, validate_every=2), augmentation=PEDESTRIANS
    )
    made = run_training(training, validation, config, tmp_path / "run")
    read = load_bundle(tmp_path / "run")
    assert read.hash == made.hash
    assert read.trained_on == tuple(r.name for r in training)
    assert "SHA-256 of the training scenes" in (tmp_path / "run" / "card.md").read_text()
    for name, value in read.model.state_dict().items():
        torch.testing.assert_close(value, made.model.state_dict()[name], atol=2e-3, rtol=2e-3)


def test_two_hertz_can_be_learned_from(tmp_path: Path) -> None:
    """The truth may lie between two frames half a second apart: it was once held to the strictest slot's
    hole, and recordings at 2 Hz gave no window at all."""
    walkers = recording(tmp_path, hz=2.0, seconds=12.0)
    windows = training_windows(walkers, LAYOUT, 0.4)
    assert len(windows) > 5
    batch = next(iter(Loader(windows=windows, layout=LAYOUT, agents=64).in_order()))
    np.testing.assert_allclose(batch.future[batch.target][:, -1, 0], 5.76, atol=1e-4)


def test_who_is_absent_at_the_mirrored_moment_is_left_out_of_the_reversed_window(tmp_path: Path) -> None:
    walkers = recording(tmp_path, hz=2.5, seconds=9.0)
    window = training_windows(walkers, LAYOUT, 0.4)[6]
    valid = window.valid.copy()
    valid[1, np.searchsorted(LAYOUT.times, 2.0)] = False  # gone when the window turns round
    sample = augment(
        replace(window, valid=valid), LAYOUT, Augmentation(reverse=1.0), np.random.default_rng(0)
    )
    assert len(sample.kind) == 2


def test_the_validation_scenes_follow_no_cycle_of_the_collection(tmp_path: Path) -> None:
    """Policies taken in turn must not put all scenes of one policy into validation."""
    write_scenes(tmp_path / "data", scenes=60, agents=1, seconds=1.0)
    training, validation = split_by_scene(read_recordings(tmp_path / "data"))
    assert len(validation) == 6
    assert not {r.name for r in training} & {r.name for r in validation}
    assert {int(r.scene.removeprefix("scene")) % 2 for r in validation} == {0, 1}


def test_a_run_is_not_resumed_with_other_data(data: Path, tmp_path: Path) -> None:
    """Once a resumed run took the new data's names onto a model that had never seen them."""
    recordings = read_recordings(data)
    config = RunConfig(
        name="tiny", model=TINY, train=TrainConfig(steps=2, validate_every=1), augmentation=PEDESTRIANS
    )
    run_training(recordings[:2], recordings[2:], config, tmp_path / "run")
    with pytest.raises(InputError, match="other settings or data"):
        run_training(recordings[1:], recordings[:1], config, tmp_path / "run", resume=True)
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(InputError, match="other settings or data"):
        run_training(recordings[1:], recordings[:1], config, tmp_path / "run", resume=True)


def test_masked_polylines_change_nothing_also_where_there_is_no_map() -> None:
    """All lines masked once spread the softmax over the padding: its content moved forecasts by metres."""
    from conftest import make_scene

    from drivewm.batch import tensors
    from drivewm.features import featurize

    torch.manual_seed(0)
    model = WorldModel(replace(TINY, use_map=True, polylines=4)).eval()
    inputs = tensors(featurize([make_scene()], polylines=4), torch.device("cpu"))
    assert float(inputs["line_mask"].sum()) == 0
    with torch.no_grad():
        empty = model(inputs)
        inputs["lines"] += 5.0
        inputs["line_kind"] += 1.0
        other = model(inputs)
    torch.testing.assert_close(empty.joint_position, other.joint_position, atol=0, rtol=0)


def test_one_scene_is_too_few_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 scenes"):
        split_by_scene([recording(tmp_path)])


def test_the_command_trains_and_refuses_a_used_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "3"]
    assert main([*arguments, "--json", str(tmp_path / "figures.json")]) == 0
    assert (tmp_path / "run" / "weights.safetensors").exists()
    assert (tmp_path / "figures.json").exists()
    capsys.readouterr()
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    capsys.readouterr()
    assert main([*arguments[:-1], "4", "--resume"]) == 2  # finished, but with other settings
    assert "other settings" in capsys.readouterr().err


def test_a_run_starts_from_a_bundle_and_only_what_is_named_learns(data: Path, tmp_path: Path) -> None:
    recordings = read_recordings(data)
    first = RunConfig(
        name="first", model=TINY, train=TrainConfig(steps=2, validate_every=2), augmentation=PEDESTRIANS
    )
    run_training(recordings[:2], recordings[2:], first, tmp_path / "first")
    again = replace(first, init=str(tmp_path / "first"), only=("decoder",))
    run_training(recordings[:2], recordings[2:], again, tmp_path / "second")
    before = load_bundle(tmp_path / "first").model.state_dict()
    after = load_bundle(tmp_path / "second").model.state_dict()
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("decoder") for name in changed)


def test_weights_that_nobody_has_cannot_learn(data: Path, tmp_path: Path) -> None:
    recordings = read_recordings(data)
    config = RunConfig(
        name="first", model=TINY, train=TrainConfig(steps=1, validate_every=1), augmentation=PEDESTRIANS
    )
    with pytest.raises(InputError, match="--only"):
        run_training(recordings[:2], recordings[2:], replace(config, only=("nose",)), tmp_path / "second")
