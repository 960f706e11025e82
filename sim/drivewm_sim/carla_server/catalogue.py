"""The blueprints that clients may spawn, under CARLA's own ids.

Sizes are close to those of CARLA 0.9.16's models and of the real vehicles; they were not read from CARLA's
assets, so a program that needs a model's exact box must measure it on a real server.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from drivewm_sim.carla_server.layouts import Attribute, AttributeType, Definition
from drivewm_sim.carla_server.sensor_blueprints import SENSOR_BLUEPRINTS


class Tag(IntEnum):
    """`carla.CityObjectLabel` of 0.9.16: what semantic sensors report."""

    NONE = 0
    ROADS = 1
    SIDEWALKS = 2
    BUILDINGS = 3
    WALLS = 4
    FENCES = 5
    POLES = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGNS = 8
    PEDESTRIANS = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    OTHER = 22
    ANY = 255


@dataclass(frozen=True, kw_only=True)
class VehicleModel:
    """A vehicle as its blueprint states it, and as its physics drives it."""

    id: str
    base_type: str  # car, van, truck, bus, motorcycle, bicycle
    size: tuple[float, float, float]  # length, width, height (m)
    mass: float  # kg
    wheelbase: float  # m
    top_speed: float  # m/s
    power: float  # W at the wheels
    thrust: float  # m/s^2, the most that the drive gives
    special_type: str = ""
    max_steer: float = 70.0  # degrees of the inner front wheel at full lock, standing: CARLA's cars

    @property
    def wheels(self) -> int:
        return 2 if self.base_type in ("motorcycle", "bicycle") else 4

    @property
    def track(self) -> float:
        """Between the wheels of an axle (m). The widths of cars in CARLA include their mirrors."""
        return 0.75 * self.size[1] if self.wheels == 4 else 0.0

    @property
    def tag(self) -> Tag:
        return _TAGS[self.base_type]

    @property
    def box_x(self) -> float:
        """Where the box's centre lies before the origin (m): overhangs differ a little."""
        return 0.02 if self.wheels == 4 else 0.0


@dataclass(frozen=True, kw_only=True)
class WalkerModel:
    id: str
    gender: str
    age: str  # adult, child, elderly
    height: float
    radius: float


_TAGS = {
    "car": Tag.CAR, "van": Tag.CAR, "truck": Tag.TRUCK, "bus": Tag.BUS,
    "motorcycle": Tag.MOTORCYCLE, "bicycle": Tag.BICYCLE,
}  # fmt: skip

_BARS = 40.0  # degrees: the bars of real motorcycles turn by 27 to 40


def _car(
    name: str, length: float, width: float, height: float, mass: float, wheelbase: float, kilowatts: float
) -> VehicleModel:
    return VehicleModel(
        id=name, base_type="car", size=(length, width, height), mass=mass, wheelbase=wheelbase,
        top_speed=55.0, power=kilowatts * 1e3, thrust=4.5,
    )  # fmt: skip


VEHICLES = (
    _car("vehicle.audi.a2", 3.71, 1.79, 1.55, 1200, 2.41, 66),
    _car("vehicle.audi.etron", 4.86, 2.03, 1.65, 2490, 2.93, 265),
    _car("vehicle.audi.tt", 4.18, 1.99, 1.39, 1350, 2.51, 169),
    _car("vehicle.bmw.grandtourer", 4.61, 2.24, 1.67, 1690, 2.78, 140),
    _car("vehicle.chevrolet.impala", 5.36, 2.03, 1.41, 1650, 2.84, 220),
    _car("vehicle.citroen.c3", 3.99, 1.85, 1.62, 1100, 2.54, 81),
    _car("vehicle.dodge.charger_2020", 5.01, 1.88, 1.53, 1930, 3.05, 272),
    _car("vehicle.ford.mustang", 4.72, 1.89, 1.30, 1700, 2.72, 310),
    _car("vehicle.jeep.wrangler_rubicon", 3.87, 1.91, 1.88, 1800, 2.42, 209),
    _car("vehicle.lincoln.mkz_2017", 4.90, 2.13, 1.51, 1680, 2.85, 180),
    _car("vehicle.lincoln.mkz_2020", 4.89, 1.84, 1.49, 1680, 2.85, 180),
    _car("vehicle.mercedes.coupe", 5.03, 2.15, 1.65, 1900, 2.94, 245),
    _car("vehicle.micro.microlino", 2.21, 1.48, 1.38, 513, 1.57, 19),
    _car("vehicle.mini.cooper_s", 3.81, 1.97, 1.48, 1250, 2.50, 141),
    _car("vehicle.nissan.micra", 3.63, 1.85, 1.50, 1000, 2.45, 66),
    _car("vehicle.nissan.patrol", 4.60, 1.93, 1.85, 2400, 2.97, 200),
    _car("vehicle.seat.leon", 4.19, 1.82, 1.47, 1300, 2.64, 110),
    _car("vehicle.tesla.model3", 4.79, 2.16, 1.49, 1845, 2.88, 211),
    _car("vehicle.toyota.prius", 4.51, 2.01, 1.52, 1400, 2.70, 90),
    VehicleModel(id="vehicle.dodge.charger_police", base_type="car", special_type="emergency",
                 size=(4.97, 2.04, 1.54), mass=1930, wheelbase=3.05, top_speed=60, power=272e3, thrust=4.5),
    VehicleModel(id="vehicle.ford.ambulance", base_type="van", special_type="emergency",
                 size=(6.37, 2.35, 2.43), mass=4500, wheelbase=3.50, top_speed=40, power=186e3, thrust=2.8),
    VehicleModel(id="vehicle.mercedes.sprinter", base_type="van",
                 size=(5.92, 1.99, 2.56), mass=2500, wheelbase=3.67, top_speed=42, power=120e3, thrust=3.0),
    VehicleModel(id="vehicle.volkswagen.t2", base_type="van",
                 size=(4.48, 2.07, 2.04), mass=1300, wheelbase=2.40, top_speed=32, power=50e3, thrust=2.5),
    VehicleModel(id="vehicle.tesla.cybertruck", base_type="truck",
                 size=(6.27, 2.39, 2.10), mass=3000, wheelbase=3.81, top_speed=50, power=430e3, thrust=4.5),
    VehicleModel(id="vehicle.carlamotors.carlacola", base_type="truck",
                 size=(5.20, 2.61, 2.47), mass=5500, wheelbase=3.00, top_speed=28, power=130e3, thrust=1.8),
    VehicleModel(id="vehicle.carlamotors.firetruck", base_type="truck", special_type="emergency",
                 size=(8.47, 2.89, 3.83), mass=15000, wheelbase=4.60, top_speed=30, power=280e3, thrust=1.5),
    VehicleModel(id="vehicle.mitsubishi.fusorosa", base_type="bus",
                 size=(10.27, 2.90, 3.40), mass=9000, wheelbase=5.60, top_speed=28, power=160e3, thrust=1.4),
    VehicleModel(id="vehicle.harley-davidson.low_rider", base_type="motorcycle",
                 size=(2.36, 0.76, 1.66), mass=380, wheelbase=1.63, top_speed=50, power=60e3, thrust=5.0,
                 max_steer=_BARS),
    VehicleModel(id="vehicle.kawasaki.ninja", base_type="motorcycle",
                 size=(2.03, 0.80, 1.60), mass=270, wheelbase=1.42, top_speed=60, power=90e3, thrust=6.0,
                 max_steer=_BARS),
    VehicleModel(id="vehicle.vespa.zx125", base_type="motorcycle",
                 size=(1.81, 0.87, 1.60), mass=190, wheelbase=1.28, top_speed=26, power=8e3, thrust=3.0,
                 max_steer=_BARS),
    VehicleModel(id="vehicle.yamaha.yzf", base_type="motorcycle",
                 size=(2.21, 0.87, 1.60), mass=270, wheelbase=1.40, top_speed=60, power=90e3, thrust=6.0,
                 max_steer=_BARS),
    VehicleModel(id="vehicle.bh.crossbike", base_type="bicycle",
                 size=(1.80, 0.65, 1.70), mass=92, wheelbase=1.06, top_speed=11, power=400, thrust=1.2),
    VehicleModel(id="vehicle.diamondback.century", base_type="bicycle",
                 size=(1.75, 0.55, 1.70), mass=90, wheelbase=1.00, top_speed=13, power=450, thrust=1.3),
    VehicleModel(id="vehicle.gazelle.omafiets", base_type="bicycle",
                 size=(1.84, 0.60, 1.75), mass=98, wheelbase=1.10, top_speed=9, power=300, thrust=1.0),
)  # fmt: skip

# CARLA's children and elderly people, by the number in their ids.
_CHILDREN = {9, 10, 11, 12, 13, 14, 48, 49}
_ELDERLY = {17, 19, 26, 27}
_WOMEN = {1, 5, 6, 7, 8, 9, 12, 13, 20, 22, 27, 28, 31, 34, 41, 43, 49}
_NUMBERS = (*range(1, 35), 41, 43, 48, 49)

WALKERS = tuple(
    WalkerModel(
        id=f"walker.pedestrian.{n:04d}",
        gender="female" if n in _WOMEN else "male",
        age="child" if n in _CHILDREN else "elderly" if n in _ELDERLY else "adult",
        height=1.1 + 0.05 * (n % 4) if n in _CHILDREN else 1.68 if n in _WOMEN else 1.8,
        radius=0.2 if n in _CHILDREN else 0.25,
    )
    for n in _NUMBERS
)

PROPS = {  # length, width, height
    "static.prop.streetbarrier": (0.36, 1.21, 1.06),
    "static.prop.trafficcone01": (0.86, 0.86, 1.18),
    "static.prop.constructioncone": (0.34, 0.34, 0.59),
    "static.prop.container": (1.94, 2.74, 1.70),
    "static.prop.bin": (0.72, 0.49, 1.06),
    "static.prop.bench01": (1.52, 0.73, 0.96),
    "static.prop.box01": (0.63, 0.63, 0.63),
    "static.prop.busstop": (4.00, 1.60, 2.60),
}


def _string(name: str, value: str, *recommended: str, modifiable: bool = True) -> Attribute:
    return Attribute(name, AttributeType.STRING, value, recommended, modifiable)


def _fixed(name: str, kind: AttributeType, value: object) -> Attribute:
    return Attribute(name, kind, str(value), (str(value),))


def _vehicle(model: VehicleModel) -> tuple[Attribute, ...]:
    names = AttributeType
    colours = ("255,255,255", "0,0,0", "137,0,9", "17,37,103", "180,180,180")
    return (
        _fixed("number_of_wheels", names.INT, model.wheels),
        _fixed("base_type", names.STRING, model.base_type),
        _fixed("special_type", names.STRING, model.special_type),
        _fixed("generation", names.INT, 2 if model.mass > 1300 else 1),
        _fixed("has_lights", names.BOOL, str(model.base_type != "bicycle").lower()),
        _fixed("has_dynamic_doors", names.BOOL, "false"),
        Attribute("color", names.RGB_COLOR, colours[0], colours, True),
        Attribute("sticky_control", names.BOOL, "true", (), True),
        Attribute("terramechanics", names.BOOL, "false", (), True),
        _string("role_name", "autopilot", "autopilot", "scenario", "ego_vehicle", "hero"),
        _string("ros_name", model.id, modifiable=True),
        *((Attribute("driver_id", names.INT, "0", ("0", "1", "2"), True),) if model.wheels == 2 else ()),
    )


def _walker(model: WalkerModel) -> tuple[Attribute, ...]:
    kind = AttributeType
    speeds = ("0.0", "1.4", "2.8") if model.age != "child" else ("0.0", "1.2", "2.5")
    return (
        _fixed("age", kind.STRING, model.age),
        _fixed("gender", kind.STRING, model.gender),
        _fixed("generation", kind.INT, 2 if int(model.id[-4:]) > 14 else 1),
        Attribute("is_invincible", kind.BOOL, "true", ("false", "true"), True),
        Attribute("speed", kind.FLOAT, speeds[1], speeds, True),
        _fixed("can_use_wheelchair", kind.BOOL, "false"),
        Attribute("use_wheelchair", kind.BOOL, "false", ("false", "true"), True),
        _string("role_name", "pedestrian"),
        _string("ros_name", model.id),
    )


@cache
def definitions() -> tuple[Definition, ...]:
    """The whole library, in the order of their uids."""
    rows: list[tuple[str, tuple[Attribute, ...]]] = []
    rows += [(model.id, _vehicle(model)) for model in VEHICLES]
    rows += [(model.id, _walker(model)) for model in WALKERS]
    rows += list(SENSOR_BLUEPRINTS.items())
    rows += [("controller.ai.walker", (_string("role_name", "default"), _string("ros_name", "controller")))]
    for name, size in PROPS.items():
        shown = _fixed("size", AttributeType.STRING, "small" if max(size) < 1 else "medium")
        rows.append((name, (shown, _string("role_name", "prop"), _string("ros_name", name))))
    return tuple(
        Definition(uid, name, name.replace(".", ","), attributes)
        for uid, (name, attributes) in enumerate(rows, start=1)
    )


VEHICLE_MODELS = {model.id: model for model in VEHICLES}
WALKER_MODELS = {model.id: model for model in WALKERS}
