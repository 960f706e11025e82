"""The nouns name every fault of the arrays they are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from conftest import make_scene, make_tracks
from jaxtyping import TypeCheckError

from drivewm.types import Forecast, Kind, RoadMap


def make_forecast() -> Forecast:
    """Two modes, three candidates, two agents, four steps; agent 1's best candidate is the third."""
    k, m, a, f = 2, 3, 2, 4
    marginal_position = np.zeros((m, a, f, 2))
    marginal_position[2, 1] = 7.0
    return Forecast(
        t_s=0.0,
        ids=("a", "b"),
        kind=np.array([int(Kind.PEDESTRIAN), int(Kind.VEHICLE)]),
        valid=np.ones(a, bool),
        horizon=0.4 * np.arange(1, f + 1),
        position=np.zeros((k, a, f, 2)),
        covariance=np.broadcast_to(np.eye(2), (k, a, f, 2, 2)),
        mode_probability=np.array([0.25, 0.75]),
        marginal_position=marginal_position,
        marginal_covariance=np.broadcast_to(np.eye(2), (m, a, f, 2, 2)),
        marginal_probability=np.array([[0.5, 0.2], [0.3, 0.2], [0.2, 0.6]]),
        source=("model", "kinematic"),
    )


def set_field(noun: object, name: str, value: object) -> None:
    """Puts a faulty array past the shape checks of the tests' import hook, as a caller without it would."""
    object.__setattr__(noun, name, value)


def test_a_walk_at_one_and_a_half_metres_per_second_has_that_velocity() -> None:
    tracks = make_tracks(agents=2, speed=1.5, heading=np.pi / 2)
    tracks.validate()
    np.testing.assert_allclose(tracks.velocity[:, 0], [[0.0, 1.5]] * 2, atol=1e-9)
    np.testing.assert_allclose(tracks.yaw[:, 0], np.pi / 2)
    np.testing.assert_allclose(tracks.position[1, 0], [-2.0, 0.0], atol=1e-12)
    assert tracks.agents == 2


@pytest.mark.parametrize("name", ["pose", "velocity", "size"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tracks_refuse_values_that_are_not_finite(name: str, value: float) -> None:
    tracks = make_tracks()
    array = getattr(tracks, name).copy()
    array.flat[0] = value
    with pytest.raises(ValueError, match=f"{name} holds a value that is not finite"):
        dataclasses.replace(tracks, **{name: array}).validate()


@pytest.mark.parametrize("name", ["velocity", "valid", "size", "kind", "times"])
def test_tracks_refuse_an_array_of_another_shape(name: str) -> None:
    tracks = make_tracks()
    set_field(tracks, name, getattr(tracks, name)[..., :-1])
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        tracks.validate()


def test_tracks_refuse_a_position_where_nothing_was_seen() -> None:
    tracks = make_tracks()
    valid = tracks.valid.copy()
    valid[0, 3] = False
    with pytest.raises(ValueError, match="invalid entries must be zero"):
        dataclasses.replace(tracks, valid=valid).validate()


def test_a_padded_agent_is_no_fault() -> None:
    tracks = make_tracks(agents=2)
    keep = np.array([True, False])
    dataclasses.replace(
        tracks,
        valid=tracks.valid & keep[:, None],
        pose=tracks.pose * keep[:, None, None],
        velocity=tracks.velocity * keep[:, None, None],
        ids=("0", ""),
    ).validate()


def test_the_shapes_of_a_dataclass_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        dataclasses.replace(make_tracks(), velocity=np.zeros((3, 10, 3)))


def test_a_sound_forecast_passes() -> None:
    make_forecast().validate()


def test_the_most_likely_future_is_chosen_agent_by_agent() -> None:
    forecast = make_forecast()
    assert np.all(forecast.most_likely[0] == 0.0)
    assert np.all(forecast.most_likely[1] == 7.0)


@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("covariance", lambda x: x[:, :, :, :1], "covariance must have shape"),
        ("marginal_position", lambda x: x[:, :1], "marginal_position must have shape"),
        ("marginal_covariance", lambda x: x[:2], "marginal_covariance must have shape"),
        ("marginal_probability", lambda x: x[:2], "marginal_probability must have shape"),
        ("horizon", lambda x: x[:3], "horizon must have shape"),
        ("position", lambda x: x * np.nan, "position holds a value that is not finite"),
        ("marginal_covariance", lambda x: x * np.inf, "marginal_covariance holds a value that is not finite"),
        ("mode_probability", lambda x: x * 0.9, "sum to 0.9"),
        ("marginal_probability", lambda x: x * 1.1, "do not sum to 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_forecast_names_its_fault(
    name: str, fault: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    forecast = make_forecast()
    set_field(forecast, name, fault(np.asarray(getattr(forecast, name))))
    with pytest.raises(ValueError, match=message):
        forecast.validate()


def test_an_empty_map_has_no_polylines_and_a_scene_may_do_without_one() -> None:
    assert RoadMap.empty().points.shape == (0, 2, 2)
    assert make_scene(agents=1).road_map.kind.size == 0


def test_a_forecast_prints_as_one_line() -> None:
    from drivewm.baselines import kinematic_forecast
    from drivewm.timing import TimeGrid

    forecast = kinematic_forecast(make_scene(agents=3), TimeGrid())
    assert repr(forecast) == (
        "Forecast(t_s=0, 3 agents (3 kinematic), 1 joint modes, 1 candidates an agent, "
        "12 steps to 4.8 s, model none)"
    )
