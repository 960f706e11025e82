"""The maps of a server: towns shipped, towns of a folder, and one that a client uploads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from drivewm.errors import InputError
from drivewm_sim.carla_frames import pose_to_carla
from drivewm_sim.carla_server.contacts import Level, make_level
from drivewm_sim.carla_server.ground import Ground, make_ground
from drivewm_sim.carla_server.layouts import Rotation, Transform, Vector
from drivewm_sim.lines import line_height, line_point
from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.lane_graph import LaneUse
from drivewm_sim.roads.opendrive import OpenDrive, read_opendrive
from drivewm_sim.roads.town import Town
from drivewm_sim.roads.towns import load_town, town_names, town_text
from drivewm_sim.street.sight import StaticGrid, make_static_grid

UPLOADED = "OpenDriveMap"
"""The name under which a map that a client has uploaded is loaded."""

_FOLDER = "Carla/Maps"
_ENDINGS = (".xodr", ".xodr.gz")
_SPAWN_EVERY_M = 15.0
_FROM_END_M = 6.0
_SPAWN_LIFT_M = 0.5  # spawn points hover, so that no wheel is in the road
_LEAST_WIDTH_M = 2.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """One town as the server needs it."""

    name: str  # without folder
    text: str  # OpenDRIVE
    town: Town
    document: OpenDrive

    @property
    def path(self) -> str:
        """The name that clients see."""
        return f"{_FOLDER}/{self.name}"

    @cached_property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()[:12]

    @cached_property
    def ground(self) -> Ground:
        return make_ground(self.town.street, self.document)

    @cached_property
    def level(self) -> Level:
        return make_level(self.town.street.boxes)

    @cached_property
    def grid(self) -> StaticGrid:
        return make_static_grid(self.town.street.boxes)

    @cached_property
    def spawn_points(self) -> tuple[Transform, ...]:
        """On every driving lane outside junctions, away from its ends."""
        lanes = self.town.street.lanes
        out = []
        for k in np.flatnonzero((lanes.use == LaneUse.DRIVING) & (lanes.junction < 0)):
            width = lanes.width[lanes.lines.start[k] : lanes.lines.start[k + 1]]
            room = float(lanes.length[k]) - 2 * _FROM_END_M
            if room < 0 or width.min() < _LEAST_WIDTH_M:
                continue
            count = int(room // _SPAWN_EVERY_M) + 1
            for s in _FROM_END_M + (0.5 * room if count == 1 else 0.0) + _SPAWN_EVERY_M * np.arange(count):
                pose = np.array(line_point(lanes.lines, int(k), float(s), 0.0))
                z = line_height(lanes.lines, int(k), float(s)) + _SPAWN_LIFT_M
                x, y, z, pitch, yaw, roll = (float(v) for v in pose_to_carla(pose, z))
                out.append(Transform(Vector(x, y, z), Rotation(pitch, yaw, roll)))
        return tuple(out)


class Maps:
    """Maps by name, compiled when first loaded."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files = {name: name for name in town_names()}
        for file in sorted(folder.iterdir()) if folder else ():
            for ending in _ENDINGS:
                if file.name.endswith(ending):
                    self._files[file.name[: -len(ending)]] = str(file)
        self._uploaded = ""

    def names(self) -> list[str]:
        """As `client.get_available_maps()` gives them."""
        return [f"/Game/{_FOLDER}/{name}" for name in self._files]

    def add_file(self, path: Path) -> str:
        """Makes one more file known; its name."""
        name = next((path.name[: -len(e)] for e in _ENDINGS if path.name.endswith(e)), path.name)
        self._files[name] = str(path)
        return name

    def upload(self, text: str) -> None:
        """Keeps a map for `UPLOADED`; InputError where it is none."""
        _compiled(text)
        self._uploaded = text

    def load(self, name: str) -> Map:
        """The map of a bare name or of a path that ends in it; InputError where there is none."""
        bare = name.rpartition("/")[2]
        if bare == UPLOADED and self._uploaded:
            return _compiled(self._uploaded)
        if bare not in self._files:
            raise InputError(
                f"map not found: {name!r}; there are {', '.join(self._files)}; --maps FOLDER adds OpenDRIVE "
                "files"
            )
        return _read(bare, self._files[bare])


@lru_cache(maxsize=8)
def _read(name: str, source: str) -> Map:
    text = town_text(source)
    return Map(name=name, text=text, town=load_town(source), document=read_opendrive(text, name))


@lru_cache(maxsize=4)
def _compiled(text: str) -> Map:
    document = read_opendrive(text, UPLOADED)
    return Map(name=UPLOADED, text=text, town=compile_town(UPLOADED, text), document=document)
