"""Forecasts in the car: observations in, tick by tick, joint futures out.

The history slots are filled by the rule that fills them from recordings (`history.sample_track`) and the
scene goes through the same `featurize`, so that a drive gives what its recording gives.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.errors import InputError
from drivewm.features import featurize, scene_center
from drivewm.history import EXACT_S, TrackHistory, memory_s
from drivewm.postprocess import to_forecast
from drivewm.runtime import Backend, Runtime, load_runtime
from drivewm.tracks import tracks_from_positions
from drivewm.types import Forecast, Kind, RoadMap, Scene, Tracks

log = logging.getLogger(__name__)

FARTHEST_M = 1e8
"""No map projection has coordinates as large."""
LARGEST_SIZE_M = 100.0
RECENT_RUNS = 5
"""The median over so many runs of the model is held against the budget."""
RETRY_TICKS = 10
"""While over the budget the model is tried again every so many ticks; that one tick may be late."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Where one agent is seen at a stamp, in a frame that stays fixed (map or odometry, not the ego's)."""

    agent_id: str  # the tracker's, the same from tick to tick
    kind: Kind
    x: float  # metres, of the box centre
    y: float
    size: tuple[float, float] | None = None  # length, width in metres; None where not measured
    z: float = 0.0


class Predictor:
    """A model with the memory of the last seconds. Not for several threads at once.

    `step` answers for every agent observed at the stamp:

    - more agents than the model has slots: the nearest to the ego are forecast by the model, the others
      at constant velocity, with source `kinematic`; so is one seen for the first time;
    - an observation that is not finite, beyond 1e8 m, of no kind, a second one of the same id, or a jump
      no agent of its kind can make is left out and counted by its reason in `dropped`; the agent is then
      absent from this forecast, as is one not observed; a jump that the next observation confirms starts
      the track anew;
    - a track is forgotten when it was not seen for as long as the history reaches (3.45 s);
    - a size that is not positive, not finite or above 100 m counts as not measured;
    - the model fails, answers with something not finite, or is slower than `budget_ms` (median of the
      last 5 runs): everybody gets the kinematic forecast, and `degraded` counts the tick by its reason.
      After slow runs the model is tried again every 10 ticks.

    Every forecast has the model's numbers of modes and candidates: where the kinematic forecast stands
    in, all hold the same path and the first has all probability.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        budget_ms: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if budget_ms is not None and not budget_ms > 0:
            raise InputError(f"budget_ms must be positive milliseconds or None, got {budget_ms}")
        self.runtime = runtime
        self.grid = runtime.grid
        self.dropped: Counter[str] = Counter()  # observations, by reason
        self.degraded: Counter[str] = Counter()  # ticks, by reason
        self._budget_ms = budget_ms
        self._clock = clock
        self._memory_s = memory_s(self.grid)
        self._run_ms: deque[float] = deque(maxlen=RECENT_RUNS)
        self._since_run = 0
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        backend: Backend = "onnx",
        agents: int = 32,
        budget_ms: float | None = None,
        threads: int = 1,
    ) -> Predictor:
        """The predictor of a shipped bundle (by name) or a bundle folder, warmed up.

        `agents` are the model's slots: with onnx one of the exported counts. InputError where the bundle
        is missing, damaged or not exported.
        """
        runtime = load_runtime(name_or_path, backend=backend, agents=agents, threads=threads)
        return cls(runtime, budget_ms=budget_ms)

    def reset(self) -> None:
        """Forgets all tracks, the map and the clock: a new drive begins."""
        self._tracks: dict[str, TrackHistory] = {}
        self._last_s = -math.inf
        self._road_map = RoadMap.empty()

    def step(
        self,
        observations: Sequence[Observation],
        t_s: float,
        ego_pose: Float[ndarray, "3"] | None = None,
        road_map: RoadMap | None = None,
    ) -> Forecast:
        """The futures of all agents observed at `t_s` (seconds), in the observations' frame and order.

        `ego_pose` (x, y, yaw in the same frame) says which agents matter most when there are more than
        slots; without it those nearest to the middle of all. `road_map` is kept until another is given.
        A stamp seen before replaces that tick; one further back is an InputError.
        """
        self._advance(t_s)
        if road_map is not None:
            self._road_map = road_map
        seen = self._admit(observations, t_s)
        scene = self._scene(seen, t_s)
        chosen = self._chosen(scene, ego_pose)
        near = replace(scene, tracks=_select(scene.tracks, chosen))
        answer = self._ask(near) if len(chosen) else None
        return replace(self._widen(scene, chosen, answer), model_hash=self.runtime.hash)

    def _advance(self, t_s: float) -> None:
        if not math.isfinite(t_s):
            raise InputError(f"t_s must be finite seconds, got {t_s}")
        if t_s < self._last_s - EXACT_S:
            raise InputError(
                f"t_s went backwards, from {self._last_s:.3f} to {t_s:.3f} s: "
                "send ticks in order, or reset() for a new drive"
            )
        self._last_s = t_s
        for agent_id, track in list(self._tracks.items()):
            track.drop_from(t_s)
            track.forget_before(t_s - self._memory_s)
            if track.last_s < t_s - self._memory_s - EXACT_S:
                del self._tracks[agent_id]

    def _admit(self, observations: Sequence[Observation], t_s: float) -> list[Observation]:
        """The observations that can be believed, now in the histories."""
        seen: dict[str, Observation] = {}
        for observation in observations:
            reason = _doubt(observation)
            if reason is None and observation.agent_id in seen:
                reason = "same id twice"
            if reason is None:
                track = self._tracks.setdefault(observation.agent_id, TrackHistory())
                place = (float(observation.x), float(observation.y), float(observation.z))
                if not track.add(t_s, place, Kind(observation.kind)):
                    reason = "jump"
            if reason is None:
                seen[observation.agent_id] = observation
            else:
                self.dropped[reason] += 1
        return list(seen.values())

    def _scene(self, seen: list[Observation], t_s: float) -> Scene:
        ages = np.asarray(self.grid.ages)
        holes = np.asarray(self.grid.slot_holes)
        samples = [self._tracks[o.agent_id].sample(t_s - ages, holes, until=t_s) for o in seen]
        xyz = np.array([s[0] for s in samples]).reshape(len(seen), len(ages), 3)
        tracks = tracks_from_positions(
            position=xyz[..., :2],
            valid=np.array([s[1] for s in samples], bool).reshape(len(seen), len(ages)),
            times=-ages,
            kind=np.array([int(o.kind) for o in seen], np.int64),
            size=np.array([_size(o) for o in seen], np.float64).reshape(-1, 2),
            ids=tuple(o.agent_id for o in seen),
            elevation=xyz[..., 2],
        )
        return Scene(tracks=tracks, t_s=float(t_s), road_map=self._road_map)

    def _chosen(self, scene: Scene, ego_pose: Float[ndarray, "3"] | None) -> Int[ndarray, "C"]:
        """Which agents get the model's slots, in their order."""
        position = scene.tracks.position[:, 0]
        if len(position) <= self.runtime.agents:
            return np.arange(len(position))
        if ego_pose is not None and not np.isfinite(ego_pose).all():
            self.dropped["ego pose not finite"] += 1
            ego_pose = None
        middle = scene_center(position, scene.tracks.valid[:, 0]) if ego_pose is None else ego_pose[:2]
        nearest = np.argsort(np.hypot(*(position - middle).T), kind="stable")
        return np.sort(nearest[: self.runtime.agents])

    def _ask(self, scene: Scene) -> Forecast | None:
        """The model's forecast, or None where it fails or has no time."""
        if self._over_budget():
            self.degraded["over budget"] += 1
            return None
        inputs = featurize([scene], agents=self.runtime.agents, polylines=self.runtime.polylines)
        start = self._clock()
        try:
            outputs = self.runtime.run(inputs)
        except Exception as error:  # whatever an engine raises: the car needs an answer this tick
            log.warning("the model failed (%r); this tick is kinematic", error)
            self.degraded["model failed"] += 1
            return None
        self._run_ms.append(1e3 * (self._clock() - start))
        if not all(np.isfinite(array).all() for array in outputs.values()):
            log.warning("the model answered with values that are not finite; this tick is kinematic")
            self.degraded["not finite"] += 1
            return None
        return to_forecast(outputs, 0, scene, self.grid, self.runtime.calibration)

    def _over_budget(self) -> bool:
        if self._budget_ms is None or len(self._run_ms) == 0:
            return False
        if statistics.median(self._run_ms) <= self._budget_ms:
            return False
        self._since_run += 1
        if self._since_run < RETRY_TICKS:
            return True
        self._since_run = 0
        self._run_ms.clear()  # the run now tried alone decides
        return False

    def _widen(self, scene: Scene, chosen: Int[ndarray, "C"], answer: Forecast | None) -> Forecast:
        """The forecast of all agents: kinematic, and the model's for the chosen ones."""
        tracks = scene.tracks
        k, m = self.runtime.joint_modes, self.runtime.candidates
        horizon = np.asarray(self.grid.horizons)
        path, spread = constant_velocity(tracks, horizon)
        position, covariance = np.repeat(path[None], k, axis=0), np.repeat(spread[None], k, axis=0)
        marginal, marginal_covariance = np.repeat(path[None], m, axis=0), np.repeat(spread[None], m, axis=0)
        mode_probability, marginal_probability = np.eye(k)[0], np.zeros((m, tracks.agents))
        marginal_probability[0] = 1.0
        source = np.full(tracks.agents, "kinematic", object)
        if answer is not None:
            position[:, chosen], covariance[:, chosen] = answer.position, answer.covariance
            marginal[:, chosen] = answer.marginal_position
            marginal_covariance[:, chosen] = answer.marginal_covariance
            marginal_probability[:, chosen] = answer.marginal_probability
            mode_probability = answer.mode_probability
            source[chosen] = answer.source
        return Forecast(
            t_s=scene.t_s,
            ids=tracks.ids,
            kind=tracks.kind,
            valid=tracks.valid[:, 0],
            horizon=horizon,
            position=position,
            covariance=covariance,
            mode_probability=mode_probability,
            marginal_position=marginal,
            marginal_covariance=marginal_covariance,
            marginal_probability=marginal_probability,
            source=tuple(source),
        )


def _doubt(observation: Observation) -> str | None:
    """Why an observation cannot be used, or None."""
    place = (observation.x, observation.y, observation.z)
    if not all(isinstance(value, Real) and math.isfinite(value) for value in place):
        return "not finite"
    if max(map(abs, place)) > FARTHEST_M:
        return "too far"
    if observation.kind not in tuple(Kind):
        return "no kind"
    return None


def _size(observation: Observation) -> tuple[float, float]:
    """Length and width, zero where not measured."""
    size = observation.size
    return size if size is not None and all(0 < side <= LARGEST_SIZE_M for side in size) else (0.0, 0.0)


def _select(tracks: Tracks, chosen: Int[ndarray, "C"]) -> Tracks:
    if len(chosen) == tracks.agents:
        return tracks
    return replace(
        tracks,
        pose=tracks.pose[chosen],
        velocity=tracks.velocity[chosen],
        valid=tracks.valid[chosen],
        size=tracks.size[chosen],
        size_valid=tracks.size_valid[chosen],
        kind=tracks.kind[chosen],
        ids=tuple(tracks.ids[i] for i in chosen),
        heading_valid=tracks.heading_valid[chosen],
        elevation=None if tracks.elevation is None else tracks.elevation[chosen],
    )
