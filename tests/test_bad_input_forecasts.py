"""Bad forecast tables: one clear line, exit code 2; a good one scores as the weights that wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from bundles import make_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import Capture, assert_refused, evaluate, files_in, predict
from street import walkers_table, write_scenes


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with random weights: 3 joint modes, 5 candidates."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of three people, 8 s at 2.5 Hz."""
    return write_scenes(tmp_path_factory.mktemp("street"), scenes=2, seconds=8.0, wiggle=0.05)


@pytest.fixture(scope="module")
def tables(street: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The joint and the marginal forecast table of the street."""
    folder = tmp_path_factory.mktemp("tables")
    for head in ("joint", "marginal"):
        assert predict(street, folder / f"{head}.parquet", weights, "--head", head) == 0
    return {head: folder / f"{head}.parquet" for head in ("joint", "marginal")}


Change = Callable[[pa.Table], pa.Table]


def with_column(name: str, change: Callable[[np.ndarray], Any]) -> Change:
    """Replaces a column by a changed copy of its values."""

    def changed(table: pa.Table) -> pa.Table:
        values = change(np.array(table[name].to_pylist()))
        return table.set_column(table.schema.names.index(name), name, pa.array(list(values)))

    return changed


def at(row: int, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values = values.astype(object)
        values[row] = value
        return values

    return change


def without_a_step(table: pa.Table) -> pa.Table:
    """Mode 1 of one agent at one time has no step 5."""
    t_s = table["t_s"][table.num_rows // 2]
    gone = pc.and_(pc.equal(table["t_s"], t_s), pc.equal(table["agent_id"], "1"))
    gone = pc.and_(gone, pc.and_(pc.equal(table["mode"], 1), pc.equal(table["step"], 5)))
    return table.filter(pc.invert(gone))


def without_a_mode(table: pa.Table) -> pa.Table:
    """One agent has two of the three modes everywhere, its probabilities renormalised."""
    table = table.filter(pc.invert(pc.and_(pc.equal(table["agent_id"], "1"), pc.equal(table["mode"], 2))))
    probability = table["mode_probability"].to_numpy().copy()
    keys = list(zip(*(table[n].to_pylist() for n in ("scene", "t_s", "agent_id", "step")), strict=True))
    total: dict[tuple[object, ...], float] = {}
    for key, value in zip(keys, probability, strict=True):
        total[key] = total.get(key, 0.0) + value
    probability /= [total[key] for key in keys]
    return table.set_column(table.schema.names.index("mode_probability"), "mode_probability", [probability])


def another_probability(table: pa.Table) -> pa.Table:
    """Agent 1 has its own probabilities: the first two modes change theirs."""
    mode = pc.if_else(pc.equal(table["mode"], 0), 1, pc.if_else(pc.equal(table["mode"], 1), 0, 2))
    mode = pc.if_else(pc.equal(table["agent_id"], "1"), mode, table["mode"])
    return table.set_column(table.schema.names.index("mode"), "mode", mode)


def without_an_agent(table: pa.Table) -> pa.Table:
    return table.filter(pc.invert(pc.equal(table["agent_id"], "2")))


FORECAST_CASES: dict[str, tuple[Change, str]] = {
    "missing columns": (lambda t: t.drop_columns(["x_m", "step"]), "lacks the columns step, x_m; add them"),
    "half a covariance": (lambda t: t.drop_columns(["var_xy"]), "lacks the columns var_xy"),
    "no rows": (lambda t: t.slice(0, 0), "has no rows; run drivewm predict again"),
    "NaN position": (with_column("x_m", at(7, np.nan)), "row 7: x_m is nan, expected a finite number"),
    "infinite position": (with_column("y_m", at(7, np.inf)), "row 7: y_m is inf"),
    "null position": (with_column("y_m", at(7, None)), "row 7: y_m is null; fill it in"),
    "NaN variance": (with_column("var_yy", at(7, np.nan)), "row 7: var_yy is nan"),
    "negative variance": (
        with_column("var_xx", at(7, -0.1)),
        "row 7: var_xx, var_xy, var_yy are no covariance",
    ),
    "text position": (with_column("x_m", lambda v: ["left"] * len(v)), "column x_m came as string"),
    "broken mode": (with_column("mode", lambda v: v + 0.5), "column mode came as double"),
    "negative probability": (with_column("mode_probability", at(7, -0.2)), "row 7: mode_probability is -0.2"),
    "probabilities": (with_column("mode_probability", lambda v: v / 2), "sum to 0.5, expected 1; divide"),
    "missing step": (without_a_step, "a mode of agent 1 lacks a step, expected 1 to 12"),
    "missing mode": (without_a_mode, "agent 1 lacks mode 2; a joint mode is one future of all agents"),
    "own probability": (another_probability, "agent 1 has another probability of mode"),
    "double row": (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "comes twice; keep one"),
    "other clock": (with_column("horizon_s", lambda v: v * 2), "expected 4.8; forecast in steps of 0.4 s"),
    "missing agent": (without_an_agent, "no joint forecast of agent 2"),
    "other scene": (
        with_column("scene", lambda v: np.char.add(v, "x")),
        "no joint forecast of agent 0 in test/scene0",
    ),
}


@pytest.mark.parametrize("case", FORECAST_CASES)
def test_a_bad_forecast_table_is_named(
    case: str, tables: dict[str, Path], street: Path, tmp_path: Path, capsys: Capture
) -> None:
    change, said = FORECAST_CASES[case]
    pq.write_table(change(pq.read_table(tables["joint"])), tmp_path / "bad.parquet")
    code = evaluate(street, "--forecasts", tmp_path / "bad.parquet", "--json", tmp_path / "figures.json")
    captured = capsys.readouterr()
    assert code == 2
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith(f"error: {tmp_path / 'bad.parquet'}: ")
    assert said in captured.err
    assert files_in(tmp_path) == ["bad.parquet"]


def test_a_forecast_table_that_is_no_parquet_is_named(
    tables: dict[str, Path], street: Path, tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.parquet"
    for content in (b"", tables["joint"].read_bytes()[:-50], b"t_s,x_m\n1,2\n"):
        bad.write_bytes(content)
        assert_refused(
            evaluate(street, "--forecasts", bad), capsys, str(bad), "not readable as a Parquet", "again"
        )


def test_two_tables_of_one_head_are_refused(tables: dict[str, Path], street: Path, capsys: Capture) -> None:
    code = evaluate(street, "--forecasts", tables["joint"], tables["joint"])
    assert_refused(code, capsys, "a second table of the joint head; give one of each")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    agents=st.integers(1, 5),
    hz=st.sampled_from([2.0, 2.5, 10.0]),
    origin=st.sampled_from([(0.0, 0.0), (534_200.25, 5_211_900.5)]),
    seed=st.integers(0, 99),
)
def test_the_written_table_scores_as_the_weights_do(
    weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
    agents: int,
    hz: float,
    origin: tuple[float, float],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    data = folder / "data"
    data.mkdir()
    table = walkers_table(agents=agents, hz=hz, origin=origin, seed=seed, seconds=8.0, wiggle=0.1)
    pq.write_table(table, data / "a.parquet")
    for head in ("joint", "marginal"):
        assert predict(data, folder / f"{head}.parquet", weights, "--head", head) == 0
    written = (folder / "joint.parquet", folder / "marginal.parquet")
    assert evaluate(data, "--weights", weights, "--json", folder / "weights.json") == 0
    assert evaluate(data, "--forecasts", *written, "--json", folder / "table.json") == 0
    ours, theirs = (json.loads((folder / f"{name}.json").read_text()) for name in ("weights", "table"))
    for scene, expected in {**ours["scenes"], "average": ours["average"]}.items():
        came = theirs["average"] if scene == "average" else theirs["scenes"][scene]
        assert came == pytest.approx(expected, abs=1e-4), scene
    assert theirs["top1_ade_minus_cv"]["average"]["mean"] == pytest.approx(
        ours["top1_ade_minus_cv"]["average"]["mean"], abs=1e-4
    )
