"""Figures for people (a terminal) and for machines (a JSON file, whole or not at all)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 120


def write_json(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(figures, indent=1) + "\n")
    os.replace(part, path)


def terminal() -> Console:
    """The console: as wide as the terminal, and wide enough for a table where output goes to a file."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
