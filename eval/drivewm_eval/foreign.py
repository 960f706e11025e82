"""Scores of a forecast table written by anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from drivewm.errors import InputError
from drivewm.forecast_table import Head, anchors_of, read_forecasts
from drivewm.timing import TimeGrid
from drivewm_datasets.protocols import Window
from drivewm_eval.evaluation import coverage_steps
from drivewm_eval.scores import Candidates, WindowScore, score

HORIZON_S = 0.01
"""What the stated time of a step may be off."""
PROBABILITY_SUM = 1e-3
"""What the sum of an agent's mode probabilities may be off from one."""
SAME_PROBABILITY = 1e-6
"""What the probability of a joint mode may differ from agent to agent."""

Key = tuple[str, str, int]  # dataset, scene, microseconds


def _key(dataset: str, scene: str, t_s: float) -> Key:
    return dataset, scene, round(t_s * 1e6)


@dataclass(frozen=True, kw_only=True)
class _Anchor:
    """The forecasts of one scene and time: modes by agent, as dense arrays."""

    where: str  # file, scene and time, for messages
    ids: dict[str, int]
    modes: np.ndarray  # M; their numbers in the table
    position: np.ndarray  # M A F 2
    covariance: np.ndarray  # M A F 2 2
    probability: np.ndarray  # M A; zero where an agent has fewer modes than another
    given: np.ndarray  # M A; which modes the table has of each agent


def _read_anchor(table: pa.Table, grid: TimeGrid, where: str) -> _Anchor:
    agent = np.asarray(table["agent_id"].to_pylist(), dtype=object).astype(str)
    names, who = np.unique(agent, return_inverse=True)
    numbers, mode = np.unique(table["mode"].to_numpy(), return_inverse=True)
    step = table["step"].to_numpy().astype(np.int64) - 1
    keep = (step >= 0) & (step < grid.steps)
    _check_clock(table, step, keep, grid, where)
    at = (mode[keep], who[keep], step[keep])
    shape = (len(numbers), len(names), grid.steps)
    whole = _whole_modes(at, shape, names, where)

    def dense(column: str) -> np.ndarray:
        values = np.zeros(shape)
        if column in table.schema.names:
            values[at] = table[column].to_numpy().astype(np.float64)[keep]
        return values

    probability = np.where(whole, dense("mode_probability")[..., 0], 0.0)
    _check_probability(probability, names, where)
    position = np.stack([dense("x_m"), dense("y_m")], -1)
    xx, xy, yy = dense("var_xx"), dense("var_xy"), dense("var_yy")
    covariance = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
    # An agent with fewer modes than the others repeats its first at probability zero.
    first, some = whole.argmax(0), np.arange(len(names))
    return _Anchor(
        where=where,
        ids={str(n): i for i, n in enumerate(names)},
        modes=numbers,
        position=np.where(whole[..., None, None], position, position[first, some]),
        covariance=np.where(whole[..., None, None, None], covariance, covariance[first, some]),
        probability=probability,
        given=whole,
    )


def _check_clock(table: pa.Table, step: np.ndarray, keep: np.ndarray, grid: TimeGrid, where: str) -> None:
    """InputError where the table states another time of a step than the grid has."""
    if "horizon_s" not in table.schema.names or not keep.any():
        return
    stated, expected = table["horizon_s"].to_numpy()[keep], np.asarray(grid.horizons)[step[keep]]
    row = int(np.abs(stated - expected).argmax())
    if abs(stated[row] - expected[row]) > HORIZON_S:
        raise InputError(
            f"{where}: horizon_s is {stated[row]:g} at step {step[keep][row] + 1}, expected "
            f"{expected[row]:g}; forecast in steps of {grid.step:g} s"
        )


def _whole_modes(
    at: tuple[np.ndarray, ...], shape: tuple[int, int, int], names: np.ndarray, where: str
) -> np.ndarray:
    """Which modes each agent has, M A; InputError if one lacks a step or has it twice."""
    seen = np.zeros(shape, bool)
    seen[at] = True
    if len(at[0]) != int(seen.sum()):
        raise InputError(f"{where}: a row for the same agent, mode and step comes twice; keep one")
    whole = np.asarray(seen.all(-1))
    partial = (whole != seen.any(-1)).any(0) | ~whole.any(0)
    if partial.any():
        raise InputError(
            f"{where}: a mode of agent {names[partial.argmax()]} lacks a step, expected 1 to {shape[2]} in "
            "every mode; add it or drop the mode"
        )
    return whole


def _check_probability(probability: np.ndarray, names: np.ndarray, where: str) -> None:
    total = probability.sum(0)
    off = int(np.abs(total - 1).argmax())
    if abs(total[off] - 1) > PROBABILITY_SUM:
        raise InputError(
            f"{where}: the mode probabilities of agent {names[off]} sum to {total[off]:.4g}, expected 1; "
            "divide them by their sum"
        )


def _not_joint(anchor: _Anchor) -> str | None:
    """Why the modes are no joint futures of all agents, or None where they are."""
    names = list(anchor.ids)
    if not anchor.given.all():
        agent, mode = (int(i[0]) for i in np.nonzero(~anchor.given.T))
        return f"agent {names[agent]} lacks mode {anchor.modes[mode]}"
    spread = np.ptp(anchor.probability, axis=1)
    if spread.max() > SAME_PROBABILITY:
        mode = int(spread.argmax())
        agent = int(np.abs(anchor.probability[mode] - np.median(anchor.probability[mode])).argmax())
        return f"agent {names[agent]} has another probability of mode {anchor.modes[mode]} than the others"
    return None


def _infer_head(anchors: Iterable[_Anchor]) -> Head:
    """Joint where every agent has every mode with one probability a mode; else marginal."""
    return "joint" if all(_not_joint(anchor) is None for anchor in anchors) else "marginal"


class ForecastTables:
    """One or two forecast tables, one a head, made ready to be scored.

    A table that states its head (metadata drivewm.head) is held to it; of another it is inferred and noted.
    """

    def __init__(self, paths: Sequence[Path], grid: TimeGrid) -> None:
        self.by_head: dict[Head, dict[Key, _Anchor]] = {}
        self.notes: list[str] = []
        self._path: dict[Head, Path] = {}
        for path in paths:
            table, stated = read_forecasts(path)
            anchors = {
                _key(*name): _read_anchor(rows, grid, f"{path}: {name[0]}/{name[1]} at t={name[2]:g} s")
                for name, rows in anchors_of(table)
            }
            head = stated or _infer_head(anchors.values())
            if head in self.by_head:
                raise InputError(f"{path}: a second table of the {head} head; give one of each")
            if head == "joint":
                _check_joint(anchors.values())
            self.by_head[head], self._path[head] = anchors, path
            if stated is None:
                self.notes.append(f"{path} does not state its head (metadata drivewm.head): taken as {head}")
            what = "joint modes" if head == "joint" else "candidates an agent"
            self.notes.append(f"{path} holds {_most_modes(anchors.values())} {what}")

    @property
    def candidates(self) -> int:
        """How many futures of an agent the best is taken of."""
        return _most_modes(self.by_head["marginal" if "marginal" in self.by_head else "joint"].values())

    @property
    def joint_modes(self) -> int | None:
        """How many futures of the whole scene there are; None without a joint table."""
        return _most_modes(self.by_head["joint"].values()) if "joint" in self.by_head else None

    def of(self, window: Window) -> Candidates:
        """The forecasts of the window's agents. InputError if any of them is missing."""
        recording = window.recording
        key = _key(recording.dataset, recording.scene, window.t_s)
        ids = [recording.agent_ids[a] for a in window.agents]
        picked: dict[Head, tuple[_Anchor, np.ndarray]] = {}
        for head, anchors in self.by_head.items():
            anchor = anchors.get(key)
            missing = ids if anchor is None else [i for i in ids if i not in anchor.ids]
            if anchor is None or missing:
                raise InputError(
                    f"{self._path[head]}: no {head} forecast of agent {missing[0]} in {key[0]}/{key[1]} at "
                    f"t={window.t_s:g} s; every agent that is scored must be forecast: run drivewm predict "
                    "with the same --data and --every"
                )
            picked[head] = anchor, np.array([anchor.ids[i] for i in ids])
        marginal, who = picked["marginal"] if "marginal" in picked else picked["joint"]
        joint = picked.get("joint")
        return Candidates(
            position=marginal.position[:, who],
            covariance=marginal.covariance[:, who],
            probability=marginal.probability[:, who],
            joint_position=joint[0].position[:, joint[1]] if joint else None,
            joint_probability=joint[0].probability.max(1) if joint else None,
        )


def _most_modes(anchors: Iterable[_Anchor]) -> int:
    return max(len(anchor.modes) for anchor in anchors)


def _check_joint(anchors: Iterable[_Anchor]) -> None:
    """InputError naming the agent that one mode does not hold."""
    for anchor in anchors:
        wrong = _not_joint(anchor)
        if wrong:
            raise InputError(
                f"{anchor.where}: {wrong}; a joint mode is one future of all agents with one probability: "
                "complete it, or write a marginal table"
            )


def score_tables(
    windows: Sequence[Window],
    tables: ForecastTables,
    grid: TimeGrid,
    advance: Callable[[int], None] = lambda count: None,
) -> list[WindowScore]:
    """The score of every window from the tables alone."""
    rng = np.random.default_rng(0)
    steps = coverage_steps(grid)
    out = []
    for w in windows:
        out.append(score(tables.of(w), w.future, w.recording.kind[w.agents], steps, rng))
        advance(1)
    return out
