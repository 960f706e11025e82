"""What a tracks table must hold to be read: the first thing wrong, named by file, row and remedy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_datasets.schema import TracksTable

MAX_AGENTS_PER_FRAME = 1024
MAX_MEDIAN_PEDESTRIAN_MPS = 6.0
"""The median over a scene of the speeds of walking pedestrians; sprinters stay below, other units do not."""
WALKING_MPS = 0.3
MIN_WALKING_STEPS = 5
"""Fewer steps say nothing about the units."""
WALKERS = ("pedestrian", "child", "person", "walker")
"""Types whose speed tells the units; skaters and the rest may be fast."""


def check(table: TracksTable) -> Int[ndarray, "N"]:
    """The rows sorted by (scene, agent, time); InputError on the first thing that is wrong.

    Scenes and agents may come in any order in the file. What must hold is that within one agent of one
    scene a later frame has a later time.
    """
    _check_finite(table)
    _check_sizes(table)
    order = np.lexsort((table.frame, table.agent_id.code, table.scene_key))
    same = _same_agent(table, order)
    _check_duplicates(table, order, same)
    _check_time(table, order, same)
    _check_crowd(table)
    _check_units(table, order, same)
    return order


def step_speeds(
    table: TracksTable, order: Int[ndarray, "N"], same: Bool[ndarray, "M"]
) -> Float[ndarray, "M"]:
    """Metres a second over each step to the next row of `order` (M = N - 1); zero between agents."""
    elapsed = np.diff(table.t_s[order])
    travelled = np.hypot(np.diff(table.x_m[order]), np.diff(table.y_m[order]))
    return np.where(same, travelled / np.where(same & (elapsed > 0), elapsed, 1.0), 0.0)


def _same_agent(table: TracksTable, order: Int[ndarray, "N"]) -> Bool[ndarray, "M"]:
    """Whether each row of `order` and the next are of one agent in one scene."""
    scene, agent = table.scene_key[order], table.agent_id.code[order]
    return (scene[1:] == scene[:-1]) & (agent[1:] == agent[:-1])


def _refuse(table: TracksTable, wrong: Bool[ndarray, "N"], say: Callable[[int], str], remedy: str) -> None:
    """Raises for the first row at which `wrong` is true."""
    if not wrong.any():
        return
    row, count = int(np.argmax(wrong)), int(wrong.sum())
    more = f" ({count} such rows)" if count > 1 else ""
    raise InputError(f"{table.source}: row {row}: {say(row)}{more}; {remedy}")


def _check_finite(table: TracksTable) -> None:
    for name in ("t_s", "x_m", "y_m"):
        values = getattr(table, name)
        say = _saying(name, values, "a finite number")
        _refuse(table, ~np.isfinite(values), say, "drop the rows without a measurement")
    say = _saying("z_m", table.z_m, "a finite number or null")
    _refuse(table, np.isinf(table.z_m), say, "leave unknown heights null")


def _check_sizes(table: TracksTable) -> None:
    for name in ("length_m", "width_m"):
        values = getattr(table, name)
        say = _saying(name, values, "metres above zero or null")
        _refuse(table, (values <= 0) | np.isinf(values), say, "leave unknown sizes null")


def _saying(name: str, values: Float[ndarray, "N"], expected: str) -> Callable[[int], str]:
    return lambda row: f"{name} is {values[row]:g}, expected {expected}"


def _check_duplicates(table: TracksTable, order: Int[ndarray, "N"], same: Bool[ndarray, "M"]) -> None:
    again = np.zeros(table.rows, bool)
    again[order[1:][same & (np.diff(table.frame[order]) == 0)]] = True
    _refuse(
        table,
        again,
        lambda row: (
            f"agent {table.agent_id.at(row)} is twice in frame {table.frame[row]} of {table.scene_name(row)}"
        ),
        "keep one row an agent and frame",
    )


def _check_time(table: TracksTable, order: Int[ndarray, "N"], same: Bool[ndarray, "M"]) -> None:
    elapsed = np.diff(table.t_s[order])
    back = np.zeros(table.rows, bool)
    before = np.zeros(table.rows)
    back[order[1:][same & (elapsed <= 0)]] = True
    before[order[1:]] = table.t_s[order[:-1]]
    _refuse(
        table,
        back,
        lambda row: (
            f"unsorted time: t_s is {table.t_s[row]:g} at frame {table.frame[row]} of agent "
            f"{table.agent_id.at(row)}, expected more than the {before[row]:g} of its frame before"
        ),
        "number the frames in order of time",
    )


def _check_crowd(table: TracksTable) -> None:
    if table.rows <= MAX_AGENTS_PER_FRAME:
        return
    order = np.lexsort((table.frame, table.scene_key))
    scene, frame = table.scene_key[order], table.frame[order]
    first = np.concatenate([[True], (scene[1:] != scene[:-1]) | (frame[1:] != frame[:-1])])
    start = np.flatnonzero(first)
    count = np.diff(np.append(start, table.rows))
    if count.max() <= MAX_AGENTS_PER_FRAME:
        return
    group = int(np.argmax(count > MAX_AGENTS_PER_FRAME))
    # lexsort is stable, so this is the first row over the limit in the file's order.
    row = int(order[start[group] + MAX_AGENTS_PER_FRAME])
    raise InputError(
        f"{table.source}: row {row}: frame {table.frame[row]} of {table.scene_name(row)} has {count[group]} "
        f"agents, at most {MAX_AGENTS_PER_FRAME} are read; split the scene"
    )


def _check_units(table: TracksTable, order: Int[ndarray, "N"], same: Bool[ndarray, "M"]) -> None:
    """Refuses a scene whose median walking speed no crowd reaches."""
    walks = np.array([name.lower() in WALKERS for name in table.agent_type.names])
    speed = step_speeds(table, order, same)
    steps = np.flatnonzero(same & walks[table.agent_type.code[order]][1:] & (speed > WALKING_MPS))
    scene = table.scene_key[order][1:][steps]
    ranked = steps[np.lexsort((speed[steps], scene))]
    scene = np.sort(scene)
    start = np.flatnonzero(np.diff(scene, prepend=-1))
    count = np.diff(np.append(start, len(scene)))
    middle = (speed[ranked[start + (count - 1) // 2]] + speed[ranked[start + count // 2]]) / 2
    absurd = (middle > MAX_MEDIAN_PEDESTRIAN_MPS) & (count >= MIN_WALKING_STEPS)
    if not absurd.any():
        return
    group = int(np.argmax(absurd))
    rows = order[1:][ranked[start[group] : start[group] + count[group]]]
    row = int(rows.min())
    raise InputError(
        f"{table.source}: row {row}: {table.scene_name(row)} has a median pedestrian speed of "
        f"{middle[group]:.4g} m/s, expected at most {MAX_MEDIAN_PEDESTRIAN_MPS:g}: positions must be metres; "
        "pass --scale (metres a unit) to `drivewm import`"
    )
