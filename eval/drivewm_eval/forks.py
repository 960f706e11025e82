"""Calls in forked processes, some at a time: each starts with all that this process has read, at no cost.

This process must not have computed with torch before: its threads do not survive a fork.
"""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from drivewm.errors import InputError

Tell = Callable[[str, int], None]
"""Takes the name of a call, and how far it is."""
Call = Callable[[Callable[[int], None]], Any]
"""Says how far it is, gives back something that can be pickled."""


def call_all(calls: Mapping[str, Call], jobs: int, tell: Tell) -> dict[str, Any]:
    """What each call gives back, by name; with one job in this process, one after the other.

    The first call that fails stops the others and is named. InputError where it was refused, or where its
    process ended without a word.
    """
    if jobs == 1:
        return {name: _named(name, partial(call, partial(tell, name))) for name, call in calls.items()}
    if "fork" not in multiprocessing.get_all_start_methods():
        raise InputError("--jobs: this system starts no process as a copy of another; use --jobs 1")
    gc.collect()
    gc.freeze()  # what is shared stays shared: a collection would write to it
    waiting, results = list(calls.items()), dict[str, Any]()
    running: dict[Connection, tuple[str, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, call = waiting.pop(0)
                connection, process = _start(name, call)
                running[connection] = name, process
            for ready in wait(list(running)):
                connection = next(c for c in running if c is ready)
                name, process = running[connection]
                what, content = _word(connection, name, process)
                if what == "step":
                    tell(name, content)
                    continue
                if what == "refused":
                    raise InputError(content)
                if what == "failed":
                    raise RuntimeError(f"{name} failed:\n{content}")
                results[name] = content
                process.join()
                del running[connection]
    finally:
        gc.unfreeze()
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()
    return {name: results[name] for name in calls}


def _named(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _start(name: str, call: Call) -> tuple[Connection, BaseProcess]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(theirs, name, call), daemon=True
    )
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return ours, process


def _work(connection: Connection, name: str, call: Call) -> None:
    """In the process of its own: one thread, for it has one core."""
    import torch

    torch.set_num_threads(1)
    try:
        connection.send(("result", _named(name, partial(call, lambda step: connection.send(("step", step))))))
    except (InputError, OSError) as error:
        connection.send(("refused", str(error) if isinstance(error, InputError) else f"{name}: {error}"))
    except KeyboardInterrupt:
        pass
    except Exception:
        connection.send(("failed", traceback.format_exc()))


def _word(connection: Connection, name: str, process: BaseProcess) -> tuple[str, Any]:
    try:
        said: tuple[str, Any] = connection.recv()
    except EOFError:
        process.join()
        raise InputError(
            f"{name}: its process ended with status {process.exitcode}; go on with --resume, "
            "and with --jobs 1 where memory is scarce"
        ) from None
    return said
