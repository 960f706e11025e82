"""Scores of a forecast table written by anybody."""

from __future__ import annotations

from collections.abc import Sequence
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

Key = tuple[str, str, int]  # dataset, scene, microseconds


def _key(dataset: str, scene: str, t_s: float) -> Key:
    return dataset, scene, round(t_s * 1e6)


@dataclass(frozen=True, kw_only=True)
class _Anchor:
    """The forecasts of one scene and time: modes by agent, as dense arrays."""

    ids: dict[str, int]
    position: np.ndarray  # M A F 2
    covariance: np.ndarray  # M A F 2 2
    probability: np.ndarray  # M A; zero where an agent has fewer modes than another


def _read_anchor(table: pa.Table, grid: TimeGrid, where: str) -> _Anchor:
    steps = grid.steps
    agent = np.asarray(table["agent_id"].to_pylist(), dtype=object).astype(str)
    names, who = np.unique(agent, return_inverse=True)
    numbers, mode = np.unique(table["mode"].to_numpy(), return_inverse=True)
    step = table["step"].to_numpy().astype(np.int64) - 1
    keep = (step >= 0) & (step < steps)
    if "horizon_s" in table.schema.names and keep.any():
        stated, expected = table["horizon_s"].to_numpy()[keep], np.asarray(grid.horizons)[step[keep]]
        row = int(np.abs(stated - expected).argmax())
        if abs(stated[row] - expected[row]) > HORIZON_S:
            raise InputError(
                f"{where}: horizon_s is {stated[row]:g} at step {step[keep][row] + 1}, expected "
                f"{expected[row]:g}; forecast in steps of {grid.step:g} s"
            )
    shape = (len(numbers), len(names), steps)
    at = (mode[keep], who[keep], step[keep])
    seen = np.zeros(shape, bool)
    seen[at] = True
    if int(keep.sum()) != int(seen.sum()):
        raise InputError(f"{where}: a row for the same agent, mode and step comes twice; keep one")
    whole = np.asarray(seen.all(-1))
    partial = (whole != seen.any(-1)).any(0) | ~whole.any(0)
    if partial.any():
        raise InputError(
            f"{where}: a mode of agent {names[partial.argmax()]} lacks a step, expected 1 to {steps} in "
            "every mode; add it or drop the mode"
        )
    columns = {}
    for name in ("x_m", "y_m", "mode_probability", "var_xx", "var_xy", "var_yy"):
        values = np.zeros(shape)
        if name in table.schema.names:
            values[at] = table[name].to_numpy().astype(np.float64)[keep]
        columns[name] = values
    probability = np.where(whole, columns["mode_probability"][..., 0], 0.0)
    total = probability.sum(0)
    off = int(np.abs(total - 1).argmax())
    if abs(total[off] - 1) > 1e-3:
        raise InputError(
            f"{where}: the mode probabilities of agent {names[off]} sum to {total[off]:.4g}, expected 1; "
            "divide them by their sum"
        )
    position = np.stack([columns["x_m"], columns["y_m"]], -1)
    covariance = np.stack(
        [
            np.stack([columns["var_xx"], columns["var_xy"]], -1),
            np.stack([columns["var_xy"], columns["var_yy"]], -1),
        ],
        -2,
    )
    # An agent with fewer modes than the others repeats its first at probability zero.
    first = whole.argmax(0)
    some = np.arange(len(names))
    position = np.where(whole[..., None, None], position, position[first, some])
    covariance = np.where(whole[..., None, None, None], covariance, covariance[first, some])
    return _Anchor(
        ids={str(n): i for i, n in enumerate(names)},
        position=position,
        covariance=covariance,
        probability=probability,
    )


def _looks_joint(anchors: Sequence[_Anchor]) -> bool:
    """Joint modes have one probability a mode, the same for all agents of the scene."""
    several = [a for a in anchors if a.probability.shape[1] > 1]
    return all(np.ptp(a.probability, axis=1).max() < 1e-9 for a in several)


class ForecastTables:
    """One or two forecast tables, one a head, made ready to be scored."""

    def __init__(self, paths: Sequence[Path], grid: TimeGrid) -> None:
        self.by_head: dict[Head, dict[Key, _Anchor]] = {}
        self._path: dict[Head, Path] = {}
        for path in paths:
            table, head = read_forecasts(path)
            anchors = {
                _key(*name): _read_anchor(rows, grid, f"{path}: {name[0]}/{name[1]} at t={name[2]:g} s")
                for name, rows in anchors_of(table)
            }
            head = head or ("joint" if _looks_joint(list(anchors.values())) else "marginal")
            if head in self.by_head:
                raise InputError(f"{path}: a second table of the {head} head; give one of each")
            self.by_head[head], self._path[head] = anchors, path

    def candidates(self, window: Window) -> Candidates:
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


def score_tables(windows: Sequence[Window], tables: ForecastTables, grid: TimeGrid) -> list[WindowScore]:
    """The score of every window from the tables alone."""
    rng = np.random.default_rng(0)
    steps = coverage_steps(grid)
    return [score(tables.candidates(w), w.future, w.recording.kind[w.agents], steps, rng) for w in windows]
