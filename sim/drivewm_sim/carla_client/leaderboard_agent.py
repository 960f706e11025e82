"""Our drivers as an agent of the CARLA leaderboard (2.0, 2.1) and of Bench2Drive: sensors in, pedals out.

    leaderboard_evaluator.py --agent=.../leaderboard_agent.py --agent-config=agent.json --track=SENSORS ...

The plan is followed as a line. With `lidar` perception the agent stops for whatever stands in its way and
sees no lights, no signs and no motion. With `privileged` it reads true actors and lights from the server.
Without the `leaderboard` package the class stands alone, with the same methods.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np

from drivewm.errors import InputError
from drivewm.predictor import Predictor
from drivewm.types import RoadMap
from drivewm_sim.carla_client.agent_config import AgentConfig, read_config
from drivewm_sim.carla_client.agent_frame import make_frame, obstacle
from drivewm_sim.carla_client.blueprints import Shape
from drivewm_sim.carla_client.connection import carla_client
from drivewm_sim.carla_client.geodesy import Origin, origin_of_plan
from drivewm_sim.carla_client.localisation import Localiser, Located
from drivewm_sim.carla_client.moving import Follower
from drivewm_sim.carla_client.obstacles import LidarWatch
from drivewm_sim.carla_client.pedals import Pedals
from drivewm_sim.carla_client.plan_route import PlanRoute, plan_points
from drivewm_sim.carla_client.world_watch import WorldWatch
from drivewm_sim.ego import EgoPolicy, RulePolicy
from drivewm_sim.ego_planner import PlannerPolicy, PredictorFutures
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.simulator import DECISION_S, PHYSICS_S, EgoCommand, Frame, Scenario

log = logging.getLogger(__name__)

LIDAR_AT = (0.0, 0.0, 2.5)  # m, in the car's frame (CARLA's)
STOPS_MPS2 = 3.0  # for a light
END_M = 1.0  # from the plan's end; beyond it there is no way to be on
STEERING_SHARE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))
"""Of the lock, by km/h: CARLA's usual curve."""


class _Track(Enum):
    SENSORS = "SENSORS"
    MAP = "MAP"
    SENSORS_QUALIFIER = "SENSORS_QUALIFIER"
    MAP_QUALIFIER = "MAP_QUALIFIER"


class _StandAlone:
    """What the leaderboard's own base class gives, as far as an agent needs it."""

    def __init__(self, carla_host: str, carla_port: int, debug: bool = False) -> None:
        self.track: Any = _Track.SENSORS

    @staticmethod
    def get_ros_version() -> int:
        return -1

    def set_global_plan(self, global_plan_gps: Sequence[Any], global_plan_world_coord: Sequence[Any]) -> None:
        return


def _leaderboard() -> tuple[Any, Any]:
    """The base class and the enumeration of tracks: the leaderboard's, or ours where it is not installed."""
    try:
        module = importlib.import_module("leaderboard.autoagents.autonomous_agent")
    except ImportError:
        return _StandAlone, _Track
    return module.AutonomousAgent, module.Track


_Base, Track = _leaderboard()


def get_entry_point() -> str:
    """The name of the class that the leaderboard is to make an agent of."""
    return "LeaderboardAgent"


class LeaderboardAgent(_Base):  # type: ignore[misc, valid-type, unused-ignore]
    """One instance drives one route: set_global_plan and setup in either order, run_step every tick."""

    def __init__(self, carla_host: str, carla_port: int, debug: bool = False) -> None:
        super().__init__(carla_host, carla_port, debug)
        self._server = (carla_host, carla_port)
        self._config = AgentConfig()
        self._plan: Any = None
        self._origin: Origin | None = None
        self._world: WorldWatch | None = None
        self._index, self._next_s, self._last_s = 0, 0.0, 0.0
        self._ready = False

    def setup(self, path_to_conf_file: str) -> None:
        """Reads the configuration (agent_config.py); InputError where it is wrong."""
        self._config = read_config(path_to_conf_file)
        if not hasattr(Track, self._config.track):
            raise InputError(f"this leaderboard has no track {self._config.track}")
        self.track = getattr(Track, self._config.track)
        self._predictor = Predictor.load(self._config.bundle) if self._config.bundle else None
        self._ready = False
        log.info("perception: %s", self._config.perception)

    def set_global_plan(self, global_plan_gps: Sequence[Any], global_plan_world_coord: Sequence[Any]) -> None:
        """Keeps the whole plan, where the base class keeps a point every 50 or 200 m."""
        self._plan = plan_points(global_plan_world_coord)
        try:
            first, place = global_plan_gps[0][0], global_plan_world_coord[0][0].location
            self._origin = origin_of_plan(float(first["lat"]), float(first["lon"]), place.x, place.y)
        except (KeyError, IndexError, TypeError, ValueError):
            raise InputError(
                "the global plan's GPS points must be ({'lat', 'lon', 'z'}, road option)"
            ) from None
        super().set_global_plan(global_plan_gps, global_plan_world_coord)
        self._ready = False

    def sensors(self) -> list[dict[str, Any]]:
        """What the leaderboard is to mount on the car, places and angles in CARLA's frame."""
        level = {"roll": 0.0, "pitch": 0.0, "yaw": 0.0}
        middle = {"x": 0.0, "y": 0.0, "z": 0.0}
        asked: list[dict[str, Any]] = [
            {"type": "sensor.other.gnss", "id": "gnss", **middle},
            {"type": "sensor.other.imu", "id": "imu", **middle, **level},
            {"type": "sensor.speedometer", "id": "speed", "reading_frequency": 1.0 / PHYSICS_S},
        ]
        if self._config.perception == "lidar":
            x, y, z = LIDAR_AT
            asked.append({"type": "sensor.lidar.ray_cast", "id": "lidar", "x": x, "y": y, "z": z, **level})
        if self._config.track.startswith("MAP"):
            asked.append({"type": "sensor.opendrive_map", "id": "map", "reading_frequency": 1e-6})
        return asked

    def run_step(self, input_data: Mapping[str, tuple[int, Any]], timestamp: float) -> Any:
        """The carla.VehicleControl until the next tick; timestamp: seconds of the simulation."""
        if not self._ready:
            self._begin(timestamp)
        self._read_map(input_data)
        ego = self._locate(input_data, timestamp)
        s = self._route.advance(ego.pose[:2])
        if self._lidar is not None:
            self._lidar.add(np.asarray(input_data["lidar"][1]), ego.pose)
        if timestamp >= self._next_s - 1e-6:
            self._command = self._decide(ego, timestamp, s)
            self._next_s = max(self._next_s + DECISION_S, timestamp)
        return self._control(ego, timestamp)

    def destroy(self, results: Any = None) -> None:
        """Forgets the drive."""
        self._ready = False
        self._world = None

    def _begin(self, time_s: float) -> None:
        if self._plan is None or self._origin is None:
            raise InputError("run_step before set_global_plan: there is nowhere to drive")
        config = self._config
        self._size = (config.length, config.width)
        self._route = PlanRoute(self._plan, config.speed_mps)
        self._localiser = Localiser(self._origin, self._route.start, config.wheelbase)
        self._lidar = LidarWatch(LIDAR_AT, self._size) if config.perception == "lidar" else None
        self._world = WorldWatch(self._connect()) if config.perception == "privileged" else None
        self._road_map: RoadMap | None = None
        self._policy: EgoPolicy | None = None
        self._command, self._pedals = EgoCommand(), Pedals()
        shape = Shape(
            size=(*self._size, 1.5), centre=(0.0, 0.0, 0.0), wheelbase=config.wheelbase,
            lock=config.lock, share=STEERING_SHARE,
        )  # fmt: skip
        self._wheel = Follower(shape)
        self._index, self._next_s, self._last_s = 0, time_s, time_s - PHYSICS_S
        self._ready = True

    def _connect(self) -> Any:
        log.warning("privileged perception: true actors are read from the server; results do not count")
        client = carla_client().Client(*self._server)
        client.set_timeout(20.0)
        return client

    def _make_policy(self) -> EgoPolicy:
        scenario = Scenario(ego_speed_mps=self._config.speed_mps)
        if self._config.driver == "rule":
            return RulePolicy(self._route, scenario, 0)
        if self._predictor is None:
            return PlannerPolicy(self._route, scenario, 0)
        futures = PredictorFutures(self._predictor, self._road_map or RoadMap.empty())
        return PlannerPolicy(self._route, scenario, 0, futures)

    def _read_map(self, input_data: Mapping[str, tuple[int, Any]]) -> None:
        """Compiles the map, which only a predictor needs; it may come once, and late."""
        if self._predictor is None or self._road_map is not None or "map" not in input_data:
            return
        self._road_map = compile_town("leaderboard", input_data["map"][1]["opendrive"]).road_map
        self._policy = None  # begins anew, with the map

    def _locate(self, input_data: Mapping[str, tuple[int, Any]], time_s: float) -> Located:
        if self._world is not None:
            return self._world.locate()
        lat, lon = (float(v) for v in input_data["gnss"][1][:2])
        compass, speed = float(input_data["imu"][1][-1]), float(input_data["speed"][1]["speed"])
        return self._localiser.update(time_s, lat, lon, compass, speed)

    def _decide(self, ego: Located, time_s: float, s: float) -> EgoCommand:
        if self._policy is None:
            self._policy = self._make_policy()
        command = self._policy.command(self._frame(ego, time_s))
        self._index += 1
        stops = s > self._route.length - END_M or (self._world is not None and self._world.must_wait())
        return replace(command, acceleration=min(command.acceleration, -STOPS_MPS2)) if stops else command

    def _frame(self, ego: Located, time_s: float) -> Frame:
        others = []
        if self._world is not None:
            others = self._world.bodies(time_s, ego.pose, self._route)
        elif self._lidar is not None:
            barred = self._lidar.first_ahead(self._route, ego.pose)
            if barred is not None:
                others = [obstacle(self._route.points(np.array([barred]), np.zeros(1))[0])]
        return make_frame(self._index, time_s, ego, self._size, others)

    def _control(self, ego: Located, time_s: float) -> Any:
        dt = min(max(time_s - self._last_s, 0.0), DECISION_S)
        self._last_s = time_s
        throttle, brake = self._pedals.press(self._command.acceleration, ego.speed, dt)
        steer = self._wheel.wheel(self._command.curvature, ego.speed)
        if not all(map(math.isfinite, (throttle, brake, steer))):
            raise InputError("a sensor has sent something that is not a number")
        return carla_client().VehicleControl(throttle=throttle, steer=steer, brake=brake)
