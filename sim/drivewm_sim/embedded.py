"""The embedded backend: deterministic, headless, branches exactly. Kernels inside, this at the edge."""

from __future__ import annotations

from dataclasses import replace

from drivewm_sim.ego_way import EGO_UID
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town
from drivewm_sim.sensors import suite
from drivewm_sim.sensors.bodies import bodies_of
from drivewm_sim.sensors.lidar import LidarSpec, Sweep, scan
from drivewm_sim.sensors.raycast import LidarPose
from drivewm_sim.sensors.suite import SensorSuite
from drivewm_sim.simulator import DECISION_S, Capabilities, EgoCommand, Event, Frame, Scenario
from drivewm_sim.street import state, traffic
from drivewm_sim.street.scripts import Scripts
from drivewm_sim.street.state import World
from drivewm_sim.street.traffic import Setting
from drivewm_sim.street_simulator import Snapshot, StreetSimulator


class KernelBodies:
    """`Bodies` that are their records and nothing else. In the scenario's town, or the one handed in."""

    def __init__(self, town: Town | None = None) -> None:
        self._town = town

    def town(self, name: str) -> Town:
        return self._town or load_town(name)

    def enter(self, setting: Setting, world: World) -> World:
        return world

    def step(self, world: World, scripts: Scripts, setting: Setting) -> tuple[Event, ...]:
        traffic.step(world, scripts, setting)
        return ()

    def renew(self, world: World) -> World:
        return world

    def sweep(self, lidar: LidarSpec, world: World, setting: Setting, pose: LidarPose) -> Sweep:
        return scan(
            lidar, setting.grid, setting.street.boxes, bodies_of(world.vehicles, world.pedestrians), pose,
            ego_uid=EGO_UID, seed=setting.seed, tick=world.tick,
        )  # fmt: skip

    def close(self) -> None: ...


class EmbeddedSimulator(StreetSimulator):
    """A `Simulator` on NumPy arrays and Numba kernels. Takes the scenario's town, or the one handed in."""

    def __init__(self, town: Town | None = None, sensors: SensorSuite | None = None) -> None:
        super().__init__(KernelBodies(town), sensors)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(branching=True, sensors=self._suite is not None)

    def snapshot(self) -> Snapshot:
        """This instant; stepping on does not change it."""
        return _copy(self._running())

    def restore(self, snapshot: Snapshot) -> Frame:
        """Back to an instant, which may be used again. The frame has neither events nor a sweep."""
        self._now = _copy(snapshot)
        return self._frame((), sense=False)


def _copy(snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        world=state.copy(snapshot.world),
        scripts=Scripts(*(column.copy() for column in snapshot.scripts)),
        directors=snapshot.directors.copy(),
        sensors=suite.copy(snapshot.sensors) if snapshot.sensors else None,
    )


def compile_kernels() -> None:
    """Compiles everything a simulation needs, or loads it from the cache on disk."""
    simulator = EmbeddedSimulator(sensors=SensorSuite())
    simulator.reset(Scenario(warm_up_s=DECISION_S), seed=0)
    simulator.step(EgoCommand())
