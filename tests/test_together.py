"""Several processes that train one run: one step from the batches of all, and one bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from street import write_scenes
from torch import nn

from drivewm.checkpoint import load_bundle
from drivewm.cli import main
from drivewm.crew import Alone, TorchCrew


def _average_in_a_group(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    crew = TorchCrew(torch.device("cpu"))
    model = nn.Linear(2, 1, bias=True)
    model.weight.grad = torch.tensor([[1.0, 2.0]]) * (rank + 1)
    crew.average(model.parameters())  # the bias has no gradient anywhere
    said = crew.agree(rank == 0)
    found = {"weight": model.weight.grad.tolist(), "said": said, "size": crew.size}
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def test_every_process_gets_the_mean_gradient_and_what_the_first_one_says(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_average_in_a_group, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == {"weight": [[1.5, 3.0]], "said": True, "size": 2}


def test_one_alone_agrees_with_itself() -> None:
    assert Alone().agree(True)
    assert not Alone().agree(False)


def test_two_workers_of_ray_train_one_bundle(tmp_path: Path) -> None:
    pytest.importorskip("ray.train", reason="needs the extra `train`")
    write_scenes(tmp_path / "data", 3)
    out = tmp_path / "run"
    command = ["train", "--data", str(tmp_path / "data"), "--out", str(out), "--steps", "4", "--workers", "2"]
    assert main([*command, "--json", str(tmp_path / "figures.json")]) == 0
    bundle = load_bundle(out)
    assert bundle.provenance["steps"] == 4
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4], "process 0 alone writes"
    (run,) = json.loads((tmp_path / "figures.json").read_text())["runs"]
    assert run["hash"] == bundle.hash


def test_who_trains_together_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scenes(tmp_path / "data", 2)
    base = ["train", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert main([*base, "--address", "auto"]) == 2
    assert "--workers" in capsys.readouterr().err
    assert main([*base, "--workers", "2", "--jobs", "2"]) == 2
    assert "--jobs" in capsys.readouterr().err
