"""`drivewm collect --split`: every part of a frozen split, collected and held against its frozen hash."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from drivewm.cli.figures import check_file, check_folder, terminal, write_json
from drivewm.errors import InputError

if TYPE_CHECKING:
    from drivewm.cli.collect import Collect
    from drivewm_sim.splits import Part, Split

FREE = {"split", "towns", "out", "workers", "engine", "address", "time_limit", "verify", "resume", "json"}
"""The options that a split leaves to the caller; it decides all others."""


def collect_split(command: Collect) -> int:
    """Collects the parts into folders named by town, prints one table, writes the figures."""
    from drivewm_sim.splits import read_split

    split = read_split(command.split or "")
    _check_undecided(command)
    check_folder("--out", command.out)
    check_file("--json", command.json)
    _check_towns(command, split)
    parts = [(part, part_command(command, split, part)) for part in split.parts]
    for _, collect in parts:
        collect.check()
    made = parts[0][1].make_all([collect for _, collect in parts])
    figures = {
        part.town: found | {"frozen": compare(part, found)}
        for (part, _), found in zip(parts, made, strict=True)
    }
    _report(command, split, figures)
    return 0


def part_command(command: Collect, split: Split, part: Part) -> Collect:
    """The collection of one part, as `drivewm collect` would make it without --split."""
    return dataclasses.replace(
        command,
        split=None,
        towns=None,
        json=None,
        out=command.out / part.town,
        town=(part.town if command.towns is None else str(_town_file(command.towns, part)),),
        scenario=part.scenarios,
        episodes=part.episodes,
        seed=part.seed,
        **split.recipe,
    )


def _town_file(folder: Path, part: Part) -> Path:
    return folder / f"{part.town}.xodr"


def _check_towns(command: Collect, split: Split) -> None:
    """InputError where a split of drawn towns lacks them, or another one is given some."""
    if split.drawn is None:
        if command.towns is not None:
            raise InputError(f"--towns: the towns of the split {split.name!r} are shipped; leave it out")
        return
    folder = command.towns or Path("towns")
    missing = [part.town for part in split.parts if not _town_file(folder, part).is_file()]
    if command.towns is None or missing:
        lacks = f"{folder} lacks {missing[0]}.xodr" if command.towns else "--towns is missing"
        raise InputError(
            f"the split {split.name!r} is of towns drawn at random, and {lacks}; "
            f"`{split.drawn.command(str(folder))}`, then --towns {folder}"
        )


def compare(part: Part, figures: dict[str, Any]) -> str:
    """How a collected part stands to the frozen one."""
    if part.hash_of_hashes is None:
        return "no hash stated"
    if part.hash_of_hashes == figures["hash_of_hashes"]:
        return "as frozen"
    return "differs: another version or CPU"


def _check_undecided(command: Collect) -> None:
    """InputError on an option that the split decides."""
    for option in dataclasses.fields(command):
        if option.name not in FREE and getattr(command, option.name) != option.default:
            name = option.name.replace("_", "-")
            raise InputError(f"--{name}: the split {command.split!r} decides it; leave out one of the two")


def _report(command: Collect, split: Split, figures: dict[str, dict[str, Any]]) -> None:
    table = Table(title=f"{split.name} ({split.use}) collected in {command.out}")
    for column in ("town", "episodes", "minutes", "agents", "branches", "hash of hashes", "frozen"):
        table.add_column(column)
    for town, got in figures.items():
        numbers = (got["episodes"], round(got["seconds_simulated"] / 60, 1), got["agents"], got["branches"])
        table.add_row(town, *map(str, numbers), got["hash_of_hashes"][:12], got["frozen"])
    terminal().print(table)
    if command.json:
        write_json(command.json, {"split": split.name, "parts": figures})
