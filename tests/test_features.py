"""From a scene to the model's inputs and back: what must not depend on where and how a scene is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import make_bundle
from conftest import make_road_map, make_scene, make_tracks
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from drivewm.batch import tensors
from drivewm.checkpoint import load_bundle
from drivewm.features import INPUT_NAMES, ModelInputs, featurize
from drivewm.forecaster import TorchForecaster
from drivewm.frames import from_frame, rotate
from drivewm.timing import TimeGrid
from drivewm.tracks import tracks_from_positions
from drivewm.types import Forecast, Kind, RoadMap, Scene

TOLERANCE_M = 1e-3
SLOTS = len(TimeGrid().ages)


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> TorchForecaster:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(
        folder, polylines=32
    )  # room for the whole street: cutting it off at a tie depends on rounding
    return TorchForecaster(load_bundle(folder))


def busy_scene(agents: int = 4, seed: int = 0) -> Scene:
    """Pedestrians, cyclists and cars on curved ways, histories of different length, and a street."""
    rng = np.random.default_rng(seed)
    times = -np.asarray(TimeGrid().ages)
    heading = rng.uniform(-3, 3, (agents, 1)) + rng.uniform(-0.3, 0.3, (agents, 1)) * times
    speed = rng.uniform(0.8, 4.0, (agents, 1, 1))
    way = speed * times[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    valid = np.arange(SLOTS) < rng.integers(4, SLOTS + 1, (agents, 1))
    tracks = tracks_from_positions(
        position=rng.uniform(-15, 15, (agents, 1, 2)) + way,
        valid=valid,
        times=times,
        kind=np.arange(agents) % 3,
        size=np.full((agents, 2), 0.6),
        ids=tuple(map(str, range(agents))),
    )
    return Scene(tracks=tracks, t_s=0.0, road_map=make_road_map())


def moved(scene: Scene, pose: ndarray) -> Scene:
    """The scene turned and shifted, its tracks estimated anew from the moved positions."""
    old, lines = scene.tracks, scene.road_map.points
    tracks = tracks_from_positions(
        position=from_frame(old.position, np.broadcast_to(pose, (*old.valid.shape, 3))),
        valid=old.valid,
        times=old.times,
        kind=old.kind,
        size=old.size,
        ids=old.ids,
    )
    points = from_frame(lines, np.broadcast_to(pose, (*lines.shape[:2], 3)))
    return replace(scene, tracks=tracks, road_map=replace(scene.road_map, points=points))


def permuted(scene: Scene, order: ndarray) -> Scene:
    old = scene.tracks
    tracks = tracks_from_positions(
        position=old.position[order],
        valid=old.valid[order],
        times=old.times,
        kind=old.kind[order],
        size=old.size[order],
        ids=tuple(old.ids[i] for i in order),
    )
    return replace(scene, tracks=tracks)


def paths(forecast: Forecast) -> ndarray:
    """Joint modes and marginal candidates together: K+M A F 2."""
    return np.concatenate([forecast.position, forecast.marginal_position])


def test_an_agent_looks_at_the_world_from_its_own_frame() -> None:
    """A car going north at 10 m/s was 4 m behind itself 0.4 s ago, and its velocity is straight ahead."""
    scene = make_scene(agents=1, speed=10.0, heading=np.pi / 2, kind=Kind.VEHICLE, origin=(100.0, 200.0))
    inputs = featurize([scene], agents=2, polylines=4)
    np.testing.assert_allclose(inputs.history[0, 0, 3], [-4.0, 0.0, 10.0, 0.0, 0.4], atol=1e-5)
    np.testing.assert_allclose(inputs.agent_pose[0, 0], [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(inputs.agent_velocity[0, 0], [10, 0], atol=1e-5)
    np.testing.assert_allclose(inputs.attributes[0, 0], [0, 0, 1, 4.5, 1.9, 1, 10, 1], atol=1e-5)


def test_inputs_have_fixed_shapes_and_names() -> None:
    inputs = featurize([make_scene(agents=3, road_map=make_road_map())], agents=7, polylines=9)
    shapes = {name: array.shape for name, array in inputs.as_dict().items()}
    assert tuple(shapes) == INPUT_NAMES
    assert shapes["history"] == (1, 7, SLOTS, 5)
    assert shapes["lines"] == (1, 9, 10, 4)
    assert {array.dtype for array in inputs.as_dict().values()} == {np.dtype(np.float32)}


def test_padding_is_zero() -> None:
    """The street has 4 lines of 100 m, 6 pieces of at most 18 m each, and a crosswalk of 22 m, 2 pieces."""
    inputs = featurize([make_scene(agents=3, road_map=make_road_map())], agents=7, polylines=40)
    per_agent = [array for name, array in inputs.as_dict().items() if not name.startswith("line")]
    assert not any(array[0, 3:].any() for array in per_agent)
    assert inputs.line_mask[0].tolist() == [1] * 26 + [0] * 14
    assert not inputs.lines[0, 26:].any()


def test_more_agents_than_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="3 agents do not fit 2 slots"):
        featurize([make_scene(agents=3)], agents=2)


def test_a_polyline_farther_than_sixty_metres_is_left_out() -> None:
    line = np.array([[[-5.0, 61.0], [5.0, 61.0]], [[-5.0, 59.0], [5.0, 59.0]]])
    road_map = RoadMap(points=line, valid=np.ones((2, 2), bool), kind=np.array([0, 3]))
    inputs = featurize([make_scene(agents=1, road_map=road_map)], polylines=4)
    assert inputs.line_mask.sum() == 1
    assert inputs.line_kind[0, 0, 3] == 1


@settings(max_examples=15, deadline=None)
@given(
    yaw=st.floats(-np.pi, np.pi),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    seed=st.integers(0, 1000),
)
def test_turning_and_moving_the_scene_turns_and_moves_the_forecast(
    forecast: TorchForecaster, yaw: float, x: float, y: float, seed: int
) -> None:
    """Within a millimetre, covariances included."""
    pose = np.array([x, y, yaw])
    scene = busy_scene(seed=seed)
    before, after = forecast([scene, moved(scene, pose)])
    expected = from_frame(paths(before), np.broadcast_to(pose, (*paths(before).shape[:-1], 3)))
    np.testing.assert_allclose(paths(after), expected, atol=TOLERANCE_M)
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s], [s, c]])
    np.testing.assert_allclose(after.covariance, turn @ before.covariance @ turn.T, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(after.mode_probability, before.mode_probability, atol=1e-4)


def test_someone_who_never_moved_is_forecast_along_the_axes_of_the_scene(forecast: TorchForecaster) -> None:
    """The exception to turning: without a heading the forecast keeps its direction in the turned scene."""
    scene = replace(make_scene(agents=1, speed=0.0, origin=(3.0, 1.0)), road_map=RoadMap.empty())
    assert not scene.tracks.heading_valid.any()
    before, after = forecast([scene, moved(scene, np.array([0.0, 0.0, 1.0]))])
    offset = paths(before) - [3.0, 1.0]
    assert np.abs(offset).max() > 0.1
    np.testing.assert_allclose(paths(after) - rotate(np.array([3.0, 1.0]), np.array(1.0)), offset, atol=1e-5)


def test_coordinates_as_large_as_utm_change_nothing(forecast: TorchForecaster) -> None:
    shift = np.array([500_000.0, 5_000_000.0])
    scene = busy_scene()
    near, far = forecast([scene, moved(scene, np.array([*shift, 0.0]))])
    assert np.abs(paths(far) - shift - paths(near)).max() < TOLERANCE_M


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(5)))
def test_permuting_agents_permutes_the_forecast(forecast: TorchForecaster, order: list[int]) -> None:
    scene = busy_scene(agents=5)
    before, after = forecast([scene, permuted(scene, np.array(order))])
    np.testing.assert_allclose(paths(after), paths(before)[:, order], atol=1e-4)
    np.testing.assert_allclose(after.marginal_probability, before.marginal_probability[:, order], atol=1e-5)


def test_a_padded_agent_changes_nothing(forecast: TorchForecaster) -> None:
    """Even if its slot holds values: only the mask decides."""
    scene = busy_scene(agents=3)
    tight = featurize([scene], polylines=8)
    wide = featurize([scene], agents=9, polylines=8).as_dict()
    for name in ("history", "attributes", "agent_pose", "agent_velocity"):
        wide[name][:, 3:] = 2.5
    small = forecast.model(tensors(tight, forecast.device))
    large = forecast.model(tensors(ModelInputs(**wide), forecast.device))
    for name in ("joint_position", "marginal_position", "marginal_logit"):
        want = getattr(small, name).detach().numpy()
        np.testing.assert_allclose(getattr(large, name).detach().numpy()[:, :, :3], want, atol=1e-4)
    np.testing.assert_allclose(large.joint_logit.detach(), small.joint_logit.detach(), atol=1e-5)


def test_a_neighbour_changes_the_forecast(forecast: TorchForecaster) -> None:
    """Without this the claims about padding and order would hold for a model that looks at nobody."""
    alone, together = forecast([Scene(tracks=make_tracks(agents=n), t_s=0.0) for n in (1, 2)])
    assert np.abs(together.position[:, :1] - alone.position).max() > 1e-3


def test_the_map_changes_the_forecast(forecast: TorchForecaster) -> None:
    bare, street = forecast([make_scene(agents=1), make_scene(agents=1, road_map=make_road_map())])
    assert np.abs(street.position - bare.position).max() > 1e-3


def test_the_bundle_read_back_forecasts_as_the_one_saved(tmp_path: Path) -> None:
    """Weights are stored in fp16: rounding them moves nobody by a centimetre here."""
    saved = make_bundle(tmp_path)
    ours, theirs = (TorchForecaster(b)([busy_scene()])[0] for b in (saved, load_bundle(tmp_path)))
    assert np.abs(paths(ours) - paths(theirs)).max() < 0.01
    assert theirs.model_hash == saved.hash
