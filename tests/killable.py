"""Programs with the client's Traffic Manager, which dead-locks now and then, run where they can be killed.

A dead-lock says nothing about what was to be measured, nor does a crash in libcarla: once in some tens of
starts it connects to a stream that it has freed meanwhile. Both are counted and tried again. Anything else
is a failure at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

TRIES = 8
DEAD_LOCK = 3
"""Exit status of a program that has seen its Traffic Manager stand still."""

_LOST = {DEAD_LOCK: "the Traffic Manager dead-locked", -signal.SIGSEGV: "libcarla crashed"}


@dataclass(frozen=True)
class Ended:
    """A program that came to its end, in one of its tries."""

    status: int
    output: str
    errors: str
    tries: int


def run_killable(program: str, *arguments: object, limit_s: float) -> Ended:
    """Runs a Python program, named from this folder, until one of TRIES comes to its end.

    A try that takes longer than limit_s is killed with its children, and counts as dead-locked.
    """
    command = [sys.executable, str(Path(__file__).parent / program), *map(str, arguments)]
    for tries in range(1, TRIES + 1):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            output, errors = process.communicate(timeout=limit_s)
            status = process.returncode
        except subprocess.TimeoutExpired:
            status = DEAD_LOCK
        finally:
            _kill_group(process)
        if status not in _LOST:
            print(f"{program}: {tries} of at most {TRIES} tries")
            return Ended(status, output, errors, tries)
        warnings.warn(f"{_LOST[status]} in try {tries} of {TRIES} of {program}", stacklevel=2)
    pytest.fail(f"nothing was measured: {TRIES} tries of {program} were lost, at last {_LOST[status]}")


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Ends what is left of the program and of what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
