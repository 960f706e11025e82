"""The rooms of an evaluation as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

MOTION = {
    "joint minADE": "joint_min_ade",
    "joint minFDE": "joint_min_fde",
    "minADE": "min_ade",
    "minFDE": "min_fde",
    "most likely ADE": "top1_ade",
    "most likely FDE": "top1_fde",
}


def print_rooms(console: Console, figures: dict[str, Any]) -> None:
    """Each room in a table of its own."""
    about = f"{figures['forecaster']} on {figures['drives']} episodes of {', '.join(figures['towns'])}"
    for name, found in figures["rooms"].items():
        if name == "motion":
            _print_motion(console, about, found)
        else:
            _print_plain(console, f"{name}: {about}", found)
    if figures["seen_in_training"]:
        console.print(f"note: {figures['seen_in_training']} of these episodes were seen in training")


def _print_motion(console: Console, about: str, found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("", "", *MOTION, "agents", title=f"motion in metres: {about}")
    for group, by_name in found.items():
        for name, summary in by_name.items():
            if name == "gain":
                continue
            values = [f"{summary[key]:.3f}" for key in MOTION.values()]
            table.add_row(group if name == next(iter(by_name)) else "", name, *values, str(summary["agents"]))
        table.add_section()
    console.print(table)


def _print_plain(console: Console, title: str, found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for name, value in _flat(found):
        table.add_row(name.replace("_", " "), value)
    console.print(table)


def _flat(found: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}: ")
        else:
            rows.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows
