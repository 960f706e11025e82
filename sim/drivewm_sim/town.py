"""The towns shipped with the package: OpenDRIVE files compiled once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from drivewm.errors import InputError
from drivewm.types import RoadMap
from drivewm_sim.opendrive import read_opendrive
from drivewm_sim.road_graph import RoadGraph, compile_graph, compile_road_map


@dataclass(frozen=True)
class Town:
    name: str
    graph: RoadGraph
    road_map: RoadMap


def town_names() -> tuple[str, ...]:
    """The towns shipped, sorted."""
    folder = files("drivewm_sim") / "towns"
    return tuple(sorted(f.name.removesuffix(".xodr") for f in folder.iterdir() if f.name.endswith(".xodr")))


def town_text(name: str) -> str:
    """A shipped town's OpenDRIVE document."""
    if name not in town_names():
        raise InputError(f"no town {name!r}; there are {', '.join(town_names())}")
    return (files("drivewm_sim") / "towns" / f"{name}.xodr").read_text(encoding="utf-8")


def make_town(name: str, text: str) -> Town:
    """A town from an OpenDRIVE document."""
    roads = read_opendrive(text, name)
    return Town(name, compile_graph(roads), compile_road_map(roads))


@lru_cache(maxsize=32)
def load_town(name: str) -> Town:
    """A shipped town, compiled."""
    return make_town(name, town_text(name))
