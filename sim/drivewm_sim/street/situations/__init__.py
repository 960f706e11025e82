"""The situations that directors know, one idea a file, and how to set one up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy import ndarray

from drivewm.errors import InputError
from drivewm_sim.street.directors import Phase, Staged
from drivewm_sim.street.placing import Stage
from drivewm_sim.street.situations.bus_runner import BusRunner
from drivewm_sim.street.situations.cast import Situation
from drivewm_sim.street.situations.cyclist_conflict import CyclistConflict
from drivewm_sim.street.situations.dart_out import DartOut
from drivewm_sim.street.situations.distracted import Distracted
from drivewm_sim.street.situations.group_split import GroupSplit
from drivewm_sim.street.situations.hesitation import Hesitation
from drivewm_sim.street.situations.hidden_crosser import HiddenCrosser
from drivewm_sim.street.situations.jaywalk import Jaywalk
from drivewm_sim.street.situations.red_walker import RedWalker
from drivewm_sim.street.situations.slow_finisher import SlowFinisher
from drivewm_sim.street.situations.turn_back import TurnBack
from drivewm_sim.street.situations.turning import Turning

SITUATIONS: dict[str, Situation] = {
    "dart_out": DartOut(),
    "jaywalk": Jaywalk(),
    "distracted": Distracted(),
    "turn_back": TurnBack(),
    "group_split": GroupSplit(),
    "hesitation": Hesitation(),
    "turning": Turning(),
    "bus_runner": BusRunner(),
    "cyclist_conflict": CyclistConflict(),
    "red_walker": RedWalker(),
    "hidden_crosser": HiddenCrosser(),
    "slow_finisher": SlowFinisher(),
}
"""By name, with usual parameters. The order is that of `situation` in DIRECTOR: new ones come last."""


def stage(name: str, row: int, scene: Stage, parameters: Situation | None = None) -> Staged | None:
    """A situation set up as director `row`; None where the route has no place for it."""
    if name not in SITUATIONS:
        raise InputError(f"no situation {name!r}; there are {', '.join(SITUATIONS)}")
    usual = SITUATIONS[name]
    if parameters is not None and type(parameters) is not type(usual):
        raise InputError(f"{name}: expected parameters of {type(usual).__name__}, got {parameters!r}")
    found = (usual if parameters is None else parameters).stage(scene, row)
    if found is None:
        return None
    return replace(found, director={**found.director, "situation": list(SITUATIONS).index(name)})


def labels(directors: ndarray) -> list[dict[str, Any]]:
    """What an episode stores of its directors: name, phase, actors, props, ticks, the place."""
    names = list(SITUATIONS)
    return [
        {
            "situation": names[row["situation"]],
            "phase": Phase(int(row["phase"])).name.lower(),
            "triggered_tick": int(row["triggered"]),
            "ended_tick": int(row["ended"]),
            "target_uid": int(row["target"]),
            "actor_uids": [int(uid) for uid in row["actor"] if uid >= 0],
            "prop_uids": [int(uid) for uid in row["prop"] if uid >= 0],
            "crossing": int(row["crossing"]),
            "x_m": float(row["x"]),
            "y_m": float(row["y"]),
        }
        for row in directors
    ]
