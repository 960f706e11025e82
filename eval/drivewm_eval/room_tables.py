"""The rooms' figures as rows of text, for a terminal and for a page."""

from __future__ import annotations

from typing import Any

MOTION = {
    "joint minADE": "joint_min_ade",
    "joint minFDE": "joint_min_fde",
    "minADE": "min_ade",
    "minFDE": "min_fde",
    "most likely ADE": "top1_ade",
    "most likely FDE": "top1_fde",
}
"""The columns of the motion room, metres."""


def flat(found: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A row for each figure, its name led by those of what it is part of."""
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{name}: ")
        else:
            rows.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def is_about_nobody(found: Any) -> bool:
    """Whether a room found nothing to judge: no figure in it, or none but zeros."""
    if isinstance(found, dict):
        return all(is_about_nobody(value) for value in found.values())
    return not found
