"""What never moves, as clients ask for it: bounding boxes by tag, and environment objects."""

from __future__ import annotations

from drivewm_sim.carla_server.catalogue import Tag
from drivewm_sim.carla_server.contacts import Level
from drivewm_sim.carla_server.layouts import BoundingBox, Rotation, Transform, Vector
from drivewm_sim.roads.boxes import BoxKind

TAG_OF_BOX = {
    BoxKind.PARKED: Tag.CAR,
    BoxKind.BUILDING: Tag.BUILDINGS,
    BoxKind.SHELTER: Tag.STATIC,
    BoxKind.FURNITURE: Tag.STATIC,
    BoxKind.POLE: Tag.POLES,
}
_LONG_VEHICLE_M = 7.0


def tag_of(level: Level, k: int) -> Tag:
    """The tag of box k; long parked vehicles are trucks."""
    kind = BoxKind(int(level.kind[k]))
    if kind == BoxKind.PARKED and level.length[k] > _LONG_VEHICLE_M:
        return Tag.TRUCK
    return TAG_OF_BOX[kind]


def level_boxes(level: Level, tag: int) -> list[BoundingBox]:
    """World bounding boxes of a tag (`Tag.ANY`: all), as `world.get_level_bbs` gives them."""
    return [_box(level, k) for k in _tagged(level, tag)]


def environment_objects(level: Level, tag: int) -> list[tuple[Transform, BoundingBox, int, str, int]]:
    """transform, world bounding box, id, name and tag of each, for `world.get_environment_objects`."""
    out = []
    for k in _tagged(level, tag):
        box = _box(level, k)
        ground = Vector(box.location.x, box.location.y, float(level.z[k]))
        name = f"{BoxKind(int(level.kind[k])).name.title()}_{k}"
        out.append((Transform(ground, box.rotation), box, k + 1, name, int(tag_of(level, k))))
    return out


def _tagged(level: Level, tag: int) -> list[int]:
    return [k for k in range(len(level.x)) if tag in (Tag.ANY, tag_of(level, k))]


def _box(level: Level, k: int) -> BoundingBox:
    half = 0.5 * float(level.height[k])
    return BoundingBox(
        Vector(float(level.x[k]), float(level.y[k]), float(level.z[k]) + half),
        Vector(0.5 * float(level.length[k]), 0.5 * float(level.width[k]), half),
        Rotation(0.0, float(level.yaw[k]), 0.0),
    )
