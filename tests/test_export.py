"""The static graph: it says what torch says, runs where torch is not, and a damaged bundle says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import make_bundle
from numpy import ndarray

from drivewm import export
from drivewm.bundle import CONFIG, GOLDEN, graph_name
from drivewm.checkpoint import load_bundle
from drivewm.cli import main
from drivewm.errors import InputError
from drivewm.features import INPUT_NAMES, ModelInputs, featurize
from drivewm.model import WorldModel
from drivewm.postprocess import OUTPUT_NAMES
from drivewm.runtime import Runtime, load_runtime
from drivewm.runtime.golden import Golden, load_golden, save_golden
from drivewm.timing import TimeGrid

SLOTS = {0: (6, 16), 1: (8,)}  # seed -> agent counts; the second model has no map
PARITY = 1e-3


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {seed: tmp_path_factory.mktemp(f"bundle{seed}") for seed in SLOTS}
    for seed, folder in folders.items():
        export.export_onnx(make_bundle(folder, seed=seed, use_map=seed == 0), folder, SLOTS[seed])
    return folders


@pytest.fixture
def damaged(bundles: dict[int, Path], tmp_path: Path) -> Path:
    """A copy of the exported bundle that a test may spoil."""
    return shutil.copytree(bundles[0], tmp_path / "bundle")


@pytest.fixture
def quick_export(bundles: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first bundle; its graphs are from now on copied instead of traced, which takes seconds each."""

    def copy_graph(model: WorldModel, inputs: ModelInputs, path: Path, hash_: str) -> None:
        shutil.copy(bundles[0] / path.name, path)

    monkeypatch.setattr(export, "_write_graph", copy_graph)
    return bundles[0]


def street(agents: int, slots: int, seed: int = 0) -> ModelInputs:
    """The golden street with everybody's numbers shaken."""
    inputs = featurize([export.golden_scene(TimeGrid(), agents)], agents=slots, polylines=8).as_dict()
    rng = np.random.default_rng(seed)
    shaken = {
        name: array if "mask" in name else array + rng.normal(0, 0.2, array.shape).astype(np.float32)
        for name, array in inputs.items()
    }
    return ModelInputs(**shaken)


def permuted(inputs: ModelInputs, order: ndarray) -> ModelInputs:
    arrays = inputs.as_dict()
    return ModelInputs(**{k: v if k.startswith("line") else v[:, order] for k, v in arrays.items()})


def change_metadata(path: Path, key: str, value: str) -> None:
    graph = onnx.load(path)
    props = {prop.key: prop.value for prop in graph.metadata_props} | {key: value}
    onnx.helper.set_model_props(graph, props)
    onnx.save(graph, path)


@pytest.mark.parametrize(("seed", "slots"), [(s, n) for s, counts in SLOTS.items() for n in counts])
@pytest.mark.parametrize("agents", [1, 3, 6])
def test_onnx_and_torch_agree(bundles: dict[int, Path], seed: int, slots: int, agents: int) -> None:
    graph = load_runtime(bundles[seed], backend="onnx", agents=slots)
    torch = load_runtime(bundles[seed], backend="torch", agents=slots)
    inputs = street(agents, slots, seed)
    got, want = graph.run(inputs), torch.run(inputs)
    assert tuple(got) == tuple(want) == OUTPUT_NAMES
    for name in OUTPUT_NAMES:
        np.testing.assert_allclose(got[name], want[name], atol=PARITY, err_msg=name)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_both_runtimes_keep_the_protocol(bundles: dict[int, Path], backend: str) -> None:
    runtime = load_runtime(bundles[0], backend=backend, agents=6)
    assert isinstance(runtime, Runtime)
    assert (runtime.agents, runtime.sizes.polylines, runtime.joint_modes, runtime.candidates) == (6, 8, 3, 5)
    assert (runtime.name, runtime.hash) == ("tiny0", load_bundle(bundles[0]).hash)
    assert runtime.grid == TimeGrid()
    assert runtime.calibration.marginal_spread == 1.2


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_an_answer_is_not_overwritten_by_the_next(bundles: dict[int, Path], backend: str) -> None:
    runtime = load_runtime(bundles[0], backend=backend, agents=6)
    first = runtime.run(street(3, 6))
    kept = first["joint_position"].copy()
    runtime.run(street(5, 6, seed=1))
    np.testing.assert_array_equal(first["joint_position"], kept)


def test_padded_agents_change_nothing_in_the_graph(bundles: dict[int, Path]) -> None:
    """Four agents in 6 slots or in 16, and whatever the empty slots hold: only their mask is zero."""
    tight = featurize([export.golden_scene(TimeGrid(), 4)], agents=6, polylines=8)
    wide = featurize([export.golden_scene(TimeGrid(), 4)], agents=16, polylines=8).as_dict()
    for name in ("history", "attributes", "agent_pose", "agent_velocity"):
        wide[name][:, 4:] = 1.5
    few = load_runtime(bundles[0], agents=6).run(tight)
    many = load_runtime(bundles[0], agents=16).run(ModelInputs(**wide))
    np.testing.assert_allclose(many["joint_position"][:, :, :4], few["joint_position"][:, :, :4], atol=1e-4)
    np.testing.assert_allclose(many["joint_logit"], few["joint_logit"], atol=1e-5)


def test_permuting_agents_permutes_the_outputs_of_the_graph(bundles: dict[int, Path]) -> None:
    runtime = load_runtime(bundles[0], agents=6)
    order = np.array([3, 5, 0, 1, 4, 2])
    inputs = street(6, 6)
    before, after = runtime.run(inputs), runtime.run(permuted(inputs, order))
    np.testing.assert_allclose(
        after["marginal_position"], before["marginal_position"][:, :, order], atol=1e-4
    )
    np.testing.assert_allclose(after["joint_logit"], before["joint_logit"], atol=1e-5)


def test_the_graph_holds_only_operators_that_tensorrt_builds(bundles: dict[int, Path]) -> None:
    for seed, counts in SLOTS.items():
        for count in counts:
            used = export.operators(onnx.load(bundles[seed] / graph_name(count)))
            assert {"MatMul", "Softmax"} <= used <= export.ALLOWED_OPS


def test_a_foreign_operator_is_seen() -> None:
    node = onnx.helper.make_node("NonZero", ["x"], ["y"])
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    assert export.operators(graph) - export.ALLOWED_OPS == {"NonZero"}


@pytest.mark.parametrize("seed", SLOTS)
def test_the_graph_states_names_fixed_shapes_and_origin(bundles: dict[int, Path], seed: int) -> None:
    """A model without map has the map's inputs all the same: one interface for every bundle."""
    count = SLOTS[seed][-1]
    graph = onnx.load(bundles[seed] / graph_name(count))
    shape_of = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in graph.graph.input}
    assert tuple(shape_of) == INPUT_NAMES
    assert shape_of["history"] == (1, count, 10, 5)
    assert tuple(o.name for o in graph.graph.output) == OUTPUT_NAMES
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 20)]
    metadata = {prop.key: prop.value for prop in graph.metadata_props}
    assert metadata["hash"] == json.loads((bundles[seed] / CONFIG).read_text())["hash"]
    rest = {key: json.loads(value) for key, value in metadata.items() if key != "hash"}
    assert rest == {
        "format": 1,
        "ages": list(TimeGrid().ages),
        "step": 0.4,
        "steps": 12,
        "agents": count,
        "polylines": 8,
        "joint_modes": 3,
        "candidates": 5,
        "inputs": list(INPUT_NAMES),
        "outputs": list(OUTPUT_NAMES),
    }


def test_the_graph_does_not_tell_where_it_was_made(bundles: dict[int, Path]) -> None:
    data = (bundles[0] / graph_name(6)).read_bytes()
    assert b".py" not in data
    assert str(Path(export.__file__).parent).encode() not in data


def test_the_golden_pair_is_a_street_and_what_torch_says_of_it(bundles: dict[int, Path]) -> None:
    golden = load_golden(bundles[0] / GOLDEN)
    answer = load_runtime(bundles[0], backend="torch", agents=6).run(golden.padded(6))
    assert golden.agents == 6
    assert max(golden.errors(answer).values()) < 1e-5
    assert np.ptp(golden.outputs["marginal_position"]) > 1


def test_a_graph_that_would_make_the_bundle_too_large_is_left_out(quick_export: Path, tmp_path: Path) -> None:
    exported = export.export_onnx(load_bundle(quick_export), tmp_path, (16, 6), max_bytes=1000)
    assert (exported.agents, exported.left_out) == ((6,), (16,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden.safetensors", "model_6.onnx"]
    assert exported.bundle_bytes > 1000  # the smallest is written whatever it takes


def test_a_graph_that_disagrees_is_not_written(
    quick_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path)
    true_answer = export._answer

    def half_a_metre_off(*arguments: Any) -> dict[str, ndarray]:
        answer = true_answer(*arguments)
        return answer | {"joint_position": answer["joint_position"] + 0.5}

    monkeypatch.setattr(export, "_answer", half_a_metre_off)
    with pytest.raises(InputError, match=r"model_6\.onnx: ONNX Runtime and torch differ by 0\.5 m"):
        export.export_onnx(bundle, tmp_path, (6,))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.md",
        "config.json",
        "weights.safetensors",
    ]


def test_the_onnx_path_imports_neither_torch_nor_ray(bundles: dict[int, Path]) -> None:
    """A forecast from config.json and one graph alone, in a process of its own."""
    code = f"""
import sys
from drivewm import Observation, Predictor
from drivewm.types import Kind
predictor = Predictor.load({str(bundles[0])!r}, agents=6)
for tick in range(3):
    seen = [Observation(agent_id="a", kind=Kind.PEDESTRIAN, x=0.1 * tick, y=0.0)]
    forecast = predictor.step(seen, 0.1 * tick)
print(forecast.source, sorted({{"torch", "ray", "pyarrow", "drivewm_datasets"}} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "('model',) []"


def test_config_and_graph_are_all_that_onnx_needs(damaged: Path) -> None:
    for path in damaged.iterdir():
        if path.name not in (CONFIG, graph_name(6)):
            path.unlink()
    assert load_runtime(damaged, agents=6).run(street(2, 6))["joint_logit"].shape == (1, 3)


def test_a_graph_of_other_weights_is_refused(damaged: Path) -> None:
    change_metadata(damaged / graph_name(6), "hash", "0" * 64)
    with pytest.raises(InputError, match=r"model_6\.onnx: hash is 0000.*run `drivewm export` again"):
        load_runtime(damaged, agents=6)


@pytest.mark.parametrize(("key", "value"), [("format", "7"), ("ages", "[0.0, 0.5]"), ("polylines", "256")])
def test_a_graph_of_another_make_is_refused(damaged: Path, key: str, value: str) -> None:
    change_metadata(damaged / graph_name(6), key, value)
    with pytest.raises(InputError, match=rf"model_6\.onnx: {key} is .*, config\.json says"):
        load_runtime(damaged, agents=6)


def test_a_missing_graph_names_those_there_are(damaged: Path) -> None:
    with pytest.raises(InputError, match=r"model_48\.onnx: missing; the bundle has graphs for 6, 16 agents"):
        load_runtime(damaged, agents=48)


def test_a_truncated_graph_is_one_clear_line(damaged: Path) -> None:
    path = damaged / graph_name(6)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"model_6\.onnx: not a readable ONNX graph") as error:
        load_runtime(damaged, agents=6)
    assert "\n" not in str(error.value)


def test_weights_changed_inside_the_graph_are_caught_by_the_golden_pair(damaged: Path) -> None:
    path = damaged / graph_name(16)
    graph = onnx.load(path)
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = bytes(len(largest.raw_data))
    onnx.save(graph, path)
    with pytest.raises(InputError, match="differs from the golden answer"):
        load_runtime(damaged, agents=16)


def test_a_golden_pair_of_other_weights_is_refused(damaged: Path) -> None:
    golden = load_golden(damaged / GOLDEN)
    save_golden(damaged / GOLDEN, Golden(inputs=golden.inputs, outputs=golden.outputs, hash="1" * 64))
    with pytest.raises(InputError, match=r"golden\.safetensors: belongs to other weights \(hash 1111"):
        load_runtime(damaged, agents=6)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (CONFIG, "{", "not a readable bundle configuration"),
        (CONFIG, "[]", "bundle format None, this version reads 1"),
        (CONFIG, '{"format": 1}', "name, hash, model, .* missing"),
        (GOLDEN, "junk", "not a golden pair"),
    ],
)
def test_a_damaged_file_of_the_bundle_is_named(damaged: Path, name: str, content: str, line: str) -> None:
    (damaged / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: {line}"):
        load_runtime(damaged, agents=6)


def test_torch_refuses_damaged_or_missing_weights(damaged: Path) -> None:
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match=r"does not match the hash in config\.json"):
        load_runtime(damaged, backend="torch")
    weights.unlink()
    with pytest.raises(InputError, match="missing; the bundle is incomplete"):
        load_runtime(damaged, backend="torch")


def test_inputs_of_another_shape_are_refused(bundles: dict[int, Path]) -> None:
    with pytest.raises(ValueError, match=r"history must have shape \(1, 6, 10, 5\), got \(1, 16, 10, 5\)"):
        load_runtime(bundles[0], agents=6).run(street(2, 16))


def test_the_command_makes_a_complete_bundle(
    quick_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    command = ["export", "--weights", str(quick_export), "--out", str(out), "--agents", "6"]
    assert main([*command, "--json", str(figures)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "card.md",
        "config.json",
        "golden.safetensors",
        "model_6.onnx",
        "weights.safetensors",
    ]
    assert load_runtime(out, agents=6).hash == load_runtime(out, backend="torch", agents=6).hash
    assert json.loads(figures.read_text())["position_error_m"] < PARITY
    assert "agrees with torch" in capsys.readouterr().out


def test_the_command_adds_the_graphs_to_the_bundle_itself(quick_export: Path, tmp_path: Path) -> None:
    made = make_bundle(tmp_path)
    assert main(["export", "--weights", str(tmp_path), "--out", str(tmp_path), "--agents", "6", "16"]) == 0
    assert load_runtime(tmp_path, agents=16).hash == made.hash
    assert (tmp_path / "card.md").read_text() == "A test."


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--format", "tensorrt"],
            "this version writes ONNX; TensorRT builds its engine from that file with trtexec",
        ),
        (["--format", "openvino"], "this version writes ONNX; OpenVINO reads that file as it is"),
        (["--weights", "nowhere"], "no bundle at nowhere"),
        (["--agents", "1"], "agents must be 2 or more"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    bundles: dict[int, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    out = tmp_path / "out"
    assert main(["export", "--weights", str(bundles[0]), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert line in error
    assert not out.exists()


def test_the_command_does_not_mix_two_bundles(bundles: dict[int, Path], damaged: Path) -> None:
    before = sorted(path.name for path in damaged.iterdir())
    assert main(["export", "--weights", str(bundles[1]), "--out", str(damaged), "--agents", "3"]) == 2
    assert sorted(path.name for path in damaged.iterdir()) == before
