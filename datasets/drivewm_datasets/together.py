"""One run trained by several processes, on this machine or a Ray cluster, by Ray Train's TorchTrainer.

Every worker reads the data from the same paths, so a cluster needs them on a shared disk; process 0 writes
the run folder.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from drivewm.crew import TorchCrew
from drivewm.errors import InputError
from drivewm.training import Log
from drivewm_datasets.fitting import RESULT, run_training
from drivewm_datasets.plans import RunPlan

TELL_EVERY = 10  # steps between two words to the driver


@dataclass(frozen=True, kw_only=True)
class Together:
    """How many processes train a run, and where."""

    workers: int
    address: str | None = None  # of a Ray cluster that runs already; None: this machine
    gpu: bool = False  # one for each worker

    def __post_init__(self) -> None:
        if self.workers < 2:
            raise InputError(f"--workers must be at least 2 to train together, got {self.workers}")
        lacking = [name for name in ("ray", "pandas", "tensorboardX") if not importlib.util.find_spec(name)]
        if lacking:
            raise InputError(f'pip install "drivewm[train]" for --workers ({", ".join(lacking)} is missing)')


def train_together(plan: RunPlan, how: Together, resume: bool, report: Log) -> dict[str, Any]:
    """Trains one run with several workers and gives back its result. Each has the whole batch size: a step
    learns from `workers` batches."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    ours = not ray.is_initialized()
    if ours:
        # One processor more: the queue and the coordinator live somewhere too.
        local = {} if how.address else {"num_cpus": how.workers + 1, "include_dashboard": False}
        try:
            ray.init(
                address=how.address or "local", log_to_driver=False, logging_level=logging.ERROR, **local
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = (str(error).strip().splitlines() or [""])[0]
            raise InputError(f"--address {how.address}: no Ray cluster answers there ({said})") from None
    try:
        told: Any = Queue(actor_options={"num_cpus": 0})
        listener = threading.Thread(target=_listen, args=(told, report), daemon=True)
        listener.start()
        trainer = TorchTrainer(
            _work,
            train_loop_config={"plan": plan, "resume": resume, "told": told, "gpu": how.gpu},
            scaling_config=ray.train.ScalingConfig(num_workers=how.workers, use_gpu=how.gpu),
            run_config=ray.train.RunConfig(
                name="ray", storage_path=str(plan.run.absolute()),
                failure_config=ray.train.FailureConfig(max_failures=0),
            ),
        )  # fmt: skip
        try:
            trainer.fit()
        finally:
            told.put(None)
            listener.join(timeout=10.0)
    finally:
        if ours:
            ray.shutdown()
    result = json.loads((plan.run / RESULT).read_text())
    return {"run": str(plan.run), "label": plan.label, **result}


def _listen(told: Any, report: Log) -> None:
    while (word := told.get()) is not None:
        report(*word)


def _work(config: dict[str, Any]) -> None:
    """What every worker does; TorchTrainer has made it a member of the process group."""
    plan: RunPlan = config["plan"]
    told = config["told"]
    device = torch.device("cuda" if config["gpu"] else "cpu")
    torch.set_num_threads(1)
    crew = TorchCrew(device)

    def log(step: int, figures: dict[str, float]) -> None:
        if step % TELL_EVERY == 0 or "val/choice" in figures:
            told.put((step, figures))

    training, validation = plan.material()
    run_training(
        training, validation, plan.config, Path(plan.run), device=device, resume=config["resume"], log=log,
        crew=crew,
    )  # fmt: skip
