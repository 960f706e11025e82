"""The command line: one file a command, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import tyro

from drivewm.errors import InputError

# command -> (module, dataclass with a run() method, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("drivewm.cli.demo", "Demo", "Simulate a crossing, forecast it, write report.html."),
    "collect": ("drivewm.cli.collect", "Collect", "Simulate episodes in parallel and store them."),
    "import": ("drivewm.cli.import_data", "Import", "Turn a foreign recording into a tracks table."),
    "train": ("drivewm.cli.train", "Train", "Train a world model on tracks tables or episodes."),
    "predict": ("drivewm.cli.predict", "Predict", "Forecast every agent of recordings into a table."),
    "evaluate": ("drivewm.cli.evaluate", "Evaluate", "Score a model, a baseline or a forecast table."),
    "ablate": ("drivewm.cli.ablate", "Ablate", "Train without one part at a time: what each is worth."),
    "street": ("drivewm.cli.street", "Street", "Measure what people and vehicles do, beside targets."),
    "carla-server": ("drivewm.cli.carla_server", "CarlaServer", "Stand in for a CARLA server, GPU-free."),
    "bench": ("drivewm.cli.bench", "Bench", "Measure the simulator: its speed, its endurance."),
    "export": ("drivewm.cli.export", "Export", "Write a bundle's static graph for a runtime."),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, _, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: drivewm COMMAND [options]",
            "",
            "commands:",
            *lines,
            "",
            "drivewm COMMAND --help lists the options.",
        ]
    )


def _what_failed(error: OSError) -> str:
    """One line on a file that could not be read or written: which, and why."""
    said = error.strerror or (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{error.filename}: {said}" if error.filename else said


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Bad input, and a file that cannot be read or written, end with one line on standard
    error and exit status 2."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        from drivewm import __version__

        print(f"drivewm {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        print(f"error: no command {argv[0]!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    module, class_name, line = COMMANDS[argv[0]]
    try:
        command: Any = getattr(importlib.import_module(module), class_name)
        return tyro.cli(command, args=argv[1:], prog=f"drivewm {argv[0]}", description=line).run() or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {_what_failed(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
