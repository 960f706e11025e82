"""A town of unconnected copies of another: for how cost grows, and for who must not matter to whom."""

from __future__ import annotations

import copy
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy import ndarray

from drivewm_sim.roads.compile import compile_town
from drivewm_sim.roads.sidecar import SCHEMA
from drivewm_sim.roads.town import Demand, Town
from drivewm_sim.roads.towns import load_town, town_sidecar, town_text
from drivewm_sim.street import state, traffic
from drivewm_sim.street.scripts import no_scripts
from drivewm_sim.street.state import World
from drivewm_sim.street.traffic import Setting

GAP_M = 60.0
"""Between the copies: as far as anybody looks."""
_NAMED = {
    "road": ("id", "junction"),
    "junction": ("id",),
    "controller": ("id",),
    "signal": ("id",),
    "signalReference": ("id",),
    "object": ("id",),
    "predecessor": ("elementId",),
    "successor": ("elementId",),
    "connection": ("incomingRoad", "connectingRoad"),
    "priority": ("high", "low"),
    "control": ("signalId",),
}
"""Attributes of OpenDRIVE elements that hold ids of the whole document (those of lanes do not)."""


def tiled_town(name: str, count: int, gap_m: float = GAP_M) -> Town:
    """`count` copies of a town side by side, in a square as far as that goes, with as many times the demand.

    The first copy lies where the town does; those that follow lie to the east, then to the north.
    """
    town = load_town(name)
    width, height = _extent(town)
    columns = math.ceil(math.sqrt(count))
    offsets = [(k % columns * (width + gap_m), k // columns * (height + gap_m)) for k in range(count)]
    return compile_town(
        f"{town.name} x {count}",
        tiled_map(town_text(name), offsets),
        tiled_sidecar(town_sidecar(name), town.demand, offsets),
    )


def _extent(town: Town) -> tuple[float, float]:
    """Metres from west to east and from south to north of all that a town has."""
    street = town.street
    x = np.concatenate([street.lanes.lines.x, street.walks.lines.x, street.boxes.x])
    y = np.concatenate([street.lanes.lines.y, street.walks.lines.y, street.boxes.y])
    return float(np.ptp(x)), float(np.ptp(y))


def tiled_map(text: str, offsets: list[tuple[float, float]]) -> str:
    """An OpenDRIVE document with one copy of another's roads and junctions at each offset (m)."""
    root = ET.fromstring(text)
    parts = [element for element in root if element.tag in ("road", "controller", "junction")]
    for element in parts:
        root.remove(element)
    for k, (x, y) in enumerate(offsets):
        for original in parts:
            element = copy.deepcopy(original)
            for part in element.iter():
                for key in _NAMED.get(part.tag, ()):
                    if part.get(key, "-1") != "-1":
                        part.set(key, _copied(k, part.attrib[key]))
            for geometry in element.iterfind("planView/geometry"):
                geometry.set("x", repr(float(geometry.attrib["x"]) + x))
                geometry.set("y", repr(float(geometry.attrib["y"]) + y))
            root.append(element)
    return ET.tostring(root, encoding="unicode")


def tiled_sidecar(
    sidecar: Mapping[str, Any] | None, demand: Demand, offsets: list[tuple[float, float]]
) -> dict[str, Any]:
    """The sidecar of the copies; people set out anywhere in the town, so there are more of them."""
    numbers = asdict(demand)
    town_type = numbers.pop("town_type")
    numbers["pedestrians_per_hour"] *= len(offsets)
    out: dict[str, Any] = {"schema": SCHEMA, "town_type": town_type, "demand": numbers}
    given = sidecar or {}
    for key in ("boxes", "doors"):
        out[key] = [
            {**row, "x": row["x"] + x, "y": row["y"] + y} for x, y in offsets for row in given.get(key, [])
        ]
    for key in ("signals", "bus_stops", "give_way"):
        out[key] = [_renamed(row, k) for k in range(len(offsets)) for row in given.get(key, [])]
    return out


def _renamed(row: Mapping[str, Any], k: int) -> dict[str, Any]:
    out = dict(row)
    for key in ("signal_ids", "crosswalk_ids", "yielding_roads"):
        if key in out:
            out[key] = [_copied(k, id) for id in out[key]]
    for key in ("road", "junction"):
        if key in out:
            out[key] = _copied(k, out[key])
    return out


def _copied(k: int, id: str) -> str:
    """What an id is called in copy k."""
    return f"{k}_{id}"


def affected(setting: Setting, world: World, stranger: Mapping[str, Any], seconds: float) -> frozenset[int]:
    """The uids of all to whom a vehicle more makes a difference, in any column, within so many seconds.

    stranger: fields for `state.insert`, its uid among them, which is not counted.
    """
    alone, beside = state.copy(world), state.copy(world)
    beside = beside._replace(vehicles=state.insert(beside.vehicles, stranger))
    changed: set[int] = set()
    for _ in range(round(seconds / 0.1)):
        for one in (alone, beside):
            traffic.step(one, no_scripts(), setting)
        alone, beside = traffic.come_and_go(alone, setting), traffic.come_and_go(beside, setting)
        changed |= _differing(alone.vehicles, beside.vehicles)
        changed |= _differing(alone.pedestrians, beside.pedestrians)
    return frozenset(changed - {int(stranger["uid"])})


def _differing(a: ndarray, b: ndarray) -> set[int]:
    """The uids that only one of two tables has, and those whose columns differ."""
    uids, i, j = np.intersect1d(a["uid"], b["uid"], return_indices=True)
    differ = np.zeros(len(uids), bool)
    for name in a.dtype.names or ():
        unequal = (a[name][i] != b[name][j]) & ((a[name][i] == a[name][i]) | (b[name][j] == b[name][j]))
        differ |= unequal.reshape(len(uids), -1).any(axis=1)
    return set(np.setxor1d(a["uid"], b["uid"]).tolist()) | set(uids[differ].tolist())
