"""The rooms of an evaluation as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

DEGRADATION = {
    "joint minADE": ("model", "joint_min_ade"),
    "most likely ADE": ("model", "top1_ade"),
    "most likely FDE": ("model", "top1_fde"),
    "cv ADE": ("cv", "top1_ade"),
    "cv FDE": ("cv", "top1_fde"),
}
AXES = {
    "noise": "noise (sd in m)",
    "drop_out": "drop-out (probability)",
    "switches": "switched identities (share)",
}


def print_rooms(console: Console, figures: dict[str, Any]) -> None:
    """Each room in a table of its own."""
    from drivewm_eval.room_tables import is_about_nobody

    about = f"{figures['forecaster']} on {figures['drives']} episodes of {', '.join(figures['towns'])}"
    for name, found in figures["rooms"].items():
        if is_about_nobody(found):
            console.print(f"{name}: {about}: nobody to judge")
        elif name == "motion":
            _print_motion(console, about, found)
        elif name == "degradation":
            _print_degradation(console, about, found)
        else:
            _print_plain(console, f"{name}: {about}", found)
    if figures["seen_in_training"]:
        console.print(f"note: {figures['seen_in_training']} of these episodes were seen in training")


def _print_motion(console: Console, about: str, found: dict[str, Any]) -> None:
    from rich.table import Table

    from drivewm_eval.room_tables import MOTION

    table = Table("", "", *MOTION, "agents", title=f"motion in metres: {about}")
    for group, by_name in found.items():
        for name, summary in by_name.items():
            if name == "gain":
                continue
            values = [f"{summary[key]:.3f}" for key in MOTION.values()]
            table.add_row(group if name == next(iter(by_name)) else "", name, *values, str(summary["agents"]))
        table.add_section()
    console.print(table)


def _print_degradation(console: Console, about: str, found: dict[str, Any]) -> None:
    """A table an axis: errors and how many times those of level 0; at last this for the affected alone."""
    from rich.table import Table

    for axis, by_group in found.items():
        title = f"degradation by {AXES[axis]}: metres, times level 0: {about}"
        table = Table("", "level", *DEGRADATION, "affected", "their ADE", title=title)
        for group, by_level in by_group.items():
            for level, row in by_level.items():
                values = [
                    f"{row[who][figure]:.3f} {_times(row['ratio'], who, figure)}" if who in row else "-"
                    for who, figure in DEGRADATION.values()
                ]
                ours, straight = (
                    _times(row["ratio_of_affected"], who, "top1_ade") for who in ("model", "cv")
                )
                count = f"{row['affected']}/{row['agents']}"
                table.add_row(group if level == "0" else "", level, *values, count, f"{ours}, cv {straight}")
            table.add_section()
        console.print(table)


def _times(ratio: dict[str, dict[str, float | None]], who: str, figure: str) -> str:
    value = ratio.get(who, {}).get(figure)
    return "-" if value is None else f"×{value:.2f}"


def _print_plain(console: Console, title: str, found: dict[str, Any]) -> None:
    from rich.table import Table

    from drivewm_eval.room_tables import flat

    table = Table(title=title, show_header=False)
    for name, value in flat(found):
        table.add_row(name.replace("_", " "), value)
    console.print(table)
