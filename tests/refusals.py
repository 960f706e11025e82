"""What refusing bad input means at the command line, and short forms of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivewm.cli import main

Capture = pytest.CaptureFixture[str]


def predict(data: Path, out: Path, weights: Path | str, *more: str) -> int:
    return main(["predict", "--data", str(data), "--out", str(out), "--weights", str(weights), *more])


def evaluate(data: Path, *more: str | Path) -> int:
    return main(["evaluate", "--data", str(data), *map(str, more)])


def assert_refused(code: int, capsys: Capture, *said: str) -> None:
    """Exit code 2 and one line on standard error that says all this; nothing on standard output."""
    captured = capsys.readouterr()
    assert code == 2
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err + captured.out
    for part in said:
        assert part in captured.err


def files_in(folder: Path) -> list[str]:
    """Everything under a folder, drafts and hidden files too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
