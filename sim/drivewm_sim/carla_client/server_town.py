"""The town of a server: our own where the server shows that, else its map with what stands beside it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.carla_client.connection import Session
from drivewm_sim.carla_frames import pose_from_carla
from drivewm_sim.roads.boxes import Boxes
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.lanes import compile_lanes
from drivewm_sim.roads.opendrive import read_opendrive
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town, town_names, town_sidecar, town_text

CURRENT = "current"
"""The name under which the map that the server has loaded is taken as it is."""
_ENDINGS = (".xodr.gz", ".xodr")
_SAME_M = 0.05
_LARGEST_FURNITURE_M = 15.0  # boxes of furniture beyond are not boxes but outlines of something else


def enter_town(session: Session, name: str) -> tuple[Town, str]:
    """Loads a town on the server, unless it is there already; the town, and its OpenDRIVE document.

    name: a town shipped, an OpenDRIVE file, a town of the server's own, or CURRENT. InputError where it is
    none of these.
    """
    if name == CURRENT:
        name = session.map_name()
    bare = _bare(name)
    ours = name in town_names() or name.endswith(_ENDINGS)
    if bare != session.map_name():
        if bare in session.map_names():
            session.load(bare)
        elif ours:
            _generate(session, town_text(name))
        else:
            raise InputError(
                f"no town {name!r} on the server at {session.server}; there are "
                f"{', '.join(sorted({*session.map_names(), *town_names()}))}, OpenDRIVE files, "
                f"and {CURRENT!r} for the map that it has loaded"
            )
    text = session.world.get_map().to_opendrive()
    if name.endswith(_ENDINGS) and bare == session.map_name() and text.strip() != town_text(name).strip():
        raise InputError(
            f"the server at {session.server} has a town {bare} that is not that of {name}; rename the file, "
            f"or name the town: {bare}"
        )
    boxes = level_boxes(session)
    if ours and text.strip() == town_text(name).strip():
        own = load_town(name)
        if _alike(own.street.boxes, boxes):
            return own, text
    sidecar = dict(town_sidecar(name) or {}) if ours else {}
    sidecar |= {"schema": 1, "boxes": boxes}
    return _compiled(bare, text, json.dumps(sidecar)), text


def _generate(session: Session, text: str) -> None:
    """Has the server build a document, unless it is what stands there."""
    if session.world.get_map().to_opendrive().strip() != text.strip():
        session.generate(text)


def _bare(name: str) -> str:
    for ending in _ENDINGS:
        if name.endswith(ending):
            return Path(name).name[: -len(ending)]
    return name


@lru_cache(maxsize=8)
def _compiled(name: str, text: str, sidecar: str) -> Town:
    extra = json.loads(sidecar)
    lanes = compile_lanes(read_opendrive(text, name))
    centres = np.column_stack([lanes.lines.x, lanes.lines.y, lanes.lines.z])
    extra["boxes"] = [box for box in extra["boxes"] if not _covers(box, centres)]
    return compile_town(name, text, extra)


def _covers(box: dict[str, Any], points: Float[ndarray, "n 3"]) -> bool:
    """Whether a box stands on one of the points: bridges, gates and canopies are drawn as solid boxes."""
    dx, dy = points[:, 0] - box["x"], points[:, 1] - box["y"]
    c, s = np.cos(box["yaw"]), np.sin(box["yaw"])
    level = (points[:, 2] > box["z"] - 2.0) & (points[:, 2] < box["z"] + box["height"])
    inside = (np.abs(c * dx + s * dy) < 0.5 * box["length"]) & (np.abs(c * dy - s * dx) < 0.5 * box["width"])
    return bool((inside & level).any())


def level_boxes(session: Session) -> list[dict[str, Any]]:
    """What stands in the server's level, as a sidecar's rows: buildings, parked vehicles, poles, ..."""
    label = session.carla.CityObjectLabel
    kinds = {
        label.Buildings: "building", label.Car: "parked", label.Truck: "parked", label.Bus: "parked",
        label.Static: "furniture", label.Poles: "pole",
    }  # fmt: skip
    found = [(kind, box) for tag, kind in kinds.items() for box in session.world.get_level_bbs(tag)]
    names = ("kind", "x", "y", "z", "yaw", "length", "width", "height")
    out: list[dict[str, Any]] = [dict(zip(names, (kind, *_row(box)), strict=True)) for kind, box in found]
    return [
        box for box in out
        if min(box["length"], box["width"], box["height"]) > 0.05
        and (box["kind"] != "furniture" or max(box["length"], box["width"]) < _LARGEST_FURNITURE_M)
    ]  # fmt: skip


def _row(box: Any) -> tuple[float, ...]:
    """x, y, z of the bottom, yaw, length, width, height in our frame."""
    at, half, turn = box.location, box.extent, box.rotation
    pose, z = pose_from_carla(np.array([at.x, at.y, at.z, turn.pitch, turn.yaw, turn.roll]))
    x, y, yaw = (float(v) for v in pose)
    return x, y, float(z) - half.z, yaw, 2 * half.x, 2 * half.y, 2 * half.z


def _alike(boxes: Boxes, level: list[dict[str, Any]]) -> bool:
    """Whether each of our boxes stands in the level, and nothing else does."""
    if len(boxes.x) != len(level):
        return False
    if not level:
        return True
    ours = np.column_stack([boxes.x, boxes.y, boxes.length, boxes.width])
    theirs = np.array([[box[k] for k in ("x", "y", "length", "width")] for box in level])
    away = np.abs(ours[:, None] - theirs[None]).max(axis=2)
    return bool((away.min(axis=1) < _SAME_M).all() and (away.min(axis=0) < _SAME_M).all())
