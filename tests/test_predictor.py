"""In the car: what a drive gives is what its recording gives, and every tick gets an answer."""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import make_bundle
from conftest import make_road_map
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

import drivewm
from drivewm.checkpoint import load_bundle
from drivewm.errors import InputError
from drivewm.export import export_onnx
from drivewm.features import InputSizes, ModelInputs, featurize
from drivewm.forecaster import TorchForecaster
from drivewm.history import TrackHistory
from drivewm.postprocess import Calibration
from drivewm.predictor import Observation, Predictor
from drivewm.runtime import load_runtime
from drivewm.timing import TimeGrid
from drivewm.types import Forecast, Kind, RoadMap
from drivewm_datasets.recording import Recording
from drivewm_datasets.sampling import scene_at

UTM = np.array([500_000.0, 5_000_000.0])
STEPS = len(TimeGrid().horizons)


class FakeRuntime:
    """Says that everybody stays where they are, after `cost_s` on its own clock; or fails."""

    name, hash = "fake", "f" * 64
    sizes, joint_modes, candidates = InputSizes(polylines=8), 2, 3
    grid, calibration = TimeGrid(), Calibration()

    def __init__(self, agents: int = 4) -> None:
        self.agents = agents
        self.cost_s = 0.0
        self.now_s = 0.0
        self.failure: Exception | None = None
        self.value = 0.0
        self.asked: list[ModelInputs] = []

    def clock(self) -> float:
        return self.now_s

    def run(self, inputs: ModelInputs) -> dict[str, ndarray]:
        self.asked.append(inputs)
        self.now_s += self.cost_s
        if self.failure:
            raise self.failure
        shape = {"joint": (1, self.joint_modes, self.agents), "marginal": (1, self.candidates, self.agents)}
        out: dict[str, ndarray] = {}
        for head, lead in shape.items():
            out[f"{head}_position"] = np.full((*lead, STEPS, 2), self.value, np.float32)
            out[f"{head}_spread"] = np.zeros((*lead, STEPS, 3), np.float32)
        out["joint_logit"] = np.zeros((1, self.joint_modes), np.float32)
        out["marginal_logit"] = np.zeros(shape["marginal"], np.float32)
        return out


def seen(agent_id: str, x: float, y: float = 0.0, **more: Any) -> Observation:
    return Observation(**{"agent_id": agent_id, "kind": Kind.PEDESTRIAN, "x": x, "y": y, **more})


def walk(predictor: Predictor, ticks: int, agents: int = 1, start: int = 0) -> Forecast:
    """Agents 2 m apart walk along x at 1 m/s, ten ticks a second; the last forecast."""
    for tick in range(start, start + ticks):
        t = 0.1 * tick
        forecast = predictor.step([seen(str(a), t, 2.0 * a) for a in range(agents)], t)
    return forecast


def make_recording(seed: int, agents: int = 5, frames: int = 45) -> Recording:
    """People, cyclists and a car on random walks, at uneven stamps and with detections missing."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.choice([0.1, 0.1, 0.1, 0.13, 0.4], frames))
    velocity = rng.normal(0, 1, (agents, 1, 2)) + np.cumsum(rng.normal(0, 0.1, (agents, frames, 2)), axis=1)
    path = rng.uniform(-10, 10, (agents, 1, 2)) + np.cumsum(velocity * np.gradient(t)[:, None], axis=1)
    there = rng.uniform(size=(agents, frames)) > 0.25
    there[:, -1] = True
    agent, frame = np.nonzero(there)
    kind = np.arange(agents) % 3
    return Recording(
        dataset="test",
        scene="drive",
        agent_ids=tuple(f"a{i}" for i in range(agents)),
        agent_types=("pedestrian", "cyclist", "car", "pedestrian", "cyclist")[:agents],
        kind=kind,
        size=np.stack([0.5 + kind, 0.4 + kind / 2], axis=-1),
        agent=agent,
        frame=frame,
        t_s=t[frame],
        xy=path[agent, frame] + UTM,
        z=np.zeros(len(agent)),
        road_map=replace(make_road_map(), points=make_road_map().points + UTM),
    )


def drive(predictor: Predictor, recording: Recording) -> list[Forecast]:
    """The recording, frame by frame, into the predictor."""
    forecasts = []
    for frame, t in zip(recording.frames, recording.frame_times, strict=True):
        rows = np.flatnonzero(recording.frame == frame)
        observations = [
            Observation(
                agent_id=recording.agent_ids[recording.agent[row]],
                kind=Kind(int(recording.kind[recording.agent[row]])),
                x=float(recording.xy[row, 0]),
                y=float(recording.xy[row, 1]),
                size=tuple(map(float, recording.size[recording.agent[row]])),
            )
            for row in rows
        ]
        forecasts.append(predictor.step(observations, float(t), road_map=recording.road_map))
    return forecasts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle")
    export_onnx(make_bundle(path), path, (8,))
    return path


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_drive_feeds_the_model_what_its_recording_feeds_it(seed: int) -> None:
    """Bit for bit, through dropped detections, uneven stamps and UTM coordinates."""
    recording = make_recording(seed)
    runtime = FakeRuntime(agents=8)
    forecasts = drive(Predictor(runtime), recording)
    times = [f.t_s for f in forecasts if f.ids]
    assert len(runtime.asked) == len(times)
    for inputs, t in zip(runtime.asked, times, strict=True):
        expected = featurize([scene_at(recording, t, TimeGrid())], agents=8, polylines=8).as_dict()
        for name, array in inputs.as_dict().items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{name} at {t}")


@pytest.mark.parametrize(("backend", "tolerance"), [("torch", 1e-4), ("onnx", 1e-3)])
def test_a_drive_is_forecast_as_its_recording(folder: Path, backend: Any, tolerance: float) -> None:
    recording = make_recording(7)
    live = drive(Predictor.load(folder, backend=backend, agents=8), recording)
    offline = TorchForecaster(load_bundle(folder))([scene_at(recording, f.t_s, TimeGrid()) for f in live])
    assert {source for f in live for source in f.source} == {"model", "kinematic"}
    for ours, theirs in zip(live, offline, strict=True):
        ours.validate()
        assert (ours.ids, ours.source, ours.model_hash) == (theirs.ids, theirs.source, theirs.model_hash)
        for name in ("position", "covariance", "marginal_position", "marginal_probability"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=tolerance, rtol=1e-3)
        if ours.ids:
            np.testing.assert_allclose(ours.mode_probability, theirs.mode_probability, atol=1e-4)


def test_the_predictor_is_found_at_the_top() -> None:
    assert drivewm.Predictor is Predictor
    assert drivewm.Observation is Observation
    with pytest.raises(AttributeError, match="no attribute 'Oracle'"):
        drivewm.Oracle  # noqa: B018


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"backend": "tpu"}, "no backend 'tpu'; there are onnx, torch"),
        ({"agents": 0}, "agents and threads must be positive"),
    ],
)
def test_loading_with_wrong_options_is_one_clear_line(
    folder: Path, options: dict[str, Any], line: str
) -> None:
    unchecked = inspect.unwrap(load_runtime)  # a caller without type checks
    with pytest.raises(InputError, match=line):
        unchecked(folder, **options)


def test_a_bundle_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no bundle at nowhere: expected a folder"):
        Predictor.load("nowhere")


def test_a_budget_must_be_positive() -> None:
    with pytest.raises(InputError, match="budget_ms must be positive milliseconds or None, got 0"):
        Predictor(FakeRuntime(), budget_ms=0)


def test_no_agents_give_an_empty_forecast() -> None:
    runtime = FakeRuntime()
    forecast = Predictor(runtime).step([], 0.0)
    forecast.validate()
    assert forecast.position.shape == (2, 0, STEPS, 2)
    assert forecast.ids == ()
    assert forecast.model_hash == runtime.hash
    assert runtime.asked == []


def test_who_is_seen_the_first_time_stays_where_it_is_and_is_flagged() -> None:
    forecast = Predictor(FakeRuntime()).step([seen("a", 3.0, 4.0)], 0.0)
    assert forecast.source == ("kinematic",)
    np.testing.assert_array_equal(forecast.position[:, 0], np.broadcast_to([3.0, 4.0], (2, STEPS, 2)))


def test_who_is_seen_twice_is_forecast_by_the_model() -> None:
    forecast = walk(Predictor(FakeRuntime()), ticks=2)
    assert forecast.source == ("model",)
    np.testing.assert_allclose(forecast.position[0, 0, -1], [0.1, 0.0])  # the fake says: stays


def test_forecasts_come_in_the_order_of_the_observations() -> None:
    predictor = Predictor(FakeRuntime())
    predictor.step([seen("a", 0.0), seen("b", 5.0)], 0.0)
    forecast = predictor.step([seen("b", 5.0), seen("a", 0.0)], 0.1)
    assert forecast.ids == ("b", "a")
    np.testing.assert_allclose(forecast.position[0, :, 0, 0], [5.0, 0.0])


def test_with_more_agents_than_slots_those_nearest_to_the_ego_get_the_model() -> None:
    """Six walkers 2 m apart and four slots: the ego beside the last one leaves out the first two."""
    predictor = Predictor(FakeRuntime(agents=4))
    walk(predictor, ticks=5, agents=6)
    observations = [seen(str(a), 0.5, 2.0 * a) for a in range(6)]
    forecast = predictor.step(observations, 0.5, ego_pose=np.array([0.0, 10.0, 0.0]))
    forecast.validate()
    assert forecast.source == ("kinematic", "kinematic", "model", "model", "model", "model")
    np.testing.assert_allclose(forecast.most_likely[0, -1], [0.5 + 4.8, 0.0], atol=1e-9)  # goes on at 1 m/s
    np.testing.assert_allclose(forecast.most_likely[5, -1], [0.5, 10.0], atol=1e-6)


def test_without_an_ego_those_in_the_middle_get_the_model() -> None:
    forecast = walk(Predictor(FakeRuntime(agents=4)), ticks=5, agents=6)
    assert forecast.source == ("kinematic", "model", "model", "model", "model", "kinematic")


def test_an_ego_pose_that_is_not_finite_is_counted_and_not_used() -> None:
    predictor = Predictor(FakeRuntime(agents=4))
    walk(predictor, ticks=5, agents=6)
    observations = [seen(str(a), 0.5, 2.0 * a) for a in range(6)]
    forecast = predictor.step(observations, 0.5, ego_pose=np.array([np.nan, 0.0, 0.0]))
    assert forecast.source[0] == forecast.source[-1] == "kinematic"
    assert predictor.dropped == {"ego pose not finite": 1}


@pytest.mark.parametrize("t_s", [np.nan, np.inf])
def test_a_stamp_must_be_finite(t_s: float) -> None:
    with pytest.raises(InputError, match="t_s must be finite seconds"):
        Predictor(FakeRuntime()).step([], t_s)


def test_a_stamp_that_goes_backwards_is_refused_and_changes_nothing() -> None:
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=3)
    with pytest.raises(InputError, match=r"t_s went backwards, from 0\.200 to 0\.100 s: .* reset\(\)"):
        predictor.step([seen("0", 99.0)], 0.1)
    assert walk(predictor, ticks=1, start=3).source == ("model",)


def test_after_a_reset_a_new_drive_begins() -> None:
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=3)
    predictor.reset()
    assert predictor.step([seen("0", 0.0)], 0.0).source == ("kinematic",)


def test_the_same_stamp_again_replaces_the_tick() -> None:
    """0.1 m in 0.1 s is 1 m/s; corrected to 0.2 m it is 2 m/s."""
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    for x, t in ((0.0, 0.0), (0.1, 0.1), (0.2, 0.1)):
        predictor.step([seen("a", x)], t)
    assert [round(float(np.hypot(*asked.agent_velocity[0, 0])), 4) for asked in runtime.asked] == [0, 1, 2]


def test_replacing_a_tick_forgets_who_was_only_in_the_first_version() -> None:
    predictor = Predictor(FakeRuntime())
    predictor.step([seen("ghost", 0.0)], 0.0)
    predictor.step([seen("a", 0.0)], 0.0)
    assert predictor.step([seen("ghost", 0.0)], 0.1).source == ("kinematic",)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (seen("0", np.nan), "not finite"),
        (seen("0", 0.5, np.inf), "not finite"),
        (seen("0", 0.5, z=np.nan), "not finite"),
        (seen("0", 3e9), "too far"),
        (seen("0", 50.0), "jump"),
    ],
)
def test_an_absurd_observation_is_left_out_and_counted(wrong: Observation, reason: str) -> None:
    """The agent is absent from that tick alone: the next good observation finds its history intact."""
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=5, agents=2)
    forecast = predictor.step([wrong, seen("1", 0.5, 2.0)], 0.5)
    forecast.validate()
    assert forecast.ids == ("1",)
    assert predictor.dropped == {reason: 1}
    after = walk(predictor, ticks=1, agents=2, start=6)
    assert after.source == ("model", "model")


def test_an_observation_of_no_kind_is_left_out() -> None:
    wrong = seen("a", 0.0)
    object.__setattr__(wrong, "kind", -1)  # a caller without type checks
    predictor = Predictor(FakeRuntime())
    assert predictor.step([wrong], 0.0).ids == ()
    assert predictor.dropped == {"no kind": 1}


def test_the_second_observation_of_one_id_is_left_out() -> None:
    predictor = Predictor(FakeRuntime())
    forecast = predictor.step([seen("a", 1.0), seen("a", 2.0)], 0.0)
    assert forecast.ids == ("a",)
    assert forecast.position[0, 0, 0, 0] == 1.0
    assert predictor.dropped == {"same id twice": 1}


def test_a_jump_that_is_confirmed_starts_the_track_anew() -> None:
    """An id that went to somebody 50 m away: absent once, then a track of two rows, not one through both."""
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    walk(predictor, ticks=5)
    assert predictor.step([seen("0", 50.0)], 0.5).ids == ()
    assert predictor.step([seen("0", 50.1)], 0.6).source == ("model",)
    history = runtime.asked[-1]
    assert history.history_mask[0, 0].sum() == 2
    np.testing.assert_allclose(history.agent_velocity[0, 0], [1.0, 0.0], atol=1e-4)


@pytest.mark.parametrize("size", [(np.nan, 1.0), (0.0, 1.0), (-2.0, 1.0), (1e6, 1.0), None])
def test_an_impossible_size_counts_as_not_measured(size: tuple[float, float] | None) -> None:
    runtime = FakeRuntime()
    Predictor(runtime).step([seen("a", 0.0, size=size)], 0.0)
    assert runtime.asked[0].attributes[0, 0, 3:6].tolist() == [0.5, 0.5, 0.0]  # a pedestrian's usual size


def test_who_is_not_seen_at_the_stamp_is_not_forecast() -> None:
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=5, agents=2)
    assert predictor.step([seen("1", 0.5, 2.0)], 0.5).ids == ("1",)


@pytest.mark.parametrize(
    ("away_s", "slots"),
    [
        (
            0.6,
            [1, 0, 0, 1, 1, 1, 1, 1, 1, 1],
        ),  # 0.65 s may be bridged at 0.4 s, 0.16 and 0.33 s at 0.1 and 0.2 s
        (1.0, [1, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
        (3.4, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_nothing_is_invented_while_a_track_was_away(away_s: float, slots: list[int]) -> None:
    """Walked for 3 s, away, and back; the slots are 0, .1, .2, .4, .8, 1.2, ... 2.8 s old."""
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    walk(predictor, ticks=31)
    predictor.step([seen("0", 3.0 + away_s)], 3.0 + away_s)
    assert runtime.asked[-1].history_mask[0, 0].tolist() == slots


def test_a_track_unseen_for_longer_than_the_history_is_forgotten() -> None:
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=5, agents=3)
    predictor.step([], 0.4 + 3.4)
    assert len(predictor._tracks) == 3
    predictor.step([], 0.4 + 3.5)
    assert len(predictor._tracks) == 0


def test_memory_stays_bounded_on_a_long_drive() -> None:
    """An hour at 10 Hz would be 36,000 rows; no more are kept than reach the oldest slot: 3.45 s."""
    predictor = Predictor(FakeRuntime())
    walk(predictor, ticks=300)
    assert len(predictor._tracks["0"]._rows) == 35


def test_the_road_map_is_kept_until_another_is_given() -> None:
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    predictor.step([seen("a", 0.0)], 0.0, road_map=make_road_map())
    predictor.step([seen("a", 0.0)], 0.1)
    predictor.step([seen("a", 0.0)], 0.2, road_map=RoadMap.empty())
    assert [int(asked.line_mask.sum()) for asked in runtime.asked] == [8, 8, 0]  # all the room there is


def assert_kinematic(forecast: Forecast, agents: int) -> None:
    forecast.validate()
    assert forecast.source == ("kinematic",) * agents
    assert forecast.position.shape == (2, agents, STEPS, 2)  # as many modes as ever
    assert forecast.mode_probability.tolist() == [1.0, 0.0]
    now = forecast.most_likely[:, 0, 0] - 0.4  # 0.4 m in the first 0.4 s
    np.testing.assert_allclose(forecast.most_likely[:, -1, 0], now + 4.8, atol=1e-6)


def test_a_model_that_fails_leaves_a_kinematic_tick(caplog: pytest.LogCaptureFixture) -> None:
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    walk(predictor, ticks=5, agents=2)
    runtime.failure = RuntimeError("engine lost")
    with caplog.at_level(logging.WARNING):
        assert_kinematic(walk(predictor, ticks=1, agents=2, start=5), agents=2)
    assert predictor.degraded == {"model failed": 1}
    assert "engine lost" in caplog.text
    runtime.failure = None
    assert walk(predictor, ticks=1, agents=2, start=6).source == ("model", "model")


def test_an_answer_that_is_not_finite_leaves_a_kinematic_tick() -> None:
    runtime = FakeRuntime()
    predictor = Predictor(runtime)
    walk(predictor, ticks=5)
    runtime.value = np.nan
    assert_kinematic(walk(predictor, ticks=1, start=5), agents=1)
    assert predictor.degraded == {"not finite": 1}


def test_a_slow_model_is_not_waited_for() -> None:
    """20 ms where 10 are allowed: kinematic at once from the tick on at which the median is over."""
    runtime = FakeRuntime()
    predictor = Predictor(runtime, budget_ms=10.0, clock=runtime.clock)
    walk(predictor, ticks=5)
    runtime.cost_s = 0.020
    assert [walk(predictor, 1, start=5 + i).source[0] for i in range(3)] == ["model"] * 3
    assert_kinematic(walk(predictor, ticks=1, start=8), agents=1)
    asked = len(runtime.asked)
    walk(predictor, ticks=8, start=9)
    assert len(runtime.asked) == asked
    assert predictor.degraded == {"over budget": 9}


def test_one_slow_run_among_many_is_forgiven() -> None:
    runtime = FakeRuntime()
    predictor = Predictor(runtime, budget_ms=10.0, clock=runtime.clock)
    walk(predictor, ticks=5)
    runtime.cost_s = 0.5
    walk(predictor, ticks=1, start=5)
    runtime.cost_s = 0.001
    assert walk(predictor, ticks=1, start=6).source == ("model",)
    assert not predictor.degraded


def test_a_model_that_is_fast_again_is_used_again() -> None:
    runtime = FakeRuntime()
    predictor = Predictor(runtime, budget_ms=10.0, clock=runtime.clock)
    runtime.cost_s = 0.020
    walk(predictor, ticks=2)
    runtime.cost_s = 0.001
    sources = [walk(predictor, 1, start=2 + i).source[0] for i in range(20)]
    assert sources == ["kinematic"] * 8 + ["model"] * 12


def test_without_a_budget_a_slow_model_is_waited_for() -> None:
    runtime = FakeRuntime()
    runtime.cost_s = 9.0
    assert walk(Predictor(runtime, clock=runtime.clock), ticks=20).source == ("model",)


def test_a_track_without_rows_was_never_seen() -> None:
    assert TrackHistory().last_s == -np.inf
    assert not TrackHistory().sample(np.zeros(3), np.ones(3), until=0.0)[1].any()
