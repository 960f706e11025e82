"""Figures for people (a terminal) and for machines (a JSON file, whole or not at all); where they may go."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivewm.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 140


def check_file(option: str, path: Path | None) -> None:
    """InputError where the file an option names could not be written. Checked before the work starts."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise InputError(f"{option} {path} is no regular file; name another")
    _check_place(option, path.parent)


def check_folder(option: str, path: Path) -> None:
    """InputError where files could not be written into the folder an option names, made if it is missing."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{option} {path} is a file; name a folder")
    _check_place(option, path)


def _check_place(option: str, folder: Path) -> None:
    """Tries the nearest folder that exists with a file that vanishes again."""
    place = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(
            f"{option}: nothing can be written in {place} ({error.strerror}); name another"
        ) from None


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """The file appears whole or not at all, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(figures, indent=1) + "\n")
    os.replace(part, path)


def terminal() -> Console:
    """The console: as wide as the terminal, and wide enough for a table where output goes to a file."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
