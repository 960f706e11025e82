"""Files that clients fetch: the navigation mesh of a map, made when first asked for."""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib.util import find_spec

from drivewm_sim.carla_server.maps import Map
from drivewm_sim.carla_server.world import Refused

_MODULE = "drivewm_sim.carla_server.navmesh"


def required_files(where: Map, folder: str) -> list[str]:
    """Names of the files that a client needs of a folder ("Nav", "TM" or "" for the map itself).

    Clients keep files by name for ever, so the name holds what the file is made from.
    """
    if folder != "Nav" or find_spec(_MODULE) is None:
        return []
    return [f"Nav/{where.name}-{where.digest}.bin"]


def nav_file(where: Map, name: str) -> bytes:
    if name not in required_files(where, "Nav"):
        raise Refused(f"unable to send file: no {name!r} belongs to {where.path}")
    return _mesh(where.digest, where)


@lru_cache(maxsize=4)
def _mesh(digest: str, where: Map) -> bytes:
    mesh: bytes = importlib.import_module(_MODULE).navmesh(where.town)
    return mesh
