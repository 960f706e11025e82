"""The fan: six ways from the current velocity, against places computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_scene, make_tracks
from street import write_scenes

from drivewm.baselines import FORECASTERS, baseline_forecast, constant_velocity, fan
from drivewm.cli import main
from drivewm.timing import TimeGrid
from drivewm_datasets.store import read_recordings
from drivewm_eval.evaluate import baseline_entrant, evaluate, scenes_of

GRID = TimeGrid()
HORIZON = np.asarray(GRID.horizons)
COS, SIN = 0.906307787, 0.422618262  # of 25 degrees


def test_the_six_ways_of_a_walker() -> None:
    """2 m/s along x: after 4.8 s 9.6 m straight on; none when stopping; 4.8 m and 14.4 m at half speed and
    half as fast again; 25 degrees to the left and to the right at full speed."""
    ends = fan(make_tracks(agents=1, speed=2.0, origin=(3.0, 1.0)), HORIZON)[:, 0, -1]
    want = [(9.6, 0), (0, 0), (4.8, 0), (14.4, 0), (9.6 * COS, 9.6 * SIN), (9.6 * COS, -9.6 * SIN)]
    np.testing.assert_allclose(ends, np.array(want) + np.array([3.0, 1.0]), atol=1e-6)


def test_the_fan_turns_with_the_walker() -> None:
    """Heading north, left is west."""
    left = fan(make_tracks(agents=1, speed=2.0, heading=np.pi / 2), HORIZON)[4, 0, -1]
    np.testing.assert_allclose(left, [-9.6 * SIN, 9.6 * COS], atol=1e-6)


def test_its_first_way_is_constant_velocity() -> None:
    tracks = make_tracks(agents=3, speed=1.4, heading=0.8)
    np.testing.assert_allclose(fan(tracks, HORIZON)[0], constant_velocity(tracks, HORIZON)[0], atol=1e-12)


def test_everybody_takes_the_same_way_in_a_mode() -> None:
    forecast = baseline_forecast("fan", make_scene(agents=3), GRID)
    forecast.validate()
    assert forecast.position.shape == forecast.marginal_position.shape == (6, 3, 12, 2)
    way = forecast.position - forecast.position[:, :1]
    np.testing.assert_allclose(way, np.broadcast_to(way[:1, :, :1], way.shape), atol=1e-9)
    assert forecast.mode_probability.tolist() == [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]
    np.testing.assert_allclose(forecast.most_likely, forecast.position[0])
    assert set(forecast.source) == {"kinematic"}


@pytest.mark.parametrize("name", FORECASTERS)
def test_every_forecaster_can_be_judged_by_name(name: str, tmp_path: Path) -> None:
    recordings = read_recordings(write_scenes(tmp_path / "data", scenes=1, seconds=8.0, wiggle=0.05))
    entrant = baseline_entrant(name, GRID)
    figures = evaluate(scenes_of(recordings, None, GRID, 0.8), entrant, GRID, None)
    guesses = 6 if name == "fan" else 1
    assert (figures["candidates"], figures["joint_modes"]) == (guesses, guesses)
    assert figures["constant_velocity"]["candidates"] == 1
    if name == "fan":
        straight = figures["constant_velocity"]["average"]
        assert figures["average"]["min_ade"] <= straight["min_ade"]
        assert figures["average"]["top1_ade"] == pytest.approx(straight["top1_ade"])


def test_the_command_takes_the_fan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_scenes(tmp_path / "data", scenes=1, seconds=8.0)
    assert main(["evaluate", "--data", str(data), "--baseline", "fan", "--every", "0.8"]) == 0
    said = capsys.readouterr().out
    assert "best of 6" in said
    assert "joint of 6" in said
