"""What a kernel's compiled code depends on."""

from __future__ import annotations

import ast
from pathlib import Path

import drivewm_sim
from drivewm_sim import kernel


def parsed_imports(text: str) -> set[str]:
    """What a parser finds, but for the blocks that only type checkers read."""
    tree = ast.parse(text)
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse)
    ]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return names


def test_no_import_of_the_package_is_overlooked() -> None:
    for file in Path(drivewm_sim.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert parsed_imports(text) <= kernel.imported(text), file


def test_what_only_types_need_does_not_count() -> None:
    text = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivewm_sim.sensors.suite import (
        Sensed,
    )

    import drivewm_sim.fleet
else:
    import drivewm_sim.lines

def later():
    from drivewm_sim import randomness as numbers
"""
    found = {name for name in kernel.imported(text) if name.startswith("drivewm_sim.")}
    assert found - {"drivewm_sim.as", "drivewm_sim.numbers"} == {
        "drivewm_sim.lines", "drivewm_sim.randomness"
    }  # fmt: skip


def test_a_street_is_not_compiled_again_after_a_change_in_the_lidar() -> None:
    reached = set(kernel._reachable("drivewm_sim.street.advance"))
    assert "drivewm_sim.street.walking" in reached
    assert "drivewm_sim.sensors.lidar" not in reached
