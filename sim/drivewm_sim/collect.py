"""One episode: drive it, lay it out as tables, store it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivewm import __version__
from drivewm.types import Kind
from drivewm_datasets.episode import Episode, write_episode
from drivewm_sim.ego import POLICIES
from drivewm_sim.embedded import EmbeddedSimulator
from drivewm_sim.simulator import DECISION_S, Agents, EgoCommand, Frame, Intent, Scenario, Simulator
from drivewm_sim.town import load_town

DATASET = "drivewm_sim"


@dataclass(frozen=True, kw_only=True)
class EpisodeJob:
    """What a worker needs to make one episode. Equal jobs make equal bytes."""

    name: str  # the scene, and the folder under `out`
    out: Path
    scenario: Scenario
    policy: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """What the manifest keeps of an episode."""

    name: str
    seed: int
    hash: str
    frames: int
    agents: int
    seconds: float
    events: dict[str, int]


def run_job(job: EpisodeJob) -> EpisodeResult:
    """Simulates and stores one episode."""
    episode, events = collect_episode(EmbeddedSimulator(), job.scenario, job.policy, job.seed, job.name)
    folder = job.out / job.name
    if folder.exists():  # an earlier, damaged or unlisted one
        shutil.rmtree(folder)
    content = write_episode(folder, episode)
    frames = len(episode.frames["frame"])
    return EpisodeResult(
        name=job.name,
        seed=job.seed,
        hash=content,
        frames=frames,
        agents=len(np.unique(episode.truth["agent_id"])),
        seconds=round(frames * DECISION_S, 6),
        events=dict(sorted(events.items())),
    )


def collect_episode(
    simulator: Simulator, scenario: Scenario, policy: str, seed: int, name: str
) -> tuple[Episode, Counter[str]]:
    """Drives until time is up or the ego has arrived; frames are logged with the command that follows."""
    town = load_town(scenario.town)
    driver = POLICIES[policy](town.graph, scenario, seed)
    frames: list[Frame] = []
    commands: list[EgoCommand] = []
    frame = simulator.reset(scenario, seed)
    while not frame.finished:
        frames.append(frame)
        commands.append(driver.command(frame))
        if len(frames) >= round(scenario.duration_s / DECISION_S):
            break
        frame = simulator.step(commands[-1])
    simulator.close()
    episode = Episode(
        dataset=DATASET,
        scene=name,
        truth=_tracks_table(frames, [f.truth for f in frames]),
        perceived=_tracks_table(frames, [f.perceived for f in frames]),
        frames=_frames_table(frames, commands),
        road_map=town.road_map,
        ego_id=str(frames[0].ego_uid),
        provenance=_provenance(scenario, policy, seed),
    )
    return episode, Counter(e.name for f in frames for e in f.events)


def _provenance(scenario: Scenario, policy: str, seed: int) -> dict[str, Any]:
    return {
        "source": "embedded",
        "version": __version__,
        "seed": seed,
        "policy": policy,
        "scenario": asdict(scenario),
        "perception": "all agents within 60 m, without sensor noise",
    }


def _tracks_table(frames: list[Frame], agents: list[Agents]) -> dict[str, np.ndarray]:
    """The tracks table of all frames, in the order of frame and uid; `intent` is a label."""
    count = [len(a.uid) for a in agents]
    uid = np.concatenate([a.uid for a in agents])
    kind = np.concatenate([a.kind for a in agents])
    pose = np.concatenate([a.pose for a in agents])
    velocity = np.concatenate([a.velocity for a in agents])
    size = np.concatenate([a.size for a in agents])
    intent = np.concatenate([a.intent for a in agents])
    types = np.where(kind == Kind.PEDESTRIAN, "pedestrian", "car").astype(object)
    types[uid == frames[0].ego_uid] = "ego_vehicle"
    return {
        "frame": np.repeat(np.array([f.index for f in frames], np.int64), count),
        "t_s": np.repeat(np.array([f.time_s for f in frames]), count),
        "agent_id": uid.astype(str).astype(object),
        "agent_type": types,
        "x_m": pose[:, 0],
        "y_m": pose[:, 1],
        "z_m": np.zeros(len(uid)),
        "heading_rad": pose[:, 2],
        "vx_mps": velocity[:, 0],
        "vy_mps": velocity[:, 1],
        "length_m": size[:, 0],
        "width_m": size[:, 1],
        "intent": np.array([i.name.lower() for i in Intent], object)[intent],
    }


def _frames_table(frames: list[Frame], commands: list[EgoCommand]) -> dict[str, np.ndarray]:
    ego = np.array([f.truth.pose[f.truth.uid == f.ego_uid][0] for f in frames])
    return {
        "frame": np.array([f.index for f in frames], np.int64),
        "t_s": np.array([f.time_s for f in frames]),
        "ego_x_m": ego[:, 0],
        "ego_y_m": ego[:, 1],
        "ego_heading_rad": ego[:, 2],
        "ego_acceleration_mps2": np.array([c.acceleration for c in commands]),
        "ego_curvature": np.array([c.curvature for c in commands]),
    }
