"""The house itself: what is packed, what imports what, and that every door opens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import drivewm
from drivewm import cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "drivewm": ROOT / "drivewm",
    "drivewm_datasets": ROOT / "datasets" / "drivewm_datasets",
    "drivewm_sim": ROOT / "sim" / "drivewm_sim",
    "drivewm_eval": ROOT / "eval" / "drivewm_eval",
}
HEAVY = {"torch", "ray", "numba", "carla", "matplotlib", "onnxruntime", "pyarrow", "shapely", "scipy", "PIL"}


def is_cache(path: Path) -> bool:
    """Whether a path lies in what tools leave behind: __pycache__ or a hidden folder."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts[:-1])


def package_files(name: str) -> set[str]:
    """Paths inside a wheel of everything that lies in a package's folder."""
    folder = PACKAGES[name]
    return {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and not is_cache(path.relative_to(folder))
    }


def source_files() -> list[Path]:
    """Every file of the project, leaving out environments, caches and outputs."""
    outputs = {"demo", "runs", "data", "report", "build", "dist"}
    files = [*ROOT.glob(".ci/*"), *ROOT.iterdir()]
    tops = (path for path in ROOT.iterdir() if path.is_dir() and path.name not in outputs)
    for folder in (path for path in tops if not path.name.startswith(".")):
        files += [path for path in folder.rglob("*") if not is_cache(path.relative_to(ROOT))]
    return [path for path in files if path.is_file()]


def lint_imports(folder: Path, paths: list[Path]) -> subprocess.CompletedProcess[str]:
    """import-linter over the packages found first on the given paths."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    script = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", script, "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The file names inside a wheel built from this tree."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: set[str]) -> None:
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert packed == set().union(*map(package_files, PACKAGES))


def test_the_wheel_says_that_its_packages_are_typed(wheel: set[str]) -> None:
    assert {f"{name}/py.typed" for name in PACKAGES} <= wheel


def test_the_wheel_carries_its_licence_and_the_command(wheel: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)


def test_the_installed_version_is_the_one_the_code_states() -> None:
    assert metadata.version("drivewm") == drivewm.__version__


@pytest.mark.parametrize("module", ["drivewm", "drivewm.cli", "drivewm.types"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(json.loads(loaded))


def test_rooms_import_only_downwards() -> None:
    report = lint_imports(ROOT, [PACKAGES[name].parent for name in PACKAGES])
    assert report.returncode == 0, report.stdout


@pytest.mark.parametrize(
    ("room", "file", "upwards"),
    [
        ("drivewm", "frames.py", "drivewm_datasets"),
        ("drivewm_datasets", "store.py", "drivewm_sim"),
        ("drivewm_sim", "__init__.py", "drivewm_eval"),
    ],
)
def test_an_import_upwards_is_caught(tmp_path: Path, room: str, file: str, upwards: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, folder in PACKAGES.items():
        shutil.copytree(
            folder, tmp_path / name, ignore=lambda _, names: [n for n in names if n == "__pycache__"]
        )
    with (tmp_path / room / file).open("a") as text:
        text.write(f"\nimport {upwards}\n")
    report = lint_imports(tmp_path, [tmp_path])
    assert report.returncode == 1
    assert f"{room} is not allowed to import {upwards}" in " ".join(report.stdout.split())


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, "--help"])
    assert exit_.value.code == 0
    assert f"usage: drivewm {name}" in capsys.readouterr().out


def test_the_command_line_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert set(cli.COMMANDS) <= set(capsys.readouterr().out.split())


def test_an_unknown_command_is_one_line_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    assert capsys.readouterr().err.startswith("error: no command 'fly'; there are demo,")


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    version_of = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    wanted = [Requirement(line) for line in metadata.requires("drivewm") or []]
    wanted = [requirement for requirement in wanted if requirement.name != "drivewm"]
    assert {requirement.name for requirement in wanted} <= set(version_of)
    assert all(requirement.specifier.contains(version_of[requirement.name]) for requirement in wanted)


def test_make_clean_removes_nothing_that_was_named_on_the_command_line() -> None:
    command = ["make", "--dry-run", "clean", "OUT=precious /etc"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    removed = [word for line in said.splitlines() if line.startswith("rm -rf ") for word in line.split()[2:]]
    assert set(removed) >= {".venv", ".venv-test", "demo", "build", "dist"}
    assert [word for word in removed if "/" in word or word == "precious"] == []


def test_no_file_knows_where_it_was_written() -> None:
    here = re.compile(rb"(?<![\w./-])" + re.escape(str(ROOT)).encode() + rb"(?![\w-])")
    assert [path for path in source_files() if here.search(path.read_bytes())] == []


def test_the_readme_tree_names_every_module_and_no_other() -> None:
    """A newcomer finds every file by its one line in the tree."""
    listed = set(re.findall(r"^ +(\w+\.py) ", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    packages = (ROOT / "drivewm", ROOT / "datasets", ROOT / "sim", ROOT / "eval")
    modules = {p.name for package in packages for p in package.rglob("*.py")} - {"__init__.py"}
    assert listed - {"__init__.py"} == modules
