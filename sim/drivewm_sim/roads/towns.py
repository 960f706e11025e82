"""The towns shipped with the package, and any other OpenDRIVE file: compiled once a process."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from drivewm.errors import InputError
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.sidecar import parse_sidecar
from drivewm_sim.roads.town import Town

_ENDINGS = (".xodr", ".xodr.gz")


def town_names() -> tuple[str, ...]:
    """The towns shipped, sorted."""
    folder = files("drivewm_sim") / "towns"
    return tuple(sorted(f.name.removesuffix(".xodr") for f in folder.iterdir() if f.name.endswith(".xodr")))


def town_text(name: str) -> str:
    """The OpenDRIVE document of a shipped town, or of a file (.xodr, .xodr.gz)."""
    if name in town_names():
        return (files("drivewm_sim") / "towns" / f"{name}.xodr").read_text(encoding="utf-8")
    path = Path(name)
    if not name.endswith(_ENDINGS):
        raise InputError(f"no town {name!r}; there are {', '.join(town_names())}, or give an .xodr file")
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: expected an OpenDRIVE file ({why}); check the path") from None


def town_label(name: str) -> str:
    """What a recipe says of a town: a shipped one's name, or a file's name with a hash of what is in it."""
    if name in town_names():
        return name
    content = town_text(name) + json.dumps(town_sidecar(name), sort_keys=True)
    return f"{Path(name).name}:{sha256(content.encode()).hexdigest()[:12]}"


def town_path(name: str) -> str:
    """The town as a process with another working directory finds it."""
    return name if name in town_names() else str(Path(name).absolute())


def town_sidecar(name: str) -> dict[str, Any] | None:
    """The JSON beside the map, of the same name; None where there is none."""
    if name in town_names():
        file = files("drivewm_sim") / "towns" / f"{name}.json"
        return parse_sidecar(file.read_text(encoding="utf-8"), name) if file.is_file() else None
    path = Path(_stem(name) + ".json")
    return parse_sidecar(path.read_text(encoding="utf-8"), path.name) if path.is_file() else None


@lru_cache(maxsize=32)
def load_town(name: str) -> Town:
    """A shipped town, or the town of an OpenDRIVE file with its sidecar beside it, compiled."""
    shown = name if name in town_names() else Path(_stem(name)).name
    return compile_town(shown, town_text(name), town_sidecar(name))


def _stem(name: str) -> str:
    for ending in reversed(_ENDINGS):
        if name.endswith(ending):
            return name[: -len(ending)]
    return name
