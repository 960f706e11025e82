"""Runs to bundles, one after another or side by side, with progress, TensorBoard log and a table."""

from __future__ import annotations

import json
import multiprocessing
import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from drivewm.errors import InputError
from drivewm.training import Log
from drivewm_datasets.fitting import run_training
from drivewm_datasets.plans import RunPlan

REPORT_EVERY = 10  # steps between two reports to the progress bar


def pick_device(wanted: str) -> torch.device:
    """The device by name; `auto` is a GPU where there is one. InputError if CUDA is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _tensorboard(plan: RunPlan) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # metrics.jsonl is always written; TensorBoard comes with the `eval` extra
        return None
    return SummaryWriter(str(plan.run / "tensorboard"))


def train_one(plan: RunPlan, device: str, resume: bool, report: Log) -> dict[str, Any]:
    """Trains one run and gives back its result. A finished run is not trained again on resume."""
    result = plan.run / "result.json"
    if not (resume and result.exists()):
        training, validation = plan.recordings()
        writer = _tensorboard(plan)

        def log(step: int, figures: dict[str, float]) -> None:
            if step % REPORT_EVERY == 0 or "val/choice" in figures:
                report(step, figures)
                if writer is not None:
                    for name, value in figures.items():
                        writer.add_scalar(name if "/" in name else f"train/{name}", value, step)

        run_training(
            training, validation, plan.config, plan.run, device=torch.device(device), resume=resume, log=log
        )
        if writer is not None:
            writer.close()
    return {"run": str(plan.run), "label": plan.label, **json.loads(result.read_text())}


def _in_process(plan: RunPlan, device: str, resume: bool, reports: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    return train_one(plan, device, resume, lambda step, figures: reports.put((plan.label, step, figures)))


def run_all(plans: Sequence[RunPlan], *, jobs: int, device: str, resume: bool) -> list[dict[str, Any]]:
    """Trains every plan and prints a table; `jobs` runs at a time, in processes of their own if several."""
    chosen = pick_device(device)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    results: list[dict[str, Any]] = []
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        tasks = {
            p.label: progress.add_task(p.label, total=p.config.train.steps, note="", start=False)
            for p in plans
        }

        def show(label: str, step: int, figures: dict[str, float]) -> None:
            progress.start_task(tasks[label])
            progress.update(tasks[label], completed=step)
            if "val/min_ade" in figures:
                note = f"val {figures['val/min_ade']:.3f}/{figures['val/min_fde']:.3f}"
                progress.update(tasks[label], note=note)

        if jobs == 1:
            for plan in plans:
                label = plan.label
                results.append(
                    train_one(plan, str(chosen), resume, lambda s, f, label=label: show(label, s, f))  # type: ignore[misc]
                )
        else:
            results = _side_by_side(plans, jobs, str(chosen), resume, show)
    _print_table(console, results)
    return results


def _side_by_side(
    plans: Sequence[RunPlan], jobs: int, device: str, resume: bool, show: Any
) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=context) as pool:
        reports = manager.Queue()
        futures: list[Future[dict[str, Any]]] = [
            pool.submit(_in_process, plan, device, resume, reports) for plan in plans
        ]
        while not all(f.done() for f in futures):
            failed = next((f for f in futures if f.done() and f.exception()), None)
            if failed is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                break
            try:
                show(*reports.get(timeout=0.5))
            except queue.Empty:
                time.sleep(0)
        return [f.result() for f in futures if not f.cancelled()]


def _print_table(console: Console, results: Sequence[dict[str, Any]]) -> None:
    table = Table("run", "best step", "val minADE", "val minFDE", "val joint", "val top-1", "rank", "CPU min")
    for r in results:
        v = r["validation"]
        table.add_row(
            r["label"],
            str(r["best_step"]),
            f"{v['min_ade']:.3f}",
            f"{v['min_fde']:.3f}",
            f"{v['joint_min_ade']:.3f}",
            f"{v['top1_ade']:.3f}",
            f"{r['effective_rank']:.1f}",
            f"{r['cpu_minutes']:.1f}",
        )
    console.print(table)
