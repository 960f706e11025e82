"""One episode: drive it, branch it, lay it out as tables, store it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivewm import __version__
from drivewm.types import RoadMap
from drivewm_datasets.episode import Branches, Episode, write_episode
from drivewm_sim.branches import Branching, Drive, branch_out, may_branch
from drivewm_sim.ego import POLICIES, EgoPolicy
from drivewm_sim.ego_planner import PlannerPolicy, PredictorFutures
from drivewm_sim.ego_route import EgoRoute
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.episode_tables import event_columns, frame_columns, image_columns, tracks_columns
from drivewm_sim.roads.towns import town_label, town_names
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import DECISION_S, Frame, Scenario, Simulator

if TYPE_CHECKING:
    from drivewm.predictor import Predictor
    from drivewm_sim.carla_client.connection import Server
    from drivewm_sim.carla_client.moving import Driving

DATASET = "drivewm_sim"
SENSORS = {
    "none": "all agents within 60 m, without sensor noise",
    "tracks": "tracks of a tracker model fed by a simulated lidar",
    "images": "the same, with range images and bird's-eye grids stored",
}
"""What the ego may perceive, by name."""
NO_BRANCHES = Branching(moments=0)


@dataclass(frozen=True, kw_only=True)
class EpisodeJob:
    """What a worker needs to make one episode. Equal jobs make equal bytes."""

    name: str  # the scene, and the folder under `out`
    out: Path
    scenario: Scenario
    policy: str
    seed: int
    branching: Branching = NO_BRANCHES
    predictor: str | None = None  # the bundle that the planner asks; None: constant velocity
    sensors: str = "tracks"  # one of SENSORS
    server: Server | None = None  # the CARLA server that moves the bodies; None: the embedded simulator
    driving: Driving = "velocity"  # how vehicles move on a server


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """What the manifest keeps of an episode, and what it cost."""

    name: str
    seed: int
    hash: str
    frames: int
    agents: int
    seconds: float
    events: dict[str, int]
    branches: int = 0
    branch_frames: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)  # by what was done; not kept
    retries: int = 0  # so often it was begun again; not kept


class Stopwatch:
    """CPU seconds of this process, by what they were spent on."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self._since = time.process_time()

    def lap(self, what: str) -> None:
        """What was done since the last lap."""
        now = time.process_time()
        self.cpu_s[what] = self.cpu_s.get(what, 0.0) + now - self._since
        self._since = now


def run_job(job: EpisodeJob) -> EpisodeResult:
    """Simulates and stores one episode."""
    watch = Stopwatch()
    predictor = _predictor(job.predictor) if job.predictor and job.policy == "planner" else None
    with closing(_simulator(job)) as simulator:
        episode, events = collect_episode(
            simulator, job.scenario, job.policy, job.seed, job.name,
            job.branching, predictor, job.sensors == "images", watch.lap,
        )  # fmt: skip
    folder = job.out / job.name
    if folder.exists():  # an earlier, damaged or unlisted one
        shutil.rmtree(folder)
    content = write_episode(folder, episode)
    watch.lap("write")
    frames = len(episode.frames["frame"])
    branches = episode.branches
    return EpisodeResult(
        name=job.name,
        seed=job.seed,
        hash=content,
        frames=frames,
        agents=len(np.unique(episode.truth["agent_id"])),
        seconds=round(frames * DECISION_S, 6),
        events=dict(sorted(events.items())),
        branches=branches.count if branches else 0,
        branch_frames=len(branches.frames["frame"]) if branches else 0,
        cpu_s=watch.cpu_s,
    )


def _simulator(job: EpisodeJob) -> Simulator:
    sensors = None if job.sensors == "none" else SensorSuite()
    if job.server is None:
        return EmbeddedSimulator(sensors=sensors)
    from drivewm_sim.carla_client.carla_simulator import CarlaSimulator

    return CarlaSimulator(job.server, job.driving, sensors)


@lru_cache(maxsize=1)
def _predictor(bundle: str) -> Predictor:
    """A bundle's predictor, loaded once a worker."""
    from drivewm.predictor import Predictor

    return Predictor.load(bundle)


def collect_episode(
    simulator: Simulator,
    scenario: Scenario,
    policy: str,
    seed: int,
    name: str,
    branching: Branching = NO_BRANCHES,
    predictor: Predictor | None = None,
    images: bool = False,
    lap: Callable[[str], None] = lambda _: None,
) -> tuple[Episode, Counter[str]]:
    """Drives until time is up or the ego has arrived, then branches; frames are logged with the command that
    follows. `images` keeps what the sensors gave. `lap` is told what is done: simulate, branch, tables."""
    first = simulator.reset(scenario, seed)
    route, road_map = simulator.route, simulator.road_map
    driver = _driver(policy, route, scenario, seed, predictor, road_map)
    drive = _drive(simulator, first, driver, scenario, keep=branching.moments > 0)
    lap("simulate")
    branches = branch_out(simulator, drive, route, branching, seed) if branching.moments else None
    able = simulator.capabilities
    perception = SENSORS["none" if not able.sensors else "images" if images else "tracks"]
    simulator.close()
    lap("branch")
    frames = drive.frames
    episode = Episode(
        dataset=DATASET,
        scene=name,
        truth=tracks_columns(frames, [f.truth for f in frames]),
        perceived=tracks_columns(frames, [f.perceived for f in frames]),
        frames=frame_columns(frames, drive.commands) | (image_columns(frames) if images else {}),
        road_map=road_map,
        ego_id=str(frames[0].ego_uid),
        provenance=_provenance(able.backend, scenario, policy, seed, predictor) | {"perception": perception},
        branches=branches,
        events=event_columns(frames),
    )
    if branches is not None:
        episode = replace(episode, provenance=episode.provenance | {"branches": _about(branches, branching)})
    lap("tables")
    return episode, Counter(e.name for f in frames for e in f.events)


def _driver(
    policy: str,
    route: EgoRoute,
    scenario: Scenario,
    seed: int,
    predictor: Predictor | None,
    road_map: RoadMap,
) -> EgoPolicy:
    if policy == "planner" and predictor is not None:
        return PlannerPolicy(route, scenario, seed, PredictorFutures(predictor, road_map))
    return POLICIES[policy](route, scenario, seed)


def _drive(simulator: Simulator, frame: Frame, driver: EgoPolicy, scenario: Scenario, keep: bool) -> Drive:
    """The episode from its first frame on; with `keep`, snapshots from which it may be branched."""
    drive = Drive()
    while not frame.finished:
        if keep and may_branch(len(drive.frames)):
            drive.snapshots[len(drive.frames)] = simulator.snapshot()
        drive.frames.append(frame)
        drive.commands.append(driver.command(frame))
        if len(drive.frames) >= round(scenario.duration_s / DECISION_S):
            break
        frame = simulator.step(drive.commands[-1])
    return drive


def recipe_town(name: str, backend: str) -> str:
    """What a recipe says of a town: of a server's own, what the server calls it."""
    server_s = backend == "carla" and name not in town_names() and not name.endswith((".xodr", ".xodr.gz"))
    return name if server_s else town_label(name)


def _provenance(
    backend: str, scenario: Scenario, policy: str, seed: int, predictor: Predictor | None
) -> dict[str, Any]:
    about = {
        "source": backend,
        "version": __version__,
        "seed": seed,
        "policy": policy,
        "scenario": asdict(scenario) | {"town": recipe_town(scenario.town, backend)},
    }
    return about if predictor is None else about | {"predictor": predictor.runtime.hash}


def _about(branches: Branches, branching: Branching) -> dict[str, Any]:
    """What an episode says of its branches."""
    return {
        "horizon_s": branching.horizon_s,
        "moments": np.unique(branches.frames["moment_frame"]).tolist(),
        "plans": list(branching.plans),
    }
