"""Runs to bundles, one after another or side by side, with progress, TensorBoard log and a table."""

from __future__ import annotations

import json
import multiprocessing
import queue
import traceback
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from drivewm.errors import InputError
from drivewm.training import Log
from drivewm_datasets.fitting import RESULT, run_training
from drivewm_datasets.plans import RunPlan

REPORT_EVERY = 10  # steps between two reports to the progress bar
WAIT_S = 1.0  # for word of a run, before it is looked whether all are alive


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
    """Trains one run and gives back its result. A finished run of the same recipe is left as it is."""
    training, validation = plan.material()
    writer: Any = None

    def log(step: int, figures: dict[str, float]) -> None:
        nonlocal writer
        if step % REPORT_EVERY == 0 or "val/choice" in figures:
            report(step, figures)
            # Made at the first report: a run that is refused leaves no folder.
            writer = writer or _tensorboard(plan)
            if writer is not None:
                for name, value in figures.items():
                    writer.add_scalar(name if "/" in name else f"train/{name}", value, step)

    run_training(
        training, validation, plan.config, plan.run, device=torch.device(device), resume=resume, log=log
    )
    if writer is not None:
        writer.close()
    result = json.loads((plan.run / RESULT).read_text())
    report(plan.config.train.steps, {f"val/{name}": value for name, value in result["validation"].items()})
    return {"run": str(plan.run), "label": plan.label, **result}


def _in_process(plan: RunPlan, device: str, resume: bool, messages: Any) -> None:
    """Trains one run in a process of its own; says (label, what, content) of progress, result or failure."""
    torch.set_num_threads(1)
    try:
        result = train_one(plan, device, resume, lambda *at: messages.put((plan.label, "step", at)))
        messages.put((plan.label, "result", result))
    except (InputError, OSError) as error:
        messages.put((plan.label, "refused", str(error)))
    except Exception:
        messages.put((plan.label, "failed", traceback.format_exc()))


def run_all(
    plans: Sequence[RunPlan],
    *,
    jobs: int,
    device: str,
    resume: bool,
    workers: int = 1,
    address: str | None = None,
) -> list[dict[str, Any]]:
    """Trains every plan and prints a table; `jobs` runs at a time, in processes of their own if several.

    With `workers` each run is trained by so many processes together (see `together`).
    """
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

        if workers > 1:
            from drivewm_datasets.together import Together, train_together

            how = Together(workers=workers, address=address, gpu=chosen.type == "cuda")
            for plan in plans:
                label = plan.label
                told = lambda s, f, label=label: show(label, s, f)  # noqa: E731
                results.append(train_together(plan, how, resume, told))
        elif jobs == 1:
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
    """The results in the order of the plans. The first run that fails stops the others and is named."""
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    waiting, running = list(plans), dict[str, BaseProcess]()
    results: dict[str, dict[str, Any]] = {}
    try:
        while len(results) < len(plans):
            while waiting and len(running) < jobs:
                plan = waiting.pop(0)
                arguments = (plan, device, resume, messages)
                running[plan.label] = context.Process(target=_in_process, args=arguments, daemon=True)
                running[plan.label].start()
            try:
                label, what, content = messages.get(timeout=WAIT_S)
            except queue.Empty:
                _check_alive(running)
                continue
            if what == "step":
                show(label, *content)
            elif what == "result":
                results[label] = content
                running.pop(label).join()
            elif what == "refused":
                raise InputError(f"{label}: {content}")
            else:
                raise RuntimeError(f"{label} failed:\n{content}")
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()
    return [results[plan.label] for plan in plans]


def _check_alive(running: dict[str, BaseProcess]) -> None:
    """RuntimeError for a run whose process is gone without a word, as when memory ran out."""
    for label, process in running.items():
        if process.exitcode:  # with 0 its result is on the way
            raise RuntimeError(
                f"{label}: its process ended with status {process.exitcode}; go on with --resume"
            )


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
