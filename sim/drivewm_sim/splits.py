"""The frozen collections that world models are trained, chosen and tested on: towns, seeds, hashes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from drivewm.errors import InputError

SPLITS_FILE = "splits.json"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Towns drawn at random: the arguments of `sim/authoring/make_random_towns.py`."""

    count: int
    seed: int
    roundabouts: bool = False

    def command(self, folder: str) -> str:
        kind = " --roundabouts" if self.roundabouts else ""
        return (
            f"python sim/authoring/make_random_towns.py {self.count} --seed {self.seed}{kind} --out {folder}"
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One town of a split: a collection of its own."""

    town: str  # of a drawn one the name of its file
    scenarios: tuple[str, ...]  # taken in turn; situations that have no place in the town are left out
    episodes: int
    seed: int
    hash_of_hashes: str | None  # of the frozen collection; None: not stated


@dataclass(frozen=True, kw_only=True)
class Split:
    """Collections that serve one purpose."""

    name: str
    use: str
    parts: tuple[Part, ...]
    recipe: dict[str, Any]  # options of `drivewm collect` that every part shares
    drawn: Drawn | None = None  # where its towns come from; None: they are shipped


def split_names() -> tuple[str, ...]:
    return tuple(_document()["splits"])


def read_split(name: str) -> Split:
    """A split by name. InputError where there is none of that name."""
    document = _document()
    if name not in document["splits"]:
        raise InputError(f"no split {name!r}; there are {', '.join(document['splits'])}")
    listed = document["splits"][name]
    parts = tuple(
        Part(**{**p, "scenarios": tuple(p.get("scenarios") or document["scenarios"][p["town"]])})
        for p in listed["parts"]
    )
    recipe = document["recipe"] | {name: listed[name] for name in document["recipe"] if name in listed}
    drawn = Drawn(**listed["drawn"]) if "drawn" in listed else None
    return Split(name=name, use=listed["use"], parts=parts, recipe=recipe, drawn=drawn)


def interacting() -> str:
    """Which pedestrians count as interacting with a vehicle in the figures about them, in words."""
    return str(_document()["interacting"])


@cache
def _document() -> dict[str, Any]:
    text = (files("drivewm_sim") / SPLITS_FILE).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
