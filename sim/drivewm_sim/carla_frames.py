"""CARLA's frame to ours and back; nothing else converts between the two.

CARLA: left-handed, x east, y SOUTH, z up; degrees; yaw clockwise seen from above; pitch up; an actor's
transform is that of its origin (on the road between a vehicle's wheels, in the middle of a walker's body).
Ours: right-handed, x east, y north, z up; radians; yaw counter-clockwise; a pose is that of the box's centre.

A transform is `[x, y, z, pitch, yaw, roll]`, as on CARLA's wire. All functions take scalars and arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def mirrored(vector: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 3"]:
    """A position, velocity or other vector in the other frame; its own inverse."""
    out = np.array(vector, np.float64)
    out[..., 1] *= -1.0
    return out


def yaw_from_carla(degrees: Any) -> Any:
    """Radians in [-pi, pi), counter-clockwise."""
    return (np.pi - np.radians(degrees)) % (2 * np.pi) - np.pi


def yaw_to_carla(radians: Any) -> Any:
    """Degrees in [-180, 180), clockwise."""
    return (-np.degrees(radians) + 180.0) % 360.0 - 180.0


def yaw_from_compass(compass: Any) -> Any:
    """Radians in [-pi, pi), counter-clockwise from east; compass: an IMU's, radians clockwise from north."""
    return (1.5 * np.pi - compass) % (2 * np.pi) - np.pi


def rate_from_carla(degrees_per_s: Any) -> Any:
    """Turn rate about z in rad/s, counter-clockwise."""
    return -np.radians(degrees_per_s)


def rate_to_carla(radians_per_s: Any) -> Any:
    """Turn rate about z in degrees/s, clockwise."""
    return -np.degrees(radians_per_s)


def pose_from_carla(
    transform: Float[ndarray, "*b 6"],
) -> tuple[Float[ndarray, "*b 3"], Float[ndarray, "*b"]]:
    """Pose (x, y, yaw) and height z; pitch and roll are dropped."""
    transform = np.asarray(transform, np.float64)
    pose = np.stack([transform[..., 0], -transform[..., 1], yaw_from_carla(transform[..., 4])], -1)
    return pose, transform[..., 2]


def pose_to_carla(pose: Float[ndarray, "*b 3"], z: Any = 0.0) -> Float[ndarray, "*b 6"]:
    """The level transform of a pose (x, y, yaw) at height z."""
    pose = np.asarray(pose, np.float64)
    level = np.zeros_like(pose[..., 0])
    return np.stack(
        [pose[..., 0], -pose[..., 1], z + level, level, yaw_to_carla(pose[..., 2]), level], axis=-1
    )


def centre_from_origin(
    transform: Float[ndarray, "*b 6"], box_location: Float[ndarray, "*#b 3"]
) -> Float[ndarray, "*b 6"]:
    """The transform of a box's centre from that of its actor; both in CARLA's frame, upright.

    box_location: where the centre lies, in the actor's frame (x forward, y RIGHT, z up), as
    `actor.bounding_box` says it.
    """
    return _shifted(transform, np.asarray(box_location, np.float64))


def origin_from_centre(
    transform: Float[ndarray, "*b 6"], box_location: Float[ndarray, "*#b 3"]
) -> Float[ndarray, "*b 6"]:
    """The inverse of `centre_from_origin`."""
    return _shifted(transform, -np.asarray(box_location, np.float64))


def _shifted(transform: ndarray, offset: ndarray) -> ndarray:
    out = np.array(transform, np.float64)
    yaw = np.radians(out[..., 4])
    out[..., 0] += np.cos(yaw) * offset[..., 0] - np.sin(yaw) * offset[..., 1]
    out[..., 1] += np.sin(yaw) * offset[..., 0] + np.cos(yaw) * offset[..., 1]
    out[..., 2] += offset[..., 2]
    return out
