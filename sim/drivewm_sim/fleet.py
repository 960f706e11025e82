"""Many episodes by many workers. A worker that dies or hangs is replaced, and its episode made again.

Who makes an episode does not matter: its seed comes from the collection's seed and its index alone.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from drivewm.errors import InputError
from drivewm_sim.collect import EpisodeJob, EpisodeResult
from drivewm_sim.workers import (
    Dead,
    Failure,
    ProcessWorkshop,
    RayWorkshop,
    Report,
    Worker,
    Workshop,
    outcome,
    ray_installed,
)

if TYPE_CHECKING:
    from drivewm_sim.carla_client.servers import Source

Engine = Literal["auto", "ray", "processes"]
ATTEMPTS = 3
"""So often an episode is begun whose workers die or hang."""
START_LIMIT_S = 600.0
"""So long the first worker may take to start: a cluster may be full, a machine have to compile first."""
_LOOK_S = 0.5
"""Workers are looked after at least this often."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Who makes the episodes."""

    workers: int = 1
    engine: Engine = "auto"  # ray where it is installed; one worker of "auto" is this process itself
    address: str | None = None  # of a Ray cluster that runs already; "auto" finds the one of this machine
    time_limit_s: float = 600.0  # an episode that takes longer hangs
    sources: tuple[Source, ...] = ()  # of CARLA servers, one a worker; none: the embedded simulator
    recycle: int = 0  # after so many episodes a worker and what it started are replaced; 0: never
    tell: Callable[[str], None] = lambda _: None  # is told of whom and what had to be begun again


def run_fleet(jobs: list[EpisodeJob], fleet: Fleet) -> Generator[EpisodeResult, None, None]:
    """Results as they come, in no promised order; one episode a task. Close the iterator to end all workers.

    InputError naming episodes and seeds, once all others are made, if some could not be; at once where no
    episode could be made (no room on the disk, workers that do not start).
    """
    workers = min(fleet.workers, len(jobs))
    by_itself = fleet.engine == "auto" and fleet.address is None and workers <= 1
    if by_itself and not fleet.sources:
        yield from _alone(jobs)
        return
    with_ray = fleet.engine == "ray" or fleet.address is not None
    with_ray |= fleet.engine == "auto" and ray_installed() and not by_itself
    workshop: Workshop = RayWorkshop(workers, fleet.address) if with_ray else ProcessWorkshop()
    shift = _Shift(workshop, jobs, workers, fleet)
    try:
        yield from shift.run()
    finally:
        workshop.close()
        shift.release()


def _alone(jobs: list[EpisodeJob]) -> Iterator[EpisodeResult]:
    lost: list[str] = []
    for job in jobs:
        made = outcome(job)
        if isinstance(made, EpisodeResult):
            yield made
        else:
            lost.append(_lost(job, made))
    _complain(lost)


def _lost(job: EpisodeJob, failure: Failure) -> str:
    """One line on an episode that cannot be made; InputError if that holds for all of them."""
    if failure.whole_run:
        raise InputError(f"episode {job.name} (seed {job.seed}): {failure.said}; finished episodes are kept")
    return f"{job.name} (seed {job.seed}): {failure.said}"


def _complain(lost: list[str]) -> None:
    if lost:
        said = "; ".join(lost[:3]) + (f"; and {len(lost) - 3} more" if len(lost) > 3 else "")
        raise InputError(
            f"{len(lost)} episodes could not be made, all others are kept: {said}. Run again with --resume"
        )


@dataclass
class _Seat:
    """A worker and what it is at."""

    worker: Worker
    source: Source | None
    job: EpisodeJob | None = None
    since: float = field(default_factory=time.monotonic)  # of the job's beginning, or of being hired
    started: bool = False
    made: int = 0

    @property
    def due(self) -> bool:
        """Whether it owes a report."""
        return self.job is not None or not self.started


class _Shift:
    """The jobs on their way through the workers."""

    def __init__(self, workshop: Workshop, jobs: list[EpisodeJob], workers: int, fleet: Fleet) -> None:
        self._workshop, self._fleet = workshop, fleet
        self._waiting = deque(jobs)
        self._attempts: Counter[str] = Counter()
        self._lost: list[str] = []
        self._stillborn: Counter[Source | None] = Counter()
        self._anybody = False
        self._wanted = workers
        self._free: deque[Source | None] = deque((*fleet.sources, *[None] * workers)[:workers])
        self._seats: list[_Seat] = []
        self._abandoned: set[Source] = set()  # in the middle of a job, or their worker was ended there

    def run(self) -> Iterator[EpisodeResult]:
        self._staff()
        while self._waiting or any(seat.job for seat in self._seats):
            due = [seat.worker for seat in self._seats if seat.due]
            for worker, report in self._workshop.reports(due, _LOOK_S):
                self._hear(next(seat for seat in self._seats if seat.worker is worker), report)
                self._staff()
                if isinstance(report, EpisodeResult):
                    yield replace(report, retries=self._attempts[report.name])
            self._look_after()
            self._staff()
        _complain(self._lost)

    def _staff(self) -> None:
        """Gives waiting jobs to idle workers, and hires for those that are left."""
        for seat in self._seats:
            if seat.started and seat.job is None and self._waiting:
                seat.job, seat.since = self._waiting.popleft(), time.monotonic()
                if seat.source is not None:
                    self._abandoned.add(seat.source)
                seat.worker.give(seat.job)
        starting = sum(not seat.started for seat in self._seats)
        for _ in range(min(self._wanted - len(self._seats), len(self._waiting) - starting)):
            source = self._free.popleft()
            self._seats.append(_Seat(self._workshop.hire(source), source))

    def _hear(self, seat: _Seat, report: Report) -> None:
        if isinstance(report, Dead):
            self._replace(seat, report.said)
            return
        if isinstance(report, Failure) and not seat.started:
            raise InputError(report.said)
        job, seat.job, seat.started, self._anybody = seat.job, None, True, True
        self._stillborn[seat.source] = 0
        if job is not None:
            seat.made += 1
            self._abandoned.discard(seat.source)
        if isinstance(report, Failure) and job is not None:
            self._lost.append(_lost(job, report))
        if self._fleet.recycle and seat.made >= self._fleet.recycle:
            self._dismiss(seat)

    def _look_after(self) -> None:
        """Replaces workers that hang."""
        now = time.monotonic()
        for seat in list(self._seats):
            if seat.job is not None and now - seat.since > self._fleet.time_limit_s:
                self._replace(seat, f"it took longer than {self._fleet.time_limit_s:g} s")
            elif not seat.started and not self._anybody and now - seat.since > START_LIMIT_S:
                raise InputError(
                    f"no worker has started within {START_LIMIT_S:g} s; is the cluster full? Ask for fewer "
                    "workers, or look at `ray status`"
                )

    def release(self) -> None:
        """Once all workers have ended: lets those servers go that were not left by the workers themselves."""
        if self._abandoned:
            from drivewm_sim.carla_client.servers import release

            for source in self._abandoned:
                release(source)

    def _dismiss(self, seat: _Seat) -> None:
        self._seats.remove(seat)
        self._free.append(seat.source)
        seat.worker.kill()

    def _replace(self, seat: _Seat, why: str) -> None:
        """Dismisses a worker. Its job, if any, goes to the next free one, unless it has been tried enough."""
        self._dismiss(seat)
        if seat.job is None:
            if not seat.started:
                self._bury(seat.source, why)
            return
        self._attempts[seat.job.name] += 1
        if self._attempts[seat.job.name] < ATTEMPTS:
            self._fleet.tell(f"{seat.job.name} is begun again: {why}")
            self._waiting.appendleft(seat.job)
        else:
            why = f"tried {ATTEMPTS} times, the last time {why}"
            self._lost.append(_lost(seat.job, Failure(why, False)))

    def _bury(self, source: Source | None, why: str) -> None:
        """A worker ended before it began; if that goes on, none is hired for its server any more."""
        self._stillborn[source] += 1
        alike = self._free.count(source) + sum(seat.source == source for seat in self._seats)
        if self._stillborn[source] < ATTEMPTS * alike:
            return
        if alike == self._wanted:
            raise InputError(f"workers end before they begin: {why}; finished episodes are kept")
        self._fleet.tell(f"{source} is given up: {why}")
        self._free.remove(source)
        self._wanted -= 1
