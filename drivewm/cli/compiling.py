"""Compiling the simulator's kernels, the first time only: a minute that Ctrl-C can end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def compile_simulator(console: Console) -> None:
    """Compiles what is not in the cache yet, and says so."""
    from drivewm_sim.embedded import compile_kernels

    if not console.is_terminal:  # where no status is shown
        console.print("compiling the simulator: minutes the first time, then at once")
    with (
        console.status("compiling the simulator (minutes, the first time only)"),
        ending_at_once(console),
    ):
        compile_kernels()


@contextmanager
def ending_at_once(console: Console) -> Iterator[None]:
    """While it lasts Ctrl-C ends the process with status 130, and so does any signal that stands for it.

    Raised as an exception it would be lost: most of the time is spent in LLVM, whose callbacks into Python
    print and drop what they cannot pass on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        console.show_cursor(True)  # a progress bar hides it
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    ours = [one for one, handler in before.items() if handler is signal.default_int_handler]
    for one in ours:
        signal.signal(one, leave)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, before[one])
