"""The sensors' blueprints: attributes and defaults of CARLA 0.9.16, and each one's place in its registry."""

from __future__ import annotations

from drivewm_sim.carla_server.layouts import Attribute, AttributeType

_COMMON = (
    Attribute("role_name", AttributeType.STRING, "front", (), True),
    Attribute("ros_name", AttributeType.STRING, "sensor", (), True),
    Attribute("sensor_tick", AttributeType.FLOAT, "0.0", (), True),
)

_LENS = {
    "image_size_x": "800", "image_size_y": "600", "fov": "90.0", "lens_circle_falloff": "5.0",
    "lens_circle_multiplier": "0.0", "lens_k": "-1.0", "lens_kcube": "0.0", "lens_x_size": "0.08",
    "lens_y_size": "0.08",
}  # fmt: skip
_PICTURE = {
    "bloom_intensity": "0.675", "fstop": "1.4", "iso": "100.0", "gamma": "2.2", "lens_flare_intensity": "0.1",
    "shutter_speed": "200.0", "exposure_mode": "histogram", "exposure_compensation": "0.0",
    "exposure_min_bright": "10.0", "exposure_max_bright": "12.0", "exposure_speed_up": "3.0",
    "exposure_speed_down": "1.0", "motion_blur_intensity": "0.45", "enable_postprocess_effects": "true",
    "chromatic_aberration_intensity": "0.0", "temp": "6500.0", "tint": "0.0",
}  # fmt: skip
_SEMANTIC_LIDAR = {
    "channels": "32", "range": "10.0", "points_per_second": "56000", "rotation_frequency": "10.0",
    "upper_fov": "10.0", "lower_fov": "-30.0", "horizontal_fov": "360.0",
}  # fmt: skip
_LIDAR = {
    **_SEMANTIC_LIDAR, "atmosphere_attenuation_rate": "0.004", "dropoff_general_rate": "0.45",
    "dropoff_intensity_limit": "0.8", "dropoff_zero_intensity": "0.4", "noise_seed": "0",
    "noise_stddev": "0.0",
}  # fmt: skip
_GNSS = {
    "noise_alt_bias": "0.0", "noise_alt_stddev": "0.0", "noise_lat_bias": "0.0", "noise_lat_stddev": "0.0",
    "noise_lon_bias": "0.0", "noise_lon_stddev": "0.0", "noise_seed": "0",
}  # fmt: skip
_IMU = {
    **{f"noise_accel_stddev_{axis}": "0.0" for axis in "xyz"},
    **{f"noise_gyro_stddev_{axis}": "0.0" for axis in "xyz"},
    **{f"noise_gyro_bias_{axis}": "0.0" for axis in "xyz"},
    "noise_seed": "0",
}
_RADAR = {
    "horizontal_fov": "30.0", "vertical_fov": "30.0", "points_per_second": "1500", "range": "100.0",
    "noise_seed": "0",
}  # fmt: skip
_OBSTACLE = {"distance": "5.0", "hit_radius": "0.5", "only_dynamics": "false", "debug_linetrace": "true"}

# Sensor -> (its index in the registry of sensor data, its own attributes).
_SENSORS: dict[str, tuple[int, dict[str, str]]] = {
    "sensor.other.collision": (0, {}),
    "sensor.camera.depth": (1, _LENS),
    "sensor.camera.normals": (2, _LENS),
    "sensor.camera.dvs": (3, {**_LENS, **_PICTURE}),
    "sensor.other.gnss": (4, _GNSS),
    "sensor.other.imu": (5, _IMU),
    "sensor.other.lane_invasion": (6, {}),
    "sensor.other.obstacle": (7, _OBSTACLE),
    "sensor.camera.optical_flow": (8, _LENS),
    "sensor.other.radar": (9, _RADAR),
    "sensor.lidar.ray_cast_semantic": (10, _SEMANTIC_LIDAR),
    "sensor.lidar.ray_cast": (11, _LIDAR),
    "sensor.camera.rgb": (13, {**_LENS, **_PICTURE}),
    "sensor.camera.semantic_segmentation": (14, _LENS),
    "sensor.camera.instance_segmentation": (15, _LENS),
}

SENSOR_TYPE = {name: index for name, (index, _) in _SENSORS.items()}
WORLD_OBSERVER = 17
"""The registry's index of the world snapshot."""

_WHOLE = {"channels", "points_per_second", "noise_seed", "image_size_x", "image_size_y"}


def _attribute(name: str, value: str) -> Attribute:
    if value in ("true", "false"):
        return Attribute(name, AttributeType.BOOL, value, (), True)
    if value == "histogram":
        return Attribute(name, AttributeType.STRING, value, ("histogram", "manual"), True)
    kind = AttributeType.INT if name in _WHOLE else AttributeType.FLOAT
    return Attribute(name, kind, value, (), True)


SENSOR_BLUEPRINTS = {
    name: (*_COMMON, *(_attribute(key, value) for key, value in own.items()))
    for name, (_, own) in _SENSORS.items()
}
