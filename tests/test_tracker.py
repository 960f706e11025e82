"""The tracker model: birth, coasting, death, noise, identity, and independence of other agents."""

from __future__ import annotations

import numpy as np
from sensor_builders import CAR, PERSON, make_bodies

from drivewm.types import Kind
from drivewm_sim.sensors.bodies import bodies_of
from drivewm_sim.sensors.tracker import TrackerSpec, no_tracks, reported, track
from drivewm_sim.street.state import PEDESTRIAN, VEHICLE, Model, empty, insert

# Sees everybody who is visible, measures without error, never errs on its own account.
PERFECT = TrackerSpec(
    detection=1.0, half_range=(1e6, 1e6, 1e6), blind=0.0, size_noise=0.0, break_identity=0.0, swap=0.0,
    position_noise=(0.0, 0.0, 0.0), position_growth=0.0, velocity_noise=(0.0, 0.0, 0.0), velocity_growth=0.0,
    yaw_noise=(0.0, 0.0, 0.0), yaw_growth=0.0,
)  # fmt: skip
WALKER = {"x": 10.0, "y": 2.0, "vy": 1.5, "yaw": np.pi / 2, **PERSON}


def run(
    spec: TrackerSpec, bodies: np.ndarray, visibility: np.ndarray, *, seed: int = 1,
    start: np.ndarray | None = None, first_tick: int = 0,
) -> list[np.ndarray]:  # fmt: skip
    """The tracks after each tick; bodies move straight on; visibility: [T, N]."""
    tracks, history = no_tracks() if start is None else start, []
    for step, seen in enumerate(visibility):
        now = bodies.copy()
        now["x"] += 0.1 * (first_tick + step) * bodies["vx"]
        now["y"] += 0.1 * (first_tick + step) * bodies["vy"]
        tracks = track(spec, tracks, now, seen, 0.0, 0.0, ego_uid=0, seed=seed, tick=first_tick + step)
        history.append(tracks)
    return history


def crowd(count: int, distance: float, **agent: float) -> np.ndarray:
    """People around the ego, far apart from one another."""
    angle = 2 * np.pi * np.arange(count) / count
    return make_bodies(
        *({**PERSON, **agent, "x": distance * np.cos(a), "y": distance * np.sin(a)} for a in angle)
    )


def test_a_perfect_tracker_reports_the_truth_after_three_detections() -> None:
    history = run(PERFECT, make_bodies(WALKER), np.ones((5, 1)))
    assert [len(reported(tracks)) for tracks in history] == [0, 0, 1, 1, 1]
    (found,) = reported(history[-1])
    assert (found["uid"], found["kind"], found["born"], found["hits"]) == (1, Kind.PEDESTRIAN, 0, 5)
    np.testing.assert_allclose([found["x"], found["y"]], [10.0, 2.0 + 0.4 * 1.5])
    np.testing.assert_allclose([found["vx"], found["vy"], found["yaw"]], [0.0, 1.5, np.pi / 2])
    assert (found["length"], found["width"], found["height"]) == (0.5, 0.5, 1.7)


def test_somebody_who_gets_hidden_coasts_for_a_second_with_falling_existence_and_then_dies() -> None:
    visible = np.concatenate([np.ones((5, 1)), np.zeros((11, 1))])
    history = run(PERFECT, make_bodies(WALKER), visible)
    coasting = [reported(tracks)[0] for tracks in history[5:15]]
    assert [t["misses"] for t in coasting] == list(range(1, 11))
    assert np.all(np.diff([t["existence"] for t in coasting]) < 0)
    np.testing.assert_allclose([t["y"] for t in coasting], 2.0 + 0.15 * np.arange(5, 15))
    assert len(history[15]) == 0


def test_a_short_miss_keeps_the_identity_and_a_death_ends_it() -> None:
    visible = np.ones((40, 1))
    visible[5:8] = visible[20:32] = 0
    ids = [
        tracks["track_id"][0] if len(tracks) else 0 for tracks in run(PERFECT, make_bodies(WALKER), visible)
    ]
    assert len(set(ids[:20])) == 1
    assert ids[31] == 0
    assert ids[32] not in (0, ids[0])


def test_identity_may_break_when_somebody_comes_back_after_a_long_miss() -> None:
    bodies = crowd(200, 20.0)
    visible = np.ones((12, 200))
    visible[5:10] = 0
    history = run(PERFECT._replace(break_identity=0.25), bodies, visible)
    broken = history[4]["track_id"] != history[-1]["track_id"]
    assert 0.15 < broken.mean() < 0.35


def test_who_turned_round_behind_the_van_becomes_a_new_track() -> None:
    runner = make_bodies({**WALKER, "vy": 5.0})
    before = run(PERFECT, runner, np.concatenate([np.ones((5, 1)), np.zeros((4, 1))]))[-1]
    runner["y"] += 5.0 * 0.4  # where it was when last seen: the track has run on for 2 m
    after = track(PERFECT, before, runner, np.ones(1), 0.0, 0.0, ego_uid=0, seed=1, tick=9)
    assert after["track_id"][0] != before["track_id"][0]
    assert not after["confirmed"][0]


def test_somebody_who_left_the_street_coasts_and_dies() -> None:
    tracks = run(PERFECT, make_bodies(WALKER), np.ones((5, 1)))[-1]
    lengths = []
    for tick in range(5, 17):
        tracks = track(PERFECT, tracks, make_bodies(), np.zeros(0), 0.0, 0.0, ego_uid=0, seed=1, tick=tick)
        lengths.append(len(tracks))
    assert lengths == [1] * 10 + [0] * 2


def test_the_ego_gets_no_track() -> None:
    assert len(run(PERFECT, make_bodies({**CAR, "uid": 0}), np.ones((4, 1)))[-1]) == 0


def test_detection_falls_with_visibility_and_range() -> None:
    def rate(distance: float, visibility: float) -> float:
        spec = TrackerSpec(blind=0.0)
        bodies = crowd(200, distance)
        detected = [
            len(
                track(
                    spec, no_tracks(), bodies, np.full(200, visibility), 0.0, 0.0, ego_uid=0, seed=s, tick=0
                )
            )
            for s in range(10)
        ]
        return float(np.mean(detected)) / 200

    assert abs(rate(10, 1.0) - 0.98) < 0.01
    assert abs(rate(10, 0.175) - 0.49) < 0.04  # half of what is clear
    assert abs(rate(55, 1.0) - 0.49) < 0.04  # at the half range of pedestrians
    assert rate(80, 1.0) < 0.05
    assert rate(10, 0.0) == 0


def test_errors_have_the_stated_size_and_grow_with_range() -> None:
    spec = TrackerSpec(detection=1.0, half_range=(1e6, 1e6, 1e6), blind=0.0)

    def errors(distance: float) -> tuple[float, float, float]:
        bodies = crowd(2000, distance, vx=1.0)
        first = track(spec, no_tracks(), bodies, np.ones(2000), 0.0, 0.0, ego_uid=0, seed=3, tick=0)
        wrong = {name: np.std(first[name] - bodies[name]) for name in ("x", "vx", "yaw")}
        return wrong["x"], wrong["vx"], wrong["yaw"]

    np.testing.assert_allclose(errors(10.0), (0.06 + 0.04, 0.2 + 0.08, 0.25 + 0.01), rtol=0.06)
    np.testing.assert_allclose(errors(40.0), (0.06 + 0.16, 0.2 + 0.32, 0.25 + 0.04), rtol=0.06)


def test_filtering_halves_the_error_of_the_velocity_without_lagging_behind() -> None:
    spec = TrackerSpec(detection=1.0, half_range=(1e6, 1e6, 1e6), blind=0.0, swap=0.0)
    last = run(spec, crowd(1000, 10.0, vx=1.5), np.ones((15, 1000)))[-1]
    assert np.std(last["vx"]) < 0.65 * 0.28
    assert abs(np.mean(last["vx"]) - 1.5) < 0.03


def test_one_agent_more_changes_nobody_elses_tracks() -> None:
    rng = np.random.default_rng(2)
    bodies = crowd(30, 25.0, vx=0.5)
    bodies["uid"] = 2 * np.arange(30) + 1
    visible = rng.random((40, 30)) * (rng.random((40, 30)) < 0.8)
    more = np.insert(bodies, 7, make_bodies({"x": -3.0, "y": 1.0, **CAR, "uid": 14}))
    without = run(TrackerSpec(), bodies, visible)
    with_one = run(TrackerSpec(), more, np.insert(visible, 7, 1.0, axis=1))
    for a, b in zip(without, with_one, strict=True):
        np.testing.assert_array_equal(a, b[b["uid"] != 14])
    assert len(with_one[-1]) == len(without[-1]) + 1


def test_going_on_from_kept_tracks_gives_the_same_tracks_again() -> None:
    bodies, visible = crowd(20, 20.0, vx=1.0), np.random.default_rng(4).random((30, 20))
    whole = run(TrackerSpec(), bodies, visible)
    for _ in range(2):
        rest = run(TrackerSpec(), bodies, visible[10:], start=whole[9], first_tick=10)
        np.testing.assert_array_equal(rest[-1], whole[-1])
    other = run(TrackerSpec(), bodies, visible, seed=2)
    assert len(other[-1]) != len(whole[-1]) or np.any(other[-1]["x"] != whole[-1]["x"])


def test_identities_change_places_between_close_neighbours_only() -> None:
    pair = make_bodies(WALKER, {**WALKER, "x": 10.6}, {**WALKER, "x": 14.0})
    history = run(PERFECT._replace(swap=0.1), pair, np.ones((60, 3)))
    ids = np.array([tracks["track_id"] for tracks in history])
    assert len(np.unique(ids)) == 3
    assert len(np.unique(ids[:, 0])) == len(np.unique(ids[:, 1])) == 2
    assert len(np.unique(ids[:, 2])) == 1
    swaps = np.any(np.diff(ids[:, :2], axis=0) != 0, axis=1).sum()
    assert 1 <= swaps <= 15  # 6 expected of 58 ticks
    np.testing.assert_allclose(history[-1]["x"], [10.0, 10.6, 14.0])  # only names move


def test_vehicles_and_people_merge_in_uid_order() -> None:
    cars, people = empty(VEHICLE), empty(PEDESTRIAN)
    size = {"length": 4.0, "width": 2.0, "height": 1.5}
    cars = insert(cars, {"uid": 4, "x": 1.0, "yaw": np.pi / 2, "speed": 3.0, "model": int(Model.CAR), **size})
    cars = insert(cars, {"uid": 9, "z": 2.0, "model": int(Model.BICYCLE), **size})
    people = insert(people, {"uid": 6, "y": 5.0, "vx": -1.0, **size})
    bodies = bodies_of(cars, people)
    assert bodies["uid"].tolist() == [4, 6, 9]
    assert bodies["kind"].tolist() == [Kind.VEHICLE, Kind.PEDESTRIAN, Kind.CYCLIST]
    np.testing.assert_allclose(bodies["vy"], [3.0, 0.0, 0.0])
    np.testing.assert_allclose(bodies["vx"], [0.0, -1.0, 0.0], atol=1e-12)
    assert bodies["z"].tolist() == [0.0, 0.0, 2.0]
