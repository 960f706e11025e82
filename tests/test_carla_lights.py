"""Traffic lights on the stand-in, as the unmodified CARLA client sees and sets them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from carla_stand_in import StandIn, connect, spawn, stand_in

carla = pytest.importorskip("carla", reason="the carla client is not installed")

CAR = "vehicle.tesla.model3"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "grid") as running:
        yield running
        assert running.lives()


def test_traffic_lights_cycle_freeze_and_obey(server: StandIn) -> None:
    _, world = connect(server, "grid", dt=0.5)
    world.tick()
    states = carla.TrafficLightState
    lights = list(world.get_actors().filter("traffic.traffic_light"))
    assert len(lights) == 20
    assert all(light.get_stop_waypoints() for light in lights)
    light = next(light for light in lights if light.state == states.Green)
    group = light.get_group_traffic_lights()
    assert light.id in [one.id for one in group]
    assert {one.state for one in group} == {states.Green, states.Red}
    seen = []
    cycle = sum(light.get_green_time() + light.get_yellow_time() + light.get_red_time() for _ in range(2))
    for _ in range(int(cycle / 0.5) + 2):
        if not seen or seen[-1] != light.state:
            seen.append(light.state)
        world.tick()
        green = [one for one in group if one.state != states.Red]
        assert len({one.state for one in green}) <= 1  # what shows green together turns yellow together
    assert seen[:4] == [states.Green, states.Yellow, states.Red, states.Green]
    world.freeze_all_traffic_lights(True)
    light.set_state(states.Red)
    for _ in range(200):
        world.tick()
    assert light.state == states.Red
    assert light.is_frozen()


def test_a_vehicle_knows_the_light_before_which_it_stands(server: StandIn) -> None:
    _, world = connect(server, "grid")
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    stop = light.get_stop_waypoints()[0].transform
    behind = stop.location - 3.0 * stop.get_forward_vector()
    car = spawn(world, CAR, carla.Transform(behind, stop.rotation))
    world.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id == light.id
    assert car.get_traffic_light_state() == light.state
    far = stop.location - 30.0 * stop.get_forward_vector()
    car.set_transform(carla.Transform(far, stop.rotation))
    world.tick()
    assert not car.is_at_traffic_light()


def test_a_light_shows_each_colour_as_long_as_it_was_told(server: StandIn) -> None:
    """In steps of half a second: 4 s green, 1.5 s yellow, then 2 s in which all of its stage are red."""
    _, world = connect(server, "grid", dt=0.5)
    world.tick()
    states = carla.TrafficLightState
    light = next(
        one for one in world.get_actors().filter("traffic.traffic_light") if one.state == states.Green
    )
    group = light.get_group_traffic_lights()
    for one in group:
        one.set_green_time(4.0)
        one.set_yellow_time(1.5)
        one.set_red_time(2.0)
    light.reset_group()
    world.tick()
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (4.0, 1.5, 2.0)
    shown = []
    for _ in range(60):
        shown.append([one.state for one in group])
        world.tick()
    assert light.get_elapsed_time() >= 0.0
    stages = [
        k
        for k, now in enumerate(shown)
        if states.Green in now and (k == 0 or states.Green not in shown[k - 1])
    ]
    assert {b - a for a, b in pairwise(stages[1:])} == {15}  # 7.5 s from green to the next green
    k = stages[1]
    first = shown[k].index(states.Green)
    assert [now[first] for now in shown[k : k + 15]] == [states.Green] * 8 + [states.Yellow] * 3 + [
        states.Red
    ] * 4
    assert all(set(now) == {states.Red} for now in shown[k + 11 : k + 15])
