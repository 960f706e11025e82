"""Ctrl-C while the simulator is compiled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SWALLOWS = """
import os, signal, sys, time
from rich.console import Console
from drivewm.cli.compiling import ending_at_once
before = signal.getsignal(signal.SIGINT)
with ending_at_once(Console()):
    pass
assert signal.getsignal(signal.SIGINT) is before
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `drivewm collect` does
with ending_at_once(Console()):
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        time.sleep(60)
    except BaseException:  # as LLVM's callbacks do
        time.sleep(60)
print("went on")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_a_callback_would_swallow_ends_the_process(tmp_path: Path, name: str) -> None:
    """The first `make demo` once went on for minutes after Ctrl-C, with a traceback of llvmlite."""
    ended = subprocess.run(
        [sys.executable, "-c", SWALLOWS, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr.strip() == "interrupted"
