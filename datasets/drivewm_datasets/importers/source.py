"""What every importer takes and gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from numpy import ndarray

from drivewm.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What the recording does not say itself. None: the format's own default."""

    dataset: str | None = None
    scene: str | None = None
    scale: float | None = None  # metres a unit of position
    fps: float | None = None  # frame numbers a second

    def __post_init__(self) -> None:
        for name, value in (("scale", self.scale), ("fps", self.fps)):
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"--{name} must be a finite number above zero, got {value:g}; correct it")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One source file as a tracks table, not yet checked."""

    name: str  # of the file to write, without suffix
    columns: dict[str, ndarray]
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> rows left out


@dataclass(frozen=True, kw_only=True)
class Format:
    """One foreign format: which files of a folder are its, and how one is read."""

    name: str
    what: str  # one line of help
    find: Callable[[Path], Iterable[Path]]  # the source files in a folder
    read: Callable[[Path, ImportOptions], Imported]


def find_sources(source: Path, form: Format) -> list[Path]:
    """The files to import, sorted; InputError where there is none."""
    if source.is_file():
        return [source]
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; name a recording or a folder of them")
    files = sorted(form.find(source))
    if not files:
        raise InputError(
            f"{source}: holds no file of the format {form.name} ({form.what}); name another folder"
        )
    return files


def read_lines(file: Path) -> list[str]:
    """The lines of a text file; InputError if it is empty or not text."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not readable as text ({error}); check the file and the format") from None
    if not text.strip():
        raise InputError(f"{file}: the file is empty, expected rows; copy it again")
    return text.splitlines()
