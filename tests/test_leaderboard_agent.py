"""The leaderboard agent keeps the contract, follows its plan, and stops for what stands in its way."""

from __future__ import annotations

import importlib
import json
import math
import queue
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from carla_stand_in import StandIn, connect, place, spawn, stand_in
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim import carla_client
from drivewm_sim.carla_client import leaderboard_agent
from drivewm_sim.carla_client.geodesy import PROJECTIONS, origin_of_plan, transverse
from drivewm_sim.carla_client.localisation import Localiser
from drivewm_sim.carla_client.plan_route import PlanRoute
from drivewm_sim.carla_frames import mirrored, yaw_from_compass, yaw_to_carla
from drivewm_sim.carla_server.sensors.inertial import geolocation
from drivewm_sim.randomness import LIDAR, normal

pytestmark = pytest.mark.alone

carla = pytest.importorskip("carla", reason="the carla client is not installed")

ORIGIN = (48.5, 9.1)
RADIUS_M = 6378137.0
LIMITS = {"gnss": 1, "imu": 1, "speedometer": 1, "opendrive_map": 1, "ray_cast": 1}


def gps(x: float, y: float) -> dict[str, float]:
    """As the leaderboard makes its plans: Mercator about the origin; x, y in CARLA's frame."""
    reach = RADIUS_M * math.cos(math.radians(ORIGIN[0]))
    north = math.log(math.tan(math.radians(45 + ORIGIN[0] / 2))) - y / reach
    lat = math.degrees(2 * math.atan(math.exp(north))) - 90
    return {"lat": lat, "lon": ORIGIN[1] + math.degrees(x / reach), "z": 0.0}


def make_plan(xy: Float[ndarray, "n 2"]) -> tuple[list[Any], list[Any]]:
    """A plan through places of the scene frame, as the leaderboard hands it over."""
    places = mirrored(np.column_stack([xy, np.zeros(len(xy))]))
    world = [(place(float(x), float(y)), "LANEFOLLOW") for x, y, _ in places]
    return [(gps(float(x), float(y)), "LANEFOLLOW") for x, y, _ in places], world


def straight(metres: float = 120.0) -> Float[ndarray, "n 2"]:
    return np.column_stack([np.arange(0.0, metres), np.full(int(metres), -30.0)])


def curved() -> Float[ndarray, "n 2"]:
    """40 m on, a quarter turn to the left of 12 m radius, 40 m on."""
    angle = np.linspace(0.0, math.pi / 2, 20)
    bend = np.column_stack([40 + 12 * np.sin(angle), 12 - 12 * np.cos(angle)])
    return np.concatenate(
        [
            np.column_stack([np.arange(0.0, 40), np.zeros(40)]),
            bend,
            np.column_stack([np.full(40, 52.0), 13 + np.arange(40)]),
        ]
    )


def make_agent(folder: Path, plan: Float[ndarray, "n 2"], **settings: object) -> Any:
    file = folder / "agent.json"
    file.write_text(json.dumps(settings))
    agent = leaderboard_agent.LeaderboardAgent("127.0.0.1", 2000)
    agent.set_global_plan(*make_plan(plan))  # before setup, as the evaluator does
    agent.setup(str(file))
    return agent


@dataclass
class Car:
    """A kinematic bicycle in the scene frame that answers pedals and wheel with a lag."""

    x: float
    y: float
    yaw: float
    speed: float = 0.0

    def drive(self, control: Any, dt: float = 0.05) -> None:
        push = 4.0 * control.throttle - 8.0 * control.brake - 0.15
        self.speed = max(self.speed + push * dt, 0.0)
        bend = math.tan(-math.radians(70.0) * control.steer * 0.95)
        slip = math.atan(0.5 * bend)
        self.yaw += self.speed * bend / 2.85 * dt
        over = self.speed / math.cos(slip)  # of the middle; `speed` is along the car, as speedometers say
        self.x += over * math.cos(self.yaw + slip) * dt
        self.y += over * math.sin(self.yaw + slip) * dt


def sensed(car: Car, frame: int, points: Float[ndarray, "n 3"]) -> dict[str, tuple[int, Any]]:
    """What the leaderboard's sensors give, with its noise. points: in the scene frame, above the road."""
    fix = gps(car.x, -car.y)
    lat, lon = (fix[key] + 5e-6 * normal(1, 0, LIDAR, frame, k) for k, key in enumerate(("lat", "lon")))
    c, s = math.cos(car.yaw), math.sin(car.yaw)
    dx, dy = points[:, 0] - car.x, points[:, 1] - car.y
    seen = np.column_stack([c * dx + s * dy, c * dy - s * dx, points[:, 2] - leaderboard_agent.LIDAR_AT[2]])
    cloud = np.column_stack([mirrored(seen), np.ones(len(seen))]).astype(np.float32)
    compass = (math.radians(yaw_to_carla(car.yaw)) + math.pi / 2) % (2 * math.pi)
    return {
        "gnss": (frame, np.array([lat, lon, 0.0])),
        "imu": (frame, np.array([0, 0, 9.81, 0, 0, 0, compass if frame > 2 else math.nan])),
        "speed": (frame, {"speed": car.speed}),
        "lidar": (frame, cloud),
    }


def drive(
    agent: Any, car: Car, ticks: int, points: Callable[[Car], Float[ndarray, "n 3"]]
) -> Float[ndarray, "t 3"]:
    """x, y and speed after every tick; every control is within its bounds."""
    rows = []
    for frame in range(ticks):
        control = agent.run_step(sensed(car, frame, points(car)), 0.05 * frame)
        assert isinstance(control, carla.VehicleControl)
        assert 0 <= control.throttle <= 1
        assert 0 <= control.brake <= 1
        assert -1 <= control.steer <= 1
        assert not (control.throttle > 0 and control.brake > 0)
        car.drive(control)
        rows.append((car.x, car.y, car.speed))
    return np.array(rows)


def open_road(car: Car) -> Float[ndarray, "n 3"]:
    """Ground around the car, rising by 3 %."""
    x, y = np.meshgrid(np.arange(-20, 45, 1.0), np.arange(-15, 15, 1.0))
    return np.column_stack([car.x + x.ravel(), car.y + y.ravel(), 0.03 * x.ravel()])


def box(x: float, y: float, half: float = 0.9, height: float = 1.5) -> Float[ndarray, "n 3"]:
    side, up = np.meshgrid(np.linspace(-half, half, 12), np.linspace(0.1, height, 8))
    return np.column_stack([np.full(side.size, x), y + side.ravel(), up.ravel()])


def test_the_leaderboard_finds_the_class_by_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(next(iter(carla_client.__path__)))))
    module = importlib.import_module("leaderboard_agent")
    made = getattr(module, module.get_entry_point())("127.0.0.1", 2000, False)
    del sys.modules["leaderboard_agent"]
    for method in ("setup", "sensors", "run_step", "destroy", "set_global_plan", "get_ros_version"):
        assert callable(getattr(made, method))
    assert made.get_ros_version() == -1
    assert made.track == module.Track.SENSORS


@pytest.mark.parametrize("track", ["SENSORS", "MAP", "MAP_QUALIFIER"])
def test_the_sensors_are_ones_that_the_track_allows(tmp_path: Path, track: str) -> None:
    agent = make_agent(tmp_path, straight(), track=track)
    asked = agent.sensors()
    kinds = [one["type"].rpartition(".")[2] for one in asked]
    assert agent.track.value == track
    assert ("opendrive_map" in kinds) == track.startswith("MAP")
    assert all(kinds.count(kind) <= LIMITS[kind] for kind in kinds)
    assert len({one["id"] for one in asked}) == len(asked)
    for one in asked:
        if one["type"] in ("sensor.speedometer", "sensor.opendrive_map"):
            assert one["reading_frequency"] > 0
        else:
            assert math.hypot(one["x"], one["y"], one["z"]) <= 3.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object"),
        ('{"sped": 3}', "no setting 'sped'; there are driver, "),
        ('{"driver": "taxi"}', "driver must be one of rule, planner, got 'taxi'"),
        ('{"speed_mps": -1}', "speed_mps must be a number between 0 and 100, got -1"),
        ('{"bundle": "nano"}', "bundle 'nano' needs driver planner"),
        ('{"driver": "planner", "bundle": "nobody"}', "nobody"),
    ],
)
def test_a_bad_configuration_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "agent.json"
    file.write_text(text)
    agent = leaderboard_agent.LeaderboardAgent("127.0.0.1", 2000)
    with pytest.raises(InputError) as raised:
        agent.setup(str(file))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_configuration_is_one_line_and_none_is_the_default(tmp_path: Path) -> None:
    agent = leaderboard_agent.LeaderboardAgent("127.0.0.1", 2000)
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        agent.setup(str(tmp_path / "none.json"))
    agent.setup("")
    (tmp_path / "agent.json").write_text("{}")
    agent.setup(str(tmp_path / "agent.json") + "+RouteScenario_1")  # as Bench2Drive says it
    with pytest.raises(InputError, match="nowhere to drive"):
        agent.run_step({}, 0.0)
    with pytest.raises(InputError, match="make no way"):
        agent.set_global_plan([], [])


@pytest.mark.parametrize(("x", "y"), [(3.0, 4.0), (-900.0, 1500.0), (2500.0, -3000.0)])
def test_a_plan_s_point_tells_the_map_s_origin(x: float, y: float) -> None:
    fix = gps(x, y)
    assert origin_of_plan(fix["lat"], fix["lon"], x, y) == pytest.approx(ORIGIN, abs=1e-9)
    assert transverse(ORIGIN, *geolocation(ORIGIN, x, y)) == pytest.approx((x, y), abs=1e-6)


@pytest.mark.parametrize("way", range(len(PROJECTIONS)))
def test_the_car_learns_which_projection_its_fixes_use(way: int) -> None:
    """It starts on the axis about which the projections differ, and drives across."""
    to_gps = (
        lambda x, y: tuple(gps(x, y).values())[:2],
        lambda x, y: geolocation(ORIGIN, x, y),
        lambda x, y: geolocation(ORIGIN, x, -y),
    )[way]
    localiser = Localiser(ORIGIN, np.array([50.0, 0.0, 0.5 * math.pi]), 2.85)
    for tick in range(200):
        y = 0.05 * 5.0 * tick
        lat, lon = to_gps(50.0, -y)
        found = localiser.update(0.05 * tick, lat, lon, 0.0, 5.0)
    assert yaw_from_compass(0.0) == pytest.approx(0.5 * math.pi)
    assert found.pose == pytest.approx([50.0, y, 0.5 * math.pi], abs=0.1)


def test_a_route_that_crosses_itself_is_followed_in_order() -> None:
    leg = np.arange(0.0, 200)
    way = np.concatenate(
        [
            np.column_stack([leg, 0 * leg]),
            np.column_stack([200 + 0 * leg, leg]),
            np.column_stack([200 - 0.5 * leg, 200 + 0 * leg]),
            np.column_stack([100 + 0 * leg, 200 - 2 * leg]),
        ]
    )
    route, last = PlanRoute(way, 8.0), 0.0
    for point in way[::4]:
        s = route.advance(point)
        assert -0.5 < s - last < 10.0
        last = s
    assert last > 870


@pytest.mark.parametrize("driver", ["rule", "planner"])
@pytest.mark.parametrize("plan", [straight(), curved()], ids=["straight", "curved"])
def test_it_follows_its_plan(tmp_path: Path, driver: str, plan: Float[ndarray, "n 2"]) -> None:
    agent = make_agent(tmp_path, plan, driver=driver)
    car = Car(x=float(plan[0, 0]), y=float(plan[0, 1]), yaw=0.0, speed=5.0)
    path = drive(agent, car, 300, open_road)
    route, beside = PlanRoute(plan, 8.0), []
    for point in path[:, :2]:
        if route.advance(point) < route.length - 2:
            beside.append(float(np.abs(route.locate(point[None])[1])[0]))
    assert route.advance(path[-1, :2]) > min(60.0, route.length - 2)
    assert path[:, 2].max() < 9.0
    assert max(beside) < (1.0 if driver == "rule" else 1.3)
    agent.destroy()


def test_it_stands_at_the_end_of_its_plan(tmp_path: Path) -> None:
    agent = make_agent(tmp_path, straight(60.0))
    path = drive(agent, Car(x=0.0, y=-30.0, yaw=0.0, speed=5.0), 400, open_road)
    assert path[-1, 2] < 0.05
    assert 58.0 < path[-1, 0] < 75.0


def test_it_stops_before_what_stands_in_its_way_and_goes_on_when_that_has_gone(tmp_path: Path) -> None:
    agent, car = make_agent(tmp_path, straight()), Car(x=0.0, y=-30.0, yaw=0.0, speed=6.0)

    def barred(car: Car) -> Float[ndarray, "n 3"]:
        uphill = np.array([0.0, 0.0, 0.03 * (60.0 - car.x)])
        return np.concatenate([open_road(car), box(60.0, -30.0) + uphill])

    path = drive(agent, car, 400, barred)
    assert path[-1, 2] < 0.05
    assert 50.0 < path[-1, 0] + 2.45 < 59.5
    for frame in range(400, 600):
        car.drive(agent.run_step(sensed(car, frame, open_road(car)), 0.05 * frame))
    assert car.x > 70.0


def test_it_passes_what_stands_beside_its_way(tmp_path: Path) -> None:
    agent = make_agent(tmp_path, straight())
    beside = np.concatenate([box(x, y, half=0.6) for x in (30.0, 50.0) for y in (-33.0, -27.0)])
    path = drive(agent, Car(x=0.0, y=-30.0, yaw=0.0, speed=6.0), 300, lambda _: beside)
    assert path[:, 0].max() > 70.0


def test_the_planner_takes_a_bundle_and_a_map_that_comes_late(tmp_path: Path) -> None:
    from drivewm_sim.roads.towns import town_text

    agent = make_agent(tmp_path, straight(), driver="planner", bundle="nano", track="MAP")
    car = Car(x=0.0, y=-30.0, yaw=0.0, speed=6.0)
    for frame in range(30):
        data = sensed(car, frame, open_road(car))
        if frame == 10:
            data["map"] = (frame, {"opendrive": town_text("crossing")})
        car.drive(agent.run_step(data, 0.05 * frame))
    assert car.x > 6.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "crossing") as running:
        yield running


@pytest.mark.parametrize("perception", ["lidar", "privileged"])
def test_on_a_server_it_drives_its_lane_and_stops_behind_a_parked_car(
    server: StandIn, tmp_path: Path, perception: str
) -> None:
    """The lidar as the leaderboard mounts it (fewer points); lights off, as `lidar` sees none."""
    _, world = connect(server, "crossing")
    lane_y = 1.625  # of the eastbound lane, CARLA's frame
    hero = spawn(world, "vehicle.lincoln.mkz_2020", place(-60, lane_y), role_name="hero")
    spawn(world, "vehicle.tesla.model3", place(-15, lane_y))
    plan = np.column_stack([np.arange(-60.0, 40), np.full(100, -lane_y)])
    (tmp_path / "agent.json").write_text(json.dumps({"perception": perception}))
    agent = leaderboard_agent.LeaderboardAgent("127.0.0.1", server.port)
    agent.setup(str(tmp_path / "agent.json"))
    places = [(place(float(x), -float(y)), "LANEFOLLOW") for x, y in plan]
    origin = world.get_map().transform_to_geolocation(carla.Location())
    gps_plan = [({"lat": lat, "lon": lon}, 0) for lat, lon in [plan_gps(origin, float(plan[0, 0]), lane_y)]]
    agent.set_global_plan(gps_plan, places)
    about = {"points_per_second": 100_000, "channels": 32, "rotation_frequency": 10, "range": 60}
    queues: dict[str, queue.Queue[Any]] = {}
    mounted = []  # a sensor that nobody holds falls silent
    for one in agent.sensors():
        if one["type"] == "sensor.speedometer":
            continue
        where = place(one["x"], one["y"], one["z"])
        sensor = spawn(world, one["type"], where, hero, **(about if one["id"] == "lidar" else {}))
        mounted.append(sensor)
        queues[one["id"]] = queue.Queue()
        sensor.listen(queues[one["id"]].put)
    for _ in range(10):  # as the leaderboard does: first messages may be lost
        time.sleep(0.1)
        world.tick()
    for tick in range(300):
        frame = world.tick()
        data = {name: (frame, parsed(wait(q, frame))) for name, q in queues.items()}
        velocity, forward = hero.get_velocity(), hero.get_transform().get_forward_vector()
        speed = velocity.x * forward.x + velocity.y * forward.y
        data["speed"] = (frame, {"speed": speed})
        hero.apply_control(agent.run_step(data, 0.05 * tick))
        assert abs(hero.get_location().y - lane_y) < 0.5
    assert hero.get_velocity().length() < 0.05
    bumper = hero.get_location().x + 2.45
    assert -15 - 2.4 - 6.0 < bumper < -15 - 2.4 - 0.5
    agent.destroy()
    for sensor in mounted:
        sensor.stop()


def plan_gps(origin: Any, x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude as the leaderboard's plans have them, about a map's origin."""
    reach = RADIUS_M * math.cos(math.radians(origin.latitude))
    north = math.log(math.tan(math.radians(45 + origin.latitude / 2))) - y / reach
    return math.degrees(2 * math.atan(math.exp(north))) - 90, origin.longitude + math.degrees(x / reach)


def wait(messages: queue.Queue[Any], frame: int) -> Any:
    while (message := messages.get(timeout=10)).frame < frame:
        pass
    return message


def parsed(message: Any) -> Any:
    """A message as the leaderboard hands it to agents."""
    if isinstance(message, carla.LidarMeasurement):
        return np.frombuffer(bytes(message.raw_data), np.float32).reshape(-1, 4)
    if isinstance(message, carla.GnssMeasurement):
        return np.array([message.latitude, message.longitude, message.altitude])
    a, g = message.accelerometer, message.gyroscope
    return np.array([a.x, a.y, a.z, g.x, g.y, g.z, message.compass])
