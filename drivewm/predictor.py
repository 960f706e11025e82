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
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.baselines import constant_velocity
from drivewm.bev import BevGrid
from drivewm.context import missing
from drivewm.errors import InputError
from drivewm.features import featurize, scene_center, split_lines
from drivewm.history import EXACT_S, SAME_M, TrackHistory, memory_s
from drivewm.lane_direction import road_yaw
from drivewm.observations import Observation, doubt, size_of
from drivewm.plausibility import plausible
from drivewm.postprocess import to_forecast
from drivewm.runtime import Backend, Runtime, load_runtime
from drivewm.tracks import tracks_from_positions
from drivewm.types import EgoPlan, Forecast, Kind, RoadMap, Scene, Tracks

__all__ = ["Observation", "Predictor"]

log = logging.getLogger(__name__)

RECENT_RUNS = 5
"""The median over so many runs of the model is held against the budget."""
RETRY_TICKS = 10
"""While over the budget the model is tried again every so many ticks; that one tick may be late."""
LONGEST_MEMORY_S = 3.0


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
    - with `remember_s`, an agent that is not observed any more is carried on at its velocity for so long and
      forecast after the observed ones, with the probability that it still exists; until somebody of its kind
      appears within 2 m of where it should be;
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
        remember_s: float = 0.0,
        ego_id: str | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not 0 <= remember_s <= LONGEST_MEMORY_S:
            raise InputError(f"remember_s must lie between 0 and {LONGEST_MEMORY_S:g} s, got {remember_s}")
        if budget_ms is not None and not budget_ms > 0:
            raise InputError(f"budget_ms must be positive milliseconds or None, got {budget_ms}")
        self.runtime = runtime
        self.grid = runtime.grid
        self.dropped: Counter[str] = Counter()  # observations, by reason
        self.degraded: Counter[str] = Counter()  # ticks, by reason
        self._budget_ms = budget_ms
        self._remember_s, self._ego_id = remember_s, ego_id
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
        remember_s: float = 0.0,
        ego_id: str | None = None,
    ) -> Predictor:
        """The predictor of a shipped bundle (by name) or a bundle folder, warmed up.

        `agents` are the model's slots: with onnx one of the exported counts. `ego_id` names the ego among
        the observations, so that it is forecast to follow its plan. InputError where the bundle is missing,
        damaged or not exported.
        """
        runtime = load_runtime(name_or_path, backend=backend, agents=agents, threads=threads)
        return cls(runtime, budget_ms=budget_ms, remember_s=remember_s, ego_id=ego_id)

    def reset(self) -> None:
        """Forgets all tracks, the map and the clock: a new drive begins."""
        self._tracks: dict[str, TrackHistory] = {}
        self._known: dict[str, Observation] = {}  # the newest of each track
        self._last_s = -math.inf
        self._road_map = RoadMap.empty()
        self._now: tuple[Scene, Int[ndarray, "C"]] | None = (
            None  # the scene of the last tick, and who has slots
        )

    def step(
        self,
        observations: Sequence[Observation],
        t_s: float,
        ego_pose: Float[ndarray, "3"] | None = None,
        road_map: RoadMap | None = None,
        *,
        signals: tuple[int, ...] | None = None,
        bev: BevGrid | None = None,
        plan: EgoPlan | None = None,
    ) -> Forecast:
        """The futures of all agents observed at `t_s` (seconds), in the observations' frame and order.

        `ego_pose` (x, y, yaw in the same frame) says which agents matter most when there are more than
        slots; without it those nearest to the middle of all. `road_map` is kept until another is given.
        `signals` is what each signal group of the map shows, `bev` the grid in the ego's frame (it needs
        `ego_pose`), `plan` one plan of the ego; what a model does not use is ignored, what is missing is
        named in the forecast's `without`.
        A stamp seen before replaces that tick; one further back is an InputError.
        """
        self._check_context(ego_pose, bev, plan)
        self._advance(t_s)
        if road_map is not None:
            self._road_map = road_map
        seen = self._admit(observations, t_s)
        scene = replace(
            self._scene(seen, t_s),
            signals=signals,
            bev=bev,
            ego_pose=None if ego_pose is None else np.asarray(ego_pose, np.float64),
            plan=plan,
            ego_id=self._ego_id,
        )
        self._now = scene, self._chosen(scene, ego_pose)
        return self._answer(plan)

    def imagine(self, plans: EgoPlan) -> list[Forecast]:
        """What would follow each of the ego's plans, from the last tick; nothing is remembered of it.

        A joint mode stands for the same people under every plan, so modes compare one by one. InputError
        before the first tick, and for a model that takes no plan.
        """
        if self._now is None:
            raise InputError("imagine() starts from the last tick: call step() first")
        if not self.runtime.sizes.plan:
            raise InputError(f"bundle {self.runtime.name} takes no plan of the ego; use one that does")
        self._check_plans(plans)
        count = len(plans.valid)
        return [self._answer(EgoPlan(pose=plans.pose[[g]], valid=plans.valid[[g]])) for g in range(count)]

    def _answer(self, plan: EgoPlan | None) -> Forecast:
        """The forecast of the last tick under a plan."""
        if self._now is None:
            raise RuntimeError("no tick yet")
        scene, chosen = self._now
        scene = replace(scene, plan=plan)
        near = replace(scene, tracks=_select(scene.tracks, chosen))
        answer = self._ask(near) if len(chosen) else None
        sizes = self.runtime.sizes
        forecast = replace(
            self._widen(scene, chosen, answer),
            model_hash=self.runtime.hash,
            without=missing(scene, signals=sizes.signals, bev=sizes.bev is not None, plan=sizes.plan),
        )
        return plausible(forecast, scene)

    def _check_context(
        self, ego_pose: Float[ndarray, "3"] | None, bev: BevGrid | None, plan: EgoPlan | None
    ) -> None:
        wanted = self.runtime.sizes.bev
        if bev is not None and wanted is not None:
            if ego_pose is None or not np.isfinite(ego_pose).all():
                raise InputError("bev needs a finite ego_pose: the grid lies in the ego's frame")
            if bev.spec != wanted:
                raise InputError(f"bev must be of {wanted}, got {bev.spec}; make it by `drivewm.bev`")
        if plan is not None:
            self._check_plans(plan)
            if len(plan.valid) != 1:
                raise InputError(f"step() takes one plan, got {len(plan.valid)}; imagine() takes several")

    def _check_plans(self, plans: EgoPlan) -> None:
        if plans.valid.shape[-1] != self.grid.steps:
            raise InputError(
                f"a plan must have {self.grid.steps} steps of {self.grid.step:g} s, "
                f"got {plans.valid.shape[-1]}"
            )
        try:
            plans.validate()
        except ValueError as error:
            raise InputError(str(error)) from None

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
                self._known.pop(agent_id, None)

    def _admit(self, observations: Sequence[Observation], t_s: float) -> list[Observation]:
        """The observations that can be believed, now in the histories."""
        seen: dict[str, Observation] = {}
        for observation in observations:
            reason = doubt(observation)
            if reason is None and observation.agent_id in seen:
                reason = "same id twice"
            if reason is None:
                track = self._tracks.setdefault(observation.agent_id, TrackHistory())
                self._known[observation.agent_id] = observation
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
        lost = self._lost(seen, t_s)
        everybody = [*seen, *(observation for observation, _, _ in lost)]
        samples = [self._tracks[o.agent_id].sample(t_s - ages, holes, until=t_s) for o in everybody]
        xyz = np.array([s[0] for s in samples]).reshape(len(everybody), len(ages), 3)
        valid = np.array([s[1] for s in samples], bool).reshape(len(everybody), len(ages))
        unseen = np.zeros(len(everybody))
        for row, (_, place, since) in enumerate(lost, start=len(seen)):
            xyz[row, 0], valid[row, 0], unseen[row] = place, True, since
        kind = np.array([int(o.kind) for o in everybody], np.int64)
        tracks = tracks_from_positions(
            position=xyz[..., :2],
            valid=valid,
            times=-ages,
            kind=kind,
            size=np.array([size_of(o) for o in everybody], np.float64).reshape(-1, 2),
            ids=tuple(o.agent_id for o in everybody),
            elevation=xyz[..., 2],
            unseen_s=unseen,
            road_yaw=road_yaw(xyz[:, 0, :2], kind, split_lines(self._road_map)),
        )
        return Scene(tracks=tracks, t_s=float(t_s), road_map=self._road_map)

    def _lost(self, seen: list[Observation], t_s: float) -> list[tuple[Observation, ndarray, float]]:
        """Who is not seen any more but remembered: the last observation, the place now, seconds since."""
        if not self._remember_s:
            return []
        here = {o.agent_id for o in seen}
        out = []
        for agent_id, last in self._known.items():
            track = self._tracks[agent_id]
            since = t_s - track.last_s
            if agent_id in here or not EXACT_S < since <= self._remember_s + EXACT_S:
                continue
            place = track.carried_on(t_s)
            if not any(self._took_over(o, last, track.last_s, place) for o in seen):
                out.append((last, place, since))
        return out

    def _took_over(self, seen: Observation, last: Observation, lost_s: float, place: ndarray) -> bool:
        """Whether somebody now seen is taken for the one who was lost."""
        younger = self._tracks[seen.agent_id].first_s > lost_s
        near = math.hypot(seen.x - place[0], seen.y - place[1]) < SAME_M
        return younger and near and seen.kind == last.kind

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
        inputs = featurize([scene], agents=self.runtime.agents, sizes=self.runtime.sizes)
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
        return to_forecast(outputs, 0, scene, self.grid, self.runtime.calibration, bev=self.runtime.sizes.bev)

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
        existence, crossing, occupancy = None, None, None
        if answer is not None:
            position[:, chosen], covariance[:, chosen] = answer.position, answer.covariance
            marginal[:, chosen] = answer.marginal_position
            marginal_covariance[:, chosen] = answer.marginal_covariance
            marginal_probability[:, chosen] = answer.marginal_probability
            mode_probability = answer.mode_probability
            source[chosen] = answer.source
            existence = _spread_out(answer.existence, chosen, tracks.agents, 1.0)
            crossing = _spread_out(answer.crossing_probability, chosen, tracks.agents, 0.0)
            occupancy = answer.occupancy
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
            existence=existence,
            crossing_probability=crossing,
            occupancy=occupancy,
            observed=np.ones(tracks.agents, bool) if tracks.unseen_s is None else tracks.unseen_s == 0,
        )


def _spread_out(
    values: ndarray | None, chosen: Int[ndarray, "C"], agents: int, otherwise: float
) -> ndarray | None:
    """The values of the chosen agents among all of them."""
    if values is None:
        return None
    out = np.full((agents, *values.shape[1:]), otherwise)
    out[chosen] = values
    return out


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
        unseen_s=None if tracks.unseen_s is None else tracks.unseen_s[chosen],
    )
