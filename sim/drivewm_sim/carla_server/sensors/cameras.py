"""Cameras without pictures: right in size and time, so that programs that wait for images go on."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from drivewm_sim.carla_server.actors import Actor
from drivewm_sim.carla_server.layouts import Malformed

if TYPE_CHECKING:
    from drivewm_sim.carla_server.world import World

_HEADER = struct.Struct("<IIf")
_PIXEL = {  # blue, green, red, alpha
    "sensor.camera.rgb": (128, 128, 128, 255),  # grey
    "sensor.camera.depth": (255, 255, 255, 255),  # far
}
_NOTHING = (0, 0, 0, 255)
_LARGEST = 1 << 24  # pixels


class BlankCamera:
    """A picture of one colour: nothing is drawn here."""

    def __init__(self, actor: Actor) -> None:
        value = actor.description.value
        width, height = int(value("image_size_x", "800")), int(value("image_size_y", "600"))
        if not 0 < width * height <= _LARGEST or width < 0:
            raise Malformed(f"expected an image of 1 to {_LARGEST} pixels, got {width} x {height}")
        pixel = bytes(_PIXEL.get(actor.description.id, _NOTHING))
        self._body = _HEADER.pack(width, height, float(value("fov", "90.0"))) + pixel * (width * height)

    def measure(self, world: World, actor: Actor, dt: float) -> list[bytes]:
        return [self._body]
