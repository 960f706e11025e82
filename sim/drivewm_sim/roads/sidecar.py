"""What OpenDRIVE does not say of a town, as JSON beside it: boxes, signals, stops, doors, demand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from drivewm.errors import InputError
from drivewm_sim.roads.boxes import Boxes, BoxKind, no_boxes
from drivewm_sim.roads.town import Demand

SCHEMA = 1
TOWN_TYPES = ("grid", "arterial", "school", "roundabout", "plaza", "street")

_BOX_NUMBERS = ("x", "y", "z", "yaw", "length", "width", "height")
_DEMAND_NUMBERS = tuple(f.name for f in fields(Demand) if f.name != "town_type")


@dataclass(frozen=True, kw_only=True)
class Programme:
    """One signal group: the lights that show the same, and when they are green."""

    name: str
    signal_ids: tuple[str, ...]  # of the OpenDRIVE document: for vehicles
    crosswalk_ids: tuple[str, ...]  # crosswalk objects whose people it holds back
    cycle: float  # s
    green_from: float
    green: float
    yellow: float


@dataclass(frozen=True, kw_only=True)
class StopPlace:
    """A bus stop: where the front of a bus stands."""

    road: str
    lane: int
    s: float  # along the road's reference line


@dataclass(frozen=True, kw_only=True)
class GiveWay:
    junction: str
    yielding_roads: tuple[str, ...]  # incoming roads (or connecting ones) that give way to the others


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    demand: Demand = field(default_factory=Demand)
    boxes: Boxes = field(default_factory=no_boxes)
    signals: tuple[Programme, ...] = ()
    bus_stops: tuple[StopPlace, ...] = ()
    doors: tuple[tuple[float, float], ...] = ()  # x, y
    give_way: tuple[GiveWay, ...] = ()


def parse_sidecar(text: str, name: str) -> dict[str, Any]:
    """The JSON object of a sidecar file; `name` stands in error messages."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}: expected JSON, {error}; correct the sidecar") from None
    if not isinstance(data, dict):
        raise InputError(f"{name}: expected a JSON object, found {type(data).__name__}")
    return data


def read_sidecar(data: Mapping[str, Any] | None, name: str) -> Sidecar:
    """The sidecar's contents, checked; None: an empty one."""
    if data is None:
        return Sidecar()
    known = {"schema", "town_type", "demand", "boxes", "signals", "bus_stops", "doors", "give_way"}
    _only(data, known, f"{name} sidecar")
    if data.get("schema") != SCHEMA:
        raise InputError(
            f"{name} sidecar: expected schema {SCHEMA}, found {data.get('schema')!r}; convert it"
        )
    return Sidecar(
        demand=_demand(data, name),
        boxes=_boxes(_rows(data, "boxes", name), name),
        signals=tuple(_programme(row, where) for row, where in _each(data, "signals", name)),
        bus_stops=tuple(
            StopPlace(
                road=str(_have(row, "road", where)),
                lane=int(_number(row, "lane", where)),
                s=_number(row, "s", where),
            )
            for row, where in _each(data, "bus_stops", name)
        ),
        doors=tuple(
            (_number(row, "x", where), _number(row, "y", where)) for row, where in _each(data, "doors", name)
        ),
        give_way=tuple(
            GiveWay(
                junction=str(_have(row, "junction", where)),
                yielding_roads=_texts(row, "yielding_roads", where),
            )
            for row, where in _each(data, "give_way", name)
        ),
    )


def _demand(data: Mapping[str, Any], name: str) -> Demand:
    town_type = data.get("town_type", "street")
    if town_type not in TOWN_TYPES:
        raise InputError(
            f"{name} sidecar: expected a town_type of {', '.join(TOWN_TYPES)}, found {town_type!r}"
        )
    given = data.get("demand", {})
    where = f"{name} sidecar, demand"
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: expected an object, found {type(given).__name__}")
    _only(given, set(_DEMAND_NUMBERS), where)
    numbers = {key: _number(given, key, where) for key in given}
    for key, value in numbers.items():
        if value < 0 or (key.endswith("_share") and value > 1):
            raise InputError(
                f"{where}: {key} is {value:g}; expected {'0 to 1' if 'share' in key else '0 or more'}"
            )
    return Demand(town_type=town_type, **numbers)


def _boxes(rows: list[Any], name: str) -> Boxes:
    if not rows:
        return no_boxes()
    kinds = {kind.name.lower(): kind for kind in BoxKind}
    table, kind = np.zeros((len(rows), len(_BOX_NUMBERS))), np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        where = f"{name} sidecar, boxes[{i}]"
        _only(row, {"kind", *_BOX_NUMBERS}, where)
        if row.get("kind") not in kinds:
            raise InputError(f"{where}: expected a kind of {', '.join(kinds)}, found {row.get('kind')!r}")
        kind[i] = kinds[row["kind"]]
        table[i] = [_number(row, key, where) for key in _BOX_NUMBERS]
        if table[i, 4:].min() <= 0:
            raise InputError(
                f"{where}: length, width and height must be positive, found {table[i, 4:].tolist()}"
            )
    x, y, z, yaw, length, width, height = np.ascontiguousarray(table.T)
    return Boxes(x, y, z, yaw, length, width, height, kind)


def _programme(row: Mapping[str, Any], where: str) -> Programme:
    known = {"name", "signal_ids", "crosswalk_ids", "cycle", "green_from", "green", "yellow"}
    _only(row, known, where)
    out = Programme(
        name=str(row.get("name", "")),
        signal_ids=_texts(row, "signal_ids", where),
        crosswalk_ids=_texts(row, "crosswalk_ids", where),
        cycle=_number(row, "cycle", where),
        green_from=_number(row, "green_from", where),
        green=_number(row, "green", where),
        yellow=_number(row, "yellow", where),
    )
    if out.green <= 0 or out.yellow < 0 or out.green + out.yellow > out.cycle:
        raise InputError(
            f"{where}: green {out.green:g} s and yellow {out.yellow:g} s do not fit {out.cycle:g} s"
        )
    return out


def _rows(data: Mapping[str, Any], key: str, name: str) -> list[Any]:
    rows = data.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"{name} sidecar: expected {key} to be a list of objects")
    return rows


def _each(data: Mapping[str, Any], key: str, name: str) -> list[tuple[Mapping[str, Any], str]]:
    return [(row, f"{name} sidecar, {key}[{i}]") for i, row in enumerate(_rows(data, key, name))]


def _only(data: Mapping[str, Any], known: set[str], where: str) -> None:
    strange = sorted(set(data) - known)
    if strange:
        raise InputError(f"{where}: unknown {', '.join(strange)}; there are {', '.join(sorted(known))}")


def _have(row: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in row:
        raise InputError(f"{where}: {key} is missing")
    return row[key]


def _number(row: Mapping[str, Any], key: str, where: str) -> float:
    value = _have(row, key, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: expected {key} to be a number, found {value!r}")
    return float(value)


def _texts(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list):
        raise InputError(f"{where}: expected {key} to be a list of ids, found {value!r}")
    return tuple(str(v) for v in value)
