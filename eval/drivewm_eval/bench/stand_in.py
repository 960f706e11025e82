"""A stand-in for a CARLA server in a process of its own, which ends with the block that started it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drivewm.errors import InputError

_COMMAND = [
    sys.executable,
    "-c",
    "import sys; from drivewm.cli import main; sys.exit(main())",
    "carla-server",
]
_READY = re.compile(r"ready: .*:(\d+), streams on \d+")
_END_S = 10.0


@dataclass(frozen=True, kw_only=True)
class StandIn:
    port: int
    process: int  # its id

    def cpu_s(self) -> float | None:
        """CPU seconds that it has spent; None where the system does not tell."""
        try:
            with open(f"/proc/{self.process}/stat") as file:
                spent = file.read().rpartition(")")[2].split()[11:13]
        except OSError:
            return None
        return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def stand_in(town: str) -> Iterator[StandIn]:
    """Serves a town on free ports, on one core, until the block ends; InputError where it cannot start."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*_COMMAND, "--port", "0", "--map", town],
            stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            found = next(filter(None, map(_READY.match, process.stdout)), None)
            if not found:
                process.wait(_END_S)
                log.seek(0)
                said = log.read().strip().splitlines() or [f"exit status {process.returncode}"]
                raise InputError(f"`drivewm carla-server --map {town}` did not start: {said[-1]}")
            yield StandIn(port=int(found[1]), process=process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
