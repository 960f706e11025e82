"""What the leaderboard agent is told by its configuration file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from drivewm.errors import InputError

Driver = Literal["rule", "planner"]
Perception = Literal["lidar", "privileged"]
TrackName = Literal["SENSORS", "MAP", "SENSORS_QUALIFIER", "MAP_QUALIFIER"]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Every field may stand in the JSON file; what is left out is as here."""

    driver: Driver = "rule"
    bundle: str = ""  # of the predictor that feeds the planner, by name or folder; "": constant velocity
    perception: Perception = "lidar"  # privileged reads true actors from the server: to debug, never to score
    track: TrackName = "SENSORS"
    speed_mps: float = 8.0  # desired
    length: float = 4.90  # m, of the leaderboard's car, vehicle.lincoln.mkz_2020
    width: float = 1.84
    wheelbase: float = 2.85
    lock: float = 70.0  # degrees of its front wheels at full lock

    def __post_init__(self) -> None:
        for name, choices in (("driver", Driver), ("perception", Perception), ("track", TrackName)):
            value = getattr(self, name)
            if value not in get_args(choices):
                raise InputError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
        if not isinstance(self.bundle, str):
            raise InputError(f"bundle must be a name or a folder, got {self.bundle!r}")
        for name in ("speed_mps", "length", "width", "wheelbase", "lock"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 100:
                raise InputError(f"{name} must be a number between 0 and 100, got {value!r}")
        if self.bundle and self.driver != "planner":
            raise InputError(f"bundle {self.bundle!r} needs driver planner, got {self.driver!r}")


def read_config(path: str) -> AgentConfig:
    """The configuration in a JSON file; "" is all defaults. InputError says in one line what is wrong."""
    if not path:
        return AgentConfig()
    file = Path(path)
    if not file.exists() and "+" in path:  # Bench2Drive adds +NAME of the run
        file = Path(path.rpartition("+")[0])
        if not str(path.rpartition("+")[0]):
            return AgentConfig()
    try:
        found: Any = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file}: the agent's configuration cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{file}: the agent's configuration must be JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{file}: the agent's configuration must be a JSON object of settings")
    known = [field.name for field in fields(AgentConfig)]
    strange = sorted(set(found) - set(known))
    if strange:
        raise InputError(f"{file}: no setting {strange[0]!r}; there are {', '.join(known)}")
    try:
        return AgentConfig(**found)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
