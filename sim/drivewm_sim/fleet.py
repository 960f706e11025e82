"""Many episodes by many workers: Ray actors, plain processes where ray is missing, or just this process.

Who makes an episode does not matter: its seed comes from the collection's seed and its index alone.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from drivewm_sim.collect import EpisodeJob, EpisodeResult, run_job


def run_fleet(jobs: list[EpisodeJob], workers: int) -> Iterator[EpisodeResult]:
    """Results as they come, in no promised order; one episode a task."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        return map(run_job, jobs)
    return _with_ray(jobs, workers) if ray_installed() else _with_processes(jobs, workers)


def ray_installed() -> bool:
    """Whether ray can be imported."""
    return importlib.util.find_spec("ray") is not None


def _with_processes(jobs: list[EpisodeJob], workers: int) -> Iterator[EpisodeResult]:
    # "spawn": a forked child would inherit locks of threads (torch, arrow) that it does not have.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        for done in as_completed([pool.submit(run_job, job) for job in jobs]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """One process that makes episodes one after the other."""

    def run(self, job: EpisodeJob) -> EpisodeResult:
        return run_job(job)


def _with_ray(jobs: list[EpisodeJob], workers: int) -> Iterator[EpisodeResult]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        actor = ray.remote(num_cpus=1)(_Worker)
        waiting = list(reversed(jobs))
        busy = {}
        for _ in range(workers):
            worker = actor.remote()
            busy[worker.run.remote(waiting.pop())] = worker
        while busy:
            (done, *_), _ = ray.wait(list(busy), num_returns=1)
            worker = busy.pop(done)
            if waiting:
                busy[worker.run.remote(waiting.pop())] = worker
            yield ray.get(done)
    finally:
        ray.shutdown()
